"""A signal to one of the processes that train in step: all save a checkpoint after the same step, and end.

To save is a step in common, because TensorFlow sums over all devices what each has counted (the metrics of Keras, the
moments of batch normalisation). A process that saved alone would wait for the others.
"""

from __future__ import annotations

import signal
import time

from smooth_recs.cluster import liveness
from smooth_recs.cluster.task import Task
from smooth_recs.errors import Interrupted
from smooth_recs.interruption import Interruption

AHEAD = 2  # steps: no process is further than one ahead of another, as each step needs them all
_STAY_SECONDS = 5.0
_POLL_SECONDS = 0.1


class Preemption:
    """The `Interruption` of a loop of steps that several processes make together.

    The process that gets the signal tells the others, once, after which step all are to end. Where not all answer, it
    ends at once, without a checkpoint.

    Args:
      interruption: notes the signals of this process.
      task: this process.
    """

    def __init__(self, interruption: Interruption, task: Task) -> None:
        self._interruption, self._task = interruption, task
        self._step: int | None = None

    def is_due(self, done: int) -> bool:
        """Whether all are to save and to end now, with `done` steps."""
        if self._step is None:
            self._step = liveness.told_to_stop(self._task)
        if self._step is None and self._interruption.number is not None:
            if not liveness.stop_all(self._task, done + AHEAD):
                self._interruption.end()
            self._step = done + AHEAD
        return self._step is not None and done >= self._step

    def end(self) -> None:
        """Ends the loop where a process of the cluster got a signal; the chief first, which may still be writing.

        Raises:
          Interrupted: one did.
        """
        told = self._step is not None or liveness.told_to_stop(self._task) is not None
        if not told and self._interruption.number is None:
            return
        deadline = time.monotonic() + _STAY_SECONDS
        while not self._task.is_chief and liveness.ping(self._task.chief) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        raise Interrupted(self._interruption.number or signal.SIGTERM)
