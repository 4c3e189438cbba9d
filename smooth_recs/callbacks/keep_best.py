"""Early stopping, and the weights of the best measurement, by PD and accuracy together."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from smooth_recs import _files, keras_generation
from smooth_recs.callbacks.prediction_difference import PredictionDifference
from smooth_recs.errors import InputError
from smooth_recs.measures import catalogue

ENDING = ".weights.h5"


class KeepBest(keras_generation.keras().callbacks.Callback):  # type: ignore[misc]
    """Keeps the weights of the best measurement, within epochs too, and stops when no better one follows.

    A measurement is better than another if it exceeds the bounds of `subject_to` by less in sum, or by the same (mostly
    0) and its `minimize` is lower (its `maximize` higher). One with a NaN among these values is never better. So
    `minimize="log_loss", subject_to={"pd": 0.1}` takes the lowest log loss that comes with a PD of at most 0.1.

    Args:
      measured: the callback that measures. It must be among the callbacks of `fit` too, in any place.
      minimize: the name of a value of its `history`; "log_loss" by default.
      maximize: the name of one that is to be high, such as "auc", in its place; None, the default, minimises.
      subject_to: upper bounds on values of its history, slices (`pd/NAME=VALUE`) included; None for no bounds.
      patience: the number of measurements without a better one after which training stops; None never stops it.
      filepath: the file that the best weights of the trained model are written to, `*.weights.h5`; None for no file.
      plateau: the number of measurements without a better one after which the learning rates of all optimizers are
        multiplied by `plateau_factor`, and again after as many more; None, the default, leaves them. They are variables
        of the optimizers: whoever saves these resumes with the same rates.
      plateau_factor: 0.1 by default.
      restore_best_weights: True, the default, gives the trained model the best weights when `fit` ends, stopped or not.
        They are kept in memory.

    Attributes:
      best: the best measurement, with its `step`; None before the first one without NaN.
      waited: how many measurements have been made since.
      stopped: True once `patience` is used up.

    All three follow from `measured.history` alone. Give the callback of a resumed run the history of the interrupted
    one, and `filepath` or `callbacks.checkpoints.Checkpoints(..., best=...)` for the weights.

    Raises:
      ValueError: an argument breaks a rule above.

    ```python
    x, y = np.random.rand(256, 4), np.random.randint(2, size=256)
    a, b = (tf.keras.Sequential([tf.keras.layers.Dense(1, activation="sigmoid")]) for _ in range(2))
    a.compile(optimizer="adagrad", loss="binary_crossentropy")
    measured = sr.callbacks.PredictionDifference((x, y), models=[b], every=4)
    best = sr.callbacks.KeepBest(measured, subject_to={"pd": 0.1}, patience=3)
    a.fit(x, y, epochs=10, callbacks=[measured, best])
    best.best  # {"step": ..., "pd": ..., "auc": ..., "log_loss": ...}
    ```
    """

    def __init__(
        self,
        measured: PredictionDifference,
        *,
        minimize: str = "log_loss",
        maximize: str | None = None,
        subject_to: Mapping[str, float] | None = None,
        patience: int | None = None,
        plateau: int | None = None,
        plateau_factor: float = 0.1,
        filepath: str | os.PathLike[str] | None = None,
        restore_best_weights: bool = True,
    ) -> None:
        super().__init__()
        self.minimize, self.maximize = minimize, maximize
        self.subject_to = dict(subject_to or {})
        names: dict[Any, list[str]] = {"lower": [], "higher": []}
        for name in measured.names:
            names.setdefault(catalogue.BY_NAME[name].better, []).append(name)
        if maximize is not None and maximize not in names["higher"]:
            raise InputError(f"maximize must name one of {', '.join(names['higher'])}, got {maximize!r}")
        for argument, name in (("minimize", minimize), *(("subject_to", name) for name in self.subject_to)):
            if name not in names["lower"] and not name.startswith("pd/") and (name != minimize or maximize is None):
                known = ", ".join(names["lower"])
                raise InputError(f"{argument} must name one of {known} or a slice pd/NAME=VALUE, got {name!r}")
        for name, bound in self.subject_to.items():
            if not bound >= 0:
                raise InputError(f"subject_to must hold bounds of at least 0, got {bound!r} for {name!r}")
        for argument, count in (("patience", patience), ("plateau", plateau)):
            if count is not None and (not isinstance(count, int) or count < 1):
                raise InputError(f"{argument} must be a number of measurements of at least 1 or None, got {count!r}")
        if not 0 < plateau_factor < 1:
            raise InputError(f"plateau_factor must be above 0 and below 1, got {plateau_factor!r}")
        if filepath is not None and not str(filepath).endswith(ENDING):
            raise InputError(f"filepath must end with {ENDING}, got {str(filepath)!r}")
        self.measured = measured
        self.patience = math.inf if patience is None else patience
        self.plateau, self.plateau_factor = plateau, float(plateau_factor)
        self.filepath = None if filepath is None else str(filepath)
        self.restore_best_weights = restore_best_weights
        self.best: dict[str, float] | None = None
        self.waited = 0
        self._copies: list[tf.Variable] = []
        self._weights_at: float | None = None  # the step that the copies are of
        self._copies_restored = False
        # It does not read the logs. Without these tf_keras (2.21) turns the logs of every execution into NumPy for it,
        # and Keras 3 (3.15) waits for each execution before it starts the next one.
        self.async_safe = self._supports_tf_logs = True

    @property
    def stopped(self) -> bool:
        return self.waited >= self.patience

    def on_train_begin(self, logs: Any = None) -> None:
        if getattr(self.measured, "model", None) is not self.model:
            raise ValueError("measured must be among the callbacks of fit too, got it without")
        # A listener, since in its own on_epoch_end it could come before `measured`, and it would miss what is measured
        # within an epoch.
        if self._measurement not in self.measured.listeners:
            self.measured.listeners.append(self._measurement)
        self.replay()

    def on_train_end(self, logs: Any = None) -> None:
        if self.restore_best_weights:
            self.restore(self.model)

    def replay(self) -> None:
        """Derives `best`, `waited` and `stopped` anew from the history so far."""
        self.best, self.waited = None, 0
        for entry in self.measured.history:
            self._consider(entry)
        if self._copies_restored:
            self._weights_at, self._copies_restored = self.best and self.best["step"], False

    def restore(self, model: Any) -> None:
        """Gives the model the best weights; without any measurement it keeps its own.

        Raises:
          InputError: the best measurement was made in an interrupted run, and its weights were not kept.
        """
        if self.best is None:
            return
        if self._weights_at == self.best["step"]:
            for variable, copy in zip(_kept(model), self._copies, strict=True):
                variable.assign(copy)
        elif self.filepath is not None and _files.exists(self.filepath):
            with _files.local_copy(self.filepath) as path:
                model.load_weights(path)
        else:
            raise InputError(
                f"the best weights are of step {self.best['step']}, before this run was interrupted: "
                "they come back only with a filepath or from a checkpoint"
            )

    def copies(self, model: Any) -> list[tf.Variable]:
        """Makes the variables that hold the best weights of a built model, which checkpoints save."""
        if not self._copies:
            self._copies = [tf.Variable(tf.convert_to_tensor(w), trainable=False) for w in _kept(model)]
        return self._copies

    def copies_restored(self) -> None:
        """Tells that a checkpoint restored the copies: they belong to the best measurement of the history."""
        self._copies_restored = True

    def _measurement(self, entry: dict[str, float]) -> None:
        """Listens to `measured`: keeps the weights of a better measurement, or stops."""
        if self._consider(entry):
            if self.restore_best_weights or self._copies:
                for copy, weight in zip(self.copies(self.model), _kept(self.model), strict=True):
                    copy.assign(tf.convert_to_tensor(weight))
                self._weights_at = entry["step"]
            if self.filepath is not None:
                with _files.whole_file(self.filepath) as beside:  # a killed run leaves the file before
                    self.model.save_weights(beside)
        elif self.stopped:
            self.model.stop_training = True
        elif self.plateau is not None and self.waited % self.plateau == 0:
            self._cut_rates()

    def _cut_rates(self) -> None:
        for trained in getattr(self.model, "replicas", None) or [self.model]:
            for optimizer in getattr(trained.optimizer, "optimizers", [trained.optimizer]):
                if isinstance(optimizer.get_config()["learning_rate"], dict):
                    raise InputError("plateau must be None where the learning rate is a schedule, which cuts it itself")
                optimizer.learning_rate.assign(optimizer.learning_rate * self.plateau_factor)

    def _consider(self, entry: dict[str, float]) -> bool:
        """Takes note of a measurement; True if it is the best."""
        rank = self._rank(entry)
        if math.isnan(sum(rank)) or (self.best is not None and rank >= self._rank(self.best)):
            self.waited += 1
            return False
        self.best, self.waited = entry, 0
        return True

    def _rank(self, entry: dict[str, float]) -> tuple[float, float]:
        """Ranks a measurement by (excess over the bounds, objective): less is better."""
        objective = self.maximize or self.minimize
        for name in (objective, *self.subject_to):
            # Where predictions are no numbers, slices are not measured at all.
            if name not in entry and not all(math.isnan(entry[known]) for known in entry if known != "step"):
                known = ", ".join(known for known in entry if known != "step")
                raise InputError(f"minimize and subject_to must name measured values ({known}), got {name!r}")
        value = {name: entry.get(name, math.nan) for name in (objective, *self.subject_to)}
        excess = [value[name] - bound if not value[name] <= bound else 0.0 for name, bound in self.subject_to.items()]
        return sum(excess, 0.0), -value[objective] if self.maximize else value[objective]


def _kept(model: Any) -> list[Any]:
    """The weights of a model, with the average of them where it keeps one: that is what was measured."""
    average = getattr(model, "weight_average", None)
    return [*model.weights, *([] if average is None else average.variables)]
