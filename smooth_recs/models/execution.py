"""Several training steps in one execution, on one device or several in step, as Keras 3 leaves them to its models.

Keras' own function (3.15) makes more steps than an epoch has left where the data do not end there, runs on several
devices only one step at a time, and adds up the logs of processes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

_ITERATORS = (tf.data.Iterator, tf.distribute.DistributedIterator)


class Executions:
    """What Keras 3's `fit` calls for each execution of a model: as many steps as are left of the epoch, at most.

    Args:
      model: whose `train_step`, `distribute_strategy` and `steps_per_execution` count.
      otherwise: Keras' own function, for what does not come from a dataset, as in `train_on_batch`.

    Attributes:
      otherwise: as given.
      steps: of an epoch; set it, and `done` to 0, where a `fit` begins.
    """

    def __init__(self, model: Any, otherwise: Callable[[Any], Any]) -> None:
        self._model, self.otherwise = model, otherwise
        self.steps = self.done = 0
        step = model.train_step
        several = model.distribute_strategy.num_replicas_in_sync > 1
        # A graph of its own is traced once. Devices exchange gradients in the middle of a step, which none can.
        self._step = tf.autograph.experimental.do_not_convert(step) if several else tf.function(step, autograph=False)
        self._execute: Any = tf.function(self._steps, autograph=False, reduce_retracing=True)

    def __call__(self, iterator: Any) -> Any:
        if not isinstance(iterator, _ITERATORS) or self._model.run_eagerly:
            return self.otherwise(iterator)
        count = min(self._model.steps_per_execution, self.steps - self.done % self.steps)
        self.done += count
        return self._execute(iterator, tf.constant(count))

    def _steps(self, iterator: Any, count: tf.Tensor) -> Any:
        """Makes `count` steps; the logs of the last one, on the first device of this process."""
        logs = self._one(iterator)
        if self._model.steps_per_execution == 1:
            return logs

        def another(made: tf.Tensor, _: Any) -> tuple[tf.Tensor, Any]:
            return made + 1, self._one(iterator)

        made = tf.constant(1)
        return tf.while_loop(lambda made, _: made < count, another, (made, logs), parallel_iterations=1)[1]

    def _one(self, iterator: Any) -> Any:
        strategy = self._model.distribute_strategy
        logs = strategy.run(self._step, args=(next(iterator),))
        return tf.nest.map_structure(lambda value: strategy.experimental_local_results(value)[0], logs)
