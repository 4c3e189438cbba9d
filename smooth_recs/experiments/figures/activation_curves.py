"""Figure 1: activations and their gradients for several widths, and examples of gSmeLU."""

from __future__ import annotations

import functools
import os
from typing import Any

import numpy as np
import tensorflow as tf

from smooth_recs import activations, extras
from smooth_recs.experiments.drawing_settings import Settings
from smooth_recs.experiments.figures import panels as panels_lib
from smooth_recs.experiments.figures import random_networks
from smooth_recs.reports.charts import STYLE, svg
from smooth_recs.reports.formats import Table, number, short
from smooth_recs.statistics.arrays import Array

with extras.needed("report"):
    import matplotlib
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

REACH, POINTS = 3.0, 601
# The widths of the figure; they are no settings, as the paper states them.
_WIDTHS = (0.5, 1.0, 2.0, 5.0)
_SHARP = {"SoftPlus": activations.softplus, "Swish": activations.swish, "GELU": activations.gelu}
# gSmeLU: alpha, beta, g_minus, g_plus; t = 0 as in the paper.
_GENERALIZED = ((1.0, 1.0, 0.1, 1.0), (0.5, 1.5, 0.1, 1.0), (1.0, 1.0, -0.1, 1.0), (0.25, 0.25, 0.0, 0.8))
Curves = dict[str, tuple[Array, Array]]
"""The values and the slopes at every x, by width."""


def family() -> dict[str, dict[str, Any]]:
    """The functions of a tensor by activation and width, in the order of the figure."""
    sharp = {
        name: {f"β = {beta:g}": functools.partial(function, beta=beta) for beta in _WIDTHS}
        for name, function in _SHARP.items()
    }
    smelu = {f"β = {beta:g}": random_networks.activation(beta) for beta in (0.1, 0.5, 1.0, 2.0)}
    generalized = {
        f"α {alpha:g}, β {beta:g}, g₋ {low:g}, g₊ {high:g}": functools.partial(
            activations.gsmelu, alpha=alpha, beta=beta, g_minus=low, g_plus=high
        )
        for alpha, beta, low, high in _GENERALIZED
    }
    return {**sharp, "SmeLU": smelu, "gSmeLU": generalized}


def value_and_slope(function: Any, x: Array) -> tuple[Array, Array]:
    """Value and slope at every x, in float64; the slope is TensorFlow's gradient."""
    # In float64, as a difference of float32 values shows steps where a curve is nearly flat.
    points = tf.constant(x, tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(points)
        values = function(points)
    return values.numpy(), tape.gradient(values, points).numpy()


def draw_smelu(axes: Axes, beta: float) -> None:
    """Draws the activation of a column of figures 2 and 3."""
    x = np.linspace(-REACH, REACH, POINTS)
    axes.plot(x, value_and_slope(random_networks.activation(beta), x)[0], color=panels_lib.colour(0), linewidth=1.4)
    axes.set_xlim(-REACH, REACH)
    panels_lib.quiet(axes)


def make(_: Settings, folder: str) -> panels_lib.Section:
    """Draws figure 1 into `folder`: activations.png, .svg and .csv."""
    x = np.linspace(-REACH, REACH, POINTS)
    found = {name: {key: value_and_slope(f, x) for key, f in functions.items()} for name, functions in family().items()}
    columns, rows = {"x": x}, {}
    for name, curves in found.items():
        for key, (values, slopes) in curves.items():
            columns[f"{name} {key}"] = values
            columns[f"gradient of {name} {key}"] = slopes
            read_off = (np.interp(0, x, values), values.min(), slopes.min(), slopes.max())
            rows[f"{name}, {key}"] = [number(float(value), short) for value in read_off]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(14, 5.2), layout="constrained")
        grid = figure.subplots(2, len(found), sharex=True)
        for column, (name, curves) in enumerate(found.items()):
            for k in range(2):
                _draw(grid[k, column], x, curves, k)
            grid[0, column].set_title(name)
        grid[0, 0].set_ylabel("activation")
        grid[1, 0].set_ylabel("gradient")
    files = panels_lib.write_pictures(figure, os.path.join(folder, "activations"))
    files.append(panels_lib.write_csv(os.path.join(folder, "activations.csv"), columns))
    panels = []
    for name, curves in found.items():
        for k, what in enumerate(("value", "gradient")):
            draw = functools.partial(_draw, x=x, curves=curves, k=k)
            chart = svg(f"activation-{name}-{k}", f"{name}: {what}", (3.2, 2.8), draw)
            panels.append(panels_lib.Panel(f"{name}, {what}", chart))
    sentences = [
        "An activation's width parameter β sets how wide the region is in which its slope goes from 0 to 1. SoftPlus, "
        "Swish and GELU approach both slopes without reaching them, and get narrower as β grows; SmeLU's transition "
        "ends at ±β, and gets wider.",
        "Swish and GELU fall below 0 and come back, so that their slope changes its sign; SmeLU and SoftPlus never do. "
        "gSmeLU's transition has two ends and two slopes of its own (t = 0 here).",
    ]
    table = Table(("", "value at 0", "least value", "least slope", "largest slope"), rows)
    title = "Figure 1: activations and their gradients"
    return panels_lib.Section(title, sentences, panels, [table], width=18, files=files)


def _draw(axes: Axes, x: Array, curves: Curves, k: int) -> None:
    """Draws the values of an activation (k = 0) with a legend, or its slopes (k = 1)."""
    for index, (key, both) in enumerate(curves.items()):
        axes.plot(x, both[k], color=panels_lib.colour(index), linewidth=1.4, label=key)
    axes.set_ylim((-0.6, REACH) if k == 0 else (-0.25, 1.25))
    axes.set_xlim(-REACH, REACH)
    panels_lib.quiet(axes)
    if k == 0:
        axes.legend(loc="upper left", frameon=False, fontsize=7.5, handlelength=1.3)
