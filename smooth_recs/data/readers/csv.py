"""Delimited text files (CSV, TSV) as chunks of raw rows, in TensorFlow operations only.

Parsing runs in the `tf.data` graph, without Python, so that it uses all cores and can move to the remote workers of a
cluster. `SideTable` joins attributes of users or items that lie in a file of their own.
"""

from __future__ import annotations

import collections
import csv
import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from smooth_recs.data.feature_statistics import Vocabulary
from smooth_recs.data.files import compression
from smooth_recs.data.raw_rows import GOOD, WRONG_FIELDS, assemble, lines, read_chunks, replaced, without_places
from smooth_recs.errors import InputError
from smooth_recs.schema import Schema

_BYTE_ORDER_MARK = "\ufeff"
_TYPE_SUFFIX = re.compile(r":(token|token_seq|float|float_seq)$")  # RecBole's headers: `user_id:token`
_LARGEST_REPETITION = 50  # RE2 takes 1000, counted with those inside
# Numbers as nearly every file writes them: what the patterns of `raw_rows` accept, and mean the same.
_PLAIN = {tf.float32: r"(?:-?\d+(?:\.\d+)?(?:[eE][-+]?\d\d?)?)?", tf.int64: r"(?:-?\d{1,18})?"}
_MISSING = {tf.float32: [float("nan")], tf.int64: np.array([-1], np.int64), tf.string: [""]}


class SideTable:
    """A table that gives the attributes of a key; those of an unknown key are missing. Held in memory.

    Args:
      key: the column of the log that holds the key.
      keys: the keys of the table, each once.
      columns: by name, one text per key.

    Raises:
      InputError: a key occurs twice, or is empty.
    """

    def __init__(self, key: str, keys: Sequence[bytes], columns: Mapping[str, Sequence[bytes]]) -> None:
        counts = collections.Counter([*keys, b""])
        if len(counts) <= len(keys):
            twice = counts.most_common(1)[0][0].decode("utf-8", "replace")
            raise InputError(
                f"data.path: the side table of {key} must hold every key once and no empty one, got {twice!r}"
            )
        self.key = key
        self.names = tuple(columns)
        self._keys = Vocabulary(keys, "string")
        # The last row is that of unknown keys and of the empty one.
        self._columns = {name: tf.constant([*values, b""], tf.string) for name, values in columns.items()}

    def lookup(self, keys: Any) -> dict[str, Any]:
        """The table's columns for a tensor of keys, all of its shape."""
        rows = self._keys.rank(keys)
        return {name: tf.gather(values, rows) for name, values in self._columns.items()}


def read_fields(file: str, delimiter: bytes, fields: int, *, header: bool) -> list[list[bytes]]:
    """The fields of every line of a small file, as bytes; commas may be quoted, other delimiters not.

    Raises:
      InputError: a line has another number of fields, or there is no line below the header.
    """

    def split(line: bytes) -> list[bytes]:
        if delimiter != b"," or b'"' not in line:
            return line.split(delimiter)
        # `csv` wants texts: Latin-1 has a character for each byte.
        return [field.encode("latin-1") for field in next(csv.reader([line.decode("latin-1")]))]

    rows = [split(line) for line in tf.data.TextLineDataset(file, compression(file)).as_numpy_iterator()]
    for number, row in enumerate(rows, start=1):
        if len(row) != fields:
            raise InputError(f"data.path: a line must have {fields} fields, got {len(row)} in {file}:{number}")
    if len(rows) <= int(header):
        raise InputError(f"data.path: a side table must have rows, got none in {file}")
    return rows[int(header) :]


def header_names(files: Sequence[str], delimiter: str) -> tuple[str, ...]:
    """The column names in the first line of the files, which must be the same in all of them."""
    headers = []
    for file in files:
        try:
            first = list(tf.data.TextLineDataset(file, compression(file)).take(1).as_numpy_iterator())
        except tf.errors.DataLossError as error:
            raise InputError(f"data.path: {file} is damaged: {without_places(error)}") from error
        text = first[0].decode("utf-8", "replace").removeprefix(_BYTE_ORDER_MARK) if first else ""
        if not text.strip():
            raise InputError(f"data.path: a header must name the columns, got none in the first line of {file}")
        quoted = csv.reader([text], delimiter=delimiter, skipinitialspace=True)
        fields = text.split("\t") if delimiter == "\t" else next(quoted)
        headers.append(tuple(_TYPE_SUFFIX.sub("", name.strip()) for name in fields))
        if headers[-1] != headers[0]:
            raise InputError(f"data.path: the header of {file} differs from that of {files[0]}")
    return headers[0]


class CsvReader:
    """Reads delimited text, plain or gzip (by the name `.gz`), one row a line; blank lines are no rows.

    A field may be quoted as in RFC 4180, a quote doubled inside, but holds no line break; a tab separated file has no
    quoting. An empty field is a missing value. A column of the schema is found by its name, or by its name with an
    underscore for every character that an identifier cannot hold.

    Args:
      files: paths, read in this order; their headers must agree.
      schema: the columns to read; no other is decoded.
      delimiter: one ASCII character.
      header: whether the first line of each file names the columns; `name:type` counts as `name`.
      column_names: the names where there is no header.
      side_tables: give further columns.

    Raises:
      InputError: a header or a column is missing or ambiguous.

    ```python
    import pathlib

    from smooth_recs.data.readers.csv import CsvReader
    from smooth_recs.schema import Categorical, Schema

    pathlib.Path("log.csv").write_text("shop,label\\na,1\\n")
    reader = CsvReader(["log.csv"], Schema((Categorical("shop", "hash", size=10),)))
    assert [chunk["label"].tolist() for chunk in reader.read().as_numpy_iterator()] == [[1.0]]
    ```
    """

    def __init__(
        self,
        files: Sequence[str],
        schema: Schema,
        *,
        delimiter: str = ",",
        header: bool = True,
        column_names: Sequence[str] = (),
        side_tables: Sequence[SideTable] = (),
    ) -> None:
        if len(delimiter) != 1 or not delimiter.isascii() or delimiter in '"\r\n':
            raise InputError(f"data.delimiter must be one ASCII character and no quote, got {delimiter!r}")
        self.files, self.schema = tuple(files), schema
        self._delimiter, self._header, self._side_tables = delimiter, header, tuple(side_tables)
        names = header_names(self.files, delimiter) if header else tuple(column_names)
        if not names:
            raise InputError("data.column_names must name the columns of files without a header, got none")
        joined = {name for table in self._side_tables for name in table.names}
        wanted = [name for name in schema.columns if name not in joined] + [table.key for table in self._side_tables]
        # By position in the file. In ascending order, as tf.io.decode_csv wants its `select_cols`.
        self._wanted = dict(sorted((_position(names, name, self.files[0]), name) for name in wanted))
        self._kinds = self._plain_kinds()
        kinds = [self._kinds.get(position, tf.string) for position in range(len(names))]
        self._plain, self._pattern = (_line_pattern(k, delimiter) for k in (kinds, [tf.string] * len(kinds)))
        self._line_of_empty_fields = delimiter * (len(names) - 1)

    def read(self, file: int = 0, line: int = 1) -> Any:
        """A dataset of chunks (see `raw_rows`) from that line of that file on."""
        chunks = read_chunks(tf.data.TextLineDataset, self.files, file, line, skip=int(self._header))
        return chunks.map(self._parse, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)

    def _plain_kinds(self) -> dict[int, tf.DType]:
        """Position in the file -> type, of the columns that are numbers in each of their roles."""
        schema = self.schema
        floats = {feature.name for feature in schema.numeric} | {schema.label, schema.weight}
        integers = {f.name for f in schema.categorical if f.dtype == "int64" and not f.multi_valued}
        others = {feature.name for feature in schema.categorical} - integers
        texts = others | {schema.query_id, schema.timestamp, *(table.key for table in self._side_tables)}
        kinds = {}
        for position, name in self._wanted.items():
            if name not in texts and (name in floats) != (name in integers):
                kinds[position] = tf.float32 if name in floats else tf.int64
        return kinds

    @tf.autograph.experimental.do_not_convert
    def _parse(self, records: Any, file: Any, first: Any) -> dict[str, Any]:
        """A chunk from lines of text.

        tf.io.decode_csv reads numbers fast, but fails the whole batch on one that does not parse (TensorFlow 2.21). So
        one pattern finds the lines whose numbers are plain, and decode_csv reads their numbers as numbers. The other
        lines are decoded as texts, which `raw_rows` checks field by field.
        """
        text, line = _without_blanks(records, first)
        plain = tf.strings.regex_full_match(text, self._plain)

        def plain_rows(text: Any) -> dict[str, Any]:
            return self._rows(text, self._kinds, tf.fill(tf.shape(text), GOOD), file, line)

        def mixed() -> dict[str, Any]:
            odd, odd_line = tf.boolean_mask(text, ~plain), tf.boolean_mask(line, ~plain)
            # RE2 matches only UTF-8, so other bytes become the characters of Latin-1. Fields keep their number, as
            # delimiters and quotes are ASCII; values are decoded from the lines themselves.
            ascii_only = tf.reduce_all(tf.strings.regex_full_match(odd, r"[\x00-\x7f]*"))
            latin = tf.cond(ascii_only, lambda: odd, lambda: tf.strings.unicode_transcode(odd, "ISO-8859-1", "UTF-8"))
            good = tf.strings.regex_full_match(latin, self._pattern)
            problem = tf.where(good, GOOD, WRONG_FIELDS)
            others = self._rows(tf.where(good, odd, self._line_of_empty_fields), {}, problem, file, odd_line)
            return replaced(plain_rows(tf.where(plain, text, self._line_of_empty_fields)), ~plain, others)

        return tf.cond(tf.reduce_all(plain), lambda: plain_rows(text), mixed)

    def _rows(self, text: Any, kinds: Mapping[int, tf.DType], problem: Any, file: Any, line: Any) -> dict[str, Any]:
        """A chunk from lines with the right number of fields; a column is text where `kinds` does not say otherwise."""
        decoded = tf.io.decode_csv(
            text,
            record_defaults=[_MISSING[kinds.get(position, tf.string)] for position in self._wanted],
            field_delim=self._delimiter,
            use_quote_delim=self._delimiter != "\t",
            select_cols=list(self._wanted),
        )
        cells = dict(zip(self._wanted.values(), decoded, strict=True))
        for table in self._side_tables:
            cells |= table.lookup(cells[table.key])
        for feature in self.schema.categorical:
            if feature.multi_valued:
                parts = tf.strings.split(cells[feature.name], feature.separator)
                cells[feature.name] = parts.to_tensor("", shape=[None, feature.max_values])
        return assemble(self.schema, {name: (cells[name], None) for name in self.schema.columns}, problem, file, line)


def _position(names: Sequence[str], wanted: str, file: str) -> int:
    """The position of a column of the schema in a file."""
    # A feature's name is an identifier, a header's need not be: `user-item_affinity_0` is found as
    # `user_item_affinity_0`.
    identifiers = [re.sub(r"\W", "_", name, flags=re.ASCII) for name in names]
    for candidates in (names, identifiers):
        if candidates.count(wanted) > 1:
            raise InputError(f"data.path: the column {wanted!r} is twice in {file}")
        if wanted in candidates:
            return candidates.index(wanted)
    raise InputError(f"data.path: the column {wanted!r} is not in {file}, which has {', '.join(names)}")


def _line_pattern(kinds: Sequence[tf.DType], delimiter: str) -> str:
    """RE2 pattern of a line with fields of those types.

    Equal neighbouring fields become one repetition: RE2 refuses the patterns of wide files that spell out each field.
    """
    mark = re.escape(delimiter)
    text = f"[^{mark}]*" if delimiter == "\t" else f'(?:[^"{mark}]*|"(?:[^"]|"")*")'
    fields = [_PLAIN.get(kind, text) for kind in kinds]
    pattern = ""
    for field, equal in itertools.groupby(fields[:-1]):
        whole, rest = divmod(len(list(equal)), _LARGEST_REPETITION)
        pattern += f"(?:{field}{mark}){{{_LARGEST_REPETITION}}}" * whole + f"(?:{field}{mark}){{{rest}}}"
    return pattern + fields[-1]


def _without_blanks(records: Any, first: Any) -> tuple[Any, Any]:
    """The lines that are not blank, without a byte order mark at the start of the file, and their numbers."""

    def without_mark() -> Any:
        return tf.concat([tf.strings.regex_replace(records[:1], f"^{_BYTE_ORDER_MARK}", ""), records[1:]], axis=0)

    text = tf.cond(tf.equal(first, 1), without_mark, lambda: records)
    numbers, kept = lines(first, records), tf.not_equal(text, "")
    return tf.cond(
        tf.reduce_all(kept),
        lambda: (text, numbers),
        lambda: (tf.boolean_mask(text, kept), tf.boolean_mask(numbers, kept)),
    )
