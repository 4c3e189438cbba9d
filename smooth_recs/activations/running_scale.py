"""The running root mean square of what reaches an activation: the scale that a relative width is a share of."""

from __future__ import annotations

from typing import Any

from smooth_recs import keras_generation
from smooth_recs.backends import ops

WINDOW = 100  # steps after which an old batch counts less and less: by then each new one has a weight of 1/100


class RunningScale(keras_generation.keras().layers.Layer):  # type: ignore[misc]
    """The root mean square r of the inputs, tracked while training and fixed elsewhere.

        m_n = (1 - 1/k) m_(n-1) + 1/k mean(x_n^2),  k = min(n, 100),  r = sqrt(m_n)

    after the n-th training step: the plain mean over the first 100 batches, then a running one. In that step r has the
    batch in it already. Before the first step r is 1. No gradient goes through r.

    Under a strategy whose devices train in step the mean is over the rows of all devices, and their copies stay equal.
    With parameter servers each worker's batch moves the one shared mean towards its own, by the same formula: two that
    write at once lose one of both batches, and the mean stays between those of the batches.

    A batch without rows or with an infinite mean changes nothing, and nothing is tracked where `trainable` is False.

    Args:
      per: "layer", one number over all axes, or "unit", one for each index of the last axis.

    Weights, none trainable, float32 in every precision: `mean_square` (m), of shape [] or [units]; `steps` (k), [].

    Input: any shape. Output: r, float32, [] or [units].
    """

    def __init__(self, per: str, **kwargs: Any) -> None:
        # Keras casts what comes in to the layer's type: squares of bfloat16 have 3 digits, those of float16 overflow.
        super().__init__(**{"name": "scale", **kwargs, "dtype": "float32"})
        self.supports_masking = True
        self.per = per

    def build(self, input_shape: Any) -> None:
        shape = (int(input_shape[-1]),) if self.per == "unit" else ()
        self.mean_square = self.add_weight(name="mean_square", shape=shape, initializer="ones", trainable=False)
        self.steps = self.add_weight(name="steps", shape=(), initializer="zeros", trainable=False)
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        if training and self.trainable:
            return ops.sqrt(self._track(ops.stop_gradient(inputs)))
        return self.root()

    def root(self) -> Any:
        """r as it is now."""
        return ops.sqrt(ops.convert(self.mean_square)) if self.built else ops.one()

    def _track(self, x: Any) -> Any:
        """Adds a batch, and returns the mean square with it."""
        axes = tuple(range(len(x.shape) - 1)) if self.per == "unit" else None
        total = ops.reduce_sum(ops.square(x), axes)
        total, count = ops.sum_over_devices([total, ops.count(x) / ops.count(total)])
        batch = total / count
        counts = ops.is_finite(batch)  # not so without rows: 0 / 0
        before = ops.convert(self.mean_square)
        steps = ops.convert(self.steps) + ops.cast(ops.reduce_any(counts), "float32")
        steps = ops.minimum(steps, WINDOW)
        # Not `before + (batch - before) / steps`: in the first step a batch far below 1 would be rounded away.
        share = ops.divide_no_nan(1.0, steps)
        now = ops.where(counts, (1 - share) * before + share * ops.where(counts, batch, before), before)
        self.mean_square.assign(now)
        self.steps.assign(steps)
        return now

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (int(input_shape[-1]),) if self.per == "unit" else ()

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "per": self.per}
