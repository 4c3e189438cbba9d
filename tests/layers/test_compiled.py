"""What XLA compiles of a training step: where, with which values and gradients, and what is left as it is."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from smooth_recs import activations
from smooth_recs.layers import NormalizedDense, SmeLU, clip, compiled

pytestmark = pytest.mark.both_generations


def smooth(x: tf.Tensor) -> tf.Tensor:
    return tf.tanh(x) * x


def traced(function: Callable[[tf.Tensor], Any], wanted: bool = True, dtype: Any = tf.float32) -> Any:
    """Value and gradient of the sum, as one graph."""

    @tf.function(autograph=False)
    def both(x: tf.Tensor) -> Any:
        with tf.GradientTape() as tape, compiled.passes(wanted):
            tape.watch(x)
            y = function(x)
        return y, tape.gradient(y, x)

    return both.get_concrete_function(tf.TensorSpec([None, 3], dtype))


def number_compiled(concrete: Any) -> int:
    """How many functions of a graph XLA compiles."""
    called = [operation for operation in concrete.graph.get_operations() if "PartitionedCall" in operation.type]
    return sum(operation.get_attr("_XlaMustCompile") for operation in called)


def test_value_and_gradient_are_each_compiled_and_keep_their_values_for_any_number_of_rows() -> None:
    plain, fast = (traced(lambda x: compiled.apply(smooth, x), wanted) for wanted in (False, True))
    assert [number_compiled(plain), number_compiled(fast)] == [0, 2]
    for rows in (5, 2, 1, 0):
        x = np.linspace(-3, 3, rows * 3, dtype=np.float32).reshape(rows, 3)
        value, slope = (each.numpy() for each in fast(tf.constant(x)))
        np.testing.assert_allclose(value, np.tanh(x) * x, rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(slope, np.tanh(x) + x / np.cosh(x) ** 2, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [tf.bfloat16, tf.float64])
def test_other_types_are_not_compiled(dtype: Any) -> None:
    assert number_compiled(traced(lambda x: compiled.apply(smooth, x), dtype=dtype)) == 0


def test_nothing_is_compiled_outside_of_passes_nor_in_other_threads() -> None:
    found = []
    with compiled.passes():
        with compiled.passes(False):
            found.append(traced(lambda x: compiled.apply(smooth, x), wanted=False))
        thread = threading.Thread(
            target=lambda: found.append(tf.function(lambda x: compiled.apply(smooth, x)).get_concrete_function(ROW))
        )
        thread.start()
        thread.join()
        inside = tf.function(lambda x: compiled.apply(smooth, x)).get_concrete_function(ROW)
        eager = compiled.apply(smooth, tf.constant([[2.0]]))
    found.append(tf.function(lambda x: compiled.apply(smooth, x)).get_concrete_function(ROW))
    assert [number_compiled(each) for each in found] == [0, 0, 0]
    assert number_compiled(inside) == 1
    np.testing.assert_allclose(eager, [[2 * np.tanh(2)]], rtol=1e-6)


class Halved(SmeLU):  # type: ignore[misc]
    def call(self, inputs: Any, training: bool | None = None) -> Any:
        return super().call(inputs, training) / 2


ROW = tf.TensorSpec([None, 3])
NORM, ALL = 2, 4  # functions: the row norm and its gradient, and those of the activation with its clip


@pytest.mark.parametrize(
    ("activation", "clipped", "functions"),
    [
        ("smelu", 1.0, ALL),
        (SmeLU(beta=0.3), None, ALL),
        (SmeLU(beta=0.3, learn="all"), 1.0, NORM),  # of variables
        (SmeLU(relative_beta=0.3), 1.0, NORM),  # of what it has seen
        (lambda x: x * SCALE, 1.0, NORM),  # of who knows what
        ("relu", 1.0, ALL),
        ("relu", None, NORM),  # TensorFlow's product has ReLU in it
        (activations.relu, None, NORM),
        (activations.relu, 1.0, ALL),
        ("swish", None, ALL),  # Keras' own
        ("gelu", 1.0, ALL),
        (activations.mish, None, ALL),
        (SmeLU(beta=0.3, activity_regularizer="l2"), 1.0, NORM),  # adds a loss, of a tensor that would stay inside
        (Halved(beta=0.3), 1.0, NORM),  # may hold anything
        (None, None, NORM),
    ],
)
def test_a_layer_compiles_what_has_no_state(activation: Any, clipped: float | None, functions: int) -> None:
    layer = NormalizedDense(4, activation, clip=clipped)
    layer.build((None, 3))
    x = tf.random.stateless_normal([6, 3], seed=(1, 2))
    results = []
    for wanted in (False, True):

        @tf.function(autograph=False)
        def step(x: tf.Tensor, wanted: bool = wanted) -> Any:
            with tf.GradientTape() as tape, compiled.passes(wanted):
                tape.watch(x)
                y = layer(x)
            return y, tape.gradient(y, [x, *layer.trainable_variables])

        step(x)  # makes the activation's variables
        concrete = step.get_concrete_function(tf.TensorSpec([None, 3]))
        assert number_compiled(concrete) == (functions if wanted else 0)
        results.append(tf.nest.flatten(step(x)))
    if isinstance(activation, SmeLU) and activation.relative_beta:
        return  # its width has moved in between
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


SCALE = tf.Variable(0.5, trainable=False)


def test_the_clip_has_its_own_gradient_where_it_is_compiled() -> None:
    """1 where |x| <= 2, the limit included, 0 beyond."""
    fast = traced(lambda x: compiled.apply(lambda x: clip(x, limit=2.0), x))
    value, slope = fast(tf.constant([[-2.0, 2.0, 2.5], [-7.0, 0.0, 1.0]]))
    assert value.numpy().tolist() == [[-2, 2, 2], [-2, 0, 1]]
    assert slope.numpy().tolist() == [[1, 1, 0], [0, 1, 1]]


@pytest.fixture
def unasked() -> Iterator[None]:
    compiled.missing.cache_clear()
    yield
    compiled.missing.cache_clear()


@pytest.mark.usefixtures("unasked")
def test_a_missing_compiler_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    assert compiled.missing() == ""
    compiled.missing.cache_clear()

    def refused(function: Any) -> Any:
        def call(*inputs: Any) -> Any:
            raise tf.errors.UnimplementedError(None, None, "no compiler for CPU\n\t[[at a node]]")

        return call

    monkeypatch.setattr(compiled, "_compiled", refused)
    assert compiled.missing() == "no compiler for CPU"


def test_it_pays_from_a_mean_number_of_outputs_on() -> None:
    least = compiled.LEAST_OUTPUTS
    assert compiled.pays(least, (1,))
    assert not compiled.pays(least - 1, (1,))
    assert compiled.pays(least // 2, (3, 1))
    assert not compiled.pays(least, ())
