"""Lines whose numbers are decoded as numbers at once, against a reader of fields in plain Python."""

from __future__ import annotations

import decimal
import itertools
import re

import numpy as np
import pytest
import tensorflow as tf

from smooth_recs.config import MISSING
from smooth_recs.data import values
from smooth_recs.data.raw_rows import FIRST_COLUMN, GOOD, WRONG_FIELDS, all_chunks
from smooth_recs.data.readers.csv import CsvReader
from smooth_recs.schema import Categorical, Numeric, Schema

SCHEMA = Schema(
    (
        Numeric("price"),
        Categorical("shop", "hash", size=10),
        Categorical("user", "hash", size=10, dtype="int64"),
        Categorical("codes", "vocabulary", dtype="int64", max_values=2),
    ),
    weight="weight",
    query_id="request",
    timestamp="time",
)
NAMES = ("user", "other", "price", "label", "shop", "codes", "weight", "request", "time")
PLAIN = {
    "user": ["7", "-12", "", "007", "999999999999999999"],
    "price": ["", "0", "-0", "1.5", "2e3", "1E-05", "123456789012345678901234567890", "4e99", "0.1", "16777217"],
    "label": ["0", "1", "1.0"],
    "weight": ["1", "0.5", "0"],
    "codes": ["1|2", "", "3", "4|5|6"],
    "time": ["12", "2020-01-02", "1.5"],
}
ODD = {
    "user": [
        "9223372036854775807",
        "9223372036854775808",
        "1.0",
        " 5",
        "x",
        '"6"',
        "+1",
        "-",
        "0000000000000000000009",
        "12.0",
        "1.5",
        "NULL",
        "True",
    ],
    "price": ["+1", "1.", ".5", "1e400", "1e9999999999", "nan", "-inf", "0x10", "1_0", " 2", "-", ".", '"3"', "\u0663"],
    "label": ["", "2", "nan", "yes", '"1"', " 1", "-0", "True", "false"],
    "weight": ["-1", "", "inf", "w"],
    "codes": ["1|x", "|", "1||2"],
    "time": ["noon", "", "2020-13-01", "NaN"],
}
TEXTS = [
    b"a",
    b"",
    "é".encode(),
    b"\xe9",
    b'"q,r"',
    b'"say ""hi"""',
    b'b"c',
    b"  ",
    b"\x00",
    b'"',
    b"NULL",
    b'"NA"',
    b"12.0",
    b'"-7.0"',
    b"1.0.0",
]


def lines(delimiter: bytes) -> list[bytes]:
    """Plain lines with more and more odd fields; blank lines, and some of too few or too many fields."""
    random = np.random.default_rng(3)
    found = []
    for number in range(400):
        share = (number // 100) * 0.08  # none in the first hundred
        fields = []
        for name in NAMES:
            odd = ODD if random.random() < share else PLAIN
            texts = [text.encode() for text in odd[name]] if name in odd else TEXTS if odd is ODD else TEXTS[:3]
            fields.append(texts[random.integers(len(texts))])
        if random.random() < share / 4:
            fields = [[], fields[:-1], [*fields, b"1"]][random.integers(3)]
        found.append(delimiter.join(fields))
    return found


def expected_fields(line: bytes, delimiter: bytes) -> list[bytes] | None:
    """The fields of a line, or None where their number is wrong."""
    if delimiter == b"\t":
        fields = line.split(b"\t")
        return fields if len(fields) == len(NAMES) else None
    one = rb'([^",]*|"(?:[^"]|"")*")'
    if (match := re.fullmatch(b",".join([one] * len(NAMES)), line)) is None:
        return None
    return [field[1:-1].replace(b'""', b'"') if field[:1] == b'"' else field for field in match.groups()]


def absent(text: bytes) -> bool:
    return text.strip() in (b"", *(each.encode() for each in MISSING))


def number(text: bytes) -> float:
    if text.strip().lower() in (b"true", b"false") and text.strip() != b"tRUE":
        return float(text.strip().lower() == b"true")
    return float(text) if re.fullmatch(values.NUMBER.encode(), text) else np.nan


def integer(text: bytes) -> int | None:
    """The integer that a text is, None where it is none."""
    if text.strip() in (b"True", b"False"):
        return int(text.strip() == b"True")
    try:
        exact = decimal.Decimal(text.decode())
    except (decimal.InvalidOperation, UnicodeDecodeError):
        return None
    return int(exact) if exact == exact.to_integral_value() and -(2**63) <= exact < 2**63 else None


def shop(text: bytes) -> bytes:
    return b"" if absent(text) else re.sub(rb"\A(-?(?:0|[1-9]\d*))\.0\Z", rb"\1", text)


def expected(line: bytes, delimiter: bytes) -> tuple[int, tuple[object, ...]]:
    """What is wrong with a line, and its price, shop, user, label and weight."""
    fields = expected_fields(line, delimiter)
    if fields is None:
        return WRONG_FIELDS, ()
    row = dict(zip(NAMES, fields, strict=True))
    with np.errstate(over="ignore"):
        price, label, weight = (np.float32(number(row[name])) for name in ("price", "label", "weight"))
    codes = [code for code in row["codes"].split(b"|")[:2] if not absent(code)]
    time = row["time"]
    wrong = {
        "price": not absent(row["price"]) and np.isnan(price),
        "user": not absent(row["user"]) and integer(row["user"]) is None,
        "codes": any(not code.isdigit() for code in codes),
        "label": label not in (0, 1),
        "weight": not (np.isfinite(weight) and weight >= 0),
        "time": np.isnan(number(time)) and time != b"2020-01-02",
    }
    bad = [FIRST_COLUMN + place for place, name in enumerate(SCHEMA.columns) if wrong.get(name)]
    user = None if absent(row["user"]) else integer(row["user"])
    return (bad or [GOOD])[0], (price, shop(row["shop"]), -1 if user is None else user, label, weight)


@pytest.mark.parametrize("delimiter", [b"\t", b","])
def test_plain_and_odd_lines_are_read_as_field_by_field(tmp_path, gather, small_chunks, delimiter):
    content = lines(delimiter)
    (tmp_path / "log").write_bytes(b"\n".join(content) + b"\n")
    text = delimiter.decode()
    reader, by_field = (
        CsvReader([str(tmp_path / "log")], SCHEMA, delimiter=text, header=False, column_names=NAMES) for _ in range(2)
    )
    rows = gather(reader.read())

    numbers = [place for place, line in enumerate(content, start=1) if line]
    assert rows["line"].tolist() == numbers
    of_python = [expected(line, delimiter) for line in content if line]
    problems = [problem for problem, _ in of_python]
    assert rows["problem"].tolist() == problems
    assert problems[:100] == [GOOD] * 100
    assert len(set(problems)) == 2 + 6
    good = [place for place, problem in enumerate(problems) if problem == GOOD]
    found = (rows["raw"]["price"], rows["raw"]["shop"], rows["raw"]["user"], rows["label"], rows["weight"])
    for column, of_rows in zip(found, zip(*(of_python[place][1] for place in good), strict=True), strict=True):
        np.testing.assert_array_equal(column[good], np.array(of_rows, column.dtype))

    by_field._plain = None  # every line is looked at field by field, as those of very wide files are
    slowly = gather(by_field.read())
    # A pass in Python reads the first chunks through a graph of their own, and the rest as every pass does.
    easy = list(itertools.takewhile(lambda chunk: chunk[1], reader.read_easy().as_numpy_iterator()))
    assert 100 // small_chunks <= len(easy) < 30
    assert by_field.read_easy() is None
    surveyed = [joined(all_chunks(each, lambda chunk: chunk)) for each in (reader, by_field)]
    for others in (slowly, *surveyed):
        tf.nest.map_structure(lambda one, other: np.testing.assert_array_equal(bits(one), bits(other)), rows, others)


def joined(chunks):
    return tf.nest.map_structure(lambda *pieces: np.concatenate([np.atleast_1d(piece) for piece in pieces]), *chunks)


def test_a_number_keeps_its_sign_where_a_line_is_read_field_by_field(tmp_path, gather):
    (tmp_path / "log").write_text("True,a,-0.0,1,b,1|2,1,q,0\n7,a,-0.0,1,b,1|2,1,q,0\n")
    rows = gather(CsvReader([str(tmp_path / "log")], SCHEMA, header=False, column_names=NAMES).read())
    assert rows["raw"]["user"].tolist() == [1, 7]
    assert np.signbit(rows["raw"]["price"]).tolist() == [True, True]


def bits(values: np.ndarray) -> np.ndarray:
    return values.view(np.int32) if values.dtype == np.float32 else values


def test_ordinary_lines_are_plain(tmp_path):
    (tmp_path / "log").write_text("1,a,1,1,b,1|2,1,q,0\n")
    reader = CsvReader([str(tmp_path / "log")], SCHEMA, header=False, column_names=NAMES)
    plain = ["7,a,1.5,1,b,1|2,0.5,q,2020-01-01T10:00", ",,,,,,,,", '-1,"x, y",-1e5,0,é,,1,"say ""hi""",3']
    odd = ["7,a,1,1,12.0,1,1,q,1", '7,a,1,1,"12.0",1,1,q,1', "7,a,1,1,b,1.0|2.0,1,q,1", "7,a,1,1,b,['a'],1,q,1"]
    odd += ["7,a,x,1,b,1|2,0.5,q,1", "1.0,,,,,,,,", ",,,,,,,", ",,,,,,,,,", '1,a"b,1,1,b,1,1,q,0']
    missing = ["7,a,x,1,NULL,b,0.5,q,1", '7,"NA",1,1,b,1|null,0.5,q,1', "7,a,1,1, ,b,0.5,q,1", "7,a,1,1,b,3|None,1,q,0"]
    matched = tf.strings.regex_full_match(plain + missing, reader._odd)
    assert matched.numpy().tolist() == [False] * len(plain) + [True] * len(missing)
    matched = tf.strings.regex_full_match(plain + odd, reader._plain)
    assert matched.numpy().tolist() == [True] * len(plain) + [False] * len(odd)


def test_a_column_in_another_role_stays_a_text(tmp_path, gather):
    schema = Schema(
        (Numeric("price"), Categorical("user", "hash", size=5, dtype="int64")), query_id="user", timestamp="price"
    )
    (tmp_path / "log").write_text("price,user,label\n2020-01-01,007,1\n5,7,0\n")
    rows = gather(CsvReader([str(tmp_path / "log")], schema).read())
    assert rows["problem"].tolist() == [FIRST_COLUMN, GOOD]
    assert rows["raw"]["user"].tolist() == [7, 7]
    assert rows["query_id"][0] != rows["query_id"][1]  # as texts
    assert rows["timestamp"].tolist() == [1577836800, 5]


@pytest.mark.parametrize("missing", [MISSING, ("-1", "NULL"), ("-999.0",)])
def test_a_log_of_numbers_alone_needs_no_look_for_missing_texts(tmp_path, gather, missing):
    schema = Schema((Numeric("price"), Categorical("user", "hash", size=5, dtype="int64")))
    (tmp_path / "log").write_text("price,user,label,note\n1,7,1,NULL\n-1,-1,0, \nNULL,,1,a\n-999.0,5,0,-1\n")
    reader, by_field = (CsvReader([str(tmp_path / "log")], schema, missing=missing) for _ in range(2))
    assert (reader._odd is None) == (missing == MISSING)
    by_field._plain = None
    rows, slowly = gather(reader.read()), gather(by_field.read())
    tf.nest.map_structure(lambda one, other: np.testing.assert_array_equal(bits(one), bits(other)), rows, slowly)
    if missing == ("-1", "NULL"):
        np.testing.assert_array_equal(rows["raw"]["price"], np.float32([1, np.nan, np.nan, -999]))


def test_lines_with_odd_texts_alone_are_read_as_one_by_one(tmp_path, gather):
    # All numbers are plain, so that they are decoded as numbers; the last line of the second file forbids that.
    texts = ["12.0", "-3.0", "0.0", "007.0", "1.50", "NA", " null ", "", '"a,b"', '"say ""7.0"""', "caf\u00e9", "1e3"]
    lines = [f"{n},x,{n}.5,1,{text},1|2,1,{text},{n}" for n, text in enumerate(texts)]
    read = []
    for name, more in (("tidy", []), ("mixed", ['"6",x,1,1,s,1,1,r,1'])):
        path = tmp_path / f"{name}.csv"
        path.write_text("\n".join([",".join(NAMES), *lines, *more]) + "\n")
        read.append(gather(CsvReader([str(path)], SCHEMA).read()))
    tidy, mixed = read
    assert tidy["raw"]["shop"].tolist()[:8] == [b"12", b"-3", b"0", b"007.0", b"1.50", b"", b"", b""]
    for structure in (tidy, mixed):
        structure.pop("file", None)
        structure["query_id"] = np.maximum(structure["query_id"], -1)  # of a missing one: the place
    tf.nest.map_structure(lambda a, b: np.testing.assert_array_equal(a, b[: len(texts)]), tidy, mixed)
