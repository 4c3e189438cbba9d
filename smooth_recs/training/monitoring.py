"""What is watched while a run trains: PD, accuracy, speed, learned activations."""

from __future__ import annotations

import time
from typing import Any

import tensorflow as tf

from smooth_recs import _files, keras_generation
from smooth_recs.callbacks import KeepBest, LearnedActivations, PredictionDifference, ProgressiveValidation
from smooth_recs.config import Config
from smooth_recs.data.sources import Source
from smooth_recs.errors import InputError
from smooth_recs.measures import catalogue
from smooth_recs.measures.measure import PROGRESSIVE
from smooth_recs.models.siblings import SiblingModel
from smooth_recs.training.batches import Batches, example

EVALUATION_BATCH = 2_000
STREAM_ROWS = 50  # trained on for each that is measured: it takes 1% longer
PREFIX = PROGRESSIVE
RAW = "raw_"  # before the names of what is measured of the weights where their averages are measured
NAN = float("nan")
SHOWN = [
    "loss",
    *(measure.name for measure in catalogue.held_out()),
    *(PREFIX + measure.name for measure in catalogue.progressive()),
]
# On a terminal, beside the time that is left; the others are in TensorBoard.
IN_LINE = {"loss": ".4f", "pd": ".2%"}


class Curve:
    """What was measured during a run, kept over its interruptions.

    Attributes:
      measured: on held-out rows.
      progressive: of predictions for rows that were new.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self.measured: list[dict[str, float]] = []
        self.progressive: list[dict[str, float]] = []

    @property
    def entries(self) -> list[dict[str, float]]:
        """Both, one entry a step."""
        merged: dict[float, dict[str, float]] = {}
        for entry in (*self.measured, *self.progressive):
            merged.setdefault(entry["step"], {}).update(entry)
        return [merged[step] for step in sorted(merged)]

    def restore(self, step: int) -> None:
        """Takes back what was measured up to `step`; InputError where the file does not hold it."""
        repair = "delete it, and the run resumes without what was measured before"
        entries = _files.read_json(self._path, repair) if step and _files.exists(self._path) else []
        if not isinstance(entries, list) or not all(isinstance(each, dict) and "step" in each for each in entries):
            raise InputError(f"{self._path} must hold a list of measurements, each with its step: {repair}")
        for entry in entries:
            for history, progressive in ((self.measured, False), (self.progressive, True)):
                values = {n: NAN if v is None else v for n, v in entry.items() if n.startswith(PREFIX) == progressive}
                values.pop("step", None)
                if values and entry["step"] <= step:
                    history.append({"step": entry["step"], **values})

    def save(self) -> None:
        _files.write_json(self._path, self.entries)


def measured_rows(config: Config, source: Source) -> int:
    """How many of the first held-out rows are measured while training: none where there are validation rows."""
    if source.validation_rows:
        return 0
    return -(-config.train.evaluation_examples // EVALUATION_BATCH) * EVALUATION_BATCH


def callbacks(
    batches: Batches, log_dir: str, curve: Curve, siblings: SiblingModel
) -> tuple[list[Any], KeepBest | None]:
    """PD and AUC on validation, held-out or new rows; TensorBoard; a progress bar that shows them.

    Args:
      batches: of the run, whose `train.evaluations`, `evaluation_examples`, `progressive` and `patience` say what is
        measured.
      log_dir: of TensorBoard.
      curve: receives the measurements.
      siblings: that train. Where they keep averages, these are measured, and TensorBoard has `raw_` values beside.

    Returns:
      The callbacks, and the one among them that keeps the best weights, if there is one.
    """
    config = batches.config
    every = _every(batches)
    source, measured, tasks = batches.source, measured_rows(config, batches.source), batches.source.schema.labels[1:]
    of_tasks = [f"{task}_{measure.name}" for task in tasks for measure in catalogue.held_out()]
    watching: list[Any] = [
        LearnedActivations(log_dir),
        tf.keras.callbacks.TensorBoard(log_dir, write_graph=False),
        keras_generation.progress_lines([*SHOWN, *of_tasks]),
    ]
    if config.train.progressive:
        validation = ProgressiveValidation(every, log_dir)
        validation.history = curve.progressive
        watching = [validation, *watching]
    if config.siblings.replicas == 1 and not config.train.patience and not source.validation_rows:
        return watching, None
    sample = (source.holdout() if measured else source.validation()).map(example).rebatch(EVALUATION_BATCH)
    sample = (sample.take(measured // EVALUATION_BATCH) if measured else sample).cache()
    difference = PredictionDifference(sample, every=every, log_dir=log_dir, tasks=tasks)
    difference.history = curve.measured
    if siblings.deployed_model() is not siblings and len(siblings.replicas) > 1:
        watching = [
            PredictionDifference(
                sample, models=siblings.replicas, every=every, log_dir=log_dir, prefix=RAW, tasks=tasks
            ),
            *watching,
        ]
    if not config.train.patience:
        return [difference, *watching], None
    bounds = {"pd": config.train.max_pd} if config.train.max_pd else None
    best = KeepBest(
        difference,
        maximize="auc" if config.train.best == "auc" else None,
        subject_to=bounds,
        patience=config.train.patience,
        plateau=config.train.plateau or None,
        plateau_factor=config.train.plateau_factor,
        restore_best_weights=False,
    )
    return [difference, best, *watching], best


def _every(batches: Batches) -> int | str:
    """How many steps lie between measurements; the length of a stream that goes on is not known."""
    train = batches.config.train
    if not train.evaluations:
        return "epoch"
    if batches.config.data.follow_seconds:
        return -(-STREAM_ROWS * train.evaluation_examples // train.batch_size)
    return -(-batches.total_steps // train.evaluations)


class Speed(tf.keras.callbacks.Callback):
    """Training steps a second, measurements included, without the first execution of a `fit`, which may compile.

    Args:
      path: of the file that keeps what was counted over the interruptions of a run.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path
        self._began = self._seconds = self._compiling = 0.0
        self._first: int | None = None
        self._last = 0
        self._steps = self._first_steps = 0.0
        self._supports_tf_logs = True  # else tf_keras refuses the callback under parameter servers

    def on_train_begin(self, logs: Any = None) -> None:
        self._began, self._first = time.monotonic(), None

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        now = time.monotonic()
        if self._first is None:
            self._compiling += now - self._began
            self._first_steps += keras_generation.steps_done(self, batch)
            self._began, self._first = now, keras_generation.steps_done(self, batch)
        self._last = keras_generation.steps_done(self, batch)

    def on_train_end(self, logs: Any = None) -> None:
        if self._first is not None:
            self._steps += self._last - self._first
            self._seconds += time.monotonic() - self._began
            self._first = None

    @property
    def steps_per_second(self) -> float | None:
        """Steps a second; the first executions count only if there were no others; None without any step."""
        steps, seconds = (self._steps, self._seconds) if self._steps else (self._first_steps, self._compiling)
        return steps / seconds if steps else None

    def save(self) -> None:
        running = 0.0 if self._first is None else time.monotonic() - self._began
        steps = self._steps + (0 if self._first is None else self._last - self._first)
        _files.write_json(self._path, [steps, self._seconds + running, self._first_steps, self._compiling])

    def restore(self, step: int) -> None:
        """Goes on counting where the interrupted run was at its newest checkpoint, if that was after a step."""
        if step and _files.exists(self._path):
            repair = "delete it, and the speed is that of the rest of the run"
            try:
                counted = [float(value) for value in _files.read_json(self._path, repair)]
                self._steps, self._seconds, self._first_steps, self._compiling = counted
            except (TypeError, ValueError) as error:
                raise InputError(f"{self._path} must hold four numbers: {repair}") from error
