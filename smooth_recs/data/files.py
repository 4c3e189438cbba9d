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
import tqdm

from smooth_recs.errors import InputError

_BLOCK = 1 << 22


def expand(path: str, field: str = "data.path", *, may_be_empty: bool = False) -> tuple[str, ...]:
    """The files that a file name, a folder or a glob stands for, or several of these separated by commas.

    Each part is sorted, numbers by their value: `day_2` comes before `day_10`. Files of a folder that start with a dot
    or an underscore are left out.

    Args:
      path: what the user gave.
      field: what errors call it.
      may_be_empty: a folder or a glob may have no file.

    Raises:
      InputError: nothing is named, a file or a folder is missing, or a folder or a glob has no file.
    """
    parts = [part.strip() for part in path.split(",") if part.strip()]
    if not parts:
        raise InputError(f"{field} must name a file, a folder or a glob, got {path!r}")
    files: list[str] = []
    for part in parts:
        if tf.io.gfile.isdir(part):
            names = [name for name in tf.io.gfile.listdir(part) if not name.startswith((".", "_"))]
            found = [f"{part.rstrip('/')}/{name}" for name in sorted(names, key=_by_number)]
            none = f"the folder has no file: {part}"
        elif tf.io.gfile.exists(part):
            files.append(part)
            continue
        elif any(character in part for character in "*?["):
            found = sorted(tf.io.gfile.glob(part), key=_by_number)
            none = f"no file matches {part}"
        else:
            raise InputError(f"{field}: no such file or folder: {part}")
        found = [file for file in found if not tf.io.gfile.isdir(file)]
        if not found and not may_be_empty:
            raise InputError(f"{field}: {none}")
        files += found
    return tuple(files)


def _by_number(name: str) -> list[tuple[int, str]]:
    return [(int(text), "") if text.isdecimal() else (-1, text) for text in re.split(r"(\d+)", name)]


def in_folder(path: str, *patterns: str) -> str:
    """The glob of the first pattern that some file in a folder matches; `path` itself where it is no folder.

    Raises:
      InputError: the folder has no file of any of the patterns.
    """
    if not tf.io.gfile.isdir(path):
        return path
    for pattern in patterns:
        if tf.io.gfile.glob(candidate := f"{path.rstrip('/')}/{pattern}"):
            return candidate
    raise InputError(f"data.path: the folder has no file {' or '.join(patterns)}: {path}")


def compression(file: str) -> str:
    """The name that `tf.data` has for the compression of a file, by the ending of its name."""
    return "GZIP" if file.endswith(".gz") else ""


def check_complete(file: str) -> None:
    """Raises InputError where a gzip file is damaged or cut short.

    Python reads it whole for that, because TensorFlow 2.21 reads a gzip file that is cut short as if it ended there.
    """
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


def progress(what: str, unit: str) -> tqdm.tqdm:
    """A counter that shows itself after two seconds and disappears when done; silent where stderr is no terminal."""
    return tqdm.tqdm(
        desc=what, unit=unit, unit_scale=True, delay=2.0, leave=False, disable=None, file=sys.stderr, mininterval=0.5
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
