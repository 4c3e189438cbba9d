"""The activations as Keras strings and in configurations: models built from them train and survive being saved."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from smooth_recs import activations as act
from smooth_recs import keras_generation
from smooth_recs import layers as sr_layers
from smooth_recs.activations import functions, registry
from smooth_recs.errors import InputError

# Keras 3 itself warns so, with NumPy 2, when it writes a weight.
pytestmark = [
    pytest.mark.both_generations,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

X = np.random.default_rng(1).normal(size=(32, 3)).astype(np.float32)
ALL = list(registry.FUNCTIONS)
OWN = ["smelu", "gsmelu", "tanhexp"]
SPECIFICATIONS: dict[str, list[Any]] = {
    "strings": ALL,
    "functions": list(registry.FUNCTIONS.values()),
    "layers": [
        act.SmeLU(beta=0.1),
        act.GSmeLU(t=-0.1, learn="all"),
        act.RESCU((-1, 0, 1), (0, 1.5, 1), learn="all", per="unit"),
        act.GELU(beta=2.0, form="sigmoid", learn="beta"),
        act.SmeLU(relative_beta=0.3),
    ],
}


def model_with(activations: list[Any], where: str) -> Any:
    """One hidden layer after another, trained a little."""
    layers = tf.keras.layers
    inputs = tf.keras.Input([3], name="features")
    outputs = inputs
    for activation in activations:
        if isinstance(activation, act.Activation):
            activation = type(activation).from_config(activation.get_config())
        if where == "in a layer":
            outputs = layers.Dense(4, activation=activation)(outputs)
        else:
            outputs = layers.Activation(activation)(layers.Dense(4)(outputs))
    model = tf.keras.Model(inputs, layers.Dense(1)(outputs))
    model.compile(tf.keras.optimizers.SGD(0.05), "mse")
    model.fit(X, X[:, :1], epochs=2, verbose=0)
    return model


@pytest.mark.slow
@pytest.mark.parametrize("where", ["in a layer", "as a layer"])
@pytest.mark.parametrize("kind", list(SPECIFICATIONS))
def test_round_trips(kind: str, where: str, tmp_path: Path) -> None:
    """`.keras`, SavedModel and clone_model give what the trained model gives."""
    model = model_with(SPECIFICATIONS[kind], where)
    wanted = model(X)
    model.save(tmp_path / "model.keras")
    np.testing.assert_allclose(tf.keras.models.load_model(tmp_path / "model.keras")(X), wanted, atol=1e-6)
    tf.saved_model.save(model, str(tmp_path / "saved"))
    signature = tf.saved_model.load(str(tmp_path / "saved")).signatures["serving_default"]
    np.testing.assert_allclose(next(iter(signature(tf.constant(X)).values())), wanted, atol=1e-6)
    clone = tf.keras.models.clone_model(model)
    clone(X)
    clone.set_weights(model.get_weights())
    np.testing.assert_allclose(clone(X), wanted, atol=1e-6)


@pytest.mark.parametrize(
    "specification",
    [item for items in SPECIFICATIONS.values() for item in items],
    ids=lambda item: getattr(item, "__name__", type(item).__name__),
)
def test_get_undoes_serialize(specification: Any) -> None:
    activation = act.get(specification)
    again = act.get(act.serialize(activation))
    np.testing.assert_allclose(again(tf.constant(X)), activation(tf.constant(X)), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", ALL)
def test_a_string_is_our_function(name: str) -> None:
    """Where the name is Keras' own, the meaning is the same."""
    wanted = getattr(act, name)(tf.constant(X))
    for get in (act.get, tf.keras.activations.get):
        np.testing.assert_allclose(get(name)(tf.constant(X)), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["relu", "elu", "selu", "softplus", "gelu", "swish", "leaky_relu", "mish"])
def test_strings_of_keras_stay_what_they_are(name: str) -> None:
    assert not getattr(tf.keras.activations.get(name), "__module__", "").startswith("smooth_recs")


@pytest.mark.parametrize("name", OWN)
def test_our_strings_are_our_functions(name: str) -> None:
    assert tf.keras.activations.get(name) is getattr(act, name) is act.get(name)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_training_through_the_string(jit_compile: bool) -> None:
    model = tf.keras.Sequential([tf.keras.layers.Dense(8, activation="smelu"), tf.keras.layers.Dense(1)])
    model.compile(tf.keras.optimizers.Adam(0.05), "mse", jit_compile=jit_compile)
    losses = model.fit(X, np.abs(X[:, :1]), epochs=20, verbose=0).history["loss"]
    assert losses[-1] < 0.5 * losses[0]


def test_gradients_survive_a_saved_model(tmp_path: Path) -> None:
    module = tf.Module()
    module.function = tf.function(
        lambda x: act.smelu(x, beta=0.5), input_signature=[tf.TensorSpec([None])], autograph=False
    )
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=True)
    tf.saved_model.save(module, str(tmp_path), options=options)
    loaded = tf.saved_model.load(str(tmp_path))
    x = tf.constant([-1.0, -0.25, 0.25, 0.5])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = loaded.function(x)
    np.testing.assert_array_equal(tape.gradient(y, x), [0, 0.25, 0.75, 1])


def test_get_takes_dictionaries_layers_functions_and_none() -> None:
    x = tf.constant([0.0])
    assert float(act.get({"class_name": "SmeLU", "config": {"beta": 1.0}})(x)[0]) == 0.25
    assert float(act.get({"class_name": "SmeLU"})(x)[0]) == pytest.approx(act.DEFAULT_BETA / 4)
    assert act.get({"class_name": "GSmeLU", "config": {"alpha": 0.1}}).alpha == 0.1
    layer = act.SmeLU()
    assert act.get(layer) is layer
    assert act.get(tf.sin) is tf.sin
    assert float(act.get(None)(x)[0]) == 0.0
    assert float(act.get("sigmoid")(x)[0]) == 0.5


def test_an_unknown_string_lists_the_near_misses() -> None:
    with pytest.raises(InputError, match=r"^activation must be a registered name, got 'smelo'; near it: .*\bsmelu\b"):
        act.get("smelo")
    with pytest.raises(InputError, match="got 'qqqq'; near it: nothing"):
        act.get("qqqq")
    with pytest.raises((ValueError, TypeError)):
        act.get(3)
    with pytest.raises((ValueError, TypeError)):
        act.get({"class_name": "NoSuchThing", "config": {}})


def test_with_beta() -> None:
    x = tf.constant([0.1, -0.2])
    for name in ("smelu", "softplus", "swish", "gelu"):
        assert act.takes_beta(name)
        np.testing.assert_array_equal(act.with_beta(name, 0.7)(x), getattr(act, name)(x, beta=0.7))
        np.testing.assert_allclose(act.with_beta(name)(x), getattr(act, name)(x), rtol=1e-6)
    np.testing.assert_array_equal(act.with_beta("gsmelu", 0.7)(x), act.gsmelu(x, alpha=0.7, beta=0.7))
    assert not act.takes_beta("relu")
    with pytest.raises(InputError, match=r"beta must be null for the activation 'relu', which has none, got 0.5"):
        act.with_beta("relu", 0.5)
    with pytest.raises(InputError, match="beta must be at least 0, got -1"):
        act.with_beta("smelu", -1)
    with pytest.raises(InputError, match="near it: smelu"):
        act.with_beta("smel", 0.5)


def test_one_default_beta_everywhere() -> None:
    x = tf.constant(X)
    wanted = act.smelu(x, beta=act.DEFAULT_BETA)
    dense = tf.keras.layers.Dense(3, activation="smelu", kernel_initializer="identity")
    for found in (act.smelu(x), act.SmeLU()(x), act.get("smelu")(x), act.with_beta("smelu")(x), dense(x)):
        np.testing.assert_array_equal(found, wanted)
    assert act.SmeLU().get_config()["beta"] == act.DEFAULT_BETA
    assert f"in units of `x`; {act.DEFAULT_BETA} by default" in " ".join(act.smelu.__doc__.split())


@pytest.mark.one_generation
def test_geometric_widths_have_one_ratio() -> None:
    widths = act.width_schedule(1.0, 0.01, 5)
    np.testing.assert_allclose(widths, [1, 10**-0.5, 0.1, 10**-1.5, 0.01])


@pytest.mark.one_generation
def test_linear_widths_have_one_difference() -> None:
    np.testing.assert_allclose(act.width_schedule(1.0, 0.0, 5, kind="linear"), [1, 0.75, 0.5, 0.25, 0])


@pytest.mark.one_generation
@pytest.mark.parametrize("kind", ["geometric", "linear"])
def test_the_ends_are_exact(kind: str) -> None:
    for layers in (2, 3, 7):
        widths = act.width_schedule(0.7, 0.1, layers, kind)
        assert (len(widths), widths[0], widths[-1]) == (layers, 0.7, 0.1)
    assert act.width_schedule(0.7, 0.1, 1, kind) == (0.7,)


@pytest.mark.one_generation
def test_schedules_are_checked() -> None:
    for arguments, message in (
        ((0.0, 1.0, 2), "first must be above 0, got 0.0"),
        ((1.0, -1.0, 2, "linear"), "last must be at least 0, got -1.0"),
        ((1.0, 1.0, 0), "layers must be at least 1, got 0"),
        ((1.0, 1.0, 2, "cosine"), "kind must be 'geometric' or 'linear', got 'cosine'"),
    ):
        with pytest.raises(InputError) as raised:
            act.width_schedule(*arguments)
        assert str(raised.value) == message


@pytest.mark.parametrize("module", ["functions", "others", "registry"])
def test_examples_of_the_documentation(module: str) -> None:
    tests = doctest.testmod(importlib.import_module(f"smooth_recs.activations.{module}"))
    assert tests.attempted > 0
    assert tests.failed == 0


@pytest.mark.skipif(keras_generation.is_legacy(), reason="Keras 2 has a public table")
def test_a_keras_without_its_private_table_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    from keras.src import activations as private

    monkeypatch.delattr(private, "ALL_OBJECTS_DICT")
    with pytest.warns(UserWarning, match="this Keras takes no further strings") as told:
        registry.register()
    assert [str(each.message).partition(": ")[2] for each in told] == [
        f"instead of {name!r} pass smooth_recs.activations.{name}" for name in registry.STRINGS
    ]
    assert act.get("smelu") is functions.smelu


def test_a_width_in_a_text_makes_a_layer_each_time() -> None:
    assert act.get("smelu:0.25").beta == 0.25
    assert act.get("swish:3rms").relative_beta == 3.0
    assert act.get("smelu:0.3rms") is not act.get("smelu:0.3rms")
    tower = sr_layers.Tower([4, 3], "smelu:0.3rms")
    tower(X)
    assert len(act.find(tower)) == 2
    assert type(tower).from_config(tower.get_config()).activation == "smelu:0.3rms"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("smelu:wide", "an activation's width must be a number, or a number with rms after it, got 'smelu:wide'"),
        ("relu:0.3rms", "relative_beta must be null for the activation 'relu', which has none, got 0.3"),
        ("smelu:-1rms", "relative_beta must be at least 0, got -1.0"),
    ],
)
def test_a_text_with_a_bad_width(text: str, words: str) -> None:
    with pytest.raises(InputError) as error:
        act.get(text)
    assert str(error.value) == words
    with pytest.raises(InputError, match="beta must be null where relative_beta sets the width"):
        act.with_beta("smelu", 0.1, 0.3)
