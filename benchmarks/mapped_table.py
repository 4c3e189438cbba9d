"""What rows of an embedding table cost in a file that is mapped to memory, beside the same table in memory.

    python benchmarks/mapped_table.py --rows=100000000 --path=table.bin

NumPy alone: TensorFlow's variables cannot lie in such a file. A turn reads batches of rows and writes them back, as a
lookup and a sparse update do, from a table in memory, from a mapped one whose pages are in memory ("cached"), and from
a mapped one after the system has written its pages and forgotten them, so that a row comes from the disk ("cold"). Ids
follow Zipf's law, as in a click log, or are uniform. The table in memory is gone before the file is made.
"""

from __future__ import annotations

import argparse
import math
import mmap
import os
import statistics
import time
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]

LAWS = ("zipf", "uniform")
CHUNK = 1 << 20  # rows that are written at a time when a table is made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000_000)
    parser.add_argument("--dim", type=int, default=16)
    parser.add_argument("--ids", type=int, default=2_048 * 5, help="a batch")
    parser.add_argument("--batches", type=int, default=50, help="a turn")
    parser.add_argument("--cold_batches", type=int, default=5, help="a turn where rows come from the disk")
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--path", required=True, help="file that is written, and removed at the end")
    arguments = parser.parse_args()
    shape = arguments.rows, arguments.dim
    random = np.random.default_rng(1)
    drawn = {
        law: [
            [draw(law, arguments.rows, arguments.ids, random) for _ in range(arguments.batches)]
            for _ in range(arguments.turns)
        ]
        for law in LAWS
    }
    size = math.prod(shape) * 4 / 2**30
    print(f"table    {shape[0]:,} rows x {shape[1]}, {size:.2f} GiB; {arguments.ids:,} ids a batch", flush=True)
    table = np.empty(shape, np.float32)
    fill(table)
    in_memory = {law: [rows_a_second(table, turn) for turn in turns] for law, turns in drawn.items()}
    del table
    try:
        begun = time.perf_counter()
        fill(opened(arguments.path, shape, "w+"))
        forget(arguments.path)
        print(f"file     made and on the disk in {time.perf_counter() - begun:.1f} s")
        for law, turns in drawn.items():
            report(law, "in memory", in_memory[law], in_memory[law])
            mapped = opened(arguments.path, shape)
            mapped.sum(axis=0)  # reads all of it
            report(law, "mapped, cached", [rows_a_second(mapped, turn) for turn in turns], in_memory[law])
            del mapped
            cold = []
            for turn in turns:
                forget(arguments.path)
                mapped = opened(arguments.path, shape)
                mapped._mmap.madvise(mmap.MADV_RANDOM)  # type: ignore[attr-defined]  # else 32 pages a row are read
                cold.append(rows_a_second(mapped, turn[: arguments.cold_batches]))
                del mapped
            report(law, "mapped, cold", cold, in_memory[law])
    finally:
        if os.path.exists(arguments.path):
            os.remove(arguments.path)


def draw(law: str, rows: int, count: int, random: np.random.Generator) -> Ids:
    """Row numbers; the frequent ones of Zipf's law (exponent 1) lie scattered over the table."""
    if law == "uniform":
        return random.integers(0, rows, count)
    rank = np.exp(random.random(count) * math.log(rows)).astype(np.int64)
    return rank * 2_654_435_761 % rows


def opened(path: str, shape: tuple[int, int], mode: str = "r+") -> Rows:
    return np.memmap(path, np.float32, mode, shape=shape)  # type: ignore[call-overload, no-any-return]


def fill(table: Rows) -> None:
    for begin in range(0, len(table), CHUNK):
        table[begin : begin + CHUNK] = 0.01


def forget(path: str) -> None:
    """Has the system write the pages of a file, which is not mapped, and forget them (Linux)."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def rows_a_second(table: Rows, turn: Sequence[Ids]) -> float:
    """Reads the rows of each batch, and writes them back changed, each once."""
    begun = time.perf_counter()
    for ids in turn:
        rows = np.unique(ids)
        table[rows] = table[rows] * np.float32(0.999)
    return sum(map(len, turn)) / (time.perf_counter() - begun)


def report(law: str, where: str, found: Sequence[float], in_memory: Sequence[float]) -> None:
    middle = statistics.median(found)
    print(
        f"{law:8} {where:15} {middle:12,.0f} ids a second ({min(found):,.0f} to {max(found):,.0f}), "
        f"{middle / statistics.median(in_memory):.4f} of in memory",
        flush=True,
    )


if __name__ == "__main__":
    main()
