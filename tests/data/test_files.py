"""Paths and fingerprints."""

from __future__ import annotations

import pytest

from smooth_recs.data.files import expand, fingerprint, in_folder
from smooth_recs.errors import InputError


@pytest.fixture
def folder(tmp_path):
    for name in ("b.csv", "a.csv", "_SUCCESS", ".hidden", "c.txt"):
        (tmp_path / name).write_text(name)
    (tmp_path / "empty").mkdir()
    return tmp_path


def names(paths, folder):
    return [path.removeprefix(f"{folder}/") for path in paths]


def test_files_folders_globs_and_lists(folder):
    assert names(expand(f"{folder}/c.txt"), folder) == ["c.txt"]
    assert names(expand(f"{folder}"), folder) == names(expand(f"{folder}/"), folder) == ["a.csv", "b.csv", "c.txt"]
    assert names(expand(f"{folder}/*.csv"), folder) == ["a.csv", "b.csv"]
    assert names(expand(f"{folder}/c.txt, {folder}/*.csv"), folder) == ["c.txt", "a.csv", "b.csv"]


def test_numbers_in_names_count_by_their_value(tmp_path):
    for name in ("day_10", "day_2", "day_0"):
        (tmp_path / name).write_text("")
    for path in (tmp_path, f"{tmp_path}/day_*"):
        assert names(expand(str(path)), tmp_path) == ["day_0", "day_2", "day_10"]


def test_a_name_with_brackets_is_a_file_if_there_is_one(folder):
    (folder / "day[1].csv").write_text("x")
    assert names(expand(f"{folder}/day[1].csv"), folder) == ["day[1].csv"]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("", "data.eval_path must name a file, a folder or a glob, got ''"),
        ("{folder}/d.csv", "data.eval_path: no such file or folder: {folder}/d.csv"),
        ("{folder}/*.tsv", "data.eval_path: no file matches {folder}/*.tsv"),
        ("{folder}/a.csv,{folder}/d.csv", "data.eval_path: no such file or folder: {folder}/d.csv"),
        ("{folder}/empty", "data.eval_path: the folder has no file: {folder}/empty"),
    ],
)
def test_nothing_to_read_is_refused_by_name(folder, path, message):
    with pytest.raises(InputError) as raised:
        expand(path.format(folder=folder), "data.eval_path")
    assert str(raised.value) == message.format(folder=folder)


def test_a_preset_looks_for_its_files_in_a_folder(folder):
    assert in_folder(str(folder), "*.gz", "*.csv") == f"{folder}/*.csv"
    with pytest.raises(InputError, match=r"data\.path: the folder has no file \*\.gz or \*\.tsv: "):
        in_folder(f"{folder}/", "*.gz", "*.tsv")
    assert in_folder("a,b", "*") == "a,b"


def test_a_fingerprint_tells_contents_order_and_meaning_apart_but_not_places(folder):
    a, b = f"{folder}/a.csv", f"{folder}/b.csv"
    (folder / "copy").write_text("a.csv")
    same = fingerprint([a, b], "comma")
    assert fingerprint([f"{folder}/copy", b], "comma") == same
    assert len({same, fingerprint([b, a], "comma"), fingerprint([a, b], "tab"), fingerprint([a], "comma")}) == 4
    (folder / "b.csv").write_text("B.csv")
    assert fingerprint([a, b], "comma") != same
