"""Chunks of raw rows: what every reader yields, and what makes a row malformed.

A chunk is a dictionary: `raw` {feature: tensor}, `label` and `weight` float32 [n], `query_id` int64 [n] and `timestamp`
float64 [n] where the schema names them, `problem` int32 [n] (0 = a good row), `file` int32 (its number) and `line`
int64 [n], counted from 1. All rows of a chunk lie in one file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from smooth_recs.data.conversion import to_float, to_int64, to_string, to_time
from smooth_recs.data.schema import Categorical, Numeric, Schema

GOOD, WRONG_FIELDS, UNREADABLE, FIRST_COLUMN = 0, 1, 2, 3
Column = tuple[Any, Any]
"""Values as the file holds them, [n], or [n, max_values] if multi-valued, and a mask of those that are there, or None.

See `conversion`."""


def assemble(schema: Schema, columns: Mapping[str, Column], problem: Any, file: Any, line: Any) -> dict[str, Any]:
    """A chunk from the columns of a file; `problem` says which rows the reader itself could not read."""
    bad: dict[str, Any] = {}  # a mask of the rows, or None where the column cannot be bad
    chunk: dict[str, Any] = {"raw": {}, "file": file, "line": line}
    for feature in schema.features:
        values, wrong = _feature(feature, columns[feature.name])
        chunk["raw"][feature.name] = values
        bad[feature.name] = tf.reduce_any(wrong, axis=1) if wrong is not None and wrong.shape.rank == 2 else wrong
    for key, column, convert in (
        ("label", schema.label, _label(schema.label_threshold)),
        ("weight", schema.weight, _weight),
        ("query_id", schema.query_id, _query_id),
        ("timestamp", schema.timestamp, _timestamp),
    ):
        if column:
            chunk[key], wrong = convert(*columns[column])
            bad[column] = _either(bad.get(column), wrong)
    chunk.setdefault("weight", tf.ones_like(chunk["label"]))
    chunk["problem"] = _problem([bad[name] for name in schema.columns], problem)
    return chunk


def select(chunk: Mapping[str, Any], mask: Any) -> dict[str, Any]:
    """The rows of a chunk where the mask is true; its `file` stays."""
    rows = _rows(chunk)

    def some() -> Any:
        kept = tf.where(mask)[:, 0]
        return tf.nest.map_structure(lambda tensor: tf.gather(tensor, kept), rows)

    return {**tf.cond(tf.reduce_all(mask), lambda: rows, some), "file": chunk["file"]}


def replaced(chunk: Mapping[str, Any], mask: Any, others: Mapping[str, Any]) -> dict[str, Any]:
    """The chunk with the rows of another, which has one for every row where the mask is true, in their place."""
    places = tf.where(mask)
    rows = tf.nest.map_structure(
        lambda tensor, other: tf.tensor_scatter_nd_update(tensor, places, other), _rows(chunk), _rows(others)
    )
    return {**rows, "file": chunk["file"]}


def describe(schema: Schema, problem: int) -> str:
    """Why a row is malformed, in words."""
    if problem == WRONG_FIELDS:
        return "wrong number of fields or values"
    if problem == UNREADABLE:
        return "no readable tf.Example"
    name = schema.columns[problem - FIRST_COLUMN]
    if name == schema.label:
        return f"{name} is no number" if schema.label_threshold is not None else f"{name} is neither 0 nor 1"
    if name == schema.weight:
        return f"{name} is no number of at least 0"
    if name == schema.timestamp:
        return f"{name} is neither a number nor an ISO 8601 time"
    integer = any(feature.name == name and feature.dtype == "int64" for feature in schema.categorical)
    return f"{name} is no integer" if integer else f"{name} is no number"


def _rows(chunk: Mapping[str, Any]) -> dict[str, Any]:
    """What has an entry for every row."""
    return {key: value for key, value in chunk.items() if key != "file"}


def _either(one: Any, other: Any) -> Any:
    if one is None or other is None:
        return other if one is None else one
    return one | other


def _problem(bad: Sequence[Any], problem: Any) -> Any:
    """The first bad column of each row, unless the reader found something worse."""
    first = tf.zeros_like(problem) + GOOD
    for number, mask in reversed(list(enumerate(bad))):
        if mask is not None:
            first = tf.where(mask, FIRST_COLUMN + number, first)
    return tf.where(problem == GOOD, first, problem)


def _feature(feature: Numeric | Categorical, column: Column) -> tuple[Any, Any]:
    if isinstance(feature, Numeric):
        return to_float(*column)
    return (to_string if feature.dtype == "string" else to_int64)(*column)


def _label(threshold: float | None) -> Any:
    def convert(values: Any, present: Any) -> tuple[Any, Any]:
        numbers, _ = to_float(values, present)
        if threshold is None:
            return numbers, ~(tf.equal(numbers, 0.0) | tf.equal(numbers, 1.0))
        return tf.cast(numbers >= threshold, tf.float32), tf.math.is_nan(numbers)

    return convert


def _weight(values: Any, present: Any) -> tuple[Any, Any]:
    numbers, _ = to_float(values, present)
    return numbers, ~(tf.math.is_finite(numbers) & (numbers >= 0.0))


def _timestamp(values: Any, present: Any) -> tuple[Any, Any]:
    numbers, _ = to_time(values, present)
    return numbers, ~tf.math.is_finite(numbers)


def _query_id(values: Any, present: Any) -> tuple[Any, Any]:
    text, bad = to_string(values, present)
    return tf.strings.to_hash_bucket_fast(text, 2**63 - 1), bad
