"""The challenge's log of actions as impressions: sessions made by hand, whose impressions are derived by hand."""

from __future__ import annotations

import csv
import gzip

import pytest

from smooth_recs.config import Data
from smooth_recs.data.presets import open_source
from smooth_recs.data.trivago_sessions import COLUMNS, NEEDED, write_impressions
from smooth_recs.errors import InputError


def action(session, step, kind, reference="", impressions="", prices="", filters="", user="u1"):
    at = 1541030000 + step
    return (user, session, at, step, kind, reference, "DE", "Berlin, Germany", "mobile", filters, impressions, prices)


ACTIONS = [
    action("s1", 1, "search for destination", "Berlin, Germany"),
    action("s1", 2, "interaction item image", "30"),
    action("s1", 3, "interaction item image", "30"),
    action("s1", 4, "interaction item info", "10"),
    action("s1", 5, "clickout item", "20", "10|20|30", "80|60|80", "Sort by Price|5 Star"),
    action("s1", 6, "clickout item", "30", "30|40", "5|4"),
    action("s2", 1, "clickout item", "99", "10|20", "80|60", user="u2"),
    action("s2", 2, "clickout item", "10", "10|20", "80", user="u2"),
    action("s2", 3, "clickout item", "", "10|20", "80|60", user="u2"),
    action("s2", 4, "clickout item", "10", "10", "7", user="u2"),
]


def log(path, actions=ACTIONS, columns=NEEDED):
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "wt", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(actions)
    return str(path)


def read(path):
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", newline="") as file:
        return list(csv.DictReader(file))


def columns(rows, *names):
    return [tuple(row[name] for name in names) for row in rows]


@pytest.mark.parametrize("ending", ["csv", "csv.gz"])
def test_what_a_session_did_before_becomes_columns(tmp_path, ending):
    output = tmp_path / "made" / f"impressions.{ending}"
    counts = write_impressions(log(tmp_path / f"train.{ending}"), str(output))
    assert counts == {"requests": 3, "impressions": 6, "elsewhere": 1, "malformed": 1, "unlabelled": 1}
    rows = read(output)
    assert tuple(rows[0]) == COLUMNS
    assert columns(rows, "request_id", "position", "n_shown", "item_id", "price", "price_rank", "label") == [
        ("s1_5", "1", "3", "10", "80", "2", "0"),
        ("s1_5", "2", "3", "20", "60", "1", "1"),
        ("s1_5", "3", "3", "30", "80", "3", "0"),
        ("s1_6", "1", "2", "30", "5", "2", "1"),
        ("s1_6", "2", "2", "40", "4", "1", "0"),
        ("s2_4", "1", "1", "10", "7", "1", "1"),
    ]
    seen = ("prev_action", "item_seen_in_session", "item_is_last_seen", "clicks_so_far", "first_filter", "n_filters")
    assert columns(rows, *seen) == [
        ("interaction item info", "1", "1", "0", "Sort by Price", "2"),
        ("interaction item info", "0", "0", "0", "Sort by Price", "2"),
        ("interaction item info", "2", "0", "0", "Sort by Price", "2"),
        ("clickout item", "2", "0", "1", "", "0"),
        ("clickout item", "0", "0", "1", "", "0"),
        # 99, 10 and nothing were clicked before.
        ("clickout item", "1", "1", "3", "", "0"),
    ]
    assert columns(rows[:1], "user_id", "session_id", "timestamp", "step", "platform", "city", "device") == [
        ("u1", "s1", "1541030005", "5", "DE", "Berlin, Germany", "mobile")
    ]


def test_counts_end_at_nine(tmp_path):
    many = [action("s", step, "interaction item image", "10") for step in range(1, 13)]
    many += [action("s", step, "clickout item", "20", "10|20", "1|2") for step in range(13, 25)]
    output = tmp_path / "impressions.csv"
    write_impressions(log(tmp_path / "train.csv", many), str(output))
    last = read(output)[-2:]
    assert columns(last, "item_seen_in_session", "clicks_so_far") == [("9", "9"), ("9", "9")]


def test_the_preset_reads_what_is_written(tmp_path):
    write_impressions(log(tmp_path / "train.csv"), str(tmp_path / "impressions.csv.gz"))
    source = open_source(Data(source="trivago", path=str(tmp_path), split="tail"), str(tmp_path / "cache"))
    assert source.train_rows + source.eval_rows == 6


def test_equal_logs_give_equal_files(tmp_path):
    train = log(tmp_path / "train.csv")
    first, second = tmp_path / "first.csv.gz", tmp_path / "second.csv.gz"
    write_impressions(train, str(first))
    write_impressions(train, str(second))
    assert first.read_bytes() == second.read_bytes()


def test_bad_logs_are_refused_and_leave_nothing(tmp_path):
    output = str(tmp_path / "impressions.csv")
    with pytest.raises(InputError, match=r"must have the columns of the challenge's train\.csv, got no 'prices'$"):
        write_impressions(log(tmp_path / "short.csv", [row[:-1] for row in ACTIONS], NEEDED[:-1]), output)
    again = [*ACTIONS, action("s1", 7, "clickout item", "10", "10", "7")]
    with pytest.raises(InputError, match=r"train\.csv, line 12: the rows of a session must follow .* got more of s1$"):
        write_impressions(log(tmp_path / "train.csv", again), output)
    with pytest.raises(InputError, match=r"absent\.csv cannot be written as .*: .*No such file"):
        write_impressions(str(tmp_path / "absent.csv"), output)
    assert not (tmp_path / "impressions.csv").exists()


def test_a_log_of_actions_is_told_from_impressions(tmp_path):
    data = Data(source="trivago", path=log(tmp_path / "train.csv"))
    with pytest.raises(
        InputError, match=r"^data\.path must name impressions, got a log of actions, .*write_impressions"
    ):
        open_source(data, str(tmp_path / "cache"))
