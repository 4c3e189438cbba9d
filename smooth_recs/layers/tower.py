"""A stack of hidden layers: the network between the embeddings and the output layer (section 2)."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any

from smooth_recs import activations, fields, keras_generation
from smooth_recs.backends import ops
from smooth_recs.config import Normalization
from smooth_recs.layers.normalized_dense import Clip, NormalizedDense, validate_limit


@keras_generation.serializable
class Tower(keras_generation.keras().layers.Layer):  # type: ignore[misc]
    """Hidden layers clip(f(norm(W x + b))): fully connected, normalised, activated, clipped, in this order.

    The input (the embeddings) is not activated, and the output layer, which is not part of the tower, is not
    normalised.

    Args:
      hidden_units: width of each layer.
      activation: one specification for all layers, or a sequence of them, one a layer: anything that
        `smooth_recs.activations.get` takes. A sequence can have wide transitions near the input and narrow ones near
        the output (section 5.1). A layer object given once is shared by all layers.
      normalization: `weight` (`NormalizedDense`), `layer`, `batch` (Keras' own, between W x + b and f) or `none`.
      norm_value: v of weight normalisation.
      clip: limit of the activated outputs; None for no clipping.
      dropout: rate after each layer, while training.
      l2: weight of the L2 penalty on each kernel, 0 for none.
      dropout_seed: towers with equal seeds drop the same units in the same steps; None leaves it to chance.

    Raises:
      ValueError: hidden_units that are no whole numbers, an unknown normalization or activation, another number of
        activations than of layers, norm_value or clip not above 0, dropout outside [0, 1), l2 below 0.

    Shapes: [batch, inputs] to [batch, hidden_units[-1]]; with no hidden units, the identity.

    ```python
    tower = sr.layers.Tower([256, 128, 64], activation="smelu", norm_value=1.0, clip=6.0)
    tower(tf.random.normal([32, 80]))  # [32, 64]
    ```
    """

    _self_hidden: Any = None

    def __init__(
        self,
        hidden_units: Sequence[int],
        activation: Any = "smelu",
        normalization: Normalization = "weight",
        norm_value: float = 1.0,
        clip: float | None = None,
        dropout: float = 0.0,
        l2: float = 0.0,
        dropout_seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        fields.check("normalization", normalization, Normalization)
        widths: list[Any] = list(hidden_units) if hasattr(hidden_units, "__iter__") else [None]
        if not all(isinstance(each, numbers.Real) and float(each) >= 1 and float(each).is_integer() for each in widths):
            raise ValueError(f"hidden_units must be whole numbers of at least 1, one a layer, got {hidden_units!r}")
        if isinstance(activation, (list, tuple)) and len(activation) != len(hidden_units):
            raise ValueError(
                f"activation must be one specification or one a layer, got {len(activation)} for "
                f"{len(hidden_units)} layers"
            )
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must be at least 0 and below 1, got {dropout!r}")
        if not l2 >= 0:
            raise ValueError(f"l2 must be at least 0, got {l2!r}")
        if clip is not None:
            validate_limit(clip, name="clip")
        super().__init__(**kwargs)
        self.hidden_units = tuple(map(int, widths))
        self.activation = activation
        self.normalization = normalization
        self.norm_value = float(norm_value)
        self.clip = clip
        self.dropout = float(dropout)
        self.l2 = float(l2)
        self.dropout_seed = dropout_seed
        several = isinstance(activation, (list, tuple))
        chosen = list(activation) if several else [activation] * len(self.hidden_units)
        layers = enumerate(zip(self.hidden_units, chosen, strict=True))
        # One flat list: neither Keras (tf_keras 2.21, Keras 3.15) saves layers in a list of lists.
        self.hidden = [part for position, (units, f) in layers for part in self._parts(position, units, f)]

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Tower:
        config = dict(config)
        if config.pop("shared_activation", False):  # one object for all layers, where its configuration means one each
            config["activation"] = activations.get(config["activation"])
        return cls(**config)

    def _parts(self, position: int, units: int, activation: Any) -> list[Any]:
        """Makes the Keras layers of one hidden layer, in the order in which they are applied."""
        layers, dtype = keras_generation.keras().layers, self.dtype_policy
        penalty = keras_generation.keras().regularizers.L2(self.l2) if self.l2 else None
        # Layer and batch normalisation go between W x + b and the activation (section 2), so these are Keras layers one
        # after the other, where weight normalisation needs only one.
        if self.normalization == "weight":
            v, c = self.norm_value, self.clip
            parts = [NormalizedDense(units, activation, v, clip=c, kernel_regularizer=penalty, dtype=dtype)]
        else:
            parts = [layers.Dense(units, kernel_regularizer=penalty, dtype=dtype)]
            if self.normalization == "layer":
                parts.append(layers.LayerNormalization(dtype=dtype))
            elif self.normalization == "batch":
                parts.append(layers.BatchNormalization(dtype=dtype))
            parts.append(layers.Activation(activations.get(activation), dtype=dtype))
            if self.clip is not None:
                parts.append(Clip(self.clip, dtype=dtype))
        if self.dropout:
            # Each layer drops units of its own; towers with equal seeds drop the same ones.
            seed = None if self.dropout_seed is None else self.dropout_seed + position
            parts.append(_dropout_layer()(self.dropout, seed=seed, dtype=dtype))
        return parts

    def build(self, input_shape: Any) -> None:
        shape = tuple(input_shape)
        for part in self.hidden:
            if not part.built:
                with ops.name_scope(part.name):  # tf_keras (2.21) writes HDF5 files by names, which must differ
                    part.build(shape)
            shape = part.compute_output_shape(shape)
            inner = getattr(part, "activation", None)
            # Not left to the first call: Keras 3 (3.15) loads a model's weights before it.
            if isinstance(inner, activations.Activation) and not inner.built:
                inner.build(shape)
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        keras = keras_generation.keras()
        takes_training = (keras.layers.BatchNormalization, keras.layers.Dropout)  # the others refuse the argument
        outputs = inputs
        for part in self.hidden:
            outputs = part(outputs, training=training) if isinstance(part, takes_training) else part(outputs)
        return outputs

    def _trackable_children(self, save_type: str = "checkpoint", **kwargs: Any) -> dict[str, Any]:
        """Shows `hidden` to `tf.train.Checkpoint` in Keras 3 as well, which (3.15) leaves out what lies in lists."""
        children: dict[str, Any] = super()._trackable_children(save_type, **kwargs)
        if save_type == "checkpoint" and not keras_generation.is_legacy():
            import tensorflow as tf  # other backends have no checkpoints

            if self._self_hidden is None:  # the same object each time; Keras leaves the attribute alone
                parts = {str(place): part for place, part in enumerate(self.hidden)}
                object.__setattr__(self, "_self_hidden", tf.train.Checkpoint(**parts))
            children["hidden"] = self._self_hidden
        return children

    def get_config(self) -> dict[str, Any]:
        def plain(f: Any) -> Any:
            return f if f is None or isinstance(f, (str, dict)) else activations.serialize(f)

        shared = isinstance(self.activation, keras_generation.keras().layers.Layer)
        several = isinstance(self.activation, (list, tuple))
        activation = [plain(f) for f in self.activation] if several else plain(self.activation)
        return {
            **super().get_config(),
            "hidden_units": list(self.hidden_units),
            "activation": activation,
            **({"shared_activation": True} if shared else {}),
            "normalization": self.normalization,
            "norm_value": self.norm_value,
            "clip": self.clip,
            "dropout": self.dropout,
            "l2": self.l2,
            "dropout_seed": self.dropout_seed,
        }

    def compute_output_shape(self, input_shape: Any) -> tuple[Any, ...]:
        return (*input_shape[:-1], self.hidden_units[-1] if self.hidden_units else input_shape[-1])


def _dropout_layer() -> Any:
    """Ours, whose random state is in checkpoints of TensorFlow; Keras' own on other backends, which have none."""
    if keras_generation.backend() != "tensorflow":
        return keras_generation.keras().layers.Dropout
    from smooth_recs.layers.dropout import Dropout

    return Dropout
