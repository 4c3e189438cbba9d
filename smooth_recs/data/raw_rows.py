"""Raw rows of a log: columns of files gathered in chunks, in the types of a schema, and offered by readers of files.

`values` says what a text of a file means.

**Chunks.** A chunk is a dictionary: `raw` {feature: tensor}, `label` and `weight` float32 [n], `query_id` int64 [n] and
`timestamp` float64 [n] where the schema names them, `labels` float32 [n, T] of all T labels where it names several, of
which `label` is the first, `copied` {column: string [n]} with the texts of what a
`PredictionSchema` copies, `problem` int32 [n] (0 = a good row), `value` string [n] (what a
malformed row holds in place of a good value), `file` int32 (the number of the file) and `line` int64 [n], counted from
1. All rows of a chunk come from one file.

**Readers.** A `Reader` yields the chunks of its files, one file after the other, from any chunk on.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import tensorflow as tf

from smooth_recs.config import MISSING
from smooth_recs.data.files import compression, untuned
from smooth_recs.data.values import (
    are_plain,
    float_text,
    is_subnormal,
    plain_texts,
    to_float,
    to_int64,
    to_string,
    to_time,
)
from smooth_recs.errors import InputError
from smooth_recs.schema import Numeric, Schema

GOOD, WRONG_FIELDS, UNREADABLE, FIRST_COLUMN = 0, 1, 2, 3
COPIED = "copied/"  # begins the name of a column's exact texts, where a reader has others in its place
_LINES_OF_A_FILE = 1 << 40
_SHOWN = 40  # characters of a value in a message
Column = tuple[Any, Any]
"""Values as the file holds them, [n], or [n, max_values] if multi-valued, and the mask `present` of them, or None."""


def assemble(
    schema: Schema,
    columns: Mapping[str, Column],
    problem: Any,
    file: Any,
    line: Any,
    *,
    missing: Sequence[str] = MISSING,
    plain: Any = None,
    texts: Any = None,
) -> dict[str, Any]:
    """A chunk of rows from the columns of a file.

    Args:
      schema: which column has which role and type.
      columns: by name, all that the schema names; under `COPIED` and a name the exact texts of a column whose values
        are not.
      problem: int32 [n], what the reader itself could not read; rows that are `GOOD` are checked here, and get the
        number of their first bad column.
      file: the number of the file.
      line: int64 [n].
      missing: texts that mean that there is no value.
      plain: whether every text stands for itself: none is in `missing` or an integer with a point; true, false, or a
        tensor that says it when the rows are read. None: it is looked at here.
      texts: string [n], the text of each row that the reader itself could not read; None: there is none.
    """

    if plain is None:
        plain = are_plain([columns[name][0] for name in schema.columns], missing)
    chunk = _read(schema, columns, problem, file, line, _in_plain_texts(schema, columns, missing, plain))

    def shown() -> Any:
        found = tf.fill(tf.shape(problem), "") if texts is None else texts
        for number, name in enumerate(schema.columns, start=FIRST_COLUMN):
            values, present = columns[name]
            if not _may_be_wrong(schema, name, values.dtype):
                continue
            if values.dtype.is_floating:
                near_0 = f"a number below {np.finfo(values.dtype.as_numpy_dtype).smallest_normal:.1e}"
                texts_of_floats = tf.where(is_subnormal(values), near_0, float_text(values))
                values = tf.where(tf.math.is_nan(values), "", texts_of_floats)
            text = values if values.dtype == tf.string else tf.strings.as_string(values)
            text = text if present is None else tf.where(present, text, "")
            if text.shape.rank == 2:
                text = tf.strings.strip(tf.strings.reduce_join(text, axis=1, separator=" "))
            found = tf.where(tf.equal(chunk["problem"], number), text, found)
        return found

    nothing_wrong = tf.reduce_all(tf.equal(chunk["problem"], GOOD))
    value = tf.cond(nothing_wrong, lambda: tf.fill(tf.shape(problem), ""), shown)
    return chunk | {"value": value, "file": file, "line": line}


def _may_be_wrong(schema: Schema, column: str, dtype: tf.DType) -> bool:
    """Whether a value of that type, of which texts and floats need not fit, can make a row malformed."""
    if column in (*schema.labels, schema.weight, schema.timestamp):
        return True
    kinds = {getattr(f, "dtype", "float32") for f in schema.features if f.source_column == column}
    if dtype == tf.string:
        return not kinds <= {"string"}
    return bool(dtype.is_floating) and (column == schema.query_id or not kinds <= {"float32"})


def _in_plain_texts(
    schema: Schema, columns: Mapping[str, Column], missing: Sequence[str], plain: Any
) -> dict[tuple[str, bool], Column]:
    """The columns by their names and whether they are read as texts; see `values.plain_texts`.

    One that is read as a number keeps the text `-0.0`, which is another number than `0`.
    """
    read_as_texts = {(f.source_column, getattr(f, "dtype", "") == "string") for f in schema.features}
    read_as_texts |= {(name, False) for name in (*schema.labels, schema.weight, schema.timestamp) if name}
    read_as_texts |= {(schema.query_id, True)} if schema.query_id else set()
    found = {(name, whole): columns[name] for name, whole in sorted(read_as_texts)}
    for whole in (False, True):
        texts = {key: values for key, (values, _) in found.items() if key[1] == whole and values.dtype == tf.string}
        if plain is True or not texts:
            continue
        given = list(texts.values())

        def in_plain_texts(given: Sequence[Any] = given, whole: bool = whole) -> list[Any]:
            return plain_texts(given, missing, whole=whole)

        made = in_plain_texts() if plain is False else tf.cond(plain, lambda given=given: given, in_plain_texts)
        found |= {key: (text, found[key][1]) for key, text in zip(texts, made, strict=True)}
    return found


def _read(
    schema: Schema,
    columns: Mapping[str, Column],
    problem: Any,
    file: Any,
    line: Any,
    read_as: Mapping[tuple[str, bool], Column],
) -> dict[str, Any]:
    """The entries of a chunk that conversion gives (see `assemble` and `values`)."""
    raw: dict[str, Any] = {}
    bad: list[tuple[str, Any]] = []  # a column may be here twice, in two roles
    for feature in schema.features:
        convert = to_float if isinstance(feature, Numeric) else to_string if feature.dtype == "string" else to_int64
        column = feature.source_column
        raw[feature.name], wrong = convert(*read_as[column, convert is to_string], missing=None)
        if wrong is not None:
            bad.append((column, tf.reduce_any(wrong, axis=1) if wrong.shape.rank == 2 else wrong))
    chunk: dict[str, Any] = {"raw": raw}

    def checked(values: Any, column: str, wrong: Any) -> Any:
        """The values of a column whose wrong values make a row malformed, or are NaN where nobody needs them."""
        if not schema.needs_label:
            return tf.where(wrong, float("nan"), values)
        bad.append((column, wrong))
        return values

    labels = []
    for name, threshold in zip(schema.labels, schema.label_thresholds, strict=True):
        numbers, _ = to_float(*read_as[name, False], missing=None)
        if threshold is None:
            label, wrong = numbers, ~(tf.equal(numbers, 0.0) | tf.equal(numbers, 1.0))
        else:
            label, wrong = tf.cast(numbers >= threshold, tf.float32), tf.math.is_nan(numbers)
        labels.append(checked(label, name, wrong))
    if labels:
        chunk["label"] = labels[0]
    if len(labels) > 1:
        chunk["labels"] = tf.stack(labels, axis=1)
    chunk["weight"] = tf.ones_like(line, tf.float32)
    if schema.weight:
        weight, _ = to_float(*read_as[schema.weight, False], missing=None)
        wrong = ~(tf.math.is_finite(weight) & (weight >= 0.0))
        chunk["weight"] = checked(weight, schema.weight, wrong)
    if schema.query_id:
        text, wrong = to_string(*read_as[schema.query_id, True], missing=None)
        if wrong is not None and schema.needs_label:
            bad.append((schema.query_id, wrong))
        # A fingerprint, because an id may be a text, and TensorFlow has texts on the CPU alone. A row whose request is
        # unknown is a request of its own: its place, as a negative number, which no fingerprint is.
        fingerprint = tf.strings.to_hash_bucket_fast(text, 2**63 - 1)
        place = tf.cast(file, tf.int64) * _LINES_OF_A_FILE + line
        chunk["query_id"] = tf.where(tf.equal(text, ""), -1 - place, fingerprint)
    if schema.timestamp:
        chunk["timestamp"], _ = to_time(*read_as[schema.timestamp, False], missing=None)
        bad.append((schema.timestamp, ~tf.math.is_finite(chunk["timestamp"])))

    if schema.copied:
        chunk["copied"] = {name: _as_it_stands(*columns.get(COPIED + name, columns[name])) for name in schema.copied}

    first_bad = tf.fill(tf.shape(problem), GOOD)
    numbered = [(FIRST_COLUMN + schema.columns.index(name), mask) for name, mask in bad]
    for number, mask in sorted(numbered, key=lambda one: one[0], reverse=True):  # the first column has the last word
        first_bad = tf.where(mask, number, first_bad)
    chunk["problem"] = tf.where(problem == GOOD, first_bad, problem)
    return chunk


def _as_it_stands(values: Any, present: Any) -> Any:
    """The texts of a column's values, "" where there is none."""
    if values.dtype.is_floating:
        values = float_text(values)
    text = values if values.dtype == tf.string else tf.strings.as_string(values)
    return text if present is None else tf.where(present, text, "")


def describe(schema: Schema, problem: int, value: bytes) -> str:
    """The reason why a row is malformed, in words, with the value that is wrong."""
    got = f", got {shortened(value) if value else 'no value'}"
    if problem == WRONG_FIELDS:
        return f"wrong number of fields or values{got if value else ''}"
    if problem == UNREADABLE:
        return "no readable tf.Example"
    name = schema.columns[problem - FIRST_COLUMN]
    if name in schema.labels:
        threshold = schema.label_thresholds[schema.labels.index(name)]
        return f"{name} is {'no number' if threshold is not None else 'neither 0 nor 1'}{got}"
    if name == schema.weight:
        return f"{name} is no number of at least 0{got}"
    if name == schema.timestamp:
        return f"{name} is neither a number nor an ISO 8601 time{got}"
    kinds = {getattr(feature, "dtype", "float32") for feature in schema.features if feature.source_column == name}
    if "int64" in kinds:
        return f"{name} is no integer of 64 bits{got}"
    return f"{name} is no number{got}" if "float32" in kinds else f"{name} is no exact text{got}"


def shortened(value: bytes) -> str:
    """A value of a file in a message: in quotes, on one line, not longer than a few words."""
    text = value.decode("utf-8", "backslashreplace")
    return repr(text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}...")


def column_position(names: Sequence[str], wanted: str, file: str) -> int:
    """The position of a column of the schema among those of a file.

    A column is found by its name, or by its name with an underscore for every character that an identifier cannot hold:
    `user-id` and `user id` are found as `user_id`.

    Raises:
      InputError: the file has no such column, or several.
    """
    identifiers = [re.sub(r"\W", "_", name, flags=re.ASCII) for name in names]
    for candidates in (names, identifiers):
        if candidates.count(wanted) > 1:
            raise InputError(f"data.path: the column {wanted!r} is twice in {file}")
        if wanted in candidates:
            return candidates.index(wanted)
    most = 20
    listed = ", ".join(names[:most]) + f" and {len(names) - most:,} more" * (len(names) > most)
    raise InputError(f"data.path: the column {wanted!r} is not in {file}, which has {listed}")


def select(chunk: Mapping[str, Any], mask: Any) -> dict[str, Any]:
    """The rows of a chunk where the mask is true; without `value`, which is of use for malformed rows alone."""
    rows = {key: value for key, value in _rows(chunk).items() if key != "value"}

    def some() -> Any:
        kept = tf.where(mask)[:, 0]
        return tf.nest.map_structure(lambda tensor: tf.gather(tensor, kept), rows)

    # Nearly always all rows are kept: gathering them would copy every column.
    return {**tf.cond(tf.reduce_all(mask), lambda: rows, some), "file": chunk["file"]}


class Distinct(NamedTuple):
    """The values of a column of a chunk, each once: there are far fewer than rows, and Python handles only these.

    Attributes:
      values: [u].
      place: int32 of the column's shape: which of the values stands there.
      count: int32 [u], how often each does.
    """

    values: Any
    place: Any
    count: Any

    @classmethod
    def of(cls, column: Any) -> Distinct:
        """The distinct values of a tensor of texts or integers, of any shape."""
        if column.shape.rank == 1:
            return cls(*tf.unique_with_counts(column))
        values, place, count = tf.unique_with_counts(tf.reshape(column, [-1]))
        return cls(values, tf.reshape(place, tf.shape(column)), count)

    def of_rows(self, mask: Any) -> Distinct:
        """The rows of the column for which the mask is true, in NumPy."""
        place = self.place[mask]
        count = np.bincount(place.ravel(), minlength=self.count.size).astype(np.int32)
        left = count > 0
        return Distinct(self.values[left], (np.cumsum(left, dtype=np.int32) - 1)[place], count[left])

    def column(self) -> Any:
        """The column, in NumPy."""
        return self.values[self.place]


def distinct_features(schema: Schema, raw: Mapping[str, Any]) -> dict[str, Any]:
    """The raw features of a chunk, the categorical ones as `Distinct`."""
    categorical = {feature.name for feature in schema.categorical}
    return {name: Distinct.of(values) if name in categorical else values for name, values in raw.items()}


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
    open_file: Callable[[Any, Any], Any],
    files: Sequence[str],
    file: int,
    line: int,
    *,
    skip: int = 0,
    most_rows: int = sys.maxsize,
) -> Any:
    """A dataset of (records [n], number of the file, line of the first record), one file after the other.

    Args:
      open_file: `tf.data.TextLineDataset` or `tf.data.TFRecordDataset`, called with a path and its compression.
      files: all paths.
      file: the number of the file to start with.
      line: the line of that file to start at, from 1.
      skip: how many lines at the start of every file are left out.
      most_rows: how many records of their size a chunk may hold.
    """
    rows = min(CHUNK_ROWS, most_rows)
    names = list(files[file:])
    kinds = [compression(name) for name in names]
    first = tf.constant([max(line - 1, skip)] + [skip] * (len(names) - 1), tf.int64)

    # `skip` and `batch` within one file, so that a chunk never holds rows of two files.
    @tf.autograph.experimental.do_not_convert
    def chunks(name: Any, kind: Any, number: Any, left_out: Any) -> Any:
        batches = open_file(name, kind).skip(left_out).batch(rows)
        return batches.enumerate().map(lambda index, records: (records, number, left_out + 1 + index * rows))

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


def chunks(dataset: Any) -> Iterator[Any]:
    """The chunks of a dataset as dictionaries of NumPy arrays.

    Raises:
      InputError: a file is not what its name says, or is cut short.
    """
    try:
        yield from dataset.as_numpy_iterator()
    except tf.errors.DataLossError as error:
        raise InputError(f"data.path: a file is damaged: {without_places(error)}") from error


def all_chunks(reader: Reader, then: Callable[[dict[str, Any]], Any]) -> Iterator[Any]:
    """All chunks of a reader in NumPy, once `then` has made something of each in a graph.

    Where a reader has `read_easy`, that goes first: its graph takes a fraction of the time to make, and reads most logs
    to their ends. From the first chunk on that it cannot read, `read` does.
    """
    easy, start = getattr(reader, "read_easy", lambda: None)(), (0, 1)
    if easy is not None:
        both = easy.map(
            tf.autograph.experimental.do_not_convert(lambda chunk, *rest: (then(chunk), *rest)),
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )
        for found, right, file, line in chunks(both):
            if not right:
                start = int(file), int(line)
                break
            yield found
        else:
            return
    yield from chunks(reader.read(*start).map(then, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True))


def without_places(error: tf.errors.OpError) -> str:
    """The first line of an error's message, without the names of TensorFlow's graph nodes."""
    return re.sub(r"\{\{.*?\}\} | \[Op:.*", "", error.message.splitlines()[0])
