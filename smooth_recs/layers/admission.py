"""Frequency admission: an id gets a row of its own once training has seen it often enough."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from smooth_recs import keras_generation
from smooth_recs.layers import embedding_tables

SPECIAL_ROWS = 2  # the last rows of every feature: out of vocabulary, and missing (`data.encoding.Encoder`)
_ENOUGH = 2**30  # sightings at which counting ends, so that no int32 overflows in a stream without end


class Admission(keras_generation.keras().layers.Layer):  # type: ignore[misc]
    """Sends an id that was seen fewer than `sightings` times to the out-of-vocabulary row of its feature.

    The batches before it decide what a batch may use: an id seen for the first time takes the out-of-vocabulary row in
    all its places in that step. Each call with `training=True` is one training step and counts its ids, those of all
    devices of a synchronous strategy together.

    Args:
      sightings: at least 1.
      rows: how many rows each feature has in the stacked table. The last two are out of vocabulary and missing, which
        need no admission.

    Input: rows of the stacked table, int64 [n], -1 for padding. Output: the rows to use, int64 [n], padding kept.

    Weights, none trainable: `counts` (sightings) and `last_seen` (the step, from 1; 0 is never), int32 [all rows];
    `steps`, int32; `lookups`, int64 [features, 2]: all lookups in training, and those that took the out-of-vocabulary
    row.
    """

    def __init__(self, sightings: int, rows: Sequence[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.sightings = sightings
        self.rows = tuple(rows)
        self.starts = tuple(itertools.accumulate(self.rows[:-1], initial=0))

    def build(self, input_shape: Any) -> None:
        del input_shape
        add = functools.partial(self.add_weight, initializer="zeros", trainable=False)
        self.counts = add(name="counts", shape=(sum(self.rows),), dtype="int32")
        self.last_seen = add(name="last_seen", shape=(sum(self.rows),), dtype="int32")
        self.steps = add(name="steps", shape=(), dtype="int32")
        self.lookups = add(name="lookups", shape=(len(self.rows), 2), dtype="int64")
        self.built = True

    def call(self, ids: tf.Tensor, training: bool = False) -> tf.Tensor:
        rows = tf.maximum(ids, 0)
        _, out_of_vocabulary = self._feature(rows)
        # Padding is -1, and special rows need no admission: both are used as they are.
        enough = embedding_tables.lookup(self.counts, rows) >= self.sightings
        used = tf.where(enough | (ids < 0) | (ids >= out_of_vocabulary), ids, out_of_vocabulary)
        if training:
            pairs = tf.stack([ids, used], axis=1)
            if tf.distribute.get_strategy().num_replicas_in_sync > 1:
                # Every device updates its own copy of the counts, by the ids of all devices: the copies stay equal.
                pairs = tf.distribute.get_replica_context().all_gather(pairs, axis=0)
            self._record(pairs[:, 0], pairs[:, 1])
        return used

    def _record(self, ids: tf.Tensor, used: tf.Tensor) -> None:
        """Counts one step: the ids, and the rows that they used. Padding adds 0 to row 0."""
        rows, present = tf.maximum(ids, 0), tf.cast(ids >= 0, tf.int32)
        feature, out_of_vocabulary = self._feature(rows)
        step = tf.convert_to_tensor(self.steps) + 1
        more = present * tf.cast(embedding_tables.lookup(self.counts, rows) < _ENOUGH, tf.int32)
        replaced = present * tf.cast(tf.equal(used, out_of_vocabulary), tf.int32)
        lookups = tf.math.unsorted_segment_sum(tf.stack([present, replaced], axis=1), feature, len(self.rows))
        embedding_tables.local(self.counts).scatter_add(tf.IndexedSlices(more, rows))
        embedding_tables.local(self.last_seen).scatter_max(tf.IndexedSlices(present * step, rows))
        embedding_tables.local(self.lookups).assign_add(tf.cast(lookups, tf.int64))
        embedding_tables.local(self.steps).assign_add(1)

    def _feature(self, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Finds the number of the feature that each row belongs to, int32 [n], and its out-of-vocabulary row."""
        feature = tf.searchsorted(tf.constant(self.starts, tf.int64), rows, side="right") - 1
        special = [start + rows - SPECIAL_ROWS for start, rows in zip(self.starts, self.rows, strict=True)]
        return feature, tf.gather(tf.constant(special, tf.int64), feature)


@dataclasses.dataclass(frozen=True)
class FeatureRows:
    """How the rows of one feature are used.

    Attributes:
      name: the feature's.
      rows: how many rows known values have; the out-of-vocabulary and the missing row are left out, here and below.
      seen: how many of these were seen in training.
      admitted: how many their ids use by now.
      expired: how many were seen, but not lately.
      out_of_vocabulary_share: the share of the feature's lookups in training that took the out-of-vocabulary row,
        because the value was unknown or not admitted yet; 0 where there were no lookups.
    """

    name: str
    rows: int
    seen: int
    admitted: int
    expired: int
    out_of_vocabulary_share: float


def embedding_report(layer: Any, steps: int) -> list[FeatureRows]:
    """Counts, for each feature, the rows of a `StackedEmbedding` with admission that are in use and that could go.

    Args:
      layer: a built layer with `admission` above 0.
      steps: a row that was not seen in the last `steps` training steps counts as expired.

    Raises:
      ValueError: the layer has no admission, so it counts nothing, or `steps` is negative.

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
    counts, last_seen, lookups = (
        tf.convert_to_tensor(weight).numpy() for weight in (admission.counts, admission.last_seen, admission.lookups)
    )
    oldest = int(tf.convert_to_tensor(admission.steps)) - steps
    report = []
    for k, (feature, start, rows) in enumerate(zip(layer.features, admission.starts, admission.rows, strict=True)):
        known = slice(start, start + rows - SPECIAL_ROWS)
        looked_up, replaced = lookups[k].tolist()
        report.append(
            FeatureRows(
                name=feature.name,
                rows=rows - SPECIAL_ROWS,
                seen=int((counts[known] > 0).sum()),
                admitted=int((counts[known] >= admission.sightings).sum()),
                expired=int(((counts[known] > 0) & (last_seen[known] <= oldest)).sum()),
                out_of_vocabulary_share=replaced / looked_up if looked_up else 0.0,
            )
        )
    return report
