"""Random files: the fast path, the slow path and plain Python read the same, in every format.

Bounded to some seconds here. `python tests/data/test_fuzzed_files.py MINUTES` goes on for longer and counts.
"""

from __future__ import annotations

import csv
import decimal
import functools
import io
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smooth_recs.config import MISSING
from smooth_recs.data.raw_rows import chunks
from smooth_recs.data.readers.csv import CsvReader
from smooth_recs.data.readers.parquet import ParquetReader
from smooth_recs.data.readers.tfrecord import TFRecordReader
from smooth_recs.schema import Categorical, Numeric, Schema

SCHEMA = Schema(
    (
        Categorical("shop", "hash", 9),
        Categorical("item", "hash", 9, "int64"),
        Numeric("price"),
        Categorical("both", "hash", 9),
    ),
    weight="weight",
)
NAMES = ("shop", "item", "price", "both", "weight", "label")
BAD = object()
_ROWS = 200

# The rules of docs/data.md in plain Python.

NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d{1,9})?|[-+]?(?i:inf|infinity)", re.ASCII)
SPACE = " \t\n\v\f\r"


def missing(text: str) -> bool:
    return text.strip(SPACE) == "" or text.strip(SPACE) in MISSING


def number(text: str) -> Any:
    """A float; None for a missing one."""
    plain = text.strip(SPACE)
    if missing(text):
        return None
    if plain in ("True", "true", "TRUE", "False", "false", "FALSE"):
        return float(plain.lower() == "true")
    return as_float32(float(plain)) if NUMBER.fullmatch(plain) else BAD


def as_float32(value: float) -> float:
    with np.errstate(over="ignore"):
        return float(np.float32(value))


def integer(text: str) -> Any:
    found, plain = number(text), text.strip(SPACE)
    if found is None or found is BAD or (math.isinf(found) and "n" in plain.lower()):
        return None if found is None else BAD
    if plain.lower() in ("true", "false"):
        return int(found)
    sign, digits, exponent = decimal.Decimal(plain).as_tuple()
    if not any(digits):
        return 0
    while digits[-1] == 0:
        digits, exponent = digits[:-1], exponent + 1
    if exponent < 0 or len(digits) + exponent > 19:
        return BAD
    whole = int("".join(map(str, digits))) * 10**exponent * (-1 if sign else 1)
    return whole if -(2**63) <= whole < 2**63 else BAD


def word(text: str) -> Any:
    if missing(text):
        return None
    return (
        re.sub(r"^-?(0)\.0$|^(-?[1-9]\d*)\.0$", r"\1\2", text)
        if re.fullmatch(r"-?(0|[1-9]\d*)\.0", text, re.ASCII)
        else text
    )


def row_of(cells: dict[str, str]) -> Any:
    """What a row of texts is read as, or BAD."""
    values = [word(cells["shop"]), integer(cells["item"]), number(cells["price"]), word(cells["both"])]
    label, weight = number(cells["label"]), number(cells["weight"])
    if BAD in values or label not in (0.0, 1.0) or weight in (None, BAD) or not 0 <= weight < math.inf:
        return BAD
    return (*values, weight, label)


def rows_read(dataset: Any) -> list[Any]:
    """The rows of a reader in the form of `row_of`."""
    found: list[Any] = []
    for chunk in chunks(dataset):
        raw = chunk["raw"]
        for n, problem in enumerate(chunk["problem"]):
            texts = [raw[name][n].decode("utf-8", "surrogateescape") or None for name in ("shop", "both")]
            item, price = int(raw["item"][n]), float(raw["price"][n])
            values = (texts[0], None if item == -1 else item, None if math.isnan(price) else price, texts[1])
            found.append(BAD if problem else (*values, float(chunk["weight"][n]), float(chunk["label"][n])))
    return found


def expected(table: list[tuple[str, ...]]) -> list[Any]:
    rows = [row_of(dict(zip(NAMES, row, strict=True))) for row in table]
    return [
        row if row is BAD else tuple(None if v == -1 and at == 1 else v for at, v in enumerate(row)) for row in rows
    ]


# Texts: mostly what people and tools write, or nearly so.

DIGITS = st.from_regex(r"\A[-+]?[0-9]{0,22}(\.[0-9]{0,4})?([eE][-+]?[0-9]{1,3})?\Z")
EDGES = st.sampled_from(
    [*MISSING, "", " ", "0", "-0", "-0.0", "1", "-1", "1.0", "1.00", "12.0", " 7 ", "\t3", "007", "1e3", "1E400",
     "-inf", "Infinity", "nano", "none", "Null", "true", "True", "TRUE", "tRUE", "False", "yes", "1_000",
     "9007199254740993",
     "9223372036854775807", "9223372036854775808", "-9223372036854775808", "-9223372036854775809", "0x10", "1e", "e1",
     "18446744073709551615", ".", "-", "+", "+-1", "1,5", "a|b", "['a', 'b']", '"', '""', "'", 'a"b', "\\N ",
     "\N{NO-BREAK SPACE}1", "\N{ARABIC-INDIC DIGIT ONE}"]
)  # fmt: skip
ANY = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), max_size=8)
TEXT = st.one_of(EDGES, DIGITS, ANY)


@st.composite
def rows_of_texts(draw: Any) -> list[tuple[str, ...]]:
    """Many rows of a few texts: reading costs by the file, and rows do not depend on each other."""
    texts, random = draw(st.lists(TEXT, min_size=5, max_size=40)), draw(st.randoms(use_true_random=False))
    flags, weights = (
        ["0", "1", "1", "0.0", "1.0", "True", "false", "", "2", "NULL"],
        ["1", "1", "0.5", "1e-3", "", "-1", "inf"],
    )
    return [
        (*(random.choice(texts) for _ in range(4)), random.choice([*weights, "1"]), random.choice(flags))
        for _ in range(_ROWS)
    ]


def csv_text(table: list[tuple[str, ...]], delimiter: str, quoting: int, end: str) -> bytes:
    text = io.StringIO(newline="")
    if delimiter == "\t":
        for row in table:
            text.write("\t".join(row) + end)
    else:
        csv.writer(text, delimiter=delimiter, quoting=quoting, lineterminator=end).writerows(table)  # type: ignore[arg-type]
    return text.getvalue().encode()


@functools.cache
def csv_passes(folder: Path, delimiter: str) -> tuple[Path, tuple[Any, Any]]:
    """A file, and two datasets that read it anew each time: by the fast path and field by field."""
    path = folder / f"log{ord(delimiter)}.csv"
    path.write_text(delimiter.join(NAMES))
    fast, slow = (CsvReader([str(path)], SCHEMA, delimiter=delimiter) for _ in range(2))
    slow._plain = None
    return path, (fast.read(), slow.read())


def check_csv(folder: Path, table: list[tuple[str, ...]], delimiter: str, quoting: int, end: str) -> None:
    if delimiter == "\t":
        table = [tuple(cell.replace("\t", " ") for cell in row) for row in table]
    table = [row for row in table if any(row)]  # of one line without any text there is no row
    path, datasets = csv_passes(folder, delimiter)
    path.write_bytes(delimiter.join(NAMES).encode() + b"\n" + csv_text(table, delimiter, quoting, end))
    for dataset in datasets:
        compare(rows_read(dataset), expected(table), table)


KINDS = {
    pa.int8(): st.integers(-128, 127),
    pa.int64(): st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(-2, 2)),
    pa.uint64(): st.one_of(st.integers(0, 2**64 - 1), st.integers(0, 2)),
    pa.bool_(): st.booleans(),
    pa.float32(): st.one_of(st.floats(width=32), st.integers(-(2**25), 2**25).map(float)),
    pa.float64(): st.one_of(st.floats(), st.integers(-(2**54), 2**54).map(float)),
    pa.decimal128(25, 2): st.decimals(-(10**20), 10**20, places=2),
    pa.string(): TEXT,
    pa.large_string(): TEXT,
    pa.null(): st.none(),
}


def text_of(value: Any, dtype: Any) -> Any:
    """A value of a typed column as the text that means the same, None for none, or BAD for an id it does not hold."""
    if value is None or value != value:
        return None
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float):
        if math.isinf(value) or not value.is_integer():
            return str(np.float32(value)) if dtype == pa.float32() else repr(value)
        return BAD if abs(value) >= 2 ** (24 if dtype == pa.float32() else 53) else f"{value:.0f}"
    return format(value.normalize(), "f") if isinstance(value, decimal.Decimal) else str(value)


def expected_of_types(columns: dict[str, tuple[Any, list[Any]]]) -> list[Any]:
    """What typed columns are read as: the same as their texts, but a float is one and an id is exact or refused."""
    found = []
    for n in range(len(columns["shop"][1])):
        values: list[Any] = []
        for name in ("shop", "item", "price", "both"):
            dtype, value = columns[name][0], columns[name][1][n]
            if pa.types.is_string(dtype) or pa.types.is_large_string(dtype):
                values.append({"item": integer, "price": number}.get(name, word)(value or ""))
                continue
            text = text_of(value, dtype)
            if name == "price":
                values.append(None if text is None else as_float32(float(value)))
            elif name == "item":
                values.append(text if text is None or text is BAD else integer(text))
            elif isinstance(value, float) and text not in (None, BAD) and not value.is_integer():
                values.append(text if not math.isinf(value) else BAD)
            else:
                values.append("0" if text == "-0" else text)
        found.append(
            BAD if BAD in values else (*(None if v == -1 and at == 1 else v for at, v in enumerate(values)), 1.0, 1.0)
        )
    return found


@functools.cache
def parquet_pass(folder: Path, kinds: tuple[Any, ...]) -> tuple[Path, Any]:
    path = folder / f"{abs(hash(kinds))}.parquet"
    write_parquet(path, {name: (kind, []) for name, kind in zip(NAMES, kinds, strict=False)})
    return path, ParquetReader([str(path)], SCHEMA).read()


def write_parquet(path: Path, columns: dict[str, tuple[Any, list[Any]]], rows: int = 0, group: int = 3) -> None:
    ones = {"weight": [1.0] * rows, "label": [1] * rows}
    typed = {name: pa.array(values, dtype) for name, (dtype, values) in columns.items()}
    pq.write_table(
        pa.table(typed | {n: pa.array(v, pa.float64() if n == "weight" else pa.int64()) for n, v in ones.items()}),
        path,
        row_group_size=group,
    )


def check_parquet(folder: Path, columns: dict[str, tuple[Any, list[Any]]], rows: int, group: int) -> None:
    path, dataset = parquet_pass(folder, tuple(kind for kind, _ in columns.values()))
    write_parquet(path, columns, rows, group)
    compare(
        rows_read(dataset), expected_of_types(columns), [*zip(*(values for _, values in columns.values()), strict=True)]
    )


def compare(read: list[Any], right: list[Any], table: list[tuple[Any, ...]]) -> None:
    """Equal row by row; texts of floats are those of equal floats, as there are several shortest ones."""

    def alike(a: Any, b: Any) -> bool:
        return a == b or (isinstance(a, str) and isinstance(b, str) and as_float(a) == as_float(b))

    assert len(read) == len(right)
    for one, other, row in zip(read, right, table, strict=True):
        if one is BAD or other is BAD:
            assert one is other, f"{row!r} must be {other}, got {one}"
        else:
            assert all(map(alike, one, other)), f"{row!r} must be {other}, got {one}"


def as_float(text: str) -> Any:
    with_point = re.fullmatch(r"-?\d+(\.\d+)?([eE][-+]?\d+)?", text)
    return float(text) if with_point else text


RECORDED = {"bytes": pa.string(), "ints": pa.int64(), "floats": pa.float32()}


@functools.cache
def record_pass(folder: Path, kinds: tuple[str, ...]) -> tuple[Path, Any]:
    path = folder / f"{'-'.join(kinds)}.tfrecord"
    write_records(
        path, {name: (kind, ["1" if kind == "bytes" else 1]) for name, kind in zip(NAMES, kinds, strict=False)}, 1
    )
    return path, TFRecordReader([str(path)], SCHEMA).read()


def write_records(path: Path, columns: dict[str, tuple[str, list[Any]]], rows: int) -> None:
    def feature(kind: str, value: Any) -> tf.train.Feature:
        if kind == "bytes":
            return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.encode()]))
        if kind == "ints":
            return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
        return tf.train.Feature(float_list=tf.train.FloatList(value=[value]))

    everything = columns | {"weight": ("floats", [1.0] * rows), "label": ("ints", [1] * rows)}
    with tf.io.TFRecordWriter(str(path)) as writer:
        for n in range(rows):
            named = {
                name: feature(kind, values[n]) for name, (kind, values) in everything.items() if values[n] is not None
            }
            writer.write(tf.train.Example(features=tf.train.Features(feature=named)).SerializeToString())


def check_records(folder: Path, columns: dict[str, tuple[str, list[Any]]], rows: int) -> None:
    path, dataset = record_pass(folder, tuple(kind for kind, _ in columns.values()))
    write_records(path, columns, rows)
    typed = {name: (RECORDED[kind], values) for name, (kind, values) in columns.items()}
    compare(
        rows_read(dataset), expected_of_types(typed), [*zip(*(values for _, values in columns.values()), strict=True)]
    )


@st.composite
def tables(draw: Any, kinds: dict[Any, Any]) -> tuple[dict[str, tuple[Any, list[Any]]], int]:
    rows = draw(st.integers(1, 40))
    columns = {}
    for name in NAMES[:4]:
        kind = draw(st.sampled_from(list(kinds)))
        values = st.one_of(kinds[kind], kinds[kind], kinds[kind], st.none())
        columns[name] = kind, draw(st.lists(values, min_size=rows, max_size=rows))
    return columns, rows


CSV = (
    rows_of_texts(),
    st.sampled_from([",", "\t", ";"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    st.sampled_from(["\n", "\r\n"]),
)
OF_RECORDS = {"bytes": TEXT, "ints": KINDS[pa.int64()], "floats": KINDS[pa.float32()]}
QUICK = settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzzed")


@settings(QUICK, max_examples=6)
@given(st.tuples(*CSV))
def test_csv(folder: Path, file: Any) -> None:
    check_csv(folder, *file)


@settings(QUICK, max_examples=4)
@given(tables(KINDS), st.integers(1, 4))
def test_parquet(folder: Path, table: Any, group: int) -> None:
    check_parquet(folder, *table, group)


@settings(QUICK, max_examples=4)
@given(tables(OF_RECORDS))
def test_records(folder: Path, table: Any) -> None:
    check_records(folder, *table)
