"""What several models predict for the same rows, and the slices of these rows.

A `JointPredictor` makes it in one pass over the data, and each backend has its own: `_joint_tensorflow` runs one
compiled function for all models, `_joint_keras` each model's own `predict_on_batch`, on the other backends of Keras 3.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping, Sequence
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


class JointPredictor(abc.ABC):
    """Runs R models over the same batches.

    Args:
      models: Keras models that map x to probabilities, [batch] or [batch, 1].
      dataset: batches of x, (x, y) or (x, y, sample_weight), which can be gone through again and again.
      from_logits: the models predict log-odds instead.
      slices: functions of x by name, [batch] or [batch, 1] each.
      tasks: names of further tasks; see `PredictionDifference`.
    """

    def __init__(
        self,
        models: Sequence[Any],
        dataset: Any,
        from_logits: bool = False,
        slices: SliceFunctions | None = None,
        tasks: Sequence[str] = (),
    ) -> None:
        self.models = list(models)
        self.dataset = dataset
        self._from_logits = from_logits
        self._slices = slices or {}
        self._tasks = tuple(tasks)

    @abc.abstractmethod
    def run(self) -> Predictions:
        """Predicts all of the data, in one pass.

        Raises:
          InputError: the data has no batch.
          ValueError: a model or a slice does not have one value a row.
        """
