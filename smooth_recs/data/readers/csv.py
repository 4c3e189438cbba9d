"""Delimited text files (CSV, TSV) as chunks of raw rows, in TensorFlow operations only.

Parsing runs in the `tf.data` graph, without Python, so that it uses all cores and can move to the remote workers of a
cluster. `SideTable` joins attributes of users or items that lie in a file of their own.
"""

from __future__ import annotations

import codecs
import collections
import csv
import functools
import gzip
import itertools
import re
import weakref
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from smooth_recs import _files
from smooth_recs.config import MISSING
from smooth_recs.data.feature_statistics import Vocabulary
from smooth_recs.data.files import compression
from smooth_recs.data.raw_rows import (
    CHUNK_ROWS,
    GOOD,
    WRONG_FIELDS,
    assemble,
    column_position,
    lines,
    read_chunks,
    replaced,
    without_places,
)
from smooth_recs.data.values import are_plain, split_values
from smooth_recs.errors import InputError
from smooth_recs.schema import Schema

_BYTE_ORDER_MARK = "\ufeff"
_TYPE_SUFFIX = re.compile(r":(token|token_seq|float|float_seq)$")  # RecBole's headers: `user_id:token`
_LARGEST_REPETITION = 50  # RE2 takes 1000, counted with those inside
# RE2 needs some instructions for a field, and gives up on a large pattern: it says so on stderr for every line, and
# then takes many times as long (TensorFlow 2.21).
_NUMBER_COST, _UNUSED_COST, _TEXT_COST, _LARGEST_PATTERN = 25, 40, 250, 24_000
_CHUNK_FIELDS = CHUNK_ROWS * 256  # a chunk of lines with more fields than 256 has fewer lines
_DELIMITERS = ",;\t|"
_START = 1 << 16  # bytes that show how a file is written
_TYPED = r"\t"  # a tab as a shell passes it
# Numbers as nearly every file writes them: what the patterns of `values` accept, and mean the same.
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


def check_text(file: str) -> None:
    """Raises InputError where the first bytes of a file show that it cannot be read line by line."""
    try:
        with _files.reading(file) as stored, gzip.open(stored) if compression(file) else stored as stream:
            start = stream.read(_START)
    except (EOFError, gzip.BadGzipFile, zlib.error):  # a damaged file, which who reads its lines names
        return
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise InputError(f"data.path: {file} must be UTF-8, got UTF-16: iconv -f UTF-16 -t UTF-8 converts it")
    if b"\r" in start and b"\n" not in start:  # TensorFlow (2.21) would drop the CRs, and see one line
        raise InputError(f"data.path: lines must end in LF or CRLF, got CR alone in {file}: tr '\\r' '\\n' converts it")


def first_fields(file: str, delimiter: str) -> tuple[str, ...]:
    """The fields of the first line of a file, without white space around them; none where it is blank.

    Raises:
      InputError: the file is damaged, or no text that can be read line by line.
    """
    check_text(file)
    try:
        first = list(tf.data.TextLineDataset(file, compression(file)).take(1).as_numpy_iterator())
    except tf.errors.DataLossError as error:
        raise InputError(f"data.path: {file} is damaged: {without_places(error)}") from error
    text = first[0].decode("utf-8", "replace").removeprefix(_BYTE_ORDER_MARK) if first else ""
    if not text.strip():
        return ()
    quoted = csv.reader([text], delimiter=delimiter, skipinitialspace=True)
    try:
        return tuple(field.strip() for field in (text.split("\t") if delimiter == "\t" else next(quoted)))
    except csv.Error as error:
        raise InputError(f"data.path: the first line of {file} is no CSV: {error}") from error


def header_names(files: Sequence[str], delimiter: str) -> tuple[str, ...]:
    """The column names in the first line of the files, which must be the same in all of them."""
    delimiter, headers = "\t" if delimiter == _TYPED else delimiter, []
    for file in files:
        headers.append(tuple(_TYPE_SUFFIX.sub("", name) for name in first_fields(file, delimiter)))
        if not headers[-1]:
            raise InputError(f"data.path: a header must name the columns, got none in the first line of {file}")
        if headers[-1] != headers[0]:
            new, gone = sorted(set(headers[-1]) - set(headers[0])), sorted(set(headers[0]) - set(headers[-1]))
            how = f"has {new[0]!r}" if new else f"lacks {gone[0]!r}" if gone else "has another order"
            raise InputError(f"data.path: the header of {file} differs from that of {files[0]}: it {how}")
    return headers[0]


_TRACED: weakref.WeakValueDictionary[tuple[Any, ...], Any] = weakref.WeakValueDictionary()


class CsvReader:
    """Reads delimited text, plain or gzip, one row a line; blank lines are no rows.

    A field may be quoted as in RFC 4180, a quote doubled inside, but holds no line break; a tab separated file has no
    quoting. `values` says what a field means. `raw_rows.column_position` finds the columns of the schema.

    Args:
      files: paths, read in this order; their headers must agree.
      schema: the columns to read; no other is decoded.
      delimiter: one ASCII character, or a backslash and a t for a tab.
      header: whether the first line of each file names the columns; `name:type` counts as `name`.
      column_names: the names where there is no header.
      side_tables: give further columns.
      missing: texts that mean, like an empty one, that there is no value.
      line_breaks: a field in quotes may hold line breaks, and `line` counts rows. The files are then taken apart in
        Python, on this machine.

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
        missing: Sequence[str] = MISSING,
        line_breaks: bool = False,
    ) -> None:
        delimiter = "\t" if delimiter == _TYPED else delimiter
        if len(delimiter) != 1 or not delimiter.isascii() or delimiter in '"\r\n':
            raise InputError(f"data.delimiter must be one ASCII character and no quote, got {delimiter!r}")
        self.files, self.schema = tuple(files), schema
        self._delimiter, self._header, self._side_tables = delimiter, header, tuple(side_tables)
        self._missing = tuple(missing)
        self._open = _records if line_breaks and delimiter != "\t" else tf.data.TextLineDataset
        names = header_names(self.files, delimiter) if header else tuple(column_names)
        if not names:
            raise InputError("data.column_names must name the columns of files without a header, got none")
        joined = {name for table in self._side_tables for name in table.names}
        wanted = [name for name in schema.columns if name not in joined] + [table.key for table in self._side_tables]
        # By position in the file. In ascending order, as tf.io.decode_csv wants its `select_cols`.
        try:
            self._wanted = dict(sorted((column_position(names, name, self.files[0]), name) for name in wanted))
        except InputError as error:
            raise InputError(f"{error}{self._other_delimiter(names, wanted)}") from error
        self._names, self._fields, self._kinds = tuple(names), len(names), self._plain_kinds()
        self._separators = {f.source_column: f.separator for f in schema.categorical if f.multi_valued}
        patterns = [self._plain_field(position) for position in range(self._fields)]
        cost = sum(cost for cost, _ in patterns)
        self._plain = _line_pattern([p for _, p in patterns], delimiter) if cost <= _LARGEST_PATTERN else None
        # A plain number is no missing value, unless one is a number; in a column that is not read none counts.
        numbers = any(re.fullmatch(plain, text) for text in self._missing for plain in _PLAIN.values())
        between = delimiter + "".join(self._separators.values())
        needed = numbers or self._wanted.keys() - self._kinds.keys()
        self._odd = _pattern_of_missing(self._missing, between) if needed else None
        # Lines whose numbers alone are plain; a text may be missing, or be a whole number such as `12.0`.
        tidy = [self._plain_field(position, any_text=True) for position in range(self._fields)]
        fits = not numbers and sum(cost for cost, _ in tidy) <= _LARGEST_PATTERN
        self._tidy = _line_pattern([p for _, p in tidy], delimiter) if fits else None

    def read(self, file: int = 0, line: int = 1) -> Any:
        """A dataset of chunks (see `raw_rows`) from that line of that file on."""
        return self._records(file, line).map(self._traced, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)

    def read_easy(self) -> Any:
        """A dataset of (a chunk, whether it is right, number of its file, its first line): see `raw_rows.all_chunks`.

        None where no line is easy.
        """
        if self._plain is None:
            return None

        @tf.autograph.experimental.do_not_convert
        def easy_rows(records: Any, file: Any, first: Any) -> tuple[Any, ...]:
            text, line = _without_blanks(records, first)
            rows, easy = self._easy_rows(text, file, line)
            return rows, tf.reduce_all(easy), file, first

        return self._records(0, 1).map(easy_rows, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)

    def _records(self, file: int, line: int) -> Any:
        """A dataset of (lines of text, number of their file, number of the first line)."""
        rows = max(_CHUNK_FIELDS // self._fields, 1)
        return read_chunks(self._open, self.files, file, line, skip=int(self._header), most_rows=rows)

    @functools.cached_property
    def _traced(self) -> Any:
        """`_parse` as a graph, which takes a second to make: one for all passes, and for all readers of such lines."""
        traced = tf.function(self._parse, autograph=False)
        if self._side_tables:  # which are in the graph
            return traced
        key = (repr(self.schema), self._delimiter, self._names, self._missing, self._plain)
        return _TRACED.setdefault(key, traced)

    def _other_delimiter(self, names: Sequence[str], wanted: Sequence[str]) -> str:
        """A question that names the delimiter with which the header would have a column of the schema."""
        for delimiter in _DELIMITERS.replace(self._delimiter, ""):
            header = self._delimiter.join(names)
            if self._header and delimiter in header and any(name in wanted for name in header.split(delimiter)):
                return f"; is the delimiter {delimiter!r}?"
        return ""

    def _plain_kinds(self) -> dict[int, tf.DType]:
        """Position in the file -> type, of the columns that are numbers in each of their roles."""
        schema = self.schema
        floats = {feature.source_column for feature in schema.numeric} | {*schema.labels, schema.weight}
        integers = {f.source_column for f in schema.categorical if f.dtype == "int64" and not f.multi_valued}
        others = {f.source_column for f in schema.categorical if f.dtype != "int64" or f.multi_valued}
        texts = others | {
            schema.query_id,
            schema.timestamp,
            *schema.copied,
            *(table.key for table in self._side_tables),
        }
        kinds = {}
        for position, name in self._wanted.items():
            if name not in texts and (name in floats) != (name in integers):
                kinds[position] = tf.float32 if name in floats else tf.int64
        return kinds

    def _plain_field(self, position: int, *, any_text: bool = False) -> tuple[int, str]:
        """The pattern of a column's fields that mean what they say, or of any text at all, and its cost for RE2."""
        if position in self._kinds:
            return _NUMBER_COST, _PLAIN[self._kinds[position]]
        name = self._wanted.get(position)
        if name is None or any_text:
            return _UNUSED_COST, _field(r"[^{end}]*", self._delimiter)
        if name in self._separators:  # without a number with a point, and without a list
            return _TEXT_COST, _field(r"(?:[^\[.{end}][^.{end}]*)?", self._delimiter, "")
        return _TEXT_COST, _field(_NO_WHOLE_NUMBER, self._delimiter)

    @tf.autograph.experimental.do_not_convert
    def _parse(self, records: Any, file: Any, first: Any) -> dict[str, Any]:
        """A chunk from lines of text.

        tf.io.decode_csv reads numbers fast, but fails the whole batch on one that does not parse (TensorFlow 2.21). So
        one pattern finds the lines whose numbers and texts are plain, and another one those with a missing value that
        is not empty. Where not all are plain, a third one finds those whose numbers are. decode_csv reads the numbers
        of such lines as numbers. The other lines, and all lines of very wide files, are decoded as texts, which
        `values` checks field by field.
        """
        text, line = _without_blanks(records, first)

        def field_by_field(text: Any, line: Any) -> dict[str, Any]:
            good = _well_formed(text, self._delimiter, self._fields)
            problem, decoded = tf.where(good, GOOD, WRONG_FIELDS), tf.where(good, text, self._empty_fields)
            return self._rows(decoded, {}, problem, file, line, tf.where(good, "", text))

        if self._plain is None:
            return field_by_field(text, line)
        rows, easy = self._easy_rows(text, file, line)

        # Made ready when it is first called: a pass over a log without such lines starts sooner.
        @tf.function(autograph=False, experimental_attributes={"_noinline": True})
        def with_others() -> dict[str, Any]:
            others = field_by_field(tf.boolean_mask(text, ~easy), tf.boolean_mask(line, ~easy))
            return replaced(rows, ~easy, others)

        return tf.cond(tf.reduce_all(easy), lambda: rows, with_others)

    def _easy_rows(self, text: Any, file: Any, line: Any) -> tuple[dict[str, Any], Any]:
        """A chunk from lines of text, and which lines are decoded as they are; the others count as empty ones."""
        plain = tf.strings.regex_full_match(text, self._plain)
        if self._odd is not None:
            plain &= ~tf.strings.regex_full_match(text, self._odd)
        all_plain, easy = tf.reduce_all(plain), plain
        if self._tidy is not None:
            easy = tf.cond(all_plain, lambda: plain, lambda: tf.strings.regex_full_match(text, self._tidy))
        read = tf.cond(tf.reduce_all(easy), lambda: text, lambda: tf.where(easy, text, self._empty_fields))
        good, in_plain_texts = tf.fill(tf.shape(text), GOOD), True if self._tidy is None else all_plain
        return self._rows(read, self._kinds, good, file, line, plain=in_plain_texts), easy

    def _rows(
        self,
        text: Any,
        kinds: Mapping[int, tf.DType],
        problem: Any,
        file: Any,
        line: Any,
        wrong: Any = None,
        *,
        plain: Any = False,
    ) -> dict[str, Any]:
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
                name = feature.source_column
                cells[name] = split_values(cells[name], feature.separator, feature.max_values)
        columns = {name: (cells[name], None) for name in self.schema.columns}
        if self._side_tables and plain is not False:  # the texts of the tables are not in the lines
            joined = [cells[name] for table in self._side_tables for name in table.names if name in columns]
            plain = tf.cond(tf.cast(plain, tf.bool), lambda: are_plain(joined, self._missing), lambda: False)
        return assemble(
            self.schema,
            columns,
            problem,
            file,
            line,
            missing=self._missing,
            plain=plain,
            texts=wrong,
        )

    @property
    def _empty_fields(self) -> str:
        """A line that stands in for one that is not read: its fields are empty, or a number where it has just one."""
        return self._delimiter * (self._fields - 1) or "0"  # decode_csv finds no field in an empty line (TF 2.21)


# A text that is no number such as `12.0`, which `values` reads as `12`; {end} is what ends the field.
_NO_WHOLE_NUMBER = (
    r"(?:[^-\d{end}][^{end}]*|-(?:[^\d{end}][^{end}]*)?|"
    r"-?\d+(?:[^.\d{end}][^{end}]*|\.(?:[^0{end}][^{end}]*|0[^{end}]+)?)?)?"
)


def _field(text: str, delimiter: str, doubled: str = '[^"]*(?:""[^"]*)+') -> str:
    """RE2 pattern of a field.

    Args:
      text: pattern of what is in it, in which {end} stands for the characters that end the field.
      delimiter: between fields.
      doubled: the same of a field in quotes that has quotes inside.
    """
    mark = re.escape(delimiter)
    if delimiter == "\t":
        return text.replace("{end}", mark)
    unquoted, quoted = text.replace("{end}", f'{mark}"'), text.replace("{end}", '"')
    return f'(?:{unquoted}|"(?:{"|".join(filter(None, (quoted, doubled)))})")'


def _line_pattern(fields: Sequence[str], delimiter: str) -> str:
    """RE2 pattern of a line with those fields.

    Equal neighbouring fields become one repetition: RE2 refuses the patterns of wide files that spell out each field.
    """
    mark, pattern = re.escape(delimiter), ""
    for field, equal in itertools.groupby(fields[:-1]):
        whole, rest = divmod(len(list(equal)), _LARGEST_REPETITION)
        pattern += f"(?:{field}{mark}){{{_LARGEST_REPETITION}}}" * whole + f"(?:{field}{mark}){{{rest}}}"
    return pattern + fields[-1]


def _pattern_of_missing(missing: Sequence[str], between: str) -> str:
    """RE2 pattern of the lines in which a field, or a part of one, may be missing without being empty.

    Args:
      missing: texts that mean that there is no value.
      between: the characters between fields, and between their parts.
    """
    marks = re.escape(between) + '"'
    spaces = "".join(rf"\x{ord(space):02x}" for space in " \t\f\v" if space not in between)
    texts = "|".join(map(re.escape, missing)) or rf"[{spaces}]"
    named = rf"(?:.*[{marks}\s])?(?:{texts})(?:[{marks}\s].*)?"
    return rf"(?s)(?:{named}|(?:.*[{marks}])?[{spaces}]+(?:[{marks}].*)?)"


def _well_formed(lines: Any, delimiter: str, fields: int) -> Any:
    """Which lines have that many fields, each in quotes or without any.

    Counted byte by byte in vectors: a pattern would have to spell out every field of a wide file.
    """

    def checked(lines: Any) -> tuple[Any, Any]:
        """Which lines are well formed if their quotes come in pairs, and which have quotes that do not."""
        # Lines hold no line break: it stands between them.
        codes = tf.io.decode_raw(tf.strings.reduce_join(lines, separator="\n") + "\n", tf.uint8)
        ends = tf.cumsum(tf.strings.length(lines) + 1) - 1

        def count(mask: Any) -> Any:
            """How many bytes of each line are marked."""
            sums = tf.gather(tf.cumsum(tf.cast(mask, tf.int32)), ends)
            return sums - tf.concat([tf.zeros_like(sums[:1]), sums[:-1]], 0)

        is_mark, quote = tf.equal(codes, ord(delimiter)), tf.equal(codes, ord('"'))

        def without_quotes() -> tuple[Any, Any]:
            return tf.equal(count(is_mark), fields - 1), tf.zeros_like(lines, tf.bool)

        def with_quotes() -> tuple[Any, Any]:
            inside = tf.equal(tf.cumsum(tf.cast(quote, tf.int32)) % 2, 1)  # a quote that opens, and what follows it
            border = is_mark | quote | tf.equal(codes, ord("\n"))
            before, after = tf.concat([[True], border[:-1]], 0), tf.concat([border[1:], [True]], 0)
            wrong = quote & tf.where(inside, ~before, ~after)
            good = tf.equal(count(is_mark & ~inside), fields - 1) & tf.equal(count(wrong), 0)
            return good, tf.equal(count(quote) % 2, 1)

        return without_quotes() if delimiter == "\t" else tf.cond(tf.reduce_any(quote), with_quotes, without_quotes)

    good, unpaired = checked(lines)
    # An unpaired quote makes the lines after it look as if they were in quotes.
    return tf.cond(tf.reduce_any(unpaired), lambda: checked(tf.where(unpaired, "", lines))[0] & ~unpaired, lambda: good)


def _records(name: Any, _: Any) -> Any:
    """A dataset of the rows of a file, where a row goes on after a line break in quotes."""

    def rows(name: bytes) -> Iterator[list[bytes]]:
        found: list[bytes] = []
        begun: list[bytes] = []  # lines of a row with a quote that is not closed yet
        path = name.decode()
        with _files.reading(path) as stored, gzip.open(stored) if compression(path) else stored as file:
            for line in file:
                begun.append(line)
                if line.count(b'"') % 2 == (len(begun) == 1):
                    continue
                found.append(b"".join(begun).rstrip(b"\r\n"))
                begun.clear()
                if len(found) == CHUNK_ROWS:
                    yield found
                    found = []
        yield [*found, *([b"".join(begun)] if begun else [])]

    signature = tf.TensorSpec([None], tf.string)
    return tf.data.Dataset.from_generator(rows, output_signature=signature, args=(name,)).unbatch()


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
