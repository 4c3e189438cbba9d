"""Files that are whole or not there, readable by others; outputs that cannot be written; arrays that come back."""

from __future__ import annotations

import json
import math
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from smooth_recs._files import check_output, hidden_folder, read_arrays, whole_file, write_arrays, write_json
from smooth_recs.errors import InputError


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
