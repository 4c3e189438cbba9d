"""The prediction difference of two or more models (eq. 2), measured while they train.

All models predict the same data in one pass (`JointPredictor`); slices of the data have a PD of their own.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from smooth_recs import keras_generation, prediction_difference
from smooth_recs.callbacks.joint_prediction import JointPredictor, Predictions, SliceFunctions
from smooth_recs.callbacks.periodic import Periodic
from smooth_recs.errors import InputError
from smooth_recs.measures import catalogue
from smooth_recs.measures.measure import ACCURACY, Rows
from smooth_recs.measures.slices import value_name
from smooth_recs.statistics import arrays

if keras_generation.backend() == "tensorflow":
    from smooth_recs.callbacks._joint_tensorflow import Predictor, as_dataset, has_label
else:
    from smooth_recs.callbacks._joint_keras import Predictor, as_dataset, has_label  # type: ignore[assignment]

NAN = float("nan")
MOST_SLICES = 10  # values of a name that are measured
OWN_PREFIX = "held_out_"  # where the model reports a value of the same name


class PredictionDifference(Periodic):
    """Measures the relative PD of two or more models (eq. 2) on held-out data, at every epoch's end and in between.

    `pd`, the mean over the pairs of models, goes into `logs`: the progress bar shows it, `History` keeps it, and
    callbacks that come after this one in the list see it, such as `EarlyStopping(monitor="pd", mode="min")`. Where the
    data has labels so do `auc` and `log_loss`, means over the models.

    Args:
      data: a finite `tf.data.Dataset` of batches, or a tuple of arrays: x, (x, y) or (x, y, sample_weight).
      models: the Keras models to compare. Two or more are compared with each other, one with the model that is trained;
        None, the default, compares the `replicas` of the model that is trained (`sr.models.SiblingModel` has them), or
        the averages of their weights where it keeps them. A single replica has no `pd`, but is measured for the rest.
      every: "epoch", the default, measures at every epoch's end; a number of training steps also at every multiple of
        it, which are the same steps in a resumed run. With `steps_per_execution` above 1, the measurement follows the
        execution that passes one.
      log_dir: the folder where the same values are written for TensorBoard, by training step; None for nowhere.
      prefix: what precedes the names in `logs` and TensorBoard. None, the default: nothing, but `held_out_` where the
        model reports a value of the same name itself, such as an `auc` of the training rows.
      from_logits: the models predict log-odds, not probabilities.
      slices: also measures the PD of the rows that share a value: functions of x by name, [batch] or [batch, 1] each,
        or names of entries of x. The 10 most frequent values of each name go into `history` and TensorBoard as
        `pd/NAME=VALUE`, not into `logs`.
      tasks: names of the tasks after the first, of models with `task_probabilities` (`sr.models.RankingModel` with
        `task_weights`), whose labels are [batch, T]: measured beside as `NAME_pd`, `NAME_auc` and `NAME_log_loss`.

    Each model maps x to probabilities of shape [batch] or [batch, 1].

    Attributes:
      history: every measurement, in order: dicts with `step`, `pd` and, with labels, `auc` and `log_loss`.
      listeners: functions that are called with each measurement, before training changes what was measured.

    A value that is not defined is NaN: all of them where a prediction is NaN, `auc` where all labels are the same.
    `log_loss` is a mean by weight, sum(weight * loss) / sum(weight). Keras' own `loss` of weighted rows is another
    scale, sum(weight * loss) / number of rows: the two compare where the weights have mean 1.
    A measurement takes about as long as training each model on a third of its rows (`benchmarks/callback_overhead.py`):
    with a fiftieth as many rows as are trained on in between, siblings train 1% longer.
    The progress bar of tf_keras shows the mean of an epoch's measurements, that of Keras 3 the last one.

    Raises:
      ValueError: an argument or a model's output breaks a rule above; a prediction outside [0, 1]; with a `prefix` that
        is given, the model reports a value of the same name.

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
        prefix: str | None = None,
        from_logits: bool = False,
        slices: SliceFunctions | Sequence[str] | None = None,
        tasks: Sequence[str] = (),
    ) -> None:
        super().__init__(every, log_dir)
        if tasks:
            keras_generation.require_tensorflow("a model of several tasks")
        if models is not None and not models:
            raise ValueError("models must name at least one model, got none")
        self.data = as_dataset(data)
        self.models = models
        self.prefix = prefix
        self.from_logits = from_logits
        self.history: list[dict[str, float]] = []
        self.listeners: list[Callable[[dict[str, float]], None]] = []
        if slices is not None and (isinstance(slices, str) or not all(isinstance(name, str) for name in slices)):
            raise ValueError(f"slices must map names to functions of x, or be a sequence of names of x, got {slices!r}")
        self._slices = dict(slices) if isinstance(slices, Mapping) else {name: _entry(name) for name in slices or ()}
        self.tasks = tuple(tasks)
        self._sliced = SlicedDifference()
        self._predictor: JointPredictor | None = None
        self._own_names: set[str] | None = None  # what the model itself reports
        self._alone = False  # a single replica

    @property
    def names(self) -> list[str]:
        """The names of what is measured, except slices."""
        labelled = has_label(self.data)
        found = [measure.name for measure in catalogue.held_out() if labelled or "label" not in measure.needs]
        found = [name for name in found if name != "pd" or not self._alone]
        return found + [f"{task}_{name}" for task in self.tasks for name in found]

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        super().on_train_begin(logs)
        if self.models is None:
            average = getattr(self.model, "weight_average", None)
            models = list(getattr(self.model if average is None else average.averaged, "replicas", ()))
            self._alone = len(models) == 1
            if not models:
                raise ValueError(
                    f"models must be given unless the trained model has two or more replicas, got {len(models)}"
                )
        else:
            models = [self.model, *self.models] if len(self.models) == 1 else list(self.models)
        # Kept over several fits of the same models, since tracing costs more than a measurement.
        if self._predictor is None or [id(m) for m in self._predictor.models] != [id(m) for m in models]:
            self._predictor = Predictor(models, self.data, self.from_logits, self._slices, self.tasks)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if not isinstance(logs, dict):
            logs = {}  # under parameter servers (tf_keras 2.21) the logs are values still to come
        if self._own_names is None:  # before the first measurement every name in the logs is the model's own
            self._own_names = set(logs)
            clashes = [
                self.prefix + name for name in self.names if self.prefix is not None and self.prefix + name in logs
            ]
            if clashes:
                raise InputError(
                    f"prefix must keep the callback's names apart from the model's, such as {OWN_PREFIX!r}, "
                    f"got {self.prefix!r}: the model reports {clashes[0]!r} as well"
                )
        super().on_train_batch_end(batch, logs)

    def _shown(self, name: str) -> str:
        """The name of a value in the logs and TensorBoard."""
        if self.prefix is not None:
            return self.prefix + name
        return OWN_PREFIX + name if name in (self._own_names or ()) else name

    def report(self, logs: dict[str, Any] | None) -> None:
        """Puts the values of this step into the history and TensorBoard, once, and into `logs`."""
        # The last batch and the end of an epoch may ask for the same step: it is measured once.
        if not self.history or self.history[-1]["step"] != self.step:
            assert self._predictor is not None
            values = self._measure(self._predictor.run())
            self.history.append({"step": self.step, **values})
            self.write({self._shown(name): value for name, value in values.items()})
            for listener in self.listeners:
                listener(self.history[-1])
        if logs is not None:
            logs.update({self._shown(name): self.history[-1][name] for name in self.names})

    def _measure(self, data: Predictions) -> dict[str, float]:
        predictions, label, weight, slices, tasks = data
        if np.isnan(predictions).any():  # a model diverged: training goes on, so that callbacks can stop it
            return dict.fromkeys(self.names, NAN)
        outside = predictions[(predictions < 0) | (predictions > 1)]
        if outside.size:
            raise InputError(
                f"predictions must be probabilities in [0, 1], got {outside[0]:g}: for logits pass from_logits=True"
            )
        values = self._measured(predictions, label, weight)
        for task, (predicted, truth) in tasks.items():
            values |= {f"{task}_{name}": value for name, value in self._measured(predicted, truth, weight).items()}
        sliced = bool(slices) and not self._alone
        return values | (self._sliced.measure(slices, predictions, weight) if sliced else {})

    def _measured(self, predictions: Any, label: Any, weight: Any) -> dict[str, float]:
        """PD of predictions [n, R] and, with a label [n], means over the models of their accuracies."""
        values = {} if self._alone else {"pd": prediction_difference.mean_over_pairs(predictions, weight)}
        if label is not None:
            models = [Rows(label, column, weight) for column in predictions.T]
            for measure in catalogue.held_out():
                if measure.family in ACCURACY:
                    found = [measure.of(rows) for rows in models]
                    values[measure.name] = float(np.mean([NAN if value is None else value for value in found]))
        return values


class SlicedDifference:
    """The relative PD, mean over the pairs of models, of the rows that share a value, for the most frequent values.

    Which values are measured, at most 10 a name, by number of rows, is decided in the first call.
    """

    def __init__(self) -> None:
        self._values: dict[str, list[str]] = {}

    def measure(
        self,
        columns: Mapping[str, npt.NDArray[Any]],
        predictions: npt.NDArray[np.float64],
        weight: npt.NDArray[Any] | None,
    ) -> dict[str, float]:
        """Measures `pd/NAME=VALUE` of columns [n] by name, and predictions [n, R]; NaN where no row has the value."""
        pairs = itertools.combinations(predictions.T, 2)
        difference = np.mean([prediction_difference.per_example(a, b) for a, b in pairs], axis=0)
        weight = arrays.weights(weight, len(predictions))
        measured: dict[str, float] = {}
        for name, values in columns.items():
            found, group, rows = np.unique(values, return_inverse=True, return_counts=True)
            total, sums = np.bincount(group, weight), np.bincount(group, weight * difference)
            with np.errstate(invalid="ignore"):  # 0 / 0 where all rows of a value weigh 0
                by_value = dict(zip(map(value_name, found), sums / total, strict=True))
            if name not in self._values:
                order = np.argsort(-rows, kind="stable")[:MOST_SLICES]
                self._values[name] = [value_name(found[k]) for k in order]
            for value in self._values[name]:
                measured[f"pd/{name}={value}"] = float(by_value.get(value, np.nan))
        return measured


def _entry(name: str) -> Callable[[Any], Any]:
    """Makes the function of x that takes its entry `name`."""

    def entry(x: Any) -> Any:
        if not isinstance(x, Mapping) or name not in x:
            known = ", ".join(x) if isinstance(x, Mapping) else f"x is a {type(x).__name__}"
            raise ValueError(f"slices must name entries of x, got {name!r}: {known}")
        return x[name]

    return entry
