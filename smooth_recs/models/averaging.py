"""Averaged weights: a bias-corrected exponential moving average of all weights, tables included, in another model.

With constant learning rates the last batches move every model. The average of the last steps is what they move around:
it differs less between siblings, and predicts better.

A pass over all weights now and then is enough for most models. Of tables that are large beside what training touches in
between, only the rows that are about to change are brought up to date: by the same formula, and so exactly.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from smooth_recs import keras_generation
from smooth_recs.errors import InputError
from smooth_recs.layers import StackedEmbedding, embedding_tables
from smooth_recs.models.trackable import trackable

# A row that is brought up to date before it changes costs as much as so many rows of a pass
# (benchmarks/weight_averages.py).
ROW_COST = 20
PASSES = 10  # passes in a half-life: from two on the PD is that of an average of every step, and ten cost nothing
CHUNK = 65_536  # rows of a large table that one pass handles at a time, instead of a temporary of the table's size


def steps_between_passes(half_life: float, steps_per_execution: int = 1) -> int:
    """The steps between two passes: about a tenth of the half-life, in whole executions.

    >>> steps_between_passes(1000, 40), steps_between_passes(117), steps_between_passes(3)
    (80, 11, 1)
    """
    return max(int(half_life / PASSES) // steps_per_execution, 1) * steps_per_execution


def by_row_is_cheaper(rows: int, lookups: int, steps: int) -> bool:
    """Whether a table of so many rows is better kept by row than in passes every `steps` steps of so many lookups.

    >>> by_row_is_cheaper(1_000_000, 2_000, 11), by_row_is_cheaper(1_000_000, 2_000, 100)
    (True, False)
    """
    return rows > ROW_COST * lookups * steps


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
      averaged: a model of the same variables, which receives the averages; its tables must be in float32, also where
        those of `model` are in 16 bits. Variables that it shares with `model`, such as the counts of admission, are
        left alone.
      half_life: H, in steps; see `share`.
      by_row: tables (`StackedEmbedding`) are kept by row (`RowAverage`) instead of in passes: on one device or several
        that are in step, where the model gets `training=True` once a step.

    Attributes:
      steps: the step of the last pass, an int64 variable; 0 before the first one, when the average is the weights.
      checkpoint: what a checkpoint has to hold.

    Raises:
      InputError: the half-life is not above 0, or the averages of tables would be in 16 bits.
      ValueError: the two models have different variables.

    ```python
    average = WeightAverage(model, tf.keras.models.clone_model(model), half_life=100)
    average.update(10)  # after ten steps of training
    average.averaged.predict(x)
    ```
    """

    def __init__(self, model: Any, averaged: Any, half_life: float, by_row: bool = False) -> None:
        check_half_life(half_life)
        self._strategy = tf.distribute.get_strategy()
        weights, averages = weights_of(model), weights_of(averaged)
        if any(layer.embeddings_dtype != "float32" for layer in _embeddings(averaged)):
            raise InputError(
                "averaged must have tables in float32 (give build_fn one that makes such a model): float16 cannot hold "
                "what an average moves by"
            )
        of_averages = [(a.shape, _type_of_average(a)) for a in averages]
        if [(w.shape, _type_of_average(w)) for w in weights] != of_averages:
            shapes = [[list(each.shape) for each in part] for part in (averages, weights)]
            raise ValueError(f"averaged must have the variables of the model, got {shapes[0]} for {shapes[1]}")
        self.tables = [RowAverage(*pair, half_life) for pair in _tables(averaged, model)] if by_row else []
        in_tables = {id(table.average.embeddings) for table in self.tables}
        pairs = zip(averages, weights, strict=True)
        self._pairs = [(a, w) for a, w in pairs if a is not w and id(a) not in in_tables]
        self.averaged = averaged
        self.half_life = float(half_life)
        self.steps = tf.Variable(0, dtype=tf.int64, trainable=False)
        # This is a plain class around a Checkpoint: Keras (tf_keras 2.21, 3.15) takes a model or a variable in an
        # attribute for a part of the model that has it, and would train and export it.
        state = {f"table_{k}": tf.train.Checkpoint(**table.state) for k, table in enumerate(self.tables)}
        self.checkpoint = tf.train.Checkpoint(model=trackable(averaged), steps=self.steps, **state)
        self._compiled: Any = tf.function(self._run, autograph=False)
        self.reset()

    @property
    def variables(self) -> list[Any]:
        """What the average consists of: the averaged weights and the step of the last pass."""
        of_tables = [each for table in self.tables for each in (table.average.embeddings, *table.state.values())]
        return [*(average for average, _ in self._pairs), *of_tables, self.steps]

    def reset(self) -> None:
        """Begins anew: the averages are the weights, and nothing has been counted."""
        for average, weight in self._pairs:
            average.assign(tf.cast(tf.convert_to_tensor(weight), average.dtype))
        for table in self.tables:
            table.reset()
        self.steps.assign(0)

    def update(self, step: int) -> None:
        """Makes a pass after training step `step`; nothing where one was made at that step or a later one."""
        since = int(tf.convert_to_tensor(self.steps))
        if step > since:
            self._compiled(tf.constant(since, tf.int64), tf.constant(step, tf.int64))
            self.steps.assign(step)

    @contextlib.contextmanager
    def settled(self) -> Iterator[None]:
        """Within the context tables hold the averages as they are, as an export of them does."""
        for table in self.tables:
            self._strategy.run(table.settle)
            table.average.read_rows = None
        yield
        for table in self.tables:
            table.average.read_rows = table.read

    def finish(self) -> None:
        """Ends the training: from now on tables hold the averages as they are."""
        with self.settled():
            self.tables = []

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


class RowAverage:
    """The exact average of a table, of which only the rows that training touches are brought up to date.

    A row that nothing has touched since step s is the same after every step since then, so that its average after step
    t follows from what it was after step s: e + share(s, t) (w - e). It is written before the row changes, and computed
    where it is read.

    Args:
      average, trained: two `StackedEmbedding`s of equal tables, with their variables; the first receives the average.
      half_life: H, in steps.

    Attributes:
      state: the steps made, int64, and the step at which each row was written last, int32 [rows].
    """

    def __init__(self, average: StackedEmbedding, trained: StackedEmbedding, half_life: float) -> None:
        self.average, self._trained, self._half_life = average, trained, half_life
        rows = trained.embeddings.shape[0]
        self.state = {
            "steps": tf.Variable(0, dtype=tf.int64, trainable=False),
            "last": tf.Variable(tf.zeros([rows], tf.int32), trainable=False),
        }
        trained.before_update, average.read_rows = self.before_update, self.read
        self.settle = tf.function(self._settle, autograph=False)

    def reset(self) -> None:
        trained = tf.convert_to_tensor(self._trained.embeddings)
        self.average.embeddings.assign(tf.cast(trained, self.average.embeddings.dtype))
        for variable in self.state.values():
            variable.assign(tf.zeros_like(variable))

    def before_update(self, ids: tf.Tensor) -> None:
        """Brings the rows `ids` [n] up to date, which the training step is about to change, and counts the step."""
        if tf.distribute.get_strategy().num_replicas_in_sync > 1:
            # Every device updates its own copy, of the rows that all devices touch: the copies stay equal.
            ids = tf.distribute.get_replica_context().all_gather(ids, axis=0)
        self._write(tf.unique(ids).y)  # a row that came twice would be written twice, in any order
        embedding_tables.local(self.state["steps"]).assign_add(1)

    def read(self, ids: tf.Tensor) -> tf.Tensor:
        """The averages of the rows `ids` [n], [n, dim]."""
        average = embedding_tables.lookup(self.average.embeddings, ids)
        weight = embedding_tables.lookup(self._trained.embeddings, ids)
        last = embedding_tables.lookup(self.state["last"], ids)
        now = tf.maximum(tf.cast(embedding_tables.local(self.state["steps"]), tf.int32), 1)
        return average - share(last, now, self._half_life)[:, tf.newaxis] * (average - weight)

    def _settle(self) -> None:
        """Brings all rows up to date."""
        _by_chunks(self.state["last"].shape[0], self._write)

    def _write(self, ids: tf.Tensor) -> None:
        embedding_tables.local(self.average.embeddings).scatter_update(tf.IndexedSlices(self.read(ids), ids))
        now = tf.cast(embedding_tables.local(self.state["steps"]), tf.int32)
        last = embedding_tables.local(self.state["last"])
        last.scatter_update(tf.IndexedSlices(tf.fill(tf.shape(ids), now), ids))


def _tables(averaged: Any, model: Any) -> Iterator[tuple[StackedEmbedding, StackedEmbedding]]:
    """The tables of two models of the same layers, side by side."""
    return zip(_embeddings(averaged), _embeddings(model), strict=True)


def _embeddings(model: Any) -> list[StackedEmbedding]:
    return [layer for layer in keras_generation.all_layers(model) if isinstance(layer, StackedEmbedding)]


def _type_of_average(weight: Any) -> tf.DType:
    """The type of a weight, and float32 for one of 16 bits, whose average may be either."""
    dtype = tf.as_dtype(weight.dtype)
    return tf.float32 if dtype == tf.float16 else dtype


def weights_of(model: Any) -> list[Any]:
    """The weights of a model, of siblings those of all replicas, without the variables of metrics."""
    found = []
    for each in getattr(model, "replicas", [model]):
        metrics = {id(variable) for metric in each.metrics for variable in metric.variables}
        found += [weight for weight in each.weights if id(weight) not in metrics]
    return found


def share_admission(averaged: Any, model: Any) -> None:
    """Lets the tables of a new model use the counts of another one's ids, which no average is made of."""
    for ours, theirs in _tables(averaged, model):
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
        average.assign_sub(weight_of_new * (average - tf.cast(weight, average.dtype)))
        return

    def chunk(ids: tf.Tensor) -> None:
        old = tf.gather(average, ids)  # of a variable it reads these rows alone
        new = tf.cast(tf.gather(weight, ids), old.dtype)
        average.scatter_update(tf.IndexedSlices(old - weight_of_new * (old - new), ids))

    _by_chunks(rows, chunk)


def _by_chunks(rows: int, update: Callable[[tf.Tensor], None]) -> None:
    """Calls `update` with the numbers of all rows, some at a time, in a loop of the graph."""

    def chunk(begin: tf.Tensor) -> list[tf.Tensor]:
        update(tf.range(begin, tf.minimum(begin + CHUNK, rows)))
        return [begin + CHUNK]

    tf.while_loop(lambda begin: begin < rows, chunk, [tf.constant(0)], parallel_iterations=1)
