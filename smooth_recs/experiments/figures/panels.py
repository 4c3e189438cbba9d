"""What the figures share: the look of their panels, and what each leaves: files, a section of the page."""

from __future__ import annotations

import base64
import csv
import dataclasses
import io
import os
from collections.abc import Mapping, Sequence
from typing import Any

from smooth_recs import _files, extras
from smooth_recs.reports.charts import MUTED, SERIES, STEPS, STYLE
from smooth_recs.reports.formats import Table

with extras.needed("report"):
    import matplotlib
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

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
      verdict: what it shows, in a sentence for the title of the page.
    """

    title: str
    sentences: Sequence[str]
    panels: Sequence[Panel]
    tables: Sequence[Table]
    legend: Sequence[tuple[str, int]] = ()
    width: float = 12.0
    files: Sequence[str] = ()
    verdict: str = ""


def write_csv(path: str, columns: Mapping[str, Any]) -> str:
    """Writes columns of equal length; numbers with nine digits. Returns the file's name."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in zip(*columns.values(), strict=True):
        writer.writerow([f"{value:.9g}" if isinstance(value, float) else value for value in row])
    _files.write_text(path, text.getvalue())
    return os.path.basename(path)


def write_pictures(figure: Figure, base: str, dpi: int = 150) -> list[str]:
    """Writes `base` as PNG and SVG, on white; returns the files' names."""
    paths = [base + suffix for suffix in (".png", ".svg")]
    # Without the metadata that differ from run to run, and with ids by the name: equal figures are equal files.
    for path, dated in zip(paths, ("Software", "Date"), strict=True):
        with (
            matplotlib.rc_context({**STYLE, "svg.hashsalt": os.path.basename(base)}),
            _files.whole_file(path) as beside,
        ):
            figure.savefig(beside, dpi=dpi, facecolor="white", metadata={dated: None})
    return [os.path.basename(path) for path in paths]


def inline_png(figure: Figure) -> str:
    """A chart without a background as a PNG in base64: for what would be too large as SVG."""
    buffer = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(buffer, dpi=110, format="png", transparent=True, metadata={"Software": None})
    return base64.b64encode(buffer.getvalue()).decode("ascii")
