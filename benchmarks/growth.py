"""How the cost of training grows: examples a second and memory against batch, rows, features, widths, siblings, ...

    python benchmarks/growth.py --rounds=5 --output=docs/performance-growth

Our model with the whole recipe on Criteo-shaped rows; one thing is varied at a time. The points of a curve take turns.
Exponents are slopes of log(seconds an example) against log(value), by least squares in each round; their interval (95%,
Student's t) is over the rounds. A curve bends where the slopes on both sides of a point differ most, if the interval of
this difference leaves out zero. Writes OUTPUT.csv and, where matplotlib is installed, OUTPUT.png.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import os
import statistics
import sys
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

import numpy as np
from scipy import stats
from throughput_contenders.process import Measured, Took, take_turns, tell
from throughput_contenders.work import WORKS, Work

FIELDS = (
    "varied", "value", "examples_per_second", "examples_per_processor_second", "memory_at_rest_mib", "peak_memory_mib",
)  # fmt: skip
CURVES: dict[str, Sequence[int]] = {
    "batch": (128, 512, 2048, 8192),
    "rows of a table": (1_000, 10_000, 100_000, 1_000_000),
    "categorical features": (2, 8, 26, 52),
    "first layer": (64, 256, 1024, 2048),
    "siblings": (1, 2, 3, 4),
    "devices": (1, 2, 4),
    "workers": (1, 2, 4),
    "files": (1, 4, 16),
}
CONTENDERS = {
    "siblings": "ours:siblings", "devices": "ours:devices", "workers": "in_step:workers", "files": "files:from_files",
}  # fmt: skip
BENT = 0.05  # a smaller change of the exponent is not called a bend


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", choices=WORKS, default="criteo")
    parser.add_argument("--curves", nargs="+", choices=CURVES, default=list(CURVES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--examples", type=int, default=1 << 15, help="a turn")
    parser.add_argument("--output", required=True, help="path without the ending")
    arguments = parser.parse_args()
    rows, lines = [], []
    for curve in arguments.curves:
        tell(f"{curve}, load {os.getloadavg()[0]:.1f}:")
        work = WORKS[arguments.work]
        points = {str(value): contender(curve, value, work, arguments.examples) for value in CURVES[curve]}
        found = take_turns(points, arguments.rounds)
        rows += [row(curve, value, each.turns) for value, each in found.items()]
        if len(found) > 1:
            lines.append(growth_line(curve, found))
            tell(lines[-1])
        with open(f"{arguments.output}.csv", "w", newline="", encoding="utf-8") as file:
            write(rows, file)
    write(rows, sys.stdout)
    print("\n| varied | exponent | by processor time | between neighbours | bends |\n| --- | --- | --- | --- | --- |")
    print("\n".join(lines))
    try:
        draw(rows, f"{arguments.output}.png")
    except ImportError as error:
        tell(f"no chart: {error}")


def contender(curve: str, value: int, work: Work, examples: int) -> tuple[str, Work]:
    """Who trains on what at this point of the curve, an execution a turn."""
    batch_size = work.batch_size
    if curve == "batch":
        batch_size = value
    elif curve == "rows of a table":
        work = dataclasses.replace(work, rows=(value,) * len(work.rows))
    elif curve == "categorical features":
        work = dataclasses.replace(work, rows=(work.rows[0],) * value)
    elif curve == "first layer":
        work = dataclasses.replace(work, units=tuple(value * units // work.units[0] for units in work.units))
    elif curve == "siblings":
        work = dataclasses.replace(work, siblings=value)
    else:
        work = dataclasses.replace(work, parts=value)
    steps = max(examples // batch_size, 1)
    batches = min(steps, work.batches * work.batch_size // batch_size or 1)
    per_execution = 1 if curve == "workers" else min(steps, 16)
    sizes = {"batch_size": batch_size, "batches": batches, "steps": steps, "per_execution": per_execution}
    return CONTENDERS.get(curve, "ours:recipe"), dataclasses.replace(work, **sizes)


def growth_line(curve: str, found: Mapping[str, Measured]) -> str:
    """Exponents by both clocks, and where the curve by processor time bends."""
    values = [int(value) for value in found]
    wall, processor = (
        np.array([[getattr(took, clock) / took.done for took in each.turns] for each in found.values()])
        for clock in ("wall", "processor")
    )
    local = " ".join(f"{slope:.2f}" for slope in np.median(local_exponents(values, processor), axis=1))
    return (
        f"| {curve} | {exponent(values, wall)} | {exponent(values, processor)} | {local} | {bend(values, processor)} |"
    )


def exponent(values: Sequence[int], seconds: Any) -> str:
    """Slope of log(seconds) [values, rounds] against log(value), with its interval over the rounds."""
    slopes = np.polyfit(np.log(values), np.log(seconds), 1)[0]
    low, high = interval(slopes)
    return f"{np.mean(slopes):.2f} ({low:.2f} to {high:.2f})"


def bend(values: Sequence[int], seconds: Any) -> str:
    """The inner point at which the exponent changes most, from what to what."""
    slopes = local_exponents(values, seconds)
    changes = np.diff(slopes, axis=0)
    if not len(changes):
        return "two points"
    at = int(np.argmax(np.abs(changes.mean(axis=1))))
    low, high = interval(changes[at])
    if abs(changes[at].mean()) < BENT or low <= 0 <= high or np.isnan(low):
        return "nowhere"
    return f"at {values[at + 1]:,}: {slopes[at].mean():.2f} to {slopes[at + 1].mean():.2f}"


def local_exponents(values: Sequence[int], seconds: Any) -> Any:
    """Between neighbouring values, in each round."""
    return np.diff(np.log(seconds), axis=0) / np.diff(np.log(values))[:, None]


def interval(samples: Any) -> tuple[float, float]:
    """Of their mean, 95%; not a number for a single one."""
    if len(samples) < 2:
        return float("nan"), float("nan")
    half = stats.t.ppf(0.975, len(samples) - 1) * np.std(samples, ddof=1) / np.sqrt(len(samples))
    return float(np.mean(samples) - half), float(np.mean(samples) + half)


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
    figure = Figure(figsize=(2.1 * len(curves), 4.6), layout="constrained")
    axes = figure.subplots(2, len(curves), sharey="row", squeeze=False)
    grey, blue = (light for light, _ in charts.SERIES[:2])
    for column, curve in enumerate(curves):
        points = [row for row in rows if row["varied"] == curve]
        values, (speed, memory) = [point["value"] for point in points], axes[:, column]
        speed.plot(values, [point["examples_per_processor_second"] for point in points], "o-", color=blue)
        memory.plot(values, [point["peak_memory_mib"] / 1024 for point in points], "o-", color=blue, label="peak")
        memory.plot(values, [point["memory_at_rest_mib"] / 1024 for point in points], "o-", color=grey, label="at rest")
        speed.set_title(curve)
        for axis in (speed, memory):
            axis.set_xscale("log")
            axis.set_xticks(values, [f"{value:,}" if value < 1e4 else short(value) for value in values])
            axis.minorticks_off()
            axis.tick_params(axis="x", labelsize=7)
            axis.grid(axis="y", color=charts.LINE)
    axes[0][0].set_ylabel("examples a second\nof processor time")
    axes[0][0].yaxis.set_major_formatter(EngFormatter(sep=""))
    axes[1][0].set_ylabel("memory, GiB")
    axes[1][0].legend(frameon=False, loc="upper left")
    for row, of in zip(axes, ("examples_per_processor_second", "peak_memory_mib"), strict=True):
        most = max(point[of] for point in rows) / (1024 if of == "peak_memory_mib" else 1)
        row[0].set_ylim(0, 1.1 * most)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
