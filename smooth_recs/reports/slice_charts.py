"""Bars of what slices carry, as SVG inside a page."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes

from smooth_recs.reports.chart_style import SERIES, colour_index, percent_ticks, row_names, svg
from smooth_recs.reports.slice_tables import Dimension, dimensions, without_range
from smooth_recs.workdir.finished_runs import Run

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
