"""Weights that change over a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf


class Ramp:
    """A weight that goes linearly from one value, at step 0, to another, at the end of the run, and stays there.

    Args:
      value: a number, which is the weight throughout, or two: first and last.
      total_steps: of the run, at least 1.

    Attributes:
      active: False where the weight is 0 throughout, so that what it weighs need not be computed.

    Raises:
      ValueError: not one or two numbers, one below 0, or total_steps below 1.

    ```python
    Ramp((0.0, 1.0), total_steps=1000)(250)  # 0.25
    ```
    """

    def __init__(self, value: float | Sequence[float], total_steps: int = 1) -> None:
        values = tuple(value) if isinstance(value, Sequence) else (value,)
        if len(values) not in (1, 2) or not all(number >= 0 for number in values):
            raise ValueError(f"value must be one or two numbers of at least 0, got {value!r}")
        if total_steps < 1:
            raise ValueError(f"total_steps must be at least 1, got {total_steps!r}")
        self.first, self.last = float(values[0]), float(values[-1])
        self.total_steps = int(total_steps)

    @property
    def active(self) -> bool:
        return max(self.first, self.last) > 0

    def __call__(self, iterations: Any) -> tf.Tensor:
        """The weight after so many steps, float32, of the shape of `iterations`."""
        share = tf.minimum(tf.cast(iterations, tf.float32) / self.total_steps, 1.0)
        return self.first * (1.0 - share) + self.last * share
