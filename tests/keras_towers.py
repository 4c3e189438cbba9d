"""A model of everything that runs on all backends of Keras 3, and rows that it can learn from."""

from __future__ import annotations

from typing import Any

import numpy as np

import smooth_recs as sr
from smooth_recs import keras_generation


def rows(count: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """x, [count, 6], and labels, [count]."""
    random = np.random.default_rng(1)
    x = random.normal(size=(count, 6)).astype("float32")
    y = (random.random(count) < 1 / (1 + np.exp(-2 * x[:, 0] + x[:, 1]))).astype("float32")
    return x, y


def build(seed: int = 1) -> Any:
    """A compiled model with strings, learned and relative activations, norms, clipping and a tower."""
    keras = keras_generation.keras()
    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [
            keras.layers.Dense(8, activation="smelu", kernel_constraint=sr.constraints.RowNorm(1.0)),
            keras.layers.Dense(8, activation=sr.layers.GSmeLU(t=-0.1, learn="all", per="unit")),
            sr.layers.Clip(6.0),
            sr.layers.NormalizedDense(8, activation=sr.layers.SmeLU(learn="beta"), norm_value=1.5, clip=6.0),
            sr.layers.Tower([8, 6], activation=["gsmelu", "smelu:0.3rms"], normalization="batch", dropout=0.1),
            sr.layers.Tower([6], activation=sr.layers.RESCU(knots=(-1.0, 0.0, 1.0), slopes=(0.0, 1.5, 1.0))),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile(optimizer=keras.optimizers.Adam(0.01), loss="binary_crossentropy")
    return model
