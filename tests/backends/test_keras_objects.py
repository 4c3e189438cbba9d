"""Layers, constraints, callbacks and measures in a Keras model, on the backend of this process."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import keras_towers
import numpy as np
import pytest

import smooth_recs as sr
from smooth_recs import keras_generation
from smooth_recs.backends import ops

pytestmark = pytest.mark.both_generations

X, Y = keras_towers.rows()


@pytest.fixture(scope="module")
def trained() -> Any:
    model = keras_towers.build()
    history = model.fit(X, Y, batch_size=50, epochs=3, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    return model


def predictions(model: Any) -> np.ndarray:
    return model.predict(X, verbose=0)


def test_training_moves_what_is_learned_and_keeps_what_is_bound(trained: Any) -> None:
    dense, gsmelu, _, normalized, tower, *_ = trained.layers
    np.testing.assert_allclose(np.linalg.norm(np.asarray(dense.get_weights()[0]), axis=0), 1.0, rtol=1e-5)
    current = gsmelu.activation.current()
    assert all(current[name].shape == (8,) for name in ("alpha", "beta", "g_minus", "g_plus", "t"))
    assert np.any(current["alpha"] != 1.0)
    assert np.all(current["g_plus"] > current["g_minus"])
    assert normalized.activation.current()["beta"] not in (0.0, 0.1)
    relative = sr.activations.find(tower)[-1]
    assert float(relative.scale.get_weights()[1]) == 3 * len(X) / 50  # steps, below the window of 100
    assert relative.current()["beta"] == pytest.approx(0.3 * np.sqrt(relative.scale.get_weights()[0]), rel=1e-6)


def test_a_saved_model_predicts_the_same(trained: Any, tmp_path: Path) -> None:
    trained.save(tmp_path / "model.keras")
    again = keras_generation.keras().models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(predictions(again), predictions(trained), atol=1e-6)


def test_a_clone_and_a_configuration_make_the_model_again(trained: Any) -> None:
    clone = type(trained).from_config(trained.get_config())
    predictions(clone)
    clone.set_weights(trained.get_weights())
    np.testing.assert_allclose(predictions(clone), predictions(trained), atol=1e-6)


def test_the_pre_activations_are_seen(trained: Any) -> None:
    seen = sr.activations.probe(trained, X)
    assert [layer.units for layer in seen] == [8, 8, 8, 8, 6, 6, 1]
    assert all(0 <= layer.transition_share <= 1 and layer.rms > 0 for layer in seen[:-1])


def test_half_precision() -> None:
    layer = sr.layers.NormalizedDense(4, activation="smelu", norm_value=1.0, dtype="mixed_bfloat16")
    outputs = layer(X[:8])
    assert "bfloat16" in str(outputs.dtype)
    wide = sr.layers.NormalizedDense(4, activation="smelu", norm_value=1.0)
    wide.build((None, 6))
    wide.set_weights(layer.get_weights())
    np.testing.assert_allclose(ops.to_numpy(outputs), ops.to_numpy(wide(X[:8])), atol=0.03)


def test_pd_while_a_model_trains(trained: Any) -> None:
    model = keras_towers.build(2)
    measured = sr.callbacks.PredictionDifference((X, Y), models=[trained], slices={"sign": lambda x: x[:, 0] > 0})
    history = model.fit(X, Y, batch_size=50, epochs=2, verbose=0, callbacks=[measured]).history
    a, b = predictions(model), predictions(trained)
    assert [entry["step"] for entry in measured.history] == [8, 16]
    assert history["pd"][-1] == pytest.approx(sr.prediction_difference.relative(a, b), rel=1e-5)
    losses = [sr.accuracy.log_loss(Y, each.reshape(-1)) for each in (a, b)]
    assert history["log_loss"][-1] == pytest.approx(np.mean(losses), rel=1e-5)
    positive = X[:, 0] > 0
    wanted = sr.prediction_difference.relative(a[positive], b[positive])
    (of_positive,) = (value for name, value in measured.history[-1].items() if name in ("pd/sign=True", "pd/sign=1"))
    assert of_positive == pytest.approx(wanted, rel=1e-5)


def test_pd_between_steps_is_of_the_weights_of_that_step(trained: Any) -> None:
    """On jax the weights are in the training loop, and must come back for it."""
    both = []
    for every in ("epoch", 4):
        model = keras_towers.build(2)
        measured = sr.callbacks.PredictionDifference((X, Y), models=[trained], every=every)
        model.fit(X[:200], Y[:200], batch_size=50, epochs=2, shuffle=False, verbose=0, callbacks=[measured])
        both.append([(entry["step"], entry["pd"]) for entry in measured.history])
    assert both[0] == both[1]
    model = keras_towers.build(2)
    measured = sr.callbacks.PredictionDifference((X, Y), models=[trained], every=2)
    model.fit(X[:200], Y[:200], batch_size=50, epochs=2, shuffle=False, verbose=0, callbacks=[measured])
    assert [entry["step"] for entry in measured.history] == [2, 4, 6, 8]
    assert [(entry["step"], entry["pd"]) for entry in measured.history][1::2] == both[0]


def test_wrong_data_is_one_line(trained: Any) -> None:
    with pytest.raises(ValueError, match="data must be arrays of the same length"):
        sr.callbacks.PredictionDifference((X, Y[:-1]), models=[trained])
    with pytest.raises(ValueError, match="data must be"):
        sr.callbacks.PredictionDifference(3, models=[trained])


def test_a_width_that_does_nothing_is_warned_of() -> None:
    keras = keras_generation.keras()
    model = keras.Sequential([keras.layers.Dense(8, activation=sr.layers.SmeLU(beta=1000.0)), keras.layers.Dense(1)])
    model.compile(optimizer=keras.optimizers.SGD(0.0), loss="mse")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        model.fit(X, Y, epochs=1, verbose=0, callbacks=[sr.callbacks.TransitionRegions(X)])
    assert [each for each in told if "a straight line for nearly all inputs" in str(each.message)]


def test_an_assertion_for_users() -> None:
    sr.testing.assert_reproducible(np.array([[0.1], [0.2]]), np.array([0.1, 0.2]), max_pd=0.0)
    with pytest.raises(AssertionError):
        sr.testing.assert_reproducible([0.1, 0.2], [0.2, 0.2], max_pd=0.1)
