"""Interactions of embeddings and numeric inputs: concatenation, DLRM's dot products, DCN-v2's crosses, DeepFM's sum.

An interaction maps (embeddings [batch, features, dim] or None, dense [batch, m] or None) to [batch, inputs]. One with a
method `logit` also adds to the network's output what it makes of the embeddings alone, [batch, 1]. `Linear` is the wide
part beside the network: a linear model over the same features (section 1.2 mentions such components).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from smooth_recs.config import EmbeddingPrecision
from smooth_recs.layers import EmbeddedFeature, StackedEmbedding


def concatenated(embedded: tf.Tensor | None, dense: tf.Tensor | None) -> tf.Tensor:
    """Puts all inputs side by side, [batch, features * dim + m]."""
    if embedded is None:
        return dense
    flat = tf.reshape(embedded, [-1, embedded.shape[1] * embedded.shape[2]])
    return flat if dense is None else tf.concat([flat, dense], axis=1)


class Concatenation(tf.keras.layers.Layer):
    """All inputs side by side: the paper's input layer (section 2)."""

    def call(self, embedded: tf.Tensor | None, dense: tf.Tensor | None = None) -> tf.Tensor:
        return concatenated(embedded, dense)


def dot_products(vectors: Sequence[tf.Tensor]) -> tf.Tensor:
    """Dot products of all pairs of n vectors, [batch, dim] each: [batch, n (n - 1) / 2].

    They come in the order of `tfrs.layers.feature_interaction.DotInteraction`: (1, 0), (2, 0), (2, 1), ...
    """
    stacked = tf.stack(vectors, axis=1)
    products = tf.reshape(tf.matmul(stacked, stacked, transpose_b=True), [-1, len(vectors) ** 2])
    pairs = [i * len(vectors) + j for i in range(len(vectors)) for j in range(i)]
    return tf.gather(products, tf.constant(pairs, tf.int32), axis=1)


class Dot(tf.keras.layers.Layer):
    """Dot products of all pairs of vectors, beside the dense vector (DLRM, Naumov et al. 2019).

    The dense inputs take part as one more vector: a linear layer brings them to the embeddings' width.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._projection: Any = None

    def build(self, input_shape: Any) -> None:
        self._projection = tf.keras.layers.Dense(input_shape[-1], name="projection")
        super().build(input_shape)

    def call(self, embedded: tf.Tensor, dense: tf.Tensor | None = None) -> tf.Tensor:
        vectors = tf.unstack(embedded, axis=1)
        if dense is None:
            return tf.concat([concatenated(embedded, None), dot_products(vectors)], axis=1)
        vector = self._projection(dense)
        return tf.concat([vector, dot_products([*vectors, vector])], axis=1)


class CrossLayer(tf.keras.layers.Layer):
    """x_0 * (W x + b) + x, as `tfrs.layers.feature_interaction.Cross` computes it."""

    def build(self, input_shape: Any) -> None:
        self._dense = tf.keras.layers.Dense(input_shape[-1], kernel_initializer="truncated_normal")
        self._dense.build(input_shape)
        super().build(input_shape)

    def call(self, first: tf.Tensor, inputs: tf.Tensor) -> tf.Tensor:
        return first * self._dense(inputs) + inputs


class Cross(tf.keras.layers.Layer):
    """x_(i+1) = x_0 * (W x_i + b) + x_i over the concatenated inputs (DCN-v2, Wang et al. 2021, eq. 1).

    Args:
      depth: how many crosses, 2 by default.
    """

    def __init__(self, depth: int = 2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._crosses = [CrossLayer() for _ in range(depth)]

    def call(self, embedded: tf.Tensor | None, dense: tf.Tensor | None = None) -> tf.Tensor:
        first = concatenated(embedded, dense)
        outputs = first
        for cross in self._crosses:
            outputs = cross(first, outputs)
        return outputs


class DeepFM(Concatenation):
    """All inputs side by side for the network, and a factorisation machine of the same embeddings beside it.

    The log-odds get the products of all pairs of embeddings (Rendle 2010, eq. 1, without its linear part, which is
    `Linear`), as in DeepFM (Guo et al. 2017, eqs. 1 and 2):

        sum over i < j of <e_i, e_j> = 1/2 (|sum_i e_i|^2 - sum_i |e_i|^2)

    ```python
    DeepFM().logit(tf.constant([[[1.0, 2.0], [3.0, -1.0]]]))  # [[1.0]]: 1 * 3 - 2 * 1
    ```
    """

    def logit(self, embedded: tf.Tensor) -> tf.Tensor:
        """The sum over the pairs, float32 [batch, 1], of embeddings [batch, features, dim]."""
        vectors = tf.cast(embedded, tf.float32)
        square_of_sum = tf.square(tf.reduce_sum(vectors, axis=1))
        return 0.5 * tf.reduce_sum(square_of_sum - tf.reduce_sum(tf.square(vectors), axis=1), axis=1, keepdims=True)


KINDS: dict[str, Any] = {"concat": Concatenation, "dot": Dot, "cross": Cross, "deepfm": DeepFM}


def by_name(name: str) -> Any:
    """Makes the interaction that a configuration names: `concat`, `dot`, `cross` or `deepfm`."""
    if name not in KINDS:
        raise ValueError(f"interaction must be one of {', '.join(KINDS)}, got {name!r}")
    return KINDS[name]()


class Linear(tf.keras.layers.Layer):
    """The linear part: logits [batch, outputs], the sum of a weight for each categorical value and of weighted numbers.

    Args:
      features: the categorical features.
      numeric: names of the numeric features, float [batch, width] each.
      regularizer: a penalty on the weights of all categorical values; None, the default, for none.
      outputs: how many labels are predicted, each with weights of its own; 1 by default.
      embeddings_dtype: the type in which the weights of categorical values are stored; see `StackedEmbedding`.
    """

    def __init__(
        self,
        features: Sequence[EmbeddedFeature],
        numeric: Sequence[str] = (),
        regularizer: Any = None,
        outputs: int = 1,
        embeddings_dtype: EmbeddingPrecision = "float32",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._numeric = tuple(numeric)
        stored: Any = {"embeddings_regularizer": regularizer, "embeddings_dtype": embeddings_dtype}
        self.table = StackedEmbedding(features, outputs, "zeros", **stored, name="weights") if features else None
        slopes = tf.keras.layers.Dense(outputs, use_bias=False, kernel_initializer="zeros", name="slopes")
        self._slopes = slopes if self._numeric else None

    def call(self, inputs: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        terms = []
        if self.table is not None:
            terms.append(tf.reduce_sum(self.table(inputs, training=training), axis=1))
        if self._slopes is not None:
            terms.append(self._slopes(tf.concat([inputs[name] for name in self._numeric], axis=1)))
        return tf.add_n(terms)
