"""PD by cause, the activations beside each other, with intervals over seeds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from smooth_recs.reports.chart_style import INK, MUTED, SERIES, STYLE, colour_index, percent_ticks, svg
from smooth_recs.reports.formats import percent

_GROUP = 0.78  # of a row, the rest is between rows


def inline(table: Mapping[str, Any]) -> str:
    """The chart as SVG inside a page; `table` is the content of causes.json."""
    return svg("causes", "Prediction difference by cause", (6.4, _height(table)), lambda axes: _draw(axes, table))


def picture(table: Mapping[str, Any], output_png: str) -> None:
    """The chart as PNG on white, with a legend."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.2, _height(table) + 0.5), layout="constrained")
        axes = figure.add_subplot()
        _draw(axes, table)
        axes.set_title("Prediction difference by cause (lower is better)", loc="left", pad=9)
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower left", ncols=4, frameon=False, fontsize=9)
        figure.savefig(output_png, dpi=200, facecolor="white", metadata={"Software": None})


def _height(table: Mapping[str, Any]) -> float:
    return 0.5 + len(table["causes"]) * (0.16 + 0.24 * len(table["activations"]))


def _draw(axes: Axes, table: Mapping[str, Any]) -> None:
    causes, activations = table["causes"], table["activations"]
    height, furthest = _GROUP / len(activations), 0.0
    for index, activation in enumerate(activations):
        colour = SERIES[colour_index(index, len(activations))][0]
        for row, cause in enumerate(causes):
            value, interval = cause["pairs"][index]["pd"].values()
            low, high = interval or (value, value)
            place = row - _GROUP / 2 + (index + 0.5) * height
            label = activation if row == 0 else None
            axes.barh(place, value, height=0.88 * height, color=colour, label=label)
            if interval:
                axes.plot([low, high], [place, place], color=INK, linewidth=1.1, marker="|", markersize=4)
            at = (max(value, high), place)
            axes.annotate(percent(value), at, (6, 0), textcoords="offset points", va="center_baseline", fontsize=8)
            furthest = max(furthest, value, high)
    axes.set_yticks(range(len(causes)), [cause["label"].replace(" (", "\n(") for cause in causes])
    axes.set_ylim(len(causes) - 0.5, -0.5)
    axes.set_xlim(0, 1.15 * furthest or 1)
    percent_ticks(axes.xaxis, 6)
    axes.tick_params(length=0)
    axes.tick_params(axis="x", labelcolor=MUTED)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
