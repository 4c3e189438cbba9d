"""Locks on a path that processes share: the kernel's, or at a URL a file that its owner writes anew while it lives."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import sys
import threading
import time
import uuid
from collections.abc import Iterator

from smooth_recs import _files, _paths

RENEWED_SECONDS = 10.0
_POLL_SECONDS = 0.1
LEFT_SECONDS = 45.0  # from which a lock at a URL that nobody writes anew counts as left behind by a killed process


class Lock:
    """A lock that is held.

    Attributes:
      descriptors: a process that inherits them holds the lock too; none at a URL.
    """

    descriptors: tuple[int, ...] = ()

    def say(self, holder: str) -> None:
        """Replaces what the file says for people."""


class _KernelLock(Lock):
    def __init__(self, descriptor: int) -> None:
        self.descriptors = (descriptor,)

    def say(self, holder: str) -> None:
        # In place: a file renamed over it would not have the lock.
        os.ftruncate(self.descriptors[0], 0)
        os.pwrite(self.descriptors[0], f"{holder}\n".encode(), 0)


@contextlib.contextmanager
def locked(path: str, holder: str) -> Iterator[Lock | None]:
    """The lock of a file, which is made for it and removed at the end; None where another process has it.

    Locally the lock is the kernel's: it is free again the moment its processes have ended, in whatever way. A file
    system without locks gives everybody the lock. At a URL the file holds a token, written anew every ten seconds: a
    lock whose owner was killed is free 45 s later, and two processes that begin within the same second may both have
    it, because TensorFlow's file systems cannot make a file only where there is none.

    Args:
      path: of the file.
      holder: what its first line says then, for people.
    """
    with (_renewed if _paths.is_url(path) else _of_kernel)(path, holder) as lock:
        yield lock


@contextlib.contextmanager
def waited_for(path: str) -> Iterator[None]:
    """Holds the lock of a file once no other process does."""
    while True:
        with locked(path, str(os.getpid())) as lock:
            if lock is not None:
                yield
                return
        time.sleep(_POLL_SECONDS)


@contextlib.contextmanager
def made_once(path: str) -> Iterator[bool]:
    """Whether the file is to be made within the block: it is not there, and no other process is making it.

    Of processes that ask at the same time one makes the file, and the others wait until it has done so. At a URL, where
    asking for a lock takes longer than most files, each makes it.
    """
    if _files.exists(path):
        yield False
        return
    _files.makedirs(_paths.parent(path))
    with contextlib.nullcontext() if _paths.is_url(path) else waited_for(f"{path}.lock"):
        yield not _files.exists(path)


def holder_of(path: str) -> str:
    """What the file says of who holds the lock; empty where it does not tell."""
    try:
        return _files.read_text(path, "replace").partition("\n")[0].strip()[:300]
    except OSError:
        return ""


@contextlib.contextmanager
def _of_kernel(path: str, holder: str) -> Iterator[Lock | None]:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            yield None
            return
        except OSError:
            pass
        if _is_file_of(descriptor, path):
            break
        os.close(descriptor)  # its owner has removed it since: another process may have the file that is there now
    try:
        lock = _KernelLock(descriptor)
        lock.say(holder)
        yield lock
    finally:
        if _is_file_of(descriptor, path):
            os.remove(path)
        os.close(descriptor)


def _is_file_of(descriptor: int, path: str) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    return False


@contextlib.contextmanager
def _renewed(path: str, holder: str) -> Iterator[Lock | None]:
    def content() -> str:
        try:
            return _files.read_text(path, "replace")
        except FileNotFoundError:
            return ""

    before, began = content(), time.monotonic()
    if before:
        print(f"{path}: waiting up to {LEFT_SECONDS:g} s, whether it is still written", file=sys.stderr, flush=True)
    while before and time.monotonic() - began < LEFT_SECONDS:
        time.sleep(RENEWED_SECONDS / 10)
        now = content()
        if now and now != before:
            yield None
            return
        before = now
    token, numbers, ended = uuid.uuid4().hex, itertools.count(), threading.Event()

    def write() -> None:
        _files.write_text(path, f"{holder}\n{token} {next(numbers)}\n")

    def renew() -> None:
        while not ended.wait(RENEWED_SECONDS):
            with contextlib.suppress(OSError):  # not reached for a moment: tried again
                if token in content():
                    write()

    write()
    time.sleep(RENEWED_SECONDS / 10)  # of processes that found none at the same time the last one has it
    if token not in content():
        yield None
        return
    thread = threading.Thread(target=renew, daemon=True, name="lock")
    thread.start()
    try:
        yield Lock()
    finally:
        ended.set()
        thread.join()
        with contextlib.suppress(FileNotFoundError):
            if token in content():
                _files.remove(path)
