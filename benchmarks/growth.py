"""How the cost of training grows: examples a second and memory against batch, table rows, features, and replicas.

    python benchmarks/growth.py --rounds=5 --output=docs/performance-growth

Our model with the whole recipe on Criteo-shaped rows; one thing is varied at a time. The points of a curve take turns.
Writes OUTPUT.csv and, where matplotlib is installed, OUTPUT.png.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import statistics
import sys
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from throughput_contenders.process import Took, take_turns, tell
from throughput_contenders.work import WORKS, Work

RECIPE = "ours:recipe"
FIELDS = (
    "varied", "value", "examples_per_second", "examples_per_processor_second", "memory_at_rest_mib", "peak_memory_mib",
)  # fmt: skip
CURVES: dict[str, Sequence[int]] = {
    "batch": (128, 512, 2048, 8192),
    "rows of a table": (1_000, 10_000, 100_000, 1_000_000),
    "categorical features": (2, 8, 26, 52),
    "siblings": (1, 2),
    "devices": (1, 2),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", choices=WORKS, default="criteo")
    parser.add_argument("--curves", nargs="+", choices=CURVES, default=list(CURVES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--examples", type=int, default=1 << 15, help="a turn")
    parser.add_argument("--output", required=True, help="path without the ending")
    arguments = parser.parse_args()
    rows = []
    for curve in arguments.curves:
        tell(f"{curve}:")
        work = WORKS[arguments.work]
        points = {str(value): contender(curve, value, work, arguments.examples) for value in CURVES[curve]}
        rows += [row(curve, value, turns) for value, turns in take_turns(points, arguments.rounds).items()]
        with open(f"{arguments.output}.csv", "w", newline="", encoding="utf-8") as file:
            write(rows, file)
    write(rows, sys.stdout)
    try:
        draw(rows, f"{arguments.output}.png")
    except ImportError as error:
        tell(f"no chart: {error}")


def contender(curve: str, value: int, work: Work, examples: int) -> tuple[str, Work]:
    """Who trains on what at this point of the curve, an execution a turn."""
    name, batch_size = RECIPE, work.batch_size
    if curve == "batch":
        batch_size = value
    elif curve == "rows of a table":
        work = dataclasses.replace(work, rows=(value,) * len(work.rows))
    elif curve == "categorical features":
        work = dataclasses.replace(work, rows=(work.rows[0],) * value)
    elif value == 2:
        name = {"siblings": "ours:pair", "devices": "ours:two_devices"}[curve]
    steps = max(examples // batch_size, 1)
    batches = min(steps, work.batches * work.batch_size // batch_size or 1)
    return name, dataclasses.replace(work, batch_size=batch_size, batches=batches, steps=steps, per_execution=steps)


def row(curve: str, value: str, turns: Sequence[Took]) -> dict[str, Any]:
    last = turns[-1]
    numbers = [
        round(statistics.median(took.done / took.wall for took in turns)),
        round(statistics.median(took.done / took.processor for took in turns)),
        round(last.memory_at_rest / 2**20),
        round(last.peak_memory / 2**20),
    ]
    return dict(zip(FIELDS, [curve, int(value), *numbers], strict=True))


def write(rows: Sequence[Mapping[str, Any]], file: TextIO) -> None:
    table = csv.DictWriter(file, FIELDS, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)


def draw(rows: Sequence[Mapping[str, Any]], path: str) -> None:
    """Speed above, memory below; a column a curve."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter

    from smooth_recs.reports import charts

    short = EngFormatter(sep="")
    curves = list(dict.fromkeys(row["varied"] for row in rows))
    figure = Figure(figsize=(2.6 * len(curves), 4.6), layout="constrained")
    axes = figure.subplots(2, len(curves), sharey="row", squeeze=False)
    grey, blue = (light for light, _ in charts.SERIES[:2])
    for column, curve in enumerate(curves):
        points = [row for row in rows if row["varied"] == curve]
        values, (speed, memory) = [point["value"] for point in points], axes[:, column]
        speed.plot(values, [point["examples_per_second"] for point in points], "o-", color=blue)
        memory.plot(values, [point["peak_memory_mib"] / 1024 for point in points], "o-", color=blue, label="peak")
        memory.plot(values, [point["memory_at_rest_mib"] / 1024 for point in points], "o-", color=grey, label="at rest")
        speed.set_title(curve)
        for axis in (speed, memory):
            axis.set_xscale("log")
            axis.set_xticks(values, [f"{value:,}" if value < 1e4 else short(value) for value in values])
            axis.minorticks_off()
            axis.grid(axis="y", color=charts.LINE)
    axes[0][0].set_ylabel("examples a second")
    axes[0][0].yaxis.set_major_formatter(EngFormatter(sep=""))
    axes[1][0].set_ylabel("memory, GiB")
    axes[1][0].legend(frameon=False, loc="upper left")
    for row, of in zip(axes, ("examples_per_second", "peak_memory_mib"), strict=True):
        most = max(point[of] for point in rows) / (1024 if of == "peak_memory_mib" else 1)
        row[0].set_ylim(0, 1.1 * most)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
