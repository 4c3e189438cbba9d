"""Tables are made in place: with the values of the initializer, and without a second copy."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from smooth_recs import keras_generation
from smooth_recs.layers import embedding_tables

pytestmark = pytest.mark.both_generations


@pytest.mark.parametrize("name", ["RandomUniform", "TruncatedNormal", "GlorotUniform"])
def test_in_place_has_the_values_of_the_initializer(name: str) -> None:
    make = getattr(tf.keras.initializers, name)
    values = embedding_tables.in_place(make(seed=3))((30, 4), dtype="float32")
    np.testing.assert_array_equal(values, make(seed=3)((30, 4), dtype="float32"))
    assert np.unique(values).size > 100


def test_in_place_takes_functions_and_leaves_the_options_as_they_were() -> None:
    before = tf.config.optimizer.get_experimental_options().get("constant_folding", True)
    values = embedding_tables.in_place(lambda shape, dtype: tf.fill(shape, tf.cast(7, dtype)))((2, 1), dtype="float32")
    np.testing.assert_array_equal(values, [[7.0], [7.0]])
    with pytest.raises(ValueError, match="no table"):
        embedding_tables.in_place(refused)((2, 1), dtype="float32")
    assert tf.config.optimizer.get_experimental_options()["constant_folding"] == before


def refused(shape: Any, dtype: Any) -> Any:
    raise ValueError("no table")


@pytest.mark.skipif(not keras_generation.is_legacy(), reason="Keras 3 has no parameter servers")
def test_in_place_makes_the_parts_of_a_sharded_table() -> None:
    initializer = embedding_tables.in_place(tf.keras.initializers.RandomUniform(seed=3))
    part = initializer((30, 4), dtype="float32", partition_shape=(10, 4), partition_offset=(20, 0))
    assert part.shape == (10, 4)


MEMORY = """
import tensorflow as tf
from smooth_recs.layers import EmbeddedFeature, StackedEmbedding

def peak():
    return int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) * 1024

small = StackedEmbedding([EmbeddedFeature("user", 10)], 16)
small.build(None)
before = peak()
layer = StackedEmbedding([EmbeddedFeature("user", 3_000_000)], 16)
layer.build(None)
print((peak() - before) / (3_000_000 * 16 * 4))
"""


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="Linux says what the peak was")
def test_a_table_is_made_without_a_second_copy() -> None:
    finished = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, timeout=120, check=False)
    assert finished.returncode == 0, finished.stderr[-2000:]
    assert 0.9 < float(finished.stdout) < 1.3
