"""Paths and fingerprints."""

from __future__ import annotations

import bz2
import gzip
import lzma

import pytest

from smooth_recs.data.files import compression, expand, fingerprint, in_folder, with_content
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


def test_names_with_commas_are_files_if_there_are_any(folder):
    for name in ("a,b.csv", "x, y", "1,2,3"):
        (folder / name).write_text("x")
    assert names(expand(f"{folder}/a,b.csv"), folder) == ["a,b.csv"]
    assert names(expand(f"{folder}/1,2,3,{folder}/x, y, {folder}/b.csv"), folder) == ["1,2,3", "x, y", "b.csv"]
    assert names(expand(f"{folder}/a.csv,{folder}/b.csv,"), folder) == ["a.csv", "b.csv"]
    with pytest.raises(InputError, match=f"no such file or folder: {folder}/a$"):
        expand(f"{folder}/a,c.csv")


def test_folders_of_a_table_in_parts_are_read(tmp_path):
    for name in ("day=10/h=1/part-0", "day=2/part-0", "day=2/_SUCCESS", "day=2/.crc", "_temporary/part-0", "day=3/x"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    whole = ["day=2/part-0", "day=3/x", "day=10/h=1/part-0"]
    assert names(expand(f"{tmp_path}"), tmp_path) == whole
    assert names(expand(f"{tmp_path}/day=*"), tmp_path) == whole
    assert names(expand(f"{tmp_path}/day=2/"), tmp_path) == ["day=2/part-0"]
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive" / "old").write_text("x")
    assert names(expand(f"{tmp_path}"), tmp_path) == ["archive/old", *whole]  # folders alone
    (tmp_path / "beside.csv").write_text("x")
    assert names(expand(f"{tmp_path}"), tmp_path) == ["beside.csv", *whole]


def test_empty_files_are_left_out_with_a_line(tmp_path, capsys):
    contents = {"a": b"", "b": b"x", "c.gz": gzip.compress(b""), "d.gz": gzip.compress(b"x"), "e.gz": b"\x1f\x8bcut"}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    paths = [f"{tmp_path}/{name}" for name in contents]
    assert names(with_content(paths), tmp_path) == ["b", "d.gz", "e.gz"]
    assert capsys.readouterr().out == f"data.path: empty files are left out: {paths[0]}, {paths[2]}\n"
    assert with_content(paths[1:2]) == (paths[1],)
    assert capsys.readouterr().out == ""
    with pytest.raises(InputError, match=rf"data\.eval_path: the files hold nothing: {paths[0]}, {paths[2]}$"):
        with_content([paths[0], paths[2]], "data.eval_path")


def test_a_compression_is_known_by_its_first_bytes(tmp_path):
    for name, content in {"part-0": gzip.compress(b"x"), "plain.gz": b"a,b", "empty": b""}.items():
        (tmp_path / name).write_bytes(content)
    assert [compression(f"{tmp_path}/{name}") for name in ("part-0", "plain.gz", "empty")] == ["GZIP", "", ""]
    others = {"bzip2": bz2.compress(b"x"), "xz": lzma.compress(b"x"), "zip": b"PK\x03\x04", "zstd": b"\x28\xb5\x2f\xfd"}
    for name, content in others.items():
        (tmp_path / "log").write_bytes(content)
        with pytest.raises(InputError, match=rf"log must be plain or compressed by gzip, got {name}$"):
            compression(f"{tmp_path}/log")


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
