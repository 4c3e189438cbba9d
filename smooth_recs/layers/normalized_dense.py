"""Dense layers whose rows of weights keep a fixed norm, and the clipping of their outputs (section 2)."""

from __future__ import annotations

import functools
from typing import Any

from smooth_recs import activations, constraints, keras_generation
from smooth_recs.backends import ops
from smooth_recs.layers import compiled


@ops.not_converted
def clip(x: Any, *, limit: float) -> Any:
    """Clips x: min(max(x, -limit), limit). The gradient is 1 where |x| <= limit and 0 elsewhere.

    Args:
      x: any shape, any float dtype. NaN stays NaN.
      limit: above 0.
    """
    return ops.clip_to(x, limit)


def validate_limit(limit: float, name: str = "limit") -> None:
    """Raises ValueError unless `limit`, which users know as `name`, is above 0."""
    if not limit > 0:
        raise ValueError(f"{name} must be above 0, got {limit!r}")


@keras_generation.serializable
class Clip(keras_generation.keras().layers.Layer):  # type: ignore[misc]
    """Clips its input to [-limit, limit], any shape.

    The paper clips activated outputs (section 2), and wants normalisation to keep them inside the limits most of the
    time, since clipping is not smooth (section 5.1).

    Args:
      limit: above 0; the paper's figures use 6 and 4.

    Raises:
      ValueError: limit not above 0.

    ```python
    tf.keras.Sequential([tf.keras.layers.Dense(8, activation="smelu"), sr.layers.Clip(6.0)])
    ```
    """

    def __init__(self, limit: float = 6.0, **kwargs: Any) -> None:
        validate_limit(limit)
        super().__init__(**kwargs)
        self.limit = float(limit)

    def call(self, inputs: Any) -> Any:
        return clip(inputs, limit=self.limit)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "limit": self.limit}

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape


@keras_generation.serializable
class NormalizedDense(keras_generation.keras().layers.Layer):  # type: ignore[misc]
    """clip(f(W~ x + b)), where row j of W~ is v w_j / ||w_j||_p (section 2): weights into a unit have L_p norm v.

    A reparameterisation: `kernel` is trained freely, the gradient goes through the norm, and what an export needs is
    the plain matrix `normalized_kernel()`. Rows of zeros stay finite. With a Keras kernel [inputs, units] a row of the
    paper's W is a column, so norms are over axis 0.

    Args:
      units: width of the output.
      activation: anything that `smooth_recs.activations.get` takes; None for the linear layer.
      norm_value: v.
      p: order of the norm, at least 1.
      clip: activated outputs are clipped to [-clip, clip]; None for no clipping.
      use_bias: adds b.
      kernel_initializer: its scale has no effect on the outputs, but on how fast directions change.
      bias_initializer, kernel_regularizer: as in `tf.keras.layers.Dense`.

    Shapes: [..., inputs] to [..., units].

    Raises:
      ValueError: units below 1, norm_value not above 0, p below 1, clip not above 0, an unknown activation.

    ```python
    layer = sr.layers.NormalizedDense(64, activation="smelu", norm_value=1.0, clip=6.0)
    layer(tf.random.normal([32, 80]))  # [32, 64]
    ```
    """

    def __init__(
        self,
        units: int,
        activation: Any = None,
        norm_value: float = 1.0,
        p: float = 2.0,
        clip: float | None = None,
        *,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        **kwargs: Any,
    ) -> None:
        if units < 1:
            raise ValueError(f"units must be at least 1, got {units!r}")
        constraints.validate_norm(norm_value, p)
        if clip is not None:
            validate_limit(clip, name="clip")
        super().__init__(**kwargs)
        keras = keras_generation.keras()
        self.units = int(units)
        self.activation = activations.get(activation)
        self.norm_value = float(norm_value)
        self.p = float(p)
        self.clip = None if clip is None else float(clip)
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)

    def build(self, input_shape: Any) -> None:
        self.kernel = self.add_weight(
            name="kernel",
            shape=(int(input_shape[-1]), self.units),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            **keras_generation.keeping_dtype(),  # norms are computed in full precision
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(name="bias", shape=(self.units,), initializer=self.bias_initializer)
        self.built = True

    def normalized_kernel(self) -> Any:
        """The normalised kernel [inputs, units]; in deployment it is fixed, and the layer is a plain dense one."""
        normalized = functools.partial(constraints.normalized_rows, norm_value=self.norm_value, p=self.p)
        return compiled.apply(normalized, ops.convert(self.kernel))

    def call(self, inputs: Any) -> Any:
        # The kernel is normalised in float32 and then cast: under mixed precision the sums of squares need its digits.
        outputs = ops.matmul(inputs, ops.cast(self.normalized_kernel(), inputs.dtype))
        if self.bias is not None:
            outputs = ops.bias_add(outputs, ops.convert(self.bias))
        return compiled.apply(self._activated, outputs) if self._compiles() else self._activated(outputs)

    def _compiles(self) -> bool:
        """Whether what follows the product is a function of it alone, and not one operation with it as it is."""
        row = activations.registry.row_of(self.activation)
        if row is None:
            return False  # who knows what it holds
        if isinstance(self.activation, activations.Activation):
            changes = self.activation.moving or self.activation.weights
            own = type(self.activation) is not row.layer or self.activation.activity_regularizer is not None
            return not (changes or own)
        # TensorFlow's own product has ReLU in it.
        return row.served is not activations.registry.Served.RELU or self.clip is not None

    def _activated(self, outputs: Any) -> Any:
        outputs = self.activation(outputs)
        return outputs if self.clip is None else clip(outputs, limit=self.clip)

    def get_config(self) -> dict[str, Any]:
        keras = keras_generation.keras()
        return {
            **super().get_config(),
            "units": self.units,
            "activation": activations.serialize(self.activation),
            "norm_value": self.norm_value,
            "p": self.p,
            "clip": self.clip,
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
        }

    def compute_output_shape(self, input_shape: Any) -> tuple[Any, ...]:
        return (*input_shape[:-1], self.units)
