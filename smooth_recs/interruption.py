"""Signals that ask a process to end, SIGTERM and SIGINT, obeyed between two training steps and within ten seconds.

Kubernetes preempts by SIGTERM, and kills half a minute later. A step that is cut off leaves weights and the number of
steps done that do not belong together; so the signal is noted, and the loop saves a checkpoint before it ends.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType, TracebackType
from typing import Any

from smooth_recs.errors import Interrupted

GRACE_SECONDS = 8.0
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Interruption:
    """Notes a signal within the block, in place of what it does otherwise, for a loop that asks between its steps.

    Where the loop has not ended `seconds` after the signal, as in native code that waits, or a second signal comes, the
    process ends at once, with status 128 + signal. Outside the main thread, which alone gets signals, nothing is noted.

    Args:
      seconds: from the signal to the end of the process.

    Attributes:
      number: of the signal that came; None: none has.

    ```python
    with Interruption() as interruption:
        for batch in batches:
            step(batch)
            if interruption.number is not None:
                save()
                interruption.end()
    ```
    """

    def __init__(self, seconds: float = GRACE_SECONDS) -> None:
        self.number: int | None = None
        self._seconds = seconds
        self._earlier: dict[int, Any] = {}
        self._ended = threading.Event()

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            self._earlier = {number: signal.signal(number, self._note) for number in _SIGNALS}
            # Python calls `_note` when native code returns to it. The kernel writes to this pipe before that.
            self._read, self._write = os.pipe()
            os.set_blocking(self._write, False)
            self._earlier_pipe = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
            threading.Thread(target=self._watch, daemon=True, name="interruption").start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._earlier:
            signal.set_wakeup_fd(self._earlier_pipe)
            for number, earlier in self._earlier.items():
                signal.signal(number, earlier)
            os.close(self._write)  # which ends the thread

    def is_due(self, done: int) -> bool:
        """Whether the loop is to save and to end now, whatever number of steps is done: a signal has come."""
        return self.number is not None

    def end(self) -> None:
        """Ends the block, by an error that says which signal came; does nothing where none has come.

        Raises:
          Interrupted: a signal has come.
        """
        if self.number is not None:
            raise Interrupted(self.number)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.number is not None:
            _exit(number, "once more")
        self.number = number

    def _watch(self) -> None:
        """Ends the process where the loop does not, as soon as a signal has come and `seconds` have gone."""
        with os.fdopen(self._read, "rb", buffering=0) as pipe:
            numbers = [number for number in pipe.read(1) or b"" if number in _SIGNALS]
            if numbers and not self._ended.wait(self._seconds):
                _exit(numbers[0], f"no step has ended for {self._seconds:g} s")


def _exit(number: int, why: str) -> None:
    """Ends the process at once: its main thread may wait within native code."""
    name = signal.Signals(number).name
    print(f"interrupted by {name}, {why}: the same command resumes the run from its newest checkpoint", file=sys.stderr)
    sys.stderr.flush()
    os._exit(128 + number)
