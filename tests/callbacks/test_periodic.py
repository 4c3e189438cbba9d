"""What learned activations write for TensorBoard: which values, and at which steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from smooth_recs import activations as act
from smooth_recs.callbacks import LearnedActivations

pytestmark = pytest.mark.both_generations

X = np.random.default_rng(1).normal(size=(64, 4)).astype(np.float32)


def network(*layers: tf.keras.layers.Layer) -> tf.keras.Model:
    model = tf.keras.Sequential([tf.keras.Input([4]), *layers])
    model.compile(tf.keras.optimizers.SGD(0.01), "mse")
    return model


def written(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Steps and values by name."""
    found: dict[str, list[tuple[int, float]]] = {}
    for path in sorted(folder.glob("events*")):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                found.setdefault(value.tag, []).append((event.step, float(tf.make_ndarray(value.tensor))))
    return found


@pytest.mark.parametrize("per", ["layer", "unit"])
def test_training_is_logged(tmp_path: Path, per: str) -> None:
    knots = act.RESCU((-1.0, 0.25, 1.5), (0.25, 1.5, -0.5), learn="knots", per=per)
    layers = [act.GSmeLU(t=-0.1, learn=("alpha", "t"), per=per), knots, act.SmeLU()]
    network(*layers).fit(X, X, epochs=2, batch_size=8, verbose=0, callbacks=[LearnedActivations(tmp_path, every=3)])
    found = written(tmp_path)
    names = [f"activations/{layers[0].name}/{name}" for name in ("alpha", "t")]
    names += [f"activations/{layers[1].name}/knots_{i}" for i in range(3)]
    statistics = [""] if per == "layer" else ["/minimum", "/mean", "/maximum"]
    assert set(found) == {name + statistic for name in names for statistic in statistics}
    for points in found.values():
        assert [step for step, _ in points] == [0, 3, 6, 8, 9, 12, 15, 16]
    alphas = found[names[0] + statistics[0]]
    assert alphas[0][1] == pytest.approx(1.0)
    assert alphas[-1][1] == pytest.approx(np.min(layers[0].current()["alpha"]), rel=1e-6)


def test_a_resumed_training_goes_on_at_its_step(tmp_path: Path) -> None:
    model = network(act.SmeLU(learn="beta"))
    model.fit(X, X, batch_size=8, verbose=0)
    model.fit(X, X, batch_size=8, verbose=0, callbacks=[LearnedActivations(tmp_path, every=6)])
    (points,) = written(tmp_path).values()
    assert [step for step, _ in points] == [8, 12, 16]


def test_nothing_to_log_before_a_layer_is_built(tmp_path: Path) -> None:
    model = tf.keras.Sequential([act.SmeLU(learn="beta")])
    model.compile("sgd", "mse")
    model.fit(X, X, verbose=0, callbacks=[LearnedActivations(tmp_path)])
    assert list(tmp_path.glob("events*"))


def test_a_relative_width_is_logged(tmp_path: Path) -> None:
    layer = act.SmeLU(relative_beta=0.3)
    network(tf.keras.layers.Dense(4), layer).fit(
        X, X, batch_size=8, verbose=0, callbacks=[LearnedActivations(tmp_path)]
    )
    ((name, points),) = written(tmp_path).items()
    assert name == f"activations/{layer.name}/beta"
    assert points[-1] == (8, pytest.approx(float(layer.current()["beta"])))
