"""What is trained on: the sizes of a model, and made-up rows for it. NumPy alone: every library shares it."""

from __future__ import annotations

import dataclasses
import json
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Turn = Callable[[int], int]  # trains for so many steps; returns of how many examples

SEED = 1
DENSE_RATE, EMBEDDING_RATE, INITIAL_ACCUMULATOR = 0.004, 0.05, 0.001


@dataclasses.dataclass(frozen=True)
class Work:
    """Sizes of the data and of the model.

    Attributes:
      rows: how many ids each categorical feature has.
      numeric: width of the one numeric feature; 0 = none.
      dim: width of an embedding.
      units: of the hidden layers.
      batch_size: examples a step.
      batches: how many different ones lie in memory; they are repeated.
      steps: a turn.
      per_execution: steps a call, of those contenders that can make several.
      siblings: models that `ours:siblings` trains side by side.
      parts: how many devices, workers or files there are, where a contender has several.
      folder: where the batches lie as a file, which all processes read; "" = each makes them up.
    """

    rows: tuple[int, ...]
    numeric: int
    dim: int
    units: tuple[int, ...]
    batch_size: int
    batches: int
    steps: int
    per_execution: int
    siblings: int = 1
    parts: int = 1
    folder: str = ""

    @property
    def names(self) -> list[str]:
        return [f"C{k + 1}" for k in range(len(self.rows))]

    @property
    def inputs(self) -> int:
        """Width of the first layer's input."""
        return len(self.rows) * self.dim + self.numeric

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Work:
        return cls(**{name: tuple(x) if isinstance(x, list) else x for name, x in json.loads(text).items()})


WORKS = {
    "criteo": Work((100_000,) * 26, 13, 16, (1024, 512, 256), 2048, batches=16, steps=32, per_execution=16),
    "small": Work(
        (20_000, 5_000, 1_000, 200, 50), 0, 16, (256, 128, 64, 32, 16), 256, batches=200, steps=800, per_execution=100
    ),
}


@dataclasses.dataclass(frozen=True)
class Rows:
    """Batches side by side: `ids` int64 [features, batches, batch], `numeric` [batches, batch, n], `label`."""

    ids: Any
    numeric: Any
    label: Any


def rows(work: Work, seed: int = SEED) -> Rows:
    """The batches, from the file if the work has a folder; whoever needs it first writes it."""
    if not work.folder:
        return made_up(work, seed)
    sizes = repr((work.rows, work.numeric, work.batches, work.batch_size))
    path = Path(work.folder) / f"{seed}-{zlib.crc32(sizes.encode()):08x}.npz"
    if not path.exists():
        written = path.with_suffix(f".{os.getpid()}.npz")
        np.savez(written, **vars(made_up(work, seed)))
        written.replace(path)
    with np.load(path) as arrays:
        return Rows(**arrays)


def made_up(work: Work, seed: int) -> Rows:
    """Ids by Zipf's law (exponent 1), the frequent ones scattered over the table as hashing scatters them."""
    random, shape = np.random.default_rng(seed), (work.batches, work.batch_size)
    ids = [np.exp(random.uniform(size=shape) * np.log(size)).astype(np.int64) * 7919 % size for size in work.rows]
    numeric = random.normal(size=(*shape, work.numeric)).astype(np.float32)
    return Rows(np.stack(ids), numeric, (random.uniform(size=shape) < 0.2).astype(np.float32))
