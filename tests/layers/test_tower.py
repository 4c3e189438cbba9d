"""The tower: the order of its parts, its shapes and its configurations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from smooth_recs import keras_generation
from smooth_recs.callbacks.checkpoints import restore_newest
from smooth_recs.errors import InputError
from smooth_recs.layers import SmeLU, Tower

pytestmark = pytest.mark.both_generations

NORMALIZATIONS = ["weight", "layer", "batch", "none"]
EPSILON = 1e-3  # of Keras' own layer and batch normalisation


def built(tower: Tower, inputs: int, seed: int = 1) -> Tower:
    """The tower with kernels and biases from a normal distribution."""
    tower.build((None, inputs))
    random = np.random.default_rng(seed)
    for variable in tower.trainable_variables:
        variable.assign(random.normal(size=variable.shape).astype(np.float32))
    return tower


def expected_normalised(z: np.ndarray, kind: str, scale: np.ndarray, shift: np.ndarray) -> np.ndarray:
    axis = {"layer": 1, "batch": 0}[kind]
    mean, variance = z.mean(axis=axis, keepdims=True), z.var(axis=axis, keepdims=True)
    return (z - mean) / np.sqrt(variance + EPSILON) * scale + shift


def reference(
    x: np.ndarray, weights: list[np.ndarray], kind: str, f: Any, norm_value: float, limit: float
) -> np.ndarray:
    """clip(f(norm(W x + b))) layer by layer, in NumPy."""
    per_layer = 2 if kind in ("weight", "none") else 4
    for start in range(0, len(weights), per_layer):
        kernel, bias, *affine = weights[start : start + per_layer]
        if kind == "weight":
            kernel = norm_value * kernel / np.linalg.norm(kernel, axis=0)
        z = x @ kernel + bias
        if affine:
            z = expected_normalised(z, kind, *affine)
        x = np.clip(f(z), -limit, limit)
    return x


@pytest.mark.parametrize("kind", NORMALIZATIONS)
@pytest.mark.parametrize(("name", "f"), [("exponential", np.exp), ("tanh", lambda z: np.tanh(z))])
def test_order_is_matrix_normalisation_activation_clipping(kind: str, name: str, f: Any) -> None:
    """exp and its clipping do not commute, nor does either with a normalisation."""
    tower = built(Tower([5, 4], activation=name, normalization=kind, norm_value=1.4, clip=0.8), inputs=3)
    x = np.random.default_rng(2).normal(size=(6, 3)).astype(np.float32)
    weights = [weight.numpy().astype(np.float64) for weight in tower.trainable_variables]
    assert len(weights) == (4 if kind in ("weight", "none") else 8)
    expected = reference(x.astype(np.float64), weights, kind, f, norm_value=1.4, limit=0.8)
    assert (np.abs(expected) == 0.8).any()
    assert (np.abs(expected) < 0.8).any()
    np.testing.assert_allclose(tower(x, training=True), expected, rtol=1e-4, atol=1e-5)


def test_batch_norm_uses_moving_moments_outside_training() -> None:
    tower = built(Tower([4], activation="relu", normalization="batch"), inputs=3)
    x = np.random.default_rng(2).normal(size=(50, 3)).astype(np.float32)
    kernel, bias, scale, shift = (weight.numpy() for weight in tower.trainable_variables)
    z = x @ kernel + bias
    fresh = np.maximum(z / np.sqrt(1 + EPSILON) * scale + shift, 0)  # moving mean 0, variance 1
    np.testing.assert_allclose(tower(x, training=False), fresh, rtol=1e-4, atol=1e-5)
    tower(x, training=True)
    mean = 0.01 * z.mean(axis=0)
    variance = 0.99 + 0.01 * z.var(axis=0)
    moved = np.maximum((z - mean) / np.sqrt(variance + EPSILON) * scale + shift, 0)
    np.testing.assert_allclose(tower(x, training=False), moved, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(tower(x), moved, rtol=1e-4, atol=1e-4)


def test_inputs_are_neither_activated_nor_clipped() -> None:
    """One unit with the weight (1, 0): the negative, large input reaches the activation as it is."""
    tower = Tower([1], activation=None, clip=100.0)
    tower.build((None, 2))
    tower.set_weights([np.array([[1.0], [0.0]]), np.zeros(1)])
    np.testing.assert_allclose(tower(tf.constant([[-50.0, 3.0]])), [[-50.0]])


def test_no_layers_are_the_identity() -> None:
    x = tf.constant([[-9.0, 2.0]])
    tower = Tower([], activation="smelu", clip=1.0)
    np.testing.assert_array_equal(tower(x), x)
    assert tuple(tower.compute_output_shape((None, 2))) == (None, 2)
    assert tower.trainable_variables == []


@pytest.mark.parametrize("kind", NORMALIZATIONS)
def test_one_activation_a_layer(kind: str) -> None:
    """Wide, then narrow transitions (section 5.1): (x + beta)^2 / 4 beta inside, by hand."""
    tower = Tower([1, 1], activation=[SmeLU(beta=4.0), SmeLU(beta=2.0)], normalization=kind)
    tower.build((None, 1))
    for variable in tower.trainable_variables:
        variable.assign(np.ones(variable.shape) if len(variable.shape) == 2 else np.zeros(variable.shape))
    if kind == "weight":
        np.testing.assert_allclose(tower(tf.constant([[0.0], [1.0]])), [[9 / 8], [(25 / 16 + 2) ** 2 / 8]], rtol=1e-6)
    assert betas(tower) == [4.0, 2.0]


def betas(tower: Tower) -> list[float]:
    found = [getattr(part, "activation", None) for part in tower.hidden]
    return [f.beta for f in found if isinstance(f, SmeLU)]


def test_lists_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match="activation must be one specification or one a layer, got 2 for 3 layers"):
        Tower([3, 2, 1], activation=["smelu", "relu"])


def test_a_layer_object_given_once_is_shared() -> None:
    smelu = SmeLU(beta=0.5)
    tower = Tower([3, 2], activation=smelu)
    assert all(part.activation is smelu for part in tower.hidden)


@pytest.mark.parametrize("ending", ["keras", "h5"])
@pytest.mark.filterwarnings("ignore:.*HDF5:UserWarning")
def test_a_learned_activation_is_still_shared_in_a_model_that_is_loaded(ending: str, tmp_path: Any) -> None:
    tower = Tower([3, 2], activation=SmeLU(beta=0.5, learn="beta"), normalization="batch")
    model = tf.keras.Sequential([tf.keras.Input((4,)), tower])
    tower.activation.beta_weight.assign(0.75)
    model.save(tmp_path / f"model.{ending}")
    again = tf.keras.models.load_model(tmp_path / f"model.{ending}")
    assert len(again.trainable_weights) == len(model.trainable_weights)
    assert float(again.layers[0].activation.current()["beta"]) == 0.75
    x = np.random.default_rng(1).normal(size=(5, 4)).astype(np.float32)
    np.testing.assert_array_equal(again(x), model(x))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"normalization": "spectral"}, "normalization must be one of weight, layer, batch, none, got 'spectral'"),
        ({"activation": "smelo"}, "smelo"),
        ({"norm_value": 0.0}, "norm_value must be finite and above 0, got 0.0"),
        ({"clip": -1.0}, "clip must be above 0, got -1.0"),
        ({"clip": -1.0, "normalization": "layer"}, "clip must be above 0, got -1.0"),
        ({"dropout": 1.0}, "dropout must be at least 0 and below 1, got 1.0"),
        ({"dropout": -0.1}, "dropout must be at least 0 and below 1, got -0.1"),
        ({"l2": -0.1}, "l2 must be at least 0, got -0.1"),
    ],
)
def test_bad_settings_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Tower([3], **settings)


@pytest.mark.parametrize("widths", [8, 8.0, "8", ["8"], [8.5], [8, 0], [float("inf")], [None]])
def test_widths_are_whole_numbers_in_a_sequence(widths: Any) -> None:
    with pytest.raises(
        ValueError, match="hidden_units must be whole numbers of at least 1, one a layer, got "
    ) as raised:
        Tower(widths)
    assert str(raised.value).endswith(repr(widths))
    assert Tower(np.array([8, 4])).hidden_units == Tower((8.0, 4)).hidden_units == (8, 4)


@pytest.mark.parametrize("kind", NORMALIZATIONS)
def test_nothing_is_random_or_penalised_by_default(kind: str) -> None:
    tower = built(Tower([5, 4], activation="smelu", normalization=kind), inputs=3)
    x = tf.random.stateless_normal([4, 3], [1, 2])
    np.testing.assert_array_equal(tower(x, training=True), tower(x, training=True))
    assert tower.losses == []


@pytest.mark.parametrize("kind", NORMALIZATIONS)
def test_dropout_follows_clipping_and_only_while_training(kind: str) -> None:
    """Kept outputs are clipped at 2 and then scaled by 1 / (1 - 0.25)."""
    tower = Tower([400], activation="exponential", normalization=kind, clip=2.0, dropout=0.25)
    tower.build((None, 1))
    for variable in tower.trainable_variables:
        variable.assign(np.full(variable.shape, 5.0 if len(variable.shape) == 1 else 0.0))
    x = tf.ones([100, 1])
    np.testing.assert_allclose(tower(x, training=False), np.full((100, 400), 2.0), rtol=1e-6)
    trained = tower(x, training=True).numpy()
    np.testing.assert_allclose(np.unique(trained), [0.0, 2 / 0.75], rtol=1e-6)
    assert abs((trained == 0).mean() - 0.25) < 5 * np.sqrt(0.25 * 0.75 / trained.size)
    assert not np.array_equal(trained, tower(x, training=True))


def test_dropout_is_after_every_layer() -> None:
    """Ones through two layers of one unit of weight 1: outputs are 0, or 1 / (1 - 0.5) twice."""
    tower = Tower([1, 1], activation="relu", normalization="none", dropout=0.5)
    tower.build((None, 1))
    tower.set_weights([np.ones((1, 1)), np.zeros(1), np.ones((1, 1)), np.zeros(1)])
    outputs = tower(tf.ones([10_000, 1]), training=True).numpy()
    np.testing.assert_array_equal(np.unique(outputs), [0.0, 4.0])
    assert abs((outputs > 0).mean() - 0.25) < 5 * np.sqrt(0.25 * 0.75 / outputs.size)


@pytest.mark.parametrize("kind", NORMALIZATIONS)
def test_l2_penalises_the_kernels_and_nothing_else(kind: str) -> None:
    tower = built(Tower([5, 4], activation="smelu", normalization=kind, l2=0.1), inputs=3)
    tower(tf.ones([2, 3]))
    kernels = [variable.numpy() for variable in tower.trainable_variables if len(variable.shape) == 2]
    assert len(kernels) == 2
    np.testing.assert_allclose(sorted(tower.losses), sorted(0.1 * (kernel**2).sum() for kernel in kernels), rtol=1e-5)


def test_gradients_are_those_of_finite_differences() -> None:
    tower = Tower([4, 3], activation=SmeLU(beta=0.7, dtype="float64"), norm_value=1.4, clip=0.9, dtype="float64")
    built(tower, inputs=3)
    x = tf.constant(np.random.default_rng(2).normal(size=(6, 3)))
    weights = tower.get_weights()

    def loss() -> tf.Tensor:
        return tf.reduce_sum(tower(x) ** 2)

    with tf.GradientTape() as tape:
        y = loss()
    assert y.dtype == tf.float64
    gradients = tape.gradient(y, tower.trainable_variables)
    for position, gradient in enumerate(gradients):
        for index in np.ndindex(weights[position].shape):
            values = []
            for delta in (1e-6, -1e-6):
                moved = [weight.copy() for weight in weights]
                moved[position][index] += delta
                tower.set_weights(moved)
                values.append(float(loss()))
            assert gradient.numpy()[index] == pytest.approx((values[0] - values[1]) / 2e-6, abs=1e-6)


@pytest.mark.parametrize("kind", NORMALIZATIONS)
@pytest.mark.parametrize("batch", [0, 1])
def test_batches_of_one_and_none(kind: str, batch: int) -> None:
    tower = Tower([5, 4], activation="smelu", normalization=kind, clip=6.0, dropout=0.1)
    for training in (False, True):
        y = tower(tf.ones([batch, 3]), training=training and batch > 0)
        assert y.shape == (batch, 4)
        assert np.isfinite(y).all()


@pytest.mark.parametrize("kind", NORMALIZATIONS)
@pytest.mark.parametrize(
    "settings",
    [
        {"activation": "smelu"},
        {"activation": [SmeLU(beta=0.5), "relu"], "norm_value": 1.4, "clip": 1.1, "dropout": 0.3, "l2": 0.01},
        {"activation": {"class_name": "SmeLU", "config": {"beta": 0.5}}},
        {"activation": None},
    ],
    ids=["string", "list", "dictionary", "linear"],
)
def test_round_trips(reload_every_way: Any, kind: str, settings: dict[str, Any]) -> None:
    x = tf.keras.Input((3,), name="x")
    tower = Tower([5, 4], normalization=kind, **settings)
    model = tf.keras.Model({"x": x}, tower(x))
    random = np.random.default_rng(3)
    model.set_weights([random.uniform(0.2, 1.0, size=weight.shape) for weight in model.get_weights()])
    inputs = {"x": tf.random.stateless_normal([6, 3], [1, 2])}
    expected = model(inputs).numpy()
    assert np.ptp(expected) > 0.01
    for way, outputs in reload_every_way(model, inputs).items():
        np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-6, err_msg=way)


@pytest.mark.parametrize("kind", NORMALIZATIONS)
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_trains(mixed_precision: Any, kind: str, policy: str) -> None:
    mixed_precision(policy)
    tower = Tower([8, 4], activation="smelu", normalization=kind, clip=6.0, dropout=0.1)
    with tf.GradientTape() as tape:
        y = tower(tf.random.stateless_normal([16, 6], [1, 2]), training=True)
        loss = tf.reduce_sum(tf.cast(y, tf.float32) ** 2)
    assert y.dtype == tower.compute_dtype != "float32"
    variables = tower.trainable_variables
    assert all(variable.dtype == tf.float32 for variable in variables)
    gradients = tape.gradient(loss, variables)
    assert all(gradient is not None and np.isfinite(gradient).all() for gradient in gradients)


@pytest.mark.parametrize("kind", NORMALIZATIONS)
def test_xla_gives_the_same_outputs(kind: str) -> None:
    tower = built(Tower([8, 4], activation="smelu", normalization=kind, clip=0.9), inputs=6)
    x = tf.random.stateless_normal([16, 6], [1, 2])
    compiled = tf.function(lambda x: tower(x), jit_compile=True)
    np.testing.assert_allclose(compiled(x), tower(x), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("kind", NORMALIZATIONS)
def test_fits_a_function_that_is_not_linear(kind: str) -> None:
    """x1 x2 cannot be fitted by a linear model: its best mean squared error is the variance, 1."""
    tf.keras.utils.set_random_seed(1)
    x = np.random.default_rng(4).normal(size=(512, 2)).astype(np.float32)
    y = x[:, :1] * x[:, 1:]
    model = tf.keras.Sequential(
        [tf.keras.Input((2,)), Tower([32, 16], activation="smelu", normalization=kind), tf.keras.layers.Dense(1)]
    )
    model.compile(optimizer=tf.keras.optimizers.Adam(0.02), loss="mse")
    history = model.fit(x, y, epochs=25, batch_size=64, verbose=0)
    assert history.history["loss"][-1] < 0.5 * y.var()


def test_the_random_state_of_dropout_comes_back_from_a_checkpoint(tmp_path: Path) -> None:
    if not keras_generation.is_legacy():
        pytest.skip("Keras 3 saves the state of its own dropout")
    inputs = tf.ones([4, 50])

    def dropped(tower: Tower, times: int = 3) -> list[np.ndarray]:
        step = tf.function(lambda: tower(inputs, training=True))
        return [step().numpy() for _ in range(times)]

    def made(seed: int | None = 7) -> Tower:
        tower = Tower([20], activation="relu", dropout=0.5, dropout_seed=seed)
        tower(inputs)
        return tower

    tower = made()
    first = dropped(tower)
    assert not np.array_equal(*first[:2])
    path = tf.train.Checkpoint(model=tower).save(str(tmp_path / "state"))
    then = dropped(tower)
    again = made(seed=None)  # a seed by chance is part of the state
    tf.train.Checkpoint(model=again).restore(path).assert_existing_objects_matched()
    np.testing.assert_array_equal(dropped(again), then)
    assert [w.dtype for w in tower.weights if w.dtype == tf.int64] == []  # no weight: files of weights stay as they are


def test_a_checkpoint_without_the_state_of_dropout_is_restored(tmp_path: Path) -> None:
    if not keras_generation.is_legacy():
        pytest.skip("Keras 3 saves the state of its own dropout")

    def made(dropout: float, units: int = 1) -> Tower:
        tower = Tower([3] * units, activation="relu", dropout=dropout)
        tower(tf.ones([1, 2]))
        return tower

    earlier, later = made(dropout=0.0), made(dropout=0.5)  # the layers that both have are in the same places
    tf.train.Checkpoint(model=earlier).write(str(tmp_path / "ckpt-5"))
    assert restore_newest(later, str(tmp_path)) == str(tmp_path / "ckpt-5")
    np.testing.assert_array_equal(later.weights[0], earlier.weights[0])
    tf.train.Checkpoint(model=later).write(str(tmp_path / "ckpt-6"))
    with pytest.raises(InputError, match="is not of this model"):
        restore_newest(made(dropout=0.5, units=2), str(tmp_path))
