"""What several models predict for the same rows, and the slices of these rows.

A `JointPredictor` makes it in one pass over the data: `_joint_tensorflow` in one compiled function for all models,
`_joint_keras` with each model's own `predict_on_batch`, on the other backends of Keras 3.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

BATCH_SIZE = 1024

SliceFunctions = Mapping[str, Callable[[Any], Any]]
"""The slices by name: functions of x that give each row's value."""


class Predictions(NamedTuple):
    """The predictions of R models for n rows.

    Attributes:
      predictions: float64 [n, R].
      label, weight: [n]; None where the data has none.
      slices: each row's value, [n], by the name of the slice.
      tasks: the predictions [n, R] and the label [n] of each further task, by its name.
    """

    predictions: npt.NDArray[np.float64]
    label: npt.NDArray[Any] | None
    weight: npt.NDArray[Any] | None
    slices: dict[str, npt.NDArray[Any]]
    tasks: dict[str, tuple[npt.NDArray[np.float64], npt.NDArray[Any] | None]]
