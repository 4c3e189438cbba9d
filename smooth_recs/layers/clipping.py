"""Clipping of hidden activations for numerical stability (section 2)."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from smooth_recs import keras_generation


@tf.autograph.experimental.do_not_convert
def clip(x: tf.Tensor, *, limit: float) -> tf.Tensor:
    """min(max(x, -limit), limit); the gradient is 1 where |x| <= limit and 0 elsewhere.

    The same values and gradients as `tf.clip_by_value`, in fewer passes over `x`.

    Args:
      x: any shape, any float dtype. NaN stays NaN.
      limit: above 0.
    """

    bound = x.dtype.as_numpy_dtype(limit)
    beyond = np.nextafter(bound, x.dtype.as_numpy_dtype(np.inf))  # the first number that is clipped

    @tf.custom_gradient
    def clipped(x: tf.Tensor) -> Any:
        def gradient(upstream: tf.Tensor) -> tf.Tensor:  # where beyond - |x| > 0; to make and cast booleans is slower
            return tf.raw_ops.ReluGrad(gradients=upstream, features=tf.constant(beyond, x.dtype) - tf.abs(x))

        return tf.raw_ops.ClipByValue(t=x, clip_value_min=-bound, clip_value_max=bound), gradient

    return clipped(x)


def validate_limit(limit: float, name: str = "limit") -> None:
    """Raises ValueError unless `limit`, which the user knows as `name`, is above 0."""
    if not limit > 0:
        raise ValueError(f"{name} must be above 0, got {limit!r}")


@keras_generation.serializable
class Clip(keras_generation.keras().layers.Layer):  # type: ignore[misc]
    """Clips its input to [-limit, limit], any shape.

    Section 2 clips activated outputs, and section 5.1 adds that normalisation should keep activations inside the
    range: clipping is not smooth.

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

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return clip(inputs, limit=self.limit)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "limit": self.limit}

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape
