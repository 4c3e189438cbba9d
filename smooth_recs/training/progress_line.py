"""The line on a terminal that a training overwrites: steps, a bar, the time that is left of the whole run, values.

Where there is no terminal it is a line for each epoch.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from smooth_recs import keras_generation
from smooth_recs._status import STATUS, Status, is_terminal

_WIDEST, _SECONDS = 80, 0.5  # columns; between two drawings
_BAR = 10  # characters at most
_CLEARED = "\r\x1b[K"


class EpochLines(tf.keras.callbacks.ProgbarLogger):
    """Keras' own lines where there is no terminal: of an epoch among those of the run, which has a `fit` for each.

    Args:
      epochs: of the run.
    """

    def __init__(self, epochs: int) -> None:
        super().__init__(*(["steps"] if keras_generation.is_legacy() else []))  # Keras 3 knows nothing else
        self._of_run = epochs

    def set_params(self, params: dict[str, Any]) -> None:
        super().set_params({**params, "epochs": self._of_run})


class ProgressLine(tf.keras.callbacks.Callback):
    """Says when training has begun, and on a terminal how far it is.

    The time that is left is that of the whole run at the speed of this process so far, measurements included, without
    the first execution, which compiles.

    Args:
      total: steps of the run; 0 where nobody knows, because a stream goes on.
      done: steps that were made before.
      shown: the names in the logs of the values that stand at the end of the line, as far as there is room.
      status: receives the lines.
      now: the clock, in seconds.
    """

    def __init__(
        self,
        total: int,
        done: int,
        shown: Mapping[str, str],
        status: Status = STATUS,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._total, self._done, self._begun = total, done, done
        self._shown, self._status, self._now = shown, status, now
        self._values: dict[str, Any] = {}
        self._first: tuple[float, int] | None = None
        self._drawn = 0.0
        self._supports_tf_logs = True  # values are read only where they are drawn

    def on_train_begin(self, logs: Any = None) -> None:
        self._begun = self._done

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._done = self._begun + keras_generation.steps_done(self, batch)
        now = self._now()
        if self._first is None:
            self._first = now, self._done
            self._status.begin("training", f"{self._total:,} steps" if self._total else "while the stream goes on")
        if isinstance(logs, dict):  # under parameter servers they are values still to come (tf_keras 2.21)
            self._values.update(logs)
        if is_terminal(self._status.stream) and now - self._drawn >= _SECONDS:
            self._drawn = now
            self._status.stream.write(_CLEARED + self.line(shutil.get_terminal_size().columns))
            self._status.stream.flush()
            self._status.is_shown()

    def on_train_end(self, logs: Any = None) -> None:
        if self._drawn:  # a line that stays: later ones do not overwrite it
            self._status.say(self.line(shutil.get_terminal_size().columns))

    def line(self, columns: int) -> str:
        """The line, shorter than a terminal of so many columns."""
        room = min(columns, _WIDEST) - 1
        text = f"step {self._done:,}"
        if self._total:
            share = min(self._done / self._total, 1.0)
            filled = round(share * _BAR)
            left = self._seconds_left()
            time_left = "" if left is None else f"  {duration(left)} left"
            text += f" of {self._total:,}  [{'=' * filled}{' ' * (_BAR - filled)}] {share:4.0%}{time_left}"
        for name, form in self._shown.items():
            if name in self._values and len(text) < room:
                more = f"  {name} {format(float(self._values[name]), form)}"
                text += more if len(text) + len(more) <= room else ""
        return text[:room]

    def _seconds_left(self) -> float | None:
        """The seconds of the steps that are still to be made; None before there is a speed."""
        if self._first is None or self._done <= self._first[1]:
            return None
        return (self._total - self._done) * (self._now() - self._first[0]) / (self._done - self._first[1])


def duration(seconds: float) -> str:
    """Minutes and seconds, `1:05`, or hours too, `2:00:05`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
