"""Figure 2: the loss along the single input of random networks, ReLU against SmeLU."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from smooth_recs.experiments.figures import panels as panels_lib
from smooth_recs.experiments.figures import random_networks
from smooth_recs.experiments.figures.activation_curves import draw_smelu
from smooth_recs.experiments.figures.panels import Settings
from smooth_recs.reports.charts import STYLE, svg
from smooth_recs.reports.formats import Table, count, number, short
from smooth_recs.statistics.arrays import Array

BETAS = (0.0, 0.1, 0.5, 1.0)
Losses = dict[tuple[str, float, float], Array]  # by row, beta and p1


def kinds(settings: Settings) -> dict[str, random_networks.Kind]:
    """The figure's rows of networks, with the variances of its caption."""
    v, normalize_output = settings.norm_value, settings.normalize_output
    return {
        "weight norm": random_networks.Kind("weight", 25.0, 0.25, v, normalize_output=normalize_output),
        "layer norm": random_networks.Kind("layer", 1.0, 1.0),
    }


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
        ends[row, p1] = np.min(together), max(float(np.ptp(together)), np.finfo(np.float64).tiny)
    return {(row, beta, p): (curve - ends[row, p][0]) / ends[row, p][1] for (row, beta, p), curve in found.items()}


def make(settings: Settings, folder: Path) -> panels_lib.Section:
    """Draws figure 2 into `folder`: curves.png, .svg and .csv."""
    found = losses(settings)
    shown, x = scaled(found), random_networks.inputs(settings.input_range, settings.points)[:, 0]
    files = panels_lib.write_pictures(_picture(settings, x, shown), folder / "curves")
    columns = {
        f"{row}, {random_networks.activation_name(beta)}, p1 {p:g}": curve for (row, beta, p), curve in found.items()
    }
    files.append(panels_lib.write_csv(folder / "curves.csv", {"x": x, **columns}))
    panels = [
        panels_lib.Panel(
            f"{random_networks.activation_name(beta)}, {row}", svg(f"curves-{row}-{beta}", row, (3, 2.3), draw)
        )
        for row in kinds(settings)
        for beta in BETAS
        for draw in [lambda axes, row=row, beta=beta: _draw(axes, x, shown, row, beta)]
    ]
    panels += [
        panels_lib.Panel(
            f"{random_networks.activation_name(beta)}", svg(f"curves-{beta}", "The activation", (3, 2.3), draw)
        )
        for beta in BETAS
        for draw in [lambda axes, beta=beta: draw_smelu(axes, beta)]
    ]
    return panels_lib.Section(
        "Figure 2: loss along one input of a random network",
        _sentences(settings),
        panels,
        [_table(row, settings, found) for row in kinds(settings)],
        legend=[(f"p₁ = {p:g}", panels_lib.colour_number(k)) for k, p in enumerate(settings.p1)],
        files=files,
    )


def _sentences(settings: Settings) -> list[str]:
    return [
        "Five hidden layers of 256, 128, 64, 32 and 16 units with random weights turn a single input into a score s; "
        "the curves are the logistic loss p₁ log(1 + exp(−s)) + (1 − p₁) log(1 + exp(s)). Weights and biases are the "
        "same in all panels of a row: only the activation differs. Curves of one row and p₁ share one scale.",
        f"Weight norm: weights from N(0, 25), biases from N(0, 0.25), rows of weights at norm {settings.norm_value:g}. "
        "Layer norm: weights and biases from N(0, 1), pre-activations of mean 0 and variance 1. Activations are "
        f"clipped to ±6. Seed {settings.curves_seed}, {settings.points:,} points.",
    ]


def _picture(settings: Settings, x: Array, shown: Losses) -> Figure:
    rows = list(kinds(settings))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(12, 6.6), layout="constrained")
        grid = figure.subplots(len(rows) + 1, len(BETAS))
        for column, beta in enumerate(BETAS):
            for k, row in enumerate(rows):
                _draw(grid[k, column], x, shown, row, beta)
            draw_smelu(grid[-1, column], beta)
            grid[0, column].set_title(random_networks.activation_name(beta))
        for k, name in enumerate([*(f"loss, {row}" for row in rows), "activation"]):
            grid[k, 0].set_ylabel(name)
        keys = [f"p₁ = {p:g}" for p in settings.p1]
        figure.legend(grid[0, 0].lines, keys, loc="outside lower left", ncols=len(keys), frameon=False, fontsize=9)
    return figure


def _draw(axes: Axes, x: Array, shown: Losses, row: str, beta: float) -> None:
    of_panel = [curve for (r, b, _), curve in shown.items() if (r, b) == (row, beta)]
    for k, curve in enumerate(of_panel):
        axes.plot(x, curve, color=panels_lib.colour(k), linewidth=1.2)
    axes.set_ylim(-0.05, 1.05)
    axes.set_xlim(x[0], x[-1])
    panels_lib.bare(axes)


def _table(row: str, settings: Settings, found: Mapping[tuple[str, float, float], Array]) -> Table:
    """Local minima and the range of the loss, an activation a column."""
    rows = {}
    for p in settings.p1:
        of_p1 = [found[row, beta, p] for beta in BETAS]
        rows[f"local minima, p₁ = {p:g}"] = [number(random_networks.minima(curve), count) for curve in of_p1]
        rows[f"loss, highest − lowest, p₁ = {p:g}"] = [number(float(np.ptp(curve)), short) for curve in of_p1]
    return Table(("", *map(random_networks.activation_name, BETAS)), rows, title=row.capitalize())
