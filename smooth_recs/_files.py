"""Files written whole or not at all, and read back: JSON, arrays, and what processes hand to each other."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import io
import json
import math
import os
import pathlib
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from smooth_recs.errors import InputError

Arrays = Mapping[str, npt.NDArray[Any]]

_HIDDEN = (".writing-", ".removing-")  # prefixes of folders that hold nothing yet, or nothing any more
_LEFT_SECONDS = 60.0  # age from which an empty hidden folder that nobody holds counts as left behind

_ABOUT, _LENGTHS, _TEXTS = "about", "lengths", "texts"


@contextlib.contextmanager
def whole_file(path: str) -> Iterator[str]:
    """A path to write to, whose file takes the place of `path` at the end; after an error `path` stays as it was.

    The file has the same name, in a folder of its own. The folder of `path` is made where it does not exist. Other
    processes see the earlier file, or the whole new one.

    ```python
    with whole_file("runs/notes.txt") as beside, open(beside, "w") as file:
        file.write("done")
    ```
    """
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    # A temporary file has mode 600, and others could not read it: so an ordinary file in a temporary folder. That
    # folder is beside the file, because os.replace works within one file system only.
    with hidden_folder(os.path.dirname(path) or ".") as folder:
        beside = os.path.join(folder, os.path.basename(path))
        yield beside
        os.replace(beside, path)


@contextlib.contextmanager
def hidden_folder(parent: str, prefix: str = _HIDDEN[0]) -> Iterator[str]:
    """A folder within `parent` for what is not whole yet, removed at the end; its name begins with a dot.

    First it removes those that killed processes have left in `parent`.
    """
    remove_left_behind(parent)
    with tempfile.TemporaryDirectory(dir=parent, prefix=prefix) as folder:
        held = os.open(folder, os.O_RDONLY)
        try:
            with contextlib.suppress(OSError):  # a file system without locks: then its age alone keeps it
                fcntl.flock(held, fcntl.LOCK_SH | fcntl.LOCK_NB)
            yield folder
        finally:
            os.close(held)


def remove_left_behind(parent: str, seconds: float = _LEFT_SECONDS) -> None:
    """Removes the hidden folders in `parent` whose process has gone: no process holds their lock.

    Args:
      parent: need not exist.
      seconds: the age from which an empty one is old enough; a process locks a folder a moment after it made it, and
        puts something into it a moment after that.
    """
    for name in os.listdir(parent) if os.path.isdir(parent) else ():
        path = os.path.join(parent, name)
        with contextlib.suppress(OSError):  # gone meanwhile, not a folder, or locked: somebody is at work in it
            if name.startswith(_HIDDEN) and (os.listdir(path) or time.time() - os.stat(path).st_mtime >= seconds):
                descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(path, ignore_errors=True)
                finally:
                    os.close(descriptor)


@contextlib.contextmanager
def locked(path: str, holder: str) -> Iterator[int | None]:
    """The descriptor of a lock file, which is locked as long as it is open anywhere; None where another has the lock.

    The lock is the kernel's: it is free again the moment its processes have ended, in whatever way. A file system
    without locks gives everybody the lock.

    Args:
      path: of the file, which is made where it does not exist, and stays.
      holder: what the file says then, for people.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        except OSError:
            pass
        write_holder(descriptor, holder)
        yield descriptor
    finally:
        os.close(descriptor)


def write_holder(descriptor: int, holder: str) -> None:
    """Replaces the content of a lock file in place: a file renamed over it would not have the lock."""
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{holder}\n".encode(), 0)


def check_output(flag: str, path: str) -> None:
    """Makes the folder of a file that is to be written; raises InputError, naming `flag`, where that is impossible."""
    folder = os.path.dirname(os.path.abspath(path))
    try:
        os.makedirs(folder, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()  # can be written
    except OSError as error:
        raise InputError(f"{flag}: the folder {folder} cannot be used: {error.strerror}") from error
    if os.path.isdir(path):
        raise InputError(f"{flag} must be a file, got the folder {path}")


def write_json(path: str, content: Any) -> None:
    """Writes `content` to `path`, whole or not at all; NaN and infinities, which JSON lacks, become null."""
    with whole_file(path) as beside, open(beside, "w", encoding="utf-8") as file:
        json.dump(_finite(content), file, indent=2, allow_nan=False)
        file.write("\n")


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
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
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


# Arrays travel between processes as the content of a .npz file, without pickle, which would run what it is given. NumPy
# stores no texts of different lengths without it: theirs is one long text and a column of lengths.


def write_arrays(path: str, about: Any, groups: Sequence[Arrays]) -> None:
    """Writes groups of named arrays, and `about`: whatever JSON holds. Texts are bytes of any kind."""
    pathlib.Path(path).write_bytes(pack_arrays(about, groups))


def read_arrays(path: str) -> tuple[Any, list[dict[str, npt.NDArray[Any]]]]:
    """Reads what `write_arrays` was given."""
    return unpack_arrays(pathlib.Path(path).read_bytes())


def pack_arrays(about: Any, groups: Sequence[Arrays]) -> bytes:
    """The content of the file that `write_arrays` writes."""
    # Arrays are stored by number: np.savez would take one that is called `file` for an argument of its own.
    stored = {_ABOUT: np.array(json.dumps([about, [list(group) for group in groups]]))}
    for g, group in enumerate(groups):
        for a, array in enumerate(group.values()):
            if array.dtype.kind in "OS":
                texts = array.ravel().tolist()
                lengths = np.array([len(text) for text in texts], np.int64).reshape(array.shape)
                stored[f"{g}/{a}/{_LENGTHS}"] = lengths
                stored[f"{g}/{a}/{_TEXTS}"] = np.frombuffer(b"".join(texts), np.uint8)
            else:
                stored[f"{g}/{a}/"] = array
    content = io.BytesIO()
    np.savez(content, **stored)  # type: ignore[arg-type]  # its stub takes the names for those of options
    return content.getvalue()


def unpack_arrays(content: bytes) -> tuple[Any, list[dict[str, npt.NDArray[Any]]]]:
    """Takes apart what `pack_arrays` made."""
    with np.load(io.BytesIO(content), allow_pickle=False) as stored:
        about, names = json.loads(str(stored[_ABOUT]))
        groups: list[dict[str, npt.NDArray[Any]]] = []
        for g, group in enumerate(names):
            groups.append({})
            for a, name in enumerate(group):
                prefix = f"{g}/{a}/"
                if prefix in stored:
                    groups[g][name] = stored[prefix]
                    continue
                lengths, joined = stored[prefix + _LENGTHS], stored[prefix + _TEXTS].tobytes()
                ends = np.cumsum(lengths.ravel())
                texts = np.empty(lengths.size, object)
                texts[:] = [joined[end - length : end] for end, length in zip(ends, lengths.ravel(), strict=True)]
                groups[g][name] = texts.reshape(lengths.shape)
        return about, groups


@functools.cache
def _links() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="smooth_recs-")  # removed when the process ends


def literal_folder(folder: str) -> str:
    """A path of the folder that TensorFlow cannot take for a pattern: without *, ?, [ and backslashes.

    TensorFlow 2.21 looks for the files of a checkpoint by patterns. In a folder `run[1]` it finds none, and when it
    removes the old ones it removes those of `run1`. The path is a link that lasts as long as the process.
    """
    if not re.search(r"[*?\[\\]", os.path.abspath(folder)) or "://" in folder:
        return folder
    target = os.path.abspath(folder)
    link = os.path.join(_links().name, hashlib.sha256(os.fsencode(target)).hexdigest()[:16])
    with contextlib.suppress(FileExistsError):
        os.symlink(target, link)
    return link


def child_environment(**more: str) -> dict[str, str]:
    """Environment variables for a Python process that is to find the same modules as this one, and `more` of them."""
    # An empty entry of sys.path means the current folder, which may be another one in the new process.
    return {**os.environ, "PYTHONPATH": os.pathsep.join(folder or os.getcwd() for folder in sys.path), **more}
