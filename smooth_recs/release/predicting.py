"""The predictions of an export over a data set: the work behind `smooth_recs.bin.predict`."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from smooth_recs._files import check_output
from smooth_recs.artifacts import exports, prediction_columns
from smooth_recs.artifacts.exports import EXPORT, PREDICTION_FILES, SavedModel
from smooth_recs.comparison import settings
from smooth_recs.comparison.settings import BATCH_SIZE
from smooth_recs.config import Config
from smooth_recs.data.files import progress
from smooth_recs.data.presets import open_rows, open_source
from smooth_recs.errors import InputError

Columns = dict[str, npt.NDArray[Any]]

_COLUMNS = ("row", "query_id", "weight", "label", "prediction")


@dataclasses.dataclass(frozen=True)
class Wish:
    """The flags of `smooth_recs.bin.predict`.

    Attributes:
      export: a SavedModel, or a folder of its versions.
      config: whose held-out rows are predicted, or that tells how to read `data`.
      output: the file to write.
      data: files whose rows are predicted in place of the held-out ones; None: none.
      key: single-valued features that are written beside each prediction.

    Raises:
      InputError: an `output` of another kind of file, or a `key` that the file has as a column of its own.
    """

    export: str
    config: Config
    output: str
    data: str | None = None
    key: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.output.endswith(PREDICTION_FILES):
            raise InputError(f"--output must end in one of {', '.join(PREDICTION_FILES)}, got {self.output!r}")
        for name in self.key:
            if name in _COLUMNS:
                raise InputError(f"--key must not name {name!r}, which the file has as a column of its own")


class _Rows(NamedTuple):
    """`batches` of raw rows, how many rows that is in all, and the columns besides the features."""

    total: int
    batches: Any
    others: list[str]


def predict(wish: Wish) -> int:
    """Writes `wish.output`, whole or not at all; returns the number of rows.

    Raises:
      InputError: the export, the data or a flag is not what it must be.

    ```python
    wish = Wish("runs/demo/smelu/export/replica_0", Config(), "predictions.csv")
    predict(wish)  # the number of held-out rows
    ```
    """
    artifact = exports.identify("--export", wish.export)
    if artifact.kind != EXPORT:
        raise InputError(f"--export must be a SavedModel or a folder of its versions, got {wish.export}")
    check_output("--output", wish.output)
    rows = _opened(wish)
    features = rows.batches.element_spec["raw"]
    _check_key(wish, features)
    with contextlib.closing(SavedModel("--export", artifact.path)) as model:
        exports.check("--export", model.inputs, features)
        with prediction_columns.writing(wish.output) as write, progress("predicting", " rows") as bar:
            bar.total = rows.total
            for columns in _predicted(wish, rows, model):
                write(columns)
                bar.update(columns["row"].size)
    return rows.total


def _opened(wish: Wish) -> _Rows:
    data, cache = wish.config.data, os.path.join(os.path.dirname(os.path.abspath(wish.output)), "cache")
    if wish.data is None:
        source = open_source(data, cache)
        schema, total, chunks = source.schema, source.eval_rows, source.holdout(raw=True)
    elif data.source == "synthetic":
        raise InputError("--data needs a --config of files: its data.source must not be synthetic")
    else:
        found = open_rows(data, wish.data, cache)
        schema, total, chunks = found.schema, found.survey.good, found.chunks
        if found.survey.malformed:
            print(f"{found.survey.malformed:,} malformed rows are left out: {'; '.join(found.survey.places)}")
    others = [name for name in ("query_id", "weight") if getattr(schema, name)] + ["label"]
    wanted = chunks.map(lambda chunk: {name: chunk[name] for name in ("raw", *others)})
    return _Rows(total, wanted.rebatch(BATCH_SIZE).prefetch(2), others)


def _check_key(wish: Wish, features: Any) -> None:
    single = [name for name, spec in features.items() if spec.shape.rank == 1]
    for name in wish.key:
        if name not in single:
            raise InputError(f"--key must name single-valued features ({', '.join(single)}), got {name!r}")


def _predicted(wish: Wish, rows: _Rows, model: SavedModel) -> Iterator[Columns]:
    first = 0
    for batch in rows.batches.as_numpy_iterator():
        raw, row = batch["raw"], np.arange(first, first + batch["label"].size)
        found = np.asarray(model.predict(exports.feed("--export", model.inputs, raw)), np.float64)
        if found.shape not in ((row.size,), (row.size, 1)):
            raise InputError(f"--export: the model must give one probability a row, got shape {list(found.shape)}")
        settings.check_predictions("--export", found.reshape(-1), row)
        key = {name: raw[name] for name in wish.key}
        yield {"row": row, **key, **{name: batch[name] for name in rows.others}, "prediction": found.reshape(-1)}
        first += row.size
