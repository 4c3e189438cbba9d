"""What paths mean, local and at URLs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from smooth_recs import _paths
from smooth_recs.errors import InputError


@pytest.mark.parametrize(
    ("path", "parent", "normalized"),
    [
        ("runs/demo/", "runs/demo", "runs/demo"),
        ("gs://bucket/run/metrics.json", "gs://bucket/run", "gs://bucket/run/metrics.json"),
        ("gs://bucket/run/../other/.", "gs://bucket/run/../other", "gs://bucket/other"),
        ("ram://notes.txt", "ram://", "ram://notes.txt"),
    ],
)
def test_paths(path: str, parent: str, normalized: str) -> None:
    assert _paths.parent(path) == parent
    assert _paths.normalized(path) == normalized


def test_patterns_in_the_url_of_a_run_are_refused() -> None:
    with pytest.raises(InputError, match=r"^gs://bucket/run\[1\]: a URL of checkpoints or exports must be without \*"):
        _paths.literal_folder("gs://bucket/run[1]")


def test_a_folder_with_a_pattern_in_its_name_is_reached_by_a_link(tmp_path: Path) -> None:
    for name in ("run[1]", "a*b", "a?b", "a\\b"):
        folder = tmp_path / name
        folder.mkdir()
        link = _paths.literal_folder(str(folder))
        assert os.path.samefile(link, folder)
        assert not set(link) & set("*?[\\")
        assert _paths.literal_folder(str(folder)) == link
    assert _paths.literal_folder(str(tmp_path)) == str(tmp_path)


def test_what_is_local_is_made_absolute_and_a_url_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to("there")
    assert _paths.absolute("link") == str(tmp_path / "link")
    assert _paths.resolved("link") == os.path.realpath(tmp_path / "there")
    assert _paths.absolute("gs://bucket/link") == _paths.resolved("gs://bucket/link") == "gs://bucket/link"
