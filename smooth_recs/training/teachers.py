"""The teachers of a distilled run: found and checked before it trains, then asked for predictions.

A teacher is pinned: a run that resumes refuses files that are not what it began with. Exports get raw rows in the input
pipeline; models of runs get encoded rows in the training step.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf
from tensorflow.python.framework import convert_to_constants

from smooth_recs import _files, _paths
from smooth_recs.artifacts.exports import SAVED_MODEL, SavedModel, is_export, newest_version
from smooth_recs.callbacks.checkpoints import newest_first
from smooth_recs.config import Config
from smooth_recs.data import encoding, files
from smooth_recs.data.encoding import Encoder, Encoding
from smooth_recs.data.sources import AddedFeature, Source
from smooth_recs.errors import InputError
from smooth_recs.losses import TEACHER_PROBABILITY
from smooth_recs.workdir import checkpoint_reader, manifest

NAME = "teachers.json"
FIELD = "distillation.teachers"
TRIED_ROWS = 1000
MOST_BYTES = 2 << 30  # of a TensorFlow graph with its constants
_BESIDE = ("config.json", encoding.NAME)  # what tells how to read a run's checkpoint


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
        return [_paths.normalized(os.path.join(self.path, model)) for model in self.models]


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
    if not _files.exists(begun):
        return [_with_fingerprint(path, locate(path)) for path in paths]
    repair = "take another workdir, or delete it where the teachers are those that the run began with"
    entries = _files.read_json(begun, repair)
    try:
        pinned = [TeacherFiles(entry["path"], tuple(entry["models"]), entry["fingerprint"]) for entry in entries]
    except (KeyError, TypeError) as error:
        raise InputError(f"{begun} must hold teachers, each with path, models and fingerprint: {repair}") from error
    if [teacher.path for teacher in pinned] != list(paths):
        raise InputError(f"{FIELD} must be those that the run in {workdir} began with, see {begun}")
    for teacher in pinned:
        what = f"{FIELD}: {teacher.path} is stale: its version {', '.join(teacher.models)}, with which this run began,"
        try:
            now = _with_fingerprint(teacher.path, teacher.models)
        except OSError as error:
            raise InputError(f"{what} is gone: put it back or take another workdir") from error
        if now.fingerprint != teacher.fingerprint:
            raise InputError(f"{what} has changed: put it back or take another workdir")
    return pinned


def save(teachers: Sequence[TeacherFiles], workdir: str) -> None:
    """Writes `teachers.json`, from which a run that resumes knows its teachers."""
    _files.write_json(os.path.join(workdir, NAME), [dataclasses.asdict(teacher) for teacher in teachers])


def _exports(path: str) -> tuple[str, ...]:
    if _files.exists(os.path.join(path, "config.json")):
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
    if not _files.exists(os.path.join(path, "config.json")):
        raise InputError(f"{FIELD} must be workdirs of finished runs with distillation.where step, got {path!r}")
    _finished(path)
    newest = newest_first(checkpoint_reader.folder(path))
    if not newest:
        raise InputError(f"{FIELD}: the run in {path} must still have its checkpoints, got none")
    if not _files.exists(os.path.join(path, encoding.NAME)):
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
    place = _paths.normalized(os.path.join(path, model))
    if is_export(place):
        inside = [file for file in _files.files_in(place) if _paths.parent(file) != place]
        return [os.path.join(place, SAVED_MODEL), *inside]
    folder, name = os.path.split(place)
    parts = [os.path.join(folder, part) for part in _files.listdir(folder) if part.startswith(f"{name}.")]
    beside = [os.path.join(path, name) for name in _BESIDE]
    if not parts or not all(map(_files.exists, beside)):
        raise FileNotFoundError(place)
    return [*parts, *beside]


class Teachers:
    """What `open_teachers` returns; without any teacher nothing of a run changes.

    Attributes:
      runs: workdirs and configurations of the runs whose siblings are asked in the training step; none where exports
        are asked in the input pipeline.
    """

    def __init__(
        self,
        files: Sequence[TeacherFiles] = (),
        exports: TeacherExports | None = None,
        runs: Sequence[tuple[str, Config]] = (),
    ) -> None:
        self._files, self._exports, self.runs = files, exports, runs

    def __bool__(self) -> bool:
        return bool(self._files)

    def save(self, workdir: str) -> None:
        """Leaves in the workdir what a resumed run is to find unchanged."""
        if self._files:
            save(self._files, workdir)

    def source(self, source: Source, elsewhere: bool = False) -> Source:
        """The source to train on: where teachers predict in the pipeline, its training rows come with what they do.

        Args:
          source: of the run.
          elsewhere: other processes read it, so that the teachers have to travel there, as constants of the graph.

        Raises:
          InputError: the teachers cannot travel.
        """
        if self._exports is None:
            return source
        return AddedFeature(source, TEACHER_PROBABILITY, self._exports.constant if elsewhere else self._exports)


def open_teachers(config: Config, workdir: str, source: Source) -> Teachers:
    """The teachers that `config.distillation` names, known to fit the rows of `source`.

    Args:
      config, workdir, source: of the run.

    Raises:
      InputError: a teacher is not there, its run is not finished, its inputs are not the schema's features, what it
        returns are not probabilities, its rows are encoded in another way (`step`), or it has changed since the run
        began.
    """
    settings = config.distillation
    if not settings.teachers:
        return Teachers()
    if TEACHER_PROBABILITY in {feature.name for feature in source.schema.features}:
        raise InputError(f"data.schema: with {FIELD} no feature may have the name {TEACHER_PROBABILITY!r}, got one")
    files = find(settings.teachers, settings.where, workdir)
    if settings.where == "step":
        runs = [(teacher.path, _config(teacher.path)) for teacher in files]
        for path, _ in runs:
            _check_encoding(path, source.encoder)
        return Teachers(files, runs=runs)
    exports = TeacherExports([path for teacher in files for path in teacher.exports], source.encoder)
    exports.check(source)
    return Teachers(files, exports)


def _check_encoding(path: str, encoder: Encoder) -> None:
    """Raises InputError, which names the features that the run in `path` does not encode as `encoder` does."""
    there, here = encoding.load(f"{path}/{encoding.NAME}"), Encoding.of(encoder)
    known = [_encodings(each) for each in (there, here)]
    others = sorted(name for name in known[0].keys() | known[1].keys() if known[0].get(name) != known[1].get(name))
    if others or list(known[0]) != list(known[1]):
        words = ", ".join(map(repr, others)) or "the order of the features"
        raise InputError(
            f"{FIELD}: with distillation.where step the run in {path} must encode its data as this one does, got "
            f"another encoding of {words}: take where pipeline"
        )


def _encodings(known: Encoding) -> dict[str, Any]:
    """Everything that says how each feature is encoded, by its name and in the features' order."""
    vocabularies, moments = known.statistics.vocabularies, known.statistics.moments
    return {f.name: (f, vocabularies.get(f.name), moments.get(f.name)) for f in known.schema.features}


def _config(path: str) -> Config:
    """The configuration of a finished run."""
    try:
        return Config.from_dict(manifest.read_finished(path).config)
    except InputError as error:
        raise InputError(f"{FIELD}: the run in {path} is of another version: {error}") from error


class TeacherExports:
    """The mean probability of exports, from the raw features of a log."""

    def __init__(self, paths: Sequence[str], encoder: Encoder) -> None:
        self._paths, self._features = paths, encoder.raw_signature()
        with tf.device("CPU:0"):  # where input pipelines run
            self._models = [SavedModel(FIELD, path) for path in paths]
        for path, model in zip(paths, self._models, strict=True):
            _check_inputs(path, model, self._features)

    def __call__(self, raw: Mapping[str, Any]) -> tf.Tensor:
        return tf.add_n([_predicted(model, raw) for model in self._models]) / len(self._models)

    def check(self, source: Source) -> None:
        """Asks each for the first training rows, so that what does not work ends the run before it begins."""
        rows = next(iter(source.train(raw=True).rebatch(min(TRIED_ROWS, source.train_rows))))
        for path, model in zip(self._paths, self._models, strict=True):
            try:
                values = _predicted(model, rows["raw"]).numpy()
            except tf.errors.OpError as error:
                why = error.message.splitlines()[0]
                raise InputError(f"{FIELD}: the export {path} cannot predict: {why}") from error
            if values.shape != rows["label"].shape:
                raise InputError(f"{FIELD}: the export {path} must return one probability a row, got {values.shape}")
            wrong = values[~((values >= 0) & (values <= 1))]
            if wrong.size:
                raise InputError(f"{FIELD}: the export {path} must return probabilities, got {wrong[0]:g}")

    @functools.cached_property
    def constant(self) -> Any:
        """The same function with the variables as constants, for other processes."""
        names = sorted({name for model in self._models for name in model.inputs or ()})

        @tf.function
        def predict(*columns: tf.Tensor) -> tf.Tensor:
            return self(dict(zip(names, columns, strict=True)))

        traced = predict.get_concrete_function(*(self._features[name] for name in names))
        if sum(tensor.dtype == tf.resource for tensor in traced.captured_inputs) > len(traced.variables):
            raise InputError(
                f"{FIELD}: an export with a lookup table cannot predict in the pipeline of parameter_server, where it "
                f"would have to travel: one of {', '.join(self._paths)}"
            )
        size = sum(variable.shape.num_elements() * variable.dtype.size for variable in traced.variables)
        if size >= MOST_BYTES:
            raise InputError(
                f"{FIELD}: exports of less than {MOST_BYTES >> 30} GiB together can predict in the pipeline of "
                f"parameter_server, got {size >> 20:,} MiB: take distillation.where step"
            )
        frozen = convert_to_constants.convert_variables_to_constants_v2(traced)
        return lambda raw: tf.reshape(frozen(*(raw[name] for name in names))[0], [-1])


def _predicted(model: SavedModel, raw: Mapping[str, Any]) -> tf.Tensor:
    """[n] of n rows."""
    inputs = model.inputs or {}
    columns = {name: raw[name][:, None] if _is_column(inputs[name], raw[name]) else raw[name] for name in inputs}
    return tf.reshape(tf.cast(model(columns), tf.float32), [-1])


def _is_column(wanted: Any, values: Any) -> bool:
    """Whether an input of shape [n, 1] gets values of shape [n]."""
    return len(wanted.shape) == 2 and values.shape.rank == 1


def _check_inputs(path: str, model: SavedModel, features: Mapping[str, tf.TensorSpec]) -> None:
    """Raises InputError, which names every input that the features cannot give."""
    problems = []
    for name, wanted in sorted((model.inputs or {}).items()):
        there = features.get(name)
        if there is None:
            problems.append(f"{name!r} is no feature of the data")
        elif wanted.dtype != there.dtype.name:
            problems.append(f"{name!r} is {wanted.dtype}, the feature {there.dtype.name}")
        elif wanted.shape[1:] not in (((None,),) if there.shape.rank == 2 else ((), (1,), (None,))):
            problems.append(f"{name!r} has shape {list(wanted.shape)}, the feature {there.shape.as_list()}")
    if problems:
        raise InputError(f"{FIELD}: the inputs of the export {path} must be features: {'; '.join(problems)}")
