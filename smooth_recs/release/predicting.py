"""The predictions of an export over a data set: the work behind `smooth_recs.bin.predict`."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from smooth_recs import _files, _paths, extras
from smooth_recs.artifacts import exports, prediction_files
from smooth_recs.artifacts.exports import EXPORT, PREDICTION_FILES, Artifact, SavedModel
from smooth_recs.comparison.settings import BATCH_SIZE
from smooth_recs.config import Config, Data, Evaluation
from smooth_recs.data import survey
from smooth_recs.data.files import progress
from smooth_recs.data.presets import copying, open_rows, open_source, origin
from smooth_recs.data.raw_rows import chunks
from smooth_recs.errors import InputError
from smooth_recs.measures import predictive_churn
from smooth_recs.schema import Schema

with extras.needed("parquet"):
    import pyarrow as pa

_PREDICTED = ("raw", "copied", "query_id", "weight", "label", "labels")  # what is taken of a chunk
_COLUMNS = ("row", "weight", "label", "prediction", "moved")


@dataclasses.dataclass(frozen=True)
class PredictSettings:
    """The flags of `smooth_recs.bin.predict`.

    Attributes:
      export: a SavedModel, or a folder of its versions.
      config: whose held-out rows are predicted, or that tells how to read `data`.
      output: the file to write.
      data: files whose rows are predicted in place of the held-out ones; None: none.
      key: columns of the files that are written beside each prediction, as they stand there; of a synthetic log,
        single-valued features. A key `query_id` takes the place of the fingerprints.
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
            tasks = [f"{part}_{task}" for task in _labels(self.config.data)[1:] for part in ("label", "prediction")]
            if name in (*_COLUMNS, *tasks):
                raise InputError(f"--key must not name {name!r}, which the file has as a column of its own")
            if self.key.count(name) > 1:
                raise InputError(f"--key must name each column once, got {name!r} twice")


def predict(settings: PredictSettings) -> int:
    """Writes `settings.output`, whole or not at all; returns the number of rows.

    With siblings, it lists the rows that `predictive_churn.unstable_rows` finds with `evaluation.unstable_loss` and
    `unstable_pd` of the configuration; `moved` says by how much.

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
    _files.check_output("--output", settings.output)

    rows = _held_out(settings) if settings.data is None else _of_files(settings, settings.data)
    if settings.siblings and not rows.schema.labels:
        raise InputError("--siblings need labels, which tell the good models: the files of --data have none")
    wanted = rows.chunks.map(lambda chunk: {name: chunk[name] for name in _PREDICTED if name in chunk})
    batches = wanted.rebatch(BATCH_SIZE).prefetch(2)  # rows are read while the model predicts

    # All that can be wrong with the flags and the model is found before the file is begun.
    features = batches.element_spec["raw"]
    with contextlib.ExitStack() as stack:
        models = []
        for artifact in artifacts:
            models.append(stack.enter_context(contextlib.closing(SavedModel(artifact.flag, artifact.path))))
            exports.check_inputs(artifact.flag, models[-1].inputs, features)
        tasks = [name for name in _labels(settings.config.data)[1:] if name in models[0].outputs]
        # Which sibling is the best is known only once all rows are predicted: they are read twice then.
        moved = (
            _moved(settings.config.evaluation, artifacts, models, batches, rows.total) if settings.siblings else None
        )
        with prediction_files.writer(settings.output) as write, progress("predicting", " rows") as bar:
            bar.total, first, written = rows.total, 0, 0
            for batch in chunks(batches):
                row = np.arange(first, first + next(iter(batch["raw"].values())).shape[0])
                columns = {"row": row} | {name: rows.key(name, batch) for name in settings.key}
                columns |= _known(batch, rows.schema, settings.key)
                predicted = exports.task_probabilities("--export", models[0], batch["raw"], first, tasks)
                names = ["prediction", *(f"prediction_{name}" for name in tasks)]
                columns |= dict(zip(names, predicted, strict=True))
                if moved is not None:
                    columns["moved"] = moved[row]
                    kept = moved[row] > settings.config.evaluation.unstable_pd
                    columns = {
                        name: column.filter(pa.array(kept)) if isinstance(column, pa.Array) else column[kept]
                        for name, column in columns.items()
                    }
                write(columns)
                bar.update(row.size)
                first += row.size
                written += columns["row"].size
    return written


@contextlib.contextmanager
def _named_as(flag: str, columns: Collection[str]) -> Iterator[None]:
    """Makes an InputError about `data.path` name the flag that gave it, or --key where a column of that is missing."""
    try:
        yield
    except InputError as error:
        lacking = any(str(error).startswith(f"data.path: the column {column!r} is not in") for column in columns)
        raise InputError(re.sub("^data.path", "--key" if lacking else flag, str(error))) from error


class _Rows(NamedTuple):
    """Rows to predict: `chunks`, `total` of them, and `key`, which gives a key's column of a batch."""

    schema: Schema
    chunks: Any
    total: int
    key: Callable[[str, Mapping[str, Any]], Any]


def _cache(settings: PredictSettings) -> str:
    return os.path.join(_paths.parent(_paths.absolute(settings.output)), "cache")


def _held_out(settings: PredictSettings) -> _Rows:
    """The rows that the configuration holds out."""
    data = settings.config.data
    if data.source == "synthetic":
        source = open_source(data, _cache(settings))
        features = source.encoder.raw_signature()
        single = [name for name, spec in features.items() if spec.shape.rank == 1]
        for name in settings.key:
            if name not in single:
                raise InputError(f"--key must name single-valued features ({', '.join(single)}), got {name!r}")
        return _Rows(source.schema, source.holdout(raw=True), source.eval_rows, lambda name, batch: batch["raw"][name])
    schema = origin(data).training.schema
    columns = _columns(settings.key, schema)
    with _named_as("data.path", columns.values()):
        data = copying(data, list(columns.values()))
        source, types = open_source(data, _cache(settings)), getattr(origin(data).training, "copied_types", {})
    return _Rows(source.schema, source.holdout(raw=True), source.eval_rows, _copied(settings, columns, types))


def _of_files(settings: PredictSettings, path: str) -> _Rows:
    """All rows of other files that the model can predict."""
    data = settings.config.data
    if data.source == "synthetic":
        raise InputError("--data needs a --config of files: its data.source must not be synthetic")
    columns = _columns(settings.key, data.schema)
    with _named_as("--data", columns.values()):
        found = open_rows(data, path, _cache(settings), list(columns.values()))
    if found.survey.malformed:
        print(survey.left_out(found.survey.malformed, found.survey.places))
    return _Rows(found.schema, found.chunks, found.survey.good, _copied(settings, columns, found.types))


def _columns(key: Sequence[str], schema: Schema | None) -> dict[str, str]:
    """The column of the files that each key stands for: a feature's own one, or one of that name."""
    features = {} if schema is None else {feature.name: feature for feature in schema.features}
    for name in key:
        if getattr(features.get(name), "multi_valued", False):
            raise InputError(f"--key must name columns of single values, got {name!r}")
    return {name: features[name].source_column if name in features else name for name in key}


def _copied(settings: PredictSettings, columns: Mapping[str, str], types: Mapping[str, Any]) -> Any:
    """A function that gives a key's column of a batch, as the files have it."""

    def key(name: str, batch: Mapping[str, Any]) -> Any:
        texts, dtype = batch["copied"][columns[name]], types.get(columns[name])
        if dtype is None or settings.output.endswith((".csv", ".csv.gz")):
            return texts
        return prediction_files.typed(texts, dtype)

    return key


def _known(batch: Mapping[str, Any], schema: Schema, key: Sequence[str]) -> dict[str, Any]:
    """What else is known of a batch's rows: nothing where a request is unknown, or a weight or label is not right."""
    known = {}
    if schema.query_id and "query_id" not in key:
        known["query_id"] = pa.array(batch["query_id"], mask=batch["query_id"] < 0)
    if schema.weight:
        known["weight"] = batch["weight"]
    if schema.labels:
        known["label"] = batch["label"]
    for number, name in enumerate(schema.labels[1:], start=1):
        known[f"label_{name}"] = batch["labels"][:, number]
    return known


def _labels(data: Data) -> Sequence[str]:
    """The labels that a configuration names, which a model of several tasks has outputs for."""
    return data.labels or (data.schema.labels if data.schema else ())


def _moved(
    evaluation: Evaluation, artifacts: Sequence[Artifact], models: Sequence[SavedModel], batches: Any, total: int
) -> npt.NDArray[np.float64]:
    """How much each row moves between the best model and a good one (see `predictive_churn.unstable_rows`), [n]."""
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
    unstable = predictive_churn.unstable_rows(
        label, matrix, weight, loss=evaluation.unstable_loss, pd=evaluation.unstable_pd
    )
    good = ", ".join(artifacts[model].path for model in unstable.good)
    print(f"unstable     {unstable.share:.2%} of the rows; as good as {artifacts[unstable.best].path}: {good}")
    return unstable.moved
