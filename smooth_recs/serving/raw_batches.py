"""Batches of raw rows as NumPy arrays by feature: those of a log, those that break careless models, as tf.Examples."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from smooth_recs.data.schema import Categorical, Numeric, Schema
from smooth_recs.data.source import Source

Batch = dict[str, npt.NDArray[Any]]

_NUMBERS = (float("nan"), float("inf"), -float("inf"), 0.0, 1e-40, 3.4e38, -3.4e38)
_INTEGERS = (-1, -2, 0, 2**31, 2**31 + 5, 2**32 + 1, 2**53 + 1, 2**63 - 1, -(2**63))
_TEXTS = (
    *(b"", b" ", b"never seen before", b"\xff\xfe\x80", b"zero \x00 inside", b"ends in zero\x00"),
    *("schöne Bücher".encode(), b"-1", b"9" * 30, b"long " * 2_000),
)


class HardRows(NamedTuple):
    """`words` say for each row which feature has which value."""

    batch: Batch
    words: list[str]


def held_out(source: Source, rows: int) -> Batch:
    """The first held-out rows, from the beginning again where there are fewer."""
    chunks = source.holdout(raw=True).map(lambda chunk: chunk["raw"]).rebatch(rows).take(1)
    batch: Batch = next(iter(chunks.as_numpy_iterator()))
    return take(batch, np.resize(np.arange(size(batch)), rows))


def size(batch: Mapping[str, npt.NDArray[Any]]) -> int:
    return len(next(iter(batch.values())))


def take(batch: Batch, rows: Any) -> Batch:
    return {name: values[rows] for name, values in batch.items()}


def hard(schema: Schema, row: Batch) -> HardRows:
    """Rows in which one feature, and then all together, have values that are missing, unseen, huge or no text.

    Args:
      schema: of the features.
      row: one row, which gives the other features.
    """
    values = {feature.name: _hard_values(feature) for feature in schema.features}
    changes = [{name: value} for name, each in values.items() for value in each]
    most = max(map(len, values.values()))
    changes += [{name: each[number % len(each)] for name, each in values.items()} for number in range(most)]
    batch = take(row, np.zeros(len(changes), int))
    for number, change in enumerate(changes):
        for name, value in change.items():
            batch[name][number] = value if batch[name].ndim == 1 else _missing_but_first(batch[name][number], value)
    words = [
        ", ".join(f"{name}={_shortened(value)}" for name, value in itertools.islice(change.items(), 3))
        for change in changes
    ]
    return HardRows(batch, words)


def other_widths(schema: Schema, batch: Batch) -> Iterator[tuple[str, Batch]]:
    """For each multi-valued feature the batch with none, one and too many of its values, and in words which."""
    for feature in schema.categorical:
        if feature.multi_valued:
            for width in (0, 1, feature.max_values + 2):
                columns = np.arange(width) % max(batch[feature.name].shape[1], 1)
                yield f"{width} values of {feature.name}", batch | {feature.name: batch[feature.name][:, columns]}


def examples(schema: Schema, batch: Batch) -> npt.NDArray[Any]:
    """The rows as serialized tf.Examples, in which a missing value is not there."""
    serialized = np.empty(size(batch), object)
    for number in range(size(batch)):
        features = {feature.name: _feature(feature, batch[feature.name][number]) for feature in schema.features}
        features = {name: each for name, each in features.items() if each is not None}
        serialized[number] = tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()
    return serialized


def _feature(feature: Numeric | Categorical, value: Any) -> tf.train.Feature | None:
    """None for a missing value, and without the missing values at the end of several."""
    if isinstance(feature, Numeric):
        return None if np.isnan(value) else tf.train.Feature(float_list=tf.train.FloatList(value=[value]))
    values = value.tolist() if isinstance(value, np.ndarray) else [value]
    while values and values[-1] == _missing(feature):
        values.pop()
    if not values:
        return None
    if feature.dtype == "string":
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))


def _hard_values(feature: Numeric | Categorical) -> Sequence[Any]:
    if isinstance(feature, Numeric):
        return _NUMBERS
    return _TEXTS if feature.dtype == "string" else (*_INTEGERS, feature.size, feature.size - 1)


def _missing(feature: Categorical) -> bytes | int:
    return b"" if feature.dtype == "string" else -1


def _missing_but_first(values: npt.NDArray[Any], value: Any) -> npt.NDArray[Any]:
    changed = np.full_like(values, b"" if values.dtype == object else -1)
    changed[:1] = value
    return changed


def _shortened(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 40 else f"{shown[:36]}...{shown[-1]}"
