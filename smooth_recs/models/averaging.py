"""Averaged weights: a bias-corrected exponential moving average of all weights, tables included, in another model.

With constant learning rates the last batches move every model. The average of the last steps is what they move around:
it differs less between siblings, and predicts better.
"""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from smooth_recs import keras_generation
from smooth_recs.errors import InputError
from smooth_recs.layers import StackedEmbedding, embedding_tables

PASSES = 10  # passes in a half-life: from two on the PD is that of an average of every step, and ten cost nothing
CHUNK = 65_536  # rows of a large table that one pass handles at a time, instead of a temporary of the table's size


def steps_between_passes(half_life: float, steps_per_execution: int = 1) -> int:
    """The steps between two passes: about a tenth of the half-life, in whole executions.

    >>> steps_between_passes(1000, 40), steps_between_passes(117), steps_between_passes(3)
    (80, 11, 1)
    """
    return max(int(half_life / PASSES) // steps_per_execution, 1) * steps_per_execution


def share(since: Any, now: Any, half_life: float) -> tf.Tensor:
    """Weight that what was there from step `since` to step `now` has in the average of `now` steps, float32.

    The average of t steps weighs step i by 2^(-(t - i) / H), H the half-life, divided by the sum of these weights, as
    the bias correction of Adam does. The steps after s have the share (1 - 2^(-(t - s) / H)) / (1 - 2^(-t / H)) of it,
    so that a weight that has been w since step s takes an average from a to a + share (w - a). It is 1 where s = 0: the
    average begins with the first weights that it sees. It is 0 where s = t.

    Args:
      since, now: integers of any shape, 0 <= since <= now and now >= 1.
      half_life: H, in steps, above 0.
    """
    # expm1: the differences from 1 are small where the half-life is long. Integers are subtracted before they are
    # rounded to float32, which holds no step above 2^24 exactly.
    rate = -math.log(2) / half_life
    return tf.math.expm1(rate * tf.cast(now - since, tf.float32)) / tf.math.expm1(rate * tf.cast(now, tf.float32))


def check_half_life(half_life: float) -> None:
    """Raises InputError unless the half-life is a number above 0."""
    if isinstance(half_life, bool) or not isinstance(half_life, int | float) or not 0 < half_life < math.inf:
        raise InputError(f"half_life must be a number of steps above 0, got {half_life!r}")


class WeightAverage:
    """The average of a model's weights, in a copy of the model, brought up to date in passes over all weights.

    A pass at step t gives the weights that it finds the `share` of all steps since the last pass, so passes need not be
    evenly spaced. Weights that are no floating point numbers, such as counts, are copied. A pass is made on each
    device, of its own copies, which stay equal without an exchange; on parameter servers under each part's device.

    Args:
      model: a Keras model with its variables; of siblings, all replicas.
      averaged: a model of the same variables, which receives the averages. Variables that it shares with `model`, such
        as the counts of admission, are left alone.
      half_life: H, in steps; see `share`.

    Attributes:
      steps: the step of the last pass, an int64 variable; 0 before the first one, when the average is the weights.
      checkpoint: what a checkpoint has to hold.

    Raises:
      InputError: the half-life is not above 0.
      ValueError: the two models have different variables.

    ```python
    average = WeightAverage(model, tf.keras.models.clone_model(model), half_life=100)
    average.update(10)  # after ten steps of training
    average.averaged.predict(x)
    ```
    """

    def __init__(self, model: Any, averaged: Any, half_life: float) -> None:
        check_half_life(half_life)
        weights, averages = weights_of(model), weights_of(averaged)
        if [(w.shape, w.dtype) for w in weights] != [(a.shape, a.dtype) for a in averages]:
            shapes = [[list(each.shape) for each in part] for part in (averages, weights)]
            raise ValueError(f"averaged must have the variables of the model, got {shapes[0]} for {shapes[1]}")
        self._pairs = [(a, w) for a, w in zip(averages, weights, strict=True) if a is not w]
        self.averaged = averaged
        self.half_life = float(half_life)
        self.steps = tf.Variable(0, dtype=tf.int64, trainable=False)
        # This is a plain class around a Checkpoint: Keras (tf_keras 2.21, 3.15) takes a model or a variable in an
        # attribute for a part of the model that has it, and would train and export it.
        self.checkpoint = tf.train.Checkpoint(model=averaged, steps=self.steps)
        self._strategy = tf.distribute.get_strategy()
        self._compiled: Any = tf.function(self._run, autograph=False)
        self.reset()

    @property
    def variables(self) -> list[Any]:
        """What the average consists of: the averaged weights and the step of the last pass."""
        return [*(average for average, _ in self._pairs), self.steps]

    def reset(self) -> None:
        """Begins anew: the averages are the weights, and nothing has been counted."""
        for average, weight in self._pairs:
            average.assign(tf.convert_to_tensor(weight))
        self.steps.assign(0)

    def update(self, step: int) -> None:
        """Makes a pass after training step `step`; nothing where one was made at that step or a later one."""
        since = int(tf.convert_to_tensor(self.steps))
        if step > since:
            self._compiled(tf.constant(since, tf.int64), tf.constant(step, tf.int64))
            self.steps.assign(step)

    def _run(self, since: tf.Tensor, now: tf.Tensor) -> None:
        if isinstance(self._strategy, tf.distribute.ParameterServerStrategy):
            self._pass(since, now)  # by the coordinator, which no replica context is for
        else:
            self._strategy.run(self._pass, (since, now))

    def _pass(self, since: tf.Tensor, now: tf.Tensor) -> None:
        weight_of_new = share(since, now, self.half_life)
        for averages, weights in self._pairs:
            for average, weight in zip(_parts(averages), _parts(weights), strict=True):
                with tf.device(average.device):
                    _approach(average, weight, weight_of_new)


def weights_of(model: Any) -> list[Any]:
    """The weights of a model, of siblings those of all replicas, without the variables of metrics."""
    found = []
    for each in getattr(model, "replicas", [model]):
        metrics = {id(variable) for metric in each.metrics for variable in metric.variables}
        found += [weight for weight in each.weights if id(weight) not in metrics]
    return found


def share_admission(averaged: Any, model: Any) -> None:
    """Lets the tables of a new model use the counts of another one's ids, which no average is made of."""
    tables = (
        [layer for layer in keras_generation.all_layers(each) if isinstance(layer, StackedEmbedding)]
        for each in (averaged, model)
    )
    for ours, theirs in zip(*tables, strict=True):
        if theirs.admitted is not None:
            ours.admitted = theirs.admitted


def _parts(weight: Any) -> list[Any]:
    """The variables that a weight is on this device: several where parameter servers share it."""
    stored = embedding_tables.local(weight)
    return list(getattr(stored, "variables", [stored]))


def _approach(average: Any, weight: Any, weight_of_new: tf.Tensor) -> None:
    """Moves the average towards the weight in place: by weight_of_new (weight - average)."""
    if not average.dtype.is_floating:
        average.assign(weight)
        return
    weight_of_new = tf.cast(weight_of_new, average.dtype)
    rows = average.shape[0] if average.shape.rank else 0
    if rows <= CHUNK:
        average.assign_sub(weight_of_new * (average - weight))
        return

    def chunk(begin: tf.Tensor) -> list[tf.Tensor]:
        ids = tf.range(begin, tf.minimum(begin + CHUNK, rows))
        old = tf.gather(average, ids)  # of a variable it reads these rows alone
        average.scatter_update(tf.IndexedSlices(old - weight_of_new * (old - tf.gather(weight, ids)), ids))
        return [begin + CHUNK]

    tf.while_loop(lambda begin: begin < rows, chunk, [tf.constant(0)], parallel_iterations=1)
