"""The live model of a run: found and asked for its predictions of the held-out rows before the run trains.

Its predictions stay in the workdir. So a run that resumes is compared with the model that it began with, even where
that has been replaced meanwhile, and the model need not be there any more when the run ends.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from typing import Any

import numpy as np
import numpy.typing as npt

from smooth_recs import _files
from smooth_recs.artifacts import exports, prediction_files
from smooth_recs.artifacts.exports import KERAS, PREDICTIONS, Artifact, Model, SavedModel
from smooth_recs.artifacts.keras_models import KerasModel
from smooth_recs.artifacts.prediction_files import Wanted
from smooth_recs.data.files import progress
from smooth_recs.data.sources import Source
from smooth_recs.errors import InputError

FIELD = "evaluation.live"
NAME, PREDICTED = "live.json", "live.parquet"
_BATCH_SIZE = 4096


@dataclasses.dataclass(frozen=True)
class LiveModel:
    """The live model, as a run begins with it.

    Attributes:
      path: what was found: of a folder of versions the newest, of a workdir that of its first sibling.
      kind: `export`, `keras` or `predictions`.
      fingerprint: of the contents.
      prediction: [n] probabilities of the held-out rows.
    """

    path: str
    kind: str
    fingerprint: str
    prediction: npt.NDArray[np.float64]

    def about(self) -> dict[str, str]:
        """Which model it is, for JSON."""
        return {"path": self.path, "kind": self.kind, "fingerprint": self.fingerprint}

    def save(self, workdir: str) -> None:
        """Leaves in the workdir what a resumed run goes on with; the predictions as `evaluation.live` itself takes."""
        with prediction_files.writer(os.path.join(workdir, PREDICTED)) as write:
            write({"row": np.arange(self.prediction.size), "prediction": self.prediction})
        _files.write_json(os.path.join(workdir, NAME), self.about())


def open_live(path: str, workdir: str, source: Source) -> LiveModel | None:
    """The live model with its predictions of the held-out rows; None where there is none.

    Args:
      path: `evaluation.live`.
      workdir: of the run, which may have begun already.
      source: of the held-out rows.

    Raises:
      InputError: nothing at the path predicts, its inputs are not the features of the data, what it gives are not
        probabilities, or a file of predictions is of other rows.
    """
    if not path:
        return None
    begun = os.path.join(workdir, NAME)
    if _files.exists(begun):
        kept = prediction_files.read(Artifact(FIELD, os.path.join(workdir, PREDICTED), PREDICTIONS), Wanted())
        return LiveModel(**_files.read_json(begun), prediction=kept["prediction"])
    artifact = exports.identify(FIELD, path)
    predicted = _of_file(artifact, source) if artifact.kind == PREDICTIONS else _of_model(artifact, source)
    return LiveModel(artifact.path, artifact.kind, exports.fingerprint(artifact), predicted)


def _of_file(artifact: Artifact, source: Source) -> npt.NDArray[np.float64]:
    """The predictions of a file, which must be of the held-out rows in their order."""
    there = prediction_files.column_names(artifact.path)
    if "prediction" not in there:
        raise InputError(f"{FIELD}: {artifact.path} must have a column 'prediction', got {', '.join(there) or 'none'}")
    columns = prediction_files.read(artifact, Wanted())
    predicted: npt.NDArray[np.float64] = columns["prediction"]
    if predicted.size != source.eval_rows:
        raise InputError(
            f"{FIELD}: {artifact.path} must have the {source.eval_rows:,} held-out rows in their order, got "
            f"{predicted.size:,} rows"
        )
    first = 0
    for rows in source.holdout().rebatch(_BATCH_SIZE).as_numpy_iterator() if "label" in columns else ():
        label = columns["label"][first : first + rows["label"].size]
        differ = np.flatnonzero(label != rows["label"])
        if differ.size:
            row = int(differ[0])
            raise InputError(
                f"{FIELD}: {artifact.path} must have the labels of the held-out rows, got {label[row]:g} in row "
                f"{first + row}, where the data have {rows['label'][row]:g}"
            )
        first += label.size
    return predicted


def _of_model(artifact: Artifact, source: Source) -> npt.NDArray[np.float64]:
    """What a model predicts for the held-out rows."""
    model: Model = (KerasModel if artifact.kind == KERAS else SavedModel)(FIELD, artifact.path)
    parts: list[Any] = []
    first = 0
    with contextlib.closing(model), progress("live model", " rows") as bar:
        exports.check_inputs(FIELD, model.inputs, source.encoder.raw_signature())
        bar.total = source.eval_rows
        for rows in source.holdout(raw=True).rebatch(_BATCH_SIZE).prefetch(2).as_numpy_iterator():
            parts.append(exports.probabilities(FIELD, model, rows["raw"], first))
            first += parts[-1].size
            bar.update(parts[-1].size)
    return np.concatenate(parts)
