"""Every activation against arithmetic of 60 digits, and at the ends of the number line."""

from __future__ import annotations

import decimal
import math
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from activation_cases import GSMELU, MODES, Case, points, value_and_gradients
from hypothesis import given, settings
from hypothesis import strategies as st

from smooth_recs import activations as act

EPSILON = np.finfo(np.float64).eps


def number(value: float) -> Decimal:
    return Decimal(value)


def sigmoid(z: Decimal) -> Decimal:
    return 1 / (1 + (-z).exp())


def normal_cdf(z: Decimal) -> Decimal:
    """Phi(z) = 1/2 + phi(z) (z + z^3 / 3 + z^5 / (3 5) + ...)."""
    term, total, k = z, z, 1
    while abs(term) > Decimal(10) ** -70:
        k += 2
        term *= z * z / k
        total += term
    pi = Decimal("3.14159265358979323846264338327950288419716939937510582097494459230781640628620899862803482534")
    return Decimal("0.5") + total * (-z * z / 2).exp() / (2 * pi).sqrt()


def tanh(z: Decimal) -> Decimal:
    return 1 - 2 / ((2 * z).exp() + 1)


SELU_SCALE, SELU_ALPHA = Decimal("1.0507009873554804934193349852946"), Decimal("1.6732632423543772848170429916717")

# Terms of the exact value; the largest of them sets the scale of the error that is allowed.
Terms = Callable[[Decimal], list[Decimal]]
REFERENCES: dict[str, tuple[Callable[[Any], Any], Terms]] = {
    "softplus": (lambda x: act.softplus(x, beta=2.5), lambda x: [(1 + (x * number(2.5)).exp()).ln() / number(2.5)]),
    "softplus of beta 1": (act.softplus, lambda x: [(1 + x.exp()).ln()]),
    "swish": (lambda x: act.swish(x, beta=2.5), lambda x: [x * sigmoid(x * number(2.5))]),
    "gelu": (lambda x: act.gelu(x, beta=1.5), lambda x: [x * normal_cdf(x * number(1.5))]),
    "gelu as a swish": (
        lambda x: act.gelu(x, beta=1.5, form="sigmoid"),
        lambda x: [x * sigmoid(x * number(1.5) * Decimal("1.59576912160573071175978423973752"))],
    ),
    "mish": (act.mish, lambda x: [x * tanh((1 + x.exp()).ln())]),
    "tanhexp": (act.tanhexp, lambda x: [x * tanh(x.exp())]),
    "elu": (lambda x: act.elu(x, alpha=0.5), lambda x: [x if x > 0 else (x.exp() - 1) / 2]),
    "elu of alpha 1": (act.elu, lambda x: [x] if x > 0 else [x.exp(), Decimal(-1)]),  # TensorFlow's own
    "selu": (act.selu, lambda x: [SELU_SCALE * (x if x > 0 else SELU_ALPHA * (x.exp() - 1))]),
    "celu": (lambda x: act.celu(x, alpha=0.5), lambda x: [x if x > 0 else ((2 * x).exp() - 1) / 2]),
    "leaky_relu": (lambda x: act.leaky_relu(x, alpha=0.25), lambda x: [x if x > 0 else x / 4]),
}


@pytest.mark.parametrize("name", list(REFERENCES))
def test_within_sixteen_epsilons(name: str) -> None:
    function, terms = REFERENCES[name]
    x = np.concatenate([np.random.default_rng(3).uniform(-6, 6, 300), np.random.default_rng(4).normal(0, 1e-3, 100)])
    with decimal.localcontext(prec=80):
        exact = [terms(number(v)) for v in x]
        wanted = [float(sum(summands)) for summands in exact]
    largest = np.maximum(np.abs(x), [float(max(map(abs, summands))) for summands in exact])
    assert np.all(np.abs(function(tf.constant(x)).numpy() - wanted) <= 16 * EPSILON * largest)


@pytest.mark.parametrize(
    ("name", "z"), [("gelu", -8.0), ("swish", -30.0), ("softplus", -30.0), ("mish", -30.0), ("tanhexp", -30.0)]
)
def test_left_tails_do_not_cancel(name: str, z: float) -> None:
    """1 + erf(z) is 0 from z = -6 on, and log(1 + exp(z)) from -37: the relative error stays small instead."""
    function, terms = REFERENCES[name]
    x = np.linspace(z, z / 2, 20)
    with decimal.localcontext(prec=120):
        wanted = [float(sum(terms(number(v)))) for v in x]
    np.testing.assert_allclose(function(tf.constant(x)), wanted, rtol=1e-12)


def exact_piecewise(x: float, knots: list[float], slopes: list[float], t: float) -> tuple[Fraction, Fraction]:
    """The value, and the largest of the areas that it is a sum of, in rational numbers."""
    at, ks, ss = Fraction(x), [Fraction(k) for k in knots], [Fraction(s) for s in slopes]
    areas = [Fraction(t), ss[0] * min(at - ks[0], Fraction(0)), ss[-1] * max(at - ks[-1], Fraction(0))]
    for left, right, s, r in zip(ks, ks[1:], ss, ss[1:], strict=False):
        length = min(max(at - left, Fraction(0)), right - left)
        rise = length * length / (2 * (right - left))
        areas += [s * (length - rise), r * rise]
    return sum(areas, Fraction(0)), max(abs(area) for area in areas)


finite = st.floats(-8, 8, allow_subnormal=False)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_rescu_within_sixteen_epsilons(data: st.DataObject) -> None:
    knots = sorted(data.draw(st.lists(finite, min_size=2, max_size=5, unique=True)))
    slopes = data.draw(st.lists(finite, min_size=len(knots), max_size=len(knots)))
    t = data.draw(finite)
    x = data.draw(st.lists(st.one_of(finite, st.sampled_from(knots), st.floats(-1e6, 1e6)), min_size=1, max_size=8))
    found = act.rescu(tf.constant(x, tf.float64), knots=knots, slopes=slopes, t=t).numpy()
    for value, at in zip(found, x, strict=True):
        wanted, largest = exact_piecewise(at, knots, slopes, t)
        assert abs(Fraction(float(value)) - wanted) <= 16 * Fraction(EPSILON) * largest + Fraction(1, 10**300)


@settings(max_examples=100, deadline=None)
@given(
    alpha=st.floats(0, 4),
    beta=st.floats(0, 4),
    g_minus=st.floats(-2, 2),
    gap=st.floats(1e-3, 3),
    t=st.floats(-3, 0),
    x=st.floats(-10, 10),
)
def test_gsmelu_is_equation_9(alpha: float, beta: float, g_minus: float, gap: float, t: float, x: float) -> None:
    g_plus = g_minus + gap
    found = act.gsmelu(tf.constant(x, tf.float64), alpha=alpha, beta=beta, g_minus=g_minus, g_plus=g_plus, t=t).numpy()
    if x <= -alpha:
        wanted = g_minus * x + t + g_minus * alpha
    elif x >= beta:
        wanted = g_plus * x + t + (alpha + beta) / 2 * g_minus + (alpha - beta) / 2 * g_plus
    else:
        width = Fraction(alpha) + Fraction(beta)  # eq. 10
        a = (Fraction(g_plus) - Fraction(g_minus)) / (2 * width)
        b = (Fraction(alpha) * Fraction(g_plus) + Fraction(beta) * Fraction(g_minus)) / width
        square = Fraction(alpha) ** 2 * (Fraction(g_plus) + Fraction(g_minus))
        c = Fraction(t) + (square + 2 * Fraction(alpha) * Fraction(beta) * Fraction(g_minus)) / (2 * width)
        wanted = float(a * Fraction(x) ** 2 + b * Fraction(x) + c)
    assert found == pytest.approx(wanted, rel=1e-13, abs=1e-13)


@pytest.mark.parametrize("as_tensor", [False, True])
@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16, tf.float32, tf.float64])
def test_gsmelu_of_no_width_is_piecewise_linear(dtype: Any, as_tensor: bool, mode: Any) -> None:
    zero = tf.constant(0.0) if as_tensor else 0
    x = tf.constant([-math.inf, -2.0, -0.5, 0.0, 0.5, 2.0, math.inf], dtype)

    def function(x: Any) -> Any:
        return act.gsmelu(x, alpha=zero, beta=zero, g_minus=0.25, g_plus=2.0, t=-1.0)

    y, (gradient,) = mode(lambda x: value_and_gradients(function, x))(x)
    np.testing.assert_array_equal(tf.cast(y, tf.float32), [-math.inf, -1.5, -1.125, -1, 0, 3, math.inf])
    np.testing.assert_array_equal(tf.cast(gradient, tf.float32), [0.25, 0.25, 0.25, 0.25, 2, 2, 2])


def test_rescu_by_hand() -> None:
    """Slope 0 up to -1, up to 2 at 1, down to -1 at 4: areas of triangles."""
    x = tf.constant([-2.0, -1.0, 0.0, 1.0, 3.0, 4.0, 6.0])
    y = act.rescu(x, knots=(-1, 1, 4), slopes=(0, 2, -1), t=5)
    np.testing.assert_allclose(y, [5, 5, 5.5, 7, 9, 8.5, 6.5], rtol=1e-6)


LIMITS = {
    "smelu": (0, 0, math.inf, 1),
    "gsmelu": (-math.inf, 0.125, math.inf, 1.25),
    "rescu": (-math.inf, 0.25, -math.inf, -0.5),
    "elu": (-0.5, 0, math.inf, 1),
    "selu": (-float(SELU_SCALE * SELU_ALPHA), 0, math.inf, float(SELU_SCALE)),
    "celu": (-0.5, 0, math.inf, 1),
    "leaky_relu": (-math.inf, 0.25, math.inf, 1),
}


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16, tf.float32, tf.float64])
def test_limits_at_infinity(case: Case, dtype: Any, mode: Any) -> None:
    x = tf.constant([-math.inf, math.inf, math.nan], dtype)
    y, (gradient,) = mode(lambda x: value_and_gradients(case, x))(x)
    left, left_slope, right, right_slope = LIMITS.get(case.name, (0, 0, math.inf, 1))
    np.testing.assert_allclose(_float(y)[:2], [left, right], rtol=1e-2 if dtype.size < 4 else 1e-6)
    np.testing.assert_allclose(_float(gradient)[:2], [left_slope, right_slope], rtol=1e-2 if dtype.size < 4 else 1e-6)
    assert math.isnan(_float(y)[2])
    assert math.isnan(_float(gradient)[2]) or case.name in ("relu", "leaky_relu")  # TensorFlow's own


@pytest.mark.parametrize("name", ["gsmelu", "rescu", "leaky_relu"])
def test_a_tail_of_slope_zero_stays_where_it_is(name: str) -> None:
    function = {
        "gsmelu": lambda x: act.gsmelu(x, g_minus=-1.0, g_plus=0.0, t=-1.0),
        "rescu": lambda x: act.rescu(x, knots=(-1, 0, 1), slopes=(0, 1, 0), t=-1.0),
        "leaky_relu": lambda x: act.leaky_relu(x, alpha=0.0),
    }[name]
    wanted = {"gsmelu": [math.inf, -2.0], "rescu": [-1, 0], "leaky_relu": [0, math.inf]}[name]
    np.testing.assert_array_equal(function(tf.constant([-math.inf, math.inf])), wanted)


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16])
def test_half_precision_is_that_of_its_type(case: Case, dtype: Any, mode: Any) -> None:
    """As near to the float64 result at the same inputs as the type allows, over all its range."""
    scales = np.random.default_rng(5).normal(size=400) * np.exp2(np.random.default_rng(6).integers(-12, 15, 400))
    x = tf.constant(scales, dtype)
    y, (gradient,) = mode(lambda x: value_and_gradients(case, x))(x)
    wanted, (slope,) = value_and_gradients(case, tf.cast(x, tf.float64))
    epsilon = 2.0**-10 if dtype == tf.float16 else 2.0**-7
    terms = np.maximum(np.abs(wanted), np.minimum(np.abs(tf.cast(x, tf.float64)), 1))
    representable = np.abs(wanted) <= float(dtype.max)
    error = np.abs(_float(y).astype(np.float64) - wanted)
    assert np.all(error[representable] <= 4 * epsilon * terms[representable] + 1.2e-7)
    np.testing.assert_allclose(_float(gradient), slope, atol=8 * epsilon)


def test_modes_agree(case: Case) -> None:
    x = tf.constant(points(case))
    eager = value_and_gradients(case, x)
    for name in ("graph", "xla"):
        other = MODES[name](lambda x: value_and_gradients(case, x))(x)
        np.testing.assert_allclose(other[0], eager[0], rtol=1e-13, atol=1e-15)
        np.testing.assert_allclose(other[1][0], eager[1][0], rtol=1e-12, atol=1e-14)


def test_any_shape_and_an_unknown_one(case: Case) -> None:
    x = np.random.default_rng(7).normal(size=(2, 3, 4)).astype(np.float32)
    y = case(tf.constant(x))
    assert (y.dtype, y.shape) == (tf.float32, x.shape)
    np.testing.assert_allclose(case(tf.constant(x[0, 0, 0])), y[0, 0, 0], rtol=1e-6)
    assert case(tf.zeros([0, 4])).shape == (0, 4)

    @tf.function(input_signature=[tf.TensorSpec(None)])
    def of_unknown_shape(x: Any) -> Any:
        return value_and_gradients(case, x)

    z, (gradient,) = of_unknown_shape(x)
    np.testing.assert_allclose(z, y, rtol=1e-6, atol=1e-7)
    assert gradient.shape == x.shape


def test_lists_and_arrays_are_taken() -> None:
    np.testing.assert_array_equal(act.smelu([-1.0, 0.0], beta=0.5), [0, 0.125])
    array = np.array([0.0, 2.0])
    np.testing.assert_array_equal(act.gsmelu(array, **GSMELU), act.gsmelu(tf.constant(array), **GSMELU))
    per_unit = act.smelu(tf.zeros([2, 3]), beta=[0.0, 0.5, 1.0])
    np.testing.assert_array_equal(per_unit, [[0, 0.125, 0.25]] * 2)


def _float(x: Any) -> np.ndarray:
    return tf.cast(x, tf.float32).numpy()
