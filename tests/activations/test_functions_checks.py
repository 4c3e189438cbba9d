"""Bad hyperparameters: the error names argument, rule and value, in eager mode and when a model is built."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from smooth_recs import activations as act
from smooth_recs.errors import InputError

X = tf.constant([0.5])

BAD = [
    (lambda x: act.smelu(x, beta=-0.1), InputError, "beta must be at least 0, got -0.1"),
    (lambda x: act.smelu(x, beta=math.nan), InputError, "beta must be finite, got nan"),
    (lambda x: act.smelu(x, beta=math.inf), InputError, "beta must be finite, got inf"),
    (lambda x: act.smelu(x, beta=[0.5, -1.0]), InputError, "beta must be at least 0, got -1.0"),
    (lambda x: act.smelu(x, beta="0.5"), TypeError, "beta must be a number, got '0.5'"),
    (lambda x: act.smelu(x, beta=None), TypeError, "beta must be a number, got None"),
    (lambda x: act.smelu(x, beta=True), TypeError, "beta must be a number, got True"),
    (lambda x: act.smelu(tf.cast(x, tf.float16), beta=1e5), InputError, "beta must be at most 16376, got 100000.0"),
    (
        lambda x: act.gsmelu(tf.cast(x, tf.float32), beta=1e39),
        InputError,
        "beta must be at most 3.40282e+38 in float32",
    ),
    (lambda x: act.gsmelu(x, alpha=-1), InputError, "alpha must be at least 0, got -1"),
    (lambda x: act.gsmelu(x, beta=-1), InputError, "beta must be at least 0, got -1"),
    (lambda x: act.gsmelu(x, t=0.5), InputError, "t must be at most 0, got 0.5"),
    (lambda x: act.gsmelu(x, g_minus=1.0), InputError, "g_minus, g_plus must increase, got 1.0 after 1.0"),
    (lambda x: act.gsmelu(x, g_plus=math.nan), InputError, "g_plus must be finite, got nan"),
    (lambda x: act.rescu(x, knots=(0, 0), slopes=(0, 1)), InputError, "knots must increase, got 0 after 0"),
    (lambda x: act.rescu(x, knots=(1, 0, 2), slopes=(0, 1, 2)), InputError, "knots must increase, got 0 after 1"),
    (lambda x: act.rescu(x, knots=(1,), slopes=(0,)), InputError, "knots must be at least two, got (1,)"),
    (lambda x: act.rescu(x, knots=(0, 1), slopes=(0,)), InputError, "slopes must be one a knot (2), got (0,)"),
    (lambda x: act.rescu(x, knots=(0, math.nan), slopes=(0, 1)), InputError, "knots[1] must be finite, got nan"),
    (lambda x: act.rescu(x, knots=(0, 1), slopes=(0, 1), t=math.inf), InputError, "t must be finite, got inf"),
    (lambda x: act.softplus(x, beta=0), InputError, "beta must be above 0, got 0"),
    (lambda x: act.swish(x, beta=-1), InputError, "beta must be at least 0, got -1"),
    (lambda x: act.gelu(x, beta=-1), InputError, "beta must be at least 0, got -1"),
    (lambda x: act.gelu(x, form="tanh"), InputError, "form must be 'erf' or 'sigmoid', got 'tanh'"),
    (lambda x: act.leaky_relu(x, alpha=-1), InputError, "alpha must be at least 0, got -1"),
    (lambda x: act.elu(x, alpha=-1), InputError, "alpha must be at least 0, got -1"),
    (lambda x: act.celu(x, alpha=0), InputError, "alpha must be above 0, got 0"),
]


@pytest.mark.parametrize(("call", "error", "message"), BAD, ids=[message for _, _, message in BAD])
def test_numbers_are_checked(call: Callable[[Any], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error) as raised:
        call(X)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)
    assert isinstance(raised.value, ValueError | TypeError)


@pytest.mark.parametrize(
    "function", [act.smelu, act.gsmelu, act.softplus, act.swish, act.gelu, act.relu, act.leaky_relu, act.elu, act.selu]
)
@pytest.mark.parametrize("x", [[1, 2], tf.constant([1], tf.int64), tf.constant([True]), np.array([1], np.uint8)])
def test_only_floating_point_types(function: Any, x: Any) -> None:
    with pytest.raises(TypeError, match=r"x must be of a floating-point type, got (u?int|bool)"):
        function(x)


@pytest.mark.both_generations
def test_integer_inputs_when_a_model_is_built() -> None:
    with pytest.raises(TypeError, match="x must be of a floating-point type, got int32"):
        tf.keras.Sequential([tf.keras.Input([3], dtype="int32"), act.SmeLU()])


@pytest.mark.both_generations
def test_symbolic_inputs_of_a_model() -> None:
    with pytest.raises(TypeError, match=r"x must be a tensor, got .*: between the layers of a model use Activation"):
        act.smelu(tf.keras.Input([3]))


def test_tensors_are_not_checked() -> None:
    """Their values are not known when a graph is made."""
    assert not np.any(np.isnan(act.gsmelu(X, g_minus=tf.constant(2.0), t=tf.constant(1.0))))


LAYERS = [
    (lambda: act.SmeLU(beta=-1), "beta must be at least 0, got -1"),
    (lambda: act.SmeLU(beta=0, learn="beta"), "a learned beta must be at least 1e-06, got 0"),
    (lambda: act.SmeLU(learn="alpha"), "learn must be 'all' or some of beta, got 'alpha'"),
    (lambda: act.SmeLU(per="network"), "per must be 'layer' or 'unit', got 'network'"),
    (lambda: act.GSmeLU(alpha=0, learn=("alpha",)), "a learned alpha must be at least 1e-06, got 0"),
    (lambda: act.GSmeLU(t=1), "t must be at most 0, got 1"),
    (
        lambda: act.GSmeLU(learn=["t", "slope"]),
        "learn must be 'all' or some of alpha, beta, g_minus, g_plus, t, got 'slope'",
    ),
    (lambda: act.RESCU(knots=(1, 0), slopes=(0, 1)), "knots must increase, got 0 after 1"),
    (lambda: act.Softplus(beta=0), "beta must be above 0, got 0"),
    (lambda: act.GELU(form="tanh"), "form must be 'erf' or 'sigmoid', got 'tanh'"),
]


@pytest.mark.parametrize(("make", "message"), LAYERS, ids=[message for _, message in LAYERS])
def test_layers_are_checked_when_they_are_made(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(InputError) as raised:
        make()
    assert str(raised.value) == message


def test_layers_are_checked_when_they_are_built() -> None:
    with pytest.raises(InputError, match="beta must be one number where per='layer', got"):
        act.SmeLU(beta=[0.1, 0.2], learn="beta").build((None, 2))
    with pytest.raises(InputError, match=r"last axis of the inputs must be known where per='unit', got \(None, None\)"):
        act.SmeLU(learn="beta", per="unit").build((None, None))
    with pytest.raises(InputError, match=r"a learned g_gap must be at least 0.001, got 1e-09"):
        act.GSmeLU(g_minus=0.0, g_plus=1e-9, learn="g_plus").build((None, 2))
