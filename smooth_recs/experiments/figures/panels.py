"""What the figures can be asked for: what the paper states is in them, what it leaves out is here.

The look that the panels of the figures share.

What a figure leaves: files of its own, and a section of the page.
"""

from __future__ import annotations

import base64
import csv
import dataclasses
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from smooth_recs._files import whole_file
from smooth_recs.errors import InputError
from smooth_recs.reports.charts import MUTED, SERIES, STEPS, STYLE
from smooth_recs.reports.formats import Table

NAMES = ("activations", "curves", "surfaces", "minima")


def _setting(default: Any, text: str) -> Any:
    return dataclasses.field(default=default, metadata={"help": text})


@dataclasses.dataclass(frozen=True)
class Settings:
    """The flags of bin/figures, with their texts.

    Raises:
      InputError: one breaks its rule.
    """

    curves_seed: int = _setting(5, "of the random weights of figure 2")
    surfaces_seed: int = _setting(17258, "of the random weights of figure 3")
    minima_seed: int = _setting(1, "of the first network whose minima are counted; the others follow")
    norm_value: float = _setting(1.0, "v of weight normalisation in figures 2 and 3")
    norm_values: tuple[float, ...] = _setting((1.0, 1.4, 2.0), "v for which minima are counted")
    normalize_output: bool = _setting(False, "hold the weights of the output layer at the norm too")
    input_range: float = _setting(3.0, "inputs go from minus this to this")
    points: int = _setting(8001, "along a single input")
    surface_points: int = _setting(121, "along each of two inputs")
    p1: tuple[float, ...] = _setting((0.1, 0.5, 0.9), "probabilities of a positive label in figure 2 and the minima")
    networks: int = _setting(100, "random networks of each kind whose minima are counted")
    betas: tuple[float, ...] = _setting((0.05, 0.1, 0.2, 0.5, 1.0, 2.0), "of SmeLU, for which minima are counted")
    minima_clip: float = _setting(6.0, "limit of the activations where minima are counted")

    def __post_init__(self) -> None:
        for name in ("curves_seed", "surfaces_seed", "minima_seed"):
            self._check(name, "at least 0", getattr(self, name) >= 0)
        for name in ("norm_value", "input_range", "minima_clip"):
            self._check(name, "finite and above 0", _is_positive(getattr(self, name)))
        for name in ("norm_values", "betas"):
            values = getattr(self, name)
            rule = "one or more that differ, finite and above 0"
            self._check(name, rule, _differ(values) and all(map(_is_positive, values)))
        for name in ("points", "surface_points"):
            self._check(name, "at least 3", getattr(self, name) >= 3)
        inside = all(0 < p < 1 for p in self.p1)
        self._check("p1", "one or more that differ, between 0 and 1", _differ(self.p1) and inside)
        self._check("networks", "at least 2, for intervals over them", self.networks >= 2)

    def _check(self, name: str, rule: str, holds: bool) -> None:
        if not holds:
            raise InputError(f"--{name} must be {rule}, got {_typed(getattr(self, name))}")


def _is_positive(value: float) -> bool:
    return math.isfinite(value) and value > 0


def _differ(values: tuple[float, ...]) -> bool:
    return bool(values) and len(set(values)) == len(values)


def _typed(value: object) -> str:
    """As one types it after a flag."""
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


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


@dataclasses.dataclass(frozen=True)
class Panel:
    """A chart in a page: `svg` of `chart_style.svg`, or `png` of `inline_png`."""

    caption: str
    svg: str = ""
    png: str = ""


@dataclasses.dataclass(frozen=True)
class Section:
    """A figure in a page.

    Attributes:
      legend: names beside the numbers of their colours (of `chart_style.SERIES`).
      width: of a panel at the least, in rem.
      files: names of those that the figure left beside the page.
    """

    title: str
    sentences: Sequence[str]
    panels: Sequence[Panel]
    tables: Sequence[Table]
    legend: Sequence[tuple[str, int]] = ()
    width: float = 12.0
    files: Sequence[str] = ()


def write_csv(path: Path, columns: Mapping[str, Any]) -> str:
    """Writes columns of equal length; numbers with nine digits. Returns the file's name."""
    with whole_file(str(path)) as beside, open(beside, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([_text(value) for value in row] for row in zip(*columns.values(), strict=True))
    return path.name


def _text(value: Any) -> str:
    return f"{value:.9g}" if isinstance(value, float) else str(value)


def write_pictures(figure: Figure, base: Path, dpi: int = 150) -> list[str]:
    """Writes `base` as PNG and SVG, on white; returns the files' names."""
    paths = [base.with_suffix(suffix) for suffix in (".png", ".svg")]
    for path, dated in zip(paths, ("Software", "Date"), strict=True):  # what would differ from run to run
        with matplotlib.rc_context({**STYLE, "svg.hashsalt": base.name}), whole_file(str(path)) as beside:
            figure.savefig(beside, dpi=dpi, facecolor="white", metadata={dated: None})
    return [path.name for path in paths]


def inline_png(figure: Figure) -> str:
    """A chart without a background, as base64: for what would be too large as SVG."""
    buffer = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(buffer, dpi=110, format="png", transparent=True, metadata={"Software": None})
    return base64.b64encode(buffer.getvalue()).decode("ascii")
