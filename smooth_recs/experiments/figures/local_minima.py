"""How many local minima the loss has along an input, against beta, over many random networks."""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib
import numpy as np
import numpy.typing as npt
import tqdm
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from smooth_recs import prediction_difference
from smooth_recs.experiments.figures import panels as panels_lib
from smooth_recs.experiments.figures import random_networks
from smooth_recs.experiments.figures.panels import Settings
from smooth_recs.reports import formats
from smooth_recs.reports.charts import STYLE, svg
from smooth_recs.reports.formats import Table, TableCell

Counts = dict[str, npt.NDArray[np.int64]]  # by kind of network: [p1, beta (0 first), network]


def kinds(settings: Settings) -> dict[str, random_networks.Kind]:
    """Figure 2's two kinds of networks, the first at several norms."""
    clip, normalize_output = settings.minima_clip, settings.normalize_output
    held = {
        f"weight norm, v = {v:g}": random_networks.Kind("weight", 25.0, 0.25, v, clip, normalize_output)
        for v in settings.norm_values
    }
    return {**held, "layer norm": random_networks.Kind("layer", 1.0, 1.0, clip=clip)}


def widths(settings: Settings) -> tuple[float, ...]:
    """0, which is ReLU, and the betas from narrow to wide."""
    return (0.0, *sorted(settings.betas))


def counted(settings: Settings) -> Counts:
    """Local minima of every network; it is one and the same at every beta and p1."""
    x, betas = random_networks.inputs(settings.input_range, settings.points), widths(settings)
    shape = (len(settings.p1), len(betas), settings.networks)
    found: Counts = {name: np.zeros(shape, np.int64) for name in kinds(settings)}
    total = settings.networks * len(found)
    with tqdm.tqdm(desc="minima", total=total, unit="network", leave=False, disable=None, file=sys.stderr) as bar:
        for k in range(settings.networks):
            for name, kind in kinds(settings).items():
                network = random_networks.RandomNetwork(kind, 1, settings.minima_seed + k)
                for b, beta in enumerate(betas):
                    score = network.scores(x, random_networks.activation(beta))
                    losses = [random_networks.logistic(score, p1) for p1 in settings.p1]
                    found[name][:, b, k] = list(map(random_networks.minima, losses))
                bar.update()
    return found


def make(settings: Settings, folder: Path) -> panels_lib.Section:
    """Counts and draws into `folder`: minima.png, .svg and .csv, and minima_networks.csv with every count."""
    found = counted(settings)
    files = panels_lib.write_pictures(_picture(settings, found), folder / "minima")
    files.append(panels_lib.write_csv(folder / "minima.csv", _means(settings, found)))
    files.append(panels_lib.write_csv(folder / "minima_networks.csv", _every(settings, found)))
    panels = [
        panels_lib.Panel(f"Local minima, p₁ = {p:g}", svg(f"minima-{p}", "Local minima against beta", (4, 3), draw))
        for k, p in enumerate(settings.p1)
        for draw in [lambda axes, k=k: _draw(axes, settings, found, k)]
    ]
    return panels_lib.Section(
        "Number of local minima against β",
        [_setting(settings), *sentences(settings, found)],
        panels,
        [_table(settings, found, k) for k in range(len(settings.p1))],
        legend=[(name, panels_lib.colour_number(k)) for k, name in enumerate(found)],
        width=18,
        files=files,
    )


def sentences(settings: Settings, found: Counts) -> list[str]:
    """What the counts say at the first p1, kind by kind: whether SmeLU has fewer minima than ReLU, and how many."""
    return [_sentence(settings, name, counts[0]) for name, counts in found.items()]


def _sentence(settings: Settings, name: str, counts: npt.NDArray[np.int64]) -> str:
    betas, relu = widths(settings), counts[0]
    changes = [prediction_difference.interval_over_seeds(each - relu) for each in counts[1:]]
    fewer = [beta for beta, (_, high) in zip(betas[1:], changes, strict=True) if high < 0]
    falls = bool(np.all(np.diff(counts.mean(axis=1)) <= 0))
    said = f"{name}: {_mean(relu)} minima with ReLU, {_mean(counts[-1])} with SmeLU {betas[-1]:g}"
    if not fewer:
        return f"{said}. No width has fewer minima than ReLU beyond chance."
    every = "every width" if len(fewer) == len(changes) else f"β = {', '.join(f'{beta:g}' for beta in fewer)}"
    order = (
        "; the mean falls, or stays, with every step of β" if falls else "; the mean does not fall with every step of β"
    )
    return f"{said}. Fewer than ReLU in the same networks beyond chance at {every}{order}."


def _setting(settings: Settings) -> str:
    return (
        f"The networks of figure 2, {settings.networks} of each kind (seeds from {settings.minima_seed} on), the same "
        f"at every β. Counted between −{settings.input_range:g} and {settings.input_range:g}, at {settings.points:,} "
        f"points; activations clipped to ±{settings.minima_clip:g}. In parentheses 95% intervals of the mean over "
        "networks (Student's t)."
    )


def _mean(counts: npt.NDArray[np.int64]) -> str:
    low, high = prediction_difference.interval_over_seeds(counts)
    return f"{formats.short(float(counts.mean()))} ({formats.short(low)} to {formats.short(high)})"


def _means(settings: Settings, found: Counts) -> dict[str, list[object]]:
    columns: dict[str, list[object]] = {name: [] for name in ("network", "p1", "beta", "minima", "low", "high")}
    for name, counts in found.items():
        for k, p1 in enumerate(settings.p1):
            for beta, each in zip(widths(settings), counts[k], strict=True):
                interval = prediction_difference.interval_over_seeds(each)
                for column, value in zip(columns, (name, p1, beta, float(each.mean()), *interval), strict=True):
                    columns[column].append(value)
    return columns


def _every(settings: Settings, found: Counts) -> dict[str, list[object]]:
    columns: dict[str, list[object]] = {name: [] for name in ("network", "seed", "p1", "beta", "minima")}
    for name, counts in found.items():
        for (k, b, n), value in np.ndenumerate(counts):
            row = (name, settings.minima_seed + n, settings.p1[k], widths(settings)[b], int(value))
            for column, each in zip(columns, row, strict=True):
                columns[column].append(each)
    return columns


def _picture(settings: Settings, found: Counts) -> Figure:
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(4 * len(settings.p1), 3.6), layout="constrained")
        grid = figure.subplots(1, len(settings.p1), sharey=True, squeeze=False)[0]
        for k, (axes, p1) in enumerate(zip(grid, settings.p1, strict=True)):
            _draw(axes, settings, found, k)
            axes.set_title(f"p₁ = {p1:g}")
            axes.set_xlabel("β of SmeLU")
        grid[0].set_ylabel("local minima")
        names = grid[0].get_legend_handles_labels()
        figure.legend(*names, loc="outside lower left", ncols=len(found), frameon=False, fontsize=9)
    return figure


def _draw(axes: Axes, settings: Settings, found: Counts, k: int) -> None:
    betas = widths(settings)
    places = range(len(betas))
    for index, (name, counts) in enumerate(found.items()):
        means = counts[k].mean(axis=1)
        ends = np.array([prediction_difference.interval_over_seeds(each) for each in counts[k]])
        axes.plot(places, means, color=panels_lib.colour(index), marker="o", markersize=3.5, linewidth=1.4, label=name)
        axes.fill_between(places, *ends.T, color=panels_lib.colour(index), alpha=0.18, linewidth=0)
    panels_lib.quiet(axes, ticks=6)
    axes.set_xticks(places, ["ReLU", *(f"{beta:g}" for beta in betas[1:])])
    axes.set_ylim(bottom=0)


def _table(settings: Settings, found: Counts, k: int) -> Table:
    rows = {
        name: [TableCell((_mean(each),), (float(each.mean()),)) for each in counts[k]] for name, counts in found.items()
    }
    columns = ("", *map(random_networks.activation_name, widths(settings)))
    return Table(columns, rows, title=f"Mean number of local minima, p₁ = {settings.p1[k]:g}")
