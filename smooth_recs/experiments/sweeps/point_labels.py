"""Names beside the points of a chart, where they do not lie over each other."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence

from matplotlib.axes import Axes

from smooth_recs.reports.chart_style import MUTED

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
