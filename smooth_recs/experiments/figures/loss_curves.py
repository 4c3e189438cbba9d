"""Figure 2: the loss along the single input of random networks, ReLU against SmeLU, and how many local minima it has.

`make_curves` draws one network of each kind, as the paper does. `make_minima` counts the local minima over many
networks of the same kinds, against SmeLU's beta.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import tqdm

from smooth_recs import extras, prediction_difference
from smooth_recs.experiments.drawing_settings import Settings
from smooth_recs.experiments.figures import panels as panels_lib
from smooth_recs.experiments.figures import random_networks
from smooth_recs.experiments.figures.activation_curves import draw_smelu
from smooth_recs.experiments.figures.random_networks import activation_name
from smooth_recs.reports.charts import STYLE, svg
from smooth_recs.reports.formats import Table, TableCell, count, number, short
from smooth_recs.statistics.arrays import Array

with extras.needed("report"):
    import matplotlib
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BETAS = (0.0, 0.1, 0.5, 1.0)
Losses = dict[tuple[str, float, float], Array]  # by row, beta and p1
Counts = dict[str, npt.NDArray[np.int64]]  # by kind of network: [p1, beta (0 first), network]


def weight_norm(norm_value: float, clip: float, normalize_output: bool) -> random_networks.Kind:
    """The networks of the figure's upper rows, with the variances of its caption."""
    return random_networks.Kind("weight", 25.0, 0.25, norm_value, clip, normalize_output)


def layer_norm(clip: float) -> random_networks.Kind:
    """The networks of the figure's lower rows."""
    return random_networks.Kind("layer", 1.0, 1.0, clip=clip)


def kinds(settings: Settings) -> dict[str, random_networks.Kind]:
    """The figure's rows of networks."""
    # The clip is that of the caption; only where minima are counted it is a setting.
    clip = 6.0
    held = weight_norm(settings.norm_value, clip, settings.normalize_output)
    return {"weight norm": held, "layer norm": layer_norm(clip)}


def losses(settings: Settings) -> Losses:
    """[points] by row, beta and p1."""
    x = random_networks.inputs(settings.input_range, settings.points)
    found = {}
    for row, kind in kinds(settings).items():
        network = random_networks.RandomNetwork(kind, 1, settings.curves_seed)
        for beta in BETAS:
            score = network.scores(x, random_networks.activation(beta))
            found.update({(row, beta, p1): random_networks.logistic(score, p1) for p1 in settings.p1})
    return found


def scaled(found: Losses) -> Losses:
    """The curves of one row and p1 on the same axes, 0 to 1: by the least and the largest value of all activations."""
    ends = {}
    for row, p1 in {(row, p1) for row, _, p1 in found}:
        together = [curve for (r, _, p), curve in found.items() if (r, p) == (row, p1)]
        # A loss that is the same everywhere stays at 0, without a division by 0.
        ends[row, p1] = np.min(together), max(float(np.ptp(together)), np.finfo(np.float64).tiny)
    return {(row, beta, p): (curve - ends[row, p][0]) / ends[row, p][1] for (row, beta, p), curve in found.items()}


def make_curves(settings: Settings, folder: str) -> panels_lib.Section:
    """Draws figure 2 into `folder`: curves.png, .svg and .csv."""
    found = losses(settings)
    shown, x = scaled(found), random_networks.inputs(settings.input_range, settings.points)[:, 0]
    keys = [f"p₁ = {p:g}" for p in settings.p1]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(12, 6.6), layout="constrained")
        names = list(kinds(settings))
        grid = figure.subplots(len(names) + 1, len(BETAS))
        for column, beta in enumerate(BETAS):
            for k, row in enumerate(names):
                _draw_curves(grid[k, column], x, shown, row, beta)
            draw_smelu(grid[-1, column], beta)
            grid[0, column].set_title(activation_name(beta))
        for k, name in enumerate([*(f"loss, {row}" for row in names), "activation"]):
            grid[k, 0].set_ylabel(name)
        figure.legend(grid[0, 0].lines, keys, loc="outside lower left", ncols=len(keys), frameon=False, fontsize=9)
    files = panels_lib.write_pictures(figure, os.path.join(folder, "curves"))
    columns = {f"{row}, {activation_name(beta)}, p1 {p:g}": curve for (row, beta, p), curve in found.items()}
    files.append(panels_lib.write_csv(os.path.join(folder, "curves.csv"), {"x": x, **columns}))
    panels, tables = [], []
    for row in kinds(settings):
        for beta in BETAS:
            draw = functools.partial(_draw_curves, x=x, shown=shown, row=row, beta=beta)
            chart = svg(f"curves-{row}-{beta}", row, (3, 2.3), draw)
            panels.append(panels_lib.Panel(f"{activation_name(beta)}, {row}", chart))
        rows = {}
        for p in settings.p1:
            of_p1 = [found[row, beta, p] for beta in BETAS]
            rows[f"local minima, p₁ = {p:g}"] = [number(random_networks.minima(curve), count) for curve in of_p1]
            rows[f"loss, highest − lowest, p₁ = {p:g}"] = [number(float(np.ptp(curve)), short) for curve in of_p1]
        tables.append(Table(("", *map(activation_name, BETAS)), rows, title=row.capitalize()))
    for beta in BETAS:
        chart = svg(f"curves-{beta}", "The activation", (3, 2.3), functools.partial(draw_smelu, beta=beta))
        panels.append(panels_lib.Panel(activation_name(beta), chart))
    sentences = [
        "Five hidden layers of 256, 128, 64, 32 and 16 units with random weights turn a single input into a score s; "
        "the curves are the logistic loss p₁ log(1 + exp(−s)) + (1 − p₁) log(1 + exp(s)). Weights and biases are the "
        "same in all panels of a row: only the activation differs. Curves of one row and p₁ share one scale.",
        f"Weight norm: weights from N(0, 25), biases from N(0, 0.25), rows of weights at norm {settings.norm_value:g}. "
        "Layer norm: weights and biases from N(0, 1), pre-activations of mean 0 and variance 1. Activations are "
        f"clipped to ±6. Seed {settings.curves_seed}, {settings.points:,} points.",
    ]
    legend = [(key, panels_lib.colour_number(k)) for k, key in enumerate(keys)]
    title = "Figure 2: loss along one input of a random network"
    return panels_lib.Section(title, sentences, panels, tables, legend=legend, files=files)


def _draw_curves(axes: Axes, x: Array, shown: Losses, row: str, beta: float) -> None:
    of_panel = [curve for (r, b, _), curve in shown.items() if (r, b) == (row, beta)]
    for k, curve in enumerate(of_panel):
        axes.plot(x, curve, color=panels_lib.colour(k), linewidth=1.2)
    axes.set_ylim(-0.05, 1.05)
    axes.set_xlim(x[0], x[-1])
    panels_lib.quiet(axes)
    axes.set_yticks([])  # the scale is the row's own


def counted_kinds(settings: Settings) -> dict[str, random_networks.Kind]:
    """The kinds of networks whose minima are counted: figure 2's, the first at several norms."""
    clip, normalize_output = settings.minima_clip, settings.normalize_output
    held = {f"weight norm, v = {v:g}": weight_norm(v, clip, normalize_output) for v in settings.norm_values}
    return {**held, "layer norm": layer_norm(clip)}


def widths(settings: Settings) -> tuple[float, ...]:
    """0, which is ReLU, and the betas from narrow to wide."""
    return (0.0, *sorted(settings.betas))


def counted(settings: Settings) -> Counts:
    """Local minima of every network; it is one and the same at every beta and p1."""
    x, betas = random_networks.inputs(settings.input_range, settings.points), widths(settings)
    shape = (len(settings.p1), len(betas), settings.networks)
    found: Counts = {name: np.zeros(shape, np.int64) for name in counted_kinds(settings)}
    total = settings.networks * len(found)
    with tqdm.tqdm(desc="minima", total=total, unit="network", leave=False, disable=None, file=sys.stderr) as bar:
        for k in range(settings.networks):
            for name, kind in counted_kinds(settings).items():
                network = random_networks.RandomNetwork(kind, 1, settings.minima_seed + k)
                for b, beta in enumerate(betas):
                    score = network.scores(x, random_networks.activation(beta))
                    of_p1 = [random_networks.logistic(score, p1) for p1 in settings.p1]
                    found[name][:, b, k] = list(map(random_networks.minima, of_p1))
                bar.update()
    return found


def make_minima(settings: Settings, folder: str) -> panels_lib.Section:
    """Counts and draws into `folder`: minima.png, .svg and .csv, and minima_networks.csv with every count."""
    found, betas = counted(settings), widths(settings)
    means, every = [], []
    for name, counts in found.items():
        for (k, b), value in np.ndenumerate(counts.mean(axis=2)):
            low, high = prediction_difference.interval_over_seeds(counts[k, b])
            means.append((name, settings.p1[k], betas[b], float(value), low, high))
        for (k, b, n), minima in np.ndenumerate(counts):
            every.append((name, settings.minima_seed + n, settings.p1[k], betas[b], int(minima)))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(4 * len(settings.p1), 3.6), layout="constrained")
        grid = figure.subplots(1, len(settings.p1), sharey=True, squeeze=False)[0]
        for k, (axes, p1) in enumerate(zip(grid, settings.p1, strict=True)):
            _draw_minima(axes, settings, found, k)
            axes.set_title(f"p₁ = {p1:g}")
            axes.set_xlabel("β of SmeLU")
        grid[0].set_ylabel("local minima")
        labels = grid[0].get_legend_handles_labels()
        figure.legend(*labels, loc="outside lower left", ncols=len(found), frameon=False, fontsize=9)
    files = panels_lib.write_pictures(figure, os.path.join(folder, "minima"))
    of_means, of_all = (
        dict(zip(names, zip(*rows, strict=True), strict=True))
        for names, rows in (
            (("network", "p1", "beta", "minima", "low", "high"), means),
            (("network", "seed", "p1", "beta", "minima"), every),
        )
    )
    files.append(panels_lib.write_csv(os.path.join(folder, "minima.csv"), of_means))
    files.append(panels_lib.write_csv(os.path.join(folder, "minima_networks.csv"), of_all))
    panels, tables = [], []
    for k, p in enumerate(settings.p1):
        draw = functools.partial(_draw_minima, settings=settings, found=found, k=k)
        chart = svg(f"minima-{p}", "Local minima against beta", (4, 3), draw)
        panels.append(panels_lib.Panel(f"Local minima, p₁ = {p:g}", chart))
        rows = {
            name: [TableCell((_mean_and_interval(each),), (float(each.mean()),)) for each in counts[k]]
            for name, counts in found.items()
        }
        tables.append(Table(("", *map(activation_name, betas)), rows, title=f"Mean number of local minima, p₁ = {p:g}"))
    setting = (
        f"The networks of figure 2, {settings.networks} of each kind (seeds from {settings.minima_seed} on), the same "
        f"at every β. Counted between −{settings.input_range:g} and {settings.input_range:g}, at {settings.points:,} "
        f"points; activations clipped to ±{settings.minima_clip:g}. In parentheses 95% intervals of the mean over "
        "networks (Student's t)."
    )
    return panels_lib.Section(
        "Number of local minima against β",
        [setting, *minima_sentences(settings, found)],
        panels,
        tables,
        legend=[(name, panels_lib.colour_number(k)) for k, name in enumerate(found)],
        width=18,
        files=files,
        verdict=minima_verdict(settings, found),
    )


def minima_verdict(settings: Settings, found: Counts) -> str:
    """Whether SmeLU at its widest has fewer minima than ReLU at the first p1, in how many kinds of networks."""
    fewer = sum(
        prediction_difference.interval_over_seeds(of_p1[0][-1] - of_p1[0][0])[1] < 0 for of_p1 in found.values()
    )
    what = f"SmeLU {widths(settings)[-1]:g} has fewer local minima than ReLU"
    if not fewer:
        return f"It is not shown that {what}"
    return f"{what}, beyond chance, in {fewer} of {len(found)} kinds of random networks"


def minima_sentences(settings: Settings, found: Counts) -> list[str]:
    """What the counts say at the first p1, kind by kind: whether SmeLU has fewer minima than ReLU, and how many."""
    betas, sentences = widths(settings), []
    for name, of_p1 in found.items():
        counts, relu = of_p1[0], of_p1[0][0]
        # Network by network: how many minima a network has depends far more on its weights than on the width.
        changes = [prediction_difference.interval_over_seeds(each - relu) for each in counts[1:]]
        fewer = [beta for beta, (_, high) in zip(betas[1:], changes, strict=True) if high < 0]
        ends = f"{_mean_and_interval(relu)} minima with ReLU, {_mean_and_interval(counts[-1])} with SmeLU {betas[-1]:g}"
        if not fewer:
            sentences.append(f"{name}: {ends}. No width has fewer minima than ReLU beyond chance.")
            continue
        where = "every width" if len(fewer) == len(changes) else f"β = {', '.join(f'{beta:g}' for beta in fewer)}"
        falls = bool(np.all(np.diff(counts.mean(axis=1)) <= 0))
        order = "falls, or stays," if falls else "does not fall"
        sentences.append(
            f"{name}: {ends}. Fewer than ReLU in the same networks beyond chance at {where}; the mean {order} with "
            "every step of β."
        )
    return sentences


def _mean_and_interval(counts: npt.NDArray[np.int64]) -> str:
    low, high = prediction_difference.interval_over_seeds(counts)
    return f"{short(float(counts.mean()))} ({short(low)} to {short(high)})"


def _draw_minima(axes: Axes, settings: Settings, found: Mapping[str, npt.NDArray[np.int64]], k: int) -> None:
    betas = widths(settings)
    # At even places: the betas about double from one to the next, and 0, which is ReLU, has no place on a log scale.
    places = range(len(betas))
    for index, (name, counts) in enumerate(found.items()):
        means = counts[k].mean(axis=1)
        ends = np.array([prediction_difference.interval_over_seeds(each) for each in counts[k]])
        axes.plot(places, means, color=panels_lib.colour(index), marker="o", markersize=3.5, linewidth=1.4, label=name)
        axes.fill_between(places, *ends.T, color=panels_lib.colour(index), alpha=0.18, linewidth=0)
    panels_lib.quiet(axes, ticks=6)
    axes.set_xticks(places, ["ReLU", *(f"{beta:g}" for beta in betas[1:])])
    axes.set_ylim(bottom=0)
