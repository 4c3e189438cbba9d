"""Embeddings of all features in one table: one lookup and one sparse update a batch.

`StackedEmbedding` is the table. `Columns` is the part of a wider table that belongs to one component of an ensemble.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from smooth_recs import fields, keras_generation
from smooth_recs.config import EmbeddingPrecision
from smooth_recs.errors import InputError
from smooth_recs.layers import embedding_tables
from smooth_recs.layers.admission import SPECIAL_ROWS, Admission
from smooth_recs.schema import Combiner


@dataclasses.dataclass(frozen=True)
class EmbeddedFeature:
    """A feature to look up.

    Attributes:
      name: the name of the input.
      rows: the number of ids, which are 0 to rows - 1.
      max_values: 1 for a single-valued feature; above 1, an example has up to so many values, padded with -1.
      combiner: how the vectors of several values become one: `mean`, `sum` or `sqrtn` (the sum over the square root of
        their number).
    """

    name: str
    rows: int
    max_values: int = 1
    combiner: Combiner = "mean"


@keras_generation.serializable
class StackedEmbedding(keras_generation.keras().layers.Layer):  # type: ignore[misc]
    """Looks up every feature in one stored table, so that a batch costs one gather and one sparse update.

    The rows of feature k follow those of feature k - 1; a feature's own ids start at 0. The same layer serves one
    device, mirrored devices, which exchange the rows of the batch only, and parameter servers, over which the table may
    be sharded.

    Args:
      features: `EmbeddedFeature`s (or dictionaries of their fields). The output has the single-valued ones first.
      dim: width of an embedding.
      embeddings_initializer: the table's initializer, "uniform" by default.
      admission: how often training must have seen an id before it uses a row of its own; until then it uses the
        out-of-vocabulary row of its feature, the one before the last (`admission.Admission`). 0, the default, gives
        every id its row at once. A layer with admission has to know which calls train: `embed(inputs, training=True)`.
      embeddings_regularizer: a penalty on the whole table, every row of it in each step; None, the default, for none.
      embeddings_dtype: the type in which the table is stored: `float32`, the default, or `float16`, half the memory.
        Lookups and gradients are in float32 all the same. The optimizers of `models.generation` round updated rows
        stochastically (`stochastic_rounding`) and keep their own numbers in float32; others do not take such a table.

    Inputs: {name: int64 [batch] or [batch, max_values]}. In the second, -1 is padding; the vector of an example without
      any value is 0.
    Output: [batch, number of features, dim].

    Raises:
      ValueError: dim below 1, an unknown combiner, negative admission, admission where a feature has fewer than 3
        rows, an unknown type, or a regularizer of a table in float16.

    ```python
    embed = StackedEmbedding([EmbeddedFeature("user", 100), EmbeddedFeature("tags", 20, max_values=3)], dim=8)
    embed({"user": tf.constant([5]), "tags": tf.constant([[1, 2, -1]])})  # [1, 2, 8]
    ```
    """

    def __init__(
        self,
        features: Sequence[EmbeddedFeature | Mapping[str, Any]],
        dim: int,
        embeddings_initializer: Any = "uniform",
        admission: int = 0,
        embeddings_regularizer: Any = None,
        embeddings_dtype: EmbeddingPrecision = "float32",
        **kwargs: Any,
    ) -> None:
        checked = checked_features(features, dim)
        fields.check("embeddings_dtype", embeddings_dtype, EmbeddingPrecision)
        if embeddings_regularizer is not None and embeddings_dtype != "float32":
            raise ValueError(f"embeddings_dtype must be float32 with a regularizer, got {embeddings_dtype!r}")
        if admission < 0:
            raise ValueError(f"admission must be at least 0, got {admission!r}")
        for feature in checked:
            if admission and feature.rows <= SPECIAL_ROWS:
                raise ValueError(
                    f"rows of {feature.name!r} must be at least {SPECIAL_ROWS + 1} with admission, got {feature.rows}"
                )
        super().__init__(**kwargs)
        self.features = checked
        self.single, self.multiple = by_kind(self.features)
        self.dim = int(dim)
        self.embeddings_initializer = keras_generation.keras().initializers.get(embeddings_initializer)
        self.embeddings_regularizer = keras_generation.keras().regularizers.get(embeddings_regularizer)
        self.embeddings_dtype = embeddings_dtype
        self.admission = int(admission)
        self.admitted = Admission(self.admission, [f.rows for f in self.features]) if admission else None
        # Both for `models.averaging.RowAverage`: what is told the rows that a training step is about to change, and
        # what reads rows in place of a lookup in the table.
        self.before_update: Callable[[tf.Tensor], None] | None = None
        self.read_rows: Callable[[tf.Tensor], tf.Tensor] | None = None

    def build(self, input_shape: Any) -> None:
        self.embeddings = self.add_weight(
            name="embeddings",
            shape=(sum(feature.rows for feature in self.features), self.dim),
            initializer=embedding_tables.in_place(self.embeddings_initializer),
            regularizer=self.embeddings_regularizer,
            dtype=self.embeddings_dtype if self.embeddings_dtype != "float32" else None,
            **keras_generation.keeping_dtype(),  # casting the rows of a batch is cheaper than casting the table
        )
        if self.admitted is not None and not self.admitted.built:  # they may be those of another layer
            self.admitted.build(input_shape)
        self.built = True

    def call(self, inputs: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        parts = self._rows(inputs)
        # One gather for all features, of flat rows; padding reads row 0, which `_combined` leaves out.
        rows = tf.concat(parts, axis=1)
        flat = tf.reshape(rows, [-1])
        if self.admitted is not None:
            flat = self.admitted(flat, training=training)
        flat = tf.maximum(flat, 0)
        if training and self.before_update is not None:
            self.before_update(flat)
        found = embedding_tables.lookup(self.embeddings, flat) if self.read_rows is None else self.read_rows(flat)
        vectors = tf.cast(found, self.compute_dtype)
        vectors = tf.reshape(vectors, tf.concat([tf.shape(rows), [self.dim]], axis=0))
        if self.multiple:
            vectors = self._combined(vectors, parts)
        # The number of values of a feature may be unknown while tracing, as in an export; that of features never is.
        return tf.ensure_shape(vectors, [None, len(self.features), self.dim])

    # AutoGraph would rewrite the loops over features here and below, to no effect but longer tracing.
    @tf.autograph.experimental.do_not_convert
    def _rows(self, inputs: Mapping[str, tf.Tensor]) -> list[tf.Tensor]:
        """Rows of the table, int64: [batch, features] of the single-valued ones, then [batch, values] of each other."""
        starts = itertools.accumulate((feature.rows for feature in self.features), initial=0)
        offsets = {feature.name: start for feature, start in zip(self.features, starts, strict=False)}
        if lacking := [feature.name for feature in self.features if feature.name not in inputs]:
            raise InputError(f"inputs must have all features, got none for {', '.join(map(repr, lacking))}")
        parts = []
        if self.single:
            columns = [tf.cast(inputs[feature.name], tf.int64) for feature in self.single]
            for feature, column in zip(self.single, columns, strict=True):
                if column.shape.rank not in (1, None):
                    raise InputError(f"{feature.name} must be [batch], an id a row, got the shape {column.shape}")
            parts.append(tf.stack(columns, axis=1) + [offsets[feature.name] for feature in self.single])
        for feature in self.multiple:
            ids = tf.cast(inputs[feature.name], tf.int64)
            parts.append(tf.where(ids < 0, ids, ids + offsets[feature.name]))
        return parts

    @tf.autograph.experimental.do_not_convert
    def _combined(self, vectors: tf.Tensor, parts: Sequence[tf.Tensor]) -> tf.Tensor:
        """Combines the values of each multi-valued feature: [batch, all values, dim] to [batch, features, dim]."""
        pieces = tf.split(vectors, [tf.shape(part)[1] for part in parts], axis=1)
        first = len(parts) - len(self.multiple)
        combined = pieces[:first]
        for feature, ids, piece in zip(self.multiple, parts[first:], pieces[first:], strict=True):
            present = tf.cast(ids >= 0, piece.dtype)[:, :, None]
            total = tf.reduce_sum(piece * present, axis=1, keepdims=True)
            if feature.combiner != "sum":
                count = tf.maximum(tf.reduce_sum(present, axis=1, keepdims=True), 1.0)
                total = total / (count if feature.combiner == "mean" else tf.sqrt(count))
            combined.append(total)
        return tf.concat(combined, axis=1)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "features": [dataclasses.asdict(feature) for feature in self.features],
            "dim": self.dim,
            "embeddings_initializer": keras_generation.keras().initializers.serialize(self.embeddings_initializer),
            "admission": self.admission,
            "embeddings_regularizer": keras_generation.keras().regularizers.serialize(self.embeddings_regularizer),
            "embeddings_dtype": self.embeddings_dtype,
        }


def checked_features(features: Sequence[EmbeddedFeature | Mapping[str, Any]], dim: int) -> list[EmbeddedFeature]:
    """Makes the features of an embedding layer; raises ValueError for a bad combiner or width."""
    if dim < 1:
        raise ValueError(f"dim must be at least 1, got {dim!r}")
    found = [f if isinstance(f, EmbeddedFeature) else EmbeddedFeature(**f) for f in features]
    for feature in found:
        if feature.combiner not in fields.choices(Combiner):
            raise ValueError(f"combiner of {feature.name!r} must be mean, sum or sqrtn, got {feature.combiner!r}")
    return found


def by_kind(features: Sequence[EmbeddedFeature]) -> tuple[list[EmbeddedFeature], list[EmbeddedFeature]]:
    """Splits features into the single-valued and the multi-valued ones, the order in which the output has them."""
    return [f for f in features if f.max_values == 1], [f for f in features if f.max_values > 1]


class Columns(keras_generation.keras().layers.Layer):  # type: ignore[misc]
    """Part k of M equal parts of the embeddings that a wider layer looks up.

    Components that share the wider layer cost one lookup: `EnsembleModel` looks up once and gives each its `part`.

    Args:
      shared: a `StackedEmbedding` (or `TPUStackedEmbedding`) of M d columns.
      index: k, from 0.
      of: M.

    Inputs: those of `shared`. Output: [batch, features, d].

    Raises:
      ValueError: `shared` cannot be divided into M parts, or has no part k.

    ```python
    shared = StackedEmbedding([EmbeddedFeature("user", 100)], dim=6)
    Columns(shared, index=2, of=3)({"user": tf.constant([5])})  # [1, 1, 2]: the last two of its six columns
    ```
    """

    def __init__(self, shared: Any, index: int, of: int, **kwargs: Any) -> None:
        if of < 1 or shared.dim % of:
            raise ValueError(f"of must divide the {shared.dim} columns of shared, got {of!r}")
        if not 0 <= index < of:
            raise ValueError(f"index must be at least 0 and below {of}, got {index!r}")
        super().__init__(**kwargs)
        self.shared = shared
        self.index = int(index)
        self.of = int(of)
        self.dim = shared.dim // self.of

    def call(self, inputs: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        return self.part(self.shared(inputs, training=training))

    def part(self, vectors: tf.Tensor) -> tf.Tensor:
        """Takes the columns of this part, [..., d], of vectors [..., M d]."""
        return vectors[..., self.index * self.dim : (self.index + 1) * self.dim]

    def alone(self) -> StackedEmbedding:
        """Makes a layer of its own with the values that these columns have now; `shared` still counts the ids."""
        features = self.shared.features
        if isinstance(self.shared, StackedEmbedding):
            table = tf.convert_to_tensor(self.shared.embeddings)
        else:  # a TPUStackedEmbedding has a table a feature
            parts = [tf.convert_to_tensor(self.shared.tables[feature.name]) for feature in features]
            table = tf.concat(parts, axis=0)
        dtype: EmbeddingPrecision = getattr(self.shared, "embeddings_dtype", "float32")
        layer = StackedEmbedding(features, self.dim, "zeros", name=self.shared.name, embeddings_dtype=dtype)
        # Before `build`, after which a layer of Keras 3 takes no other layers.
        layer.admission, layer.admitted = getattr(self.shared, "admission", 0), getattr(self.shared, "admitted", None)
        layer.build(None)
        layer.embeddings.assign(self.part(table))
        return layer
