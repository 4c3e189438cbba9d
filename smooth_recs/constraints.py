"""Row norms of weights (section 2): the function, and a constraint for any Keras layer."""

from __future__ import annotations

import math
from typing import Any

from smooth_recs import keras_generation
from smooth_recs.backends import ops


@ops.not_converted
def normalized_rows(kernel: Any, *, norm_value: float = 1.0, p: float = 2.0) -> Any:
    """Scales every row of the paper's W to L_p norm v: w_j <- v w_j / ||w_j||_p (section 2).

    A Keras kernel is [inputs, units], so a row of W, the weights into one unit, is a column of `kernel`, and norms are
    over axis 0. Rows of zeros stay zeros. The gradient goes through the norm: for p = 2 it is orthogonal to w_j. For
    p = 2 the squares must be in range: in float32 rows of a norm below 1e-19 count as zeros, those above 1e19 become
    zeros.

    Args:
      kernel: [inputs, units], any float dtype.
      norm_value: v.
      p: order of the norm, at least 1; `math.inf` is the largest magnitude.

    Returns:
      A tensor of the shape of `kernel`.

    ```python
    tf.norm(normalized_rows(tf.random.normal([8, 3]), norm_value=2.0), axis=0)  # [2, 2, 2]
    ```
    """
    if ops.is_half(kernel):  # sums over a row need more digits and range than half precision has
        return ops.cast(normalized_rows(ops.cast(kernel, "float32"), norm_value=norm_value, p=p), kernel.dtype)
    if p == 2 and len(kernel.shape) == 2:
        return ops.euclidean_rows(kernel, norm_value)
    # The scale of a row has no effect on the result. Division by the largest magnitude first keeps all powers in range,
    # and this divisor needs no gradient of its own.
    largest = ops.stop_gradient(ops.reduce_max(ops.absolute(kernel), axis=0, keepdims=True))
    scaled = kernel / _one_where(largest == 0, largest)
    if math.isinf(p):
        norm = ops.reduce_max(ops.absolute(scaled), axis=0, keepdims=True)
    else:
        powers = ops.reduce_sum(ops.power(ops.absolute(scaled), p), axis=0, keepdims=True)
        norm = ops.power(_one_where(largest == 0, powers), 1.0 / p)
    return scaled * (norm_value / _one_where(largest == 0, norm))


def _one_where(condition: Any, tensor: Any) -> Any:
    """Replaces a divisor by 1 where it must not divide, before the division: its gradient has to be finite too."""
    return ops.where(condition, ops.ones_like(tensor), tensor)


def validate_norm(norm_value: float, p: float, name: str = "norm_value") -> None:
    """Raises ValueError unless `norm_value`, which users know as `name`, is finite and above 0, and `p` >= 1."""
    if not (math.isfinite(norm_value) and norm_value > 0):
        raise ValueError(f"{name} must be finite and above 0, got {norm_value!r}")
    if not p >= 1:
        raise ValueError(f"p must be at least 1, got {p!r}")


@keras_generation.serializable
class RowNorm(keras_generation.keras().constraints.Constraint):  # type: ignore[misc]
    """Keras constraint that sets every row of the paper's W to L_p norm v after each update (section 2).

    `NormalizedDense` does the same inside the layer, by reparameterisation: the better choice in a new model. The
    constraint suits a layer that exists already. It is not applied where something else than a Keras optimizer updates
    the variable (embeddings on a TPU).

    Args:
      value: the norm v, 1 by default.
      p: order of the norm, at least 1; 2 by default.

    Raises:
      ValueError: value not above 0, p below 1.

    ```python
    tf.keras.layers.Dense(8, kernel_constraint=sr.constraints.RowNorm(1.0))
    ```
    """

    def __init__(self, value: float = 1.0, p: float = 2.0) -> None:
        validate_norm(value, p, name="value")
        self.value = float(value)
        self.p = float(p)

    def __call__(self, w: Any) -> Any:
        return normalized_rows(ops.convert(w), norm_value=self.value, p=self.p)

    def get_config(self) -> dict[str, Any]:
        return {"value": self.value, "p": self.p}
