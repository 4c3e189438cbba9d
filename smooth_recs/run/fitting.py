"""The siblings of a run: built, trained from where they were, and watched."""

from __future__ import annotations

import dataclasses
import functools
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from smooth_recs import keras_generation
from smooth_recs.callbacks.checkpoints import Checkpoints, restore_newest
from smooth_recs.callbacks.huge_pages import HugePages
from smooth_recs.config import Config
from smooth_recs.data import windows
from smooth_recs.data.following import FollowedSource
from smooth_recs.data.source import Source
from smooth_recs.errors import InputError
from smooth_recs.models import from_config
from smooth_recs.models.distillation import Distillation
from smooth_recs.models.siblings import SiblingModel
from smooth_recs.run import monitoring, stretches
from smooth_recs.run.stretches import Stretch
from smooth_recs.run.taking_part import Part
from smooth_recs.serving import assets
from smooth_recs.serving.saved_model import PeriodicExports

keras_generation.require_legacy("training (TensorFlow Recommenders)")


CHECKPOINTS_IN_STEP = 20  # an epoch, where several processes have to save together


@dataclasses.dataclass(frozen=True)
class Fitted:
    """What training leaves besides the models: steps made, their speed, and the curves of what was measured."""

    steps: int
    examples_per_second: float
    history: list[dict[str, float]]


def build(
    config: Config, source: Source, most_steps: int | None = None, distillation: Distillation | None = None
) -> SiblingModel:
    """The siblings of `config` with their variables, before the first step.

    Args:
      config, source: of the run.
      most_steps: that are executed at a time; None: as the configuration says.
      distillation: what they learn besides the labels; only training needs it.
    """
    total_steps = steps_of_epoch(config, source) * config.train.epochs

    def build_fn() -> Any:
        model = from_config.model(config, source.encoder, total_steps=total_steps, distillation=distillation)
        model.compile(optimizer=from_config.optimizer(model, config.train, total_steps))
        return model

    siblings = SiblingModel(build_fn, config.siblings.replicas, config.siblings.differ)
    executed = _steps_of_execution(config, source, most_steps)
    siblings.compile(progressive=config.train.progressive, steps_per_execution=executed)
    siblings.build_replicas(example(source.train().element_spec))
    for replica in siblings.replicas:
        replica.make_slots()
    return siblings


def steps_of_epoch(config: Config, source: Source) -> int:
    return -(-source.train_rows // config.train.batch_size)


def _steps_of_execution(config: Config, source: Source, most_steps: int | None) -> int:
    steps = most_steps or config.train.steps_per_execution
    return steps if config.data.follow_seconds else min(steps, steps_of_epoch(config, source))


def example(rows: Any) -> tuple[Any, Any, Any]:
    """What Keras trains on, of a row of the source."""
    return rows["features"], rows["label"], rows["weight"]


def check(config: Config, source: Source, part: Part) -> None:
    """Raises InputError where the data are too small, or the cluster not made, for what `config.train` asks for."""
    if part.commands and config.train.export_steps:
        raise InputError("train.export_steps must be 0 under parameter_server, which exports at the end only")
    if part.commands and config.ensemble.stale_steps:
        raise InputError(
            "ensemble.stale_steps must be 0 under parameter_server, whose workers have no steps in common, "
            f"got {config.ensemble.stale_steps}"
        )
    if part.commands and config.data.source == "parquet":
        raise InputError(
            "data.source must not be parquet under parameter_server, whose workers cannot read it: convert the files "
            "with smooth_recs.data.parquet_to_tfrecord"
        )
    measured = monitoring.measured_rows(config)
    if config.train.patience and source.eval_rows <= measured:
        raise InputError(
            f"train.patience needs more held-out rows than the {measured:,} of train.evaluation_examples that choose, "
            f"got {source.eval_rows:,}"
        )
    few = config.data.shuffle_window >= source.train_rows and not config.data.follow_seconds
    if _predicts_ahead(config) and few:
        raise InputError(
            f"train.progressive needs a data.shuffle_window below the {source.train_rows:,} training rows, so that "
            f"some are new to both siblings, got {config.data.shuffle_window:,}"
        )


def fit(
    config: Config, workdir: str, source: Source, siblings: SiblingModel, part: Part, reopen: Callable[[], Source]
) -> Fitted:
    """Trains from the newest checkpoint on; the siblings end with the weights that are to be measured and exported.

    Args:
      config, workdir, source: of the run.
      siblings: as `build` made them.
      part: what this process does for the run.
      reopen: opens the source again, for other processes.
    """
    steps, own = steps_of_epoch(config, source), part.folder(workdir)
    curve, speed = monitoring.Curve(os.path.join(own, "history.json")), monitoring.Speed()
    logs, held_out = os.path.join(own, "tensorboard"), source.holdout().map(example)
    measuring, best = monitoring.callbacks(config, logs, held_out, steps, curve)
    checkpoints = Checkpoints(
        siblings,
        folder(own),
        config.train.checkpoint_seconds,
        on_save=lambda _: curve.save(),
        best=best,
        steps=-(-steps // CHECKPOINTS_IN_STEP) if part.in_step else None,
        newest_in=folder(workdir),
    )
    first = checkpoints.restore()
    curve.restore(first)
    if best:
        best.replay()
    again = reopen if part.commands else lambda: source
    others = [HugePages(), speed, *part.callbacks]
    for stretch in _stretches(config, source, part, siblings, checkpoints):
        if best and best.stopped:
            break
        for callback in (*measuring, checkpoints):
            if hasattr(callback, "ends_epoch"):
                callback.ends_epoch = stretch.ends_epoch
        siblings.fit(
            part.batches(functools.partial(_batches, config, stretch.epoch, stretch.start), again),
            initial_epoch=stretch.epoch,
            epochs=stretch.epoch + 1,
            steps_per_epoch=stretch.stop - stretch.start,
            callbacks=[*others, *measuring, *_exports(config, workdir, source, part), checkpoints],
            verbose=1 if sys.stdout.isatty() else 2,
        )
    made = checkpoints.steps_done
    if best:
        best.restore(siblings)
        checkpoints.save()  # the newest checkpoint is what was measured and exported
    return Fitted(made, speed.steps_per_second * config.train.batch_size, curve.entries)


def _stretches(
    config: Config, source: Source, part: Part, siblings: SiblingModel, checkpoints: Checkpoints
) -> Iterator[Stretch]:
    """What remains to be trained."""
    if not isinstance(source, FollowedSource):
        # Batches of two sizes in one execution are more than what devices exchange in it can be told apart by.
        devices = siblings.distribute_strategy.num_replicas_in_sync
        smaller = devices > 1 and not part.in_step and source.train_rows % config.train.batch_size > 0
        return stretches.of_epochs(config, steps_of_epoch(config, source), checkpoints.steps_done, last_apart=smaller)
    return stretches.of_stream(
        config,
        source,
        checkpoints.steps_done,
        executed=_steps_of_execution(config, source, part.most_steps),
        ahead=_predicts_ahead(config),
        on_idle=checkpoints.save_new,
    )


def _exports(config: Config, workdir: str, source: Source, part: Part) -> list[PeriodicExports]:
    if not config.train.export_steps or not part.is_chief:
        return []
    base, write = os.path.join(workdir, "export"), assets.request_writer(source)
    return [PeriodicExports(source.encoder, base, config.train.export_steps, config.train.keep_exports, write)]


def restored(config: Config, workdir: str, source: Source) -> SiblingModel:
    """The siblings of a run on this machine alone, as its newest checkpoint has them, whatever trained them.

    Raises:
      InputError: there is no checkpoint, none can be read, or it is not of this model.
    """
    siblings = build(config, source)
    if restore_newest(tf.train.Checkpoint(model=siblings), folder(workdir), "the model in config.json") is None:
        raise InputError(f"workdir {workdir} must hold the checkpoints of its run, got none in {folder(workdir)}")
    return siblings


def folder(workdir: str) -> str:
    """Where the checkpoints of a run lie."""
    return os.path.join(workdir, "checkpoints")


def _batches(config: Config, epoch: int, start: int, source: Source) -> tf.data.Dataset:
    """What remains of an epoch after `start` steps."""
    window, batch_size = config.data.shuffle_window, config.train.batch_size
    return windows.shuffled(
        lambda row: source.train(row).map(example),
        window=window,
        batch_size=batch_size,
        seeds=_order_seeds(config),
        start=start * batch_size,
        first_window=epoch * windows.windows_in(source.train_rows, window=window, batch_size=batch_size),
        ahead=config.train.progressive and epoch == 0,
    )


def _predicts_ahead(config: Config) -> bool:
    """Whether rows that are new to all siblings come with their batches, which differ."""
    return config.train.progressive and len(set(_order_seeds(config))) > 1


def _order_seeds(config: Config) -> list[int]:
    differs = config.siblings.differ in ("order", "both")
    return [config.seed * 1000 + (k if differs else 0) for k in range(config.siblings.replicas)]
