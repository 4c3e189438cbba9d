"""Keys of rows: exact in every type that a file may have them in, or refused in one line."""

from __future__ import annotations

import datetime
import decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from smooth_recs.artifacts import exports, prediction_files
from smooth_recs.artifacts.prediction_files import Wanted
from smooth_recs.comparison.rows import match
from smooth_recs.comparison.settings import Side
from smooth_recs.errors import InputError


def side(flag: str, path: Path, ids: Any, **more: Any) -> Side:
    """Rows with those ids, predicted as 0.1, 0.2, ...; a list of texts becomes a CSV file, an Arrow array Parquet."""
    prediction = [0.1 * (row + 1) for row in range(len(ids))]
    if isinstance(ids, pa.Array):
        pq.write_table(pa.table({"id": ids, "prediction": prediction} | more), path.with_suffix(".parquet"))
        path = path.with_suffix(".parquet")
    else:
        path = path.with_suffix(".csv")
        path.write_text("\n".join(["id,prediction", *map(",".join, zip(ids, map(str, prediction), strict=True))]))
    artifact = exports.identify(flag, str(path))
    columns = prediction_files.read(artifact, Wanted(key=("id",)))
    return Side(artifact, len(ids), np.arange(len(ids)), columns)


def matched(tmp_path: Path, one: Any, other: Any) -> list[tuple[int, int]]:
    """Pairs of rows, of one and of the other, with equal ids."""
    found = match(side("--a", tmp_path / "a", one), side("--b", tmp_path / "b", other))
    return [tuple(np.rint(10 * pair).astype(int) - 1) for pair in found.columns["prediction"]]


BETA = "\N{GREEK SMALL LETTER BETA}"
BIG = [2**53, 2**53 + 1, 2**63 - 1]
WIDE = [2**63, 2**64 - 1, 7]
MONEY = [decimal.Decimal(text) for text in ("12345678901234567890.10", "7.00", "0.25")]
DAYS = [datetime.date(2024, 1, 31), datetime.date(1969, 12, 31), datetime.date(9999, 12, 31)]
TIMES = [
    datetime.datetime(2024, 1, 31, 12, 0, 0, 500000),
    datetime.datetime(2024, 1, 31),
    datetime.datetime(1960, 2, 29, 23, 59),
]


@pytest.mark.parametrize(
    "forms",
    [
        [[str(n) for n in BIG], pa.array(BIG), pa.array(BIG, pa.uint64()), pa.array(BIG, pa.decimal128(20, 0))],
        [[str(n) for n in WIDE], pa.array(WIDE, pa.uint64()), pa.array(WIDE, pa.decimal128(25, 3))],
        [["7", "-8", "9.5"], pa.array([7.0, -8.0, 9.5]), pa.array([decimal.Decimal(t) for t in ("7", "-8", "9.50")])],
        [["7.0", "8.0", "9.0"], ["7", "8", "9"], pa.array([7, 8, 9], pa.float32()), pa.array([7, 8, 9], pa.int8())],
        [["12345678901234567890.10", "7.00", "0.25"], pa.array(MONEY), pa.array(MONEY, pa.decimal128(30, 5))],
        [[str(day) for day in DAYS], *(pa.array(DAYS).cast(k) for k in (pa.date32(), pa.date64(), pa.timestamp("ms")))],
        [
            ["2024-01-31 12:00:00.5", "2024-01-31", "1960-02-29T23:59Z"],
            ["2024-01-31T13:00:00.500+01:00", "2024-01-31 00:00:00", "1960-02-29 23:59:00 UTC"],
            pa.array(TIMES, pa.timestamp("us")),
            pa.array(TIMES, pa.timestamp("ns", "UTC")),
        ],
        [["007", "a b", BETA], pa.array(["007", "a b", BETA]).dictionary_encode()],
    ],
)  # fmt: skip
def test_an_id_is_the_same_in_every_type(tmp_path: Path, forms: list[Any]) -> None:
    *others, one = forms
    for other in others:
        back = other[::-1] if isinstance(other, list) else other.take(pa.array([2, 1, 0]))
        assert matched(tmp_path, one, back) == [(0, 2), (1, 1), (2, 0)], (one, other)


def test_neighbours_beyond_2_to_53_are_different_ids(tmp_path: Path) -> None:
    for other in (["9007199254740992"], pa.array([2**53]), pa.array([decimal.Decimal(2**53)])):
        for one in (["9007199254740993", "9007199254740992"], pa.array([2**53 + 1, 2**53])):
            assert matched(tmp_path, one, other) == [(1, 0)]
    wide = pa.array([2**64 - 1, 2**63 - 1], pa.uint64())
    assert matched(tmp_path, wide, pa.array([-1, 2**63 - 1])) == [(1, 1)]
    assert matched(tmp_path, ["007", "7"], pa.array([7])) == [(1, 0)]


@pytest.mark.parametrize(
    ("one", "other", "words"),
    [
        (
            pa.array([1.0, 2.0**53]),
            ["1"],
            "--a: id must be exact, got the double 9007199254740992 in row 1, which several",
        ),
        (
            pa.array([1.0, 2.0**24], pa.float32()),
            ["1"],
            "--a: id must be exact, got the float 16777216 in row 1, which",
        ),
        (pa.array(DAYS), ["yesterday"], "--key: times on one side must have times on the other, got 'yesterday'"),
        (pa.array(DAYS), pa.array([19753]), "--key: times on one side must have times on the other, got 19753"),
        (pa.array([1, None]), ["1"], "--a: id must have a value in each row, got none in row 1"),
        (["1", "NULL"], ["1"], "--a: id must have a value in each row, got none in row 1"),
        (["12.0", "12"], pa.array([12]), "--a: --key must tell rows apart, got 12 in rows 0 and 1"),
        (pa.array([1]), ["x"], "--key: no row of --a has the key of a row of --b; the first ones are '1' and 'x'"),
    ],
)
def test_what_is_not_exact_is_refused(tmp_path: Path, one: Any, other: Any, words: str) -> None:
    with pytest.raises(InputError) as error:
        matched(tmp_path, one, other)
    assert str(error.value).startswith(words)
    assert "\n" not in str(error.value)


def test_a_key_of_several_columns_may_lack_some(tmp_path: Path) -> None:
    users = {"csv": "user,item,prediction\n7,5,0.1\n,5,0.2\n7,,0.3\n"}
    (tmp_path / "a.csv").write_text(users["csv"])
    table = {"user": pa.array([7, None, 7]), "item": pa.array([None, 5.0, 5.0]), "prediction": [0.5, 0.6, 0.7]}
    pq.write_table(pa.table(table), tmp_path / "b.parquet")
    sides = []
    for flag, name in (("--a", "a.csv"), ("--b", "b.parquet")):
        artifact = exports.identify(flag, str(tmp_path / name))
        columns = prediction_files.read(artifact, Wanted(key=("user", "item")))
        sides.append(Side(artifact, 3, np.arange(3), columns))
    assert match(*sides).columns["prediction"].tolist() == [[0.1, 0.7], [0.2, 0.6], [0.3, 0.5]]


def test_rows_of_unknown_requests_are_not_one_request(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("prediction,query_id\n0.1,7\n0.2,\n0.3,NULL\n0.4,7\n")
    columns = prediction_files.read(exports.identify("--a", str(path)), Wanted())
    assert columns["query_id"].tolist() == [b"7", b"", b"", b"7"]
    path.write_text("prediction,label,query_id\n0.1,,\n0.2,,\n")  # of rows without labels
    found = prediction_files.read(exports.identify("--a", str(path)), Wanted())
    assert list(found) == ["prediction"]
