"""The first pass over the files, and when it refuses to go on."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
import tensorflow as tf

from smooth_recs.data.raw_rows import FIRST_COLUMN, describe
from smooth_recs.data.readers.csv import CsvReader
from smooth_recs.data.survey import Survey, left_out, outside_shares, survey, warnings
from smooth_recs.errors import InputError
from smooth_recs.schema import Categorical, Numeric, Schema

SCHEMA = Schema((Categorical("shop", "hash", size=10), Numeric("price")), query_id="shop", timestamp="price")


def reader(tmp_path, *files):
    """Files of labels, row number n with price n."""
    paths = []
    for number, labels in enumerate(files):
        path = tmp_path / f"{number}.csv"
        path.write_text("shop,price,label\n" + "".join(f"s,{row},{label}\n" for row, label in enumerate(labels)))
        paths.append(str(path))
    return CsvReader(paths, SCHEMA)


def test_what_is_found(tmp_path, small_chunks):
    found = survey(reader(tmp_path, "01x1" * 3, "1" * 8, "xx1"), 1.0, times=True)
    assert (found.rows, found.malformed, found.head_malformed, found.good) == (23, 5, 5, 18)
    assert found.places == (f"{tmp_path}/0.csv:4 (label is neither 0 nor 1, got 'x'; 5 such rows)",)
    assert found.start_file.tolist() == [0, 0, 1, 1, 2]
    assert found.start_line.tolist() == [2, 9, 2, 9, 2]
    assert found.start_row.tolist() == [0, 5, 9, 16, 17]  # lines 2 to 8 hold two malformed rows
    assert found.timestamp.tolist() == [0, 1, 3, 4, 5, 7, 8, 9, 11, *range(8), 2]
    assert found.query_id.size == 18


def test_equal_reasons_are_counted_and_values_are_shown(tmp_path):
    long = "z" * 100
    (tmp_path / "log.csv").write_text(f"shop,price,label\ns,1,1\ns,x,1\ns,1,{long}\ns,y,0\ns\ns,2,yes\ns,z\t,0\n")
    found = survey(CsvReader([str(tmp_path / "log.csv")], SCHEMA), 1.0)
    assert found.malformed == 6
    assert found.places == (
        f"{tmp_path}/log.csv:6 (wrong number of fields or values, got 's')",
        f"{tmp_path}/log.csv:3 (price is neither a number nor an ISO 8601 time, got 'x'; 3 such rows)",
        f"{tmp_path}/log.csv:4 (label is neither 0 nor 1, got '{'z' * 37}...'; 2 such rows)",
    )


def test_what_is_left_out_is_said_of_one_row_and_of_several():
    assert left_out(1, ("a.csv:2 (no label)",)) == "1 malformed row is left out: a.csv:2 (no label)"
    several = "1,234 malformed rows are left out: a.csv:2 (no label); b.csv:9 (no price)"
    assert left_out(1234, ("a.csv:2 (no label)", "b.csv:9 (no price)")) == several


def test_a_value_is_shown_on_one_line():
    shown = describe(SCHEMA, FIRST_COLUMN + 2, b"a\n'\xff\x1b[0m")
    assert shown == r"""label is neither 0 nor 1, got "a\n'\\xff\x1b[0m\""""[:-2] + '"'


WATCHED = Schema(
    (
        Categorical("item", "identity", size=50, dtype="int64"),
        Categorical("items", "identity", size=2, dtype="int64", max_values=2),
        Categorical("shop", "hash", size=10),
        Numeric("price"),
        Numeric("empty"),
    )
)


def watched(tmp_path, rows):
    (tmp_path / "log.csv").write_text("item,items,shop,price,empty,label\n" + "".join(f"{row}\n" for row in rows))
    return [survey(CsvReader([str(tmp_path / "log.csv")], WATCHED), 1.0)]


def test_what_is_likely_to_be_wrong_is_said(tmp_path, small_chunks):
    rows = [f"{number},{number % 3}|1,s,2.5,,0" for number in range(80)] + [",,s,2.5,NA,0"] * 10 + ["x"] * 10
    found = watched(tmp_path, rows)
    outside = outside_shares(WATCHED, found, {"shop": 0.4})
    # 30 of the 80 ids are not below 50; 26 of the numbers modulo 3 are 2, beside 54 others and 80 times 1.
    assert outside == {"item": 30 / 80, "items": 26 / 160, "shop": 0.4}
    assert warnings(WATCHED, found, outside) == [
        "10.0% of the rows are malformed and left out",
        "no row has the label 1 (label): there is nothing to tell apart, and no AUC",
        "37.5% of the values of item are outside [0, 50) and share one row",
        "16.2% of the values of items are outside [0, 2) and share one row",
        "shop is the same in every row",
        "price is the same in every row",
        "empty has no value in any row",
    ]


def test_nothing_is_said_of_a_sound_log(tmp_path, small_chunks):
    rows = [f"{number % 50},{number % 2}|1,s{number % 2},{number},{number},{number % 2}" for number in range(100)]
    found = watched(tmp_path, [*rows, "x"])
    assert warnings(WATCHED, found, outside_shares(WATCHED, found, {"shop": 0.1})) == []
    assert "every row has the label 1" in warnings(WATCHED, watched(tmp_path, ["1,1,s,1,1,1"] * 5), {})[0]


def test_a_saved_survey_is_the_same(tmp_path):
    found = survey(reader(tmp_path, "01x1"), 1.0, times=True)
    found.save(str(tmp_path / "survey.npz"))
    loaded = Survey.load(str(tmp_path / "survey.npz"))
    for name in vars(found):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(found, name))
    assert isinstance(loaded.rows, int)
    assert loaded.places == found.places


@pytest.mark.parametrize("malformed", [1, 2])
def test_above_the_share_the_run_stops_at_the_share_it_goes_on(tmp_path, malformed):
    files = reader(tmp_path, "1" * (100 - malformed) + "x" * malformed)
    if malformed == 1:
        assert survey(files, 0.01).malformed == 1
        return
    with pytest.raises(InputError) as raised:
        survey(files, 0.01)
    assert str(raised.value) == (
        "data.max_malformed: 2 of the first 100 rows are malformed, above 1.00%: "
        f"{tmp_path}/0.csv:100 (label is neither 0 nor 1, got 'x'; 2 such rows)"
    )


def test_the_share_is_that_of_all_rows_of_all_files(tmp_path):
    assert survey(reader(tmp_path, "1" * 1000, "x" * 10), 0.01).malformed == 10
    with pytest.raises(InputError, match="11 of the first 1,011 rows"):
        survey(reader(tmp_path, "1" * 1000, "x" * 11), 0.01)


class Counting:
    """A reader that counts the chunks it is asked for."""

    def __init__(self, inner):
        self.files, self.schema, self._inner, self.chunks = inner.files, inner.schema, inner, 0

    def _count(self):
        self.chunks += 1

    def read(self, file=0, line=1):
        def counted(chunk):
            tf.py_function(self._count, [], [])
            return chunk

        return self._inner.read(file, line).map(counted)


def test_a_bad_start_stops_the_pass_at_once(tmp_path, small_chunks):
    counting = Counting(reader(tmp_path, "1" * 989 + "x" * 11 + "1" * 5000))
    with pytest.raises(InputError, match="11 of the first 1,000 rows"):
        survey(counting, 0.01)
    assert 1000 / small_chunks <= counting.chunks < 2000 / small_chunks


def test_a_bad_start_of_few_files_is_seen_too(tmp_path, small_chunks):
    with pytest.raises(InputError, match="11 of the first 1,000 rows"):
        survey(reader(tmp_path, "1" * 500, "x" * 11, "1" * 3000), 0.01)


def test_a_bad_end_within_the_share_is_no_bad_start(tmp_path):
    assert survey(reader(tmp_path, "1" * 1000 + "x" * 10 + "1" * 200), 0.01).malformed == 10


def test_no_row_at_all_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"data\.path: the files hold no row"):
        survey(reader(tmp_path, ""), 1.0)


@pytest.mark.parametrize("damage", ["cut", "garbled"])
def test_a_damaged_gzip_file_is_named(tmp_path, damage):
    text = "".join(f"s,{np.sin(row)},1\n" for row in range(5000)).encode()
    whole = gzip.compress(text)
    half = len(whole) // 2
    content = {"cut": whole[:half], "garbled": whole[:half] + b"#####" + whole[half + 5 :]}[damage]
    (tmp_path / "log.csv.gz").write_bytes(content)
    files = CsvReader([str(tmp_path / "log.csv.gz")], SCHEMA, header=False, column_names=("shop", "price", "label"))
    with pytest.raises(InputError, match=r"data\.path: .*log\.csv\.gz is no whole gzip file: ") as raised:
        survey(files, 0.01)
    assert "\n" not in str(raised.value)


def test_several_gzip_members_are_one_file(tmp_path):
    (tmp_path / "log.csv.gz").write_bytes(gzip.compress(b"shop,price,label\ns,1,1\n") + gzip.compress(b"s,2,0\n"))
    assert survey(CsvReader([str(tmp_path / "log.csv.gz")], SCHEMA), 0.0).rows == 2
