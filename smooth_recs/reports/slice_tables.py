"""Where the difference is: the slices with the highest PD, and what share of the whole difference each carries.

Bars of what slices carry, as SVG inside a page.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes

from smooth_recs.measures import catalogue
from smooth_recs.reports import formats
from smooth_recs.reports.charts import SERIES, colour_index, percent_ticks, row_names, svg
from smooth_recs.reports.formats import Table, TableCell, count, decimal, interval, number, percent
from smooth_recs.workdir.finished_runs import Run, is_number

Slice = Mapping[str, Any]

HIGHEST = 10
_IN_ORDER = ("label", "score", "position")  # and frequencies: slices that have an order of their own


@dataclasses.dataclass(frozen=True)
class Dimension:
    """The slices of one title, of one run or of several; those of each run by name, in the order to show them."""

    title: str
    slices: Sequence[Mapping[str, Slice]]

    @property
    def names(self) -> list[str]:
        return list(dict.fromkeys(name for of_run in self.slices for name in of_run))


def dimensions(runs: Sequence[Run]) -> list[Dimension]:
    """All titles, in the order of the runs' metrics."""
    titles = dict.fromkeys(title for run in runs for title, slices in run.slices.items() if slices)
    name = without_range if len(runs) > 1 else str  # the range of a decile is each run's own
    return [
        Dimension(
            title,
            [{name(each["slice"]): each for each in _ordered(run.slices.get(title) or (), title)} for run in runs],
        )
        for title in titles
    ]


def without_range(name: str) -> str:
    """The name of a slice without the range of a decile: `decile 1`."""
    return re.sub(r"^(decile \d+) \(.*\)$", r"\1", name)


def highest(run: Run) -> list[tuple[str, str, Slice]]:
    """(title, slice, numbers) of the slices with the highest PD of all titles; small ones left out."""
    every = [(title, each["slice"], each) for title, slices in run.slices.items() for each in slices]
    large = [each for each in every if not each[2].get("small") and is_number(each[2].get("pd"))]
    return sorted(large, key=lambda each: -each[2]["pd"])[:HIGHEST]


def highest_tables(runs: Sequence[Run]) -> list[Table]:
    """`highest` of each run, with the share of the examples and of the whole difference."""
    tables = []
    for run in runs:
        rows = {
            f"{title}: {name}": [
                number(each["pd"], percent),
                number(each.get("weight_share"), percent),
                number(each.get("pd_share"), percent),
            ]
            for title, name, each in highest(run)
        }
        if rows:
            columns = ("Slice", "PD", "of the examples", "of the difference")
            tables.append(Table(columns, rows, run.label if len(runs) > 1 else ""))
    return tables


def table(dimension: Dimension, runs: Sequence[Run]) -> Table:
    """All slices of a title: everything measured of one run, or the PD of several runs beside each other."""
    if len(runs) > 1:
        rows = {
            name: [number(of_run.get(name, {}).get("pd"), percent) for of_run in dimension.slices]
            for name in dimension.names
        }
        return Table((dimension.title, *(f"PD of {run.label}" for run in runs)), rows)
    columns = (dimension.title, "PD", "of the examples", "of the difference", "95% interval", "Rows")
    accuracies = [*(measure.label for measure in catalogue.leading()), "Mean label"]
    return Table((*columns, *accuracies), {name: _cells(each) for name, each in dimension.slices[0].items()})


def _cells(each: Slice) -> list[TableCell]:
    return [
        number(each.get("pd"), percent),
        number(each.get("weight_share"), percent),
        number(each.get("pd_share"), percent),
        interval(each.get("interval")),
        number(each.get("rows"), count),
        *(number(each.get(measure.name), formats.of(measure)) for measure in catalogue.leading()),
        number(each.get("label_mean"), decimal),
    ]


def _ordered(slices: Sequence[Slice], title: str) -> Sequence[Slice]:
    if title in _IN_ORDER or title.startswith("frequency of "):
        return sorted(slices, key=lambda each: _natural(each["slice"]))
    return slices


def _natural(name: str) -> list[tuple[int, str]]:
    """`decile 10` after `decile 9`."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name) if part]


MOST = 12  # slices of a chart: the others are in its table
_WIDTH = 4.2


def draw(runs: Sequence[Run]) -> list[str]:
    """A chart a title, in the order of `dimensions`: what slices carry in one run, or the PDs of several runs."""
    of_one_or_all = _shares if len(runs) == 1 else _pds
    return [of_one_or_all(dimension, f"slices-{number}") for number, dimension in enumerate(dimensions(runs))]


def _shares(dimension: Dimension, name: str) -> str:
    """Each slice's share of the examples beside its share of the difference."""
    names = dimension.names[:MOST]
    bars = [[dimension.slices[0][each].get(key) for each in names] for key in ("weight_share", "pd_share")]
    description = f"Share of the examples and of the difference by {dimension.title}"
    return _svg(name, description, [without_range(each) for each in names], bars, [SERIES[0][0], SERIES[1][0]])


def _pds(dimension: Dimension, name: str) -> str:
    """PD of each slice, a bar a run."""
    names = dimension.names[:MOST]
    bars = [[of_run.get(each, {}).get("pd") for each in names] for of_run in dimension.slices]
    colours = [SERIES[colour_index(row, len(bars))][0] for row in range(len(bars))]
    return _svg(name, f"PD by {dimension.title}", names, bars, colours)


def _svg(
    name: str, description: str, names: Sequence[str], bars: Sequence[Sequence[float | None]], colours: Sequence[str]
) -> str:
    height = 0.55 + len(names) * (0.1 + 0.14 * len(bars))

    def draw(axes: Axes) -> None:
        row_names(axes, names)
        thickness = 0.76 / len(bars)
        for place, (values, colour) in enumerate(zip(bars, colours, strict=True)):
            rows = [row - 0.38 + (place + 0.5) * thickness for row in range(len(names))]
            axes.barh(rows, [value or 0.0 for value in values], height=0.92 * thickness, color=colour)
        axes.set_xlim(left=0)
        percent_ticks(axes.xaxis, 5)

    return svg(name, description, (_WIDTH, height), draw)
