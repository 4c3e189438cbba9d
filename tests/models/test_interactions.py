"""Interactions and their shapes against numbers by hand."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from smooth_recs import keras_generation
from smooth_recs.models import interactions

pytestmark = pytest.mark.both_generations
EMBEDDED = np.array([[[1.0, 2.0], [3.0, -1.0], [0.5, 4.0]], [[0.0, 1.0], [2.0, 2.0], [-1.0, 3.0]]], np.float32)
DENSE = np.array([[7.0], [-2.0]], np.float32)


def test_concatenation_by_hand() -> None:
    layer = interactions.by_name("concat")
    np.testing.assert_array_equal(layer(EMBEDDED, DENSE), [[1, 2, 3, -1, 0.5, 4, 7], [0, 1, 2, 2, -1, 3, -2]])
    np.testing.assert_array_equal(layer(EMBEDDED, None), [[1, 2, 3, -1, 0.5, 4], [0, 1, 2, 2, -1, 3]])
    np.testing.assert_array_equal(layer(None, DENSE), DENSE)


def test_dot_products_by_hand() -> None:
    """The embeddings as they are, then <e2, e1>, <e3, e1>, <e3, e2>."""
    outputs = interactions.by_name("dot")(EMBEDDED, None)
    np.testing.assert_allclose(outputs[:, :6], EMBEDDED.reshape(2, 6))
    np.testing.assert_allclose(outputs[:, 6:], [[1, 8.5, -2.5], [2, 3, 4]])


def test_dot_products_with_a_dense_vector_by_hand() -> None:
    """The dense input x becomes d = (2 x, x + 1), which stands before the dot products and takes part in them."""
    layer = interactions.by_name("dot")
    layer(EMBEDDED, DENSE)
    layer.set_weights([np.array([[2.0, 1.0]]), np.array([0.0, 1.0])])
    outputs = layer(EMBEDDED, DENSE)
    np.testing.assert_allclose(outputs[:, :2], [[14, 8], [-4, -1]])
    np.testing.assert_allclose(
        outputs[:, 2:],
        [
            [1, 8.5, -2.5, 14 + 16, 42 - 8, 7 + 32],
            [2, 3, 4, -1, -8 - 2, 4 - 3],
        ],
    )


def test_crosses_by_hand() -> None:
    """x1 = x0 * (W x0 + b) + x0 with x0 = (1, 2, 7); the second cross has W = 0 and b = 0.5 and adds x0 / 2."""
    layer = interactions.by_name("cross")
    embedded, dense = EMBEDDED[:1, :1], DENSE[:1]
    layer(embedded, dense)
    kernel = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 2.0, 0.0]])
    layer.set_weights([kernel, np.array([0.0, 1.0, 0.0]), np.zeros((3, 3)), np.full(3, 0.5)])
    first = np.array([1 * (1 + 0) + 1, 2 * (14 + 1) + 2, 7 * (2 + 0) + 7])
    np.testing.assert_allclose(layer(embedded, dense), [first + 0.5 * np.array([1, 2, 7])], rtol=1e-6)


@pytest.mark.one_generation  # TensorFlow Recommenders needs tf_keras
def test_dot_products_and_crosses_are_those_of_tensorflow_recommenders_to_the_bit() -> None:
    tfrs = keras_generation.recommenders("the test")
    embedded = np.random.default_rng(1).normal(size=(50, 7, 6)).astype(np.float32)
    theirs = tfrs.layers.feature_interaction.DotInteraction()(tf.unstack(embedded, axis=1))
    np.testing.assert_array_equal(interactions.dot_products(tf.unstack(embedded, axis=1)), theirs)
    inputs = embedded.reshape(50, 42)
    tf.keras.utils.set_random_seed(1)
    ours = interactions.CrossLayer()(inputs, 2 * inputs)
    tf.keras.utils.set_random_seed(1)
    np.testing.assert_array_equal(ours, tfrs.layers.feature_interaction.Cross()(inputs, 2 * inputs))


def test_crosses_of_embeddings_or_numbers_alone() -> None:
    assert interactions.by_name("cross")(EMBEDDED, None).shape == (2, 6)
    assert interactions.by_name("cross")(None, DENSE).shape == (2, 1)


@pytest.mark.parametrize("depth", [1, 3])
def test_depth_of_crosses(depth: int) -> None:
    """With W = 0 and b = 1 each cross adds x0."""
    layer = interactions.Cross(depth)
    layer(None, DENSE)
    layer.set_weights([np.zeros((1, 1)), np.ones(1)] * depth)
    np.testing.assert_allclose(layer(None, DENSE), DENSE * (1 + depth))


@pytest.mark.parametrize("name", ["concat", "dot", "cross"])
@pytest.mark.parametrize("rows", [0, 1])
def test_batches_of_one_and_none(name: str, rows: int) -> None:
    layer = interactions.by_name(name)
    full = layer(EMBEDDED, DENSE)
    part = layer(EMBEDDED[:rows], DENSE[:rows])
    assert part.shape == (rows, full.shape[1])
    np.testing.assert_allclose(part, full[:rows], rtol=1e-6)


@pytest.mark.parametrize("name", ["concat", "dot", "cross"])
@pytest.mark.parametrize("with_dense", [True, False])
def test_widths_are_known_while_tracing(name: str, with_dense: bool) -> None:
    """The layer behind must be able to make its kernel."""
    layer = interactions.by_name(name)
    dense = tf.TensorSpec([None, 1]) if with_dense else None
    function = tf.function(lambda embedded, dense: layer(embedded, dense))
    outputs = function.get_concrete_function(tf.TensorSpec([None, 3, 2]), dense).structured_outputs
    expected = {"concat": 6 + with_dense, "dot": 6 + 2 if with_dense else 6 + 3, "cross": 6 + with_dense}[name]
    assert outputs.shape.as_list() == [None, expected]


def test_the_products_of_all_pairs() -> None:
    """Row 0: 1*3 - 2*1 + 1*.5 + 2*4 + 3*.5 - 1*4 = 7; row 1: 0 + 2 + 0 + 3 - 2 + 6 = 9."""
    layer = interactions.by_name("deepfm")
    np.testing.assert_allclose(layer.logit(EMBEDDED), [[7.0], [9.0]], rtol=1e-6)
    np.testing.assert_array_equal(layer(EMBEDDED, DENSE), interactions.by_name("concat")(EMBEDDED, DENSE))
    assert layer.logit(EMBEDDED[:0]).shape == (0, 1)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match="interaction must be one of concat, dot, cross, deepfm, got 'product'"):
        interactions.by_name("product")
