"""From what a file holds (text, integers, floats, absent values) to the types a schema asks for, in TensorFlow ops.

Every function takes `values` and `present`, a mask of the same shape, and returns the converted tensor and the mask of
values that are there but cannot be converted. An empty text is not there, whatever the mask says. Where everything is
there, `present` may be None; so is then the mask that is returned where nothing can go wrong. Text is matched byte by
byte against patterns of ASCII, so bytes that are no UTF-8 do no harm.

Chunks of raw rows: what every reader yields, and what makes a row malformed.

A chunk is a dictionary: `raw` {feature: tensor}, `label` and `weight` float32 [n], `query_id` int64 [n] and `timestamp`
float64 [n] where the schema names them, `problem` int32 [n] (0 = a good row), `file` int32 (its number) and `line`
int64 [n], counted from 1. All rows of a chunk lie in one file.

Files as chunks of their lines or records, each with its place.

The readers of files of raw rows, behind one interface.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import tensorflow as tf

from smooth_recs.data.files import compression, untuned
from smooth_recs.errors import InputError
from smooth_recs.schema import Categorical, Numeric, Schema

_LARGEST_INTEGER = "9223372036854775807"


def _integer_pattern() -> str:
    """Matches exactly the integers that int64 holds, the smallest one aside: beyond them TensorFlow's parser fails."""
    bounded = [r"\d{1,18}", _LARGEST_INTEGER]
    for position, digit in enumerate(_LARGEST_INTEGER):
        if digit != "0":
            rest = len(_LARGEST_INTEGER) - position - 1
            bounded.append(rf"{_LARGEST_INTEGER[:position]}[0-{int(digit) - 1}]\d{{{rest}}}")
    return rf"\s*-?0*(?:{'|'.join(bounded)})\s*"


INTEGER = _integer_pattern()
NUMBER = r"\s*[-+]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{1,9})?|(?i:inf(?:inity)?|nan))\s*"
_DATE = r"(\d{4})-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])"
_CLOCK = r"([01]\d|2[0-3]):([0-5]\d)(?::([0-5]\d(?:\.\d{1,9})?))?"
_ZONE = r"(?:Z|([-+])(\d{2}):?(\d{2}))?"
ISO_8601 = rf"{_DATE}(?:[T ]{_CLOCK}{_ZONE})?"


def to_float(values: Any, present: Any, dtype: tf.DType = tf.float32) -> tuple[Any, Any]:
    """Numbers; NaN where absent."""
    if values.dtype != tf.string:
        return _where(present, tf.cast(values, dtype), tf.constant(float("nan"), dtype)), _none_wrong(present)
    present = _not_empty(values, present)
    good = present & tf.strings.regex_full_match(values, NUMBER)
    return tf.strings.to_number(tf.where(good, values, "nan"), dtype), present & ~good


def to_int64(values: Any, present: Any) -> tuple[Any, Any]:
    """Integers; -1 where absent. A float counts if it is whole (a column of integers with gaps, written by pandas)."""
    if values.dtype == tf.string:
        present = _not_empty(values, present)
        good = present & tf.strings.regex_full_match(values, INTEGER)
        return tf.strings.to_number(tf.where(good, values, "-1"), tf.int64), present & ~good
    if not values.dtype.is_floating:
        return _where(present, tf.cast(values, tf.int64), -1), _none_wrong(present)
    present = _and(present, ~tf.math.is_nan(values))
    good = present & tf.equal(values, tf.floor(values)) & (tf.abs(values) < 2.0**63)
    return tf.cast(tf.where(good, values, -1.0), tf.int64), present & ~good


def to_string(values: Any, present: Any) -> tuple[Any, Any]:
    """Bytes; "" where absent. Numbers become their shortest text, so that 7, 7.0 and "7" agree."""
    if values.dtype == tf.string:
        text = values
    elif values.dtype.is_floating:
        present = _and(present, ~tf.math.is_nan(values))
        whole = tf.equal(values, tf.floor(values)) & (tf.abs(values) < 2.0**63)
        digits = tf.strings.as_string(tf.cast(tf.where(whole, values, 0.0), tf.int64))
        text = tf.where(whole, digits, tf.strings.as_string(values, shortest=True))
    else:
        text = tf.strings.as_string(values)
    return _where(present, text, ""), _none_wrong(present)


def to_time(values: Any, present: Any) -> tuple[Any, Any]:
    """float64: a number as it stands, an ISO 8601 date or date and time as seconds since 1970 (UTC without a zone)."""
    if values.dtype != tf.string:
        return to_float(values, present, tf.float64)
    present = _not_empty(values, present)
    iso = present & tf.strings.regex_full_match(values, ISO_8601)
    numbers, bad = to_float(values, present & ~iso, tf.float64)
    return tf.cond(tf.reduce_any(iso), lambda: tf.where(iso, _seconds(values, iso), numbers), lambda: numbers), bad


def _and(present: Any, mask: Any) -> Any:
    return mask if present is None else present & mask


def _not_empty(text: Any, present: Any) -> Any:
    return _and(present, tf.not_equal(text, ""))


def _where(present: Any, values: Any, absent: Any) -> Any:
    return values if present is None else tf.where(present, values, absent)


def _none_wrong(present: Any) -> Any:
    return None if present is None else tf.zeros_like(present)


def _seconds(text: Any, iso: Any) -> Any:
    """Seconds since 1970-01-01 UTC where `iso`."""
    text = tf.where(iso, text, "1970-01-01")

    def group(rewrite: str) -> Any:
        return tf.strings.to_number(tf.strings.regex_replace(text, f"^{ISO_8601}$", rewrite), tf.float64)

    # A group that is not there is empty: the digit before or after it makes it 0, or a sign of +1.
    year, month, day, hour, minute, second = (group(rf"0\{number}") for number in range(1, 7))
    offset = group(r"\71") * (3600.0 * group(r"0\8") + 60.0 * group(r"0\9"))
    return 86400.0 * _days(year, month, day) + 3600.0 * hour + 60.0 * minute + second - offset


def _days(year: Any, month: Any, day: Any) -> Any:
    """Days since 1970-01-01 in the Gregorian calendar, with years that start in March, after the leap day."""
    year = tf.where(month <= 2, year - 1, year)
    day_of_year = tf.floor((153 * tf.math.floormod(month + 9, tf.constant(12, tf.float64)) + 2) / 5) + day - 1
    return 365 * year + tf.floor(year / 4) - tf.floor(year / 100) + tf.floor(year / 400) + day_of_year - 719468


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


CHUNK_ROWS = 8192


def read_chunks(
    open_file: Callable[[Any, Any], Any], files: Sequence[str], file: int, line: int, *, skip: int = 0
) -> Any:
    """A dataset of (records [n], number of the file, line of the first record), one file after the other.

    Args:
      open_file: `tf.data.TextLineDataset` or `tf.data.TFRecordDataset`: from a path and its compression.
      files: all paths.
      file: the number of the file to start with.
      line: the line of that file to start at, from 1.
      skip: how many lines at the start of every file are left out.
    """
    names = list(files[file:])
    kinds = [compression(name) for name in names]
    first = tf.constant([max(line - 1, skip)] + [skip] * (len(names) - 1), tf.int64)

    @tf.autograph.experimental.do_not_convert
    def chunks(name: Any, kind: Any, number: Any, left_out: Any) -> Any:
        batches = open_file(name, kind).skip(left_out).batch(CHUNK_ROWS)
        return batches.enumerate().map(lambda index, records: (records, number, left_out + 1 + index * CHUNK_ROWS))

    numbers = tf.range(file, file + len(names))
    return untuned(tf.data.Dataset.from_tensor_slices((names, kinds, numbers, first))).flat_map(chunks)


def lines(first: Any, records: Any) -> Any:
    """int64 [n]: the line of every record of a chunk."""
    return first + tf.range(tf.size(records, tf.int64), dtype=tf.int64)


class Reader(Protocol):
    """Files of raw rows, read one after the other.

    Attributes:
      files: their paths, in reading order.
      schema: the columns that are read.
    """

    files: tuple[str, ...]
    schema: Schema

    def read(self, file: int = 0, line: int = 1) -> Any:
        """A dataset of chunks (see `raw_rows`) from line `line` (counted from 1) of file number `file` on.

        A line is a line of text, or a record. From a line at which a chunk started in an earlier pass, the same chunks
        follow.
        """


def chunks(dataset: Any) -> Iterator[dict[str, Any]]:
    """The chunks of a dataset as dictionaries of NumPy arrays.

    Raises:
      InputError: a file is not what its name says, or is cut short.
    """
    try:
        yield from dataset.as_numpy_iterator()
    except tf.errors.DataLossError as error:
        raise InputError(f"data.path: a file is damaged: {without_places(error)}") from error


def without_places(error: tf.errors.OpError) -> str:
    """What went wrong, in one line without the names of TensorFlow's graph nodes."""
    return re.sub(r"\{\{.*?\}\} | \[Op:.*", "", error.message.splitlines()[0])
