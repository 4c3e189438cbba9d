"""Rows in 16 bits: which numbers a value may become and how often, and small updates that add up."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from smooth_recs.layers import EmbeddedFeature, StackedEmbedding, stochastic_rounding
from smooth_recs.models import row_updates

pytestmark = pytest.mark.both_generations

DRAWS = 40_000
# Hoeffding: the share of DRAWS independent draws is further from its chance less often than once in 10^9.
BOUND = math.sqrt(math.log(2e9) / (2 * DRAWS))


def rounded(values: np.ndarray, seed: tuple[int, int] = (3, 1)) -> np.ndarray:
    """As numbers in double precision."""
    found = tf.function(stochastic_rounding.rounded)(tf.constant(values, tf.float32), tf.constant(seed, tf.int64))
    assert found.dtype == tf.float16
    return found.numpy().astype(np.float64)


@pytest.mark.parametrize(
    ("value", "below", "above", "chance"),
    [
        # In [1, 2) numbers lie 2^-10 apart: half of that, a quarter, and all but an eighth.
        (1 + 2**-11, 1, 1 + 2**-10, 1 / 2),
        (1 + 2**-12, 1, 1 + 2**-10, 1 / 4),
        (1 + 7 * 2**-13, 1, 1 + 2**-10, 7 / 8),
        (-1 - 2**-12, -1 - 2**-10, -1, 3 / 4),
        # Below 1 they lie half as far apart, and a value next to a power of two may become that.
        (1 - 2**-13, 1 - 2**-11, 1, 3 / 4),
        (2 - 2**-11, 2 - 2**-10, 2, 1 / 2),
        # From 2^-14 down they lie 2^-24 apart, down to 0.
        (2**-25, 0, 2**-24, 1 / 2),
        (-(2**-26), -(2**-24), 0, 3 / 4),
        (2**-14 - 2**-25, 2**-14 - 2**-24, 2**-14, 1 / 2),
        (5 * 2**-26, 2**-24, 2**-23, 1 / 4),
        (2**-30, 0, 2**-24, 1 / 64),
        (65_488, 65_472, 65_504, 1 / 2),
    ],
)
def test_chances_by_hand(value: float, below: float, above: float, chance: float) -> None:
    found = rounded(np.full([DRAWS], value))
    assert set(found.tolist()) == {below, above}
    assert abs((found == above).mean() - chance) < BOUND


def test_every_number_that_the_type_has_stays() -> None:
    """All patterns of bits, infinities included, and what is no number, under 20 draws."""
    numbers = np.arange(2**16, dtype=np.uint16).view(np.float16)
    numbers = np.append(numbers[~np.isnan(numbers)], np.float16(np.nan)).astype(np.float64)
    assert len(numbers) == 2**16 - 2 * 1023 + 1
    for seed in range(20):
        np.testing.assert_array_equal(rounded(numbers, (seed, 0)), numbers)


@pytest.mark.parametrize(
    ("value", "becomes"),
    [
        (65_519, 65_504),
        (-65_519, -65_504),
        (65_520, math.inf),
        (65_536, math.inf),
        (-1e30, -math.inf),
        (3e38, math.inf),
    ],
)
def test_what_is_too_great_becomes_the_nearest(value: float, becomes: float) -> None:
    np.testing.assert_array_equal(rounded(np.full([1_000], value)), np.full([1_000], becomes))


def test_every_value_becomes_one_of_its_neighbours_and_is_their_mean() -> None:
    """Values of all sizes, whose neighbours NumPy finds; errors are counted in the distance of the neighbours."""
    chance = np.random.default_rng(5)
    sizes = np.exp2(chance.uniform(-27, 15.9, [300])) * chance.choice([-1, 1], [300])
    values = sizes.astype(np.float32)
    nearest = values.astype(np.float16)
    other = np.nextafter(nearest, np.where(nearest < values, np.inf, -np.inf).astype(np.float16))
    neighbours = np.stack([nearest, other]).astype(np.float64)
    found = rounded(np.tile(values, [DRAWS, 1]))
    assert ((found == neighbours[0]) | (found == neighbours[1])).all()
    distance = np.abs(neighbours[0] - neighbours[1])
    off = np.abs(found.mean(axis=0) - values.astype(np.float64)) / distance
    # Draws have 16 bits, and below 2^-14 a float32 has more: the chance is greater by 2^-16 at most.
    assert off.max() < BOUND + 2**-16


def test_equal_seeds_give_equal_bits() -> None:
    values = np.random.default_rng(1).normal(size=[500, 16])
    first = rounded(values, (7, 2))
    np.testing.assert_array_equal(rounded(values, (7, 2)), first)
    eager = stochastic_rounding.rounded(tf.constant(values, tf.float32), tf.constant([7, 2]))
    np.testing.assert_array_equal(eager, first)
    for seed in ((8, 2), (7, 3)):
        assert 0.2 < (rounded(values, seed) != first).mean() < 0.5  # of two draws a third differ: 2 f (1 - f)


def test_small_steps_add_up_where_the_nearest_number_would_stand_still() -> None:
    """1,600 steps of an eighth of the distance: 1.5 goes down by 1600 / 8 / 1024."""
    steps, width = 1_600, 1_000
    table = tf.Variable(tf.fill([3, width], tf.constant(1.5, tf.float16)))
    nearest = tf.Variable(tf.fill([width], tf.constant(1.5, tf.float16)))

    @tf.function(autograph=False)
    def train() -> None:
        def step(k: tf.Tensor) -> tf.Tensor:
            row_updates.descend(table, tf.constant([1]), tf.fill([1, width], 2.0**-13), tf.stack([k, 0]))
            nearest.assign(tf.cast(tf.cast(nearest, tf.float32) - 2.0**-13, tf.float16))
            return k + 1

        tf.while_loop(lambda k: k < steps, step, [0])

    train()
    assert (nearest.numpy() == 1.5).all()
    values = table.numpy().astype(np.float64)
    assert (values[[0, 2]] == 1.5).all()
    # The chance is 1/8 in each step, so a number is off by 2^-10 sqrt(1600 / 8 * 7 / 8), and the mean of 1,000 of them
    # by a 1,000th's root of that; six times that is exceeded once in 5 * 10^8.
    deviation = 2**-10 * math.sqrt(steps * 7 / 64)
    assert abs(values[1].mean() - (1.5 - steps / 8 / 1024)) < 6 * deviation / math.sqrt(width)
    assert 0.8 * deviation < values[1].std() < 1.2 * deviation


def test_a_table_in_float32_is_updated_as_ever() -> None:
    table = tf.Variable([[1.0, 2.0], [3.0, 4.0]])
    row_updates.descend(table, tf.constant([1]), tf.constant([[0.1, 1e-6]]), None)
    np.testing.assert_array_equal(table, np.float32([[1, 2], [3 - np.float32(0.1), np.float32(4) - np.float32(1e-6)]]))


def test_a_layer_looks_up_and_learns_in_float32() -> None:
    """The gradient of a row that comes twice is 2^-12 + 1, which float16 would round to 1."""
    layer = StackedEmbedding([EmbeddedFeature("user", 3)], 2, "ones", embeddings_dtype="float16")
    inputs = {"user": tf.constant([1, 1, 2])}

    @tf.function
    def gradient() -> tuple[tf.Tensor, tf.IndexedSlices]:
        with tf.GradientTape() as tape:
            found = layer(inputs)
            loss = tf.reduce_sum(found * tf.constant([2.0**-12, 1.0, 3 + 2.0**-20])[:, None, None])
        return found, tape.gradient(loss, layer.trainable_variables[0])

    layer.build(None)
    found, slices = gradient()
    assert (found.dtype, slices.dtype) == (tf.float32, tf.float32)
    np.testing.assert_array_equal(found, np.ones([3, 1, 2]))
    assert slices.indices.numpy().tolist() == [1, 1, 2]
    np.testing.assert_array_equal(slices.values[:, 0], np.float32([2**-12, 1, 3 + 2**-20]))


def test_a_layer_begins_with_the_values_of_float32_to_the_nearest() -> None:
    tables = []
    for dtype in ("float32", "float16"):
        tf.keras.utils.set_random_seed(4)
        layer = StackedEmbedding([EmbeddedFeature("user", 500)], 4, embeddings_dtype=dtype)
        layer.build(None)
        tables.append(np.array(tf.convert_to_tensor(layer.embeddings)))
    assert [table.dtype for table in tables] == [np.float32, np.float16]
    np.testing.assert_array_equal(tables[1], tables[0].astype(np.float16))


def test_a_layer_is_made_again_from_its_configuration() -> None:
    layer = StackedEmbedding([EmbeddedFeature("user", 5)], 2, embeddings_dtype="float16")
    again = StackedEmbedding.from_config(layer.get_config())
    again.build(None)
    assert tf.as_dtype(again.embeddings.dtype) == tf.float16


def test_what_a_layer_refuses() -> None:
    features = [EmbeddedFeature("user", 5)]
    with pytest.raises(ValueError, match=r"^embeddings_dtype .* got 'bfloat16'"):
        StackedEmbedding(features, 2, embeddings_dtype="bfloat16")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^embeddings_dtype must be float32 with a regularizer, got 'float16'"):
        StackedEmbedding(features, 2, embeddings_regularizer="l2", embeddings_dtype="float16")
