"""Random files: the fast path, the slow path and plain Python read the same, in every format.

Bounded to some seconds here; `make fuzz` goes on for longer and counts (see `fuzzing`).
"""

from __future__ import annotations

import csv
import datetime
import decimal
import functools
import io
import json
import math
import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from fuzzing import MINUTES, random_inputs
from hypothesis import strategies as st
from plain_values import BAD, fields, integer, moment, number, parts, rounded, word

from smooth_recs.config import MISSING
from smooth_recs.data.raw_rows import chunks
from smooth_recs.data.readers.csv import CsvReader
from smooth_recs.data.readers.parquet import ParquetReader
from smooth_recs.data.readers.tfrecord import TFRecordReader
from smooth_recs.schema import Categorical, Numeric, Schema

WIDTH = 3
SCHEMA = Schema(
    (
        Categorical("shop", "hash", 9),
        Categorical("item", "hash", 9, "int64"),
        Numeric("price"),
        Categorical("both", "hash", 9),
        Categorical("tags", "hash", 9, max_values=WIDTH),
        Categorical("ranks", "hash", 9, "int64", max_values=WIDTH),
    ),
    weight="weight",
    query_id="request",
    timestamp="time",
)
NAMES = ("shop", "item", "price", "both", "tags", "ranks", "request", "time", "weight", "label")
_ROWS = 1000 if MINUTES else 200
SMALLEST = float(np.finfo(np.float32).smallest_normal)
WHEN = datetime.datetime(1970, 1, 1)


def row(values: dict[str, Any]) -> Any:
    """What a row of converted values is read as: missing ones are None; or BAD."""
    found = [values[name] for name in NAMES]
    if BAD in found or any(BAD in values[name] for name in ("tags", "ranks")):
        return BAD
    time, weight, label = found[-3:]
    if time is None or not math.isfinite(time) or weight is None or not 0 <= weight < math.inf or label not in (0, 1):
        return BAD
    for name in ("tags", "ranks"):
        values[name] = (*values[name], None, None, None)[:WIDTH]
    # -1 is how an integer is missing.
    values["item"] = None if values["item"] == -1 else values["item"]
    values["ranks"] = tuple(None if each == -1 else each for each in values["ranks"])
    return tuple(values[name] for name in NAMES)


def row_of_texts(cells: list[str] | None) -> Any:
    if cells is None or len(cells) != len(NAMES):
        return BAD
    read = dict.fromkeys(NAMES, number) | {"shop": word, "item": integer, "both": word, "request": word, "time": moment}
    named = dict(zip(NAMES, cells, strict=True))
    values = {name: read[name](text) for name, text in named.items() if name not in ("tags", "ranks")}
    values["tags"] = tuple(map(word, parts(named["tags"], "|", WIDTH)))
    values["ranks"] = tuple(map(integer, parts(named["ranks"], "|", WIDTH)))
    return row(values)


def rows_read(dataset: Any) -> list[Any]:
    """The rows of a reader in the form of `row`; of a request its fingerprint."""

    def text(value: bytes) -> str | None:
        return value.decode("utf-8", "surrogateescape") or None

    found: list[Any] = []
    for chunk in chunks(dataset):
        raw = chunk["raw"]
        for n, problem in enumerate(chunk["problem"]):
            item, price, request = int(raw["item"][n]), float(raw["price"][n]), int(chunk["query_id"][n])
            values = (
                text(raw["shop"][n]),
                None if item == -1 else item,
                None if math.isnan(price) else price,
                text(raw["both"][n]),
                tuple(map(text, raw["tags"][n])),
                tuple(None if each == -1 else int(each) for each in raw["ranks"][n]),
                None if request < 0 else request,
                float(chunk["timestamp"][n]),
                float(chunk["weight"][n]),
                float(chunk["label"][n]),
            )
            found.append(BAD if problem else values)
    return found


def compare(read: list[Any], right: list[Any], table: list[Any]) -> None:
    """Equal row by row; texts of floats are those of equal floats, as there are several shortest ones."""

    def alike(a: Any, b: Any) -> bool:
        if isinstance(a, tuple) and isinstance(b, tuple):
            return all(map(alike, a, b))
        if isinstance(a, float) and isinstance(b, float) and abs(a - b) < SMALLEST:
            return True  # TensorFlow makes 0 of what float32 holds with fewer digits
        return a == b or (isinstance(a, str) and isinstance(b, str) and as_float(a) == as_float(b))

    assert len(read) == len(right)
    request, time = NAMES.index("request"), NAMES.index("time")
    for one, other, source in zip(read, right, table, strict=True):
        said = f"{source!r} must be {other}, got {one}"
        if one is BAD or other is BAD:
            assert one is other, said
            continue
        assert other[request] is None if one[request] is None else one[request] in fingerprints(other[request]), said
        assert one[time] == pytest.approx(other[time], rel=1e-12, abs=1e-9), said
        assert all(
            alike(a, b) for at, (a, b) in enumerate(zip(one, other, strict=True)) if at not in (request, time)
        ), said


@functools.lru_cache(100_000)
def fingerprints(text: str) -> set[int]:
    """Of a text, or of the texts of the same float."""
    with np.errstate(over="ignore"):
        texts = {text} | ({str(np.float32(text)), repr(float(text))} if as_float(text) != text else set())
    encoded = [each.encode("utf-8", "surrogateescape") for each in texts]
    return set(tf.strings.to_hash_bucket_fast(encoded, 2**63 - 1).numpy().tolist())


def as_float(text: str) -> Any:
    with_point = re.fullmatch(r"-?\d+(\.\d+)?([eE][-+]?\d+)?", text)
    return float(text) if with_point else text


# Texts: mostly what people and tools write, or nearly so.

DIGITS = st.from_regex(r"\A[-+]?[0-9]{0,22}(\.[0-9]{0,4})?([eE][-+]?[0-9]{1,3})?\Z")
EDGES = st.sampled_from(
    [*MISSING, "", " ", "0", "-0", "-0.0", "1", "-1", "1.0", "1.00", "12.0", " 7 ", "\t3", "007", "1e3", "1E400",
     "-inf", "Infinity", "nano", "none", "Null", "true", "True", "TRUE", "tRUE", "False", "yes", "1_000",
     "9007199254740993",
     "9223372036854775807", "9223372036854775808", "-9223372036854775808", "-9223372036854775809", "0x10", "1e", "e1",
     "18446744073709551615", ".", "-", "+", "+-1", "1,5", "a|b", "['a', 'b']", '"', '""', "'", 'a"b', "\\N ",
     "\N{NO-BREAK SPACE}1", "\N{ARABIC-INDIC DIGIT ONE}", "1e-45", "-1e-320", "1e999999999", "1e-999999999"]
)  # fmt: skip
ANY = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), max_size=8)
TEXT = st.one_of(EDGES, DIGITS, ANY)
ITEM = st.one_of(TEXT.filter(lambda text: "[" not in text), st.text("ab1.é,'- ", max_size=4))
QUOTED = st.lists(st.text("ab1é,'\"\\[]- ", max_size=4), max_size=4)
SEVERAL = st.one_of(
    st.lists(ITEM, max_size=4).map("|".join),
    st.lists(ITEM, max_size=4).map("|".join),
    st.one_of(QUOTED, st.lists(st.one_of(st.integers(-(2**63), 2**63 - 1), st.none()), max_size=4)).map(str),
    QUOTED.map(lambda texts: json.dumps(texts, ensure_ascii=False)),
)
MOMENTS = st.datetimes(datetime.datetime(1700, 1, 1), datetime.datetime(2200, 1, 1))
TIMES = st.one_of(
    TEXT,
    st.from_regex(r"\A(19|20)[0-9][0-9]-[01][0-9]-[0-3][0-9]([T ][0-2][0-9]:[0-5][0-9](:[0-5][0-9])?( ?(Z|UTC))?)?\Z"),
    st.builds(
        lambda when, between, end: when.isoformat(between) + end,
        MOMENTS,
        st.sampled_from("T "),
        st.sampled_from(["", "Z", " UTC", "+01", "-0330", "+14:00", " +0000", " GMT", " +0000 UTC", "z", "+25:00"]),
    ),
)
FLAGS = ["0", "1", "1", "0.0", "1.0", "True", "false", "1", "0", "2", ""]
WEIGHTS = ["1", "1", "0.5", "1", "1e-3", "1", "-1", "inf"]
SLIPS = '",; \té\udcff'


@st.composite
def rows_of_texts(draw: Any) -> tuple[list[tuple[str, ...]], random.Random]:
    """Many rows of a few texts: reading costs by the file, and rows do not depend on each other."""
    texts, several, times = (draw(st.lists(each, min_size=3, max_size=60)) for each in (TEXT, SEVERAL, TIMES))
    chance, columns = random.Random(draw(st.integers(0, 2**32))), [texts] * 4 + [several, several, texts, times]
    if draw(st.booleans()):  # else most rows are malformed
        ranks = [each for each in several if BAD not in map(integer, parts(each, "|", WIDTH))]
        columns[1] = [*(each for each in texts if integer(each) is not BAD), "1", "12.0", texts[0]]
        columns[2] = [*(each for each in texts if number(each) is not BAD), "1", "0.5", texts[0]]
        columns[5] = [*ranks, "1", "1|2", "", several[0]]
        columns[7] = ["5", "1.5", "1970-01-02", times[0]]
    columns += [WEIGHTS, FLAGS]
    return [tuple(chance.choice(column) for column in columns) for _ in range(_ROWS)], chance


def slipped(line: str, chance: random.Random) -> str:
    """A line with a character too many or too few, one time in ten; a list is read in more forms than `parts` knows."""
    if not line or "[" in line or chance.random() < 0.9:
        return line
    at = chance.randrange(len(line))
    return line[:at] + (chance.choice(SLIPS) + line[at:] if chance.random() < 0.6 else line[at + 1 :])


@functools.cache
def csv_passes(folder: Path, delimiter: str) -> tuple[Path, tuple[Any, Any]]:
    """A file, and two datasets that read it anew each time: by the fast path and field by field."""
    path = folder / f"log{ord(delimiter)}.csv"
    path.write_text(delimiter.join(NAMES))
    fast, slow = (CsvReader([str(path)], SCHEMA, delimiter=delimiter) for _ in range(2))
    assert fast._plain
    slow._plain = None
    return path, (fast.read(), slow.read())


def check_csv(folder: Path, file: Any) -> None:
    (table, chance), delimiter, quoting, end = file
    text = io.StringIO(newline="")
    if delimiter == "\t":
        text.writelines("\t".join(cell.replace("\t", " ") for cell in row) + "\n" for row in table)
    else:
        csv.writer(text, delimiter=delimiter, quoting=quoting, lineterminator="\n").writerows(table)
    lines = [slipped(line, chance) for line in text.getvalue().split("\n")[:-1]]
    path, datasets = csv_passes(folder, delimiter)
    path.write_bytes(end.join([delimiter.join(NAMES), *lines, ""]).encode("utf-8", "surrogateescape"))
    lines = [line for line in lines if line]  # of a blank line there is no row
    right = [row_of_texts(fields(line, delimiter)) for line in lines]
    for dataset in datasets:
        compare(rows_read(dataset), right, lines)


INT64 = st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(-2, 2))
FLOAT32 = st.one_of(st.floats(width=32), st.integers(-(2**25), 2**25).map(np.float32).map(float))
FLOAT64 = st.one_of(st.floats(), st.integers(-(2**54), 2**54).map(float))
KINDS = {
    pa.int8(): st.integers(-128, 127),
    pa.int64(): INT64,
    pa.uint64(): st.one_of(st.integers(0, 2**64 - 1), st.integers(0, 2)),
    pa.bool_(): st.booleans(),
    pa.float32(): FLOAT32,
    pa.float64(): FLOAT64,
    pa.decimal128(25, 2): st.decimals(-(10**20), 10**20, places=2),
    pa.string(): TEXT,
    pa.large_string(): TEXT,
    pa.null(): st.none(),
}
LISTS = {
    pa.list_(kind): st.lists(st.one_of(values, values, values, st.none()), max_size=5)
    for kind, values in KINDS.items()
    if not pa.types.is_string(kind) and not pa.types.is_large_string(kind)
} | {
    pa.list_(pa.string()): st.lists(st.one_of(TEXT, st.none()), max_size=5),
    pa.large_list(pa.int64()): st.lists(INT64, max_size=5),
    pa.string(): SEVERAL,
    pa.int64(): INT64,
}
WHENS = {
    pa.timestamp("us"): MOMENTS,
    pa.timestamp("us", "Europe/Paris"): MOMENTS,
    pa.timestamp("ms"): MOMENTS.map(lambda when: when.replace(microsecond=0)),
    pa.date32(): MOMENTS.map(datetime.datetime.date),
    pa.int64(): INT64,
    pa.float64(): FLOAT64,
    pa.string(): TIMES,
}


def text_of(value: Any, dtype: Any) -> Any:
    """A value of a typed column as the text that means the same, None for none, or BAD for an id it does not hold."""
    if value is None or value != value:
        return None
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float):
        if math.isinf(value) or 0 < abs(value) < np.finfo(dtype.to_pandas_dtype()).smallest_normal:
            return BAD
        if not value.is_integer():
            return str(np.float32(value)) if dtype == pa.float32() else repr(value)
        exact = 2 ** (24 if dtype == pa.float32() else 53)
        return BAD if abs(value) >= exact else str(int(value))
    return word(format(value, "f")) if isinstance(value, decimal.Decimal) else str(value)


def typed(name: str, value: Any, dtype: Any) -> Any:
    """What a value of a typed column is read as: the same as its text, but a float is one and an id is exact."""
    if isinstance(value, str) or value is None:
        return row_value(name, value or "")
    if name == "time":
        if isinstance(value, datetime.date):
            value = value if isinstance(value, datetime.datetime) else datetime.datetime(*value.timetuple()[:3])
            return (value - WHEN).total_seconds()
        return None if value != value else float(value)
    if name == "price":
        return None if value != value else rounded(float(value))
    text = text_of(value, dtype)
    if name in ("item", "ranks"):
        return text if text is None or text is BAD else integer(text)
    return text


def row_value(name: str, text: str) -> Any:
    return {"item": integer, "ranks": integer, "price": number, "time": moment}.get(name, word)(text)


def expected_of_types(columns: dict[str, tuple[Any, list[Any]]], rows: int) -> list[Any]:
    found = []
    for n in range(rows):
        values: dict[str, Any] = {"weight": 1.0, "label": 1.0}
        for name, (dtype, column) in columns.items():
            value = column[n]
            if name in ("tags", "ranks"):
                inner = getattr(dtype, "value_type", dtype)
                several = parts(value, "|", WIDTH) if isinstance(value, str) else value
                several = several if isinstance(several, list) else [several]
                values[name] = tuple(typed(name, each, inner) for each in several[:WIDTH])
            else:
                values[name] = typed(name, value, dtype)
        found.append(row(values))
    return found


@functools.lru_cache(50)
def parquet_pass(folder: Path, kinds: tuple[Any, ...]) -> tuple[Path, Any]:
    path = folder / f"{abs(hash(kinds))}.parquet"
    write_parquet(path, {name: (kind, []) for name, kind in zip(NAMES, kinds, strict=False)}, 0, 3)
    return path, ParquetReader([str(path)], SCHEMA).read()


def write_parquet(path: Path, columns: dict[str, tuple[Any, list[Any]]], rows: int, group: int) -> None:
    ones = {"weight": [1.0] * rows, "label": [1] * rows}
    arrays = {name: pa.array(values, dtype) for name, (dtype, values) in columns.items()}
    pq.write_table(
        pa.table(arrays | {n: pa.array(v, pa.float64() if n == "weight" else pa.int64()) for n, v in ones.items()}),
        path,
        row_group_size=group,
    )


def check_parquet(folder: Path, table: Any) -> None:
    columns, rows, group = table
    path, dataset = parquet_pass(folder, tuple(kind for kind, _ in columns.values()))
    write_parquet(path, columns, rows, group)
    compare(rows_read(dataset), expected_of_types(columns, rows), rows_of(columns))


def rows_of(columns: dict[str, tuple[Any, list[Any]]]) -> list[Any]:
    return [*zip(*(values for _, values in columns.values()), strict=True)]


@st.composite
def tables(draw: Any, single: dict[Any, Any], several: dict[Any, Any], when: dict[Any, Any]) -> Any:
    """Columns of some types, in many rows of a few values."""
    columns = {}
    chance, rows = random.Random(draw(st.integers(0, 2**32))), draw(st.integers(1, _ROWS))
    for name in NAMES[:-2]:
        kinds = {"tags": several, "ranks": several, "time": when}.get(name, single)
        kind = draw(st.sampled_from(list(kinds)))
        values = draw(st.lists(kinds[kind], min_size=2, max_size=20))
        values += [] if name == "time" else [None]
        columns[name] = kind, [chance.choice(values) for _ in range(rows)]
    return columns, rows, draw(st.sampled_from([3, 7, 50, 1000]))


RECORDED = {"bytes": pa.string(), "ints": pa.int64(), "floats": pa.float32()}


@functools.lru_cache(50)
def record_pass(folder: Path, kinds: tuple[str, ...]) -> tuple[Path, Any]:
    path = folder / f"{'-'.join(kinds)}.tfrecord"
    some = {name: (kind, ["1" if kind == "bytes" else 1]) for name, kind in zip(NAMES, kinds, strict=False)}
    write_records(path, some, 1)
    return path, TFRecordReader([str(path)], SCHEMA).read()


def write_records(path: Path, columns: dict[str, tuple[str, list[Any]]], rows: int, damaged: Any = ()) -> None:
    def feature(kind: str, value: Any) -> tf.train.Feature:
        several = value if isinstance(value, list) else [value]
        if kind == "bytes":
            return tf.train.Feature(bytes_list=tf.train.BytesList(value=[each.encode() for each in several]))
        if kind == "ints":
            return tf.train.Feature(int64_list=tf.train.Int64List(value=several))
        return tf.train.Feature(float_list=tf.train.FloatList(value=several))

    everything = columns | {"weight": ("floats", [1.0] * rows), "label": ("ints", [1] * rows)}
    with tf.io.TFRecordWriter(str(path)) as writer:
        for n in range(rows):
            named = {
                name: feature(kind, values[n]) for name, (kind, values) in everything.items() if values[n] is not None
            }
            record = tf.train.Example(features=tf.train.Features(feature=named)).SerializeToString()
            writer.write(b"\xff" + record if n in damaged else record)


def check_records(folder: Path, table: Any) -> None:
    columns, rows, every = table
    path, dataset = record_pass(folder, tuple(kind for kind, _ in columns.values()))
    damaged = range(every, rows, every + 1)
    write_records(path, columns, rows, damaged)
    right = expected_of_types({name: (RECORDED[kind], values) for name, (kind, values) in columns.items()}, rows)
    compare(rows_read(dataset), [BAD if n in damaged else each for n, each in enumerate(right)], rows_of(columns))


OF_RECORDS = {"bytes": TEXT, "ints": INT64, "floats": FLOAT32}
SEVERAL_OF_RECORDS = {kind: st.lists(values, max_size=5) for kind, values in OF_RECORDS.items()}
WHEN_OF_RECORDS = OF_RECORDS | {"bytes": TIMES}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzzed")


def test_csv(folder: Path) -> None:
    file = st.tuples(
        rows_of_texts(),
        st.sampled_from([",", "\t", ";"]),
        st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
        st.sampled_from(["\n", "\r\n"]),
    )
    random_inputs("CSV files", functools.partial(check_csv, folder), file, 6)


def test_parquet(folder: Path) -> None:
    random_inputs("Parquet files", functools.partial(check_parquet, folder), tables(KINDS, LISTS, WHENS), 4)


def test_records(folder: Path) -> None:
    table = tables(OF_RECORDS, SEVERAL_OF_RECORDS, WHEN_OF_RECORDS)
    random_inputs("TFRecord files", functools.partial(check_records, folder), table, 4)
