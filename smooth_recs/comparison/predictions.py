"""From two artifacts to two sides: files are read, models predict.

One pass over the held-out rows of a configuration: predictions of the models, and what is known of each row.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from smooth_recs.artifacts import exports, prediction_columns
from smooth_recs.artifacts.exports import PREDICTIONS, Artifact, Model, SavedModel
from smooth_recs.artifacts.keras_models import KerasModel
from smooth_recs.comparison import prediction_file
from smooth_recs.comparison import settings as settings_lib
from smooth_recs.comparison.settings import (
    BATCH_SIZE,
    FREQUENCY,
    KEY,
    SLICE,
    Columns,
    Settings,
    Shard,
    Side,
    named_as_flags,
)
from smooth_recs.data.files import progress
from smooth_recs.data.presets import open_source
from smooth_recs.data.sources import Source, frequencies
from smooth_recs.errors import InputError
from smooth_recs.measures.held_out import BUILT_IN_SLICES, slice_names
from smooth_recs.statistics import arrays

Files = Mapping[str, Columns]


def gather(
    settings: Settings, both: Sequence[Artifact], shard: Shard, source: Source | None = None
) -> tuple[Side, Side, dict[str, Any] | None]:
    """The shard's rows of both sides, and what is to be said of the held-out rows of `settings.config`.

    What is wrong with flags, files and models is found before any model predicts. `source` has those rows where it is
    open already, as that of a stream must be, whose files may have gone.

    Raises:
      InputError: a file or a model is not what it must be, a column is missing, or a gate cannot be measured.
    """
    files = {each.flag: prediction_file.read(each, settings) for each in both if each.kind == PREDICTIONS}
    source = source or _source(settings, both, files)
    totals = [len(files[each.flag]["prediction"]) if each.flag in files else _rows(source) for each in both]
    _check_lengths(settings, totals, files, source)
    check(settings, _known(settings, files, source), _sliceable(both, source))
    predictions, held = ({}, {}) if source is None else _predict(settings, both, files, source, shard)
    # What is known of the held-out rows goes to the first side that they are the rows of.
    owner = next((each.flag for each in both if each.flag in predictions), both[0].flag)
    found = []
    for artifact, total in zip(both, totals, strict=True):
        rows = settings_lib.rows_of(shard, total)
        columns = {role: column[rows] for role, column in files.get(artifact.flag, {}).items()}
        if artifact.flag in predictions:
            keys = {role: column for role, column in held.items() if role.startswith(KEY)}
            columns = {"prediction": predictions[artifact.flag]} | keys
        found.append(Side(artifact, total, rows, held | columns if artifact.flag == owner else columns))
    return found[0], found[1], None if source is None else {"fingerprint": source.fingerprint, **source.summary}


def check(settings: Settings, known: Collection[str], sliceable: Collection[str] = ()) -> None:
    """Raises InputError for a gate, a slice or a multiplier that cannot be measured.

    Args:
      settings: the wishes.
      known: the roles of the columns that the sides have.
      sliceable: names that `--slices` could have asked for besides.
    """
    if settings.multiplier and "multiplier" not in known:
        raise InputError(f"--multiplier must name a column or a numeric feature, got {settings.multiplier!r}")
    with named_as_flags():
        settings.limits.check(known)
        slice_names(
            settings.evaluation,
            {*sliceable, *(role.removeprefix(SLICE) for role in known if role.startswith(SLICE))},
            label="label" in known,
            query_id="query_id" in known,
            frequency=any(role.startswith(FREQUENCY) for role in known),
        )


def _source(settings: Settings, both: Sequence[Artifact], files: Files) -> Source | None:
    """The rows that models predict, or that tell the labels of files without; None where neither is needed."""
    models = [each for each in both if each.flag not in files]
    if settings.config is None:
        if models:
            raise InputError(
                f"--config must be given for {models[0].flag}, which is a model: it tells the rows to predict"
            )
        return None
    if not models and _labelled(files):
        return None
    folder = os.path.dirname(os.path.abspath(settings.output))
    return open_source(settings.config.data, os.path.join(folder, "cache"))


def _rows(source: Source | None) -> int:
    return source.eval_rows if source else 0


def _labelled(files: Files) -> bool:
    return any("label" in columns for columns in files.values())


def _check_lengths(settings: Settings, totals: Sequence[int], files: Files, source: Source | None) -> None:
    if not settings.key and totals[0] != totals[1]:
        raise InputError(
            f"--a and --b must have equally many rows where no --key matches them, got {totals[0]} and {totals[1]}"
        )
    if source is not None and len(files) == 2 and totals[0] != source.eval_rows:
        raise InputError(
            f"--a: predictions without a label column must be of the {source.eval_rows} held-out rows of --config, "
            f"got {totals[0]}"
        )


def _known(settings: Settings, files: Files, source: Source | None) -> set[str]:
    """The roles of all columns that the sides will have together."""
    known = {role for columns in files.values() for role in columns}
    if source is not None:
        known |= {"label", *roles(source, settings)} | ({"query_id"} if source.schema.query_id else set())
        known |= {f"{FREQUENCY}{name}" for name in countable(source)}
    return known


def _sliceable(both: Sequence[Artifact], source: Source | None) -> set[str]:
    """The names of all columns of files, but for those of built-in slices, and of all features."""
    names = {name for each in both if each.kind == PREDICTIONS for name in prediction_columns.names(each.path)}
    features = {feature.name for feature in (source.schema.features if source else ())}
    return names.difference(BUILT_IN_SLICES) | features


def _predict(
    settings: Settings, both: Sequence[Artifact], files: Files, source: Source, shard: Shard
) -> tuple[dict[str, Any], Columns]:
    with contextlib.ExitStack() as stack:
        models = {each.flag: _opened(each, stack) for each in both if each.flag not in files}
        check_held_out(source, settings, models)
        return read(source, settings, models, shard)


def _opened(artifact: Artifact, stack: contextlib.ExitStack) -> Model:
    kind = KerasModel if artifact.path.endswith(".keras") else SavedModel
    model: Model = kind(artifact.flag, artifact.path)
    stack.callback(model.close)
    return model


_KNOWN = ("label", "weight", "query_id", "true_probability")


def roles(source: Source, settings: Settings) -> dict[str, str]:
    """The features that take a part in a comparison: `key/0`, `multiplier`, `slice/NAME` to the feature's name."""
    features = [feature.name for feature in source.schema.features]
    wanted = {f"{SLICE}{name}": name for name in settings.evaluation.slices}
    wanted |= {"multiplier": settings.multiplier} | {f"{KEY}{number}": name for number, name in enumerate(settings.key)}
    return {role: name for role, name in wanted.items() if name in features}


def check_held_out(source: Source, settings: Settings, models: Mapping[str, Model]) -> None:
    """Raises InputError for a key, a multiplier or an input of a model that the features cannot give.

    Of a multiplier all values are read before any model predicts.
    """
    features = source.encoder.raw_signature()
    names = ", ".join(features)
    single = [name for name, spec in features.items() if spec.shape.rank == 1]
    for name in settings.key if models else ():
        if name not in single:
            raise InputError(f"--key must name single-valued features where a model predicts ({names}), got {name!r}")
    numeric = [feature.name for feature in source.schema.numeric]
    if settings.multiplier in features and settings.multiplier not in numeric:
        raise InputError(f"--multiplier must name a numeric feature, got {settings.multiplier!r}")
    for flag, model in models.items():
        exports.check(flag, model.inputs, features)
    if settings.multiplier in features:
        column = source.holdout(raw=True).map(lambda rows: rows["raw"][settings.multiplier])
        values = np.concatenate(list(column.as_numpy_iterator()))
        arrays.at_or_above_0(f"--multiplier: {settings.multiplier}", values)


def read(
    source: Source, settings: Settings, models: Mapping[str, Model], shard: Shard
) -> tuple[dict[str, npt.NDArray[Any]], Columns]:
    """The predictions of each model, by flag, and the columns of the rows of the shard (see `sides.Side`)."""
    wanted = roles(source, settings)
    with_frequency = countable(source) if "frequency" in settings.evaluation.slices else []
    parts: dict[str, list[Any]] = {}
    with progress("predicting", " rows") as bar:
        bar.total = settings_lib.rows_of(shard, source.eval_rows).size
        for first, rows in _batches(source, shard):
            found = {name: rows[name] for name in _KNOWN if name in rows}
            found |= {role: _plain(rows["raw"][name]) for role, name in wanted.items()}
            found |= {f"{FREQUENCY}{name}": rows["features"][name] for name in with_frequency}
            found |= {flag: _predicted(flag, model, rows["raw"], first) for flag, model in models.items()}
            for name, values in found.items():
                parts.setdefault(name, []).append(values)
            bar.update(rows["label"].size)
    if not parts:  # more shards than batches
        return {flag: np.zeros(0) for flag in models}, {}
    columns = {name: np.concatenate(values) for name, values in parts.items()}
    ids = {name: columns[f"{FREQUENCY}{name}"] for name in with_frequency}
    columns |= {f"{FREQUENCY}{name}": counts for name, counts in frequencies(source, ids).items()}
    return {flag: columns.pop(flag) for flag in models}, columns


def countable(source: Source) -> list[str]:
    """Features whose values' frequencies in the training rows can be told."""
    return [feature.name for feature in source.schema.categorical if not feature.multi_valued]


def _batches(source: Source, shard: Shard) -> Any:
    """(number of its first row, rows as NumPy arrays) of every batch of the shard."""
    batches = source.holdout(raw=True).rebatch(BATCH_SIZE).shard(shard.count, shard.number - 1).prefetch(2)
    for position, rows in enumerate(batches.as_numpy_iterator()):
        yield (position * shard.count + shard.number - 1) * BATCH_SIZE, rows


def _predicted(flag: str, model: Model, features: Columns, first: int) -> npt.NDArray[np.float64]:
    size = len(next(iter(features.values())))
    values = np.asarray(model.predict(exports.feed(flag, model.inputs, features)), np.float64)
    if values.shape not in ((size,), (size, 1)):
        raise InputError(f"{flag}: the model must give one probability a row, got shape {list(values.shape)}")
    settings_lib.check_predictions(flag, values.reshape(size), np.arange(first, first + size))
    return values.reshape(size)


def _plain(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Bytes of a fixed width instead of objects, so that they can be stored."""
    return values.astype("S") if values.dtype == object else values
