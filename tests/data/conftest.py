"""Shared by the tests of the data package: real data where it lies, small chunks, rows as NumPy arrays."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from smooth_recs.data import held_rows, raw_rows
from smooth_recs.data.readers import parquet

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def real_data() -> Callable[[str], str]:
    """The path of a real data set, or the test is skipped."""
    folder = Path(os.environ.get("SMOOTH_RECS_DATA", REPOSITORY.parent / "shared" / "data"))

    def find(name: str) -> str:
        if not (folder / name).is_dir():
            pytest.skip(f"no folder {name} in {folder} (set SMOOTH_RECS_DATA)")
        return str(folder / name)

    return find


@pytest.fixture(scope="module")
def small_chunks() -> Iterator[int]:
    """Chunks of 7 rows, so that small files have many."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (raw_rows, parquet, held_rows):
            patch.setattr(module, "CHUNK_ROWS", 7)
        yield 7


@pytest.fixture(scope="session")
def gather() -> Callable[[Any], Any]:
    """All chunks of a dataset as one, in NumPy."""

    def concatenated(dataset: Any) -> Any:
        chunks = list(dataset.as_numpy_iterator())
        return tf.nest.map_structure(lambda *pieces: np.concatenate([np.atleast_1d(p) for p in pieces]), *chunks)

    return concatenated
