"""What the figures share: their settings, the look of their panels, and what each leaves: files, a section of the page.

What the paper states of a figure stands in the figure's module; what it leaves open is a setting.
"""

from __future__ import annotations

import base64
import csv
import dataclasses
import io
import math
from collections.abc import Callable, Mapping, Sequence
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
        def check(names: Sequence[str], rule: str, holds: Callable[[Any], bool]) -> None:
            for name in names:
                value = getattr(self, name)
                if not holds(value):
                    typed = ",".join(map(str, value)) if isinstance(value, tuple) else value
                    raise InputError(f"--{name} must be {rule}, got {typed}")

        def is_positive(value: float) -> bool:
            return math.isfinite(value) and value > 0

        def all_differ(values: tuple[float, ...]) -> bool:
            return bool(values) and len(set(values)) == len(values)

        check(("curves_seed", "surfaces_seed", "minima_seed"), "at least 0", lambda seed: seed >= 0)
        check(("norm_value", "input_range", "minima_clip"), "finite and above 0", is_positive)
        rule = "one or more that differ, finite and above 0"
        check(("norm_values", "betas"), rule, lambda values: all_differ(values) and all(map(is_positive, values)))
        check(("points", "surface_points"), "at least 3", lambda points: points >= 3)
        rule = "one or more that differ, between 0 and 1"
        check(("p1",), rule, lambda values: all_differ(values) and all(0 < p < 1 for p in values))
        check(("networks",), "at least 2, for intervals over them", lambda networks: networks >= 2)


# The order in which lines take the colours of SERIES: grey, the baseline of a comparison, comes last.
_ORDER = (1, 2, 3, 4, 5, 0)


def colour_number(index: int) -> int:
    """The number in `SERIES` of the colour of a panel's line `index`."""
    return _ORDER[index % len(_ORDER)]


def colour(index: int) -> str:
    """The colour of a panel's line `index` on white."""
    return SERIES[colour_number(index)][0]


def quiet(axes: Axes, ticks: int = 4) -> None:
    """Gives axes few ticks, no tick marks, and a grid."""
    axes.tick_params(length=0, pad=4, labelcolor=MUTED, labelsize=8)
    axes.xaxis.set_major_locator(MaxNLocator(ticks, steps=STEPS))
    axes.yaxis.set_major_locator(MaxNLocator(ticks, steps=STEPS))
    axes.grid()


@dataclasses.dataclass(frozen=True)
class Panel:
    """A chart in a page: `svg` from `charts.svg`, or `png` from `inline_png`."""

    caption: str
    svg: str = ""
    png: str = ""


@dataclasses.dataclass(frozen=True)
class Section:
    """A figure in a page.

    Attributes:
      legend: names beside the numbers of their colours (in `charts.SERIES`).
      width: the least width of a panel, in rem.
      files: names of the files that the figure left beside the page.
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
        for row in zip(*columns.values(), strict=True):
            writer.writerow([f"{value:.9g}" if isinstance(value, float) else value for value in row])
    return path.name


def write_pictures(figure: Figure, base: Path, dpi: int = 150) -> list[str]:
    """Writes `base` as PNG and SVG, on white; returns the files' names."""
    paths = [base.with_suffix(suffix) for suffix in (".png", ".svg")]
    # Without the metadata that differ from run to run, and with ids by the name: equal figures are equal files.
    for path, dated in zip(paths, ("Software", "Date"), strict=True):
        with matplotlib.rc_context({**STYLE, "svg.hashsalt": base.name}), whole_file(str(path)) as beside:
            figure.savefig(beside, dpi=dpi, facecolor="white", metadata={dated: None})
    return [path.name for path in paths]


def inline_png(figure: Figure) -> str:
    """A chart without a background as a PNG in base64: for what would be too large as SVG."""
    buffer = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(buffer, dpi=110, format="png", transparent=True, metadata={"Software": None})
    return base64.b64encode(buffer.getvalue()).decode("ascii")
