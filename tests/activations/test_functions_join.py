"""Activations joined out of a user's own pieces."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from activation_cases import second_derivative, value_and_gradients

from smooth_recs import activations as act
from smooth_recs.errors import InputError

INFINITY = math.inf


def zero(x: Any) -> Any:
    return tf.zeros_like(x)


def parabola(x: Any) -> Any:
    return tf.square(x + 0.5) / 2


def identity(x: Any) -> Any:
    return x


SMELU = [(zero, (-INFINITY, -0.5)), (parabola, (-0.5, 0.5)), (identity, (0.5, INFINITY))]


@pytest.mark.parametrize("dtype", [tf.float16, tf.float32, tf.float64])
def test_smelu_out_of_its_pieces(dtype: Any, mode: Any) -> None:
    x = tf.constant([-INFINITY, -2, -0.5, -0.25, 0, 0.25, 0.5, 2, INFINITY, math.nan], dtype)
    joined = act.join(SMELU)
    found = mode(lambda x: value_and_gradients(joined, x))(x)
    wanted = value_and_gradients(lambda x: act.smelu(x, beta=0.5), x)
    np.testing.assert_array_equal(found[0], wanted[0])
    np.testing.assert_array_equal(found[1][0], wanted[1][0])


def test_second_derivative_of_joined_pieces() -> None:
    x = tf.constant([-2.0, 0.0, 2.0])
    np.testing.assert_array_equal(second_derivative(act.join(SMELU), x), [0, 1, 0])


def test_pieces_are_not_evaluated_outside_their_intervals() -> None:
    """log and sqrt are NaN there, and so would be every gradient."""
    pieces = [(lambda x: x - 1, (-INFINITY, 1.0)), (tf.math.log, (1.0, INFINITY))]
    x = tf.constant([-3.0, 0.0, 1.0, math.e])
    y, (gradient,) = value_and_gradients(act.join(pieces), x)
    np.testing.assert_allclose(y, [-4, -1, 0, 1], atol=1e-6)
    np.testing.assert_allclose(gradient, [1, 1, 1, 1 / math.e], rtol=1e-6)


def test_one_piece_is_a_function() -> None:
    assert float(act.join([(tf.sin, (-INFINITY, INFINITY))])(1.0)) == pytest.approx(math.sin(1))


@pytest.mark.both_generations
def test_it_is_an_activation_of_a_layer() -> None:
    layer = tf.keras.layers.Dense(3, activation=act.join(SMELU), kernel_initializer="identity")
    x = tf.constant([[-0.2, 0.3, 4.0]])
    np.testing.assert_allclose(layer(x), act.smelu(x, beta=0.5), rtol=1e-6)


REFUSED = [
    (
        [(zero, (-INFINITY, 1.0)), (identity, (1.0, INFINITY))],
        "the values of two pieces must meet at 1, got 0 and 1, apart by 1",
    ),
    (
        [(zero, (-INFINITY, 0.0)), (identity, (0.0, INFINITY))],
        "the gradients of two pieces must meet at 0, got 0 and 1, apart by 1",
    ),
    (
        [(zero, (-INFINITY, 0.0)), (lambda x: tf.math.log(x) * x, (0.0, INFINITY))],
        "the values of two pieces must meet at 0, got 0 and nan, apart by nan",
    ),
    (
        [(zero, (-INFINITY, 0.0)), (zero, (1.0, INFINITY))],
        "the pieces' intervals must touch and cover all numbers, got 0 before 1",
    ),
    ([(zero, (0.0, INFINITY))], "the pieces' intervals must touch and cover all numbers, got -inf before 0"),
    ([(zero, (-INFINITY, 0.0))], "the pieces' intervals must touch and cover all numbers, got 0 before inf"),
    ([(zero, (1.0, 1.0))], "the interval of a piece must not be empty, got (1, 1)"),
    ([(zero, (math.nan, 1.0))], "the interval of a piece must not be empty, got (nan, 1)"),
    ([], "pieces must be at least one, got none"),
]


@pytest.mark.parametrize(("pieces", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_pieces_that_do_not_fit_are_refused(pieces: Any, message: str) -> None:
    with pytest.raises(InputError) as raised:
        act.join(pieces)
    assert str(raised.value) == message


def test_a_tiny_difference_at_a_joint_is_rounding() -> None:
    pieces = [(lambda x: x * (1 + 1e-9), (-INFINITY, 1.0)), (identity, (1.0, INFINITY))]
    assert float(act.join(pieces)(2.0)) == 2.0
