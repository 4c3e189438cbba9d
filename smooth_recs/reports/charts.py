"""The charts of a report, as SVG inside a page, and the picture of a README."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, FuncFormatter, MaxNLocator

from smooth_recs.measures.registry import Measure
from smooth_recs.reports.chart_style import (
    INK,
    MUTED,
    SERIES,
    STEPS,
    STYLE,
    colour_index,
    percent_ticks,
    row_names,
    svg,
)
from smooth_recs.reports.formats import decimal, percent
from smooth_recs.workdir.finished_runs import Run, is_number

_HISTOGRAM_SHARE = 0.995  # the few examples beyond would squeeze the others into a corner
_LEAST_AUC_RANGE = 0.001  # what is narrower would look like a difference where there is none


def pd_bars(runs: Sequence[Run]) -> str:
    """PD of each run with its interval, as SVG."""
    return svg("pd", "Prediction difference of each run", (4.2, _height(runs)), lambda axes: _pd_bars(axes, runs))


def auc_dots(runs: Sequence[Run]) -> str:
    """AUC of every replica, a row a run, as SVG."""
    return svg("auc", "AUC of every replica", (4.2, _height(runs)), lambda axes: _auc_dots(axes, runs))


def pd_histogram(runs: Sequence[Run]) -> str:
    """How PD is spread over the held-out examples, as SVG."""
    return svg("histogram", "Spread of PD over the examples", (4.4, 2.6), lambda axes: _histogram(axes, runs))


def history(runs: Sequence[Run], measure: Measure, prefix: str = "") -> str:
    """A measure against the training step, as SVG; with `prefix` its name is a key of metrics.json's history."""
    title = f"{measure.short} on rows not trained on yet" if prefix else measure.short
    name = f"history-{prefix}{measure.name}"
    return svg(name, f"{title} while training", (4.2, 2.5), lambda axes: _history(axes, runs, measure, prefix))


def picture(runs: Sequence[Run], output_png: str) -> None:
    """PD with its interval, AUC beside it, as PNG on white."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8, _height(runs) + 0.2), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(5, 4))
        _pd_bars(left, runs)
        _auc_dots(right, runs)
        left.set_title("Prediction difference (lower is better)", loc="left", pad=9)
        right.set_title("AUC of each replica (higher is better)", loc="left", pad=9)
        right.set_yticklabels([])
        left.set_xlabel("")
        right.set_xlabel("")
        figure.savefig(output_png, dpi=200, facecolor="white", metadata={"Software": None})


def _height(runs: Sequence[Run]) -> float:
    return 0.75 + 0.42 * len(runs)


def _pd_bars(axes: Axes, runs: Sequence[Run]) -> None:
    row_names(axes, [run.label for run in runs])
    ends = [0.0]
    for row, run in enumerate(runs):
        relative = run.pd.get("relative")
        if not is_number(relative):
            _write(axes, "not measured", 0.0, row)
            continue
        low, high = run.pd.get("interval") or (relative, relative)
        axes.barh(row, relative, height=0.52, color=_colour(row, runs))
        axes.plot([low, high], [row, row], color=INK, linewidth=1.2, marker="|", markersize=5)
        _write(axes, percent(relative), max(relative, high), row)
        ends.append(max(relative, high))
    axes.set_xlim(0, 1.25 * max(ends) or 1)
    percent_ticks(axes.xaxis, 5)
    axes.set_xlabel("lower is better")


def _auc_dots(axes: Axes, runs: Sequence[Run]) -> None:
    row_names(axes, [run.label for run in runs])
    for row, run in enumerate(runs):
        values, mean = run.values("auc"), run.mean("auc")
        axes.plot(values, [row] * len(values), "o", color=_colour(row, runs), markersize=7, markeredgewidth=0)
        if mean is not None:
            axes.plot([mean], [row], "|", color=INK, markersize=13)
            _write(axes, f"mean {decimal(mean)}", max(values), row)
    every = [value for run in runs for value in run.values("auc")] or [0.5]
    span = max(max(every) - min(every), _LEAST_AUC_RANGE)
    axes.set_xlim(min(every) - 0.15 * span, max(every) + 0.75 * span)
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=STEPS))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.4f}".rstrip("0")))
    axes.set_xlabel("a dot a replica; higher is better")


def _histogram(axes: Axes, runs: Sequence[Run]) -> None:
    limits = []
    for row, run in enumerate(runs):
        bins = run.pd.get("histogram") or {}
        edges, counts = bins.get("edges") or [], bins.get("counts") or []
        total = sum(counts)
        if not total:
            continue
        # Shares for each percentage point, so that bins of different widths stay comparable.
        widths = [high - low for low, high in itertools.pairwise(edges)]
        density = [count / total / (100 * width) for count, width in zip(counts, widths, strict=True)]
        axes.stairs(density, edges, fill=True, color=_colour(row, runs), alpha=0.16 if len(runs) > 1 else 0.35)
        axes.stairs(density, edges, color=_colour(row, runs), linewidth=1.3)
        axes.axvline(run.pd["relative"], color=_colour(row, runs), linewidth=1.3, linestyle=(0, (3, 2)))
        below = itertools.accumulate(counts)
        limits.append(
            next(high for high, seen in zip(edges[1:], below, strict=True) if seen >= _HISTOGRAM_SHARE * total)
        )
    axes.set_xlim(0, max(limits, default=1))
    percent_ticks(axes.xaxis, 6)
    percent_ticks(axes.yaxis, 5)
    _quiet(axes)
    axes.set_xlabel("PD of an example")
    axes.set_ylabel("examples per point of PD")


def _history(axes: Axes, runs: Sequence[Run], measure: Measure, prefix: str) -> None:
    metric = prefix + measure.name
    for row, run in enumerate(runs):
        points = [(entry["step"], entry[metric]) for entry in run.history if is_number(entry.get(metric))]
        if points:
            steps, values = zip(*points, strict=True)
            axes.plot(steps, values, color=_colour(row, runs), linewidth=1.6, marker="o", markersize=3)
    if measure.form == "percent":
        axes.set_ylim(bottom=0)
        percent_ticks(axes.yaxis, 5)
    axes.set_xlim(left=0)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=STEPS))
    _quiet(axes)
    axes.set_xlabel("training step")


def _quiet(axes: Axes) -> None:
    axes.tick_params(length=0, pad=5, labelcolor=MUTED, labelsize=9)
    axes.grid(axis="y")


def _write(axes: Axes, text: str, x: float, row: int) -> None:
    axes.annotate(text, (x, row), (7, 0), textcoords="offset points", va="center_baseline", fontsize=9)


def _colour(row: int, runs: Sequence[Run]) -> str:
    return SERIES[colour_index(row, len(runs))][0]
