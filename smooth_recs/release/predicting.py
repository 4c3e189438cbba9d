"""The predictions of an export over a data set: the work behind `smooth_recs.bin.predict`."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from smooth_recs._files import check_output
from smooth_recs.artifacts import exports, prediction_files
from smooth_recs.artifacts.exports import EXPORT, PREDICTION_FILES, Artifact, SavedModel
from smooth_recs.comparison.settings import BATCH_SIZE
from smooth_recs.config import Config, Evaluation
from smooth_recs.data.files import progress
from smooth_recs.data.presets import open_rows, open_source
from smooth_recs.errors import InputError
from smooth_recs.measures import churn

_COLUMNS = ("row", "query_id", "weight", "label", "prediction", "moved")


@dataclasses.dataclass(frozen=True)
class PredictSettings:
    """The flags of `smooth_recs.bin.predict`.

    Attributes:
      export: a SavedModel, or a folder of its versions.
      config: whose held-out rows are predicted, or that tells how to read `data`.
      output: the file to write.
      data: files whose rows are predicted in place of the held-out ones; None: none.
      key: single-valued features that are written beside each prediction.
      siblings: further exports; with any, only rows that these make unstable are written.

    Raises:
      InputError: an `output` of another kind of file, or a `key` that the file has as a column of its own.
    """

    export: str
    config: Config
    output: str
    data: str | None = None
    key: tuple[str, ...] = ()
    siblings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.output.endswith(PREDICTION_FILES):
            raise InputError(f"--output must end in one of {', '.join(PREDICTION_FILES)}, got {self.output!r}")
        for name in self.key:
            if name in _COLUMNS:
                raise InputError(f"--key must not name {name!r}, which the file has as a column of its own")


def predict(settings: PredictSettings) -> int:
    """Writes `settings.output`, whole or not at all; returns the number of rows.

    With siblings, it lists the rows that `churn.unstable_rows` finds with `evaluation.unstable_loss` and `unstable_pd`
    of the configuration; `moved` says by how much.

    Args:
      settings: what is predicted, and where it goes.

    Raises:
      InputError: the export, the data or a flag is not what it must be.

    ```python
    settings = PredictSettings("runs/demo/smelu/export/replica_0", Config(), "predictions.csv")
    predict(settings)  # the number of held-out rows
    ```
    """
    artifacts = []
    for flag, path in [("--export", settings.export), *(("--siblings", path) for path in settings.siblings)]:
        artifacts.append(exports.identify(flag, path))
        if artifacts[-1].kind != EXPORT:
            raise InputError(f"{flag} must be a SavedModel or a folder of its versions, got {path}")
    check_output("--output", settings.output)

    data, cache = settings.config.data, os.path.join(os.path.dirname(os.path.abspath(settings.output)), "cache")
    if settings.data is None:
        source = open_source(data, cache)
        schema, total, chunks = source.schema, source.eval_rows, source.holdout(raw=True)
    elif data.source == "synthetic":
        raise InputError("--data needs a --config of files: its data.source must not be synthetic")
    else:
        found = open_rows(data, settings.data, cache)
        schema, total, chunks = found.schema, found.survey.good, found.chunks
        if found.survey.malformed:
            print(f"{found.survey.malformed:,} malformed rows are left out: {'; '.join(found.survey.places)}")
    others = [name for name in ("query_id", "weight") if getattr(schema, name)] + ["label"]
    wanted = chunks.map(lambda chunk: {name: chunk[name] for name in ("raw", *others)})
    batches = wanted.rebatch(BATCH_SIZE).prefetch(2)  # rows are read while the model predicts

    # All that can be wrong with the flags and the model is found before the file is begun.
    features = batches.element_spec["raw"]
    single = [name for name, spec in features.items() if spec.shape.rank == 1]
    for name in settings.key:
        if name not in single:
            raise InputError(f"--key must name single-valued features ({', '.join(single)}), got {name!r}")
    with contextlib.ExitStack() as stack:
        models = []
        for artifact in artifacts:
            models.append(stack.enter_context(contextlib.closing(SavedModel(artifact.flag, artifact.path))))
            exports.check_inputs(artifact.flag, models[-1].inputs, features)
        # Which sibling is the best is known only once all rows are predicted: they are read twice then.
        moved = _moved(settings.config.evaluation, artifacts, models, batches, total) if settings.siblings else None
        with prediction_files.writer(settings.output) as write, progress("predicting", " rows") as bar:
            bar.total, first, written = total, 0, 0
            for batch in batches.as_numpy_iterator():
                raw, row = batch["raw"], np.arange(first, first + batch["label"].size)
                columns = {"row": row, **{name: raw[name] for name in settings.key}}
                columns |= {name: batch[name] for name in others}
                columns["prediction"] = exports.probabilities("--export", models[0], raw, first)
                if moved is not None:
                    columns["moved"] = moved[row]
                    kept = moved[row] > settings.config.evaluation.unstable_pd
                    columns = {name: column[kept] for name, column in columns.items()}
                write(columns)
                bar.update(row.size)
                first += row.size
                written += columns["row"].size
    return written


def _moved(
    evaluation: Evaluation, artifacts: Sequence[Artifact], models: Sequence[SavedModel], batches: Any, total: int
) -> npt.NDArray[np.float64]:
    """By how much each row moves between the best model and a good one (see `churn.unstable_rows`), [n]."""
    parts: dict[str, list[Any]] = {"label": [], "weight": [], "prediction": []}
    with progress("predicting with all siblings", " rows") as bar:
        bar.total, first = total, 0
        for batch in batches.as_numpy_iterator():
            size = batch["label"].size
            every = zip(artifacts, models, strict=True)
            found = [exports.probabilities(each.flag, model, batch["raw"], first) for each, model in every]
            parts["prediction"].append(np.stack(found, axis=1))
            parts["label"].append(batch["label"])
            parts["weight"].append(batch.get("weight", np.ones(size)))
            bar.update(size)
            first += size
    label, weight, matrix = (np.concatenate(parts[name]) for name in ("label", "weight", "prediction"))
    unstable = churn.unstable_rows(label, matrix, weight, loss=evaluation.unstable_loss, pd=evaluation.unstable_pd)
    good = ", ".join(artifacts[model].path for model in unstable.good)
    print(f"unstable     {unstable.share:.2%} of the rows; as good as {artifacts[unstable.best].path}: {good}")
    return unstable.moved
