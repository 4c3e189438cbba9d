"""What a process says while it works: a line for each phase, and on a terminal a clock while nothing else is shown.

A run has phases: reading, building, compiling, training, measuring, exporting. Each is one line on standard output,
wherever that goes. On a terminal a phase that shows nothing for two seconds also shows how long it has lasted, in a
line that the next one overwrites.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, TextIO

import tqdm

SILENCE = 2.0  # seconds after which the clock is shown
_NAMES = 13  # characters for the name of a phase, as in the summary of a run
_CLEARED = "\r\x1b[K"  # to the start of the line, and what stands there is gone


class Status:
    """The phases of one process, one at a time.

    Args:
      stream: where lines go; None: standard output, whatever it is when a line is written.
      now: the clock, in seconds.
    """

    def __init__(self, stream: TextIO | None = None, now: Callable[[], float] = time.monotonic) -> None:
        self._stream, self._now = stream, now
        self._phase, self._began, self._shown = "", now(), now()

    @property
    def stream(self) -> TextIO:
        return sys.stdout if self._stream is None else self._stream

    def begin(self, phase: str, what: str = "") -> None:
        """Says that a phase has begun, in a line; the clock is that of this phase from now on."""
        self._phase, self._began = phase, self._now()
        self.say(f"{phase:{_NAMES}}{what}".rstrip())

    def say(self, line: str) -> None:
        """Writes a whole line in place of the clock, if that is shown."""
        self.stream.write((_CLEARED if is_terminal(self.stream) else "") + line + "\n")
        self.stream.flush()
        self.is_shown()

    def is_shown(self) -> None:
        """Notes that something was shown just now, such as a bar."""
        self._shown = self._now()

    def tick(self) -> None:
        """Shows the clock where nothing was shown for `SILENCE` seconds."""
        if self._phase and self._now() - self._shown >= SILENCE:
            # The cursor goes back to the start of the line: whatever is written next stands there.
            self.stream.write(f"{_CLEARED}{'':{_NAMES}}{self._phase} for {self._now() - self._began:.0f} s\r")
            self.stream.flush()
            self.is_shown()

    @contextlib.contextmanager
    def clock(self) -> Iterator[None]:
        """Shows the clock, on a terminal, while the block runs and nothing else is shown."""
        if not is_terminal(self.stream):
            yield
            return
        ended = threading.Event()

        def ticking() -> None:
            while not ended.wait(0.5):
                self.tick()

        thread = threading.Thread(target=ticking, name="clock", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            self._phase = ""
            self.stream.write(_CLEARED)
            self.stream.flush()


def is_terminal(stream: Any) -> bool:
    """Whether somebody may be looking on, and a line can be overwritten."""
    return stream is not None and not stream.closed and bool(stream.isatty())


STATUS = Status()
"""The phases of this process."""


class Bar(tqdm.tqdm):
    """A progress bar in whose stead the clock is shown only where the bar stands still."""

    def display(self, *args: Any, **kwargs: Any) -> Any:
        STATUS.is_shown()
        return super().display(*args, **kwargs)
