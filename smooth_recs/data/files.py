"""One line on stderr for passes that take long.

tf.data without the tuner that keeps finished data sets waiting.

Which files a path stands for, and what they contain, as a fingerprint.
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
import tqdm

from smooth_recs.errors import InputError


def progress(what: str, unit: str) -> tqdm.tqdm:
    """A counter that shows itself after two seconds and disappears when done; silent where stderr is no terminal."""
    return tqdm.tqdm(
        desc=what, unit=unit, unit_scale=True, delay=2.0, leave=False, disable=None, file=sys.stderr, mininterval=0.5
    )


def untuned(dataset: Any) -> Any:
    """`dataset`, and all that is made of it, with the parallelism it starts with: as many calls as cores, at most 16.

    tf.data's tuner looks at a running iterator 10, 20, 40, ... ms after the last time, up to a minute, and an iterator
    that is deleted often waits for the next time (TensorFlow 2.21; benchmarks/end_of_epoch.py measures it): an epoch of
    three seconds ends after five.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


_BLOCK = 1 << 22


def expand(path: str, field: str = "data.path", *, may_be_empty: bool = False) -> tuple[str, ...]:
    """The files of a file name, a folder or a glob, or of several separated by commas.

    Each part is sorted, numbers by their value: `day_2` comes before `day_10`. Files of a folder that start with a dot
    or an underscore are left out.

    Raises:
      InputError: nothing is named, a file or a folder is missing, or a folder or a glob has no file, unless it may be
        empty.
    """
    parts = [part.strip() for part in path.split(",") if part.strip()]
    if not parts:
        raise InputError(f"{field} must name a file, a folder or a glob, got {path!r}")
    return tuple(file for part in parts for file in _expand_one(part, field, may_be_empty))


def _expand_one(part: str, field: str, may_be_empty: bool) -> list[str]:
    if tf.io.gfile.isdir(part):
        names = sorted((name for name in tf.io.gfile.listdir(part) if not name.startswith((".", "_"))), key=_by_number)
        files = [name for name in (f"{part.rstrip('/')}/{name}" for name in names) if not tf.io.gfile.isdir(name)]
        if not files and not may_be_empty:
            raise InputError(f"{field}: the folder has no file: {part}")
        return files
    if tf.io.gfile.exists(part):
        return [part]
    if not any(character in part for character in "*?["):
        raise InputError(f"{field}: no such file or folder: {part}")
    files = sorted((file for file in tf.io.gfile.glob(part) if not tf.io.gfile.isdir(file)), key=_by_number)
    if not files and not may_be_empty:
        raise InputError(f"{field}: no file matches {part}")
    return files


def _by_number(name: str) -> list[tuple[int, str]]:
    return [(int(text), "") if text.isdecimal() else (-1, text) for text in re.split(r"(\d+)", name)]


def compression(file: str) -> str:
    """What tf.data calls the compression of a file of that name."""
    return "GZIP" if file.endswith(".gz") else ""


def check_complete(file: str) -> None:
    """Raises InputError where a gzip file is damaged or cut short; TensorFlow reads the latter as if it ended there."""
    if not compression(file):
        return
    with tf.io.gfile.GFile(file, "rb") as compressed, gzip.GzipFile(fileobj=compressed) as stream:
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
            with tf.io.gfile.GFile(file, "rb") as stream:
                while block := stream.read(_BLOCK):
                    content.update(block)
                    bar.update(len(block))
            digest.update(content.digest())
    return digest.hexdigest()[:32]


def in_folder(path: str, *patterns: str) -> str:
    """Where `path` is a folder: the glob of the first pattern that some file in it matches; else `path` itself.

    Raises:
      InputError: the folder has no file of any of the patterns.
    """
    if not tf.io.gfile.isdir(path):
        return path
    for pattern in patterns:
        if tf.io.gfile.glob(candidate := f"{path.rstrip('/')}/{pattern}"):
            return candidate
    raise InputError(f"data.path: the folder has no file {' or '.join(patterns)}: {path}")
