"""The predictions of an export over a data set: the work behind `smooth_recs.bin.predict`."""

from __future__ import annotations

import contextlib
import dataclasses
import os

import numpy as np

from smooth_recs._files import check_output
from smooth_recs.artifacts import exports
from smooth_recs.artifacts.exports import EXPORT, PREDICTION_FILES, SavedModel
from smooth_recs.comparison import prediction_files, predictions
from smooth_recs.comparison.settings import BATCH_SIZE
from smooth_recs.config import Config
from smooth_recs.data.files import progress
from smooth_recs.data.presets import open_rows, open_source
from smooth_recs.errors import InputError

_COLUMNS = ("row", "query_id", "weight", "label", "prediction")


@dataclasses.dataclass(frozen=True)
class PredictSettings:
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


def predict(settings: PredictSettings) -> int:
    """Writes `settings.output`, whole or not at all; returns the number of rows.

    Args:
      settings: what is predicted, and where it goes.

    Raises:
      InputError: the export, the data or a flag is not what it must be.

    ```python
    settings = PredictSettings("runs/demo/smelu/export/replica_0", Config(), "predictions.csv")
    predict(settings)  # the number of held-out rows
    ```
    """
    artifact = exports.identify("--export", settings.export)
    if artifact.kind != EXPORT:
        raise InputError(f"--export must be a SavedModel or a folder of its versions, got {settings.export}")
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
    with contextlib.closing(SavedModel("--export", artifact.path)) as model:
        exports.check_inputs("--export", model.inputs, features)
        with prediction_files.writer(settings.output) as write, progress("predicting", " rows") as bar:
            bar.total, first = total, 0
            for batch in batches.as_numpy_iterator():
                raw, row = batch["raw"], np.arange(first, first + batch["label"].size)
                columns = {"row": row, **{name: raw[name] for name in settings.key}}
                columns |= {name: batch[name] for name in others}
                write(columns | {"prediction": predictions.probabilities("--export", model, raw, first)})
                bar.update(row.size)
                first += row.size
    return total
