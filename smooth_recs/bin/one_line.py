"""What an exception says, in one line."""

from __future__ import annotations

import re

# TensorFlow wraps the reason in where the graph was built.
_NOISE = re.compile(r"Graph execution error|Detected at node|File \"|Node: |<stack traces|\[\[|\d+ root error|\(\d+\) |--|Original")


def one_line(error: BaseException) -> str:
    """The type of `error` and the first line of its message that says something, of at most 300 characters.

    >>> one_line(ValueError("first\\nsecond"))
    'ValueError: first'
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = next((line for line in lines if not _NOISE.match(line)), lines[0] if lines else "")
    text = f"{type(error).__name__}: {telling}" if telling else type(error).__name__
    return text if len(text) <= 300 else f"{text[:297]}..."
