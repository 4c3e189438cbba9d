"""The teachers of a distilled run: opened and checked before it trains, and asked where the configuration says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from smooth_recs import losses
from smooth_recs.config import Config
from smooth_recs.data import encoder_file
from smooth_recs.data.added_feature import AddedFeature
from smooth_recs.data.encoding import Encoder
from smooth_recs.data.source import Source
from smooth_recs.errors import InputError
from smooth_recs.models.distillation import TEACHER_PROBABILITY, Distillation
from smooth_recs.models.siblings import SiblingModel
from smooth_recs.run import fitting, teacher_files
from smooth_recs.run import workdir as workdirs
from smooth_recs.run.teacher_exports import TeacherExports
from smooth_recs.run.teacher_files import FIELD, TeacherFiles


class Teachers:
    """What `open_teachers` returns; without any teacher nothing of a run changes."""

    def __init__(self, config: Config, files: Sequence[TeacherFiles], exports: TeacherExports | None = None) -> None:
        self._config, self._files, self._exports = config, files, exports

    def save(self, workdir: str) -> None:
        """Leaves in the workdir what a resumed run is to find unchanged."""
        if self._files:
            teacher_files.save(self._files, workdir)

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

    def distillation(self, source: Source) -> Distillation | None:
        """The students' objective; under a strategy, in its scope.

        Raises:
          InputError: a teacher that is asked in the step does not take the rows of `source`.
        """
        if not self._files:
            return None
        settings = self._config.distillation
        steps = fitting.steps_of_epoch(self._config, source) * self._config.train.epochs
        teacher = None if self._exports else _together([_restored(teacher.path, source) for teacher in self._files])
        tf.keras.utils.set_random_seed(self._config.seed)  # students begin as they would without teachers
        return Distillation(settings.loss, losses.Ramp(settings.weight, steps), teacher)


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
        return Teachers(config, ())
    if TEACHER_PROBABILITY in {feature.name for feature in source.schema.features}:
        raise InputError(f"data.schema: with {FIELD} no feature may have the name {TEACHER_PROBABILITY!r}, got one")
    files = teacher_files.find(settings.teachers, settings.where, workdir)
    if settings.where == "step":
        for teacher in files:
            _config(teacher.path)
            _check_encoding(teacher.path, source.encoder)
        return Teachers(config, files)
    exports = TeacherExports([path for teacher in files for path in teacher.exports], source.encoder)
    exports.check(source)
    return Teachers(config, files, exports)


def _check_encoding(path: str, encoder: Encoder) -> None:
    """Raises InputError, which names the features that the run in `path` does not encode as `encoder` does."""
    there = encoder_file.load(f"{path}/{encoder_file.NAME}")
    here = encoder_file.Encoding.of(encoder)
    known = [_encodings(encoding) for encoding in (there, here)]
    others = sorted(name for name in known[0].keys() | known[1].keys() if known[0].get(name) != known[1].get(name))
    if others or list(known[0]) != list(known[1]):
        words = ", ".join(map(repr, others)) or "the order of the features"
        raise InputError(
            f"{FIELD}: with distillation.where step the run in {path} must encode its data as this one does, got "
            f"another encoding of {words}: take where pipeline"
        )


def _encodings(encoding: encoder_file.Encoding) -> dict[str, Any]:
    """By feature name, in the features' order, everything that tells how it is encoded."""
    vocabularies, moments = encoding.statistics.vocabularies, encoding.statistics.moments
    return {f.name: (f, vocabularies.get(f.name), moments.get(f.name)) for f in encoding.schema.features}


def _config(path: str) -> Config:
    """Of a finished run."""
    try:
        return Config.from_dict(workdirs.read_finished(path).config)
    except InputError as error:
        raise InputError(f"{FIELD}: the run in {path} is of another version: {error}") from error


def _restored(path: str, source: Source) -> SiblingModel:
    """The siblings of a finished run on rows that are encoded as those of `source`."""
    try:
        return fitting.restored(_config(path), path, source)
    except InputError as error:
        raise InputError(f"{FIELD}: {error}") from error


def _together(runs: Sequence[SiblingModel]) -> Any:
    """From encoded features to the mean probability over all siblings of all runs."""
    return lambda features: tf.reduce_mean(tf.concat([run(features, training=False) for run in runs], axis=1), axis=1)
