"""The gradient of the whole recipe, row norm, SmeLU and clip in several layers, by finite differences in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from smooth_recs.layers import SmeLU, Tower, compiled

pytestmark = pytest.mark.both_generations

ROWS, INPUTS, UNITS, NORM = 7, 5, (4, 1, 3), 1.4
MODES: dict[str, Callable[[Any], Any]] = {
    "graph": lambda function: tf.function(function, autograph=False),
    "xla": lambda function: tf.function(function, autograph=False, jit_compile=True),
}
Numbers = np.ndarray


def tower_of(beta: float, clip: float, weights: list[Numbers], dtype: str) -> Any:
    tower = Tower(UNITS, [SmeLU(beta, dtype=dtype) for _ in UNITS], norm_value=NORM, clip=clip, dtype=dtype)
    tower.build((None, INPUTS))
    tower.set_weights(weights)
    return tower


def some_weights() -> list[Numbers]:
    """Of three layers, kernels and biases."""
    random = np.random.default_rng(3)
    shapes = [(inputs, units) for inputs, units in zip((INPUTS, *UNITS), UNITS, strict=False)]
    return [each for shape in shapes for each in (random.normal(size=shape) * 0.5, random.normal(size=shape[1]) * 0.2)]


def by_hand(x: Numbers, weights: list[Numbers], beta: float, clip: float) -> Numbers:
    """Section 2 and eq. 7 as they are written, layer by layer; a row of zeros stays one."""
    for kernel, bias in zip(weights[::2], weights[1::2], strict=True):
        norm = np.sqrt((kernel**2).sum(axis=0))
        z = x @ (NORM * kernel / np.where(norm == 0, 1, norm)) + bias
        between = (z + beta) ** 2 / (4 * beta) if beta else z
        x = np.clip(np.where(z <= -beta, 0, np.where(z >= beta, z, between)), -clip, clip)
    return x


def step_of(tower: Any, mix: Numbers) -> Callable[[Any], list[Any]]:
    """Outputs, and the gradients of their sum weighed by `mix`, with regard to weights and inputs."""

    def step(x: tf.Tensor) -> list[Any]:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tower(x)
            total = tf.reduce_sum(y * tf.cast(mix, y.dtype))
        return [y, *tape.gradient(total, [*tower.trainable_variables, x])]

    return step


@pytest.mark.parametrize(("beta", "clip"), [(0.0, 0.9), (1e-6, 0.9), (0.3, 0.9), (1e6, 3e5)])
def test_it_is_that_of_finite_differences(beta: float, clip: float) -> None:
    """Of the paper's formulas, for each weight and input; as a graph and compiled by XLA as well."""
    random = np.random.default_rng(4)
    x, mix = random.normal(size=(ROWS, INPUTS)), random.normal(size=(ROWS, UNITS[-1]))
    weights = some_weights()
    scale = max(beta, 1.0)  # outputs of a wide transition are near a quarter of the width
    step = step_of(tower_of(beta, clip, weights, "float64"), mix)
    eager = [np.asarray(each) for each in step(tf.constant(x))]
    expected = by_hand(x, weights, beta, clip)
    np.testing.assert_allclose(eager[0], expected, rtol=1e-12, atol=1e-14 * scale)
    assert (expected == clip).any() or beta == 1e6
    parts, delta = [*weights, x], 1e-6
    for k, gradient in enumerate(eager[1:]):
        for index in np.ndindex(gradient.shape):
            sides = []
            for sign in (-1, 1):
                moved = [part.copy() for part in parts]
                moved[k][index] += sign * delta
                sides.append((by_hand(moved[-1], moved[:-1], beta, clip) * mix).sum())
            # Rounding of the sums leaves about 1e-15 of their size over delta, the curvature delta^2 of it.
            difference = (sides[1] - sides[0]) / (2 * delta)
            assert gradient[index] == pytest.approx(difference, rel=1e-6, abs=1e-8 * scale), (k, index)
    for name, mode in MODES.items():
        for one, other in zip(eager, mode(step)(tf.constant(x)), strict=True):
            np.testing.assert_allclose(other, one, rtol=1e-11, atol=1e-13 * scale, err_msg=name)


@pytest.mark.parametrize("beta", [0.0, 1e-6, 0.3, 1e6])
def test_rows_of_zeros_and_infinite_inputs(beta: float) -> None:
    """In float32, in every mode, compiled in passes too: what is finite by the formulas is finite, NaN stays NaN."""
    weights = some_weights()
    weights[0][:, 1] = 0  # a unit that no input reaches
    weights[0][:, 0] = np.abs(weights[0][:, 0])  # one that infinite inputs take to an end
    weights[0][2, 2:] = 0
    tower = tower_of(beta, 0.9, weights, "float32")
    mix = np.ones((3, UNITS[-1]))
    x = np.array([[0.1, 0.2, 0.3, 0.4, 0.5], [1e30, -1e30, 1e30, 0, 0], [1e38, 0, 0, -1e38, 0]], np.float32)
    step = step_of(tower, mix)
    found = {name: mode(step)(tf.constant(x)) for name, mode in MODES.items()}
    with compiled.passes():
        found["passes"] = MODES["graph"](step)(tf.constant(x))
    eager = [np.asarray(each) for each in step(tf.constant(x))]
    assert all(np.isfinite(each).all() for each in eager)
    wide = [each.astype(np.float32).astype(np.float64) for each in weights]
    np.testing.assert_allclose(eager[0], by_hand(x.astype(np.float64), wide, beta, 0.9), rtol=1e-4, atol=1e-5)
    for name, others in found.items():
        for one, other in zip(eager, others, strict=True):
            np.testing.assert_allclose(other, one, rtol=1e-4, atol=1e-5, err_msg=name)

    infinite = tf.constant([[np.inf] * INPUTS, [-np.inf] * INPUTS, [np.nan] * INPUTS], tf.float32)
    first = tower.hidden[0]
    outputs = {name: np.asarray(mode(first)(infinite)) for name, mode in MODES.items()}
    for name, each in {"eager": np.asarray(first(infinite)), **outputs}.items():
        assert each[0, 0] == np.float32(0.9), name  # clipped
        assert each[1, 0] == 0, name  # left of the transition region
        assert np.isnan(each[2]).all(), name
