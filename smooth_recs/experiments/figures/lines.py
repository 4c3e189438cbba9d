"""The look that the panels of the figures share."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from smooth_recs.reports.chart_style import MUTED, SERIES, STEPS

_ORDER = (1, 2, 3, 4, 5, 0)  # of SERIES: grey, the baseline of a comparison, comes last


def colour_number(index: int) -> int:
    """Which of `SERIES` the line `index` of a panel has."""
    return _ORDER[index % len(_ORDER)]


def colour(index: int) -> str:
    """The same as a colour on white."""
    return SERIES[colour_number(index)][0]


def quiet(axes: Axes, ticks: int = 4) -> None:
    """Few ticks, no tick marks, a grid."""
    axes.tick_params(length=0, pad=4, labelcolor=MUTED, labelsize=8)
    axes.xaxis.set_major_locator(MaxNLocator(ticks, steps=STEPS))
    axes.yaxis.set_major_locator(MaxNLocator(ticks, steps=STEPS))
    axes.grid()


def bare(axes: Axes) -> None:
    """No ticks on the vertical axis, whose unit says nothing."""
    quiet(axes)
    axes.set_yticks([])
