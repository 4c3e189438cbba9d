"""Every activation with hyperparameters, and derivatives of functions, for the tests of the activations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from smooth_recs import activations
from smooth_recs.activations import registry


class Case(NamedTuple):
    """A function with hyperparameters, and where its pieces meet."""

    name: str
    function: Callable[..., Any]
    hyperparameters: dict[str, float]
    joints: tuple[float, ...] = ()

    def __call__(self, x: Any, **hyperparameters: Any) -> Any:
        return self.function(x, **{**self.hyperparameters, **hyperparameters})


def _rescu(x: Any, *, a: Any, b: Any, c: Any, r: Any, s: Any, u: Any, t: Any) -> Any:
    """`rescu` with its knots and slopes under names of their own."""
    return activations.rescu(x, knots=(a, b, c), slopes=(r, s, u), t=t)


RESCU = {"a": -1.0, "b": 0.25, "c": 1.5, "r": 0.25, "s": 1.5, "u": -0.5, "t": -0.25}
GSMELU = {"alpha": 0.75, "beta": 0.5, "g_minus": 0.125, "g_plus": 1.25, "t": -0.25}
# Hyperparameters and joints that test more than the defaults of the table's rows do.
CHOSEN = {
    "smelu": Case("smelu", activations.smelu, {"beta": 0.5}, (-0.5, 0.5)),
    "gsmelu": Case("gsmelu", activations.gsmelu, GSMELU, (-0.75, 0.5)),
    "rescu": Case("rescu", _rescu, RESCU, (-1.0, 0.25, 1.5)),
    "softplus": Case("softplus", activations.softplus, {"beta": 2.0}),
    "swish": Case("swish", activations.swish, {"beta": 2.0}),
    "gelu": Case("gelu", activations.gelu, {"beta": 1.5}),
    "relu": Case("relu", activations.relu, {}, (0.0,)),
    "leaky_relu": Case("leaky_relu", activations.leaky_relu, {"alpha": 0.25}, (0.0,)),
    "elu": Case("elu", activations.elu, {"alpha": 0.5}, (0.0,)),
    "selu": Case("selu", activations.selu, {}, (0.0,)),
    "celu": Case("celu", activations.celu, {"alpha": 0.5}, (0.0,)),
}
# Second cases of a row: other code, or other forms.
FURTHER = [
    Case("softplus of beta 1", activations.softplus, {"beta": 1.0}),
    Case("gelu as a swish", lambda x, beta: activations.gelu(x, beta=beta, form="sigmoid"), {"beta": 1.5}),
]


def case_of(row: registry.Row) -> Case:
    """The row at its defaults, with joints where its transition region ends, unless more is chosen above."""
    joints = tuple(map(float, row.region(**row.defaults))) if row.region and row.has_string else ()
    return CHOSEN.get(row.name) or Case(row.name, row.function, row.defaults, joints)


CASES = [*map(case_of, registry.TABLE.values()), *FURTHER]
WITH_HYPERPARAMETERS = [case for case in CASES if case.hyperparameters]


MODES = {
    "eager": lambda function: function,
    "graph": lambda function: tf.function(function, autograph=False),
    "xla": lambda function: tf.function(function, autograph=False, jit_compile=True),
}


def value_and_gradients(function: Callable[..., Any], *tensors: Any) -> tuple[Any, list[Any]]:
    """The value, and the gradients of its sum with respect to every tensor."""
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        y = function(*tensors)
    return y, tape.gradient(y, tensors)


def second_derivative(function: Callable[[Any], Any], x: Any) -> Any:
    with tf.GradientTape() as tape:
        tape.watch(x)
        _, (gradient,) = value_and_gradients(function, x)
    return tape.gradient(gradient, x, unconnected_gradients="zero")


def points(case: Case, around: float = 3.0, count: int = 400, apart: float = 1e-3) -> np.ndarray:
    """Random float64 inputs, none nearer to a joint than `apart`."""
    x = np.random.default_rng(1).uniform(-around, around, count)
    return x[np.all([np.abs(x - joint) > apart for joint in (*case.joints, np.inf)], axis=0)]
