"""The Python in the README runs as it stands, in both generations of Keras."""

from __future__ import annotations

import pathlib
import re

import numpy as np
import pytest
import tensorflow as tf

pytestmark = pytest.mark.both_generations

README = pathlib.Path(__file__).parents[1] / "README.md"


def build():
    model = tf.keras.Sequential(
        [tf.keras.layers.Dense(8, activation="smelu"), tf.keras.layers.Dense(1, activation="sigmoid")]
    )
    model.compile(optimizer="adagrad", loss="binary_crossentropy")
    return model


def test_every_block_in_its_order(capsys):
    x = np.random.default_rng(1).normal(size=(256, 4)).astype(np.float32)
    y = (x[:, :1] > 0).astype(np.float32)
    dataset = tf.data.Dataset.from_tensor_slices((x, y)).batch(32)
    names = {"build": build, "dataset": dataset, "validation": dataset}
    blocks = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    assert len(blocks) >= 4
    for block in blocks:
        exec(compile(block, str(README), "exec"), names)
    assert names["sr"].prediction_difference.relative(names["today"], names["tomorrow"]) == pytest.approx(1 / 11)
    assert "pd" in names["siblings"].history.history
    assert names["tower"](x).shape == (256, 64)
