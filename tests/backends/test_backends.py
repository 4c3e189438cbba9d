"""Every activation, the row norm and clipping on the backend of this process: values, slopes, gradients, types."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from backend_tensors import value, value_and_gradients
from source_imports import ROOT

from smooth_recs import activations, constraints
from smooth_recs.activations import registry
from smooth_recs.layers.normalized_dense import clip

pytestmark = pytest.mark.both_generations

STEP = 1e-5
ROWS = [row for row in registry.TABLE.values() if row.has_string]
OF_KERNELS = {"elu", "leaky_relu"}  # where the backend's own are exact, which it says by HAS_KERNELS
MODULES = {name: ROOT / "smooth_recs" / "backends" / f"_{name}.py" for name in ("tensorflow", "jax", "torch")}


def names_of(path: Any) -> set[str]:
    """The public names that a module gives to what it defines or assigns."""
    found = set()
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return {name for name in found if not name.startswith("_")}


def used_names() -> set[str]:
    """What the package asks of `ops`."""
    found = set()
    for path in (ROOT / "smooth_recs").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "ops":
                found.add(node.attr)
    return found


@pytest.mark.parametrize("backend", MODULES)
def test_a_backend_has_the_names_that_are_used_and_no_others(backend: str) -> None:
    used = used_names() - (set() if backend == "tensorflow" else OF_KERNELS)
    assert len(used) > 30
    assert names_of(MODULES[backend]) - {"LARGE", "CHUNKS"} == used


def softplus(x: np.ndarray) -> np.ndarray:
    return np.logaddexp(x, 0)


# Written out in another way than the package does, for moderate inputs in float64.
REFERENCES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "smelu": lambda x: np.where(np.abs(x) < 0.1, (x + 0.1) ** 2 / 0.4, np.maximum(x, 0)),
    "gsmelu": lambda x: np.where(np.abs(x) < 1, (x + 1) ** 2 / 4, np.maximum(x, 0)),
    "softplus": softplus,
    "swish": lambda x: x / (1 + np.exp(-x)),
    "gelu": lambda x: x * np.vectorize(lambda z: 0.5 * (1 + __import__("math").erf(z / 2**0.5)))(x),
    "relu": lambda x: np.maximum(x, 0),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.2 * x),
    "elu": lambda x: np.where(x > 0, x, np.expm1(x)),
    "selu": lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(x)),
    "celu": lambda x: np.where(x > 0, x, np.expm1(x)),
    "mish": lambda x: x * np.tanh(softplus(x)),
    "tanhexp": lambda x: x * np.tanh(np.exp(x)),
}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
def test_values_and_slopes(row: registry.Row, compiled: bool) -> None:
    x = np.random.default_rng(1).uniform(-4, 4, 200)
    wanted = REFERENCES[row.name]
    y, (slope,) = value_and_gradients(row.function, x, compiled=compiled)
    exact = 1e-7 if row.name == "leaky_relu" else 1e-12  # TensorFlow's takes its slope in float32
    np.testing.assert_allclose(y, wanted(x), rtol=exact, atol=1e-13)
    np.testing.assert_allclose(slope, (wanted(x + STEP) - wanted(x - STEP)) / (2 * STEP), rtol=1e-5, atol=1e-4)


LIMITS = {  # value and slope at -infinity; at infinity they are infinity and 1
    "leaky_relu": (-np.inf, 0.2),
    "elu": (-1.0, 0.0),
    "selu": (-1.0507009873554805 * 1.6732632423543772, 0.0),
    "celu": (-1.0, 0.0),
}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_values_and_slopes_at_infinity_and_at_nan(row: registry.Row, dtype: str) -> None:
    y, (slope,) = value_and_gradients(row.function, [-np.inf, np.inf, np.nan], dtype=dtype)
    left = LIMITS.get(row.name, (0.0, 0.0))
    tolerance = {"bfloat16": 4e-3, "float16": 5e-4}.get(dtype, 1e-6)
    np.testing.assert_allclose(y[:2], [left[0], np.inf], rtol=tolerance)
    right = 1.0507009873554805 if row.name == "selu" else 1.0
    np.testing.assert_allclose(slope[:2], [left[1], right], rtol=tolerance)
    assert np.isnan(y[2])


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_slopes_at_the_joints_are_exact(dtype: str, compiled: bool) -> None:
    """Where automatic differentiation of max(x, u^2 / 4 beta) gives 3/4 (eq. 8)."""

    def slopes(function: Any, at: list[float]) -> list[float]:
        return value_and_gradients(function, at, dtype=dtype, compiled=compiled)[1][0].tolist()

    assert slopes(lambda x: activations.smelu(x, beta=0.5), [-0.5, 0.0, 0.5]) == [0.0, 0.5, 1.0]
    assert slopes(lambda x: activations.smelu(x, beta=0.0), [-1.0, 0.0, 1.0]) == [0.0, 0.0, 1.0]
    given = {"alpha": 0.75, "beta": 0.5, "g_minus": 0.125, "g_plus": 1.25, "t": -0.25}
    assert slopes(lambda x: activations.gsmelu(x, **given), [-0.75, 0.5]) == [0.125, 1.25]
    assert slopes(lambda x: activations.rescu(x, knots=(-0.75, 0, 0.5), slopes=(0.5, -1, 2)), [-0.75, 0.0, 0.5]) == [
        *(0.5, -1.0, 2.0)
    ]
    assert slopes(activations.relu, [0.0]) == [0.0]


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
def test_gradients_of_hyperparameters_that_are_tensors(compiled: bool) -> None:
    """One number, and one a unit, against finite differences."""
    x = np.random.default_rng(2).normal(size=(6, 4))

    def function(x: Any, beta: Any, slope: Any) -> Any:
        return activations.gsmelu(x, alpha=beta, beta=beta, g_minus=slope) * x + activations.swish(x, beta=beta)

    for shape in ((), (4,), (1, 4)):
        given = [np.full(shape, 0.7), np.full(shape, 0.1)]
        _, gradients = value_and_gradients(function, x, *given, compiled=compiled)
        for i in (0, 1):
            assert gradients[1 + i].shape == shape
            shifted = [[each + sign * STEP * (i == j) for j, each in enumerate(given)] for sign in (1, -1)]
            high, low = (value(function, x, *each) for each in shifted)
            wanted = (high - low) / (2 * STEP)
            sums = wanted.sum() if shape == () else wanted.sum(0).reshape(shape)
            np.testing.assert_allclose(gradients[1 + i], sums, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_gradients_of_hyperparameters_are_summed_in_float32(dtype: str) -> None:
    """A sum of 4096 ones in bfloat16 stops at 256."""

    def function(t: Any, x: Any) -> Any:
        return activations.gsmelu(x, t=t)

    _, (of_t, _) = value_and_gradients(lambda t, x: function(t, x * 0 + 1), -1.0, np.ones(2048), dtype=dtype)
    assert of_t == 2048  # the largest number of which float16 knows the neighbours


def test_second_derivatives_follow() -> None:
    x = np.random.default_rng(3).uniform(-0.9, 0.9, 50)

    def slope(function: Any) -> Any:
        from smooth_recs import keras_generation

        if keras_generation.backend() == "jax":
            import jax

            return jax.vmap(jax.grad(function))
        if keras_generation.backend() == "torch":
            import torch

            return torch.func.vmap(torch.func.grad(function))
        import tensorflow as tf

        def gradient(x: Any) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = function(x)
            return tape.gradient(y, x)

        return gradient

    _, (second,) = value_and_gradients(slope(lambda x: activations.smelu(x, beta=1.0)), x)
    np.testing.assert_allclose(second, 0.5)
    found, (second,) = value_and_gradients(slope(activations.swish), x)
    high, low = (value_and_gradients(activations.swish, at)[1][0] for at in (x + STEP, x - STEP))
    np.testing.assert_allclose(second, (high - low) / (2 * STEP), rtol=1e-6)
    np.testing.assert_allclose(found, value_and_gradients(activations.swish, x)[1][0], rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_clipping(dtype: str) -> None:
    """The gradient is 1 up to the limit, the limit itself included."""
    y, (slope,) = value_and_gradients(lambda x: clip(x, limit=2.0), [-3.0, -2.0, 0.5, 2.0, 2.25, np.nan], dtype=dtype)
    np.testing.assert_array_equal(y, [-2.0, -2.0, 0.5, 2.0, 2.0, np.nan])
    np.testing.assert_array_equal(slope[:5], [0.0, 1.0, 1.0, 1.0, 0.0])


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0, np.inf])
def test_row_norms(p: float) -> None:
    kernel = np.random.default_rng(4).normal(size=(5, 3))
    kernel[:, 1] = 0.0

    def rows(kernel: Any) -> Any:
        return constraints.normalized_rows(kernel, norm_value=1.5, p=p)

    found, (gradient,) = value_and_gradients(lambda k: rows(k) * k, kernel)
    norms = np.linalg.norm(value(rows, kernel), p, axis=0)
    np.testing.assert_allclose(norms, [1.5, 0.0, 1.5], rtol=1e-12)
    assert np.isfinite(gradient).all()
    for at in ((0, 0), (3, 2)):
        shift = np.zeros_like(kernel)
        shift[at] = STEP
        high, low = (value(lambda k: rows(k) * k, kernel + sign * shift).sum() for sign in (1, -1))
        assert gradient[at] == pytest.approx((high - low) / (2 * STEP), rel=1e-6)
    assert found.shape == kernel.shape


def test_pieces_that_are_joined() -> None:
    from smooth_recs.backends import ops

    elu = activations.join([(lambda x: ops.exp(x) - 1, (-np.inf, 0.0)), (lambda x: x, (0.0, np.inf))])
    y, (slope,) = value_and_gradients(elu, [-1.0, 0.0, 2.0, np.inf])
    np.testing.assert_allclose(y, [np.expm1(-1), 0.0, 2.0, np.inf])
    np.testing.assert_allclose(slope, [np.exp(-1), 1.0, 1.0, 1.0])
    with pytest.raises(ValueError, match="the gradients of two pieces must meet at 0, got 2 and 1"):
        activations.join([(lambda x: 2 * x, (-np.inf, 0.0)), (lambda x: x, (0.0, np.inf))])


def test_inputs_that_are_no_floats() -> None:
    with pytest.raises(TypeError, match="x must be of a floating-point type, got int"):
        activations.smelu([1, 2])


def test_what_a_hyperparameter_must_be() -> None:
    with pytest.raises(ValueError, match="beta must be at least 0, got -1"):
        activations.smelu([1.0], beta=-1.0)
    with pytest.raises(ValueError, match=r"beta must be at most 3\.40282e\+38 in float32, got 1e\+39"):
        value(lambda x: activations.swish(x, beta=1e39), [1.0], dtype="float32")
