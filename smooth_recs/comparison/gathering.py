"""From two artifacts to two sides: files are read, models predict."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from smooth_recs.comparison import file_columns, held_out, prediction_files, sides
from smooth_recs.comparison.artifacts import PREDICTIONS, Artifact
from smooth_recs.comparison.inputs import Model
from smooth_recs.comparison.keras_models import KerasModel
from smooth_recs.comparison.saved_models import SavedModel
from smooth_recs.comparison.settings import Settings, Shard, named_as_flags
from smooth_recs.comparison.sides import FREQUENCY, KEY, SLICE, Columns, Side
from smooth_recs.data.presets import open_source
from smooth_recs.data.source import Source
from smooth_recs.errors import InputError
from smooth_recs.measures.held_out import BUILT_IN_SLICES, slice_names

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
    files = {each.flag: prediction_files.read(each, settings) for each in both if each.kind == PREDICTIONS}
    source = source or _source(settings, both, files)
    totals = [len(files[each.flag]["prediction"]) if each.flag in files else _rows(source) for each in both]
    _check_lengths(settings, totals, files, source)
    check(settings, _known(settings, files, source), _sliceable(both, source))
    predictions, held = ({}, {}) if source is None else _predict(settings, both, files, source, shard)
    # What is known of the held-out rows goes to the first side that they are the rows of.
    owner = next((each.flag for each in both if each.flag in predictions), both[0].flag)
    found = []
    for artifact, total in zip(both, totals, strict=True):
        rows = sides.rows_of(shard, total)
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
        known |= {"label", *held_out.roles(source, settings)} | ({"query_id"} if source.schema.query_id else set())
        known |= {f"{FREQUENCY}{name}" for name in held_out.countable(source)}
    return known


def _sliceable(both: Sequence[Artifact], source: Source | None) -> set[str]:
    """The names of all columns of files, but for those of built-in slices, and of all features."""
    names = {name for each in both if each.kind == PREDICTIONS for name in file_columns.names(each.path)}
    features = {feature.name for feature in (source.schema.features if source else ())}
    return names.difference(BUILT_IN_SLICES) | features


def _predict(
    settings: Settings, both: Sequence[Artifact], files: Files, source: Source, shard: Shard
) -> tuple[dict[str, Any], Columns]:
    with contextlib.ExitStack() as stack:
        models = {each.flag: _opened(each, stack) for each in both if each.flag not in files}
        held_out.check(source, settings, models)
        return held_out.read(source, settings, models, shard)


def _opened(artifact: Artifact, stack: contextlib.ExitStack) -> Model:
    kind = KerasModel if artifact.path.endswith(".keras") else SavedModel
    model: Model = kind(artifact.flag, artifact.path)
    stack.callback(model.close)
    return model
