"""The siblings of a run: built, trained from where they were, and watched."""

from __future__ import annotations

import dataclasses
import os
import sys
from typing import Any

from smooth_recs import keras_generation, monitoring
from smooth_recs.callbacks.checkpoints import Checkpoints
from smooth_recs.config import Config
from smooth_recs.data import windows
from smooth_recs.data.source import Source
from smooth_recs.errors import InputError
from smooth_recs.models import from_config
from smooth_recs.models.siblings import SiblingModel

keras_generation.require_legacy("training (TensorFlow Recommenders)")


@dataclasses.dataclass(frozen=True)
class Fitted:
    """What training leaves besides the models: steps made, their speed, and the curves of what was measured."""

    steps: int
    examples_per_second: float
    history: list[dict[str, float]]


def build(config: Config, source: Source) -> SiblingModel:
    """The siblings of `config` with their variables, before the first step."""
    total_steps = steps_of_epoch(config, source) * config.train.epochs

    def build_fn() -> Any:
        model = from_config.ranking_model(config.model, source.encoder)
        model.compile(optimizer=from_config.optimizer(model, config.train, total_steps))
        return model

    siblings = SiblingModel(build_fn, config.siblings.replicas, config.siblings.differ)
    executed = min(config.train.steps_per_execution, steps_of_epoch(config, source))
    siblings.compile(progressive=config.train.progressive, steps_per_execution=executed)
    siblings.build_replicas(example(source.train().element_spec))
    return siblings


def steps_of_epoch(config: Config, source: Source) -> int:
    return -(-source.train_rows // config.train.batch_size)


def example(rows: Any) -> tuple[Any, Any, Any]:
    """What Keras trains on, of a row of the source."""
    return rows["features"], rows["label"], rows["weight"]


def check(config: Config, source: Source) -> None:
    """Raises InputError where the data are too small for what `config.train` asks for."""
    measured = monitoring.measured_rows(config)
    if config.train.patience and source.eval_rows <= measured:
        raise InputError(
            f"train.patience needs more held-out rows than the {measured:,} of train.evaluation_examples that choose, "
            f"got {source.eval_rows:,}"
        )
    shared = config.siblings.replicas == 1 or config.siblings.differ in ("init", "nothing")
    if config.train.progressive and not shared and config.data.shuffle_window >= source.train_rows:
        raise InputError(
            f"train.progressive needs a data.shuffle_window below the {source.train_rows:,} training rows, so that "
            f"some are new to both siblings, got {config.data.shuffle_window:,}"
        )


def fit(config: Config, workdir: str, source: Source, siblings: SiblingModel) -> Fitted:
    """Trains from the newest checkpoint on; the siblings end with the weights that are to be measured and exported."""
    steps, batch_size, window = steps_of_epoch(config, source), config.train.batch_size, config.data.shuffle_window
    curve, speed = monitoring.Curve(os.path.join(workdir, "history.json")), monitoring.Speed()
    logs, held_out = os.path.join(workdir, "tensorboard"), source.holdout().map(example)
    measuring, best = monitoring.callbacks(config, logs, held_out, steps, curve)
    checkpoints = Checkpoints(
        siblings, folder(workdir), config.train.checkpoint_seconds, on_save=lambda _: curve.save(), best=best
    )
    first = checkpoints.restore()
    curve.restore(first)
    if best:
        best.replay()
    for epoch in range(first // steps, config.train.epochs):
        if best and best.stopped:
            break
        start = max(first - epoch * steps, 0)
        batches = windows.shuffled(
            lambda row: source.train(row).map(example),
            window=window,
            batch_size=batch_size,
            seeds=_order_seeds(config),
            start=start * batch_size,
            first_window=epoch * windows.windows_in(source.train_rows, window=window, batch_size=batch_size),
            ahead=config.train.progressive and epoch == 0,
        )
        siblings.fit(
            batches,
            initial_epoch=epoch,
            epochs=epoch + 1,
            steps_per_epoch=steps - start,
            callbacks=[speed, *measuring, checkpoints],
            verbose=1 if sys.stdout.isatty() else 2,
        )
    made = checkpoints.steps_done
    if best:
        best.restore(siblings)
        checkpoints.save()  # the newest checkpoint is what was measured and exported
    return Fitted(made, speed.steps_per_second * batch_size, curve.entries)


def folder(workdir: str) -> str:
    """Where the checkpoints of a run lie."""
    return os.path.join(workdir, "checkpoints")


def _order_seeds(config: Config) -> list[int]:
    differs = config.siblings.differ in ("order", "both")
    return [config.seed * 1000 + (k if differs else 0) for k in range(config.siblings.replicas)]
