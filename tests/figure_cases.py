"""The paper's random networks written down a second time, unit by unit, and settings that make small figures."""

from __future__ import annotations

import numpy as np

from smooth_recs.experiments.drawing_settings import Settings

SMALL = Settings(points=401, surface_points=21, networks=6, norm_values=(1.0, 2.0), betas=(1.0, 0.1))


def scores_by_the_formulas(kind, inputs, seed, x, beta):
    """Section 2's network, unit by unit of the paper's rows, in NumPy."""
    rng = np.random.default_rng(seed)
    outputs, size = x, inputs
    for units in (256, 128, 64, 32, 16, 1):
        weights = rng.normal(0, np.sqrt(kind.weight_variance), (size, units)).T
        biases = rng.normal(0, np.sqrt(kind.bias_variance), units)
        if kind.normalization == "weight" and (units > 1 or kind.normalize_output):
            weights = np.stack([kind.norm_value * row / np.sqrt(np.sum(row**2)) for row in weights])
        outputs, size = outputs @ weights.T + biases, units
        if units == 1:
            return outputs[:, 0]
        if kind.normalization == "layer":
            outputs = (outputs - outputs.mean(axis=1, keepdims=True)) / outputs.std(axis=1, keepdims=True)
        middle = (outputs + beta) ** 2 / (4 * beta) if beta else outputs
        activated = np.where(outputs >= beta, outputs, np.where(outputs <= -beta, 0.0, middle))
        outputs = np.clip(activated, -kind.clip, kind.clip)
