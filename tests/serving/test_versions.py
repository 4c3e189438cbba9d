"""Folders of versions, in which other things may lie."""

from __future__ import annotations

from pathlib import Path

from smooth_recs.artifacts import exports


def test_numbers_alone_are_versions_and_ten_follows_nine(tmp_path: Path) -> None:
    for name in ("9", "10", "\N{SUPERSCRIPT TWO}", "1a", ".writing-3"):
        (tmp_path / name).mkdir()
    assert exports.versions(str(tmp_path)) == [9, 10]
    assert exports.following(str(tmp_path)) == str(tmp_path / "11")
    assert exports.following(str(tmp_path / "new")) == str(tmp_path / "new" / "1")


def test_the_newest_is_an_export(tmp_path: Path) -> None:
    assert exports.newest_version(str(tmp_path)) is None
    for name in ("1", "2", "3"):
        (tmp_path / name).mkdir()
    (tmp_path / "2" / exports.SAVED_MODEL).touch()
    assert exports.newest_version(str(tmp_path)) == str(tmp_path / "2")
    assert exports.newest_version(str(tmp_path / "2")) == str(tmp_path / "2")
