"""The batches of a run: in which order rows come, what one `fit` takes of them, where an interrupted run goes on."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from smooth_recs.callbacks.checkpoints import holds_average
from smooth_recs.cluster import strategies
from smooth_recs.config import Config
from smooth_recs.data import shuffling, stream
from smooth_recs.data.sources import Source
from smooth_recs.data.stream import FollowedSource
from smooth_recs.errors import InputError
from smooth_recs.models import averaging
from smooth_recs.training.role import Role
from smooth_recs.training.teachers import Teachers
from smooth_recs.validation import SCHEMA_SOURCES
from smooth_recs.workdir import checkpoint_reader

AUTOMATIC_HALF_LIFE = 0.03  # of the run


@dataclasses.dataclass(frozen=True)
class Segment:
    """Steps `start` to `stop` of an epoch, made in one `fit`; `ends_epoch` where no others follow them in it."""

    epoch: int
    start: int
    stop: int
    ends_epoch: bool = True


class Batches:
    """What a run trains on, from its configuration and its source.

    The order of rows is a pure function of a sibling's seed and the number of a shuffle window (`data.shuffling`), so a
    position is a number of steps: nothing else has to be kept for a run to resume.

    Args:
      config: the run.
      workdir: of the run, from where its source can be opened again: a worker cannot read the tables of this process.
      source: of the rows; of a stream, as many as have come so far.
      role: of this process; None: it trains alone.
      teachers: add what they predict to the rows where `distillation.where` is `pipeline`; None: there are none.

    Raises:
      InputError: the teachers cannot travel to the workers that read the rows.
    """

    def __init__(
        self, config: Config, workdir: str, source: Source, role: Role | None = None, teachers: Teachers | None = None
    ) -> None:
        self.config, self.workdir, self.source = config, workdir, source
        self.role = role or Role()
        self.teachers = teachers or Teachers()
        self._taught = self._with_teachers(source)

    @property
    def steps_per_epoch(self) -> int:
        """The last one's batch may be smaller. A stream is one epoch, of the steps whose rows have come so far."""
        return -(-self.source.train_rows // self.config.train.batch_size)

    @property
    def total_steps(self) -> int:
        """What schedules of learning rates and losses end with."""
        return self.steps_per_epoch * self.config.train.epochs

    @property
    def steps_per_execution(self) -> int:
        """How many training steps a call of the compiled function makes; passes of the average come between calls."""
        most = self.role.most_steps_per_execution or self.config.train.steps_per_execution
        if self.half_life:
            most = min(most, averaging.steps_between_passes(self.half_life))
        return most if self.config.data.follow_seconds else min(most, self.steps_per_epoch)

    @property
    def half_life(self) -> int:
        """The half-life in steps that `train.average` stands for; 0 = no average is kept."""
        asked = AUTOMATIC_HALF_LIFE if self.config.train.average == "auto" else self.config.train.average
        return max(round(asked * self.total_steps), 1) if 0 < asked < 1 else round(asked)

    @property
    def steps_between_passes(self) -> int:
        """The steps between two passes that bring the average of the weights up to date."""
        return averaging.steps_between_passes(self.half_life, self.steps_per_execution)

    @property
    def average_by_row(self) -> bool:
        """Whether the tables' averages are kept by row: they are large beside what is touched between two passes.

        A run that resumes goes on as it began.

        Raises:
          InputError: it has to go on so under parameter servers, whose workers have no steps in common.
        """
        begun = holds_average(checkpoint_reader.folder(self.workdir), "table_")
        if begun and self.role.coordinates:
            raise InputError(
                f"train.average: the run in {self.workdir} keeps its averages by row, which parameter_server cannot: "
                "resume it under another strategy, or take another workdir"
            )
        every_row = self.config.model.embedding_l2 > 0  # each step moves all of them
        if begun is not None or self.role.coordinates or not self.half_life or every_row:
            return bool(begun)
        features = self.source.schema.categorical
        rows = sum(self.source.encoder.table_rows(feature) for feature in features)
        lookups = self.config.train.batch_size * sum(feature.max_values for feature in features)
        return averaging.by_row_is_cheaper(rows, lookups, averaging.steps_between_passes(self.half_life))

    def rows_in(self, steps: int) -> int:
        """How many rows a sibling is trained on in the first `steps` steps."""
        epochs, rest = divmod(steps, self.steps_per_epoch)
        return epochs * self.source.train_rows + rest * self.config.train.batch_size

    def remaining(self, done: int, on_idle: Callable[[], object] = lambda: None) -> Iterator[Segment]:
        """What is still to be trained after `done` steps, in order.

        Args:
          done: steps.
          on_idle: called once where a stream has brought nothing for some seconds.
        """
        if isinstance(self.source, FollowedSource):
            return self._of_stream(self.source, done, on_idle)
        return self._of_epochs(done)

    def _of_epochs(self, done: int) -> Iterator[Segment]:
        steps = self.steps_per_epoch
        # Devices cannot tell apart what they exchange in one execution where its batches are of two sizes. (Processes
        # in step execute one step at a time.)
        several = self.role.strategy.num_replicas_in_sync > 1 and not self.role.in_step
        last_apart = several and self.source.train_rows % self.config.train.batch_size > 0
        for epoch in range(done // steps, self.config.train.epochs):
            start = max(done - epoch * steps, 0)
            if last_apart and start < steps - 1:
                yield Segment(epoch, start, steps - 1, ends_epoch=False)
                start = steps - 1
            yield Segment(epoch, start, steps)

    def _of_stream(self, source: FollowedSource, done: int, on_idle: Callable[[], object]) -> Iterator[Segment]:
        """Waits for files in between, until the stream has ended.

        While it goes on only whole shuffle windows are trained on, in whole executions, and something is left for the
        end: batches and measurements do not depend on when files came. Where rows of the next window come along, that
        one has to be whole as well.
        """
        batch_size, executed = self.config.train.batch_size, self.steps_per_execution
        size = shuffling.rows_in_window(self.config.data.shuffle_window, batch_size)
        while True:
            stop = self.steps_per_epoch
            if not source.ended:
                whole = max(source.train_rows // size - comes_with_new_rows(self.config), 0) * size // batch_size
                stop = min(whole, stop - 1) // executed * executed
            if stop > done:
                source.check(done * batch_size // size * size)
                yield Segment(0, done, stop, source.ended)
                done = stop
            if source.ended:
                return
            source.wait(on_idle)

    def dataset(self, segment: Segment) -> Any:
        """What `fit` takes for a segment."""
        if self.role.coordinates:
            return self._shared_by_workers(segment)
        batches = self._shuffled(self._taught, segment)
        if self.role.in_step:
            options = tf.data.Options()  # all read everything and take their part of each batch, as one process would
            options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
            batches = batches.with_options(options)
        return batches

    def _shuffled(self, source: Source, segment: Segment) -> tf.data.Dataset:
        """The batches from the segment's first step on, as far as the source goes."""
        window, batch_size = self.config.data.shuffle_window, self.config.train.batch_size
        return shuffling.shuffled(
            lambda row: source.train(row).map(example),
            window=window,
            batch_size=batch_size,
            seeds=_order_seeds(self.config),
            start=segment.start * batch_size,
            first_window=segment.epoch * shuffling.windows_in(source.train_rows, window=window, batch_size=batch_size),
            ahead=self.config.train.progressive and segment.epoch == 0,
        )

    def _shared_by_workers(self, segment: Segment) -> Any:
        """A dataset that all workers read through one service, so that each row is trained on by one of them."""
        assert self.role.task is not None
        shared = tf.data.experimental.service.distribute(
            tf.data.experimental.service.ShardingPolicy.DYNAMIC,
            f"grpc://{self.role.task.chief.data_address}",
            job_name=uuid.uuid4().hex,
        )

        def opened(_: Any) -> tf.data.Dataset:
            with tf.init_scope():  # files are looked into; only the reading of rows goes to the workers
                source = self._with_teachers(stream.open_run(self.config.data, self.workdir))
            # It repeats itself, because each worker prefetches some batches that it does not come to train on.
            return self._shuffled(source, segment).apply(shared).repeat()

        return tf.keras.utils.experimental.DatasetCreator(opened)

    def _with_teachers(self, source: Source) -> Source:
        return self.teachers.source(source, elsewhere=self.role.coordinates)


def check_average(config: Config, source: Source) -> None:
    """Raises InputError where the half-life of the average is longer than the run."""
    asked, steps = config.train.average, -(-source.train_rows // config.train.batch_size) * config.train.epochs
    if asked != "auto" and asked > steps and not config.data.follow_seconds:
        raise InputError(f"train.average must be at most the {steps:,} steps of the run, got {asked:,g}")


@tf.autograph.experimental.do_not_convert
def example(rows: Any) -> tuple[Any, Any, Any]:
    """What Keras trains on, of rows of a source: features, the label or all of several, [batch, T], and weight."""
    return rows["features"], rows.get("labels", rows["label"]), rows["weight"]


def comes_with_new_rows(config: Config) -> bool:
    """Whether rows that no sibling has trained on yet come along, to be predicted first.

    They do not where all siblings train on the same batches: then these are new themselves.
    """
    return config.train.progressive and len(set(_order_seeds(config))) > 1


def _order_seeds(config: Config) -> list[int]:
    """One a sibling; equal ones where all see the rows in one order."""
    differs = config.siblings.differ in ("order", "both")
    return [config.seed * 1000 + (k if differs else 0) for k in range(config.siblings.replicas)]


def check_stream(config: Config, strategy: str) -> None:
    """Raises InputError where a setting does not go with a stream: it has to know the end, or several processes train.

    Args:
      config: of a run with `data.follow_seconds`.
      strategy: what `config.distribution.strategy` stands for.
    """
    data, train, ensemble, distillation = config.data, config.train, config.ensemble, config.distillation
    from_pipeline = bool(distillation.teachers) and distillation.where == "pipeline"
    several = strategies.TABLE[strategy].several
    in_steps = train.average != "auto" and train.average >= 1
    rules = [
        (data.source in SCHEMA_SOURCES, "data.source", f"one of {', '.join(SCHEMA_SOURCES)}", data.source),
        (data.eval_path != "", "data.eval_path", "files of held-out rows", data.eval_path),
        (data.validation_path == "", "data.validation_path", "empty", data.validation_path),
        (data.validation_fraction == 0, "data.validation_fraction", "0", data.validation_fraction),
        (data.examples == 0, "data.examples", "0", data.examples),
        (train.epochs == 1, "train.epochs", "1", train.epochs),
        (train.patience == 0, "train.patience", "0", train.patience),
        (train.final_learning_rate_share == 1, "train.final_learning_rate_share", "1", train.final_learning_rate_share),
        (train.average == 0 or in_steps, "train.average", "a number of steps", train.average),
        (not _is_ramp(ensemble.decorrelation), "ensemble.decorrelation", "one number", ensemble.decorrelation),
        (not _is_ramp(ensemble.codistillation), "ensemble.codistillation", "one number", ensemble.codistillation),
        (not _is_ramp(distillation.weight), "distillation.weight", "one number", distillation.weight),
        (not from_pipeline, "distillation.where", "step", distillation.where),
        (not several, "distribution.strategy", "one of a single process", strategy),
    ]
    for holds, field, rule, value in rules:
        if not holds:
            raise InputError(f"{field} must be {rule} with data.follow_seconds, got {value!r}")


def _is_ramp(value: float | tuple[float, ...]) -> bool:
    return isinstance(value, tuple) and len(value) > 1
