"""The training loop: siblings are built, restored, and trained segment by segment while they are watched."""

from __future__ import annotations

import dataclasses
import functools
import os
import sys
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from smooth_recs import losses
from smooth_recs._status import STATUS, is_terminal
from smooth_recs.callbacks import AverageWeights
from smooth_recs.callbacks.checkpoints import Checkpoints, restore_newest
from smooth_recs.cluster.preemption import Preemption
from smooth_recs.config import Config
from smooth_recs.data.sources import Source
from smooth_recs.errors import InputError
from smooth_recs.interruption import Interruption
from smooth_recs.layers.embedding_tables import HugePages
from smooth_recs.losses import Distillation
from smooth_recs.models import from_config
from smooth_recs.models.siblings import SiblingModel
from smooth_recs.serving import assets
from smooth_recs.serving.saved_model import PeriodicExports
from smooth_recs.training import monitoring
from smooth_recs.training.batches import Batches, check_average, comes_with_new_rows, example
from smooth_recs.training.progress_line import EpochLines, ProgressLine
from smooth_recs.training.role import Role
from smooth_recs.training.teachers import FIELD
from smooth_recs.workdir import checkpoint_reader

CHECKPOINTS_IN_STEP = 20  # an epoch, where several processes have to save together


@dataclasses.dataclass(frozen=True)
class Fitted:
    """What training leaves besides the models: rows each was trained on, speed, and the curves of what was measured."""

    examples: int
    examples_per_second: float | None
    history: list[dict[str, float]]


def check(config: Config, source: Source, role: Role) -> None:
    """Raises InputError where the data are too small, or the cluster not made, for what `config.train` asks for."""
    if config.distillation.teachers and len(source.schema.labels) > 1:
        raise InputError(
            f"distillation.teachers must be none with several labels, of which a teacher predicts one, got "
            f"{', '.join(config.distillation.teachers)} and the labels {', '.join(source.schema.labels)}"
        )
    if role.coordinates and config.train.export_steps:
        raise InputError("train.export_steps must be 0 under parameter_server, which exports at the end only")
    if role.coordinates or role.strategy_name == "tpu":
        # Two workers may read a row's moments before either writes them; a TPU has updates of its own.
        if config.train.embedding_optimizer == "adam":
            raise InputError(
                f"train.embedding_optimizer must be adagrad or sgd under {role.strategy_name}, which cannot update the "
                "moments of single rows, got adam"
            )
        if config.model.embedding_l2:
            raise InputError(
                f"model.embedding_l2 must be 0 under {role.strategy_name}, where no step reads whole tables, "
                f"got {config.model.embedding_l2}"
            )
        if config.model.embedding_precision != "float32":
            raise InputError(
                f"model.embedding_precision must be float32 under {role.strategy_name}, which does not round "
                f"updated rows, got {config.model.embedding_precision}"
            )
    if role.coordinates and config.ensemble.stale_steps:
        raise InputError(
            "ensemble.stale_steps must be 0 under parameter_server, whose workers have no steps in common, "
            f"got {config.ensemble.stale_steps}"
        )
    if role.coordinates and config.data.source == "parquet":
        raise InputError(
            "data.source must not be parquet under parameter_server, whose workers cannot read it: convert the files "
            "with smooth_recs.data.readers.parquet.parquet_to_tfrecord"
        )
    if role.strategy_name == "tpu" and config.train.average:
        raise InputError(
            "train.average must be 0 under tpu, whose tables are on the hardware while it trains, "
            f"got {config.train.average!r}"
        )
    check_average(config, source)
    measured = monitoring.measured_rows(config, source)
    if config.train.patience and source.eval_rows <= measured:
        raise InputError(
            f"train.patience needs more held-out rows than the {measured:,} of train.evaluation_examples that choose, "
            f"got {source.eval_rows:,}"
        )
    few = config.data.shuffle_window >= source.train_rows and not config.data.follow_seconds
    if comes_with_new_rows(config) and few:
        raise InputError(
            f"train.progressive needs a data.shuffle_window below the {source.train_rows:,} training rows, so that "
            f"some are new to both siblings, got {config.data.shuffle_window:,}"
        )


def fit(batches: Batches, siblings: SiblingModel) -> Fitted:
    """Trains from the newest checkpoint on; the siblings end with the weights that are to be measured and exported.

    Args:
      batches: of the run.
      siblings: as `build` made them for these batches.

    Raises:
      Interrupted: SIGTERM or SIGINT came, to this process or to one that trains in step with it, and a checkpoint is
        saved; or it is not, because one of these does not answer.

    ```python
    batches = Batches(config, workdir, source)
    siblings = build(batches)
    fitted = fit(batches, siblings)
    ```
    """
    with Interruption() as interruption:
        return _fit(batches, siblings, interruption)


def _fit(batches: Batches, siblings: SiblingModel, interruption: Interruption) -> Fitted:
    config, workdir, source, role = batches.config, batches.workdir, batches.source, batches.role
    own = role.folder(workdir)  # only the chief's is the workdir itself
    curve = monitoring.Curve(os.path.join(own, "history.json"))
    speed = monitoring.Speed(os.path.join(own, "speed.json"))

    def record(_: int) -> None:
        curve.save()
        speed.save()

    measuring, best = monitoring.callbacks(batches, os.path.join(own, "tensorboard"), curve, siblings)
    if batches.half_life:  # first the pass, then what is measured
        measuring = [AverageWeights(batches.half_life, every=batches.steps_between_passes), *measuring]
    checkpoints = Checkpoints(
        siblings,
        checkpoint_reader.folder(own),
        config.train.checkpoint_seconds,
        on_save=record,
        best=best,
        steps=-(-batches.steps_per_epoch // CHECKPOINTS_IN_STEP) if role.in_step else None,
        newest_in=checkpoint_reader.folder(workdir),
        interruption=Preemption(interruption, role.task) if role.task is not None and role.in_step else interruption,
    )
    others = [*([HugePages()] if config.train.huge_pages else []), speed, *role.callbacks]
    exports: list[Any] = []
    if config.train.export_steps and role.is_chief:
        base, every, keep = os.path.join(workdir, "export"), config.train.export_steps, config.train.keep_exports
        exports = [PeriodicExports(source.encoder, base, every, keep, assets.request_writer(source))]

    done = checkpoints.restore()
    curve.restore(done)
    speed.restore(done)
    if best:
        best.replay()
    total = 0 if config.data.follow_seconds else batches.total_steps
    if done:
        STATUS.begin("resumed", f"at step {done:,}" + (f" of {total:,}" if total else ""))
    if done < total or not total:
        STATUS.begin("compiling", "the training step")
    if role.is_chief:
        measuring = [*measuring, ProgressLine(total, done, monitoring.IN_LINE)]
    for segment in batches.remaining(checkpoints.steps_done, on_idle=checkpoints.save_new):
        if best and best.stopped:
            break
        for callback in (*measuring, checkpoints):
            if hasattr(callback, "ends_epoch"):  # Keras calls the end of every `fit` that of an epoch
                callback.ends_epoch = segment.ends_epoch
        siblings.fit(
            batches.dataset(segment),
            initial_epoch=segment.epoch,
            epochs=segment.epoch + 1,
            steps_per_epoch=segment.stop - segment.start,
            callbacks=[*others, *measuring, *exports, checkpoints, EpochLines(config.train.epochs)],
            verbose=0 if is_terminal(sys.stdout) else 2,
        )
    if best:
        best.restore(siblings)
    by_row = siblings.weight_average is not None and bool(siblings.weight_average.tables)
    if siblings.weight_average is not None:
        siblings.weight_average.finish()
    if best or by_row:
        checkpoints.save()  # the newest checkpoint is to be what is measured and exported
    steps_per_second = speed.steps_per_second
    examples_per_second = None if steps_per_second is None else steps_per_second * config.train.batch_size
    return Fitted(batches.rows_in(checkpoints.steps_done), examples_per_second, curve.entries)


def build(batches: Batches, *, trains: bool = True) -> SiblingModel:
    """The siblings of a run with their variables, before the first step; under a strategy, in its scope.

    Args:
      batches: of the run.
      trains: False leaves out the optimizers, whose variables are as large as tables or larger.

    Raises:
      InputError: a model that is not possible, or a teacher that does not take the rows of these batches.
    """
    config, encoder, total_steps = batches.config, batches.source.encoder, batches.total_steps
    teacher = distillation(batches)

    def build_fn() -> Any:
        model: Any = from_config.model(config, encoder, total_steps=total_steps, distillation=teacher)
        if trains:
            model.compile(optimizer=from_config.optimizer(model, config.train, total_steps))
            model.train_step = _traced_once(model.train_step)
        return model

    _, why_not = from_config.compiles_dense(config)
    if why_not and batches.role.is_chief:
        STATUS.say(f"model.compile_dense: nothing is compiled, since {why_not}")
    siblings = SiblingModel(build_fn, config.siblings.replicas, config.siblings.differ)
    if trains:
        siblings.compile(progressive=config.train.progressive, steps_per_execution=batches.steps_per_execution)
    siblings.build_replicas(example(batches.source.train().element_spec))
    for replica in siblings.replicas if trains else ():
        replica.make_slots()
    if batches.half_life:
        copy = functools.partial(from_config.averaged, config, encoder)
        siblings.keep_average(batches.half_life, copy, by_row=batches.average_by_row)
    return siblings


def _traced_once(step: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A training step that is a graph of its own, and none of whose layers goes through AutoGraph.

    Keras (tf_keras 2.21) traces the body of an execution of several steps twice, and AutoGraph finds nothing to convert
    in the layers of a run.
    """
    if tf.distribute.has_strategy():  # devices exchange gradients in the middle of a step, which no inner graph can
        return tf.autograph.experimental.do_not_convert(step)
    traced = tf.function(step, autograph=False)
    return lambda batch: traced(batch)  # Keras would save the attribute of a model that is a `tf.function`


def restored(config: Config, workdir: str, source: Source) -> SiblingModel:
    """The siblings of a run on this machine alone, as its newest checkpoint has them, whatever trained them.

    They predict; what would train them is not read.

    Raises:
      InputError: there is no checkpoint, none can be read, or it is not of this model.
    """
    siblings, folder = build(Batches(config, workdir, source), trains=False), checkpoint_reader.folder(workdir)
    if restore_newest(siblings, folder, "the model in config.json") is None:
        raise InputError(f"workdir {workdir} must hold the checkpoints of its run, got none in {folder}")
    if siblings.weight_average is not None:
        siblings.weight_average.finish()
    return siblings


def distillation(batches: Batches) -> Distillation | None:
    """What students learn besides the labels; None where there are no teachers."""
    config, teachers = batches.config, batches.teachers
    if not teachers:
        return None
    try:
        runs = [restored(run, workdir, batches.source).deployed_model() for workdir, run in teachers.runs]
    except InputError as error:
        raise InputError(f"{FIELD}: {error}") from error

    def mean_probability(features: Any) -> tf.Tensor:
        """The mean over all siblings of all the teachers' runs."""
        return tf.reduce_mean(tf.concat([run(features, training=False) for run in runs], axis=1), axis=1)

    tf.keras.utils.set_random_seed(config.seed)  # students begin as they would without teachers
    weight = losses.Ramp(config.distillation.weight, batches.total_steps)
    return Distillation(config.distillation.loss, weight, mean_probability if runs else None)
