"""Layers with fixed and with learned hyperparameters: constraints, sharing, configurations, constants at export."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from smooth_recs import activations as act
from smooth_recs import keras_generation
from smooth_recs.activations.layers import SMALLEST_GAP, SMALLEST_WIDTH

pytestmark = pytest.mark.both_generations

KNOTS, SLOPES = (-1.0, 0.25, 1.5), (0.25, 1.5, -0.5)
GSMELU = {"alpha": 0.75, "beta": 0.5, "g_minus": 0.125, "g_plus": 1.25, "t": -0.1}
LAYERS = {
    "SmeLU": lambda **kwargs: act.SmeLU(beta=0.3, **kwargs),
    "GSmeLU": lambda **kwargs: act.GSmeLU(**GSMELU, **kwargs),
    "RESCU": lambda **kwargs: act.RESCU(knots=KNOTS, slopes=SLOPES, t=-0.25, **kwargs),
    "Softplus": lambda **kwargs: act.Softplus(beta=3.0, **kwargs),
    "Swish": lambda **kwargs: act.Swish(beta=3.0, **kwargs),
    "GELU": lambda **kwargs: act.GELU(beta=3.0, **kwargs),
    "GELU as a Swish": lambda **kwargs: act.GELU(beta=3.0, form="sigmoid", **kwargs),
}
FUNCTIONS = {
    "SmeLU": lambda x: act.smelu(x, beta=0.3),
    "GSmeLU": lambda x: act.gsmelu(x, **GSMELU),
    "RESCU": lambda x: act.rescu(x, knots=KNOTS, slopes=SLOPES, t=-0.25),
    "Softplus": lambda x: act.softplus(x, beta=3.0),
    "Swish": lambda x: act.swish(x, beta=3.0),
    "GELU": lambda x: act.gelu(x, beta=3.0),
    "GELU as a Swish": lambda x: act.gelu(x, beta=3.0, form="sigmoid"),
}
WEIGHTS = {"GSmeLU": 5, "RESCU": 7}
X = np.random.default_rng(1).normal(size=(64, 4)).astype(np.float32)


def trained(layer: Any, rate: float, steps: int = 60, jit_compile: bool = False) -> Any:
    """The layer after training on targets that it can only come nearer to."""
    model = tf.keras.Sequential([tf.keras.Input([4]), layer])
    targets = 2 * X + 0.5 * X**2 - 1
    model.compile(tf.keras.optimizers.SGD(rate), "mse", jit_compile=jit_compile)
    model.fit(np.tile(X, (steps, 1)), np.tile(targets, (steps, 1)), batch_size=len(X), shuffle=False, verbose=0)
    return layer


@pytest.mark.parametrize("name", list(LAYERS))
@pytest.mark.parametrize("settings", [{}, {"learn": "all"}, {"learn": "all", "per": "unit"}], ids=str)
def test_a_layer_starts_as_its_function(name: str, settings: dict[str, Any]) -> None:
    layer = LAYERS[name](**settings)
    np.testing.assert_allclose(layer(X), FUNCTIONS[name](tf.constant(X)), rtol=1e-5, atol=1e-6)
    expected = WEIGHTS.get(name, 1) if settings else 0
    assert len(layer.trainable_weights) == expected
    assert layer.compute_output_shape((None, 4)) == (None, 4)
    for weight in layer.trainable_weights:
        assert tuple(weight.shape) == ((4,) if "per" in settings else ())


@pytest.mark.parametrize("per", ["layer", "unit"])
@pytest.mark.parametrize("name", list(LAYERS))
def test_learned_hyperparameters_start_at_the_given_values(name: str, per: str) -> None:
    layer = LAYERS[name](learn="all", per=per)
    layer.build((None, 4))
    fixed = LAYERS[name]().current()
    for key, value in layer.current().items():
        wanted = fixed[key] if per == "layer" else np.stack([fixed[key]] * 4, axis=-1)
        np.testing.assert_allclose(value, wanted, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "learn", ["g_minus", "g_plus", ("g_minus", "g_plus"), ("alpha", "t"), ("beta", "g_plus")], ids=str
)
def test_only_what_is_named_is_learned(learn: Any) -> None:
    layer = act.GSmeLU(**GSMELU, learn=learn)
    np.testing.assert_allclose(layer(X), act.gsmelu(X, **GSMELU), rtol=1e-5, atol=1e-6)
    names = {learn} if isinstance(learn, str) else set(learn)
    assert len(layer.trainable_weights) == len(names)
    now = trained(layer, rate=0.05).current()
    assert {name for name, value in GSMELU.items() if abs(now[name] - value) > 1e-3} == names


@pytest.mark.slow
@pytest.mark.parametrize("per", ["layer", "unit"])
@pytest.mark.parametrize("name", list(LAYERS))
def test_training_moves_every_hyperparameter(name: str, per: str) -> None:
    layer = trained(LAYERS[name](learn="all", per=per), rate=0.02)
    start = LAYERS[name]().current()
    for key, value in layer.current().items():
        moved = np.abs(np.moveaxis(value, -1, 0) - start[key]) if per == "unit" else np.abs(value - start[key])
        assert np.all(moved > 1e-5), (key, value)


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("sign", [1, -1])
def test_constraints_hold_whatever_the_gradients(sign: int, jit_compile: bool) -> None:
    """Steps far too large, up and down: widths stay above 0, slopes and knots in order, t at most 0."""
    layers = [LAYERS[name](learn="all", per="unit") for name in ("SmeLU", "GSmeLU", "RESCU")]
    model = tf.keras.Sequential([tf.keras.Input([4]), *layers])
    model.compile(tf.keras.optimizers.SGD(3.0), lambda _, y: sign * tf.reduce_mean(y), jit_compile=jit_compile)
    for _ in range(3):
        model.fit(X, X, epochs=1, batch_size=32, verbose=0)
        smelu, gsmelu, rescu = (layer.current() for layer in layers)
        assert np.all(smelu["beta"] >= np.float32(SMALLEST_WIDTH))
        assert np.all(gsmelu["alpha"] >= np.float32(SMALLEST_WIDTH))
        assert np.all(gsmelu["beta"] >= np.float32(SMALLEST_WIDTH))
        assert np.all(gsmelu["g_plus"] > gsmelu["g_minus"])
        assert np.all(gsmelu["t"] <= 0)
        assert np.all(np.diff(rescu["knots"], axis=0) > 0)
    weights = [weight for layer in layers for weight in layer.weights if "alpha" in weight.name or "gap" in weight.name]
    bounds = np.array([SMALLEST_WIDTH, SMALLEST_GAP], np.float32)
    assert any(np.any(np.isin(weight.numpy(), bounds)) for weight in weights)


def test_a_hyperparameter_on_its_bound_comes_back() -> None:
    layer = act.GSmeLU(t=0.0, learn="t")
    assert trained(layer, rate=0.1).current()["t"] < -0.1


def test_one_object_in_two_places_shares_its_numbers() -> None:
    """The paper's "per network"."""
    shared = act.SmeLU(beta=0.5, learn="beta")
    inputs = tf.keras.Input([4])
    hidden = shared(tf.keras.layers.Dense(3)(inputs))
    model = tf.keras.Model(inputs, shared(tf.keras.layers.Dense(2)(hidden)))
    assert len(model.trainable_weights) == 5
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(X))
    gradient = tape.gradient(loss, shared.trainable_weights)[0]
    dense = [layer for layer in model.layers if isinstance(layer, tf.keras.layers.Dense)]
    betas = [tf.constant(0.5), tf.constant(0.5)]
    with tf.GradientTape() as tape:
        tape.watch(betas)
        hidden = act.smelu(dense[0](X), beta=betas[0])
        loss = tf.reduce_sum(act.smelu(dense[1](hidden), beta=betas[1]))
    np.testing.assert_allclose(gradient, sum(tape.gradient(loss, betas)), rtol=1e-5)


@pytest.mark.parametrize("name", list(LAYERS))
@pytest.mark.parametrize("settings", [{}, {"learn": "all", "per": "unit"}], ids=str)
def test_configuration(name: str, settings: dict[str, Any]) -> None:
    layer = LAYERS[name](name="mine", **settings)
    config = layer.get_config()
    again = type(layer).from_config(config)
    assert again.get_config() == config
    assert config["name"] == "mine"
    assert config["learn"] == (list(layer.names) if settings else [])
    np.testing.assert_array_equal(again(X), layer(X))


def test_one_number_a_unit_without_learning() -> None:
    layer = act.GSmeLU(alpha=[0.1, 0.2, 0.3, 0.4], beta=0.5)
    again = act.GSmeLU.from_config(layer.get_config())
    np.testing.assert_array_equal(again(X), act.gsmelu(X, alpha=[0.1, 0.2, 0.3, 0.4], beta=0.5))
    knots = act.RESCU(knots=([-1.0, -2.0, -3.0, -4.0], [0.0] * 4, [1.0] * 4), slopes=(0, 1, 1))
    np.testing.assert_array_equal(knots(X)[:, 1:2], act.rescu(X[:, 1:2], knots=(-2, 0, 1), slopes=(0, 1, 1)))


def test_learned_from_one_number_a_unit() -> None:
    layer = act.SmeLU(beta=[0.1, 0.2, 0.3, 0.4], learn="beta", per="unit")
    np.testing.assert_allclose(layer(X), act.smelu(X, beta=[0.1, 0.2, 0.3, 0.4]), rtol=1e-5, atol=1e-7)


def test_masks_pass_through() -> None:
    embedded = tf.keras.layers.Embedding(3, 4, mask_zero=True)
    outputs = act.SmeLU()(embedded(tf.constant([[1, 0]])))
    mask = outputs._keras_mask
    np.testing.assert_array_equal(mask, [[True, False]])


def network() -> tuple[Any, Any]:
    """A model with learned activations at every depth, away from where they started."""
    unit = act.GSmeLU(t=-0.1, learn="all", per="unit")
    inner = tf.keras.Sequential([tf.keras.layers.Dense(3, activation=unit), act.RESCU(KNOTS, SLOPES, learn="knots")])
    model = tf.keras.Sequential([tf.keras.Input([4]), inner, tf.keras.layers.Dense(1, activation=act.SmeLU(0.2))])
    model.compile("sgd", "mse")
    model.fit(X, X[:, :1], verbose=0)
    return model, unit


def test_learned_activations_are_found_at_any_depth() -> None:
    model, unit = network()
    found = act.find(model)
    assert unit in found
    assert sorted(type(layer).__name__ for layer in found) == ["GSmeLU", "RESCU", "SmeLU"]


@pytest.mark.slow
def test_export_has_constants_in_place_of_learned_hyperparameters(tmp_path: Path) -> None:
    model, unit = network()
    wanted = model(X)

    def serve() -> Any:
        return tf.function(model, autograph=False).get_concrete_function(tf.TensorSpec([None, 4]))

    def reads(function: Any) -> int:
        graph = function.graph.as_graph_def()
        nodes = [*graph.node, *(node for inner in graph.library.function for node in inner.node_def)]
        return sum(node.op == "ReadVariableOp" for node in nodes)

    with act.frozen(model):
        frozen = serve()
    assert reads(frozen) == 4  # two kernels and two biases
    assert reads(serve()) == 4 + 5 + 3
    tf.saved_model.save(model, str(tmp_path / "export"), signatures=frozen)
    for weight in unit.trainable_weights:
        weight.assign(weight + 1.0)
    np.testing.assert_allclose(tf.nest.flatten(frozen(tf.constant(X)))[0], wanted, rtol=1e-5, atol=1e-6)
    loaded = tf.saved_model.load(str(tmp_path / "export")).signatures["serving_default"]
    np.testing.assert_allclose(next(iter(loaded(tf.constant(X)).values())), wanted, rtol=1e-5, atol=1e-6)
    assert np.max(np.abs(model(X) - wanted)) > 0.01  # training goes on with the weights


def test_frozen_is_undone_after_an_error() -> None:
    model, _ = network()
    with pytest.raises(RuntimeError), act.frozen(model):
        raise RuntimeError
    assert not any(layer._constants for layer in act.find(model))


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("jit_compile", [False, True])
def test_mixed_precision(policy: str, jit_compile: bool) -> None:
    def layers(dtype: Any) -> list[Any]:
        return [LAYERS[name](learn="all", per="unit", dtype=dtype) for name in ("GSmeLU", "RESCU", "SmeLU", "Swish")]

    wide = tf.keras.Sequential([tf.keras.Input([4]), *layers("float32")])
    model = tf.keras.Sequential([tf.keras.Input([4]), *layers(policy)])
    y = model(X)
    assert y.dtype == policy.removeprefix("mixed_")
    np.testing.assert_allclose(tf.cast(y, tf.float32), wide(X), atol=0.05)
    assert {weight.numpy().dtype for weight in model.trainable_weights} == {np.dtype("float32")}
    model.compile(tf.keras.optimizers.SGD(0.01), "mse", jit_compile=jit_compile)
    losses = model.fit(X, X**2, epochs=5, verbose=0).history["loss"]
    assert np.all(np.isfinite(losses))
    assert losses[-1] < losses[0]


def test_layers_are_those_of_this_keras() -> None:
    assert issubclass(act.SmeLU, tf.keras.layers.Layer)
    assert keras_generation.is_legacy() == act.SmeLU.__mro__[2].__module__.startswith("tf_keras")
