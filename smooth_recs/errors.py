"""The errors with which a run ends though the program has no fault, and what any exception says, in one line."""

from __future__ import annotations

import re


class InputError(ValueError):
    """Wrong flags, configuration or data: one line that names the field, the rule and the value.

    The binaries answer it with exit status 2.
    """


class GateNotMet(Exception):
    """A measured value is beyond the limit that the user set; the binaries answer it with exit status 3."""


class Diverged(Exception):
    """A trained model predicts NaN or infinity; the binaries answer it with exit status 4.

    What the run measured before is written.
    """


# TensorFlow 2.21 puts lines about where the graph was built around the reason.
_NOISE = re.compile(
    r'Graph execution error|Detected at node|File "|Node: |<stack traces|\[\[|\d+ root error|in user code'
)
_PREFIX = re.compile(r"^\{\{function_node .*?\}\} ")


def one_line(error: BaseException) -> str:
    r"""The type of `error` and the first line of its message that says something, cut at 300 characters.

    >>> one_line(ValueError("Graph execution error:\n\nNode: 'a'\nno such row: 7"))
    'ValueError: no such row: 7'
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = next((line for line in lines if not _NOISE.match(line)), lines[0] if lines else "")
    text = ": ".join(filter(None, (type(error).__name__, _PREFIX.sub("", telling))))
    return text if len(text) <= 300 else f"{text[:297]}..."
