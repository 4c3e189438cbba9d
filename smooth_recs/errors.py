"""The errors with which a run ends though the program has no fault, and what any exception says, in one line."""

from __future__ import annotations

import re
import signal


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


class Interrupted(KeyboardInterrupt):
    """A signal ended the run, which the same command resumes; the binaries answer it with exit status 128 + signal.

    Attributes:
      number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    def __str__(self) -> str:
        return f"interrupted by {signal.Signals(self.number).name}: the same command resumes the run"


LONGEST = 400  # characters of a line that says what went wrong; texts of users, such as a header, may be of any length

# TensorFlow 2.21 puts lines about where the graph was built around the reason.
_NOISE = re.compile(
    r'Graph execution error|Detected at node|File "|Node: |<stack traces|\[\[|\d+ root error|in user code'
)
# What protobuf (7) and Python say where no more memory is to be had names neither.
_OF_MEMORY = dict.fromkeys(
    ("EncodeError", "MemoryError"),
    "memory ran out, or what the process may have of it (ulimit -v): take smaller tables",
)
_PREFIX = re.compile(r"^\{\{function_node .*?\}\} ")


def one_line(error: BaseException) -> str:
    r"""The type of `error` and the first line of its message that says something, shortened.

    >>> one_line(ValueError("Graph execution error:\n\nNode: 'a'\nno such row: 7"))
    'ValueError: no such row: 7'
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = _OF_MEMORY.get(type(error).__name__) or next(
        (line for line in lines if not _NOISE.match(line)), lines[0] if lines else ""
    )
    text = ": ".join(filter(None, (type(error).__name__, _PREFIX.sub("", telling))))
    return shortened(text)


def shortened(text: str, longest: int = LONGEST) -> str:
    """The text in one line, without its middle where it is longer than `longest` characters: its end says what to do.

    >>> shortened("no column " + 100 * "x" + ": name the columns", 50)
    'no column xxxxxxxxxxxxxxx ... xx: name the columns'
    """
    line = " ".join(text.split())
    if len(line) <= longest:
        return line
    end = (longest - 5) * 2 // 5
    return f"{line[: longest - 5 - end]} ... {line[-end:]}"
