"""Raw rows of a log: converted to the types of a schema, gathered in chunks, and offered by readers of files.

**Conversion.** `to_float`, `to_int64`, `to_string` and `to_time` take `values` as a file holds them and `present`, a
mask of the same shape that is true where there is a value, or None where there is one everywhere. They return the
converted tensor and a mask of the values that are there but cannot be converted, or None where no value can be wrong.
An empty text counts as missing, whatever the mask says. Text is matched byte by byte against ASCII patterns, so bytes
that are not UTF-8 do no harm.

**Chunks.** A chunk is a dictionary: `raw` {feature: tensor}, `label` and `weight` float32 [n], `query_id` int64 [n] and
`timestamp` float64 [n] where the schema names them, `problem` int32 [n] (0 = a good row), `file` int32 (the number of
the file) and `line` int64 [n], counted from 1. All rows of a chunk come from one file.

**Readers.** A `Reader` yields the chunks of its files, one file after the other, from any chunk on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import tensorflow as tf

from smooth_recs.data.files import compression, untuned
from smooth_recs.errors import InputError
from smooth_recs.schema import Numeric, Schema

_LARGEST_INTEGER = "9223372036854775807"
# TensorFlow's parser of numbers fails the whole batch on an integer beyond int64 (TensorFlow 2.21), so the pattern
# matches exactly what int64 holds, except for its smallest number: at most 18 digits, or 19 digits of which the first
# that differs from the largest integer is smaller, or the largest integer itself.
INTEGER = (
    r"\s*-?0*(?:\d{1,18}|"
    + "".join(
        rf"{_LARGEST_INTEGER[:place]}[0-{int(digit) - 1}]\d{{{len(_LARGEST_INTEGER) - place - 1}}}|"
        for place, digit in enumerate(_LARGEST_INTEGER)
        if digit != "0"
    )
    + rf"{_LARGEST_INTEGER})\s*"
)
NUMBER = r"\s*[-+]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{1,9})?|(?i:inf(?:inity)?|nan))\s*"
_DATE = r"(\d{4})-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])"
_CLOCK = r"([01]\d|2[0-3]):([0-5]\d)(?::([0-5]\d(?:\.\d{1,9})?))?"
_ZONE = r"(?:Z|([-+])(\d{2}):?(\d{2}))?"
ISO_8601 = rf"{_DATE}(?:[T ]{_CLOCK}{_ZONE})?"


def to_float(values: Any, present: Any, dtype: tf.DType = tf.float32) -> tuple[Any, Any]:
    """Numbers; NaN where missing."""
    if values.dtype != tf.string:
        return _where(present, tf.cast(values, dtype), tf.constant(float("nan"), dtype)), None
    present = _and(present, tf.not_equal(values, ""))
    good = present & tf.strings.regex_full_match(values, NUMBER)
    return tf.strings.to_number(tf.where(good, values, "nan"), dtype), present & ~good


def to_int64(values: Any, present: Any) -> tuple[Any, Any]:
    """Integers; -1 where missing. A float counts if it is whole: pandas writes a column of integers with gaps so."""
    if values.dtype == tf.string:
        present = _and(present, tf.not_equal(values, ""))
        good = present & tf.strings.regex_full_match(values, INTEGER)
        return tf.strings.to_number(tf.where(good, values, "-1"), tf.int64), present & ~good
    if not values.dtype.is_floating:
        return _where(present, tf.cast(values, tf.int64), -1), None
    present = _and(present, ~tf.math.is_nan(values))
    good = present & tf.equal(values, tf.floor(values)) & (tf.abs(values) < 2.0**63)
    return tf.cast(tf.where(good, values, -1.0), tf.int64), present & ~good


def to_string(values: Any, present: Any) -> tuple[Any, Any]:
    """Bytes; "" where missing. Numbers become their shortest text, so that 7, 7.0 and "7" agree."""
    if values.dtype == tf.string:
        text = values
    elif values.dtype.is_floating:
        present = _and(present, ~tf.math.is_nan(values))
        whole = tf.equal(values, tf.floor(values)) & (tf.abs(values) < 2.0**63)
        digits = tf.strings.as_string(tf.cast(tf.where(whole, values, 0.0), tf.int64))
        text = tf.where(whole, digits, tf.strings.as_string(values, shortest=True))
    else:
        text = tf.strings.as_string(values)
    return _where(present, text, ""), None


def to_time(values: Any, present: Any) -> tuple[Any, Any]:
    """Times as float64: numbers as they are; ISO 8601 dates or times as seconds since 1970, in UTC without a zone."""
    if values.dtype != tf.string:
        return to_float(values, present, tf.float64)
    present = _and(present, tf.not_equal(values, ""))
    iso = present & tf.strings.regex_full_match(values, ISO_8601)
    numbers, bad = to_float(values, present & ~iso, tf.float64)

    def with_dates() -> Any:
        return tf.where(iso, _seconds_since_1970(tf.where(iso, values, "1970-01-01")), numbers)

    # Taking a date apart costs nine regular expressions: columns of plain numbers go without them.
    return tf.cond(tf.reduce_any(iso), with_dates, lambda: numbers), bad


def _and(present: Any, mask: Any) -> Any:
    return mask if present is None else present & mask


def _where(present: Any, values: Any, missing: Any) -> Any:
    return values if present is None else tf.where(present, values, missing)


def _seconds_since_1970(text: Any) -> Any:
    """Seconds from 1970-01-01 UTC to each ISO 8601 text, float64."""

    def group(rewrite: str) -> Any:
        return tf.strings.to_number(tf.strings.regex_replace(text, f"^{ISO_8601}$", rewrite), tf.float64)

    # A group that is not in the text is empty: the digit before or after it makes it 0, or a sign of +1.
    year, month, day, hour, minute, second = (group(rf"0\{number}") for number in range(1, 7))
    offset = group(r"\71") * (3600.0 * group(r"0\8") + 60.0 * group(r"0\9"))
    # Years are counted from March, so that the leap day is the last day of its year: then the days of the months before
    # month m (0 = March) are floor((153 m + 2) / 5), and 719,468 days lie between 0000-03-01 and 1970-01-01.
    year = tf.where(month <= 2, year - 1, year)
    day_of_year = tf.floor((153 * tf.math.floormod(month + 9, tf.constant(12, tf.float64)) + 2) / 5) + day - 1
    days = 365 * year + tf.floor(year / 4) - tf.floor(year / 100) + tf.floor(year / 400) + day_of_year - 719468
    return 86400.0 * days + 3600.0 * hour + 60.0 * minute + second - offset


GOOD, WRONG_FIELDS, UNREADABLE, FIRST_COLUMN = 0, 1, 2, 3
Column = tuple[Any, Any]
"""Values as the file holds them, [n], or [n, max_values] if multi-valued, and the mask `present` of them, or None."""


def assemble(schema: Schema, columns: Mapping[str, Column], problem: Any, file: Any, line: Any) -> dict[str, Any]:
    """A chunk of rows from the columns of a file.

    Args:
      schema: which column has which role and type.
      columns: by name, all that the schema names.
      problem: int32 [n], what the reader itself could not read; rows that are `GOOD` are checked here, and get the
        number of their first bad column.
      file: the number of the file.
      line: int64 [n].
    """
    raw: dict[str, Any] = {}
    bad: list[tuple[str, Any]] = []  # a column may be here twice, in two roles
    for feature in schema.features:
        convert = to_float if isinstance(feature, Numeric) else to_string if feature.dtype == "string" else to_int64
        raw[feature.name], wrong = convert(*columns[feature.name])
        if wrong is not None:
            bad.append((feature.name, tf.reduce_any(wrong, axis=1) if wrong.shape.rank == 2 else wrong))
    chunk: dict[str, Any] = {"raw": raw, "file": file, "line": line}

    numbers, _ = to_float(*columns[schema.label])
    if schema.label_threshold is None:
        chunk["label"] = numbers
        bad.append((schema.label, ~(tf.equal(numbers, 0.0) | tf.equal(numbers, 1.0))))
    else:
        chunk["label"] = tf.cast(numbers >= schema.label_threshold, tf.float32)
        bad.append((schema.label, tf.math.is_nan(numbers)))
    chunk["weight"] = tf.ones_like(numbers)
    if schema.weight:
        chunk["weight"], _ = to_float(*columns[schema.weight])
        bad.append((schema.weight, ~(tf.math.is_finite(chunk["weight"]) & (chunk["weight"] >= 0.0))))
    if schema.query_id:
        text, _ = to_string(*columns[schema.query_id])
        # A fingerprint, because an id may be a text, and TensorFlow has texts on the CPU alone.
        chunk["query_id"] = tf.strings.to_hash_bucket_fast(text, 2**63 - 1)
    if schema.timestamp:
        chunk["timestamp"], _ = to_time(*columns[schema.timestamp])
        bad.append((schema.timestamp, ~tf.math.is_finite(chunk["timestamp"])))

    first_bad = tf.fill(tf.shape(problem), GOOD)
    numbered = [(FIRST_COLUMN + schema.columns.index(name), mask) for name, mask in bad]
    for number, mask in sorted(numbered, key=lambda one: one[0], reverse=True):  # the first column has the last word
        first_bad = tf.where(mask, number, first_bad)
    chunk["problem"] = tf.where(problem == GOOD, first_bad, problem)
    return chunk


def describe(schema: Schema, problem: int) -> str:
    """The reason why a row is malformed, in words."""
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


def select(chunk: Mapping[str, Any], mask: Any) -> dict[str, Any]:
    """The rows of a chunk where the mask is true."""
    rows = _rows(chunk)

    def some() -> Any:
        kept = tf.where(mask)[:, 0]
        return tf.nest.map_structure(lambda tensor: tf.gather(tensor, kept), rows)

    # Nearly always all rows are kept: gathering them would copy every column.
    return {**tf.cond(tf.reduce_all(mask), lambda: rows, some), "file": chunk["file"]}


def replaced(chunk: Mapping[str, Any], mask: Any, others: Mapping[str, Any]) -> dict[str, Any]:
    """A chunk with other rows where the mask is true: `others` has one for each of them."""
    places = tf.where(mask)
    rows = tf.nest.map_structure(
        lambda tensor, other: tf.tensor_scatter_nd_update(tensor, places, other), _rows(chunk), _rows(others)
    )
    return {**rows, "file": chunk["file"]}


def _rows(chunk: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of a chunk that have one value for every row."""
    return {key: value for key, value in chunk.items() if key != "file"}


CHUNK_ROWS = 8192  # so many that the cost of an element of a dataset does not count, and a few MB all the same


def read_chunks(
    open_file: Callable[[Any, Any], Any], files: Sequence[str], file: int, line: int, *, skip: int = 0
) -> Any:
    """A dataset of (records [n], number of the file, line of the first record), one file after the other.

    Args:
      open_file: `tf.data.TextLineDataset` or `tf.data.TFRecordDataset`, called with a path and its compression.
      files: all paths.
      file: the number of the file to start with.
      line: the line of that file to start at, from 1.
      skip: how many lines at the start of every file are left out.
    """
    names = list(files[file:])
    kinds = [compression(name) for name in names]
    first = tf.constant([max(line - 1, skip)] + [skip] * (len(names) - 1), tf.int64)

    # `skip` and `batch` within one file, so that a chunk never holds rows of two files.
    @tf.autograph.experimental.do_not_convert
    def chunks(name: Any, kind: Any, number: Any, left_out: Any) -> Any:
        batches = open_file(name, kind).skip(left_out).batch(CHUNK_ROWS)
        return batches.enumerate().map(lambda index, records: (records, number, left_out + 1 + index * CHUNK_ROWS))

    numbers = tf.range(file, file + len(names))
    return untuned(tf.data.Dataset.from_tensor_slices((names, kinds, numbers, first))).flat_map(chunks)


def lines(first: Any, records: Any) -> Any:
    """The line of every record of a chunk, int64 [n], counted on from that of the first."""
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
        """A dataset of chunks (see the top of this module) from line `line` of file number `file` on.

        A line is a line of text, or a record, counted from 1. From a line at which a chunk started in an earlier pass,
        the same chunks follow.
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
    """The first line of an error's message, without the names of TensorFlow's graph nodes."""
    return re.sub(r"\{\{.*?\}\} | \[Op:.*", "", error.message.splitlines()[0])
