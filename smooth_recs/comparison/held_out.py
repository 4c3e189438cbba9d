"""One pass over the held-out rows of a configuration: predictions of the models, and what is known of each row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from smooth_recs.comparison import inputs, sides
from smooth_recs.comparison.inputs import Model
from smooth_recs.comparison.settings import Settings, Shard
from smooth_recs.comparison.sides import BATCH_SIZE, FREQUENCY, KEY, SLICE, Columns
from smooth_recs.data.progress import progress
from smooth_recs.data.source import Source, frequencies
from smooth_recs.errors import InputError
from smooth_recs.statistics import arrays

_KNOWN = ("label", "weight", "query_id", "true_probability")


def roles(source: Source, settings: Settings) -> dict[str, str]:
    """The features that take a part in a comparison: `key/0`, `multiplier`, `slice/NAME` to the feature's name."""
    features = [feature.name for feature in source.schema.features]
    wanted = {f"{SLICE}{name}": name for name in settings.evaluation.slices}
    wanted |= {"multiplier": settings.multiplier} | {f"{KEY}{number}": name for number, name in enumerate(settings.key)}
    return {role: name for role, name in wanted.items() if name in features}


def check(source: Source, settings: Settings, models: Mapping[str, Model]) -> None:
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
        inputs.check(flag, model.inputs, features)
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
        bar.total = sides.rows_of(shard, source.eval_rows).size
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
    values = np.asarray(model.predict(inputs.feed(flag, model.inputs, features)), np.float64)
    if values.shape not in ((size,), (size, 1)):
        raise InputError(f"{flag}: the model must give one probability a row, got shape {list(values.shape)}")
    sides.check_predictions(flag, values.reshape(size), np.arange(first, first + size))
    return values.reshape(size)


def _plain(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Bytes of a fixed width instead of objects, so that they can be stored."""
    return values.astype("S") if values.dtype == object else values
