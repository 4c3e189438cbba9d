"""Figure 3: the loss over the two inputs of a random network, ReLU against SmeLU."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from smooth_recs import extras
from smooth_recs.experiments.drawing_settings import Settings
from smooth_recs.experiments.figures import panels as panels_lib
from smooth_recs.experiments.figures import random_networks
from smooth_recs.experiments.figures.activation_curves import draw_smelu
from smooth_recs.experiments.figures.random_networks import activation_name
from smooth_recs.reports.charts import MUTED, STYLE, svg
from smooth_recs.reports.formats import Table, count, number, percent, short
from smooth_recs.statistics.arrays import Array

with extras.needed("report"):
    import matplotlib
    from matplotlib.figure import Figure

BETAS = (0.0, 0.5, 1.0, 2.0)
_P1, _TARGET = 0.1, -2.0
# Seen against the dark end of the colours, where the loss is lowest.
_ON_TARGET = "#ff5a3c"


@dataclasses.dataclass(frozen=True)
class Row:
    """A loss of the caption, the clip that it is shown with, and the score where it is smallest."""

    name: str
    column: str
    clip: float
    loss: Callable[[Array], Array]
    target: float


ROWS = (
    Row(
        name=f"Logistic loss, p₁ = {_P1:g}",
        column=f"logistic loss, p1 {_P1:g}",
        clip=6.0,
        loss=functools.partial(random_networks.logistic, p1=_P1),
        target=random_networks.logit(_P1),
    ),
    Row(
        name=f"Squared loss to −{-_TARGET:g}",
        column=f"squared loss to {_TARGET:g}",
        clip=4.0,
        loss=functools.partial(random_networks.squared, target=_TARGET),
        target=_TARGET,
    ),
)


def scores(settings: Settings, row: Row) -> list[Array]:
    """The scores [surface_points, surface_points] for each of `BETAS`, of one and the same network."""
    kind = random_networks.Kind(
        "weight", 1.0, 1.0, settings.norm_value, clip=row.clip, normalize_output=settings.normalize_output
    )
    network = random_networks.RandomNetwork(kind, 2, settings.surfaces_seed)
    x = random_networks.plane(settings.input_range, settings.surface_points)
    size = (settings.surface_points, settings.surface_points)
    return [network.scores(x, random_networks.activation(beta)).reshape(size) for beta in BETAS]


def make(settings: Settings, folder: str) -> panels_lib.Section:
    """Draws figure 3 into `folder`: surfaces.png, .svg and .csv."""
    found = [scores(settings, row) for row in ROWS]
    axis = random_networks.inputs(settings.input_range, settings.surface_points)[:, 0]
    x = random_networks.plane(settings.input_range, settings.surface_points)
    columns, panels, rows = {"x1": x[:, 0], "x2": x[:, 1]}, [], {}
    for row, of_row in zip(ROWS, found, strict=True):
        losses = [row.loss(score) for score in of_row]
        for beta, score, loss in zip(BETAS, of_row, losses, strict=True):
            columns[f"{row.column}, {activation_name(beta)}"] = loss.ravel()
            with matplotlib.rc_context(STYLE):
                figure = Figure(figsize=(3.4, 3), layout="constrained")
                _draw(figure.add_subplot(projection="3d"), axis, row, score)
            # A surface has thousands of faces: as SVG the page would be tens of megabytes.
            png = panels_lib.inline_png(figure)
            panels.append(panels_lib.Panel(f"{activation_name(beta)}: {row.name}", png=png))
        minima = [random_networks.minima_off_target(score, row.target) for score in of_row]
        beyond = [float(np.mean(score < row.target)) for score in of_row]
        rows[f"{row.name}: lowest"] = [number(float(loss.min()), short) for loss in losses]
        rows[f"{row.name}: highest"] = [number(float(loss.max()), short) for loss in losses]
        rows[f"{row.name}: local minima off the red line"] = [number(value, count) for value in minima]
        rows[f"{row.name}: score below the best one"] = [number(share, percent) for share in beyond]
    for beta in BETAS:
        chart = svg(f"surfaces-{beta}", "The activation", (3, 2.3), functools.partial(draw_smelu, beta=beta))
        panels.append(panels_lib.Panel(activation_name(beta), chart))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(12, 8.2), layout="constrained")
        shape = (len(ROWS) + 1, len(BETAS))
        for k, (row, of_row) in enumerate(zip(ROWS, found, strict=True)):
            for column, score in enumerate(of_row):
                axes = figure.add_subplot(*shape, k * shape[1] + column + 1, projection="3d")
                _draw(axes, axis, row, score)
                if k == 0:
                    axes.set_title(activation_name(BETAS[column]))
                if column == 0:
                    # An axis label would be turned with the surface.
                    axes.text2D(-0.06, 0.5, row.name, transform=axes.transAxes, rotation=90, va="center", color=MUTED)
        for column, beta in enumerate(BETAS):
            draw_smelu(figure.add_subplot(*shape, len(ROWS) * shape[1] + column + 1), beta)
    files = panels_lib.write_pictures(figure, os.path.join(folder, "surfaces"), dpi=90)
    files.append(panels_lib.write_csv(os.path.join(folder, "surfaces.csv"), columns))
    sentences = [
        "The same kind of network with two inputs, weights and biases from N(0, 1) and rows of weights at norm "
        f"{settings.norm_value:g}. Upper row: logistic loss at p₁ = {_P1:g}, activations clipped to ±6; lower row: "
        f"squared loss to −{-_TARGET:g}, clipped to ±4. Inputs from −{settings.input_range:g} to "
        f"{settings.input_range:g}, {settings.surface_points} points a side, seed {settings.surfaces_seed}.",
        "The red line is where the score is exactly the best one: there the loss has a whole curve of global minima.",
    ]
    table = Table(("", *map(activation_name, BETAS)), rows)
    title = "Figure 3: loss over two inputs of a random network"
    return panels_lib.Section(title, sentences, panels, [table], files=files)


def _draw(axes: Any, axis: Array, row: Row, score: Array) -> None:
    first, second = np.meshgrid(axis, axis, indexing="ij")
    every = {"rcount": len(axis), "ccount": len(axis)}
    # The red line lies on the surface: in the order that matplotlib computes it would be half hidden.
    axes.computed_zorder = False
    axes.plot_surface(
        first, second, row.loss(score), cmap="viridis", linewidth=0, antialiased=False, rasterized=True, **every
    )
    if score.min() < row.target < score.max():
        lowest = float(row.loss(np.array(row.target)))
        axes.contour(
            first, second, score, levels=[row.target], offset=lowest, colors=_ON_TARGET, linewidths=1.6, linestyles="-"
        )
        # contour has widened the limits to its own levels, which are scores and no losses.
        axes.set_zlim(*np.percentile(row.loss(score), (0, 100)))
    axes.view_init(elev=42, azim=-60)
    axes.tick_params(labelsize=7, labelcolor=MUTED, pad=-2)
    for each in (axes.xaxis, axes.yaxis, axes.zaxis):
        each.set_pane_color((0.5, 0.5, 0.5, 0.06))
        each.line.set_color(MUTED)
