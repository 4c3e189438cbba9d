"""SmeLU against exact rational arithmetic, and where the usual ways to write it go wrong."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from activation_cases import MODES, second_derivative, value_and_gradients
from benchmark_programs import program
from hypothesis import given, settings
from hypothesis import strategies as st

from smooth_recs.activations import gsmelu, relu, rescu, smelu


def exact(x: float, beta: float) -> Fraction:
    """Eq. 7 in rational numbers."""
    x, beta = Fraction(x), Fraction(beta)
    if x <= -beta:
        return Fraction(0)
    return x if x >= beta else (x + beta) ** 2 / (4 * beta)


def exact_gradient(x: float, beta: float) -> Fraction:
    x, beta = Fraction(x), Fraction(beta)
    return min(max((x + beta) / (2 * beta), Fraction(0)), Fraction(1))


def ulps(found: np.ndarray, wanted: list[Fraction]) -> float:
    """The largest error, in units of the last place of the exact result."""
    errors = (abs(Fraction(float(a)) - b) / Fraction(math.ulp(float(b))) for a, b in zip(found, wanted, strict=True))
    return float(max(errors))


def adversarial(beta: float) -> np.ndarray:
    """Where the parabola starts and ends, with their nearest neighbours, and far away on both sides."""
    near = [x for end in (-beta, beta, 0.0) for x in _neighbours(end)]
    steps = [-beta * (1 - 2.0**-k) for k in range(1, 53)] + [
        beta * (1 + s * 2.0**-k) for k in range(1, 52) for s in (1, -1)
    ]
    return np.array([*near, *steps, -0.0, 1e300, -1e300, 1.7e308, -1.7e308, 3 * beta, -3 * beta])


def _neighbours(x: float) -> list[float]:
    below, above = [x], [x]
    for _ in range(3):
        below.append(math.nextafter(below[-1], -math.inf))
        above.append(math.nextafter(above[-1], math.inf))
    return [value for value in below + above if value == 0 or abs(value) > 1e-300]


BETAS = [0.1, 0.3, 0.5, 1.0, 1 / 3, math.pi, 1e-8, 1e8, 2.0**-40, 1.9999999]


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("as_tensor", [False, True])
def test_value_within_four_ulps_and_gradient_within_four_epsilons(beta: float, as_tensor: bool) -> None:
    x = np.concatenate([adversarial(beta), np.random.default_rng(1).uniform(-2 * beta, 2 * beta, 2000)])
    parameter = tf.constant(beta, tf.float64) if as_tensor else beta
    for wrap in (MODES["eager"], MODES["graph"]):
        y, (gradient,) = wrap(lambda x: value_and_gradients(lambda x: smelu(x, beta=parameter), x))(tf.constant(x))
        assert ulps(y.numpy(), [exact(v, beta) for v in x]) <= 4
        wanted = np.array([float(exact_gradient(v, beta)) for v in x])
        np.testing.assert_allclose(gradient, wanted, rtol=4 * np.finfo(float).eps, atol=0)


@settings(max_examples=200, deadline=None)
@given(
    beta=st.floats(1e-150, 1e150),
    share=st.one_of(st.floats(-3, 3), st.floats(-1, -1 + 1e-12), st.floats(1 - 1e-12, 1 + 1e-12)),
)
def test_value_within_four_ulps_at_any_scale(beta: float, share: float) -> None:
    x = beta * share
    assert ulps(smelu(tf.constant([x], tf.float64), beta=beta).numpy(), [exact(x, beta)]) <= 4


def test_by_hand() -> None:
    x = tf.constant([-2.0, -0.5, -0.25, 0.0, 0.25, 0.5, 2.0])
    y, (gradient,) = value_and_gradients(lambda x: smelu(x, beta=0.5), x)
    np.testing.assert_array_equal(y, [0, 0, 1 / 32, 1 / 8, 9 / 32, 1 / 2, 2])
    np.testing.assert_array_equal(gradient, [0, 0, 1 / 4, 1 / 2, 3 / 4, 1, 1])


def test_it_is_a_convolution_of_relu_with_a_box() -> None:
    """Section 5.1: of height 1 / (2 beta) over [-beta, beta]."""
    beta, points = 0.5, np.linspace(-2, 2, 41)
    offsets = (np.arange(20000) + 0.5) / 20000 * 2 * beta - beta
    wanted = [np.maximum(x + offsets, 0).mean() for x in points]
    np.testing.assert_allclose(smelu(tf.constant(points), beta=beta), wanted, atol=1e-8)


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16, tf.float32, tf.float64])
@pytest.mark.parametrize("beta", [0, 0.0, [0.0], "tensor"])
def test_beta_zero_is_relu_with_its_gradient(dtype: Any, beta: Any, mode: Any) -> None:
    beta = tf.constant(0.0) if beta == "tensor" else beta
    x = tf.constant([-math.inf, -3.0, -1e-7, -0.0, 0.0, 1e-7, 3.0, math.inf, math.nan], dtype)
    y, (gradient,) = mode(lambda x: value_and_gradients(lambda x: smelu(x, beta=beta), x))(x)
    np.testing.assert_array_equal(_float(y), _float(tf.nn.relu(x)))
    np.testing.assert_array_equal(_float(gradient)[:-1], [0, 0, 0, 0, 0, 1, 1, 1])
    assert math.isnan(_float(gradient)[-1])


@pytest.mark.parametrize("beta", [1e-3, 0.1, 1.0, 300.0, 8000.0])
def test_float16_is_finite_and_near(beta: float, mode: Any) -> None:
    """Every finite float16: (x + beta)^2 alone would overflow from beta = 128 on, and underflow near -beta."""
    x = np.arange(2**16, dtype=np.uint16).view(np.float16)
    x = x[np.isfinite(x) & ((np.abs(x) >= np.finfo(np.float16).tiny) | (x == 0))]
    rounded = float(np.float16(beta))
    y, (gradient,) = mode(lambda x: value_and_gradients(lambda x: smelu(x, beta=beta), x))(tf.constant(x))
    wide = x.astype(np.float64)
    inside = (wide + rounded) ** 2 / (4 * rounded)
    wanted = np.where(wide <= -rounded, 0, np.where(wide >= rounded, wide, inside))
    slope = np.clip((wide + rounded) / (2 * rounded), 0, 1)
    np.testing.assert_allclose(y.numpy(), wanted, rtol=3 * np.finfo(np.float16).eps, atol=1.2e-7)
    np.testing.assert_allclose(gradient.numpy(), slope, rtol=3 * np.finfo(np.float16).eps, atol=1.2e-7)


@pytest.mark.parametrize("beta", [1e-30, 0.1, 1.0, 1e30])
def test_bfloat16_is_finite_and_near(beta: float) -> None:
    scale = np.concatenate([np.linspace(-3, 3, 601), [-1e5, 1e5]])
    x = tf.constant(scale * beta, tf.bfloat16)
    y, (gradient,) = value_and_gradients(lambda x: smelu(x, beta=beta), x)
    wide = _float(x).astype(np.float64)
    slope = np.clip((wide + beta) / (2 * beta), 0, 1)
    wanted = np.where(wide >= beta, wide, slope * slope * beta)
    np.testing.assert_allclose(_float(y), wanted, rtol=2.0**-7)
    np.testing.assert_allclose(_float(gradient), slope, rtol=2.0**-7)


def test_generalizations_agree() -> None:
    """SmeLU is gSmeLU of equal widths and RESCU of two knots."""
    x = tf.constant(np.random.default_rng(2).normal(size=1000))
    functions = [
        lambda x: smelu(x, beta=0.3),
        lambda x: smelu(x, beta=tf.constant(0.3, tf.float64)),
        lambda x: gsmelu(x, alpha=0.3, beta=0.3),
        lambda x: rescu(x, knots=(-0.3, 0.3), slopes=(0, 1)),
    ]
    results = [value_and_gradients(function, x) for function in functions]
    for (y, gradients), (other, others) in itertools.pairwise(results):
        np.testing.assert_allclose(y, other, rtol=1e-14, atol=1e-16)
        np.testing.assert_allclose(gradients[0], others[0], rtol=1e-14, atol=1e-15)


@settings(max_examples=100, deadline=None)
@given(x=st.floats(-4, 4), step=st.floats(0, 2), beta=st.floats(0, 3))
def test_monotonic_above_relu_and_below_it_plus_a_quarter_of_beta(x: float, step: float, beta: float) -> None:
    low, high = smelu(tf.constant([x, x + step], tf.float64), beta=beta).numpy()
    assert low <= high + 1e-15
    assert -1e-15 <= low - max(x, 0) <= beta / 4 + 1e-15


def test_second_derivative_is_the_box() -> None:
    x = tf.constant([-math.inf, -2.0, -0.4, 0.0, 0.4, 2.0, math.inf])
    for beta in (0.5, tf.constant(0.5)):
        np.testing.assert_array_equal(second_derivative(lambda x, b=beta: smelu(x, beta=b), x), [0, 0, 1, 1, 1, 0, 0])
        at_joints = second_derivative(lambda x, b=beta: smelu(x, beta=b), tf.constant([-0.5, 0.5]))
        assert set(at_joints.numpy()) <= {0.0, 1.0}  # of one of the two sides
    at_zero = second_derivative(lambda x: smelu(x, beta=tf.constant(0.0)), tf.constant([-1.0, 0.0, 1.0]))
    np.testing.assert_array_equal(at_zero, [0, 0, 0])


def test_relu_is_tensorflows() -> None:
    x = tf.constant([-1.0, 0.0, 2.0])
    np.testing.assert_array_equal(relu(x), tf.nn.relu(x))


def test_the_conformance_program_finds_no_errors_in_ours_only(capsys: pytest.CaptureFixture[str]) -> None:
    program("activation_conformance").main()
    rows = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines()[2:]]
    assert {name for name, *errors in rows if errors == ["none", "none"]} == {"ours", "ours of a tensor"}
    assert len(rows) == 5


def _float(x: Any) -> np.ndarray:
    return tf.cast(x, tf.float32).numpy()


@pytest.mark.parametrize("beta", [1e-45, 1e-38, 1e-30])
def test_a_width_below_the_normal_numbers_of_float32_is_relu(beta: float) -> None:
    x = tf.constant([-3.0, -1e-20, 1e-20, 2.0])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = smelu(x, beta=beta)
    np.testing.assert_allclose(y, np.maximum(x, 0), rtol=1e-6, atol=1e-37)
    np.testing.assert_array_equal(tape.gradient(y, x), [0, 0, 1, 1])
