"""The look of a chart, and how a chart becomes a part of a page that follows the reader's light or dark mode."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

# Each as (on white, on dark); inside a page every colour is a CSS variable that the page sets to one of the two.
SERIES = (
    ("#868c96", "#9ba2ad"),
    ("#2566ae", "#6dabef"),
    ("#c0560e", "#ee9a5e"),
    ("#2c7d4f", "#6ac390"),
    ("#7b4db2", "#b696e8"),
    ("#0c7a88", "#5bc2cf"),
)
INK, MUTED, LINE = "#1e2228", "#68707d", "#dfe1e4"
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "text.color": INK,
    "text.parse_math": False,  # a dollar sign in a setting is a dollar sign
    "axes.titlesize": 10,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 9,
    "axes.edgecolor": LINE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.7,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 9,
    "svg.fonttype": "none",
}
STEPS = (1, 2, 2.5, 5, 10)  # ticks at 2%, 4%, 6%, never 8%, 16%, 24%
_NAME_LENGTH = 22
_VARIABLES = {
    INK: "currentColor",
    MUTED: "var(--muted)",
    LINE: "var(--line)",
    **{light: f"var(--series-{index})" for index, (light, _) in enumerate(SERIES)},
}


def colour_index(position: int, runs: int) -> int:
    """Which of `SERIES` a run has: grey is for the baseline of a comparison."""
    return (position if runs > 1 else 1) % len(SERIES)


def svg(name: str, description: str, size: tuple[float, float], draw: Callable[[Axes], None]) -> str:
    """A chart to stand inside HTML: it takes the width, the colours and the font of its place.

    Args:
      name: differs from chart to chart, so that no two on a page share an id.
      description: for those who do not see the chart.
      size: in inches of matplotlib's; only the proportions and the relative size of the text remain.
      draw: fills the axes.
    """
    buffer = io.StringIO()
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": name}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph", UserWarning)  # the page's own fonts may have what matplotlib's lack
        figure = Figure(figsize=size, layout="constrained")
        draw(figure.add_subplot())
        no_metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(buffer, format="svg", transparent=True, metadata=no_metadata)
    return _inline(buffer.getvalue(), description)


def row_names(axes: Axes, names: Sequence[str]) -> None:
    """One row a name, the first on top; long names are cut."""
    lines = ["".join(letter if letter.isprintable() else " " for letter in name) for name in names]
    short = [line if len(line) <= _NAME_LENGTH else line[: _NAME_LENGTH - 1] + "…" for line in lines]
    axes.set_yticks(range(len(names)), short)
    axes.set_ylim(len(names) - 0.45, -0.55)
    axes.tick_params(length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")


def percent_ticks(axis: Axis, ticks: int) -> None:
    axis.set_major_locator(MaxNLocator(ticks, steps=STEPS))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g}%"))


def _inline(document: str, description: str) -> str:
    """Without what only a file of its own needs, and without ids and styles that reach beyond the chart."""
    text = document[document.index("<svg") :]
    text = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r'<g id="[\w.]+_\d+"', "<g", text)
    opening = re.compile(r'<svg [^>]*(viewBox="[^"]*")[^>]*>')
    text = opening.sub(lambda found: f'<svg {found[1]} role="img" aria-label="{escape(description)}">', text, count=1)
    return re.sub(r'style="[^"]*"', _with_variables, text)


def _with_variables(style: re.Match[str]) -> str:
    return re.sub(r"#[0-9a-f]{6}", lambda colour: _VARIABLES.get(colour[0], colour[0]), style[0])
