"""What a run trains in one `fit`: a pass over the rows, or, of a stream, the steps whose rows have come so far."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

from smooth_recs.config import Config
from smooth_recs.data import windows
from smooth_recs.data.following import FollowedSource
from smooth_recs.errors import InputError
from smooth_recs.validation import SCHEMA_SOURCES


@dataclasses.dataclass(frozen=True)
class Stretch:
    """Steps `start` to `stop` of an epoch; `ends_epoch` where no others follow them in it."""

    epoch: int
    start: int
    stop: int
    ends_epoch: bool = True


def check(config: Config, strategy: str) -> None:
    """Raises InputError where a setting does not go with a stream: it has to know the end, or several processes train.

    Args:
      config: of a run with `data.follow_seconds`.
      strategy: what `config.distribution.strategy` stands for.
    """
    data, train, ensemble, distillation = config.data, config.train, config.ensemble, config.distillation
    from_pipeline = bool(distillation.teachers) and distillation.where == "pipeline"
    several = strategy in ("multi_worker_mirrored", "parameter_server")
    rules = [
        (data.source in SCHEMA_SOURCES, "data.source", f"one of {', '.join(SCHEMA_SOURCES)}", data.source),
        (data.eval_path != "", "data.eval_path", "files of held-out rows", data.eval_path),
        (data.examples == 0, "data.examples", "0", data.examples),
        (train.epochs == 1, "train.epochs", "1", train.epochs),
        (train.patience == 0, "train.patience", "0", train.patience),
        (train.final_learning_rate_share == 1, "train.final_learning_rate_share", "1", train.final_learning_rate_share),
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


def of_epochs(config: Config, steps: int, done: int, last_apart: bool = False) -> Iterator[Stretch]:
    """What remains after `done` steps of the epochs, of `steps` each.

    Args:
      config: of the run.
      steps, done: see above.
      last_apart: the last step of an epoch is a stretch of its own, so that no other is executed along with it.
    """
    for epoch in range(done // steps, config.train.epochs):
        start = max(done - epoch * steps, 0)
        if last_apart and start < steps - 1:
            yield Stretch(epoch, start, steps - 1, ends_epoch=False)
            start = steps - 1
        yield Stretch(epoch, start, steps)


def of_stream(
    config: Config, source: FollowedSource, done: int, *, executed: int, ahead: bool, on_idle: Callable[[], object]
) -> Iterator[Stretch]:
    """What can be trained after `done` steps, until the stream has ended; waits for files in between.

    While it goes on only whole shuffle windows are trained on, in whole executions, and something is left for the end:
    batches and measurements do not depend on when files came.

    Args:
      config, source: of the run.
      done: steps.
      executed: steps at a time.
      ahead: batches come with rows of the next window, which has to be whole as well.
      on_idle: see `FollowedSource.wait`.
    """
    batch_size = config.train.batch_size
    size = windows.rows_in_window(config.data.shuffle_window, batch_size)
    while True:
        stop = -(-source.train_rows // batch_size)
        if not source.ended:
            whole = max(source.train_rows // size - ahead, 0) * size // batch_size
            stop = min(whole, stop - 1) // executed * executed
        if stop > done:
            source.check(done * batch_size // size * size)
            yield Stretch(0, done, stop, source.ended)
            done = stop
        if source.ended:
            return
        source.wait(on_idle)
