"""Paths of files, local or at a URL such as gs://bucket/run: what they mean; `_files` has what is done with them."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import re
import tempfile

from smooth_recs.errors import InputError

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_ONE_SLASH = re.compile(r"(gs|s3|hdfs|viewfs|az|ram):/(?!/)")
_PATTERN = re.compile(r"[*?\[\\]")


def is_url(path: str) -> bool:
    """Whether `path` is a URL of one of TensorFlow's file systems; InputError where it is one with one slash.

    >>> is_url("gs://bucket/run"), is_url("runs/demo")
    (True, False)
    """
    text = os.fspath(path)
    if _ONE_SLASH.match(text):
        raise InputError(f"{text}: a URL has two slashes, as in {text.replace(':/', '://', 1)}")
    return bool(_URL.match(text))


def parent(path: str) -> str:
    """The folder that `path` is in.

    >>> parent("runs/demo/metrics.json"), parent("notes.txt"), parent("ram://notes.txt")
    ('runs/demo', '.', 'ram://')
    """
    if is_url(path):
        root, _, rest = path.partition("://")
        return f"{root}://{rest.rstrip('/').rpartition('/')[0]}"
    return os.path.dirname(path) or "."


def absolute(path: str) -> str:
    """The path that means the same in every folder; a URL as it is."""
    return path if is_url(path) else os.path.abspath(path)


def resolved(path: str) -> str:
    """The absolute path without symbolic links; a URL as it is."""
    return path if is_url(path) else os.path.realpath(path)


def normalized(path: str) -> str:
    """The path without `.` and `..`.

    >>> normalized("runs/./demo/"), normalized("gs://bucket/run/.")
    ('runs/demo', 'gs://bucket/run')
    """
    if not is_url(path):
        return os.path.normpath(path)
    root, _, rest = path.partition("://")
    return f"{root}://{os.path.normpath(rest)}"


@functools.cache
def _links() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="smooth_recs-")  # removed when the process ends


def literal_folder(folder: str) -> str:
    """A path of the folder that TensorFlow cannot take for a pattern: without *, ?, [ and backslashes.

    TensorFlow 2.21 looks for the files of a checkpoint by patterns. In a folder `run[1]` it finds none, and when it
    removes the old ones it removes those of `run1`. The path is a link that lasts as long as the process.

    Raises:
      InputError: it is a URL with one of these, which has no links.
    """
    target = absolute(folder)
    if not _PATTERN.search(target):
        return folder
    if is_url(folder):
        raise InputError(f"{folder}: a URL of checkpoints or exports must be without *, ?, [ and backslashes")
    link = os.path.join(_links().name, hashlib.sha256(os.fsencode(target)).hexdigest()[:16])
    with contextlib.suppress(FileExistsError):
        os.symlink(target, link)
    return link
