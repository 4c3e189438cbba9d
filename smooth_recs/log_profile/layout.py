"""How the files of a log are laid out: format, delimiter, header, columns; seen in their first rows, or given."""

from __future__ import annotations

import csv
import dataclasses
import re
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from smooth_recs import _files, config, extras, fields
from smooth_recs.data import presets
from smooth_recs.data.files import check_complete, compression, expand, with_content
from smooth_recs.data.raw_rows import Reader
from smooth_recs.data.readers.csv import check_text, header_names
from smooth_recs.data.readers.tfrecord import column_kinds, most_values
from smooth_recs.data.values import ISO_8601, NUMBER
from smooth_recs.errors import InputError, shortened
from smooth_recs.schema import Categorical, PredictionSchema

MOST_VALUES = 16  # of a list that are read
_PEEK_LINES = 200
_DELIMITERS = (",", "\t", ";", "|")
_VALUE = re.compile(rf"(?:{NUMBER}|{ISO_8601})\Z")


@dataclasses.dataclass(frozen=True)
class Layout:
    """The files of a log and what their format is.

    Attributes:
      path: as it was given.
      files: what it stands for.
      source: `csv`, `tfrecord` or `parquet`, for `data.source`.
      delimiter, header: of CSV files.
      columns: the names that can be read.
      unreadable: columns whose kind no feature can have, and why.
      lists: columns that hold several values.
      row_bytes: of a row in an uncompressed file, on average; 0 = not known.
    """

    path: str
    files: tuple[str, ...]
    source: str
    delimiter: str
    header: bool
    columns: tuple[str, ...]
    unreadable: Mapping[str, str] = dataclasses.field(default_factory=dict)
    lists: frozenset[str] = frozenset()
    row_bytes: float = 0.0

    def reader(self) -> Reader:
        """A reader of all columns as texts, the first one as the feature `c0`, and so on."""
        features = tuple(
            Categorical(f"c{number}", max_values=MOST_VALUES if name in self.lists else 1, column=name)
            for number, name in enumerate(self.columns)
        )
        data = config.Data(
            source=self.source,  # type: ignore[arg-type]
            delimiter=self.delimiter,
            header=self.header,
            column_names=() if self.header else self.columns,
        )
        return presets.FORMATS[self.source](data, self.files, PredictionSchema(features, label=""))

    def rows(self) -> int | None:
        """About how many rows there are, for a progress bar; None where nothing tells."""
        if self.source == "parquet":
            with extras.needed("parquet"):
                import pyarrow.parquet as pq

            return sum(pq.read_metadata(_files.source(file)).num_rows for file in self.files)
        return round(sum(map(_size, self.files)) / self.row_bytes) if self.row_bytes else None


@dataclasses.dataclass(frozen=True)
class GivenLayout:
    """What the user says of the files; what is empty is seen in the first rows of the first file.

    Attributes:
      source: `csv`, `tfrecord` or `parquet`.
      delimiter: of CSV files.
      header: whether the first line of each CSV file names the columns.
      names: of the columns, where no header has them.
    """

    source: str = ""
    delimiter: str = ""
    header: bool | None = None
    names: Sequence[str] = ()


def layout_of(path: str, given: GivenLayout | None = None) -> Layout:
    """The layout of the files under `path`.

    Args:
      path: a file, a folder or a glob, several separated by commas.
      given: what is known of it.

    Raises:
      InputError: no file, an empty or damaged one, files of several formats, or a single column.
    """
    given = given or GivenLayout()
    if given.delimiter:
        fields.check_rules("--delimiter", given.delimiter, fields.annotations_of(config.Data)["delimiter"])
    files = with_content(expand(path, "--data"), "--data")
    for file in files:
        check_complete(file)
    data = presets.as_they_are(config.Data(source="csv"), files)
    source = given.source or (data.source if presets.tells_its_format(files[0]) else _unnamed_format(files[0]))
    if source == "csv":
        known = given.delimiter or (data.delimiter if data.delimiter != "," else "")
        return _text(path, files, dataclasses.replace(given, delimiter=known))
    if source == "parquet":
        return _parquet(path, files)
    columns = tuple(sorted(column_kinds(files)))
    _check_columns(columns, files[0], "")
    records = list(tf.data.TFRecordDataset(files[0], compression(files[0])).take(_PEEK_LINES).as_numpy_iterator())
    several = frozenset(name for name, most in most_values(files).items() if most > 1)
    # A record has 16 bytes around it.
    return Layout(path, files, source, ",", True, columns, {}, several, float(np.mean([len(r) + 16 for r in records])))


def _unnamed_format(file: str) -> str:
    """The format of a file whose name says nothing and that is not Parquet."""
    try:
        return "tfrecord" if column_kinds([file]) else "csv"
    except InputError:
        return "csv"


def _text(path: str, files: tuple[str, ...], given: GivenLayout) -> Layout:
    check_text(files[0])
    lines = list(tf.data.TextLineDataset(files[0], compression(files[0])).take(_PEEK_LINES).as_numpy_iterator())
    if any(b"\0" in line for line in lines):
        raise InputError(f"--data: {files[0]} is no text, and neither TFRecord nor Parquet")
    texts = [line.decode("utf-8", "replace").removeprefix("\ufeff") for line in lines if line.strip()]
    if not texts:
        raise InputError(f"--data: {files[0]} holds nothing but blank lines")
    if re.match(r'\{\s*"', texts[0]) or texts[0].strip() in ("[", "{", "[{"):
        raise InputError(f"--data: {files[0]} is JSON, not CSV, TSV, TFRecord or Parquet: convert it")
    delimiter = "\t" if given.delimiter == r"\t" else given.delimiter
    delimiter = delimiter or max(_DELIMITERS, key=lambda each: _columns(texts, each))
    try:
        first = _split(texts[0], delimiter)
    except csv.Error as error:
        what = f"the first line of {files[0]} is no CSV with the delimiter {delimiter!r}"
        raise InputError(f"--data: {what}: {error}") from error
    header = given.header
    if header is None:
        header = not given.names and not any(map(_VALUE.match, first))
    if header:
        columns = header_names(files, delimiter)
    else:
        columns = tuple(given.names) or tuple(f"column_{number}" for number in range(1, len(first) + 1))
        if len(columns) != len(first):
            raise InputError(f"--column_names must name {len(first)} columns, as {files[0]} has, got {len(columns)}")
    _check_columns(columns, files[0], "; if that is wrong, give --delimiter")
    if len(texts) <= header:
        raise InputError(f"--data: {files[0]} has a header and no row")
    # Such as the index that pandas writes.
    unreadable = {f"(column {number})": "it has no name" for number, name in enumerate(columns, 1) if not name}
    size = float(np.mean([len(line) + 1 for line in lines]))
    return Layout(path, files, "csv", delimiter, header, tuple(filter(None, columns)), unreadable, row_bytes=size)


def _split(line: str, delimiter: str) -> list[str]:
    return line.split("\t") if delimiter == "\t" else next(csv.reader([line], delimiter=delimiter))


def _columns(lines: Sequence[str], delimiter: str) -> float:
    """How many columns the lines have with this delimiter, times the share of them that have as many as the first."""

    def fields_of(line: str) -> int:
        try:
            return len(_split(line, delimiter))
        except csv.Error:  # a field of more than 131,072 characters
            return line.count(delimiter) + 1

    counts = [fields_of(line) for line in lines]
    agreeing = counts.count(counts[0]) / len(counts)
    return counts[0] * agreeing if agreeing >= 0.5 else 0.0


def _check_columns(columns: Sequence[str], file: str, hint: str) -> None:
    if len(columns) < 2:
        shown = ", ".join(map(shortened, columns)) or "none"
        raise InputError(
            f"--data: a log must have a label and at least one feature, got one column ({shown}) in {file}{hint}"
        )


def _parquet(path: str, files: tuple[str, ...]) -> Layout:
    from smooth_recs.data.readers import parquet  # loads pyarrow

    schema, columns, unreadable, lists = parquet.schema_of(files[0]), [], {}, set()
    for name in parquet.column_names(files):
        kind: Any = schema.field(name).type
        try:
            parquet.kind_of(kind)
        except InputError:
            unreadable[name] = f"{kind} is no kind of a feature"
            continue
        columns.append(name)
        if parquet.is_list(kind):
            lists.add(name)
    _check_columns(columns, files[0], "")
    return Layout(path, files, "parquet", ",", True, tuple(columns), unreadable, frozenset(lists))


def _size(file: str) -> int:
    """Bytes of a file, uncompressed: a gzip file ends with them, modulo 2^32."""
    size, _ = _files.stamp(file)
    with _files.reading(file) as stream:
        if compression(file):
            stream.seek(size - 4)
            size = struct.unpack("<I", stream.read(4))[0]
    return size
