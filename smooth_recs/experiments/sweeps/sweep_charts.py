"""The chart of a sweep: PD against the change of the ranking loss, as in figure 4 of the paper, with names at points.

`place` writes the names where they do not lie over each other.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from smooth_recs import _files, extras
from smooth_recs.experiments.sweeps import paired as paired_lib
from smooth_recs.experiments.sweeps.paired import Paired
from smooth_recs.measures.catalogue import BY_NAME
from smooth_recs.reports.charts import INK, LINE, MUTED, SERIES, STEPS, STYLE, percent_ticks, show_value_at, svg
from smooth_recs.reports.formats import percent, signed

with extras.needed("report"):
    import matplotlib
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, MaxNLocator

MARKERS = "osD^vP"
# In inches; small in the page, so that the text is not small on a phone.
_IN_PAGE, _ALONE = (4.8, 4.3), (7.5, 5.3)
# The more accurate half is drawn once more where it has so many variants, within such a share of the whole width.
_MANY, _CROWDED = 3, 0.3


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

    @property
    def title(self) -> str:
        return f"PD against the change of {BY_NAME[self.loss].inside}"

    def line(self, name: str) -> list[Point]:
        """The points of a line, in order of the activation's own width."""
        return sorted((point for point in self.points if point.line == name), key=lambda point: point.width or 0.0)


def plane(results: Mapping[str, Any], axes: tuple[str, str]) -> Plane:
    """The points of all variants that have both measures; `axes`: PD's name, and that of the loss."""
    paired, (pd, loss) = Paired(results), axes
    points = []
    for variant in results["variants"]:
        name, pd_change = variant["name"], paired.change(variant["name"], pd)
        if pd_change is None or paired.change(name, loss) is None:
            continue
        # Means over pairs with the baseline, so that variants with fewer pairs stand where they belong.
        changes = paired.changes(name, paired.baseline, loss)
        differences = paired.differences(name, paired.baseline, pd)
        points.append(
            Point(
                name=name,
                label=variant["label"],
                line=variant["line"] or "",
                width=variant["width"],
                x=statistics.fmean(changes),
                y=statistics.fmean(paired.values(paired.baseline, pd).values()) + statistics.fmean(differences),
                x_error=_standard_error(changes),
                y_error=_standard_error(list(paired.values(name, pd).values())),
                pd_change=pd_change,
            )
        )
    lines = dict.fromkeys(point.line for point in points if point.line)
    return Plane(points, list(lines), paired_lib.front(paired, axes).names, paired.baseline, loss)


def _standard_error(values: Sequence[float]) -> float:
    return statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0


def line_colour(plane: Plane, line: str) -> int:
    """The number of a line's colour; grey is the baseline's."""
    return 1 + plane.lines.index(line) % (len(SERIES) - 1)


def whole(plane: Plane) -> str:
    """All variants, as SVG."""
    return svg("figure4", plane.title, _IN_PAGE, lambda axes: _draw(axes, plane, plane.points, _IN_PAGE))


def closer(plane: Plane) -> str:
    """The half of the variants with the least loss once more, where the others press them together; else nothing."""

    def span(points: Sequence[Point]) -> float:
        return max(point.x for point in points) - min(point.x for point in points)

    middle = statistics.median(point.x for point in plane.points)
    half = [point for point in plane.points if point.x <= middle]
    if len(half) < _MANY or span(half) > _CROWDED * span(plane.points):
        return ""
    title = f"{plane.title}, the more accurate half"
    return svg("closer", title, _IN_PAGE, lambda axes: _draw(axes, plane, half, _IN_PAGE))


def pictures(plane: Plane, outputs: Sequence[str]) -> None:
    """Writes the chart as files of their own on white: PNG, SVG, by their endings."""
    # The salt makes equal charts equal files: without it matplotlib draws the ids of an SVG at random.
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": "figure4"}):
        figure = Figure(figsize=_ALONE, layout="constrained")
        axes = figure.add_subplot()
        _draw(axes, plane, plane.points, _ALONE)
        axes.set_title(f"{plane.title}\nbars: one standard error; dashed: the Pareto front", loc="left", pad=9)
        handles, labels = axes.get_legend_handles_labels()
        if handles:
            figure.legend(handles, labels, loc="outside lower left", ncols=5, frameon=False, fontsize=9)
        for output in outputs:
            metadata = {"Software": None} if output.endswith("png") else {"Date": None}
            with _files.whole_file(output) as beside:
                figure.savefig(beside, dpi=200, facecolor="white", metadata=metadata)


def _draw(axes: Axes, plane: Plane, seen: Sequence[Point], size: tuple[float, float]) -> None:
    """Draws everything, with limits that show the points `seen`; `size` is the figure's, in inches."""
    axes.axvline(0, color=LINE, linewidth=1)
    for line in plane.lines:
        colour, marker = SERIES[line_colour(plane, line)][0], MARKERS[plane.lines.index(line) % len(MARKERS)]
        points = plane.line(line)
        x, y = [point.x for point in points], [point.y for point in points]
        axes.plot(x, y, color=colour, linewidth=1.3, marker=marker, markersize=5.5, markeredgewidth=0, label=line)
        _bars(axes, points, colour)
    for point in plane.points:
        if not point.line:
            colour, marker = (SERIES[0][0], "D") if point.name == plane.baseline else (SERIES[1][0], "o")
            axes.plot([point.x], [point.y], marker, color=colour, markersize=6.5)
            _bars(axes, [point], colour)
    for point in plane.points:
        pd, loss = (signed(f"{abs(100 * share):.2f}%", share) for share in (point.pd_change, point.x))
        changes = "the baseline" if point.name == plane.baseline else f"{pd}; {BY_NAME[plane.loss].inside} {loss}"
        show_value_at(axes, point.x, point.y, f"{point.label}: PD {percent(point.y)}, {changes}")
    front = [point for name in plane.front for point in plane.points if point.name == name]
    x, y = [point.x for point in front], [point.y for point in front]
    axes.plot(x, y, color=MUTED, linewidth=1, linestyle=(0, (3, 3)), zorder=1)
    axes.plot(x, y, "o", color=INK, fillstyle="none", markersize=9.5, markeredgewidth=1, zorder=4)
    # The points with their bars, and a margin in which their names find room.
    ends = [
        (min(point.x - point.x_error for point in seen), max(point.x + point.x_error for point in seen)),
        (min(point.y - point.y_error for point in seen), max(point.y + point.y_error for point in seen)),
    ]
    (left, right), (bottom, top) = ((low, high) if low < high else (low - 0.01, high + 0.01) for low, high in ends)
    axes.set_xlim(left - 0.1 * (right - left), right + 0.1 * (right - left))
    axes.set_ylim(max(bottom - 0.1 * (top - bottom), 0.0), top + 0.1 * (top - bottom))
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=STEPS))
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{100 * value:+g}%".replace("-", "\N{MINUS SIGN}") if value else "0%")
    )
    percent_ticks(axes.yaxis, 6)
    axes.tick_params(length=0, pad=5, labelcolor=MUTED, labelsize=9)
    axes.grid()
    axes.set_xlabel(f"change of {BY_NAME[plane.loss].inside} from the baseline\n(left is more accurate)")
    axes.set_ylabel("PD (down is more reproducible)")
    labels = []
    for point in seen:
        text = f"{point.width:g}" if point.line and point.width is not None else point.label
        colour = SERIES[line_colour(plane, point.line)][0] if point.line else INK
        labels.append(Label(point.x, point.y, text, colour, bool(point.line)))
    drawn = [[(point.x, point.y) for point in each] for each in (*map(plane.line, plane.lines), front)]
    for point in plane.points:
        drawn.append([(point.x - point.x_error, point.y), (point.x + point.x_error, point.y)])
        drawn.append([(point.x, point.y - point.y_error), (point.x, point.y + point.y_error)])
    # The numbers and titles of the axes take about 0.7 inches.
    place(axes, labels, (72 * (size[0] - 0.7), 72 * (size[1] - 0.7)), drawn)


def _bars(axes: Axes, points: Sequence[Point], colour: str) -> None:
    x, y = [point.x for point in points], [point.y for point in points]
    errors = [point.x_error for point in points], [point.y_error for point in points]
    axes.errorbar(x, y, errors[1], errors[0], fmt="none", ecolor=colour, elinewidth=0.8, alpha=0.45)


# In points (1/72 inch). The width of a letter is a little more than the fonts of most pages take.
_HEIGHT, _MARKER, _STROKE = 11.0, 4.5, 1.5
_LETTER = {8.5: 5.2, 7.0: 4.3}
_DISTANCES = (8.0, 14.0, 20.0, 27.0, 34.0, 50.0, 70.0)
# So many square points that lie over something else are as bad as being one point further off.
_WORTH = 4.0
_DIRECTIONS = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1))


@dataclasses.dataclass(frozen=True)
class Label:
    """What to write beside a point, in which colour; `minor` in smaller print."""

    x: float
    y: float
    text: str
    colour: str
    minor: bool = False

    @property
    def font_size(self) -> float:
        return 7.0 if self.minor else 8.5


@dataclasses.dataclass(frozen=True)
class Box:
    """A rectangle with sides along the axes, in points."""

    left: float
    bottom: float
    right: float
    top: float

    @classmethod
    def around(cls, x: float, y: float, reach: float) -> Box:
        """The square that reaches so far from its middle (x, y)."""
        return cls(x - reach, y - reach, x + reach, y + reach)

    def overlap(self, other: Box) -> float:
        """Common area."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.top, other.top) - max(self.bottom, other.bottom)
        return max(width, 0.0) * max(height, 0.0)

    def distance(self, x: float, y: float) -> float:
        """How far the point (x, y) is from the nearest point of the box; 0 inside."""
        return math.hypot(max(self.left - x, x - self.right, 0.0), max(self.bottom - y, y - self.top, 0.0))


def place(
    axes: Axes,
    labels: Sequence[Label],
    size: tuple[float, float],
    lines: Sequence[Sequence[tuple[float, float]]] = (),
) -> None:
    """Writes every label near its point: where there is room.

    Each label takes the best of some places around its point: over as little else as possible, inside of the axes, and
    near.

    Args:
      axes: with their final limits.
      labels: major ones get their places first.
      size: of the axes, in points.
      lines: what else is drawn, each as (x, y) of its points.
    """
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()

    def to_points(x: float, y: float) -> tuple[float, float]:
        return (x - left) / (right - left) * size[0], (y - bottom) / (top - bottom) * size[1]

    taken = [Box.around(*to_points(label.x, label.y), _MARKER) for label in labels]
    for line in lines:
        for (x, y), (end_x, end_y) in itertools.pairwise(to_points(*point) for point in line):
            # A stroke as small boxes in a row: a box around all of a slanting one would take far more room.
            steps = max(1, round(math.dist((x, y), (end_x, end_y)) / (2 * _STROKE)))
            taken += [
                Box.around(x + step / steps * (end_x - x), y + step / steps * (end_y - y), _STROKE)
                for step in range(steps + 1)
            ]
    for label in sorted(labels, key=lambda label: label.minor):
        x, y = to_points(label.x, label.y)
        box = _free_box(label, x, y, taken, size)
        taken.append(box)
        # Aligned at the side that is nearer the point: the font of the page may be narrower than the box.
        side = "left" if box.left > x else "right" if box.right < x else "center"
        offset = {"left": box.left - x, "right": box.right - x, "center": (box.left + box.right) / 2 - x}[side]
        # A name far from its point needs a line that leads there.
        is_far = box.distance(x, y) > 1.5 * _DISTANCES[0]
        axes.annotate(
            label.text,
            (label.x, label.y),
            (offset, (box.bottom + box.top) / 2 - y),
            textcoords="offset points",
            ha=side,
            va="center_baseline",
            fontsize=label.font_size,
            color=label.colour,
            arrowprops={"arrowstyle": "-", "color": MUTED, "linewidth": 0.5, "shrinkB": 4} if is_far else None,
            zorder=5,
        )


def _free_box(label: Label, x: float, y: float, taken: Sequence[Box], size: tuple[float, float]) -> Box:
    """Where to write a label whose point is at (x, y)."""
    width, inside = _LETTER[label.font_size] * len(label.text), Box(0, 0, *size)
    candidates = []
    for distance, (across, up) in itertools.product(_DISTANCES, _DIRECTIONS):
        middle = y + up * distance * (1 if not across else 0.8)
        left = x + across * distance - (0 if across > 0 else width if across < 0 else width / 2)
        candidates.append(Box(left, middle - _HEIGHT / 2, left + width, middle + _HEIGHT / 2))

    lefts, bottoms, rights, tops = np.array([(b.left, b.bottom, b.right, b.top) for b in taken]).T

    def cost(box: Box) -> float:
        outside = (box.right - box.left) * _HEIGHT - box.overlap(inside)
        # `box.overlap` of every box that is taken: there are thousands.
        widths = np.minimum(box.right, rights) - np.maximum(box.left, lefts)
        heights = np.minimum(box.top, tops) - np.maximum(box.bottom, bottoms)
        common = float((np.maximum(widths, 0.0) * np.maximum(heights, 0.0)).sum())
        return 3 * outside + common + _WORTH * box.distance(x, y)

    return min(candidates, key=cost)
