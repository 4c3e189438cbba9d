"""The report of a landscape: every number as JSON and CSV, charts as PNG and SVG, and a page on what they show."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from smooth_recs import _files, extras
from smooth_recs.experiments.figures import panels as panels_lib
from smooth_recs.reports import formats, page
from smooth_recs.reports.charts import INK, LINE, MUTED, SERIES, STEPS, STYLE, colour_index, percent_ticks, svg
from smooth_recs.reports.formats import Table, interval, number, settings_table

with extras.needed("report"):
    import matplotlib
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.ticker import FuncFormatter, MaxNLocator

Found = Sequence[Mapping[str, Any]]
"""What `weight_losses.measure` returned for each network."""

_COLUMNS = {
    "lines": ("network", "a", "b", "at", "loss", "pd_to_a", "pd_to_b"),
    "directions": ("network", "direction", "at", "loss"),
    "surfaces": ("network", "x", "y", "loss"),
}
_PLACES = (-1.0, -0.5, 0.0, 0.5, 1.0)
_LEVELS = 9


def write(content: Mapping[str, Any], folder: str) -> str:
    """Writes `landscape.json`, `.html`, and `landscape_{lines,directions,surfaces}` as .csv, .png and .svg.

    Args:
      content: `networks` (from `weight_losses.measure`), `settings`, `versions`, `command`.
      folder: exists.

    Returns:
      What to print.
    """
    networks = content["networks"]
    _files.write_json(os.path.join(folder, "landscape.json"), content)
    files = write_pictures(networks, folder)
    rows: dict[str, list[tuple[Any, ...]]] = {"lines": [], "directions": [], "surfaces": []}
    for network in networks:
        label = network["label"]
        for line in network["lines"]:
            ends = [network["siblings"][sibling] for sibling in line["siblings"]]
            curves = zip(line["at"], line["loss"], line["pd_to_a"], line["pd_to_b"], strict=True)
            rows["lines"] += [(label, *ends, *values) for values in curves]
        for k, direction in enumerate(network["directions"], start=1):
            curve = zip(direction["at"], direction["loss"], strict=True)
            rows["directions"] += [(label, k, *values) for values in curve]
        if surface := network["surface"]:
            for y, losses in zip(surface["at"], surface["loss"], strict=True):
                rows["surfaces"] += [(label, x, y, loss) for x, loss in zip(surface["at"], losses, strict=True)]
    for kind, names in _COLUMNS.items():
        if rows[kind]:
            columns = dict(zip(names, zip(*rows[kind], strict=True), strict=True))
            files.append(panels_lib.write_csv(os.path.join(folder, f"landscape_{kind}.csv"), columns))
    # What was not measured, as with one sibling or --directions=0, has no chart and no chapter.
    has_lines, has_directions, has_surfaces = (
        any(network[key] for network in networks) for key in ("lines", "directions", "surface")
    )
    said = sentences(networks, content["settings"]["dense_only"])

    def chart(name: str, title: str, draw: Callable[..., None]) -> str:
        return svg(name, title, (4.6, 2.9), functools.partial(draw, networks=networks))

    contents = {
        "verdict": verdict(networks),
        "labels": [network["label"] for network in networks],
        "colours": [colour_index(k, len(networks)) for k in range(len(networks))],
        "rows": networks[0]["rows"],
        "sentences": said,
        "lines": lines(networks) if has_lines else None,
        "directions": directions(networks) if has_directions else None,
        "line_chart": chart("lines", "Loss on the line between siblings", _lines) if has_lines else "",
        "difference_chart": chart("differences", "PD on the line between siblings", _differences) if has_lines else "",
        "direction_chart": chart("directions", "Loss in random directions", _directions) if has_directions else "",
        "surfaces": [
            svg(f"surface-{k}", "Loss over a plane", (3.4, 3.2), functools.partial(_surface, networks=networks, k=k))
            for k in range(len(networks))
            if has_surfaces
        ],
        "settings": settings_table(content["settings"], "Setting"),
        "versions": settings_table(content["versions"], "Version"),
        "command": content["command"],
    }
    page.write("landscape.html.j2", contents, os.path.join(folder, "landscape.html"))
    return "\n".join([*said, f"files    {' '.join(files)}", f"page     {os.path.join(folder, 'landscape.html')}"])


def lines(networks: Found) -> Table:
    """A row for each pair of siblings."""
    rows = {}
    for network in networks:
        for line in network["lines"]:
            barrier = line["barrier"]
            pair = " to ".join(network["siblings"][k] for k in line["siblings"])
            rows[f"{network['label']}, {pair}"] = [
                number(barrier["height"], small),
                interval(barrier["interval"], small),
                number(barrier["middle"], lambda value: formats.signed(small(abs(value)), value)),
                number(line["minima"], formats.count),
                number(line["minima_of_a_row"], two_decimals),
                number(line["pd_to_a"][line["at"].index(1.0)], formats.percent),
            ]
    names = ("Barrier", "95% interval", "Loss halfway", "Minima of the loss", "Minima of a row's loss", "PD")
    return Table(("Between siblings", *names), rows)


def directions(networks: Found) -> Table:
    """A row for each random direction."""
    rows = {}
    for network in networks:
        for k, direction in enumerate(network["directions"], start=1):
            # The steps of a direction may leave out a place, such as a half.
            nearest = [int(np.argmin(np.abs(np.subtract(direction["at"], place)))) for place in _PLACES]
            rows[f"{network['label']}, direction {k}"] = [
                *(number(direction["loss"][index], formats.decimal) for index in nearest),
                number(direction["minima"], formats.count),
                number(direction["minima_of_a_row"], two_decimals),
            ]
    at = [f"Loss at {place:g}".replace("-", formats.MINUS) for place in _PLACES]
    return Table(("Random directions", *at, "Minima of the loss", "Minima of a row's loss"), rows)


def verdict(networks: Found) -> str:
    """The title of the page: the barrier between siblings, of the first network and of the one with the lowest."""
    measured = [network for network in networks if network["lines"]]
    if not measured:
        return "One sibling of each: there is no line between siblings"
    first, *others = measured
    found = f"Barrier between siblings: {first['label']} {small(first['barrier']['value'])}"
    if not others:
        return found
    lowest = min(others, key=lambda network: float(network["barrier"]["value"]))
    found += f", {lowest['label']} {small(lowest['barrier']['value'])}"
    ends = [network["barrier"]["interval"] for network in (first, lowest)]
    if None in ends:
        return f"{found}; one pair each, which shows little"
    (low, high), (other_low, other_high) = ends
    apart = high < other_low or other_high < low
    return f"{found}; {'their intervals are apart' if apart else 'their intervals overlap, so no difference is shown'}"


def sentences(networks: Found, dense_only: bool) -> list[str]:
    """What the lines between siblings show, in words."""
    said = []
    for network in networks:
        barrier, pairs = network["barrier"], len(network["lines"])
        if not pairs:
            continue
        over = ""
        if barrier["interval"]:
            low, high = map(small, barrier["interval"])
            over = f" (mean of {pairs} pairs; 95% over siblings {low} to {high})"
        middle = sum(line["barrier"]["middle"] for line in network["lines"]) / pairs
        minima = sum(line["minima_of_a_row"] for line in network["lines"]) / pairs
        said.append(
            f"{network['label']}: the barrier between two siblings is {small(barrier['value'])}{over}. Halfway the "
            f"loss is {small(abs(middle))} {'above' if middle > 0 else 'below'} the mean of the two. On the way the "
            f"loss of a single row has {two_decimals(minima)} local minima."
        )
    if not said:
        return ["With one sibling there is no line between siblings."]
    if dense_only:
        moved = "Only the dense layers move on the line; all embeddings are those of the first of the two siblings."
    else:
        moved = "The embeddings move on the line together with the dense layers."
    return [*said, moved]


def small(value: Any) -> str:
    """A difference of losses with six decimals."""
    return f"{value:.6f}" if abs(value) >= 5e-7 else "0"


def two_decimals(value: Any) -> str:
    return f"{value:.2f}"


def write_pictures(networks: Found, folder: str) -> list[str]:
    """Writes the charts that there are as `landscape_lines`, `_directions`, `_surfaces`; returns the files' names."""
    charts: dict[str, list[tuple[str, Callable[..., None]]]] = {
        "lines": [("Loss between siblings", _lines), ("PD to one sibling, to the other (dashed)", _differences)],
        "directions": [("Loss in random directions", _directions)],
        "surfaces": [
            (network["label"], functools.partial(_surface, k=k))
            for k, network in enumerate(networks)
            if network["surface"]
        ],
    }
    files = []
    for kind, panels in charts.items():
        if not panels or (kind != "surfaces" and not any(network[kind] for network in networks)):
            continue
        with matplotlib.rc_context(STYLE):
            figure = Figure(figsize=(0.4 + 4 * len(panels), 3.7), layout="constrained")
            for axes, (title, draw) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
                draw(axes, networks=networks)
                axes.set_title(title, loc="left", pad=9)
            # The surfaces need no legend: their titles are the names of the networks.
            if kind != "surfaces":
                handles = [Line2D([], [], color=_colour(k, networks)) for k in range(len(networks))]
                labels = [network["label"] for network in networks]
                figure.legend(handles, labels, loc="outside lower left", ncols=3, frameon=False, fontsize=9)
        files += panels_lib.write_pictures(figure, os.path.join(folder, f"landscape_{kind}"))
    return files


def _lines(axes: Axes, networks: Found) -> None:
    for k, network in enumerate(networks):
        for line in network["lines"]:
            axes.plot(line["at"], line["loss"], color=_colour(k, networks), linewidth=1.4)
    _mark_siblings(axes)
    _loss_axis(axes)


def _differences(axes: Axes, networks: Found) -> None:
    for k, network in enumerate(networks):
        for line in network["lines"]:
            for key, style in (("pd_to_a", "-"), ("pd_to_b", (0, (4, 2)))):
                axes.plot(line["at"], line[key], color=_colour(k, networks), linewidth=1.4, linestyle=style)
    _mark_siblings(axes)
    axes.set_ylim(bottom=0)
    percent_ticks(axes.yaxis, 5)
    axes.set_ylabel("PD")


def _directions(axes: Axes, networks: Found) -> None:
    for k, network in enumerate(networks):
        for direction in network["directions"]:
            axes.plot(direction["at"], direction["loss"], color=_colour(k, networks), linewidth=1.3)
    _quiet(axes)
    _loss_axis(axes)
    axes.set_xlabel("length of the move, relative to the weights")


def _surface(axes: Axes, networks: Found, k: int) -> None:
    surface = networks[k]["surface"]
    # Levels that all networks have in common, so that pictures can be compared; nearer to each other where the loss is
    # low, as a loss grows about with the square of the distance.
    losses = np.array([network["surface"]["loss"] for network in networks])
    low, high = float(losses.min()), float(losses.max())
    levels: Any = low + (high - low) * np.linspace(0, 1, _LEVELS + 2)[1:-1] ** 2
    colours = [_colour(k, networks)]
    drawn = axes.contour(surface["at"], surface["at"], surface["loss"], levels=levels, colors=colours, linewidths=1.0)
    axes.clabel(drawn, fmt=lambda level: f"{level:.3g}", fontsize=8, inline_spacing=3)
    axes.plot([0], [0], "o", color=INK, markersize=4)
    axes.set_aspect("equal")
    _quiet(axes)
    axes.grid(False)
    for side in (axes.xaxis, axes.yaxis):
        side.set_major_locator(MaxNLocator(4, steps=STEPS))


def _mark_siblings(axes: Axes) -> None:
    for end in (0, 1):
        axes.axvline(end, color=LINE, linewidth=1.0, zorder=0)
    axes.set_xticks([0, 0.5, 1], ["one sibling", "halfway", "the other"])
    _quiet(axes)


def _loss_axis(axes: Axes) -> None:
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=STEPS))
    # Not matplotlib's own, which puts an offset into the corner where losses are close to each other.
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.6g}"))
    axes.set_ylabel("log loss")


def _quiet(axes: Axes) -> None:
    axes.tick_params(length=0, pad=5, labelcolor=MUTED, labelsize=9)
    axes.grid(axis="y")


def _colour(number: int, networks: Found) -> str:
    return SERIES[colour_index(number, len(networks))][0]
