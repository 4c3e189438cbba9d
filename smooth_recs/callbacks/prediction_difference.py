"""Prediction difference, measured while the models train."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from smooth_recs import accuracy, keras_generation, prediction_difference
from smooth_recs.callbacks.joint_predictions import JointPredictor, Predictions, as_dataset, has_label
from smooth_recs.errors import InputError

NAN = float("nan")


class PredictionDifference(keras_generation.keras().callbacks.Callback):  # type: ignore[misc]
    """Measures the relative PD of two or more models (eq. 2) on held-out data, at every epoch's end and in between.

    `pd`, the mean over the pairs of models, goes into `logs`: the progress bar shows it, `History` keeps it, and
    callbacks that come after this one in the list see it, such as `EarlyStopping(monitor="pd", mode="min")`. Where the
    data has labels so do `auc` and `log_loss`, means over the models.

    Args:
      data: a finite `tf.data.Dataset` of batches, or a tuple of arrays: x, (x, y) or (x, y, sample_weight).
      models: which Keras models. Two or more: these. One: the model that is trained, and this one. None: the `replicas`
        of the model that is trained (`sr.models.SiblingModel` has them).
      every: "epoch", or a number of training steps: then also at every multiple of it, at the same steps in a
        resumed run. With `steps_per_execution` above 1, after the execution that passes one.
      log_dir: where to write the same values for TensorBoard, by training step; None: nowhere.
      prefix: in front of the names in `logs` and TensorBoard, for models that report an `auc` of their own.
      from_logits: the models predict log-odds, not probabilities.

    Each model maps x to probabilities of shape [batch] or [batch, 1].

    Attributes:
      history: every measurement, in order: dicts with `step`, `pd` and, with labels, `auc` and `log_loss`.

    A value that is not defined is NaN: all of them where a prediction is NaN, `auc` where the labels are of one class.
    The progress bar of tf_keras shows the mean of an epoch's measurements, that of Keras 3 the last one.

    Raises:
      ValueError: an argument or a model's output breaks a rule above; a prediction outside [0, 1]; the model reports
        a value of the same name.

    ```python
    x, y = np.random.rand(256, 4), np.random.randint(2, size=256)
    a, b = (tf.keras.Sequential([tf.keras.layers.Dense(1, activation="sigmoid")]) for _ in range(2))
    a.compile(optimizer="adagrad", loss="binary_crossentropy")
    measured = sr.callbacks.PredictionDifference((x, y), models=[b])
    a.fit(x, y, callbacks=[measured])
    measured.history  # [{"step": 8, "pd": ..., "auc": ..., "log_loss": ...}]
    ```
    """

    def __init__(
        self,
        data: Any,
        *,
        models: Sequence[Any] | None = None,
        every: str | int = "epoch",
        log_dir: str | os.PathLike[str] | None = None,
        prefix: str = "",
        from_logits: bool = False,
    ) -> None:
        super().__init__()
        if every != "epoch" and (not isinstance(every, int) or every < 1):
            raise ValueError(f"every must be 'epoch' or a number of steps of at least 1, got {every!r}")
        if models is not None and not models:
            raise ValueError("models must name at least one model, got none")
        self.data = as_dataset(data)
        self.models = models
        self.every = every
        self.log_dir = log_dir
        self.prefix = prefix
        self.from_logits = from_logits
        self.history: list[dict[str, float]] = []
        self._step = self._epoch_start = 0
        self._clash_checked = False
        self._writer: Any = None
        # Without these tf_keras turns the logs of every execution into NumPy for this callback, and Keras 3 waits for
        # each execution before it starts the next one.
        self._supports_tf_logs = True
        self.async_safe = every == "epoch"

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._predictor = JointPredictor(self._models(), self.data, self.from_logits)
        self._step = max(self._step, _steps_made(self.model))
        if self.log_dir is not None:
            self._writer = tf.summary.create_file_writer(str(self.log_dir))

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch_start = self._step

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if not isinstance(logs, dict):
            logs = {}  # a parameter server's logs are still on their way
        self._refuse_clash(logs)
        # The last execution of an epoch may be a short one.
        in_epoch = min(batch + 1, self.params.get("steps") or batch + 1)
        before, self._step = self._step, max(self._step, self._epoch_start + in_epoch)
        if self.every != "epoch" and self._step // int(self.every) > before // int(self.every):
            self._report(logs)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._report(logs)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _models(self) -> list[Any]:
        if self.models is None:
            models = list(getattr(self.model, "replicas", ()))
            if len(models) < 2:
                raise ValueError(
                    f"models must be given unless the trained model has two or more replicas, got {len(models)}"
                )
            return models
        return [self.model, *self.models] if len(self.models) == 1 else list(self.models)

    def _report(self, logs: dict[str, Any] | None) -> None:
        """Puts the values of this step into the history and TensorBoard, once, and into `logs`."""
        if not self.history or self.history[-1]["step"] != self._step:
            self.history.append({"step": self._step, **self._measure(self._predictor.run())})
            self._write_summaries()
        if logs is not None:
            logs.update({self.prefix + name: self.history[-1][name] for name in self._names()})

    def _names(self) -> list[str]:
        return ["pd", "auc", "log_loss"] if has_label(self.data) else ["pd"]

    def _measure(self, data: Predictions) -> dict[str, float]:
        predictions, label, weight = data
        if np.isnan(predictions).any():
            return dict.fromkeys(self._names(), NAN)
        outside = predictions[(predictions < 0) | (predictions > 1)]
        if outside.size:
            raise InputError(
                f"predictions must be probabilities in [0, 1], got {outside[0]:g}: for logits pass from_logits=True"
            )
        values = {"pd": prediction_difference.mean_over_pairs(predictions, weight)}
        if label is not None:
            auc_losses = [accuracy.auc_loss(label, column, weight) for column in predictions.T]
            values["auc"] = float(np.mean([NAN if loss is None else 1 - loss for loss in auc_losses]))
            values["log_loss"] = float(np.mean([accuracy.log_loss(label, p, weight) for p in predictions.T]))
        return values

    def _write_summaries(self) -> None:
        if self._writer is None:
            return
        with self._writer.as_default(step=self._step):
            for name in self._names():
                tf.summary.scalar(self.prefix + name, self.history[-1][name])
        self._writer.flush()

    def _refuse_clash(self, logs: dict[str, Any]) -> None:
        """Before the first measurement every name in the logs is the model's own."""
        if self._clash_checked:
            return
        self._clash_checked = True
        for name in self._names():
            if self.prefix + name in logs:
                raise ValueError(
                    f"prefix must keep the callback's names apart from the model's, got {self.prefix!r}: "
                    f"the model reports {self.prefix + name!r} as well"
                )


def _steps_made(model: Any) -> int:
    """Training steps before this `fit`, by the model's optimizer or that of its first replica."""
    trained = (getattr(model, "replicas", None) or [model])[0]
    iterations = getattr(getattr(trained, "optimizer", None), "iterations", None)
    return 0 if iterations is None else int(iterations.numpy())
