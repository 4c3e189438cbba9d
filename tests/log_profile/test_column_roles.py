"""Roles of columns, guessed from small logs that were made so that there is one right answer."""

from __future__ import annotations

import numpy as np
import pytest

from smooth_recs.errors import InputError
from smooth_recs.log_profile import configuration_file, profile_table
from smooth_recs.log_profile.column_roles import Given, roles_of, time_range
from smooth_recs.log_profile.layout import layout_of
from smooth_recs.log_profile.profile import Column, Profile, profile_of
from smooth_recs.schema import Categorical, Numeric

ROWS = 2_000


def log(tmp_path, columns: dict) -> Profile:
    """The profile of a file with these columns, each a list or a function of the row."""
    values = [[each(row) if callable(each) else each[row] for each in columns.values()] for row in range(ROWS)]
    lines = [",".join(columns), *(",".join(f'"{value}"' for value in row) for row in values)]
    (tmp_path / "log.csv").write_text("\n".join(lines) + "\n")
    return profile_of(layout_of(str(tmp_path / "log.csv")))


@pytest.fixture(scope="module")
def random():
    return np.random.default_rng(1)


@pytest.fixture(scope="module")
def clicked(random):
    return (random.random(ROWS) < 0.3).astype(int)


@pytest.fixture(scope="module")
def profile(tmp_path_factory, random, clicked):
    """A log with a column of each kind."""
    noise = random.random(ROWS)
    return log(
        tmp_path_factory.mktemp("log"),
        {
            "request_id": lambda row: f"r{row // 4}",
            "session_id": lambda row: f"s{row // 20}",
            "user_id": random.integers(300, size=ROWS) + 70_000,
            "item_id": lambda row: f"i{row * 7919 % 1_000}",
            "time_ms": lambda row: 1_700_000_000_000 + 1_000 * row,
            "day": lambda row: 20_230_000 + row // 100,
            "hour": lambda row: row % 24,
            "price": np.round(np.exp(2 * random.standard_normal(ROWS)), 2),
            "age": random.integers(18, 90, size=ROWS),
            "country": random.choice(["de", "fr", ""], size=ROWS),
            "tags": lambda row: "|".join(["new", "sale", "red"][: row % 4]),
            "place": lambda row: ["Paris, France", "Bonn, Germany"][row % 2],
            "weight": lambda row: 1 + row % 3,
            "always": lambda row: 7,
            "label": clicked,
            "watch_time": np.round(clicked * 10 + noise, 3),
            "is_share": lambda row: int(row % 10 == 0),
            "prev_click": lambda row: int(row % 11 == 0),
        },
    )


@pytest.fixture(scope="module")
def roles(profile):
    return roles_of(profile, Given())


def test_the_roles(roles):
    assert (roles.label, roles.label_threshold) == ("label", None)
    assert (roles.query, roles.time, roles.weight) == ("request_id", "time_ms", "weight")
    assert "4.0 rows each" in roles.reasons["query"]
    assert "2023-11-14 22:13 to 2023-11-14 22:46 UTC, milliseconds" in roles.reasons["time"]


def test_what_each_column_becomes(roles):
    used = {each.column: each.feature for each in roles.features if each.used}
    assert used == {
        "user_id": Categorical("user_id", "vocabulary", dtype="int64", min_count=2),
        "item_id": Categorical("item_id", "vocabulary", min_count=2),
        "hour": Categorical("hour", "identity", size=24, dtype="int64"),
        "price": Numeric("price", "log_standardize"),
        "age": Numeric("age", "standardize"),
        "country": Categorical("country", "vocabulary"),
        "tags": Categorical("tags", "vocabulary", max_values=3),
        "place": Categorical("place", "vocabulary"),
        "prev_click": Categorical("prev_click", "identity", size=2, dtype="int64"),
    }


def test_what_is_left_out_and_why(roles):
    out = {each.column: each.reason.partition(":")[0] for each in roles.features if not each.used}
    assert out == {
        "session_id": "new values",
        "day": "new values",
        "always": "constant",
        "watch_time": "suspect, AUC 1.00",
        "is_share": "suspect, outcome",
    }


def test_what_is_given_is_taken(profile):
    given = Given(label="is_share", query="session_id", time="none", weight="none", ignore=("age", "price"))
    found = roles_of(profile, given)
    assert (found.label, found.query, found.time, found.weight) == ("is_share", "session_id", "", "")
    features = {each.column: each for each in found.features}
    assert not features["age"].used
    assert "request_id" in features


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (Given(label="labl"), "--label must name a column, got 'labl'; did you mean label?"),
        (Given(label="none"), "--label must name a column, got 'none'; there are request_id, "),
        (Given(time="tim_ms"), "--time must name a column, got 'tim_ms'; did you mean time_ms?"),
        (Given(label_threshold=float("nan")), "--label_threshold must be a finite number, got nan"),
        (Given(ignore=("a",)), "--ignore must name a column, got 'a'; there are "),
        (Given(label="age"), "--label must name a column of 0 and 1, got 'age', from 18 to 89; --label_threshold says"),
        (Given(label="country"), "--label must name a column of numbers, got 'country', which holds "),
        (
            Given(time="country"),
            "--time must name a column of numbers or of ISO 8601 times, got 'country', ",
        ),
        (Given(weight="tags"), "--weight must name a column of numbers, got 'tags', which holds "),
        (Given(query="age", weight="age"), "--weight must name another column than the query, got 'age' for both"),
        (Given(time="label"), "--time must name another column than the label, got 'label' for both"),
    ],
)
def test_what_is_given_wrongly_is_one_line(profile, given, said):
    with pytest.raises(InputError) as raised:
        roles_of(profile, given)
    assert str(raised.value).startswith(said)
    assert "\n" not in str(raised.value)


def test_two_labels_are_not_chosen_between(tmp_path, clicked):
    found = log(tmp_path, {"x": lambda row: row % 7, "click": clicked, "label": 1 - clicked})
    with pytest.raises(InputError, match="--label must name one of click, label, which all hold 0 and 1"):
        roles_of(found, Given())
    assert roles_of(found, Given(label="click")).label == "click"


def test_a_log_without_a_label(tmp_path):
    found = log(tmp_path, {"x": lambda row: row % 7, "y2": lambda row: row})
    with pytest.raises(InputError, match="--label must name the label: no column holds 0 and 1"):
        roles_of(found, Given())


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (["no", "yes"], "; click holds no, yes"),
        ([0, 3], "; click is 0 to 3: --label=click --label_threshold=X makes it 1 from X on"),
        ([-1, 1], "; click is -1 to 1: --label=click --label_threshold=X makes it 1 from X on"),
        ([0, 1, ""], "; click has no value in 33.3% of the rows: --label=click leaves these out"),
        (["", ""], ""),
    ],
)
def test_a_column_named_as_a_label_that_is_none_is_told_why(tmp_path, values, said):
    found = log(tmp_path, {"x": lambda row: row % 7, "click": lambda row: values[row % len(values)]})
    with pytest.raises(InputError) as raised:
        roles_of(found, Given())
    assert str(raised.value) == f"--label must name the label: no column holds 0 and 1{said}"


def test_a_column_named_as_a_time_that_is_none_is_told_why(tmp_path, clicked):
    found = log(
        tmp_path, {"x": lambda row: row % 7, "date": lambda row: f"01/{1 + row % 28:02}/2024", "label": clicked}
    )
    roles = roles_of(found, Given())
    assert roles.time == ""
    assert roles.reasons["time"] == "date holds 01/01/2024: neither numbers nor ISO 8601"
    assert "time    none: date holds 01/01/2024: neither numbers nor ISO 8601" in profile_table.lines(found, roles)
    lines = configuration_file.text_of(found, roles, "log.py")
    assert "# date holds 01/01/2024: neither numbers nor ISO 8601: the last fifth as the rows lie is held out" in lines
    assert "time" not in roles_of(found, Given(time="none")).reasons


def test_integers_named_as_what_has_an_id_or_beyond_int64_are_categories(tmp_path, clicked):
    columns = {
        "user": lambda row: row * 7919 % 90,
        "item": lambda row: row * 7919 % 91 - 1,
        "movie": lambda row: 10**19 + row * 7919 % 92,
        "hashed": lambda row: 2**63 - 50 + row * 7919 % 93,  # some fit an int64
        "user_age": lambda row: row * 7919 % 94,
        "vast": lambda row: f"{(row * 7919 % 95) * 1e18:.3e}",
        "label": clicked,
    }
    features = {each.column: each.feature for each in roles_of(log(tmp_path, columns), Given()).features}
    assert features["user"] == Categorical("user", "identity", size=90, dtype="int64")
    assert features["item"] == Categorical("item", "vocabulary")
    assert features["movie"] == Categorical("movie", "vocabulary")
    assert features["hashed"] == Categorical("hashed", "vocabulary")
    assert isinstance(features["user_age"], Numeric)
    assert isinstance(features["vast"], Numeric)


def test_numbers_with_a_decimal_comma_are_told_of(tmp_path, clicked):
    columns = {
        "price": lambda row: f"{row % 90},5",
        "sum": lambda row: f"1.{row % 90:03},0",
        "place": lambda row: ["a,b", "1,5"][row % 5 == 0],
    }
    found = {
        each.column: each.reason for each in roles_of(log(tmp_path, {**columns, "label": clicked}), Given()).features
    }
    assert found["price"].startswith("90 values; read as texts: numbers are written with a point, not with a comma")
    assert "not with a comma" in found["sum"]
    assert "not with a comma" not in found["place"]


def test_a_rating_becomes_a_label_by_a_threshold(tmp_path):
    found = log(tmp_path, {"user_id": lambda row: row % 90, "rating": lambda row: 1 + row % 5})
    roles = roles_of(found, Given())
    assert (roles.label, roles.label_threshold) == ("rating", 4.0)  # 1 + 0.7 * 4, rounded up
    assert "40.00% of the rows are 1, those from 4 on, of 1 to 5" in roles.reasons["label"]
    assert roles.query == "user_id"  # as nothing names a request
    assert [each.column for each in roles.features if each.used] == ["user_id"]
    assert roles_of(found, Given(label_threshold=5.0)).label_threshold == 5.0


def test_names_that_no_input_can_have_are_changed_and_the_column_stays(tmp_path, clicked):
    columns = {
        "user id": lambda row: row % 90,
        "class": lambda row: row % 3,
        "User_ID": lambda row: row % 9,
        "label": clicked,
    }
    features = [each.feature for each in roles_of(log(tmp_path, columns), Given()).features]
    assert [(each.name, each.source_column) for each in features] == [
        ("user_id", "user id"),
        ("class_", "class"),
        ("User_ID_2", "User_ID"),
    ]


def test_many_values_are_hashed_into_twice_as_many_buckets(tmp_path, monkeypatch, clicked):
    monkeypatch.setattr("smooth_recs.log_profile.column_roles.LARGEST_VOCABULARY", 100)
    columns = {"item_id": lambda row: f"i{row * 7919 % 777}", "label": clicked}
    (feature,) = (each.feature for each in roles_of(log(tmp_path, columns), Given()).features)
    assert feature == Categorical("item_id", "hash", size=1_600)  # 2 * 777, rounded up to two digits


def test_the_range_of_times_knows_the_year_0() -> None:
    column = Column("t", "time", 0.0, 0, 2, True, 1.0, low=-62_167_219_200.0, high=0.0)  # 719,528 days before 1970
    assert time_range(column) == "0000-01-01 00:00 to 1970-01-01 00:00 UTC, ISO 8601"
