"""What several models predict for the same data, in one pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from smooth_recs import keras_generation
from smooth_recs.data.files import untuned
from smooth_recs.errors import InputError

BATCH_SIZE = 1024

SliceFunctions = Mapping[str, Callable[[Any], Any]]
"""By the name of a slice's title the function of x that gives each row's value."""


class Predictions(NamedTuple):
    """`predictions`: float64 [n, R]; `label` and `weight`: [n], None where the data has none; `slices`: [n] by name."""

    predictions: npt.NDArray[np.float64]
    label: npt.NDArray[Any] | None
    weight: npt.NDArray[Any] | None
    slices: dict[str, npt.NDArray[Any]]


def as_dataset(data: Any) -> tf.data.Dataset:
    """A finite data set of batches: `data`, or one of its arrays if it is a tuple (x,), (x, y) or (x, y, weight)."""
    if isinstance(data, tuple):
        try:
            tf.data.Dataset.from_tensor_slices(data)
        except ValueError as error:
            raise InputError(f"data must be arrays of the same length, got others: {error}") from error
        # Put together from single rows the same batches would take several times as long.
        return untuned(tf.data.Dataset.from_tensors(data).rebatch(BATCH_SIZE))
    if not isinstance(data, tf.data.Dataset):
        raise ValueError(f"data must be a tf.data.Dataset or a tuple of arrays, got a {type(data).__name__}")
    if data.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise ValueError("data must be finite, got a data set that repeats forever")
    return data


class JointPredictor:
    """Runs R models over a data set, batch by batch, all of them in one compiled function that is traced once.

    Args:
      models: Keras models that map x to probabilities, [batch] or [batch, 1].
      dataset: batches of x, (x, y) or (x, y, sample_weight).
      from_logits: the models predict log-odds instead.
      slices: functions of x by name, [batch] each.
    """

    def __init__(
        self,
        models: Sequence[Any],
        dataset: tf.data.Dataset,
        from_logits: bool = False,
        slices: SliceFunctions | None = None,
    ) -> None:
        self.models = list(models)
        self.dataset = dataset
        self._from_logits = from_logits
        self._slices = slices or {}
        self._traced: Any = None

    def _predict(self, x: Any) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        outputs = [_column(i, model(x, training=False)) for i, model in enumerate(self.models)]
        probabilities = [tf.sigmoid(output) if self._from_logits else output for output in outputs]
        columns = {name: _slice_column(name, of(x)) for name, of in self._slices.items()}
        return tf.stack(probabilities, axis=1), columns

    def _trace(self) -> Any:
        """`_predict`, compiled. AutoGraph takes most of the time of tracing, and few models need it."""
        x, _, _ = _unpack(self.dataset.element_spec)
        try:
            function = tf.function(self._predict, input_signature=[x], autograph=False)
            function.get_concrete_function()
        except tf.errors.OperatorNotAllowedInGraphError:  # Python's `if` or `for` over a tensor in a model's call
            function = tf.function(self._predict, input_signature=[x])
        return function

    def run(self) -> Predictions:
        """One pass over the data."""
        self._traced = self._traced or self._trace()
        predictions, labels, weights, columns = [], [], [], []
        for batch in self.dataset:
            x, label, weight = _unpack(batch)
            predicted, sliced = self._traced(x)
            predictions.append(predicted.numpy())
            columns.append(sliced)
            labels.append(label)
            weights.append(weight)
        if not predictions:
            raise InputError("data must have at least one batch, got none")
        slices = {name: np.concatenate([part[name].numpy() for part in columns]) for name in columns[0]}
        return Predictions(np.concatenate(predictions), _joined(labels), _joined(weights), slices)


def has_label(dataset: tf.data.Dataset) -> bool:
    return _unpack(dataset.element_spec)[1] is not None


def _unpack(batch: Any) -> tuple[Any, Any, Any]:
    unpacked: tuple[Any, Any, Any] = keras_generation.keras().utils.unpack_x_y_sample_weight(batch)
    return unpacked


def _column(number: int, output: Any) -> tf.Tensor:
    if not tf.is_tensor(output) or not (output.shape.rank == 1 or output.shape[1:] == [1]):
        got = output.shape if tf.is_tensor(output) else f"a {type(output).__name__}"
        raise ValueError(f"models must predict one value of shape [batch] or [batch, 1], got {got} from model {number}")
    return tf.reshape(tf.cast(output, tf.float64), [-1])


def _joined(parts: list[Any]) -> npt.NDArray[Any] | None:
    return None if parts[0] is None else np.concatenate([part.numpy().reshape(-1) for part in parts])


def _slice_column(name: str, values: Any) -> tf.Tensor:
    """One value a row, [batch]."""
    values = tf.convert_to_tensor(values)
    if not (values.shape.rank == 1 or values.shape[1:] == [1]):
        raise ValueError(f"slices must have one value a row, [batch] or [batch, 1], got {values.shape} for {name!r}")
    return tf.reshape(values, [-1])
