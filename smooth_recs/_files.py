"""Files, local or at a URL such as gs://bucket/run: the one module that reads, lists, writes, renames and removes them.

Local paths go through `os`, and what is written takes its place by a rename: whole or not at all. URLs go through the
file systems of TensorFlow (`tf.io.gfile`), which is imported for them alone. What is written there is made on this
machine first. A file is then copied beside its place and renamed; a folder, which object stores cannot rename, is
copied file by file, the one that marks it as whole last. Errors are those of `os` on both.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import glob as local_glob
import importlib
import io
import json
import math
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from smooth_recs import _paths
from smooth_recs.errors import InputError

_HIDDEN = (".writing-", ".removing-")  # prefixes of what holds nothing yet, or nothing any more
_LEFT_SECONDS = 60.0  # age from which an empty hidden folder that nobody holds counts as left behind
_BLOCK = 1 << 20

_OF_TENSORFLOW_IO = ("s3", "hdfs", "viewfs", "har", "az", "http", "https")
# Codes of TensorFlow's errors, for which `os` has classes of their own.
_NUMBERS = {5: errno.ENOENT, 6: errno.EEXIST, 7: errno.EACCES, 16: errno.EACCES}


# What is there.


@contextlib.contextmanager
def _at(url: str) -> Iterator[Any]:
    """The functions of TensorFlow for the file system of `url`; their errors become those of `os`.

    Raises:
      InputError: TensorFlow has no such file system.
    """
    import tensorflow as tf  # only here: local paths do not wait for it

    scheme = url.partition("://")[0]
    if scheme not in tf.io.gfile.get_registered_schemes():
        with contextlib.suppress(ImportError):
            importlib.import_module("tensorflow_io")  # which brings further file systems
        if scheme not in tf.io.gfile.get_registered_schemes():
            there = ", ".join(f"{name}://" for name in sorted(tf.io.gfile.get_registered_schemes()) if name)
            remedy = f"take a local path or one of {there}"
            if scheme in _OF_TENSORFLOW_IO:
                remedy = f"install a tensorflow-io that is made for TensorFlow {tf.__version__}, or {remedy}"
            raise InputError(f"{url}: TensorFlow has no file system for {scheme}:// here: {remedy}")
    try:
        yield tf.io.gfile
    except tf.errors.OpError as error:
        number = _NUMBERS.get(error.error_code, errno.EIO)
        raise OSError(number, (error.message or os.strerror(number)).splitlines()[0], url) from error


def exists(path: str) -> bool:
    """Whether there is a file or a folder."""
    if not _paths.is_url(path):
        return os.path.exists(path)
    with _at(path) as gfile:
        return bool(gfile.exists(path))


def isdir(path: str) -> bool:
    """Whether there is a folder."""
    if not _paths.is_url(path):
        return os.path.isdir(path)
    with _at(path) as gfile:
        return bool(gfile.isdir(path))


def listdir(folder: str) -> list[str]:
    """The names in a folder, sorted; FileNotFoundError where there is none."""
    if not _paths.is_url(folder):
        return sorted(os.listdir(folder))
    with _at(folder) as gfile:
        return sorted(name.rstrip("/") for name in gfile.listdir(folder))


def glob(pattern: str) -> list[str]:
    """The files and folders that match a pattern, sorted."""
    if not _paths.is_url(pattern):
        return sorted(local_glob.glob(pattern))
    with _at(pattern) as gfile:
        return sorted(gfile.glob(pattern))


def files_in(folder: str) -> list[str]:
    """The paths of all files in a folder and in those within it, sorted; none where there is no folder."""
    if not _paths.is_url(folder):
        return sorted(os.path.join(here, name) for here, _, names in os.walk(folder) for name in names)
    with _at(folder) as gfile:
        return sorted(os.path.join(here, name) for here, _, names in gfile.walk(folder) for name in names)


def stamp(path: str) -> tuple[int, int]:
    """Bytes of a file and the time of its last change in nanoseconds; a file system without such a time says 0."""
    if not _paths.is_url(path):
        found = os.stat(path)
        return found.st_size, found.st_mtime_ns
    with _at(path) as gfile:
        there = gfile.stat(path)
        return int(there.length), int(there.mtime_nsec)


# Reading.


class _UrlFile(io.RawIOBase):
    """A file at a URL as the libraries of Python know files."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url
        with _at(url) as gfile:
            self._file = gfile.GFile(url, "rb")
            self._size = self._file.size()  # now: GFile itself opens at the first read
            self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._position = max(0, offset + (0, self._position, self._size)[whence])
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: Any) -> int:
        wanted = min(len(buffer), max(0, self._size - self._position))
        if not wanted:
            return 0
        with _at(self._url):
            self._file.seek(self._position)
            content = self._file.read(wanted)
        buffer[: len(content)] = content
        self._position += len(content)
        return len(content)

    def close(self) -> None:
        self._file.close()
        super().close()


def reading(path: str) -> BinaryIO:
    """A file, open to be read as bytes; FileNotFoundError where there is none."""
    return io.BufferedReader(_UrlFile(path), _BLOCK) if _paths.is_url(path) else open(path, "rb")


def source(path: str) -> str | BinaryIO:
    """What a library reads that takes local paths or open files."""
    return reading(path) if _paths.is_url(path) else path


def read_bytes(path: str) -> bytes:
    with reading(path) as file:
        return file.read()


def read_text(path: str, errors: str = "strict") -> str:
    """The content of a file in UTF-8; `errors` as of `bytes.decode`."""
    return read_bytes(path).decode("utf-8", errors)


def copy(path: str, local: str) -> str:
    """Copies a file or a folder to a local path, where nothing is yet; returns that."""
    if not _paths.is_url(path):
        (shutil.copytree if os.path.isdir(path) else shutil.copyfile)(path, local)
        return local
    for file in files_in(path) if isdir(path) else [path]:
        target = os.path.normpath(os.path.join(local, os.path.relpath(file, path)))
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with _at(file) as gfile:
            gfile.copy(file, target)
    return local


@contextlib.contextmanager
def local_copy(path: str) -> Iterator[str]:
    """A local path with the content of a file or a folder, for what takes no URL: `path` itself where it is local."""
    if not _paths.is_url(path):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="smooth_recs-") as folder:
        yield copy(path, os.path.join(folder, os.path.basename(path.rstrip("/")) or "copy"))


# Writing.


def makedirs(folder: str) -> None:
    """Makes a folder, and those that it is in, where they do not exist."""
    if not _paths.is_url(folder):
        os.makedirs(folder, exist_ok=True)
        return
    with _at(folder) as gfile:
        gfile.makedirs(folder)


@contextlib.contextmanager
def whole_file(path: str) -> Iterator[str]:
    """A local path to write to, whose file takes the place of `path` at the end; after an error that stays as it was.

    The file has the same name, in a folder of its own. The folder of `path` is made where it does not exist. Other
    processes see the earlier file, or the whole new one.

    ```python
    with whole_file("gs://bucket/chart.png") as beside:
        figure.savefig(beside)
    ```
    """
    makedirs(_paths.parent(path))
    # A temporary file has mode 600, and others could not read it: so an ordinary file in a temporary folder. That
    # folder is beside the file, because os.replace works within one file system only.
    with hidden_folder(_paths.parent(path)) as folder:
        beside = os.path.join(folder, os.path.basename(path))
        yield beside
        place(beside, path)


def write_bytes(path: str, content: bytes) -> None:
    """Writes a file, whole or not at all."""
    with whole_file(path) as beside, open(beside, "wb") as file:
        file.write(content)


def write_text(path: str, text: str) -> None:
    """Writes a file in UTF-8, whole or not at all; line ends stay as they are."""
    write_bytes(path, text.encode("utf-8"))


@contextlib.contextmanager
def hidden_folder(folder: str, prefix: str = _HIDDEN[0]) -> Iterator[str]:
    """A local folder for what is not whole yet, which `place` gives its place in `folder`; removed at the end.

    It is within `folder`, under a name that begins with a dot, or, where that is a URL, anywhere on this machine. First
    those are removed that killed processes have left in `folder`.
    """
    if _paths.is_url(folder):
        with tempfile.TemporaryDirectory(prefix="smooth_recs-") as elsewhere:
            yield elsewhere
        return
    remove_left_behind(folder)
    with tempfile.TemporaryDirectory(dir=folder, prefix=prefix) as hidden:
        held = os.open(hidden, os.O_RDONLY)
        try:
            with contextlib.suppress(OSError):  # a file system without locks: then its age alone keeps it
                fcntl.flock(held, fcntl.LOCK_SH | fcntl.LOCK_NB)
            yield hidden
        finally:
            os.close(held)


def place(beside: str, path: str, last: str = "") -> None:
    """Gives a file or a folder, whole in a `hidden_folder`, its place.

    Args:
      beside: where it is.
      path: where it goes: no folder may be there, a file is replaced.
      last: the file of a folder that tells that the folder is whole: at a URL, it is copied when all others are there.
    """
    if not _paths.is_url(path):
        os.replace(beside, path)
        return
    if os.path.isdir(beside):
        names = [os.path.relpath(file, beside) for file in files_in(beside)]
        for name in sorted(names, key=lambda name: (name == last, name)):
            target = os.path.join(path, name)
            with _at(target) as gfile:
                gfile.makedirs(_paths.parent(target))
                gfile.copy(os.path.join(beside, name), target, overwrite=True)
        return
    half = os.path.join(_paths.parent(path), f"{_HIDDEN[0]}{uuid.uuid4().hex}")
    with _at(path) as gfile:
        gfile.copy(beside, half)
        gfile.rename(half, path, overwrite=True)


def remove(path: str) -> None:
    """Removes a file; FileNotFoundError where there is none."""
    if not _paths.is_url(path):
        os.remove(path)
        return
    with _at(path) as gfile:
        gfile.remove(path)


def remove_folder(path: str, first: str = "") -> None:
    """Removes a folder: at once for others or, at a URL, the file `first` first, without which it is not whole."""
    if not _paths.is_url(path):
        with hidden_folder(_paths.parent(path), _HIDDEN[1]) as hidden:
            os.replace(path, os.path.join(hidden, os.path.basename(path)))
        return
    for file in sorted(files_in(path), key=lambda file: file != os.path.join(path, first)):
        remove(file)
    with contextlib.suppress(FileNotFoundError), _at(path) as gfile:  # of object stores, which have no folders
        gfile.rmtree(path)


def remove_empty(folder: str) -> None:
    """Removes a folder if nothing is in it; at a URL nothing, where an empty folder is none."""
    if not _paths.is_url(folder):
        with contextlib.suppress(OSError):
            os.rmdir(folder)


def remove_left_behind(folder: str, seconds: float = _LEFT_SECONDS) -> None:
    """Removes the hidden folders in `folder` whose process has gone: no process holds their lock.

    Args:
      folder: need not exist.
      seconds: the age from which an empty one is old enough; a process locks a folder a moment after it made it, and
        puts something into it a moment after that. At a URL, where neither locks nor times can be relied on,
        half-written files are removed where it is 0.
    """
    for name in listdir(folder) if isdir(folder) else ():
        path = os.path.join(folder, name)
        if not name.startswith(_HIDDEN):
            continue
        with contextlib.suppress(OSError):  # gone meanwhile, not a folder, or locked: somebody is at work in it
            if _paths.is_url(folder):
                if not seconds:
                    remove(path)
            elif not seconds or os.listdir(path) or abs(time.time() - os.stat(path).st_mtime) >= seconds:
                descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(path, ignore_errors=True)
                finally:
                    os.close(descriptor)


def share_folder(folder: str, link: str) -> None:
    """Makes both folders one, by a symbolic link; at a URL, where there are none, each stays a folder of its own."""
    makedirs(folder)
    makedirs(_paths.parent(link))
    if not _paths.is_url(link):
        with contextlib.suppress(FileExistsError):
            os.symlink(os.path.relpath(folder, _paths.parent(link)), link)


@contextlib.contextmanager
def appending(path: str) -> Iterator[BinaryIO]:
    """A local file whose content is added to the end of `path`: at once or, at a URL, when the block ends."""
    if not _paths.is_url(path):
        with open(path, "ab") as file:
            yield file
        return
    with tempfile.TemporaryFile() as added:
        try:
            yield added
        finally:
            added.seek(0)
            write_bytes(path, (read_bytes(path) if exists(path) else b"") + added.read())


def check_writable(folder: str) -> None:
    """Makes a folder where it does not exist; OSError where no file can be written there."""
    makedirs(folder)
    if _paths.is_url(folder):
        probe = os.path.join(folder, f"{_HIDDEN[0]}{uuid.uuid4().hex}")
        write_bytes(probe, b"")
        remove(probe)
    else:
        tempfile.TemporaryFile(dir=folder).close()


def check_output(flag: str, path: str) -> None:
    """Makes the folder of a file that is to be written; raises InputError, naming `flag`, where that is impossible."""
    folder = _paths.parent(_paths.absolute(path))
    try:
        check_writable(folder)
    except OSError as error:
        raise InputError(f"{flag}: the folder {folder} cannot be used: {error.strerror}") from error
    if isdir(path):
        raise InputError(f"{flag} must be a file, got the folder {path}")


# JSON.


def write_json(path: str, content: Any) -> None:
    """Writes `content` to `path`, whole or not at all; NaN and infinities, which JSON lacks, become null."""
    write_text(path, json.dumps(_finite(content), indent=2, allow_nan=False) + "\n")


def read_json(path: str, repair: str = "") -> Any:
    """The content of a JSON file.

    Args:
      path: of the file.
      repair: how to go on where it cannot be read, for the error.

    Raises:
      FileNotFoundError: it does not exist.
      InputError: it cannot be read, or is not the whole of a JSON file; the line names it.
    """
    try:
        return json.loads(read_text(path))
    except (FileNotFoundError, InputError):
        raise
    except (OSError, ValueError, RecursionError) as error:
        why = error.strerror if isinstance(error, OSError) else f"it is not JSON, or not all of it: {error}"
        raise InputError(f"{path} cannot be read ({why}){repair and ': '}{repair}") from error


def _finite(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {name: _finite(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
