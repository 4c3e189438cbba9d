"""What a figure leaves: files of its own, and a section of the page."""

from __future__ import annotations

import base64
import csv
import dataclasses
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from smooth_recs._files import whole_file
from smooth_recs.reports.chart_style import STYLE
from smooth_recs.reports.table import Table


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
