"""Gradients of every activation, with respect to the inputs and every hyperparameter, against finite differences."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from activation_cases import CASES, GSMELU, MODES, Case, points, second_derivative, value_and_gradients

from smooth_recs import activations as act
from smooth_recs.backends import _tensorflow as gradients_module

STEP = 1e-5


def difference(function: Callable[[np.ndarray], Any], at: np.ndarray) -> np.ndarray:
    """Central differences in float64."""
    return (np.asarray(function(at + STEP)) - np.asarray(function(at - STEP))) / (2 * STEP)


def test_gradient_with_respect_to_the_inputs(case: Case) -> None:
    x = points(case)
    _, (gradient,) = value_and_gradients(case, tf.constant(x))
    np.testing.assert_allclose(gradient, difference(lambda x: case(tf.constant(x)), x), rtol=1e-7, atol=1e-9)


def test_second_derivative(case: Case) -> None:
    x = points(case)
    wanted = difference(lambda x: value_and_gradients(case, tf.constant(x))[1][0], x)
    np.testing.assert_allclose(second_derivative(case, tf.constant(x)), wanted, rtol=1e-6, atol=1e-8)


def test_third_derivative_where_it_is_not_zero() -> None:
    x = np.linspace(-2, 2, 21)
    wanted = difference(lambda x: second_derivative(act.swish, tf.constant(x)), x)
    with tf.GradientTape() as tape:
        inputs = tf.constant(x)
        tape.watch(inputs)
        second = second_derivative(act.swish, inputs)
    np.testing.assert_allclose(tape.gradient(second, inputs), wanted, rtol=1e-6, atol=1e-8)


def test_gradient_with_respect_to_every_hyperparameter(case_with_hyperparameters: Case) -> None:
    """Both sides of every joint, and far away; as a number for all units, and as one a unit."""
    case = case_with_hyperparameters
    x = points(case, around=4.0, count=60).reshape(-1, 1)[:50].reshape(10, 5)
    x[0, 0], x[0, 1] = -100.0, 100.0
    upstream = np.random.default_rng(2).normal(size=x.shape)
    names = list(case.hyperparameters)
    for shape in ((), (5,), (1, 5)):
        values = [tf.fill(shape, tf.constant(case.hyperparameters[name], tf.float64)) for name in names]

        def total(*values: Any) -> Any:
            return tf.reduce_sum(case(tf.constant(x), **dict(zip(names, values, strict=True))) * upstream)

        _, found = value_and_gradients(total, *values)
        for i, gradient in enumerate(found):
            assert gradient.shape == shape
            wanted = np.zeros(shape)
            for at in np.ndindex(*shape):
                shift = np.zeros(shape)
                shift[at] = STEP
                high, low = ([v + s * shift if i == j else v for j, v in enumerate(values)] for s in (1, -1))
                wanted[at] = (total(*high) - total(*low)) / (2 * STEP)
            np.testing.assert_allclose(gradient, wanted, rtol=1e-6, atol=1e-7, err_msg=names[i])


def test_second_derivatives_with_respect_to_hyperparameters(case_with_hyperparameters: Case) -> None:
    case = case_with_hyperparameters
    x = tf.constant(points(case, count=40))
    for name, value in case.hyperparameters.items():

        def first(value: Any, name: str = name) -> Any:
            return value_and_gradients(lambda v: tf.reduce_sum(case(x, **{name: v})), value)[1][0]

        value = tf.constant(value, tf.float64)
        _, (found,) = value_and_gradients(first, value)
        found = 0.0 if found is None else found
        np.testing.assert_allclose(
            found, difference(lambda v: first(tf.constant(v)), value.numpy()), rtol=1e-5, atol=1e-5
        )


def test_gradients_at_the_joints_are_the_slopes() -> None:
    """Exactly, by eq. 8: g_minus at -alpha and g_plus at beta, in every type and on both sides."""
    for dtype in (tf.float16, tf.bfloat16, tf.float32, tf.float64):
        x = tf.constant([-0.75, 0.5], dtype)
        _, (gradient,) = value_and_gradients(lambda x: act.gsmelu(x, **GSMELU), x)
        np.testing.assert_array_equal(tf.cast(gradient, tf.float32), [0.125, 1.25])
        _, (gradient,) = value_and_gradients(lambda x: act.rescu(x, knots=(-0.75, 0, 0.5), slopes=(0.5, -1, 2)), x)
        np.testing.assert_array_equal(tf.cast(gradient, tf.float32), [0.5, 2])


def test_hyperparameter_gradients_of_gsmelu_by_hand() -> None:
    """At x = beta + 1, from eq. 9: y = g_plus x + t + (alpha + beta) / 2 g_minus + (alpha - beta) / 2 g_plus."""
    names = ["alpha", "beta", "g_minus", "g_plus", "t"]
    values = [tf.constant(GSMELU[name], tf.float64) for name in names]
    x = tf.constant(1.5, tf.float64)
    _, found = value_and_gradients(lambda *v: act.gsmelu(x, **dict(zip(names, v, strict=True))), *values)
    wanted = [(0.125 + 1.25) / 2, (0.125 - 1.25) / 2, (0.75 + 0.5) / 2, 1.5 + (0.75 - 0.5) / 2, 1.0]
    np.testing.assert_allclose(found, wanted, rtol=1e-14)


def test_interior_knots_have_the_second_derivative_of_one_side() -> None:
    x = tf.constant([0.0], tf.float64)
    second = second_derivative(lambda x: act.rescu(x, knots=(-1, 0, 2), slopes=(0, 1, 0)), x)
    assert float(second[0]) in (1.0, -0.5)


@pytest.mark.parametrize("infinite", [-math.inf, math.inf])
def test_hyperparameter_gradients_are_finite_at_infinity(infinite: float) -> None:
    """Except those that are not: the tails of slopes that are themselves learned."""
    for case in CASES:
        for name, value in case.hyperparameters.items():
            if name in ("g_minus", "g_plus", "r", "u") or case.name == "leaky_relu":
                continue
            x, v = tf.constant([infinite], tf.float64), tf.constant(value, tf.float64)
            _, (gradient,) = value_and_gradients(lambda v, c=case, n=name, x=x: c(x, **{n: v}), v)
            assert np.isfinite(gradient), (case.name, name)


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16])
def test_hyperparameter_gradients_are_summed_in_float32(dtype: Any, mode: Any) -> None:
    """A sum of 4096 ones in bfloat16 stops at 256."""
    t = tf.constant([-1.0, -1.0])
    x = tf.ones([4096, 2], dtype)
    _, (gradient,) = mode(lambda t: value_and_gradients(lambda t: act.gsmelu(x, t=t), t))(t)
    np.testing.assert_array_equal(gradient, [4096, 4096])


def test_inputs_that_are_broadcast() -> None:
    """The gradient has the shape of what it belongs to, also where beta is larger than x."""
    x, beta = tf.constant([0.1, 0.2, -0.3], tf.float64), tf.constant([[0.5], [1.0]], tf.float64)
    y, (of_x, of_beta) = value_and_gradients(lambda x, b: act.smelu(x, beta=b), x, beta)
    assert (y.shape, of_x.shape, of_beta.shape) == ((2, 3), (3,), (2, 1))
    rows = [value_and_gradients(lambda x, b: act.smelu(x, beta=b), x, row) for row in beta]
    np.testing.assert_allclose(of_x, rows[0][1][0] + rows[1][1][0])
    np.testing.assert_allclose(of_beta, [rows[0][1][1], rows[1][1][1]])


def test_large_batches_are_summed_in_chunks(monkeypatch: pytest.MonkeyPatch, mode: Any) -> None:
    x = tf.constant(np.random.default_rng(8).normal(size=(32, 3, 4)))
    values = [tf.fill([4], tf.constant(v, tf.float64)) for v in GSMELU.values()]

    def function(*values: Any) -> Any:
        return act.gsmelu(x, **dict(zip(GSMELU, values, strict=True))) * tf.sin(x)

    _, whole = value_and_gradients(function, *values)
    chunks: list[int] = []
    split = tf.split
    monkeypatch.setattr(gradients_module, "LARGE", 100)
    monkeypatch.setattr(tf, "split", lambda x, n: chunks.append(n) or split(x, n))
    _, cut = mode(functools.partial(value_and_gradients, function))(*values)
    assert chunks == [gradients_module.CHUNKS] * 2  # the inputs and the upstream gradient
    for a, b in zip(whole, cut, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def test_hyperparameters_of_every_row_are_not_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gradients_module, "LARGE", 1)
    x, beta = tf.constant(np.linspace(-1, 1, 64).reshape(16, 4)), tf.constant(np.linspace(0.1, 1, 16).reshape(16, 1))
    _, (_, of_beta) = value_and_gradients(lambda x, b: act.smelu(x, beta=b), x, beta)
    rows = [value_and_gradients(lambda b, r=r: act.smelu(x[r], beta=b), beta[r])[1][0] for r in range(16)]
    np.testing.assert_allclose(of_beta, rows)


def saved_for_the_backward_pass(function: Callable[[Any], Any]) -> list[Any]:
    """What a traced function hands to its gradient, beyond what it is given and what it returns."""
    traced = tf.function(function, autograph=False).get_concrete_function(tf.TensorSpec([64, 32]))
    forward, _ = traced._delayed_rewrite_functions.forward_backward()
    given = {id(value) for value in forward.graph.inputs} if hasattr(forward, "graph") else set()
    return [output for output in forward.graph.outputs[1:] if id(output) not in given]


@pytest.mark.parametrize("name", [case.name for case in CASES if case.name != "softplus of beta 1"])
def test_fixed_hyperparameters_keep_at_most_one_tensor(name: str) -> None:
    case = next(case for case in CASES if case.name == name)
    saved = [tensor for tensor in saved_for_the_backward_pass(case) if tensor.shape.num_elements() > 32]
    assert len(saved) <= 1


def test_what_is_kept_is_counted() -> None:
    assert len(saved_for_the_backward_pass(lambda x: tf.exp(x) * tf.sin(x))) >= 2


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.name in ("smelu", "gsmelu", "swish")], ids=lambda c: c.name
)
def test_one_fused_kernel_under_xla(case: Case) -> None:
    function = MODES["xla"](lambda x: value_and_gradients(case, x)[0])
    x = tf.ones([64, 32])
    function(x)
    program = function.experimental_get_compiler_ir(x)(stage="optimized_hlo")
    entry = program[program.index("ENTRY") :]
    kernels = [line for line in entry.splitlines() if "fusion(" in line]
    assert len(kernels) == 1


def test_no_branching_on_tensor_values() -> None:
    """A hyperparameter whose value is not known when the graph is made."""

    @tf.function(input_signature=[tf.TensorSpec([None, 3]), tf.TensorSpec([None])], autograph=False)
    def function(x: Any, beta: Any) -> Any:
        return act.smelu(x, beta=beta), act.gsmelu(x, alpha=beta, beta=beta)

    for beta in ([0.5], [0.0], [0.1, 0.2, 0.3]):
        x = tf.constant(np.random.default_rng(9).normal(size=(4, 3)), tf.float32)
        for y in function(x, tf.constant(beta)):
            np.testing.assert_allclose(y, act.smelu(x, beta=beta), rtol=1e-5, atol=1e-7)
