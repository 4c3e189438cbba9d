"""The numbers of landscapes, for a page, and what they say.

The landscapes of one or more networks as charts: SVG inside a page, or PNG and SVG files.

What a look at the landscape leaves: JSON and CSV, pictures, a page.
"""

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

from smooth_recs._files import write_json
from smooth_recs.experiments.figures import panels
from smooth_recs.experiments.figures import panels as panels_lib
from smooth_recs.reports import charts, formats, page
from smooth_recs.reports.charts import INK, LINE, MUTED, SERIES, STEPS, STYLE, colour_index, percent_ticks, svg
from smooth_recs.reports.formats import Table, TableCell, interval, number

Found = Sequence[Mapping[str, Any]]

_PLACES = (-1.0, -0.5, 0.0, 0.5, 1.0)


def lines(networks: Found) -> Table:
    """A row a pair of siblings."""
    rows = {}
    for network in networks:
        for line in network["lines"]:
            barrier = line["barrier"]
            rows[f"{network['label']}, {_pair(network, line)}"] = [
                number(barrier["height"], small),
                interval(barrier["interval"], small),
                number(barrier["middle"], signed_small),
                number(line["minima"], formats.count),
                number(line["minima_of_a_row"], two_decimals),
                number(_difference(line), formats.percent),
            ]
    names = ("Barrier", "95% interval", "Loss halfway", "Minima of the loss", "Minima of a row's loss", "PD")
    return Table(("Between siblings", *names), rows)


def directions(networks: Found) -> Table:
    """A row a random direction."""
    rows = {
        f"{network['label']}, direction {k + 1}": [
            *(number(_nearest(direction, place), formats.decimal) for place in _PLACES),
            number(direction["minima"], formats.count),
            number(direction["minima_of_a_row"], two_decimals),
        ]
        for network in networks
        for k, direction in enumerate(network["directions"])
    }
    at = [f"Loss at {place:g}".replace("-", "\N{MINUS SIGN}") for place in _PLACES]
    return Table(("Random directions", *at, "Minima of the loss", "Minima of a row's loss"), rows)


def values(title: str, settings: Mapping[str, Any]) -> Table:
    """Settings or versions."""
    rows = {name: [TableCell((formats.setting(value),))] for name, value in settings.items()}
    return Table((title, "Value"), rows, numeric=False)


def sentences(networks: Found, dense_only: bool) -> list[str]:
    """What the lines between siblings show, in words."""
    said = [_of_network(network) for network in networks if network["lines"]]
    if said and dense_only:
        said.append(
            "Only the dense layers move on the line; all embeddings are those of the first of the two siblings."
        )
    elif said:
        said.append("The embeddings move on the line together with the dense layers.")
    return said or ["With one sibling there is no line between siblings."]


def _of_network(network: Mapping[str, Any]) -> str:
    barrier, pairs = network["barrier"], len(network["lines"])
    low, high = barrier["interval"] or (None, None)
    over = f" (mean of {pairs} pairs; 95% over siblings {small(low)} to {small(high)})" if low is not None else ""
    middle = sum(line["barrier"]["middle"] for line in network["lines"]) / pairs
    return (
        f"{network['label']}: the barrier between two siblings is {small(barrier['value'])}{over}. Halfway the loss is "
        f"{small(abs(middle))} {'above' if middle > 0 else 'below'} the mean of the two. On the way the loss of a "
        f"single row has {two_decimals(_mean(network, 'minima_of_a_row'))} local minima."
    )


def _mean(network: Mapping[str, Any], key: str) -> float:
    return float(sum(line[key] for line in network["lines"]) / len(network["lines"]))


def _pair(network: Mapping[str, Any], line: Mapping[str, Any]) -> str:
    return " to ".join(network["siblings"][k] for k in line["siblings"])


def _difference(line: Mapping[str, Any]) -> float:
    """PD between the ends."""
    return float(line["pd_to_a"][line["at"].index(1.0)])


def _nearest(direction: Mapping[str, Any], place: float) -> float:
    k = min(range(len(direction["at"])), key=lambda k: abs(direction["at"][k] - place))
    return float(direction["loss"][k])


def small(value: Any) -> str:
    """A difference of losses with six decimals."""
    return f"{value:.6f}" if abs(value) >= 5e-7 else "0"


def signed_small(value: Any) -> str:
    return formats.signed(small(abs(value)), value)


def two_decimals(value: Any) -> str:
    return f"{value:.2f}"


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


def write_pictures(networks: Found, folder: Path) -> list[str]:
    """Writes what there is of `landscape_lines`, `_directions` and `_surfaces` as PNG and SVG; returns the paths."""
    return [
        path
        for kind, panels in _panels(networks).items()
        if panels
        for path in panels_lib.write_pictures(
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
    for k, network in enumerate(networks):
        for line in network["lines"]:
            axes.plot(line["at"], line["loss"], color=_colour(k, networks), linewidth=1.4)
    _between(axes)
    _decimals(axes)
    axes.set_ylabel("log loss")


def _differences(axes: Axes, networks: Found) -> None:
    for k, network in enumerate(networks):
        for line in network["lines"]:
            for key, style in (("pd_to_a", "-"), ("pd_to_b", (0, (4, 2)))):
                axes.plot(line["at"], line[key], color=_colour(k, networks), linewidth=1.4, linestyle=style)
    _between(axes)
    axes.set_ylim(bottom=0)
    percent_ticks(axes.yaxis, 5)
    axes.set_ylabel("PD")


def _directions(axes: Axes, networks: Found) -> None:
    for k, network in enumerate(networks):
        for direction in network["directions"]:
            axes.plot(direction["at"], direction["loss"], color=_colour(k, networks), linewidth=1.3)
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


def write(content: Mapping[str, Any], folder: Path) -> str:
    """Writes `landscape.json`, `.html`, and `landscape_{lines,directions,surfaces}` as .csv, .png and .svg.

    Args:
      content: `networks` (of `measuring.measure`), `settings`, `versions`, `command`.
      folder: exists.

    Returns:
      What to print.
    """
    networks = content["networks"]
    write_json(str(folder / "landscape.json"), content)
    files = write_pictures(networks, folder)
    for kind, columns in (
        ("lines", _line_columns(networks)),
        ("directions", _direction_columns(networks)),
        ("surfaces", _surface_columns(networks)),
    ):
        if columns["network"]:
            files.append(panels.write_csv(folder / f"landscape_{kind}.csv", columns))
    page.write("landscape.html.j2", _contents(content), str(folder / "landscape.html"))
    said = sentences(networks, content["settings"]["dense_only"])
    return "\n".join([*said, f"files    {' '.join(files)}", f"page     {folder / 'landscape.html'}"])


def _contents(content: Mapping[str, Any]) -> dict[str, Any]:
    networks = content["networks"]
    has = {key: any(network[key] for network in networks) for key in ("lines", "directions", "surface")}
    return {
        "labels": [network["label"] for network in networks],
        "colours": [charts.colour_index(k, len(networks)) for k in range(len(networks))],
        "rows": networks[0]["rows"],
        "sentences": sentences(networks, content["settings"]["dense_only"]),
        "lines": lines(networks) if has["lines"] else None,
        "directions": directions(networks) if has["directions"] else None,
        "line_chart": inline_lines(networks) if has["lines"] else "",
        "difference_chart": inline_differences(networks) if has["lines"] else "",
        "direction_chart": inline_directions(networks) if has["directions"] else "",
        "surfaces": [inline_surface(networks, k) for k in range(len(networks))] if has["surface"] else [],
        "settings": values("Setting", content["settings"]),
        "versions": values("Version", content["versions"]),
        "command": content["command"],
    }


def _line_columns(networks: Found) -> dict[str, list[Any]]:
    rows = [
        (network["label"], *(network["siblings"][k] for k in line["siblings"]), *values)
        for network in networks
        for line in network["lines"]
        for values in zip(line["at"], line["loss"], line["pd_to_a"], line["pd_to_b"], strict=True)
    ]
    return _columns(("network", "a", "b", "at", "loss", "pd_to_a", "pd_to_b"), rows)


def _direction_columns(networks: Found) -> dict[str, list[Any]]:
    rows = [
        (network["label"], number, *values)
        for network in networks
        for number, direction in enumerate(network["directions"], start=1)
        for values in zip(direction["at"], direction["loss"], strict=True)
    ]
    return _columns(("network", "direction", "at", "loss"), rows)


def _surface_columns(networks: Found) -> dict[str, list[Any]]:
    rows = [
        (network["label"], x, y, loss)
        for network in networks
        if network["surface"]
        for y, losses in zip(network["surface"]["at"], network["surface"]["loss"], strict=True)
        for x, loss in zip(network["surface"]["at"], losses, strict=True)
    ]
    return _columns(("network", "x", "y", "loss"), rows)


def _columns(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> dict[str, list[Any]]:
    return {name: [row[k] for row in rows] for k, name in enumerate(names)}
