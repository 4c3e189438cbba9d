"""Siblings that take turns, on the backend of this process: orders, equal starts, history, PD."""

from __future__ import annotations

from typing import Any

import keras_towers
import numpy as np
import pytest

import smooth_recs as sr
from smooth_recs import keras_generation

pytestmark = pytest.mark.both_generations

X, Y = keras_towers.rows(300)


def build() -> Any:
    keras = keras_generation.keras()
    model = keras.Sequential([keras.layers.Dense(8, activation="smelu"), keras.layers.Dense(1, activation="sigmoid")])
    model.compile(optimizer=keras.optimizers.Adagrad(0.05), loss="binary_crossentropy", metrics=["mae"])
    return model


def train(**settings: Any) -> sr.sibling_fits.Siblings:
    measured = sr.callbacks.PredictionDifference((X, Y))
    given = {"batch_size": 50, "epochs": 2, "seed": 1, "verbose": 0, "callbacks": [measured], **settings}
    return sr.train_siblings(build, X, Y, **given)


def test_the_history_is_that_of_means_and_pd() -> None:
    siblings = train(validation_data=(X[:50], Y[:50]))
    assert list(siblings.history) == ["loss", "mae", "val_loss", "val_mae", "pd", "auc", "log_loss"]
    assert all(len(values) == 2 for values in siblings.history.values())
    a, b = siblings.predict(X, verbose=0).T
    assert siblings.history["pd"][-1] == pytest.approx(sr.prediction_difference.relative(a, b), rel=1e-5)
    losses = [model.evaluate(X[:50], Y[:50], verbose=0, return_dict=True)["loss"] for model in siblings.replicas]
    assert siblings.history["val_loss"][-1] == pytest.approx(np.mean(losses), rel=1e-5)


def test_what_differs_is_what_was_asked_for() -> None:
    assert train(differ="nothing").history["pd"] == [0.0, 0.0]
    once = train(differ="order", epochs=1, replicas=2)
    assert 0 < once.history["pd"][0] < 0.5
    alike = train(differ="init", shuffle=False)
    assert alike.history["pd"][0] > 0
    keras_generation.keras().utils.set_random_seed(1)
    one = build()
    one(X[:1])
    one.fit(X, Y, batch_size=50, epochs=2, shuffle=False, verbose=0)
    np.testing.assert_array_equal(alike.replicas[0].predict(X, verbose=0), one.predict(X, verbose=0))


def test_a_seed_makes_the_same_siblings_again() -> None:
    first, second = train(), train()
    assert first.history == second.history
    assert train(seed=2).history["pd"] != first.history["pd"]


def test_each_epoch_has_a_new_order_of_all_rows() -> None:
    seen: list[tuple[int, int, list[float]]] = []

    def rows(model: int, epoch: int) -> Any:
        order = np.random.default_rng([model, epoch]).permutation(len(X))
        seen.append((model, epoch, order.tolist()))
        return X[order], Y[order]

    def made() -> Any:
        model = build()
        model(X[:1])
        return model

    siblings = sr.train_siblings(made, rows, epochs=2, verbose=0)
    assert [each[:2] for each in seen] == [(0, 0), (1, 0), (0, 1), (1, 1)]
    assert list(siblings.history) == ["loss", "mae"]
    own = sr.sibling_fits._Rows(X, Y, None, 1, True, True)
    orders = [own(model, epoch)[0].tolist() for model in (0, 1) for epoch in (0, 1)]
    assert all(a != b for i, a in enumerate(orders) for b in orders[:i])
    assert all(sorted(order) == sorted(X.tolist()) for order in orders)


def test_callbacks_end_all_and_restore_all(capsys: pytest.CaptureFixture[str]) -> None:
    keras = keras_generation.keras()
    measured = sr.callbacks.PredictionDifference((X, Y))
    stop = keras.callbacks.EarlyStopping(monitor="pd", mode="min", patience=0, restore_best_weights=True)
    siblings = train(callbacks=[measured, stop], epochs=8, verbose=1)
    pds = siblings.history["pd"]
    a, b = siblings.predict(X, verbose=0).T
    assert sr.prediction_difference.relative(a, b) == pytest.approx(min(pds), rel=1e-5)
    assert "pd: " in capsys.readouterr().out


def test_dropout_drops_the_same_units_in_all() -> None:
    def with_dropout() -> Any:
        keras = keras_generation.keras()
        layers = [
            keras.layers.Dense(8, activation="smelu"),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(1, "sigmoid"),
        ]
        model = keras.Sequential(layers)
        model.compile(optimizer=keras.optimizers.SGD(0.05), loss="binary_crossentropy")
        return model

    measured = sr.callbacks.PredictionDifference((X, Y))
    given = {"batch_size": 50, "epochs": 2, "verbose": 0, "callbacks": [measured], "differ": "nothing"}
    assert sr.train_siblings(with_dropout, X, Y, **given).history["pd"] == [0.0, 0.0]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"replicas": 0}, "replicas must be at least 1, got 0"),
        ({"differ": "rows"}, "differ must be one of"),
        ({"shuffle": False}, "shuffle must be True where siblings differ in order, got False"),
        ({"sample_weight": Y[:-1]}, r"must have as many rows each, at least one, got \[299, 300\]"),
    ],
)
def test_wrong_settings_are_one_line(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        train(**settings)


def test_a_callback_between_steps_is_refused() -> None:
    measured = sr.callbacks.PredictionDifference((X, Y), every=3)
    with pytest.raises(ValueError, match="every must be 'epoch' where siblings take turns, got 3"):
        train(callbacks=[measured])


@pytest.mark.skipif(keras_generation.backend() != "tensorflow", reason="SiblingModel needs TensorFlow")
def test_the_history_is_that_of_a_sibling_model() -> None:
    """Names and numbers, where both see the same batches from the same weights."""
    seeds = iter((1, 2))

    def seeded() -> Any:
        keras_generation.keras().utils.set_random_seed(next(seeds))
        model = build()
        model(X[:1])
        return model

    model = sr.models.SiblingModel(seeded, differ="init")
    model.compile()
    measured = sr.callbacks.PredictionDifference((X, Y))
    wanted = model.fit(X, Y, batch_size=50, epochs=2, shuffle=False, verbose=0, callbacks=[measured]).history
    found = train(differ="init", shuffle=False).history
    assert set(found) == set(wanted)
    for name, values in wanted.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-5, err_msg=name)
