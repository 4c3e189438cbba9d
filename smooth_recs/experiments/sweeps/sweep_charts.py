"""Names beside the points of a chart, where they do not lie over each other.

What a sweep trades for what: PD against the change of the ranking loss, as in figure 4 of the paper.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from smooth_recs._files import whole_file
from smooth_recs.experiments.sweeps import paired as paired_lib
from smooth_recs.experiments.sweeps.paired import Paired
from smooth_recs.measures.catalogue import BY_NAME
from smooth_recs.reports.charts import INK, LINE, MUTED, SERIES, STEPS, STYLE, percent_ticks, svg

# In points (1/72 inch). The width of a letter is a little more than the fonts of most pages take.
_HEIGHT, _MARKER, _STROKE = 11.0, 4.5, 1.5
_LETTER = {8.5: 5.2, 7.0: 4.3}
_DISTANCES = (8.0, 14.0, 20.0, 27.0, 34.0, 50.0, 70.0)
_WORTH = 4.0  # square points that lie over something else and are as bad as a point further off
_DIRECTIONS = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1))


@dataclasses.dataclass(frozen=True)
class Label:
    """What to write beside a point, in which colour; `minor` in smaller print."""

    x: float
    y: float
    text: str
    colour: str
    minor: bool = False


@dataclasses.dataclass(frozen=True)
class _Box:
    left: float
    bottom: float
    right: float
    top: float

    def overlap(self, other: _Box) -> float:
        """Common area."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.top, other.top) - max(self.bottom, other.bottom)
        return max(width, 0.0) * max(height, 0.0)


def place(
    axes: Axes,
    labels: Sequence[Label],
    size: tuple[float, float],
    lines: Sequence[Sequence[tuple[float, float]]] = (),
) -> None:
    """Writes every label near its point: where there is room.

    Args:
      axes: with their final limits.
      labels: major ones get their places first.
      size: of the axes, in points.
      lines: what else is drawn, each as (x, y) of its points.
    """
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()

    def to_points(x: float, y: float) -> tuple[float, float]:
        return (x - left) / (right - left) * size[0], (y - bottom) / (top - bottom) * size[1]

    at = {label: to_points(label.x, label.y) for label in labels}
    taken = [_around(*point, _MARKER) for point in at.values()]
    for line in lines:
        taken += [box for a, b in itertools.pairwise(line) for box in _along(to_points(*a), to_points(*b))]
    for label in sorted(labels, key=lambda label: label.minor):
        box = _best(_candidates(label, *at[label]), at[label], taken, size)
        taken.append(box)
        _write(axes, label, box, at[label])


def _around(x: float, y: float, reach: float) -> _Box:
    return _Box(x - reach, y - reach, x + reach, y + reach)


def _along(a: tuple[float, float], b: tuple[float, float]) -> list[_Box]:
    """Small boxes in a row."""
    steps = max(1, round(math.dist(a, b) / (2 * _STROKE)))
    parts = [step / steps for step in range(steps + 1)]
    return [_around(a[0] + part * (b[0] - a[0]), a[1] + part * (b[1] - a[1]), _STROKE) for part in parts]


def _candidates(label: Label, x: float, y: float) -> list[_Box]:
    width = _LETTER[_font(label)] * len(label.text)
    found = []
    for distance in _DISTANCES:
        for across, up in _DIRECTIONS:
            middle = y + up * distance * (1 if not across else 0.8)
            left = x + across * distance - (0 if across > 0 else width if across < 0 else width / 2)
            found.append(_Box(left, middle - _HEIGHT / 2, left + width, middle + _HEIGHT / 2))
    return found


def _best(
    candidates: Sequence[_Box], at: tuple[float, float], taken: Sequence[_Box], size: tuple[float, float]
) -> _Box:
    """Over as little else as may be, inside of the axes, and near the point."""
    inside = _Box(0, 0, *size)

    def cost(box: _Box) -> float:
        outside = (box.right - box.left) * _HEIGHT - box.overlap(inside)
        return 3 * outside + sum(box.overlap(other) for other in taken) + _WORTH * _away(box, at)

    return min(candidates, key=cost)


def _away(box: _Box, at: tuple[float, float]) -> float:
    across = max(box.left - at[0], at[0] - box.right, 0.0)
    return math.hypot(across, max(box.bottom - at[1], at[1] - box.top, 0.0))


def _write(axes: Axes, label: Label, box: _Box, at: tuple[float, float]) -> None:
    middle = (box.left + box.right) / 2 - at[0], (box.bottom + box.top) / 2 - at[1]
    across = "left" if box.left > at[0] else "right" if box.right < at[0] else "center"
    offset = {"left": box.left - at[0], "right": box.right - at[0], "center": middle[0]}[across]
    far = _away(box, at) > 1.5 * _DISTANCES[0]
    axes.annotate(
        label.text,
        (label.x, label.y),
        (offset, middle[1]),
        textcoords="offset points",
        ha=across,
        va="center_baseline",
        fontsize=_font(label),
        color=label.colour,
        arrowprops={"arrowstyle": "-", "color": MUTED, "linewidth": 0.5, "shrinkB": 4} if far else None,
        zorder=5,
    )


def _font(label: Label) -> float:
    return 7.0 if label.minor else 8.5


MARKERS = "osD^vP"
_IN_PAGE, _ALONE = (4.8, 4.3), (7.5, 5.3)  # inches; small, so that its text is not, on a phone
_MANY, _CROWDED = 3, 0.3  # of the whole width: where half of the variants are within that, they are drawn a second time


@dataclasses.dataclass(frozen=True)
class Point:
    """A variant: x, the change of the loss as a share, and y, PD, with standard errors (0 for a single pair).

    `pd_change` is the change of PD as a share.
    """

    name: str
    label: str
    line: str
    width: float | None
    x: float
    y: float
    x_error: float
    y_error: float
    pd_change: float


@dataclasses.dataclass(frozen=True)
class Plane:
    """The points of a sweep: `lines` in the order of their appearance, `front` from the least PD on."""

    points: Sequence[Point]
    lines: Sequence[str]
    front: Sequence[str]
    baseline: str
    loss: str

    def line(self, name: str) -> list[Point]:
        """In order of the activation's own width."""
        return sorted((point for point in self.points if point.line == name), key=lambda point: point.width or 0.0)


def plane(results: Mapping[str, Any], axes: tuple[str, str]) -> Plane:
    """The points of all variants that have both measures; `axes`: PD's name, and that of the loss."""
    paired = Paired(results)
    front = paired_lib.front(paired, axes)
    points = [found for variant in results["variants"] if (found := _point(paired, variant, axes))]
    lines = dict.fromkeys(point.line for point in points if point.line)
    return Plane(points, list(lines), front.names, paired.baseline, axes[1])


def line_colour(plane: Plane, line: str) -> int:
    """The number of a line's colour; grey is the baseline's."""
    return 1 + plane.lines.index(line) % (len(SERIES) - 1)


def whole(plane: Plane) -> str:
    """All variants, as SVG."""
    return svg("figure4", _title(plane), _IN_PAGE, lambda axes: _draw(axes, plane, plane.points, _IN_PAGE))


def closer(plane: Plane) -> str:
    """The half of the variants with the least loss once more, where the others press them together; else nothing."""
    middle = statistics.median(point.x for point in plane.points)
    half = [point for point in plane.points if point.x <= middle]
    if len(half) < _MANY or _span(half) > _CROWDED * _span(plane.points):
        return ""
    title = f"{_title(plane)}, the more accurate half"
    return svg("closer", title, _IN_PAGE, lambda axes: _draw(axes, plane, half, _IN_PAGE))


def pictures(plane: Plane, outputs: Sequence[str]) -> None:
    """The chart as files of their own on white: PNG, SVG, by their endings."""
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": "figure4"}):
        figure = Figure(figsize=_ALONE, layout="constrained")
        axes = figure.add_subplot()
        _draw(axes, plane, plane.points, _ALONE)
        axes.set_title(f"{_title(plane)}\nbars: one standard error; dashed: the Pareto front", loc="left", pad=9)
        handles, labels = axes.get_legend_handles_labels()
        if handles:
            figure.legend(handles, labels, loc="outside lower left", ncols=5, frameon=False, fontsize=9)
        for output in outputs:
            metadata = {"Software": None} if output.endswith("png") else {"Date": None}
            with whole_file(output) as beside:
                figure.savefig(beside, dpi=200, facecolor="white", metadata=metadata)


def _title(plane: Plane) -> str:
    return f"PD against the change of {BY_NAME[plane.loss].inside}"


def _point(paired: Paired, variant: Mapping[str, Any], axes: tuple[str, str]) -> Point | None:
    """Of means over pairs with the baseline, so that variants with fewer pairs stand where they belong."""
    name, (pd, loss) = variant["name"], axes
    if None in (paired.change(name, loss), paired.change(name, pd)):
        return None
    shares = paired.changes(name, paired.baseline, loss)
    differences = paired.differences(name, paired.baseline, pd)
    return Point(
        name=name,
        label=variant["label"],
        line=variant["line"] or "",
        width=variant["width"],
        x=statistics.fmean(shares),
        y=statistics.fmean(paired.values(paired.baseline, pd).values()) + statistics.fmean(differences),
        x_error=_error(shares),
        y_error=_error(list(paired.values(name, pd).values())),
        pd_change=paired.change(name, pd) or 0.0,
    )


def _error(values: Sequence[float]) -> float:
    """The standard error of the mean."""
    return statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0


def _draw(axes: Axes, plane: Plane, seen: Sequence[Point], size: tuple[float, float]) -> None:
    """Everything, with limits that show the points `seen`; `size` is the figure's."""
    axes.axvline(0, color=LINE, linewidth=1)
    for line in plane.lines:
        colour, marker = _colour(plane, line), MARKERS[plane.lines.index(line) % len(MARKERS)]
        points = plane.line(line)
        x, y = [point.x for point in points], [point.y for point in points]
        axes.plot(x, y, color=colour, linewidth=1.3, marker=marker, markersize=5.5, markeredgewidth=0, label=line)
        _bars(axes, points, colour)
    for point in plane.points:
        if not point.line:
            colour, marker = (SERIES[0][0], "D") if point.name == plane.baseline else (SERIES[1][0], "o")
            axes.plot([point.x], [point.y], marker, color=colour, markersize=6.5)
            _bars(axes, [point], colour)
    _front(axes, plane)
    _limits(axes, seen)
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=STEPS))
    axes.xaxis.set_major_formatter(FuncFormatter(_signed_percent))
    percent_ticks(axes.yaxis, 6)
    axes.tick_params(length=0, pad=5, labelcolor=MUTED, labelsize=9)
    axes.grid()
    axes.set_xlabel(f"change of {BY_NAME[plane.loss].inside} from the baseline\n(left is more accurate)")
    axes.set_ylabel("PD (down is more reproducible)")
    _labels(axes, plane, seen, size)


def _limits(axes: Axes, seen: Sequence[Point]) -> None:
    """The points with their bars, and a margin in which their names find room."""
    ends = [
        (min(low), max(high))
        for low, high in (
            ([point.x - point.x_error for point in seen], [point.x + point.x_error for point in seen]),
            ([point.y - point.y_error for point in seen], [point.y + point.y_error for point in seen]),
        )
    ]
    (left, right), (bottom, top) = ((low, high) if low < high else (low - 0.01, high + 0.01) for low, high in ends)
    axes.set_xlim(left - 0.1 * (right - left), right + 0.1 * (right - left))
    axes.set_ylim(max(bottom - 0.1 * (top - bottom), 0.0), top + 0.1 * (top - bottom))


def _bars(axes: Axes, points: Sequence[Point], colour: str) -> None:
    x, y = [point.x for point in points], [point.y for point in points]
    errors = [point.x_error for point in points], [point.y_error for point in points]
    axes.errorbar(x, y, errors[1], errors[0], fmt="none", ecolor=colour, elinewidth=0.8, alpha=0.45)


def _front(axes: Axes, plane: Plane) -> None:
    on = [point for name in plane.front for point in plane.points if point.name == name]
    x, y = [point.x for point in on], [point.y for point in on]
    axes.plot(x, y, color=MUTED, linewidth=1, linestyle=(0, (3, 3)), zorder=1)
    axes.plot(x, y, "o", color=INK, fillstyle="none", markersize=9.5, markeredgewidth=1, zorder=4)


def _signed_percent(value: float, _: Any) -> str:
    return f"{100 * value:+g}%".replace("-", "\N{MINUS SIGN}") if value else "0%"


def _said(point: Point) -> str:
    return f"{point.width:g}" if point.line and point.width is not None else point.label


def _span(points: Sequence[Point]) -> float:
    return max(point.x for point in points) - min(point.x for point in points)


def _colour(plane: Plane, line: str) -> str:
    return SERIES[line_colour(plane, line)][0]


def _labels(axes: Axes, plane: Plane, seen: Sequence[Point], size: tuple[float, float]) -> None:
    labels = [
        Label(point.x, point.y, _said(point), _colour(plane, point.line) if point.line else INK, bool(point.line))
        for point in seen
    ]
    lines = [[(point.x, point.y) for point in plane.line(name)] for name in plane.lines]
    on = [point for name in plane.front for point in plane.points if point.name == name]
    lines.append([(point.x, point.y) for point in on])
    for point in plane.points:
        lines.append([(point.x - point.x_error, point.y), (point.x + point.x_error, point.y)])
        lines.append([(point.x, point.y - point.y_error), (point.x, point.y + point.y_error)])
    place(axes, labels, (72 * (size[0] - 0.7), 72 * (size[1] - 0.7)), lines)  # what names and numbers leave
