"""Files that are whole or not there, local and at URLs; outputs that cannot be written; arrays that come back."""

from __future__ import annotations

import json
import math
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from smooth_recs import _files, _paths
from smooth_recs._files import check_output, hidden_folder, read_json, whole_file, write_json
from smooth_recs._processes import read_arrays, write_arrays
from smooth_recs.artifacts import exports
from smooth_recs.config import Config, Data
from smooth_recs.data.presets import open_source
from smooth_recs.errors import InputError
from smooth_recs.schema import Categorical, Schema
from smooth_recs.workdir import manifest

SCHEMA = Schema((Categorical("shop", "hash", size=10),))


def test_a_file_is_there_once_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "notes.npz"
    with whole_file(str(path)) as beside:
        Path(beside).write_text("one")
        assert Path(beside).name == "notes.npz", "what writes by the ending of the name writes the same"
        assert not path.exists()
    assert path.read_text() == "one"
    assert os.listdir(path.parent) == ["notes.npz"]


def test_after_an_error_the_file_is_as_before(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("before")

    def write_half() -> None:
        with whole_file(str(path)) as beside:
            Path(beside).write_text("half")
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        write_half()
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == ["notes.txt"]


def test_a_name_alone_is_of_the_folder_one_is_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    umask = os.umask(0o022)
    try:
        write_json("found.json", {"pd": math.inf, "pairs": (1, [math.nan])})
    finally:
        os.umask(umask)
    assert json.loads((tmp_path / "found.json").read_text()) == {"pd": None, "pairs": [1, [None]]}
    assert (tmp_path / "found.json").stat().st_mode & 0o777 == 0o644


def test_the_folder_of_an_output_is_made(tmp_path: Path) -> None:
    check_output("--output", str(tmp_path / "a" / "b" / "found.json"))
    assert os.listdir(tmp_path / "a" / "b") == []


def test_an_output_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in ("file/found.json", "file/further/found.json"):
        with pytest.raises(InputError, match=r"^--picture: the folder .*file.* cannot be used: .*[a-z]$"):
            check_output("--picture", str(tmp_path / path))
    with pytest.raises(InputError, match=r"^--output must be a file, got the folder "):
        check_output("--output", str(tmp_path))


TEXT_ARRAYS = arrays.arrays(object, arrays.array_shapes(min_side=0, max_dims=3), elements=st.binary(max_size=5))

NUMBER_ARRAYS = arrays.arrays(
    st.sampled_from([np.int64, np.float32, np.bool_]), arrays.array_shapes(min_dims=0, min_side=0)
)


@given(st.lists(st.dictionaries(st.text(max_size=4), TEXT_ARRAYS | NUMBER_ARRAYS, max_size=3), max_size=3))
@settings(max_examples=60, deadline=None)
def test_arrays_come_back_from_their_file(groups: list[dict[str, Any]]) -> None:
    with tempfile.NamedTemporaryFile(suffix=".npz") as file:
        write_arrays(file.name, {"about": ["ä", None]}, groups)
        about, read = read_arrays(file.name)
    assert about == {"about": ["ä", None]}
    assert [list(group) for group in read] == [list(group) for group in groups]
    for group, same in zip(groups, read, strict=True):
        for name, values in group.items():
            assert (same[name].dtype, same[name].shape) == (values.dtype, values.shape)
            np.testing.assert_array_equal(same[name], values)


def test_what_killed_processes_left_is_removed_and_what_others_write_is_not(tmp_path: Path) -> None:
    def folder(name: str, age: float, *content: str) -> Path:
        (tmp_path / name).mkdir()
        for each in content:
            (tmp_path / name / each).mkdir()
        os.utime(tmp_path / name, (time.time() - age,) * 2)
        return tmp_path / name

    # A young one that is empty may be locked in a moment.
    old, young, file = folder(".writing-old", 100), folder(".writing-young", 1), tmp_path / ".writing-file"
    begun = folder(".removing-begun", 1, "half")
    file.touch()
    os.utime(file, (0, 0))
    with hidden_folder(str(tmp_path)) as working:
        assert not old.exists()
        assert not begun.exists()
        os.utime(working, (0, 0))  # it writes for long
        with whole_file(str(tmp_path / "notes.txt")) as beside:
            Path(beside).write_text("done")
        assert os.path.isdir(working)
    assert sorted(os.listdir(tmp_path)) == [".writing-file", young.name, "notes.txt"]


# The same at a URL: TensorFlow's in-memory file system stands for all of its file systems.


@pytest.fixture(params=["local", "ram"])
def place_of(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A folder, local or at a URL, that does not exist yet."""
    if request.param == "local":
        yield str(tmp_path / "place")
        return
    folder = "ram://place"
    yield folder
    _files.remove_folder(folder)


def test_what_is_written_is_found_listed_and_read(place_of: str) -> None:
    assert not _files.exists(place_of)
    for name in ("b/one.txt", "b/c/two.txt", "day_1.txt"):
        _files.write_text(f"{place_of}/{name}", f"{name}\r\nä")
    assert _files.listdir(place_of) == ["b", "day_1.txt"]
    assert _files.isdir(f"{place_of}/b")
    assert not _files.isdir(f"{place_of}/day_1.txt")
    assert _files.glob(f"{place_of}/*/*.txt") == [f"{place_of}/b/one.txt"]
    inside = [f"{place_of}/{name}" for name in ("b/c/two.txt", "b/one.txt", "day_1.txt")]
    assert _files.files_in(place_of) == inside
    assert _files.read_text(inside[0]) == "b/c/two.txt\r\nä"
    assert _files.stamp(inside[0])[0] == len("b/c/two.txt\r\nä".encode())
    _files.remove(inside[0])
    for gone in (
        lambda: _files.read_bytes(inside[0]),
        lambda: _files.remove(inside[0]),
        lambda: _files.stamp(inside[0]),
    ):
        with pytest.raises(FileNotFoundError, match=r"two\.txt"):
            gone()
    with pytest.raises(FileNotFoundError):
        _files.listdir(f"{place_of}/nowhere")


def test_a_file_is_replaced_whole_or_not_at_all(place_of: str) -> None:
    path = f"{place_of}/metrics.json"
    for content in ({"pd": 0.1}, {"pd": 0.2}):
        write_json(path, content)
        assert read_json(path) == content

    def write_half() -> None:
        with whole_file(path) as beside:
            Path(beside).write_text("half")
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        write_half()
    assert read_json(path) == {"pd": 0.2}
    assert _files.listdir(place_of) == ["metrics.json"]
    _files.write_text(path, '{"pd"')
    with pytest.raises(InputError, match=r"metrics\.json cannot be read \(it is not JSON, .*\): delete it$"):
        read_json(path, "delete it")
    with pytest.raises(FileNotFoundError):
        read_json(f"{place_of}/others.json")


def test_libraries_read_what_they_write(place_of: str) -> None:
    path = f"{place_of}/numbers.npz"
    with whole_file(path) as beside:
        np.savez_compressed(beside, one=np.arange(500_000), other=np.zeros(3))
    with _files.reading(path) as stream, np.load(stream) as found:  # a zip file is read from its end
        np.testing.assert_array_equal(found["one"], np.arange(500_000))
    with _files.reading(path) as stream:
        assert stream.read(2) == b"PK"
        assert stream.seek(-4, os.SEEK_END) == _files.stamp(path)[0] - 4
        assert len(stream.read(100)) == 4
        assert stream.read() == b""
        assert stream.seek(10**9) == 10**9  # as of a local file: there is nothing
        assert stream.read(1) == b""


def test_a_log_is_added_to(place_of: str) -> None:
    _files.makedirs(place_of)
    for line in ("one", "two"):
        with _files.appending(f"{place_of}/cell.log") as log:
            os.write(log.fileno(), f"{line}\n".encode())  # as a process that inherits it does
    assert _files.read_text(f"{place_of}/cell.log") == "one\ntwo\n"


def test_a_folder_is_whole_once_its_marker_is_there(place_of: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def save(version: int) -> None:
        with hidden_folder(place_of) as hidden:
            for name in ("saved_model.pb", "variables/variables.index", "assets.extra/request.json"):
                _files.write_text(os.path.join(hidden, "export", name), name)
            assert _files.listdir(place_of) in ([], ["1"], [os.path.basename(hidden)], [os.path.basename(hidden), "1"])
            _files.place(os.path.join(hidden, "export"), f"{place_of}/{version}", "saved_model.pb")

    _files.makedirs(place_of)
    save(1)
    assert _files.read_text(f"{place_of}/1/saved_model.pb") == "saved_model.pb"
    with _files.local_copy(f"{place_of}/1") as local:
        assert sorted(os.listdir(local)) == ["assets.extra", "saved_model.pb", "variables"]
        assert Path(local, "variables/variables.index").read_text() == "variables/variables.index"
    with _files.local_copy(f"{place_of}/1/saved_model.pb") as local:
        assert Path(local).read_text() == "saved_model.pb"

    copied, copy = [], tf.io.gfile.copy

    def copy_but_the_marker(source: str, target: str, overwrite: bool = False) -> None:
        copied.append(target)
        if target.endswith(".pb"):
            raise tf.errors.UnavailableError(None, None, "the network is gone")
        copy(source, target, overwrite)

    if "://" in place_of:
        monkeypatch.setattr(tf.io.gfile, "copy", copy_but_the_marker)
        with pytest.raises(OSError, match="the network is gone"):
            save(2)
        assert len(copied) == 3
        assert _files.exists(f"{place_of}/2/variables/variables.index")
        assert not _files.exists(f"{place_of}/2/saved_model.pb")
    _files.remove_folder(f"{place_of}/1", "saved_model.pb")
    assert not _files.files_in(f"{place_of}/1")


def test_the_marker_of_a_folder_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("assets/a", "saved_model.pb", "variables/v"):
        _files.write_text(f"ram://models/1/{name}", name)
    removed, remove = [], tf.io.gfile.remove
    monkeypatch.setattr(tf.io.gfile, "remove", lambda path: (removed.append(path), remove(path)))
    _files.remove_folder("ram://models/1", "saved_model.pb")
    assert removed == [f"ram://models/1/{name}" for name in ("saved_model.pb", "assets/a", "variables/v")]
    assert not _files.files_in("ram://models")


def test_what_a_killed_process_left_at_a_url_is_removed_by_the_owner_alone() -> None:
    _files.write_text("ram://left/.writing-1234", "half")
    _files.write_text("ram://left/notes.txt", "whole")
    for seconds, left in ((60.0, [".writing-1234", "notes.txt"]), (0.0, ["notes.txt"])):
        _files.remove_left_behind("ram://left", seconds)
        assert _files.listdir("ram://left") == left
    _files.remove_folder("ram://left")


def test_an_output_at_a_url() -> None:
    check_output("--output", "ram://outputs/new/found.json")
    assert _files.listdir("ram://outputs/new") == []
    _files.write_text("ram://outputs/new/found.json", "{}")
    with pytest.raises(InputError, match=r"^--output must be a file, got the folder ram://outputs/new$"):
        check_output("--output", "ram://outputs/new")
    _files.remove_folder("ram://outputs")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (
            "s3://bucket/log.csv",
            r"^s3://bucket[^ ]*: TensorFlow has no file system for s3:// here: install a tensorflow-io that is made "
            r"for TensorFlow [\d.]+, or take a local path or one of .*gs://.*$",
        ),
        (
            "sftp://host/log.csv",
            r"^sftp://host[^ ]*: TensorFlow has no file system for sftp:// here: take a local path or one of .*gs://",
        ),
        ("gs:/bucket/log.csv", r"^gs:/bucket[^ ]*: a URL has two slashes, as in gs://bucket"),
    ],
)
def test_a_file_system_that_is_not_there_is_a_line_with_what_to_do(path: str, said: str) -> None:
    run = Config(data=Data(source="csv", path=path, schema=SCHEMA))
    asked: list[Callable[[], Any]] = [
        lambda: _files.exists(path),
        lambda: write_json(path, {}),
        lambda: _files.listdir(path),
        lambda: open_source(run.data, "cache"),
        lambda: exports.identify("--a", path),
        lambda: check_output("--output", path),
    ]
    for ask in asked:
        with pytest.raises(InputError, match=said):
            ask()
    with pytest.raises(InputError, match=said), manifest.owned(_paths.parent(path)):
        pass
