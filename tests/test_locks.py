"""Locks: one holder at a time, locally by the kernel, at a URL as long as somebody writes the file anew."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path

import pytest

from smooth_recs import _files, _locks
from smooth_recs.errors import InputError
from smooth_recs.workdir import manifest

URL = "ram://locks/run.lock"


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(_locks, "RENEWED_SECONDS", 0.1)
    monkeypatch.setattr(_locks, "LEFT_SECONDS", 0.6)
    yield
    _files.remove_folder("ram://locks")


def test_at_a_url_the_second_is_told_who_holds_it(fast: None) -> None:
    with _locks.locked(URL, "the first") as lock:
        assert lock is not None
        assert lock.descriptors == ()
        began = time.monotonic()
        with _locks.locked(URL, "the second") as second:
            assert second is None
        assert time.monotonic() - began < 0.6  # it has seen the file written anew
        assert _locks.holder_of(URL) == "the first"
        with pytest.raises(InputError, match=r"^workdir ram://locks is in use by the first: wait for it, or take "):
            manifest.owned("ram://locks").__enter__()
    assert not _files.exists(URL)
    with _locks.locked(URL, "the third") as third:
        assert third is not None


def test_at_a_url_a_lock_that_nobody_writes_is_left_behind(fast: None, capsys: pytest.CaptureFixture[str]) -> None:
    _files.write_text(URL, "a killed process\n1234 7\n")
    began = time.monotonic()
    with _locks.locked(URL, "the next") as lock:
        assert lock is not None
        assert time.monotonic() - began >= 0.6
        assert _locks.holder_of(URL) == "the next"
    assert capsys.readouterr().err == f"{URL}: waiting up to 0.6 s, whether it is still written\n"


def test_at_a_url_the_last_of_two_that_begin_together_has_it(fast: None, monkeypatch: pytest.MonkeyPatch) -> None:
    write = _files.write_text

    def overtaken(path: str, text: str) -> None:
        write(path, text)
        write(path, "the other\n1234 0\n")

    monkeypatch.setattr(_files, "write_text", overtaken)
    with _locks.locked(URL, "the first") as lock:
        assert lock is None
    assert _locks.holder_of(URL) == "the other"


def test_one_that_is_waited_for_is_had_in_the_end(fast: None, tmp_path: Path) -> None:
    for path in (URL, str(tmp_path / "results.lock")):
        for _ in range(2):
            with _locks.waited_for(path), _locks.locked(path, "another") as second:
                assert second is None


def test_no_lock_remains(tmp_path: Path) -> None:
    def refused() -> None:
        with manifest.owned(str(tmp_path)):
            assert os.listdir(tmp_path) == ["run.lock"]
            raise InputError("wrong data")

    with pytest.raises(InputError, match="wrong data"):
        refused()
    assert os.listdir(tmp_path) == []


def test_a_lock_on_a_file_that_its_owner_has_just_removed_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, flock, opened = tmp_path / "run.lock", fcntl.flock, []

    def remove_first(descriptor: int, operation: int) -> None:
        opened.append(descriptor)
        if len(opened) == 1:  # between `open` and `flock` the owner ends, and a third process makes the file anew
            path.unlink()
            path.touch()
        flock(descriptor, operation)

    monkeypatch.setattr(_locks.fcntl, "flock", remove_first)
    with _locks.locked(str(path), "this") as lock:
        assert lock is not None
        assert len(opened) == 2
        assert os.path.samestat(os.fstat(lock.descriptors[0]), path.stat())
        assert path.read_text() == "this\n"


def test_of_those_who_ask_at_the_same_time_one_makes_a_file_and_the_others_find_it(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "made"
    asking = threading.Barrier(4)
    makers: list[int] = []

    def ask() -> None:
        asking.wait()
        with _locks.made_once(str(path)) as new:
            if new:
                makers.append(threading.get_ident())
                time.sleep(0.3)
                path.write_text("made")
        assert path.read_text() == "made"

    with futures.ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(ask) for _ in range(4)]:
            done.result()
    assert len(makers) == 1
    assert [file.name for file in path.parent.iterdir()] == ["made"]


def test_where_the_maker_fails_the_next_one_makes_the_file(tmp_path: Path) -> None:
    path = tmp_path / "made"
    with pytest.raises(ZeroDivisionError), _locks.made_once(str(path)) as new:
        assert 1 / (not new)
    with _locks.made_once(str(path)) as new:
        assert new
        path.write_text("made")
    with _locks.made_once(str(path)) as new:
        assert not new
