"""Several models predict a `tf.data` data set together, all of them in one compiled function."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from smooth_recs import keras_generation
from smooth_recs.callbacks.joint_prediction import BATCH_SIZE, JointPredictor, Predictions
from smooth_recs.data.files import untuned
from smooth_recs.errors import InputError


def as_dataset(data: Any) -> tf.data.Dataset:
    """Makes a finite data set of batches of `data`: a data set, or a tuple of arrays (x,), (x, y) or (x, y, weight).

    Raises:
      InputError: arrays of different lengths.
      ValueError: data of another kind, or that never ends.
    """
    if isinstance(data, tuple):
        try:
            tf.data.Dataset.from_tensor_slices(data)
        except ValueError as error:
            raise InputError(f"data must be arrays of the same length, got others: {error}") from error
        # Cut out of the whole; batches put together from single rows take several times as long.
        return untuned(tf.data.Dataset.from_tensors(data).rebatch(BATCH_SIZE))
    if not isinstance(data, tf.data.Dataset):
        raise ValueError(f"data must be a tf.data.Dataset or a tuple of arrays, got a {type(data).__name__}")
    if data.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise ValueError("data must be finite, got a data set that repeats forever")
    return data


class Predictor(JointPredictor):
    """Runs the models batch by batch, all of them in one compiled function that is traced once."""

    _traced: Any = None

    def _predict(self, x: Any) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """What the models predict, [batch, R], or for several tasks [batch, T, R], and the slices' values."""
        probabilities = []
        for i, model in enumerate(self.models):
            if self._tasks:
                probabilities.append(tf.cast(model.task_probabilities(x), tf.float64))
                continue
            output = model(x, training=False)
            if not tf.is_tensor(output) or not (output.shape.rank == 1 or output.shape[1:] == [1]):
                got = output.shape if tf.is_tensor(output) else f"a {type(output).__name__}"
                raise ValueError(
                    f"models must predict one value of shape [batch] or [batch, 1], got {got} from model {i}"
                )
            output = tf.reshape(tf.cast(output, tf.float64), [-1])
            probabilities.append(tf.sigmoid(output) if self._from_logits else output)
        columns = {}
        for name, value_of in self._slices.items():
            values = tf.convert_to_tensor(value_of(x))
            if not (values.shape.rank == 1 or values.shape[1:] == [1]):
                raise ValueError(
                    f"slices must have one value a row, [batch] or [batch, 1], got {values.shape} for {name!r}"
                )
            columns[name] = tf.reshape(values, [-1])
        return tf.stack(probabilities, axis=-1), columns

    def run(self) -> Predictions:
        unpack = keras_generation.keras().utils.unpack_x_y_sample_weight
        if self._traced is None:
            signature = [unpack(self.dataset.element_spec)[0]]
            try:  # AutoGraph takes most of the time of tracing, and few models need it
                traced = tf.function(self._predict, input_signature=signature, autograph=False)
                traced.get_concrete_function()
            except tf.errors.OperatorNotAllowedInGraphError:  # Python's `if` or `for` over a tensor in a model's call
                traced = tf.function(self._predict, input_signature=signature)
            self._traced = traced
        predictions, labels, weights, columns = [], [], [], []
        for batch in self.dataset:
            x, label, weight = unpack(batch)
            predicted, sliced = self._traced(x)
            predictions.append(predicted.numpy())
            columns.append(sliced)
            labels.append(label)
            weights.append(weight)
        if not predictions:
            raise InputError("data must have at least one batch, got none")
        slices = {name: np.concatenate([part[name].numpy() for part in columns]) for name in columns[0]}
        found, weight = np.concatenate(predictions), _joined(weights)
        if not self._tasks:
            return Predictions(found, _joined(labels), weight, slices, {})
        known = None if labels[0] is None else np.concatenate([part.numpy() for part in labels])
        each = [(found[:, k], None if known is None else known[:, k]) for k in range(1 + len(self._tasks))]
        return Predictions(*each[0], weight, slices, dict(zip(self._tasks, each[1:], strict=True)))


def has_label(dataset: tf.data.Dataset) -> bool:
    """True where the batches of a data set have labels."""
    _, label, _ = keras_generation.keras().utils.unpack_x_y_sample_weight(dataset.element_spec)
    return label is not None


def _joined(parts: list[Any]) -> npt.NDArray[Any] | None:
    return None if parts[0] is None else np.concatenate([part.numpy().reshape(-1) for part in parts])
