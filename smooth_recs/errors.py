"""The ways a run ends that are not a fault of the program."""


class InputError(ValueError):
    """Wrong flags, configuration or data: one line that names the field, the rule and the value.

    The binaries answer it with exit status 2.
    """


class GateNotMet(Exception):
    """A measured value is beyond the limit that the user set: exit status 3."""


class Diverged(Exception):
    """A trained model predicts what is no number: exit status 4. What the run measured is written."""
