"""Files of data: which ones a path stands for, whether they are whole, and a fingerprint of their contents.

Two small things that every pass over them needs are here as well: a progress line, and `tf.data` without its tuner.
"""

from __future__ import annotations

import gzip
import hashlib
import re
import sys
import zlib
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from smooth_recs import _files
from smooth_recs._status import Bar
from smooth_recs.errors import InputError

_BLOCK = 1 << 22
# The first bytes of compressed files that `tf.data` cannot read.
_OTHERS = {
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PK\x03\x04": "zip",
    b"\x04\x22\x4d\x18": "lz4",
}
_GZIP = b"\x1f\x8b"


def expand(path: str, field: str = "data.path", *, may_be_empty: bool = False) -> tuple[str, ...]:
    """The files that a file name, a folder or a glob stands for, or several of these separated by commas.

    Each part is sorted, numbers by their value: `day_2` comes before `day_10`. Files and folders in a folder whose name
    starts with a dot or an underscore are left out. Folders in it are read as well if they are named `key=value`, or if
    there is no file beside them. A name may hold commas if there is such a file.

    Args:
      path: what the user gave.
      field: what errors call it.
      may_be_empty: a folder or a glob may have no file.

    Raises:
      InputError: nothing is named, a file or a folder is missing, or a folder or a glob has no file.
    """
    parts = _parts(path)
    if not parts:
        raise InputError(f"{field} must name a file, a folder or a glob, got {path!r}")
    files: list[str] = []
    for part in parts:
        if _files.isdir(part):
            found = _in_folder(part)
            none = f"the folder has no file: {part}"
        elif _files.exists(part):
            files.append(part)
            continue
        elif any(character in part for character in "*?["):
            matching = sorted(_files.glob(part), key=_by_number)
            found = [file for file in matching if not _files.isdir(file)]
            if not found:  # folders of files, such as the days of a log
                found = [file for folder in matching for file in _in_folder(folder)]
            none = f"no file matches {part}"
        else:
            raise InputError(f"{field}: no such file or folder: {part}")
        if not found and not may_be_empty:
            raise InputError(f"{field}: {none}")
        files += found
    return tuple(files)


def _parts(path: str) -> list[str]:
    """What stands between the commas, some of which may belong to the name of a file or a folder."""
    texts, parts = path.split(","), []
    while texts:
        for count in range(len(texts), 0, -1):
            name = ",".join(texts[:count]).strip()
            if count == 1 or (name and _files.exists(name)):
                break
        if name:
            parts.append(name)
        texts = texts[count:]
    return parts


def _in_folder(folder: str) -> list[str]:
    """The files in a folder, those of folders in it as `expand` says."""
    names = _files.listdir(folder)
    paths = [
        f"{folder.rstrip('/')}/{name}" for name in sorted(names, key=_by_number) if not name.startswith((".", "_"))
    ]
    folders = [path for path in paths if _files.isdir(path)]
    alone = len(folders) == len(paths)
    found = []
    for path in paths:
        if path not in folders:
            found.append(path)
        elif alone or "=" in path.rpartition("/")[2]:
            found += _in_folder(path)
    return found


def with_content(files: Sequence[str], field: str = "data.path") -> tuple[str, ...]:
    """The files that are not empty; a line names the others.

    Raises:
      InputError: all are empty, or one cannot be read.
    """

    def is_empty(file: str) -> bool:
        try:
            with _files.reading(file) as stream:
                if not compression(file):
                    return not stream.read(1)
                try:
                    return not gzip.GzipFile(fileobj=stream).read(1)
                except (OSError, EOFError, zlib.error):
                    return False  # a damaged file is not empty: whoever reads it says what is wrong
        except OSError as error:
            raise InputError(f"{field}: {file} cannot be read: {error.strerror or error}") from error

    empty = [file for file in files if is_empty(file)]
    if len(empty) == len(files):
        raise InputError(f"{field}: the files hold nothing: {_listed(empty)}")
    if empty:
        print(f"{field}: empty files are left out: {_listed(empty)}", flush=True)
    return tuple(file for file in files if file not in empty)


def _listed(files: Sequence[str]) -> str:
    """The first few names of many."""
    return ", ".join(files[:3]) + f" and {len(files) - 3:,} more" * (len(files) > 3)


def _by_number(name: str) -> list[tuple[int, str]]:
    return [(int(text), "") if text.isdecimal() else (-1, text) for text in re.split(r"(\d+)", name)]


def in_folder(path: str, *patterns: str) -> str:
    """The glob of the first pattern that some file in a folder matches; `path` itself where it is no folder.

    Raises:
      InputError: the folder has no file of any of the patterns.
    """
    if not _files.isdir(path):
        return path
    for pattern in patterns:
        if _files.glob(candidate := f"{path.rstrip('/')}/{pattern}"):
            return candidate
    raise InputError(f"data.path: the folder has no file {' or '.join(patterns)}: {path}")


def compression(file: str) -> str:
    """The name that `tf.data` has for the compression of a file, by its first bytes: gzip, or none.

    Raises:
      InputError: the file is compressed in another way.
    """
    try:
        with _files.reading(file) as stream:
            first = stream.read(8)
    except OSError:
        return ""  # it has gone, or cannot be read: whoever reads it says so
    for start, name in _OTHERS.items():
        if first.startswith(start):
            raise InputError(f"data.path: {file} must be plain or compressed by gzip, got {name}")
    return "GZIP" if first.startswith(_GZIP) else ""


def check_complete(file: str) -> None:
    """Raises InputError where a gzip file is damaged or cut short.

    Python reads it whole for that, because TensorFlow 2.21 reads a gzip file that is cut short as if it ended there.
    """
    if not compression(file):
        return
    with _files.reading(file) as compressed, gzip.GzipFile(fileobj=compressed) as stream:
        try:
            while stream.read(_BLOCK):
                pass
        except (OSError, EOFError, zlib.error) as error:
            raise InputError(f"data.path: {file} is no whole gzip file: {error}") from error


def fingerprint(files: Sequence[str], *meaning: object) -> str:
    """Hexadecimal digest of the files' contents, in order, and of whatever else gives them their meaning.

    Names and places do not count: a copy of the data has the same fingerprint.
    """
    digest = hashlib.sha256(repr(meaning).encode())
    with progress("checking files", "B") as bar:
        for file in files:
            content = hashlib.sha256()
            with _files.reading(file) as stream:
                while block := stream.read(_BLOCK):
                    content.update(block)
                    bar.update(len(block))
            digest.update(content.digest())
    return digest.hexdigest()[:32]


def progress(what: str, unit: str, total: int | None = None) -> Bar:
    """A counter that shows itself after two seconds and disappears when done; silent where stderr is no terminal.

    With a `total` it is a bar.
    """
    return Bar(
        desc=what,
        unit=unit,
        total=total,
        unit_scale=True,
        delay=2.0,
        leave=False,
        disable=None,
        file=sys.stderr,
        mininterval=0.5,
    )


def untuned(dataset: Any) -> Any:
    """The dataset, and all that is made of it, without tuning: as many parallel calls as cores, at most 16.

    The tuner of `tf.data` looks at a running iterator 10, 20, 40, ... ms after the last time, up to a minute, and an
    iterator that is deleted often waits for the next time: an epoch of three seconds ends after five (TensorFlow 2.21;
    benchmarks/end_of_epoch.py measures it).
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)
