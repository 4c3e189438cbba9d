"""Variables that hold one row an id: made without a second copy, read by rows, whole or sharded.

Frequency admission: an id has a row of its own once training has seen it often enough.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from smooth_recs import keras_generation


def local(weight: Any) -> Any:
    """The variable that a weight is on this device: Keras 3 wraps it, and so does a strategy with several devices.

    The wrappers read all of a variable before they take rows of it, and after they update some.
    """
    stored = weight if keras_generation.is_legacy() else weight.value
    return stored._get() if isinstance(stored, tf.distribute.DistributedValues) else stored


def lookup(table: Any, ids: tf.Tensor) -> tf.Tensor:
    """Rows `ids` [n] of a weight, [n, ...]; a table that is sharded over parameter servers takes flat ids only."""
    stored = local(table)
    shards = getattr(stored, "variables", None)
    return tf.gather(stored, ids) if shards is None else tf.nn.embedding_lookup(shards, ids)


def in_place(initializer: Callable[..., tf.Tensor]) -> Callable[..., tf.Tensor]:
    """An initializer of the same values that takes the memory of its result only, where Keras' own take three times it.

    Run op by op, scaling random numbers keeps them, their product and the sum; in one graph each op writes over its
    input. Constant folding would compute all of it once more, beside the run.
    """

    def initialize(shape: Any, dtype: Any = None, **kwargs: Any) -> tf.Tensor:
        options = tf.config.optimizer.get_experimental_options()
        tf.config.optimizer.set_experimental_options({"constant_folding": False})
        try:
            graph = tf.function(lambda: initializer(shape, dtype=dtype, **kwargs), autograph=False)
            return graph.get_concrete_function()()
        finally:
            folding = options.get("constant_folding", True)
            tf.config.optimizer.set_experimental_options({"constant_folding": folding})

    return initialize


SPECIAL_ROWS = 2  # of every feature, the last ones: out of vocabulary and missing (`data.encoding.Encoder`)
_ENOUGH = 2**30  # sightings at which counting ends, so that an int32 never overflows in a stream that goes on


class Admission(keras_generation.keras().layers.Layer):  # type: ignore[misc]
    """Sends an id that was seen fewer than `sightings` times to the out-of-vocabulary row of its feature.

    What a batch may use is decided by the batches before it: of ids seen for the first time all lookups of that step go
    to the out-of-vocabulary row. Each call with `training=True` is one training step and counts its ids, those of all
    devices of a synchronous strategy together.

    Args:
      sightings: at least 1.
      rows: of each feature in the stacked table, the last two of them out of vocabulary and missing, which need no
        admission.

    Input: rows of the stacked table, int64 [n], -1 for padding. Output: the rows to use, int64 [n], padding kept.

    Weights, none trainable: `counts` and `last_seen` (step, from 1; 0 = never), int32 [all rows]; `steps`, int32;
    `lookups`, int64 [features, 2]: all lookups of training, and those of the out-of-vocabulary row.
    """

    def __init__(self, sightings: int, rows: Sequence[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.sightings = sightings
        self.rows = tuple(rows)
        self.starts = tuple(itertools.accumulate(self.rows[:-1], initial=0))

    def build(self, input_shape: Any) -> None:
        del input_shape
        self.counts = self._state("counts", (sum(self.rows),), "int32")
        self.last_seen = self._state("last_seen", (sum(self.rows),), "int32")
        self.steps = self._state("steps", (), "int32")
        self.lookups = self._state("lookups", (len(self.rows), 2), "int64")
        self.built = True

    def call(self, ids: tf.Tensor, training: bool = False) -> tf.Tensor:
        rows = tf.maximum(ids, 0)
        out_of_vocabulary = self._out_of_vocabulary(self._feature(rows))
        enough = lookup(self.counts, rows) >= self.sightings
        used = tf.where(enough | (ids < 0) | (ids >= out_of_vocabulary), ids, out_of_vocabulary)
        if training:
            pairs = _of_all_devices(tf.stack([ids, used], axis=1))
            self._record(pairs[:, 0], pairs[:, 1])
        return used

    def _record(self, ids: tf.Tensor, used: tf.Tensor) -> None:
        """Counts one step. Every device updates its own copy, by the ids of all devices: the copies stay equal.

        Padding adds 0 to row 0.
        """
        rows, present = tf.maximum(ids, 0), tf.cast(ids >= 0, tf.int32)
        feature = self._feature(rows)
        step = tf.convert_to_tensor(self.steps) + 1
        more = present * tf.cast(lookup(self.counts, rows) < _ENOUGH, tf.int32)
        replaced = present * tf.cast(tf.equal(used, self._out_of_vocabulary(feature)), tf.int32)
        lookups = tf.math.unsorted_segment_sum(tf.stack([present, replaced], axis=1), feature, len(self.rows))
        local(self.counts).scatter_add(tf.IndexedSlices(more, rows))
        local(self.last_seen).scatter_max(tf.IndexedSlices(present * step, rows))
        local(self.lookups).assign_add(tf.cast(lookups, tf.int64))
        local(self.steps).assign_add(1)

    def _feature(self, rows: tf.Tensor) -> tf.Tensor:
        """The number of the feature that each row belongs to, int32 [n]."""
        return tf.searchsorted(tf.constant(self.starts, tf.int64), rows, side="right") - 1

    def _out_of_vocabulary(self, feature: tf.Tensor) -> tf.Tensor:
        special = [start + rows - SPECIAL_ROWS for start, rows in zip(self.starts, self.rows, strict=True)]
        return tf.gather(tf.constant(special, tf.int64), feature)

    def _state(self, name: str, shape: tuple[int, ...], dtype: str) -> Any:
        return self.add_weight(name=name, shape=shape, dtype=dtype, initializer="zeros", trainable=False)


@dataclasses.dataclass(frozen=True)
class FeatureRows:
    """How the rows of one feature are used.

    Attributes:
      name: of the feature.
      rows: of known values; the out-of-vocabulary and the missing row are left out, here and below.
      seen: of these, in training.
      admitted: rows that their ids use by now.
      expired: rows that were seen, but not lately.
      out_of_vocabulary_share: of the feature's lookups in training, those that took the out-of-vocabulary row, either
        for want of a known value or before admission. 0 where there were none.
    """

    name: str
    rows: int
    seen: int
    admitted: int
    expired: int
    out_of_vocabulary_share: float


def embedding_report(layer: Any, steps: int) -> list[FeatureRows]:
    """How many rows of a `StackedEmbedding` with admission are in use, and how many could go, a feature each.

    Args:
      layer: built, with `admission` above 0.
      steps: a row that was not seen in the last `steps` training steps counts as expired.

    Raises:
      ValueError: a layer without admission, which counts nothing; negative steps.

    ```python
    embed = StackedEmbedding([EmbeddedFeature("user", 5)], dim=8, admission=1)
    embed({"user": tf.constant([0, 1, 1])}, training=True)
    embedding_report(embed, steps=100)[0].admitted  # 2
    ```
    """
    admission = layer.admitted
    if admission is None:
        raise ValueError(f"layer must have admission above 0 to count rows, got {layer.admission}")
    if steps < 0:
        raise ValueError(f"steps must be at least 0, got {steps!r}")
    names = [feature.name for feature in layer.features]
    values = [np.asarray(tf.convert_to_tensor(weight)) for weight in (admission.counts, admission.last_seen)]
    counts, last_seen = (np.split(value, admission.starts[1:]) for value in values)
    lookups, oldest = (
        tf.convert_to_tensor(admission.lookups).numpy(),
        int(tf.convert_to_tensor(admission.steps)) - steps,
    )
    parts = zip(names, counts, last_seen, lookups.tolist(), strict=True)
    return [_feature_rows(*part, admission.sightings, oldest) for part in parts]


def _feature_rows(
    name: str, counts: Any, last_seen: Any, lookups: tuple[int, int], sightings: int, oldest: int
) -> FeatureRows:
    counts, last_seen = counts[:-SPECIAL_ROWS], last_seen[:-SPECIAL_ROWS]
    looked_up, replaced = lookups
    return FeatureRows(
        name=name,
        rows=len(counts),
        seen=int((counts > 0).sum()),
        admitted=int((counts >= sightings).sum()),
        expired=int(((counts > 0) & (last_seen <= oldest)).sum()),
        out_of_vocabulary_share=replaced / looked_up if looked_up else 0.0,
    )


def _of_all_devices(values: tf.Tensor) -> tf.Tensor:
    """What all devices of a synchronous strategy have, one after the other."""
    if tf.distribute.get_strategy().num_replicas_in_sync == 1:
        return values
    return tf.distribute.get_replica_context().all_gather(values, axis=0)
