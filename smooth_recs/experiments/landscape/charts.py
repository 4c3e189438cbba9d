"""The landscapes of one or more networks as charts: SVG inside a page, or PNG and SVG files."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from smooth_recs.experiments.figures import section
from smooth_recs.reports.chart_style import INK, LINE, MUTED, SERIES, STEPS, STYLE, colour_index, percent_ticks, svg

Found = Sequence[Mapping[str, Any]]
Panel = tuple[str, Callable[[Axes], None]]

_LEVELS = 9


def inline_lines(networks: Found) -> str:
    """The loss between siblings."""
    return svg("lines", "Loss on the line between siblings", (4.6, 2.9), lambda axes: _lines(axes, networks))


def inline_differences(networks: Found) -> str:
    """PD to the siblings on the line between them."""
    return svg("differences", "PD on the line between siblings", (4.6, 2.9), lambda axes: _differences(axes, networks))


def inline_directions(networks: Found) -> str:
    """The loss in random directions."""
    return svg("directions", "Loss in random directions", (4.6, 2.9), lambda axes: _directions(axes, networks))


def inline_surface(networks: Found, number: int) -> str:
    """The loss over a plane, of one of the networks, at levels that all have in common."""
    name = f"surface-{number}"
    return svg(name, "Loss over a plane", (3.4, 3.2), lambda axes: _surface(axes, networks, number))


def files(networks: Found, folder: Path) -> list[str]:
    """Writes what there is of `landscape_lines`, `_directions` and `_surfaces` as PNG and SVG; returns the paths."""
    return [
        path
        for kind, panels in _panels(networks).items()
        if panels
        for path in section.write_pictures(
            _figure(panels, networks, legend=kind != "surfaces"), folder / f"landscape_{kind}"
        )
    ]


def _panels(networks: Found) -> dict[str, list[Panel]]:
    lines: list[Panel] = [
        ("Loss between siblings", lambda axes: _lines(axes, networks)),
        ("PD to one sibling, to the other (dashed)", lambda axes: _differences(axes, networks)),
    ]
    directions: list[Panel] = [("Loss in random directions", lambda axes: _directions(axes, networks))]
    surfaces: list[Panel] = [
        (network["label"], functools.partial(_surface, networks=networks, number=number))
        for number, network in enumerate(networks)
        if network["surface"]
    ]
    return {
        "lines": lines if any(network["lines"] for network in networks) else [],
        "directions": directions if any(network["directions"] for network in networks) else [],
        "surfaces": surfaces,
    }


def _figure(panels: Sequence[Panel], networks: Found, *, legend: bool) -> Figure:
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(0.4 + 4 * len(panels), 3.7), layout="constrained")
        for axes, (title, draw) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
            draw(axes)
            axes.set_title(title, loc="left", pad=9)
        if legend:
            lines = [Line2D([], [], color=_colour(k, networks)) for k in range(len(networks))]
            labels = [network["label"] for network in networks]
            figure.legend(lines, labels, loc="outside lower left", ncols=3, frameon=False, fontsize=9)
    return figure


def _lines(axes: Axes, networks: Found) -> None:
    for number, network in enumerate(networks):
        for line in network["lines"]:
            axes.plot(line["at"], line["loss"], color=_colour(number, networks), linewidth=1.4)
    _between(axes)
    _decimals(axes)
    axes.set_ylabel("log loss")


def _differences(axes: Axes, networks: Found) -> None:
    for number, network in enumerate(networks):
        for line in network["lines"]:
            for key, style in (("pd_to_a", "-"), ("pd_to_b", (0, (4, 2)))):
                axes.plot(line["at"], line[key], color=_colour(number, networks), linewidth=1.4, linestyle=style)
    _between(axes)
    axes.set_ylim(bottom=0)
    percent_ticks(axes.yaxis, 5)
    axes.set_ylabel("PD")


def _directions(axes: Axes, networks: Found) -> None:
    for number, network in enumerate(networks):
        for direction in network["directions"]:
            axes.plot(direction["at"], direction["loss"], color=_colour(number, networks), linewidth=1.3)
    _quiet(axes)
    _decimals(axes)
    axes.set_xlabel("length of the move, relative to the weights")
    axes.set_ylabel("log loss")


def _surface(axes: Axes, networks: Found, number: int) -> None:
    surface = networks[number]["surface"]
    colour, levels = _colour(number, networks), _levels(networks)
    drawn = axes.contour(surface["at"], surface["at"], surface["loss"], levels=levels, colors=[colour], linewidths=1.0)
    axes.clabel(drawn, fmt=lambda level: f"{level:.3g}", fontsize=8, inline_spacing=3)
    axes.plot([0], [0], "o", color=INK, markersize=4)
    axes.set_aspect("equal")
    _quiet(axes)
    axes.grid(False)
    for side in (axes.xaxis, axes.yaxis):
        side.set_major_locator(MaxNLocator(4, steps=STEPS))


def _levels(networks: Found) -> Any:
    """Common to all, and nearer to each other where the loss is low."""
    losses = np.array([network["surface"]["loss"] for network in networks])
    low, high = float(losses.min()), float(losses.max())
    return low + (high - low) * np.linspace(0, 1, _LEVELS + 2)[1:-1] ** 2


def _between(axes: Axes) -> None:
    for end in (0, 1):
        axes.axvline(end, color=LINE, linewidth=1.0, zorder=0)
    axes.set_xticks([0, 0.5, 1], ["one sibling", "halfway", "the other"])
    _quiet(axes)


def _decimals(axes: Axes) -> None:
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=STEPS))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.6g}"))


def _quiet(axes: Axes) -> None:
    axes.tick_params(length=0, pad=5, labelcolor=MUTED, labelsize=9)
    axes.grid(axis="y")


def _colour(number: int, networks: Found) -> str:
    return SERIES[colour_index(number, len(networks))][0]
