"""What a path holds: an export, a Keras model or a file of predictions."""

from __future__ import annotations

import os
from typing import NamedTuple

from smooth_recs.data import files
from smooth_recs.errors import InputError
from smooth_recs.serving import versions

EXPORT, KERAS, PREDICTIONS = "export", "keras", "predictions"
PREDICTION_FILES = (".csv", ".csv.gz", ".tfrecord", ".tfrecord.gz", ".parquet")


class Artifact(NamedTuple):
    """One side of a comparison.

    Attributes:
      flag: `--a` or `--b`, which error messages begin with.
      path: the file or folder itself; of a folder of versions, the newest one.
      kind: `export`, `keras` or `predictions`.
    """

    flag: str
    path: str
    kind: str


def identify(flag: str, path: str) -> Artifact:
    """What `path` is; raises InputError where it is nothing that can be compared."""
    if os.path.isdir(path):
        return Artifact(flag, _newest(flag, path), EXPORT)
    if not os.path.exists(path):
        raise InputError(f"{flag}: no such file or folder: {path}")
    if path.endswith(".keras"):
        return Artifact(flag, path, KERAS)
    if path.endswith(PREDICTION_FILES):
        return Artifact(flag, path, PREDICTIONS)
    kinds = ", ".join(PREDICTION_FILES)
    raise InputError(f"{flag} must be a SavedModel, a .keras file or predictions ({kinds}), got {path}")


def fingerprint(artifact: Artifact) -> str:
    """Digest of the contents and of the names within a folder; where the artifact lies does not count."""
    found = [artifact.path]
    if os.path.isdir(artifact.path):
        found = sorted(os.path.join(folder, name) for folder, _, names in os.walk(artifact.path) for name in names)
    return files.fingerprint(found, *(os.path.relpath(file, artifact.path) for file in found))


def _newest(flag: str, path: str) -> str:
    """The folder itself if it is a SavedModel, else that of its versions with the highest number."""
    newest = versions.newest(path)
    if newest is None:
        kind = versions.SAVED_MODEL
        raise InputError(f"{flag}: the folder holds neither {kind} nor a folder of a version that does: {path}")
    return newest
