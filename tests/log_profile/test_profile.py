"""Profiles of small logs, whose numbers are counted by hand."""

from __future__ import annotations

import re

import log_cases
import numpy as np
import pytest

from smooth_recs.errors import InputError
from smooth_recs.log_profile import profile as profile_lib
from smooth_recs.log_profile.layout import GivenLayout, layout_of
from smooth_recs.log_profile.profile import Column, profile_of
from smooth_recs.log_profile.profile_table import lines


def profile(path, **given):
    return profile_of(layout_of(str(path), GivenLayout(**given)))


def of_text(tmp_path, text):
    (tmp_path / "log.csv").write_text(text)
    return profile(tmp_path / "log.csv")


@pytest.mark.parametrize("kind", ["csv", "tsv", "csv.gz", "tfrecord", "tfrecord.gz", "parquet"])
def test_the_profile_is_that_of_the_log_in_every_format(tmp_path, kind):
    found = profile(log_cases.write(tmp_path, kind))
    assert (found.rows, found.malformed) == (10, 0)
    columns = found.columns
    # The rows 8 and 9 are late: their request is new, their user is not, nor are 0 and 1.
    assert columns["request_id"] == Column("request_id", "text", 0.0, 0, 5, True, met_before=0.0)
    user = columns["user_id"]
    assert (user.kind, user.missing, user.distinct, user.met_before) == ("integer", pytest.approx(0.1), 4, 1.0)
    assert (user.low, user.high, user.mean) == (7.0, 10.0, pytest.approx((2 * (7 + 8 + 9 + 10) + 7) / 9))
    when = columns["when"]
    assert (when.kind, when.low, when.high) == ("time", 1704067200.0, 1704067209.0)
    price = columns["price"]
    assert (price.kind, price.low, price.high, price.mean) == ("number", 0.0, 13.5, 6.75)
    assert price.skewness[0] == pytest.approx(0.0, abs=1e-12)
    assert columns["clicked"].mean == 0.5


def test_skewness_is_that_of_the_formula(tmp_path):
    column = of_text(tmp_path, "price,label\n" + "0,1\n0,0\n0,1\n6,0\n").columns["price"]
    # One of four: (1 - 2 p) / sqrt(p (1 - p)) with p = 1/4, whatever the two values are.
    assert column.skewness == pytest.approx((0.5 / np.sqrt(3 / 16), 0.5 / np.sqrt(3 / 16)))


def test_missing_values_booleans_and_whole_floats_are_what_training_makes_of_them(tmp_path):
    found = of_text(tmp_path, "user,old,label\n12.0,NULL,True\n,NA,false\n7.0, ,true\n").columns
    assert (found["user"].kind, found["user"].missing) == ("integer", pytest.approx(1 / 3))
    assert (found["old"].kind, found["old"].missing, found["old"].distinct) == ("none", 1.0, 0)
    assert (found["label"].kind, found["label"].low, found["label"].high) == ("integer", 0.0, 1.0)


@pytest.mark.parametrize(("bad", "kind", "counted"), [(1, "integer", 1), (2, "text", 0)])
def test_one_value_in_a_hundred_of_another_kind_changes_nothing(tmp_path, bad, kind, counted):
    rows = ["n,label", *(f"{row},0" for row in range(100 - bad)), *(f"x{row},1" for row in range(bad))]
    column = of_text(tmp_path, "\n".join(rows)).columns["n"]
    assert (column.kind, column.bad, column.distinct) == (kind, counted, 100)


def test_a_kind_that_only_later_rows_show(tmp_path, monkeypatch):
    """Integers, then numbers, then times: each kind takes in those before."""
    rows = ["t,label", *(f"{row},0" for row in range(9_000)), *(f"{row}.5,1" for row in range(9_000))]
    assert of_text(tmp_path, "\n".join(rows)).columns["t"].kind == "number"
    rows += [f"2024-01-01T00:00:{row % 60:02d},1" for row in range(9_000)]
    assert of_text(tmp_path, "\n".join(rows)).columns["t"].kind == "time"


def test_rows_with_a_wrong_number_of_fields_are_counted_and_left_out(tmp_path):
    found = of_text(tmp_path, "a,label\n1,0\n2\n3,1\n4,5,6\n7,0\n")
    assert (found.rows, found.malformed, found.columns["a"].distinct) == (5, 2, 3)
    assert re.fullmatch(r"the first is \S+:3", found.first_malformed)
    (tmp_path / "bad.csv").write_text("a,b\n1\n2\n")
    with pytest.raises(InputError, match=r"none of the 2 rows of .* has 2 fields"):
        profile(tmp_path / "bad.csv", delimiter=",")


def test_a_field_that_goes_on_in_the_next_line_is_told_of(tmp_path):
    found = of_text(tmp_path, 'a,b,label\n1,"x ""y""",0\n2,"x\ny",1\n3,z,0\n')
    assert (found.rows, found.malformed) == (4, 2)
    assert found.first_malformed.endswith(":3, where a field in quotes goes on in the next line")
    assert found.first_malformed in list(lines(found))[:3]


def test_a_column_that_is_there_twice_is_named(tmp_path):
    with pytest.raises(InputError, match="the column 'a' is twice in"):
        of_text(tmp_path, "a,b,a\nx,y,z\n")


def test_the_sample_is_even_and_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(profile_lib, "SAMPLE_ROWS", 100)
    found = of_text(tmp_path, "n,label\n" + "".join(f"{row},0\n" for row in range(20_000)))
    sample = [int(text) for text in found.sample["n"]]
    assert 50 < len(sample) <= 100
    assert set(np.diff(sample)) == {256}  # the smallest power of two that leaves 100 of 20,000 or fewer
    assert found.numbers("n").tolist() == sample


def test_lists_count_each_value(tmp_path):
    rows = [{"tags": ["a", "b"], "label": 1}, {"tags": [], "label": 0}, {"tags": ["b", "c"], "label": 1}]
    found = profile(log_cases.write(tmp_path, "parquet", rows))
    tags = found.columns["tags"]
    assert (tags.kind, tags.listed, tags.distinct, tags.missing) == ("text", True, 3, pytest.approx(1 / 3))
    assert found.sample["tags"].tolist() == [b"a|b", b"", b"b|c"]
