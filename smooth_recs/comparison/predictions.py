"""The predictions of two artifacts: files of them are read, models predict the held-out rows of a configuration.

`gather` makes a side of each artifact, once `check_measurable` has found that what is asked for can be measured.
`predict_held_out` passes over the rows once for all models, and keeps what is known of each row beside the predictions.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from smooth_recs import _paths
from smooth_recs.artifacts import exports, prediction_files
from smooth_recs.artifacts.exports import KERAS, PREDICTIONS, Artifact, Columns, Model, SavedModel
from smooth_recs.artifacts.keras_models import KerasModel
from smooth_recs.artifacts.prediction_files import KEY, SLICE
from smooth_recs.comparison.settings import (
    BATCH_SIZE,
    FREQUENCY,
    Settings,
    Shard,
    Side,
)
from smooth_recs.data.files import progress
from smooth_recs.data.presets import open_source
from smooth_recs.data.sources import Source, frequencies
from smooth_recs.errors import InputError
from smooth_recs.measures.held_out import BUILT_IN_SLICES, slice_names
from smooth_recs.statistics import arrays

_KNOWN = ("label", "weight", "query_id", "true_probability")


def gather(
    settings: Settings, both: Sequence[Artifact], shard: Shard, source: Source | None = None
) -> tuple[Side, Side, dict[str, Any] | None]:
    """The shard's rows of both sides, and what is to be said of the held-out rows of `settings.config`.

    What is wrong with flags, files and models is found before any model predicts.

    Args:
      settings: what is asked for.
      both: the two artifacts.
      shard: the part of the rows.
      source: the held-out rows where they are open already, as those of a stream must be, whose files may have gone.

    Raises:
      InputError: a file or a model is not what it must be, a column is missing, or a gate cannot be measured.
    """
    files = {each.flag: prediction_files.read(each, settings.wanted) for each in both if each.kind == PREDICTIONS}
    source = source or _source(settings, both, files)
    totals = [
        len(files[each.flag]["prediction"]) if each.flag in files else source.eval_rows if source else 0
        for each in both
    ]
    if not settings.key and totals[0] != totals[1]:
        raise InputError(
            f"--a and --b must have equally many rows where no --key matches them, got {totals[0]} and {totals[1]}"
        )
    if source is not None and len(files) == 2 and totals[0] != source.eval_rows:
        raise InputError(
            f"--a: predictions without a label column must be of the {source.eval_rows} held-out rows of --config, "
            f"got {totals[0]}"
        )

    known = {role for columns in files.values() for role in columns}
    sliceable = {name for each in both if each.flag in files for name in prediction_files.column_names(each.path)}
    sliceable -= set(BUILT_IN_SLICES)  # a slice of such a name is never by the values of a column
    if source is not None:
        known |= {"label", *_features_by_role(source, settings)} | ({"query_id"} if source.schema.query_id else set())
        known |= {f"{FREQUENCY}{name}" for name in _countable(source)}
        sliceable |= {feature.name for feature in source.schema.features}
    check_measurable(settings, known, sliceable)

    predictions: dict[str, npt.NDArray[Any]] = {}
    held_out: Columns = {}
    if source is not None:
        with contextlib.ExitStack() as stack:
            models: dict[str, Model] = {}
            for each in both:
                if each.flag not in files:
                    model = (KerasModel if each.kind == KERAS else SavedModel)(each.flag, each.path)
                    stack.callback(model.close)  # a Keras model is a process, which must end if the next fails too
                    models[each.flag] = model
            check_models(source, settings, models)
            predictions, held_out = predict_held_out(source, settings, models, shard)

    # What is known of the held-out rows goes to the first side that they are the rows of.
    owner = next((each.flag for each in both if each.flag in predictions), both[0].flag)
    sides = []
    for artifact, total in zip(both, totals, strict=True):
        rows = shard.rows(total)
        columns = {role: column[rows] for role, column in files.get(artifact.flag, {}).items()}
        if artifact.flag in predictions:
            keys = {role: column for role, column in held_out.items() if role.startswith(KEY)}
            columns = {"prediction": predictions[artifact.flag]} | keys
        sides.append(Side(artifact, total, rows, held_out | columns if artifact.flag == owner else columns))
    return sides[0], sides[1], None if source is None else {"fingerprint": source.fingerprint, **source.summary}


def check_measurable(settings: Settings, known: Collection[str], sliceable: Collection[str] = ()) -> None:
    """Refuses a gate, a slice or a multiplier that cannot be measured.

    Args:
      settings: what is asked for.
      known: the roles of the columns that the two sides have together.
      sliceable: names that `--slices` could have asked for besides.

    Raises:
      InputError: the message names the flag.
    """
    if settings.multiplier and "multiplier" not in known:
        raise InputError(
            f"{settings.multiplier_flag} must name a column or a numeric feature, got {settings.multiplier!r}"
        )
    with settings.named_as_given():
        settings.limits.check(known)
        slice_names(
            settings.evaluation,
            {*sliceable, *(role.removeprefix(SLICE) for role in known if role.startswith(SLICE))},
            label="label" in known,
            query_id="query_id" in known,
            frequency=any(role.startswith(FREQUENCY) for role in known),
        )


def _source(settings: Settings, both: Sequence[Artifact], files: Mapping[str, Columns]) -> Source | None:
    """The rows that models predict, or that tell the labels of files without; None where neither is needed."""
    models = [each for each in both if each.flag not in files]
    if settings.config is None:
        if models:
            raise InputError(
                f"--config must be given for {models[0].flag}, which is a model: it tells the rows to predict"
            )
        return None
    if not models and any("label" in columns for columns in files.values()):
        return None
    return open_source(settings.config.data, os.path.join(_paths.parent(_paths.absolute(settings.output)), "cache"))


# The held-out rows of a configuration, and what models predict for them.


def check_models(source: Source, settings: Settings, models: Mapping[str, Model]) -> None:
    """Refuses a key, a multiplier or an input of a model that the features cannot give.

    All values of a multiplier are read here, so that a wrong one is found before any model predicts.

    Raises:
      InputError: the message names the flag.
    """
    features = source.encoder.raw_signature()
    single = [name for name, spec in features.items() if spec.shape.rank == 1]
    for name in settings.key if models else ():
        if name not in single:
            names = ", ".join(features)
            raise InputError(f"--key must name single-valued features where a model predicts ({names}), got {name!r}")
    numeric = [feature.name for feature in source.schema.numeric]
    if settings.multiplier in features and settings.multiplier not in numeric:
        raise InputError(f"{settings.multiplier_flag} must name a numeric feature, got {settings.multiplier!r}")
    for flag, model in models.items():
        exports.check_inputs(flag, model.inputs, features)
    if settings.multiplier in features:
        column = source.holdout(raw=True).map(lambda rows: rows["raw"][settings.multiplier])
        values = np.concatenate(list(column.as_numpy_iterator()))
        arrays.at_or_above_0(f"{settings.multiplier_flag}: {settings.multiplier}", values)


def predict_held_out(
    source: Source, settings: Settings, models: Mapping[str, Model], shard: Shard
) -> tuple[Columns, Columns]:
    """The predictions of each model, by flag, and the columns of the shard's rows (see `settings.Side`).

    Args:
      source: the rows.
      settings: name the features that become columns.
      models: by flag.
      shard: the part of the rows.

    Raises:
      InputError: a prediction is no probability.
    """
    wanted = _features_by_role(source, settings)
    counted = _countable(source) if "frequency" in settings.evaluation.slices else []
    batches = source.holdout(raw=True).rebatch(BATCH_SIZE).shard(shard.count, shard.number - 1).prefetch(2)
    parts: dict[str, list[Any]] = {}
    with progress("predicting", " rows") as bar:
        bar.total = shard.rows(source.eval_rows).size
        for position, rows in enumerate(batches.as_numpy_iterator()):
            first = (position * shard.count + shard.number - 1) * BATCH_SIZE
            found = {name: rows[name] for name in _KNOWN if name in rows}
            for role, name in wanted.items():
                values = rows["raw"][name]
                # Bytes of a fixed width instead of objects, which NumPy stores in a shard only as pickles.
                found[role] = values.astype("S") if values.dtype == object else values
            found |= {f"{FREQUENCY}{name}": rows["features"][name] for name in counted}
            found |= {flag: exports.probabilities(flag, model, rows["raw"], first) for flag, model in models.items()}
            for name, values in found.items():
                parts.setdefault(name, []).append(values)
            bar.update(rows["label"].size)
    if not parts:  # more shards than batches: no batch tells which columns there are
        return {flag: np.zeros(0) for flag in models}, {}
    columns = {name: np.concatenate(values) for name, values in parts.items()}
    ids = {name: columns[f"{FREQUENCY}{name}"] for name in counted}
    for role, column in columns.items():
        # A part of a key that is missing is an empty text in a file.
        if role.startswith(KEY) and len(settings.key) > 1 and column.dtype == np.int64 and (column == -1).any():
            columns[role] = np.where(column == -1, b"", column.astype("S"))
    columns |= {f"{FREQUENCY}{name}": counts for name, counts in frequencies(source, ids).items()}
    return {flag: columns.pop(flag) for flag in models}, columns


def _features_by_role(source: Source, settings: Settings) -> dict[str, str]:
    """The features that become columns: `key/0`, `multiplier`, `slice/NAME` to the feature's name."""
    features = [feature.name for feature in source.schema.features]
    wanted = {f"{SLICE}{name}": name for name in settings.evaluation.slices}
    wanted |= {"multiplier": settings.multiplier} | {f"{KEY}{number}": name for number, name in enumerate(settings.key)}
    return {role: name for role, name in wanted.items() if name in features}


def _countable(source: Source) -> list[str]:
    """Features for whose values one can tell how often they are in the training rows."""
    return [feature.name for feature in source.schema.categorical if not feature.multi_valued]
