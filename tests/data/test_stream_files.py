"""Which files of a folder are whole, and the list of those that were taken."""

from __future__ import annotations

import os
import time

import pytest

from smooth_recs.data import stream_files
from smooth_recs.data.stream_files import Arrivals, Stamp, TakenFile, TakenFiles, content
from smooth_recs.errors import InputError


def test_arrivals_name_what_is_unfinished(tmp_path, monkeypatch):
    monkeypatch.setattr(stream_files, "SETTLED_SECONDS", 0.1)
    seen, file = Arrivals(str(tmp_path)), tmp_path / "0.csv"
    assert seen.whole(()) == []
    assert seen.unfinished == ""
    file.write_text("a\n")
    assert seen.whole(()) == []
    assert seen.unfinished == str(file)
    time.sleep(0.12)
    assert seen.whole(()) == [str(file)]
    assert seen.whole({str(file)}) == []


@pytest.fixture
def taken(tmp_path):
    """A list of three files of 3, 0 and 2 good rows."""
    found = TakenFiles(str(tmp_path / "stream.json"), "log")
    for name, rows, malformed in (("b", 4, 1), ("c", 1, 1), ("a", 2, 0)):
        (tmp_path / name).write_text(name * rows)
        file = str(tmp_path / name)
        found.add(TakenFile(file, *Stamp.of(file), content(file), rows, malformed))
    return found


def names_from(taken, row):
    files, start = taken.at(row)
    return [file.file[-1] for file in files], start


def test_rows_are_found_in_their_files(taken):
    assert (len(taken), taken.rows, taken.good, taken.malformed) == (3, 7, 5, 2)
    assert [names_from(taken, row) for row in (0, 2)] == [(["b", "c", "a"], 0)] * 2
    assert [names_from(taken, row) for row in (3, 4)] == [(["a"], 3)] * 2  # c holds no good row
    assert names_from(taken, 5) == ([], 5)


def test_the_first_readable_row_is_after_the_last_file_that_has_gone(taken, tmp_path):
    assert [taken.first_readable(row) for row in (0, 2, 4)] == [0, 2, 4]
    (tmp_path / "b").unlink()
    assert [taken.first_readable(row) for row in (0, 2, 4)] == [3, 3, 4]
    (tmp_path / "a").unlink()
    assert [taken.first_readable(row) for row in (0, 4)] == [5, 5]


def test_a_list_comes_back_from_its_file_unless_it_is_of_another_stream(taken, tmp_path):
    taken.ended = True
    taken.save()
    again = TakenFiles(str(tmp_path / "stream.json"), "log")
    assert (again.names, again.good, again.ended) == (taken.names, 5, True)
    assert again.fingerprints("x") == taken.fingerprints("x")
    other = TakenFiles(str(tmp_path / "stream.json"), "another log")
    assert (len(other), other.ended) == (0, False)


def test_a_stream_that_grows_keeps_its_earlier_fingerprints(taken, tmp_path):
    before = taken.fingerprints("x")
    assert before[0] == "x"
    assert len(set(before)) == 4
    (tmp_path / "d").write_text("d")
    file = str(tmp_path / "d")
    taken.add(TakenFile(file, *Stamp.of(file), content(file), 1, 0))
    assert taken.fingerprints("x")[:-1] == before


def test_a_file_that_changes_is_refused_a_file_that_is_only_touched_is_not(taken, tmp_path):
    os.utime(tmp_path / "b", times=(1, 1))
    taken.check(0)
    (tmp_path / "b").write_text("xxxx")
    os.utime(tmp_path / "b", times=(2, 2))  # TensorFlow tells whole seconds
    with pytest.raises(InputError, match=r"b has changed since it was taken"):
        taken.check(4)
