"""What several models predict for the same data, in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from smooth_recs import keras_generation
from smooth_recs.errors import InputError

BATCH_SIZE = 1024


class Predictions(NamedTuple):
    """`predictions`: float64 [n, R]; `label` and `weight`: [n], None where the data has none."""

    predictions: npt.NDArray[np.float64]
    label: npt.NDArray[Any] | None
    weight: npt.NDArray[Any] | None


def as_dataset(data: Any) -> tf.data.Dataset:
    """A finite data set of batches: `data`, or one of its arrays if it is a tuple (x,), (x, y) or (x, y, weight)."""
    if isinstance(data, tuple):
        try:
            return tf.data.Dataset.from_tensor_slices(data).batch(BATCH_SIZE)
        except ValueError as error:
            raise InputError(f"data must be arrays of the same length, got others: {error}") from error
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
    """

    def __init__(self, models: Sequence[Any], dataset: tf.data.Dataset, from_logits: bool = False) -> None:
        self.dataset = dataset
        x, _, _ = _unpack(dataset.element_spec)

        @tf.function(input_signature=[x])
        def predict(x: Any) -> tf.Tensor:
            outputs = [_column(i, model(x, training=False)) for i, model in enumerate(models)]
            return tf.stack([tf.sigmoid(output) if from_logits else output for output in outputs], axis=1)

        self.predict = predict

    def run(self) -> Predictions:
        """One pass over the data."""
        predictions, labels, weights = [], [], []
        for batch in self.dataset:
            x, label, weight = _unpack(batch)
            predictions.append(self.predict(x).numpy())
            labels.append(label)
            weights.append(weight)
        if not predictions:
            raise InputError("data must have at least one batch, got none")
        return Predictions(np.concatenate(predictions), _joined(labels), _joined(weights))


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
