"""Optional packages: which extra of `pip install smooth-recs[EXTRA]` brings what, and what is said where it is missing.

Training, measuring and exporting need none of them. A module that does imports the package like this, so that whoever
lacks it reads one line that says what to install:

    with extras.needed("report"):
        import matplotlib
"""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator
from typing import NamedTuple

from smooth_recs.errors import InputError


class Extra(NamedTuple):
    """An extra of setup.py.

    Attributes:
      module: what its package is imported as.
      purpose: what needs it, the beginning of a sentence.
    """

    module: str
    purpose: str


EXTRAS = {
    "report": Extra("matplotlib", "reports and figures need"),
    "parquet": Extra("pyarrow", "Parquet files and files of predictions need"),
    "serving": Extra("tensorflow_serving", "requests to TensorFlow Serving need"),
}


def installed(extra: str) -> bool:
    """Whether the package of the extra can be imported; nothing is loaded."""
    return importlib.util.find_spec(EXTRAS[extra].module) is not None


def remedy(extra: str) -> str:
    """What to type.

    >>> remedy("report")
    'pip install smooth-recs[report]'
    """
    return f"pip install smooth-recs[{extra}]"


def require(extra: str) -> None:
    """Raises InputError unless the package of the extra is installed."""
    if not installed(extra):
        module, purpose = EXTRAS[extra]
        raise InputError(f"{purpose} {module}, which is not installed: {remedy(extra)}")


@contextlib.contextmanager
def needed(extra: str) -> Iterator[None]:
    """Around the import of an optional package.

    Raises:
      InputError: the package is not installed.
    """
    require(extra)
    yield
