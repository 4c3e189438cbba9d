"""Several models of Keras 3 on jax or PyTorch predict the same batches, each in the function that Keras compiles."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special

from smooth_recs import keras_generation
from smooth_recs.backends import is_tensor
from smooth_recs.callbacks.joint_prediction import BATCH_SIZE, JointPredictor, Predictions
from smooth_recs.errors import InputError


class Batches:
    """Batches of x, (x, y) or (x, y, sample_weight), which can be gone through again and again.

    Args:
      data: a tuple of arrays, a `keras.utils.PyDataset`, or batches in a list or a `torch.utils.data.DataLoader`.
    """

    def __init__(self, data: Any) -> None:
        self._data = data

    def __iter__(self) -> Iterator[Any]:
        if isinstance(self._data, tuple):
            tree = keras_generation.keras().tree
            rows = len(tree.flatten(self._data)[0])
            for start in range(0, rows, BATCH_SIZE):
                yield tree.map_structure(lambda array, start=start: array[start : start + BATCH_SIZE], self._data)
        elif isinstance(self._data, keras_generation.keras().utils.PyDataset):
            yield from (self._data[i] for i in range(self._data.num_batches))
        else:
            yield from self._data


def as_dataset(data: Any) -> Batches:
    """Makes batches of `data`, a tuple of arrays (x,), (x, y) or (x, y, weight), or what has batches already.

    Raises:
      InputError: arrays of different lengths.
      ValueError: data of another kind, or that never ends.
    """
    keras = keras_generation.keras()
    if isinstance(data, tuple):
        lengths = {len(array) for array in keras.tree.flatten(data)}
        if len(lengths) != 1:
            raise InputError(f"data must be arrays of the same length, got others: {sorted(lengths)} rows")
    elif isinstance(data, keras.utils.PyDataset):
        if data.num_batches is None:
            raise ValueError("data must be finite, got a PyDataset that repeats forever")
    elif not (hasattr(data, "__iter__") and hasattr(data, "__len__")) or isinstance(data, (np.ndarray, str, dict)):
        raise ValueError(
            f"data must be a tuple of arrays, a PyDataset, or batches with a length, got a {type(data).__name__}"
        )
    return Batches(data)


def has_label(dataset: Batches) -> bool:
    """True where the batches have labels."""
    for batch in dataset:
        return keras_generation.keras().utils.unpack_x_y_sample_weight(batch)[1] is not None
    return False


class Predictor(JointPredictor):
    """Runs the models one after the other. They have one task: those of several are on TensorFlow alone."""

    def run(self) -> Predictions:
        predictions, labels, weights = [], [], []
        columns: dict[str, list[Any]] = {name: [] for name in self._slices}
        for model in self.models:  # between steps of a `fit` on jax the weights are in its loop (Keras 3.15)
            getattr(model, "jax_state_sync", lambda: None)()
        for batch in self.dataset:
            x, label, weight = keras_generation.keras().utils.unpack_x_y_sample_weight(batch)
            predictions.append(np.stack([self._predicted(i, x) for i in range(len(self.models))], axis=-1))
            labels.append(label)
            weights.append(weight)
            for name, value_of in self._slices.items():
                columns[name].append(_one_a_row(_array(value_of(x)), "slices must have", f"for {name!r}"))
        if not predictions:
            raise InputError("data must have at least one batch, got none")
        slices = {name: np.concatenate(parts) for name, parts in columns.items()}
        return Predictions(np.concatenate(predictions), _joined(labels), _joined(weights), slices, {})

    def _predicted(self, i: int, x: Any) -> npt.NDArray[np.float64]:
        output = self.models[i].predict_on_batch(x)
        if not isinstance(output, np.ndarray):
            raise ValueError(
                "models must predict one value of shape [batch] or [batch, 1], "
                f"got a {type(output).__name__} from model {i}"
            )
        found = _one_a_row(output, "models must predict", f"from model {i}").astype(np.float64)
        return special.expit(found) if self._from_logits else found


def _one_a_row(values: Any, what: str, of: str) -> Any:
    if not (values.ndim == 1 or values.shape[1:] == (1,)):
        raise ValueError(f"{what} one value of shape [batch] or [batch, 1], got {values.shape} {of}")
    return values.reshape(-1)


def _array(values: Any) -> Any:
    """NumPy's; a tensor of PyTorch may lie on a device, or be part of a graph."""
    return keras_generation.keras().ops.convert_to_numpy(values) if is_tensor(values) else np.asarray(values)


def _joined(parts: list[Any]) -> npt.NDArray[Any] | None:
    return None if parts[0] is None else np.concatenate([_array(part).reshape(-1) for part in parts])
