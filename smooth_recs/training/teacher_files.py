"""Which files a distilled run's teachers are, and whether they still are what the run began with."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from typing import Any

from smooth_recs._files import read_json, write_json
from smooth_recs.artifacts.exports import SAVED_MODEL, is_export, newest_version
from smooth_recs.callbacks.checkpoints import newest_first
from smooth_recs.data import encoding, files
from smooth_recs.errors import InputError
from smooth_recs.workdir import checkpoint_reader, manifest

NAME = "teachers.json"
FIELD = "distillation.teachers"


@dataclasses.dataclass(frozen=True)
class TeacherFiles:
    """One teacher: exports, or the checkpoint of a run.

    Attributes:
      path: as the configuration names it.
      models: where in it the exports, or the checkpoint, lie; "." for an export itself.
      fingerprint: of what they hold.
    """

    path: str
    models: tuple[str, ...]
    fingerprint: str

    @property
    def exports(self) -> list[str]:
        return [os.path.normpath(os.path.join(self.path, model)) for model in self.models]


def find(paths: Sequence[str], where: str, workdir: str) -> list[TeacherFiles]:
    """The teachers of the run in `workdir`: those that it began with, or, where it begins now, the newest versions.

    Args:
      paths: of exports, folders of versions of an export, or workdirs of finished runs.
      where: `pipeline` takes all of them, `step` takes checkpoints of runs.
      workdir: of the run; what `save` wrote there is what it began with.

    Raises:
      InputError: there is no teacher at a path, its run is not finished, or it is not the one that the run began with.
    """
    locate = _checkpoint if where == "step" else _exports
    begun = os.path.join(workdir, NAME)
    if not os.path.exists(begun):
        return [_with_fingerprint(path, locate(path)) for path in paths]
    pinned = [TeacherFiles(entry["path"], tuple(entry["models"]), entry["fingerprint"]) for entry in _read(begun)]
    if [teacher.path for teacher in pinned] != list(paths):
        raise InputError(f"{FIELD} must be those that the run in {workdir} began with, see {begun}")
    for teacher in pinned:
        _check_unchanged(teacher)
    return pinned


def save(teachers: Sequence[TeacherFiles], workdir: str) -> None:
    """Writes `teachers.json`, from which a run that resumes knows its teachers."""
    write_json(os.path.join(workdir, NAME), [dataclasses.asdict(teacher) for teacher in teachers])


def _read(path: str) -> list[dict[str, Any]]:
    try:
        return list(read_json(path))
    except ValueError as error:
        raise InputError(f"{path} cannot be read: {error}") from error


def _check_unchanged(teacher: TeacherFiles) -> None:
    what = f"{FIELD}: {teacher.path} is stale: its version {', '.join(teacher.models)}, with which this run began,"
    try:
        now = _with_fingerprint(teacher.path, teacher.models)
    except OSError as error:
        raise InputError(f"{what} is gone: put it back or take another workdir") from error
    if now.fingerprint != teacher.fingerprint:
        raise InputError(f"{what} has changed: put it back or take another workdir")


def _exports(path: str) -> tuple[str, ...]:
    if os.path.exists(os.path.join(path, "config.json")):
        exports = tuple(_finished(path).metrics.get("exports", ()))
        lost = [export for export in exports if not is_export(os.path.join(path, export))]
        if lost or not exports:
            missing = ", ".join(lost) or "one"
            raise InputError(f"{FIELD}: the run in {path} must still have its exports, got no {missing}")
        return exports
    newest = newest_version(path)
    if newest is None:
        raise InputError(
            f"{FIELD} must be exports, folders of an export's versions or workdirs of finished runs, got {path!r}"
        )
    return (os.path.relpath(newest, path),)


def _checkpoint(path: str) -> tuple[str, ...]:
    if not os.path.exists(os.path.join(path, "config.json")):
        raise InputError(f"{FIELD} must be workdirs of finished runs with distillation.where step, got {path!r}")
    _finished(path)
    newest = newest_first(checkpoint_reader.folder(path))
    if not newest:
        raise InputError(f"{FIELD}: the run in {path} must still have its checkpoints, got none")
    if not os.path.exists(os.path.join(path, encoding.NAME)):
        raise InputError(f"{FIELD}: the run in {path} must say how it encodes its data, got no {encoding.NAME}")
    return (os.path.relpath(newest[0], path),)


def _finished(path: str) -> manifest.Finished:
    try:
        return manifest.read_finished(path)
    except InputError as error:
        raise InputError(f"{FIELD}: {error}") from error


def _with_fingerprint(path: str, models: Sequence[str]) -> TeacherFiles:
    contents = [file for model in models for file in _contents(path, model)]
    return TeacherFiles(path, tuple(models), files.fingerprint(contents, tuple(models)))


def _contents(path: str, model: str) -> list[str]:
    """The files of an export, or of a checkpoint and what tells how to read it."""
    place = os.path.normpath(os.path.join(path, model))
    if is_export(place):
        inside = [os.path.join(folder, name) for folder, _, names in os.walk(place) for name in names]
        return [os.path.join(place, SAVED_MODEL), *sorted(f for f in inside if os.path.dirname(f) != place)]
    folder, name = os.path.split(place)
    parts = [os.path.join(folder, part) for part in sorted(os.listdir(folder)) if part.startswith(f"{name}.")]
    beside = [os.path.join(path, name) for name in _BESIDE]
    if not parts or not all(map(os.path.exists, beside)):
        raise FileNotFoundError(place)
    return [*parts, *beside]


_BESIDE = ("config.json", encoding.NAME)
