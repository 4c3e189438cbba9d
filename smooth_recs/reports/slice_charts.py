"""Slices in a report, as bars: their PD as multiples of the mean, on one scale."""

from __future__ import annotations

from collections.abc import Sequence

from smooth_recs import extras
from smooth_recs.reports.charts import INK, STEPS, colour, row_names, shortened, show_value, svg
from smooth_recs.reports.formats import percent
from smooth_recs.reports.slice_tables import Slice, dimensions, times, times_the_mean, without_range
from smooth_recs.workdir.finished_runs import Run, is_number

with extras.needed("report"):
    from matplotlib.axes import Axes
    from matplotlib.ticker import FuncFormatter, MaxNLocator

# In inches; the width of a letter is a little more than the fonts of most pages take.
_WIDTH, _LETTER = 4.2, 0.09
_RIGHT, _BOTTOM, _TOP = 0.06, 0.3, 0.05
MOST = 12  # slices in a chart: the others are in the table of their title


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
    # One margin for all names: only then is a bar of one chart as long as an equal bar of another.
    longest = max((len(shortened(without_range(name))) for names in kept for name in names), default=0)
    left = 0.1 + _LETTER * longest
    return [
        _bars(f"slices-{place}", dimension.title, kept[place], found[place], limits, left, runs) if kept[place] else ""
        for place, dimension in enumerate(every)
    ]


_Bar = tuple[float, float, float, str]


def _bar(each: Slice, baseline: Run) -> _Bar | None:
    """PD of a slice and the ends of its interval as multiples of the baseline's, and what the bar says."""
    value, mean = times_the_mean(each, baseline), baseline.pd.get("relative")
    if value is None or not is_number(mean):
        return None
    low, high = each.get("interval") or (each["pd"], each["pd"])
    return value, low / mean, high / mean, f"PD {percent(each['pd'])}, {times(value)} of the mean"


def _bars(
    name: str,
    title: str,
    names: Sequence[str],
    bars: Sequence[Sequence[_Bar | None]],
    limits: tuple[float, float],
    left: float,
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

    margins = (left, _RIGHT, _BOTTOM, _TOP)
    return svg(name, f"PD by {title}, as a multiple of the mean", (_WIDTH, height), draw, margins)
