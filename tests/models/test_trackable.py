"""What checkpoints and exports see of a model, in both generations of Keras."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import smooth_recs as sr
from smooth_recs import keras_generation
from smooth_recs.errors import InputError
from smooth_recs.models import interactions
from smooth_recs.models.trackable import predicting_variables, trackable

pytestmark = pytest.mark.both_generations
VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"


class Network(tf.keras.Model):
    """Layers in an attribute, in a list and in a module, one of them twice, and a metric."""

    def __init__(self) -> None:
        super().__init__()
        self.first = tf.keras.layers.Dense(3)
        self.hidden = [tf.keras.layers.Dense(2), self.first, tf.keras.layers.Activation("relu")]
        self.module = tf.Module()
        self.module.scale = tf.Variable(2.0)
        self.seen = tf.keras.metrics.Mean()

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return self.hidden[0](self.first(inputs)) * self.module.scale


def network() -> Network:
    model = Network()
    model.compile(optimizer=tf.keras.optimizers.SGD(0.1))
    model(tf.ones([1, 4]))
    model.seen.update_state(7.0)
    return model


def test_variables_have_the_names_of_the_attributes_that_lead_to_them(tmp_path: Path) -> None:
    model = network()
    path = tf.train.Checkpoint(model=trackable(model)).write(str(tmp_path / "all"))
    names = set(tf.train.load_checkpoint(path).get_variable_to_shape_map())
    for name in ("first/kernel", "first/bias", "hidden/0/kernel", "hidden/0/bias", "module/scale", "seen/total"):
        assert f"model/{name}{VALUE}" in names
    assert not [name for name in names if name.startswith("model/hidden/1")]  # the same layer again
    again = network()
    tf.train.Checkpoint(model=trackable(again)).read(path).assert_existing_objects_matched()
    for one, other in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert float(again.seen.result()) == 7


def test_what_predicts_are_neither_metrics_nor_optimizers() -> None:
    model = network()
    shapes = sorted(tuple(variable.shape) for variable in predicting_variables(model))
    assert shapes == [(), (2,), (3,), (3, 2), (4, 3)]


def test_parts_are_left_out_in_keras_3() -> None:
    model = network()
    seen = tf.train.TrackableView.children(trackable(model, without=[model.seen, model.optimizer]))
    assert ("seen" in seen) == keras_generation.is_legacy()
    assert {"first", "hidden", "module"} <= set(seen)


class Unassigned(tf.keras.Model):
    """Weights that no attribute holds, and one in a list."""

    def __init__(self) -> None:
        super().__init__()
        for name in ("first", "second"):
            self.add_weight(name=name, shape=(2,), initializer="zeros")
        self.listed = [self.add_weight(name="third", shape=(2,), initializer="zeros")]

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return inputs


def test_weights_that_no_attribute_holds_are_saved_too(tmp_path: Path) -> None:
    model, again = Unassigned(), Unassigned()
    model.set_weights([np.full(2, value) for value in (1.0, 2.0, 3.0)])
    path = tf.train.Checkpoint(model=trackable(model)).write(str(tmp_path / "all"))
    assert {f"model/{name}{VALUE}" for name in ("first", "second")} <= set(
        tf.train.load_checkpoint(path).get_variable_to_shape_map()
    )
    tf.train.Checkpoint(model=trackable(again)).read(path).assert_existing_objects_matched()
    for one, other in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


USERS, CLICKS = np.arange(64) % 10, (np.arange(64) % 3 == 0).astype("float32")


def ranker() -> sr.models.RankingModel:
    model = sr.models.RankingModel(
        embeddings=sr.layers.StackedEmbedding([sr.layers.EmbeddedFeature("user", 10)], dim=4),
        interaction=interactions.Concatenation(),
        top_stack=sr.layers.Tower([8, 4], activation="smelu"),
    )
    model.compile(optimizer=tf.keras.optimizers.Adam(0.1))
    return model


def siblings() -> sr.models.SiblingModel:
    model = sr.models.SiblingModel(ranker, replicas=2, differ="init")
    model.compile()
    return model


@pytest.mark.parametrize("made", [ranker, siblings])
def test_the_models_of_this_package_show_themselves_to_a_checkpoint(made: Any, tmp_path: Path) -> None:
    def trained(steps: int) -> Any:
        rows = tf.data.Dataset.from_tensor_slices(({"user": USERS}, CLICKS)).batch(16)
        model.fit(rows.take(steps), verbose=0)
        return model.predict({"user": USERS}, verbose=0)

    model = made()
    before = trained(3)
    path = tf.train.Checkpoint(model=model).save(str(tmp_path / "all"))
    names = {name for name in tf.train.load_checkpoint(path).get_variable_to_shape_map() if "top_stack" in name}
    assert any(name.endswith(f"top_stack/hidden/0/kernel{VALUE}") for name in names)
    after = trained(2)
    model = made()
    model({"user": USERS[:1]})
    tf.train.Checkpoint(model=model).restore(path).assert_existing_objects_matched()
    np.testing.assert_array_equal(model.predict({"user": USERS}, verbose=0), before)
    np.testing.assert_array_equal(trained(2), after)  # Adam's moments are there too
    tf.train.Checkpoint(model=model).save(str(tmp_path / "all"))  # with what training has made


@pytest.mark.parametrize("made", [ranker, siblings])
def test_a_model_without_variables_is_not_restored_in_silence(made: Any, tmp_path: Path) -> None:
    model, again = made(), made()
    model({"user": USERS})
    path = tf.train.Checkpoint(model=model).save(str(tmp_path / "all"))
    if keras_generation.is_legacy():
        tf.train.Checkpoint(model=again).restore(path)
        np.testing.assert_array_equal(again({"user": USERS}), model({"user": USERS}))
    else:
        with pytest.raises(InputError, match="a model must have its variables before a checkpoint of it is written or"):
            tf.train.Checkpoint(model=again).restore(path)


class Towered(tf.keras.Model):
    """A model of a user's own, with layers of this package."""

    def __init__(self) -> None:
        super().__init__()
        self.tower = sr.layers.Tower([4, 3], activation=[sr.layers.SmeLU(learn="beta"), "smelu"])
        self.out = tf.keras.layers.Dense(1)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return self.out(self.tower(inputs))


def functional() -> tf.keras.Model:
    inputs = tf.keras.Input((5,))
    return tf.keras.Model(inputs, tf.keras.layers.Dense(1)(sr.layers.Tower([4, 3], clip=6.0)(inputs)))


def sequential() -> tf.keras.Model:
    return tf.keras.Sequential([sr.layers.Tower([4, 3], normalization="batch"), tf.keras.layers.Dense(1)])


@pytest.mark.parametrize("made", [Towered, functional, sequential])
def test_a_tower_in_any_model_is_in_its_checkpoints(made: Any, tmp_path: Path) -> None:
    model, again = made(), made()
    x = np.random.default_rng(1).normal(size=(8, 5)).astype("float32")
    expected, before = model(x).numpy(), again(x).numpy()
    assert not np.allclose(expected, before)
    path = tf.train.Checkpoint(model=model).save(str(tmp_path / "all"))
    tf.train.Checkpoint(model=again).restore(path).assert_existing_objects_matched()
    np.testing.assert_array_equal(again(x).numpy(), expected)
