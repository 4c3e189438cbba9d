"""Charts of a report: SVG that follows the page's light or dark mode, and a PNG for a README.

`svg` and the settings above it are shared by all pages; the functions from `pd_bars` on draw runs.
"""

from __future__ import annotations

import io
import itertools
import re
import warnings
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

from smooth_recs import extras
from smooth_recs.measures.measure import Measure
from smooth_recs.reports import formats
from smooth_recs.reports.formats import decimal, percent
from smooth_recs.workdir.finished_runs import Run, is_number

with extras.needed("report"):
    import matplotlib
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter, FuncFormatter, MaxNLocator

# Colours on white and on dark. Inside a page each colour is a CSS variable, which the page sets to one of the two.
SERIES = (
    ("#868c96", "#9ba2ad"),
    ("#2566ae", "#6dabef"),
    ("#b5510d", "#ee9a5e"),
    ("#2c7d4f", "#6ac390"),
    ("#7b4db2", "#b696e8"),
    ("#0c7a88", "#5bc2cf"),
)
INK, MUTED, LINE = "#1e2228", "#68707d", "#dfe1e4"
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "text.color": INK,
    # matplotlib would read what stands between two dollar signs of a user's text as a formula.
    "text.parse_math": False,
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
    # Text stays text, in the font of the page.
    "svg.fonttype": "none",
}
# Distances of ticks: at 2%, 4%, 6%, never at 8%, 16%, 24%.
STEPS = (1, 2, 2.5, 5, 10)
# The few examples beyond this share would squeeze the others into a corner of the histogram.
_HISTOGRAM_SHARE = 0.995
# A narrower axis would look like a difference where there is none.
_LEAST_AUC_RANGE = 0.001
_NAME_LENGTH = 22
# Begins the id of what has a value to show; no id of matplotlib's own has a space.
_VALUE = "value "
# More values than these would make a page heavy; they are in its tables.
_MOST_VALUES = 200
_VARIABLES = {
    INK: "currentColor",
    MUTED: "var(--muted)",
    LINE: "var(--line)",
    **{light: f"var(--series-{index})" for index, (light, _) in enumerate(SERIES)},
}


def colour_index(position: int, runs: int) -> int:
    """The place in `SERIES` of a run's colour; the first, grey, is for the baseline of a comparison."""
    return (position if runs > 1 else 1) % len(SERIES)


def colour(position: int, runs: int) -> str:
    """A run's colour on white."""
    return SERIES[colour_index(position, runs)][0]


def svg(
    name: str,
    description: str,
    size: tuple[float, float],
    draw: Callable[[Axes], None],
    margins: tuple[float, float, float, float] | None = None,
) -> str:
    """Draws a chart for the inside of an HTML page, where it takes the width, the colours and the font of its place.

    Args:
      name: a different one for each chart of a page: ids inside the SVG are hashes of it.
      description: text for readers who do not see the chart.
      size: width and height in inches; only their proportion, and the relative size of the text, remain in a page.
      draw: fills the axes.
      margins: left, right, bottom and top of the axes in inches, where several charts are to have one scale; None for
        those that its own labels need.
    """
    buffer = io.StringIO()
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": name}), warnings.catch_warnings():
        # The reader's fonts may have letters that matplotlib's fonts lack.
        warnings.filterwarnings("ignore", "Glyph", UserWarning)
        figure = Figure(figsize=size, layout=None if margins else "constrained")
        if margins:
            (left, right, bottom, top), (width, height) = margins, size
            figure.subplots_adjust(left / width, bottom / height, 1 - right / width, 1 - top / height)
        draw(figure.add_subplot())
        # Without metadata, which has the time: equal runs give equal files.
        no_metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(buffer, format="svg", transparent=True, metadata=no_metadata)
    # What only a file of its own needs goes: the XML head, a style sheet that would reach beyond the chart, and ids of
    # groups, which would occur in every chart of the page.
    document = buffer.getvalue()
    text = document[document.index("<svg") :]
    text = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r'<g id="[\w.]+_\d+"', "<g", text)
    text = re.sub(rf'<g id="{_VALUE}([^"]*)">', r'<g class="value"><title>\1</title>', text)
    opening = re.compile(r'<svg [^>]*(viewBox="[^"]*")[^>]*>')
    text = opening.sub(lambda found: f'<svg {found[1]} role="img" aria-label="{escape(description)}">', text, count=1)
    # Only inside styles: a colour in a text is a user's.
    return re.sub(
        r'style="[^"]*"',
        lambda style: re.sub(r"#[0-9a-f]{6}", lambda code: _VARIABLES.get(code[0], code[0]), style[0]),
        text,
    )


def show_value(artist: Artist, text: str) -> None:
    """Makes a mark of a chart say a text where the pointer is on it."""
    # A line break would stay one in the page.
    artist.set_gid(_VALUE + " ".join(text.split()))


def show_value_at(axes: Axes, x: float, y: float, text: str) -> None:
    """Makes a point of a chart, and a little around it, say a text where the pointer is on it."""
    (spot,) = axes.plot([x], [y], "o", color=INK, markersize=11, alpha=0.0, markeredgewidth=0, zorder=6)
    show_value(spot, text)


def shortened(name: str) -> str:
    """A name as it is written beside a row: in one line, and cut where it is long."""
    line = "".join(letter if letter.isprintable() else " " for letter in name)
    return line if len(line) <= _NAME_LENGTH else line[: _NAME_LENGTH - 1] + "…"


def row_names(axes: Axes, names: Sequence[str]) -> None:
    """Labels the rows of a horizontal chart, the first on top; long names are cut."""
    axes.set_yticks(range(len(names)), list(map(shortened, names)))
    axes.set_ylim(len(names) - 0.45, -0.55)
    axes.tick_params(length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")


def percent_ticks(axis: Axis, ticks: int) -> None:
    """Writes shares as percentages, at no more than `ticks` intervals."""
    axis.set_major_locator(MaxNLocator(ticks, steps=STEPS))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g}%"))


def pd_bars(runs: Sequence[Run]) -> str:
    """PD of each run with its interval, as SVG."""
    return svg("pd", "Prediction difference of each run", (4.2, _height(runs)), lambda axes: _pd_bars(axes, runs))


def auc_dots(runs: Sequence[Run]) -> str:
    """AUC of every replica, one row for each run, as SVG."""
    return svg("auc", "AUC of every replica", (4.2, _height(runs)), lambda axes: _auc_dots(axes, runs))


def pd_histogram(runs: Sequence[Run]) -> str:
    """Distribution of PD over the held-out examples, as SVG; a dashed line at each run's mean."""

    def draw(axes: Axes) -> None:
        limits = []
        for row, run in enumerate(runs):
            bins = run.pd.get("histogram") or {}
            edges, counts = bins.get("edges") or [], bins.get("counts") or []
            total = sum(counts)
            if not total:
                continue
            # Shares for each percentage point, so that bins of different widths can be compared.
            widths = [high - low for low, high in itertools.pairwise(edges)]
            density = [count / total / (100 * width) for count, width in zip(counts, widths, strict=True)]
            if len(runs) == 1:
                bars = axes.bar(edges[:-1], density, widths, align="edge", color=INK, alpha=0.0, linewidth=0)
                for bar, (low, high), examples in zip(bars, itertools.pairwise(edges), counts, strict=True):
                    show_value(
                        bar, f"PD {percent(low)} to {percent(high)}: {percent(examples / total)} of the examples"
                    )
            axes.stairs(density, edges, fill=True, color=colour(row, len(runs)), alpha=0.16 if len(runs) > 1 else 0.35)
            axes.stairs(density, edges, color=colour(row, len(runs)), linewidth=1.3)
            axes.axvline(run.pd["relative"], color=colour(row, len(runs)), linewidth=1.3, linestyle=(0, (3, 2)))
            below = zip(edges[1:], itertools.accumulate(counts), strict=True)
            limits.append(next(high for high, seen in below if seen >= _HISTOGRAM_SHARE * total))
        axes.set_xlim(0, max(limits, default=1))
        percent_ticks(axes.xaxis, 6)
        percent_ticks(axes.yaxis, 5)
        _curve_style(axes)
        axes.set_xlabel("PD of an example")
        axes.set_ylabel("share of examples per point of PD")

    return svg("histogram", "Distribution of PD over the examples", (4.4, 2.6), draw)


def history(runs: Sequence[Run], measure: Measure, prefix: str = "") -> str:
    """Course of a measure while training, as SVG; `prefix` and its name are the key in the history of metrics.json."""
    key = prefix + measure.name

    def draw(axes: Axes) -> None:
        for row, run in enumerate(runs):
            points = [(entry["step"], entry[key]) for entry in run.history if is_number(entry.get(key))]
            if points:
                steps, values = zip(*points, strict=True)
                axes.plot(steps, values, color=colour(row, len(runs)), linewidth=1.6, marker="o", markersize=3)
                for step, value in points if len(points) * len(runs) <= _MOST_VALUES else ():
                    whose = f"{run.label}, " if len(runs) > 1 else ""
                    show_value_at(axes, step, value, f"{whose}step {step:,}: {formats.of(measure)(value)}")
        # Shares start at 0, so that heights can be compared; losses would be flat lines then.
        if measure.form == "percent":
            axes.set_ylim(bottom=0)
            percent_ticks(axes.yaxis, 5)
        axes.set_xlim(left=0)
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.xaxis.set_major_locator(MaxNLocator(5, steps=STEPS))
        _curve_style(axes)
        axes.set_xlabel("training step")

    title = f"{measure.short} on rows not trained on yet" if prefix else measure.short
    return svg(f"history-{key}", f"{title} while training", (4.2, 2.5), draw)


def picture(runs: Sequence[Run], output_png: str) -> None:
    """Writes PD with its interval, and AUC beside it, as PNG on white."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8, _height(runs) + 0.2), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(5, 4))
        _pd_bars(left, runs)
        _auc_dots(right, runs)
        left.set_title("Prediction difference (lower is better)", loc="left", pad=9)
        right.set_title("AUC of each replica (higher is better)", loc="left", pad=9)
        right.set_yticklabels([])
        left.set_xlabel("")
        right.set_xlabel("")
        # Without the version of matplotlib: equal runs give equal files.
        figure.savefig(output_png, dpi=200, facecolor="white", metadata={"Software": None})


def _height(runs: Sequence[Run]) -> float:
    """Inches for one row of a run each."""
    return 0.75 + 0.42 * len(runs)


def _pd_bars(axes: Axes, runs: Sequence[Run]) -> None:
    """A bar for each run's PD, with a line for its interval."""
    row_names(axes, [run.label for run in runs])
    ends = [0.0]
    for row, run in enumerate(runs):
        relative = run.pd.get("relative")
        if not is_number(relative):
            _write(axes, "not measured", 0.0, row)
            continue
        low, high = run.pd.get("interval") or (relative, relative)
        (bar,) = axes.barh(row, relative, height=0.52, color=colour(row, len(runs)))
        over = f" ({percent(low)} to {percent(high)} over requests)" if low < high else ""
        show_value(bar, f"{run.label}: PD {percent(relative)}{over}")
        axes.plot([low, high], [row, row], color=INK, linewidth=1.2, marker="|", markersize=5)
        _write(axes, percent(relative), max(relative, high), row)
        ends.append(max(relative, high))
    axes.set_xlim(0, 1.25 * max(ends) or 1)
    percent_ticks(axes.xaxis, 5)
    axes.set_xlabel("lower is better")


def _auc_dots(axes: Axes, runs: Sequence[Run]) -> None:
    """A dot for each replica's AUC, and a mark at the mean of each run."""
    row_names(axes, [run.label for run in runs])
    for row, run in enumerate(runs):
        values, mean = run.values("auc"), run.mean("auc")
        axes.plot(values, [row] * len(values), "o", color=colour(row, len(runs)), markersize=7, markeredgewidth=0)
        for replica, value in enumerate(values):
            show_value_at(axes, value, row, f"{run.label}, replica {replica}: AUC {decimal(value)}")
        if mean is not None:
            axes.plot([mean], [row], "|", color=INK, markersize=13)
            _write(axes, f"mean {decimal(mean)}", max(values), row)
    every = [value for run in runs for value in run.values("auc")] or [0.5]
    span = max(max(every) - min(every), _LEAST_AUC_RANGE)
    axes.set_xlim(min(every) - 0.15 * span, max(every) + 0.75 * span)
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=STEPS))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: decimal(value)))
    axes.set_xlabel("one dot for each replica; higher is better")


def _curve_style(axes: Axes) -> None:
    """Ticks without marks and horizontal grid lines, for charts with numbers on both axes."""
    axes.tick_params(length=0, pad=5, labelcolor=MUTED, labelsize=9)
    axes.grid(axis="y")


def _write(axes: Axes, text: str, x: float, row: int) -> None:
    """Writes a text to the right of x in a row."""
    axes.annotate(text, (x, row), (7, 0), textcoords="offset points", va="center_baseline", fontsize=9)
