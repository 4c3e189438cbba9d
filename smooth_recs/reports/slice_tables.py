"""Slices in a report, as tables and bars: their PD, and the share of the whole difference that each has."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from smooth_recs.measures import catalogue
from smooth_recs.reports import formats
from smooth_recs.reports.charts import INK, STEPS, colour, row_names, show_value, svg
from smooth_recs.reports.formats import Table, count, decimal, interval, number, percent, short
from smooth_recs.workdir.finished_runs import Run, is_number

Slice = Mapping[str, Any]

# Slices in the table of the highest PD, and in a chart: the others are in the table of their title.
HIGHEST, MOST = 10, 12
# Titles whose slices have a natural order, as those of frequencies have; the others stand by PD.
_ORDERED = ("label", "score", "position")


@dataclasses.dataclass(frozen=True)
class Dimension:
    """The slices under one title: for each run, its slices by name, in the order to show them."""

    title: str
    slices: Sequence[Mapping[str, Slice]]

    @property
    def names(self) -> list[str]:
        """The names of all runs' slices."""
        return list(dict.fromkeys(name for of_run in self.slices for name in of_run))


def dimensions(runs: Sequence[Run]) -> list[Dimension]:
    """The slices of the runs by title, in the order of the runs' metrics."""
    # Each run has its own range of a decile, so that the names of several runs agree only without it.
    name = without_range if len(runs) > 1 else str

    def natural(each: Slice) -> list[tuple[int, str]]:
        # Numbers inside names by their value: `decile 10` after `decile 9`.
        parts = re.split(r"(\d+)", each["slice"])
        return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts if part]

    found = []
    for title in dict.fromkeys(title for run in runs for title, slices in run.slices.items() if slices):
        of_runs = [run.slices.get(title) or () for run in runs]
        if title in _ORDERED or title.startswith("frequency of "):
            of_runs = [sorted(slices, key=natural) for slices in of_runs]
        found.append(Dimension(title, [{name(each["slice"]): each for each in slices} for slices in of_runs]))
    return found


def without_range(name: str) -> str:
    """The name of a slice without the range of a decile: `decile 1`."""
    return re.sub(r"^(decile \d+) \(.*\)$", r"\1", name)


def highest(run: Run) -> list[tuple[str, str, Slice]]:
    """The slices with the highest PD of all titles, except small ones, as (title, name, slice)."""
    every = [(title, each["slice"], each) for title, slices in run.slices.items() for each in slices]
    large = [each for each in every if not each[2].get("small") and is_number(each[2].get("pd"))]
    return sorted(large, key=lambda each: -each[2]["pd"])[:HIGHEST]


def highest_tables(runs: Sequence[Run]) -> list[Table]:
    """A table of `highest` for each run, with the share of the examples and of the whole difference."""
    tables = []
    for run in runs:
        rows = {
            f"{title}: {name}": [
                number(each["pd"], percent),
                number(_times_the_mean(each, run), _times),
                number(each.get("weight_share"), percent),
                number(each.get("pd_share"), percent),
            ]
            for title, name, each in highest(run)
        }
        if rows:
            columns = ("Slice", "PD", "of the mean", "of the examples", "of the difference")
            tables.append(Table(columns, rows, run.label if len(runs) > 1 else ""))
    return tables


def table(dimension: Dimension, runs: Sequence[Run]) -> Table:
    """All slices of a title: every measure of one run, or the PD of several runs side by side."""
    if len(runs) > 1:
        rows = {
            name: [number(of_run.get(name, {}).get("pd"), percent) for of_run in dimension.slices]
            for name in dimension.names
        }
        return Table((dimension.title, *(f"PD of {run.label}" for run in runs)), rows)
    columns = (dimension.title, "PD", "of the mean", "of the examples", "of the difference", "95% interval", "Rows")
    accuracies = [*(measure.label for measure in catalogue.leading()), "Mean label"]
    cells = {
        name: [
            number(each.get("pd"), percent),
            number(_times_the_mean(each, runs[0]), _times),
            number(each.get("weight_share"), percent),
            number(each.get("pd_share"), percent),
            interval(each.get("interval")),
            number(each.get("rows"), count),
            *(number(each.get(measure.name), formats.of(measure)) for measure in catalogue.leading()),
            number(each.get("label_mean"), decimal),
        ]
        for name, each in dimension.slices[0].items()
    }
    return Table((*columns, *accuracies), cells)


def _times_the_mean(each: Slice, run: Run) -> float | None:
    """PD of a slice as a multiple of the run's; None where one is not known, or the run's is 0."""
    pd, mean = each.get("pd"), run.pd.get("relative")
    return pd / mean if is_number(pd) and is_number(mean) and mean else None


def _times(value: Any) -> str:
    return f"{short(value)}×" if is_number(value) else short(value)


def draw(runs: Sequence[Run]) -> list[str]:
    """One chart for each of `dimensions`, as SVG: PD of each slice, as a multiple of the baseline's over all rows.

    All charts have one scale, and bars begin at 1. Small slices are left out, whose PDs vary most and mean least; a
    chart without any others is empty.
    """
    every = dimensions(runs)
    kept = []
    for dimension in every:
        large = [
            {name: each for name, each in of_run.items() if _bar(each, runs[0]) and not each.get("small")}
            for of_run in dimension.slices
        ]
        kept.append([name for name in dimension.names if any(name in of_run for of_run in large)][:MOST])
    found = [
        [[_bar(of_run.get(name, {}), runs[0]) for name in names] for of_run in dimension.slices]
        for dimension, names in zip(every, kept, strict=True)
    ]
    values = [bar[0] for bars in found for of_run in bars for bar in of_run if bar] or [1.0]
    least, most = min(0.9, *values), max(1.1, *values)
    limits = (max(0.0, least - 0.08 * (most - least)), most + 0.08 * (most - least))
    return [
        _bars(f"slices-{place}", dimension.title, kept[place], found[place], limits, runs) if kept[place] else ""
        for place, dimension in enumerate(every)
    ]


_Bar = tuple[float, float, float, str]


def _bar(each: Slice, baseline: Run) -> _Bar | None:
    """PD of a slice and the ends of its interval as multiples of the baseline's, and what the bar says."""
    value, mean = _times_the_mean(each, baseline), baseline.pd.get("relative")
    if value is None or not is_number(mean):
        return None
    low, high = each.get("interval") or (each["pd"], each["pd"])
    return value, low / mean, high / mean, f"PD {percent(each['pd'])}, {_times(value)} of the mean"


def _bars(
    name: str,
    title: str,
    names: Sequence[str],
    bars: Sequence[Sequence[_Bar | None]],
    limits: tuple[float, float],
    runs: Sequence[Run],
) -> str:
    """Horizontal bars from 1, one of each run beside each name, with a line for the interval."""
    height = 0.55 + len(names) * (0.12 + 0.16 * len(bars))

    def draw(axes: Axes) -> None:
        row_names(axes, [without_range(each) for each in names])
        thickness = 0.76 / len(bars)
        axes.axvline(1, color=INK, linewidth=0.9)
        for place, of_run in enumerate(bars):
            for row, found in enumerate(of_run):
                if found is None:
                    continue
                value, low, high, said = found
                at = row - 0.38 + (place + 0.5) * thickness
                fill = colour(place, len(bars))
                (bar,) = axes.barh(at, value - 1, left=1, height=0.92 * thickness, color=fill)
                whose = f"{runs[place].label}, " if len(bars) > 1 else ""
                show_value(bar, f"{whose}{names[row]}: {said}")
                axes.plot([low, high], [at, at], color=INK, linewidth=1)
        axes.set_xlim(limits)
        axes.xaxis.set_major_locator(MaxNLocator(5, steps=STEPS))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}×"))

    return svg(name, f"PD by {title}, as a multiple of the mean", (4.2, height), draw)
