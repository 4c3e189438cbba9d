"""The PD callback in real fits, against what the models predict."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from smooth_recs import keras_generation, prediction_difference
from smooth_recs.callbacks import PredictionDifference
from smooth_recs.measures import accuracy

pytestmark = pytest.mark.both_generations

RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 4)).astype(np.float32)
Y = (RNG.uniform(size=300) < 0.3).astype(np.float32)
WEIGHT = RNG.exponential(size=300).astype(np.float32)
HELD_OUT_X, HELD_OUT_Y, HELD_OUT_WEIGHT = X[:70], Y[:70], WEIGHT[:70]


def model(seed: int, activation: str = "sigmoid", rate: float = 0.5, **compiled: Any) -> Any:
    initializer = tf.keras.initializers.RandomNormal(seed=seed)
    layers = [tf.keras.Input([4]), tf.keras.layers.Dense(1, activation=activation, kernel_initializer=initializer)]
    built = tf.keras.Sequential(layers)
    built.compile(optimizer=tf.keras.optimizers.SGD(rate), loss="binary_crossentropy", **compiled)
    return built


def fit(trained: Any, *callbacks: Any, epochs: int = 1, batch_size: int = 20, verbose: int = 0) -> Any:
    return trained.fit(X, Y, batch_size=batch_size, epochs=epochs, callbacks=list(callbacks), verbose=verbose)


class Recorder(tf.keras.callbacks.Callback):
    """What the models predict for the held-out rows at the end of each epoch, and the logs that it is given."""

    def __init__(self, models: list[Any]) -> None:
        super().__init__()
        self.models = models
        self.predictions: list[Any] = []
        self.logs: list[dict[str, Any]] = []
        self.batches: list[dict[str, Any]] = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.batches.append(dict(logs))

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        predicted = [np.asarray(model(HELD_OUT_X), np.float64)[:, 0] for model in self.models]
        self.predictions.append(np.stack(predicted, axis=1) if predicted else None)
        self.logs.append(dict(logs))


def eq_2(a: Any, b: Any, weight: Any) -> float:
    return float(np.sum(weight * 2 * np.abs(a - b) / (a + b)) / np.sum(weight))


def test_values_are_those_of_the_predictions() -> None:
    trained, other = model(1), model(2)
    measured = PredictionDifference((HELD_OUT_X, HELD_OUT_Y, HELD_OUT_WEIGHT), models=[other])
    recorder = Recorder([trained, other])
    history = fit(trained, measured, recorder, epochs=3)
    assert [entry["step"] for entry in measured.history] == [15, 30, 45]
    for epoch, predictions in enumerate(recorder.predictions):
        label = HELD_OUT_Y == 1
        expected = {
            "pd": eq_2(*predictions.T, HELD_OUT_WEIGHT),
            "log_loss": np.mean([-np.average(np.log(np.where(label, p, 1 - p)), weights=HELD_OUT_WEIGHT)
                                 for p in predictions.T]),
            "auc": np.mean([1 - accuracy.auc_loss(label, p, HELD_OUT_WEIGHT) for p in predictions.T]),
        }  # fmt: skip
        for name, value in expected.items():
            assert measured.history[epoch][name] == pytest.approx(value, rel=1e-6)
            assert recorder.logs[epoch][name] == measured.history[epoch][name]
            assert history.history[name][epoch] == measured.history[epoch][name]
    assert len({entry["pd"] for entry in measured.history}) == 3


class Siblings(tf.keras.Model):
    """A model with `replicas`, as `SiblingModel` has them."""

    def __init__(self, replicas: list[Any]) -> None:
        super().__init__()
        self.replicas = replicas

    def call(self, inputs: Any) -> Any:
        return tf.add_n([replica(inputs) for replica in self.replicas]) / len(self.replicas)


def test_replicas_of_the_trained_model_and_any_two_models() -> None:
    replicas = [model(seed) for seed in range(3)]
    siblings = Siblings(replicas)
    siblings.compile(optimizer="sgd", loss="binary_crossentropy")
    of_replicas = PredictionDifference((HELD_OUT_X,))
    of_two = PredictionDifference((HELD_OUT_X,), models=replicas[:2], prefix="two_")
    recorder = Recorder(replicas)
    history = fit(siblings, of_replicas, of_two, recorder)
    (predictions,) = recorder.predictions
    mean = np.mean([eq_2(predictions[:, i], predictions[:, j], np.ones(70)) for i, j in ((0, 1), (0, 2), (1, 2))])
    assert history.history["pd"] == [pytest.approx(mean, rel=1e-6)]
    assert history.history["two_pd"] == [pytest.approx(eq_2(*predictions.T[:2], np.ones(70)), rel=1e-6)]
    assert set(of_two.history[0]) == {"step", "pd"}  # without labels no accuracy


@pytest.mark.parametrize("structure", ["x", "x_y", "x_y_w", "dict"])
def test_data_sets_of_every_structure(structure: str) -> None:
    parts = {
        "x": HELD_OUT_X,
        "x_y": (HELD_OUT_X, HELD_OUT_Y[:, None]),
        "x_y_w": (HELD_OUT_X, HELD_OUT_Y, HELD_OUT_WEIGHT),
    }
    trained, other = model(1), model(2)
    models = [trained, other]
    if structure == "dict":
        models = [ByName(trained), ByName(other)]
        parts["dict"] = ({"first": HELD_OUT_X[:, :1], "rest": HELD_OUT_X[:, 1:]}, HELD_OUT_Y)
    data = tf.data.Dataset.from_tensor_slices(parts[structure]).batch(32)
    measured = PredictionDifference(data, models=models)
    recorder = Recorder([trained, other])
    fit(trained, measured, recorder)
    weight = HELD_OUT_WEIGHT if structure == "x_y_w" else np.ones(70)
    assert measured.history[0]["pd"] == pytest.approx(eq_2(*recorder.predictions[0].T, weight), rel=1e-6)
    assert ("auc" in measured.history[0]) == (structure != "x")


class ByName(tf.keras.Model):
    """Takes a dictionary, answers [batch]."""

    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner = inner

    def call(self, inputs: Any, training: bool = False) -> Any:
        return tf.squeeze(self.inner(tf.concat([inputs["first"], inputs["rest"]], axis=1)), axis=1)


def test_every_so_many_steps_and_once_at_the_end_of_an_epoch() -> None:
    trained, other = model(1), model(2)
    measured = PredictionDifference((HELD_OUT_X, HELD_OUT_Y), models=[other], every=5)
    recorder = Recorder([trained, other])
    fit(trained, measured, recorder, epochs=2, batch_size=25)  # 12 steps an epoch
    assert [entry["step"] for entry in measured.history] == [5, 10, 12, 15, 20, 24]
    assert [number for number, logs in enumerate(recorder.batches, start=1) if "pd" in logs] == [5, 10, 15, 20]
    assert recorder.batches[4]["pd"] == measured.history[0]["pd"]
    assert recorder.logs[0]["pd"] == measured.history[2]["pd"]


def test_a_measurement_at_the_last_step_is_not_made_twice() -> None:
    trained = model(1)
    measured = PredictionDifference((HELD_OUT_X,), models=[model(2)], every=15)
    history = fit(trained, measured, epochs=2)
    assert [entry["step"] for entry in measured.history] == [15, 30]
    assert history.history["pd"] == [entry["pd"] for entry in measured.history]


def test_several_steps_an_execution() -> None:
    # 15 steps in executions of 4, 4, 4 and 3.
    trained = model(1, steps_per_execution=4)
    measured = PredictionDifference((HELD_OUT_X,), models=[model(2)], every=6)
    fit(trained, measured, epochs=2)
    assert [entry["step"] for entry in measured.history] == [8, 12, 15, 19, 27, 30]


def test_steps_go_on_in_the_next_fit() -> None:
    trained, other = model(1), model(2)
    fit(trained)
    measured = PredictionDifference((HELD_OUT_X,), models=[other], every=10)
    fit(trained, measured)
    fit(trained, measured)
    assert [entry["step"] for entry in measured.history] == [20, 30, 40, 45]


def test_early_stopping_can_monitor_it() -> None:
    trained, frozen = model(1, rate=0.01), model(1)
    # The pair starts equal and drifts apart, slowly and steadily: the second epoch is no improvement.
    measured = PredictionDifference((HELD_OUT_X,), models=[frozen])
    stopping = tf.keras.callbacks.EarlyStopping(monitor="pd", mode="min", patience=1)
    history = fit(trained, measured, stopping, epochs=10)
    assert measured.history[1]["pd"] > measured.history[0]["pd"] > 0
    assert len(history.history["pd"]) == 2


def test_the_progress_bar_shows_it_and_nothing_else_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    trained, other = model(1), model(2)
    fit(trained, PredictionDifference((HELD_OUT_X, HELD_OUT_Y), models=[other]))
    assert capsys.readouterr().out == ""
    measured = PredictionDifference((HELD_OUT_X, HELD_OUT_Y), models=[other])
    fit(trained, measured, verbose=2)
    assert f"pd: {measured.history[0]['pd']:.4f}" in capsys.readouterr().out


def events(folder: Path) -> dict[tuple[str, int], float]:
    """(tag, step) and value of every scalar in the event files of a folder."""
    found = {}
    for file in folder.glob("events.out.tfevents.*"):
        for record in tf.data.TFRecordDataset(str(file)):
            event = tf.compat.v1.Event.FromString(record.numpy())
            for value in event.summary.value:
                assert value.metadata.plugin_data.plugin_name == "scalars"
                found[value.tag, event.step] = float(tf.make_ndarray(value.tensor))
    return found


def test_tensorboard_gets_every_measurement(tmp_path: Path) -> None:
    trained, other = model(1), model(2)
    measured = PredictionDifference((HELD_OUT_X, HELD_OUT_Y), models=[other], every=6, log_dir=tmp_path, prefix="eval_")
    fit(trained, measured)
    assert [entry["step"] for entry in measured.history] == [6, 12, 15]
    expected = {
        (f"eval_{name}", entry["step"]): pytest.approx(entry[name], rel=1e-6)
        for entry in measured.history
        for name in ("pd", "auc", "log_loss")
    }
    assert events(tmp_path) == expected


def test_one_trace_even_with_a_partial_batch() -> None:
    traces = []

    class Traced(tf.keras.Model):
        def call(self, inputs: Any, training: bool = False) -> Any:
            traces.append(inputs.shape)
            assert training is False
            return tf.sigmoid(inputs[:, :1])

    measured = PredictionDifference(
        tf.data.Dataset.from_tensor_slices(HELD_OUT_X).batch(32), models=[Traced(), Traced()], every=3
    )
    fit(model(1), measured, epochs=2)
    assert len(measured.history) == 10
    # One trace of each model; Keras may call each once more to build it.
    assert 2 <= len(traces) <= 4


@pytest.mark.skipif(not keras_generation.is_legacy(), reason="Keras 3 does not train such a model either")
def test_a_model_with_an_if_over_a_tensor() -> None:
    class Branching(tf.keras.Model):
        def call(self, inputs: Any, training: bool = False) -> Any:
            return tf.zeros_like(inputs[:, 0]) if tf.reduce_mean(inputs) > 10 else tf.sigmoid(inputs[:, 0])

    measured = PredictionDifference((HELD_OUT_X,), models=[Branching(), model(2, rate=0.0)])
    fit(model(1), measured)
    untrained = np.asarray(model(2)(HELD_OUT_X), np.float64)[:, 0]
    expected = eq_2(1 / (1 + np.exp(-HELD_OUT_X[:, 0])), untrained, np.ones(70))
    assert measured.history[0]["pd"] == pytest.approx(expected, rel=1e-5)


def test_the_models_are_not_traced_again_in_the_next_fit() -> None:
    calls = []

    class Traced(tf.keras.Model):
        def call(self, inputs: Any, training: bool = False) -> Any:
            calls.append(inputs.shape)
            return tf.sigmoid(inputs[:, 0])

    trained, measured = model(1), PredictionDifference((HELD_OUT_X,), models=[Traced(), Traced()])
    fit(trained, measured)
    first = len(calls)
    fit(trained, measured)
    assert len(calls) == first > 0
    assert [entry["step"] for entry in measured.history] == [15, 30]


def test_logits() -> None:
    trained, other = model(1, activation="linear"), model(2, activation="linear")
    measured = PredictionDifference((HELD_OUT_X, HELD_OUT_Y), models=[trained, other], from_logits=True)
    recorder = Recorder([trained, other])
    fit(trained, measured, recorder)
    a, b = 1 / (1 + np.exp(-recorder.predictions[0].T))
    assert measured.history[0]["pd"] == pytest.approx(prediction_difference.relative(a, b), rel=1e-6)
    refused = PredictionDifference((HELD_OUT_X, HELD_OUT_Y), models=[trained, other])
    with pytest.raises(
        ValueError, match=r"must be probabilities in \[0, 1\], got .*: for logits pass from_logits=True"
    ):
        fit(trained, refused)


class TwoTasks(tf.keras.Sequential):  # type: ignore[misc]
    """Predicts its first output; `task_probabilities` has both."""

    def task_probabilities(self, x: Any, training: bool = False) -> tf.Tensor:
        first = tf.reshape(self(x, training=training), [-1])
        return tf.stack([first, first**2], axis=1)


def test_other_tasks_are_measured_beside_the_first() -> None:
    def build(seed: int) -> Any:
        tf.keras.utils.set_random_seed(seed)
        made = TwoTasks([tf.keras.Input([4]), tf.keras.layers.Dense(1, activation="sigmoid")])
        made.compile(optimizer="sgd", loss="binary_crossentropy")
        return made

    trained, other = build(1), build(2)
    labels = np.stack([HELD_OUT_Y, np.arange(70) % 3 == 0], axis=1).astype(np.float32)
    measured = PredictionDifference((HELD_OUT_X, labels), models=[trained, other], tasks=["sale"])
    alone = PredictionDifference((HELD_OUT_X, HELD_OUT_Y), models=[trained, other])
    recorder = Recorder([trained, other])
    history = fit(trained, measured, alone, recorder).history
    assert list(measured.history[0]) == ["step", "pd", "auc", "log_loss", "sale_pd", "sale_auc", "sale_log_loss"]
    assert {name: measured.history[0][name] for name in alone.history[0]} == alone.history[0]
    a, b = recorder.predictions[0].T.astype(np.float64) ** 2
    assert measured.history[0]["sale_pd"] == pytest.approx(prediction_difference.relative(a, b), rel=1e-5)
    losses = [-np.mean(np.log(np.where(labels[:, 1] == 1, p, 1 - p))) for p in (a, b)]
    assert history["sale_log_loss"][0] == pytest.approx(np.mean(losses), rel=1e-5)


def test_what_is_not_defined_is_nan() -> None:
    trained, other = model(1), model(2)
    one_class = PredictionDifference((HELD_OUT_X, np.zeros(70)), models=[other])
    history = fit(trained, one_class)
    assert math.isnan(history.history["auc"][0])
    assert history.history["pd"][0] > 0
    other.set_weights([np.full([4, 1], np.nan), np.zeros(1)])
    diverged = PredictionDifference((HELD_OUT_X, HELD_OUT_Y), models=[other])
    history = fit(trained, diverged)
    assert all(math.isnan(history.history[name][0]) for name in ("pd", "auc", "log_loss"))


def test_a_name_of_the_model_is_not_overwritten() -> None:
    trained = model(1, metrics=[tf.keras.metrics.AUC(name="auc")])
    by_itself = PredictionDifference((HELD_OUT_X, HELD_OUT_Y), models=[model(2)], every=5)
    recorder = Recorder([])
    history = fit(trained, by_itself, recorder).history
    assert {"auc", "held_out_auc", "pd", "log_loss"} <= set(history)
    assert history["held_out_auc"] == [by_itself.history[-1]["auc"]]
    assert recorder.batches[4]["held_out_auc"] == by_itself.history[0]["auc"]
    clash = PredictionDifference((HELD_OUT_X, HELD_OUT_Y), models=[model(2)], prefix="")
    with pytest.raises(
        ValueError,
        match=r"prefix must keep the callback's names apart .*, such as 'held_out_', got '': the model reports",
    ):
        fit(trained, clash)
    apart = PredictionDifference((HELD_OUT_X, HELD_OUT_Y), models=[model(2)], prefix="held_out_")
    assert {"auc", "held_out_auc", "held_out_pd", "held_out_log_loss"} <= set(fit(trained, apart).history)


def two_outputs() -> Any:
    return tf.keras.Sequential([tf.keras.Input([4]), tf.keras.layers.Dense(2)])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"every": 0}, "every must be 'epoch' or a number of steps of at least 1, got 0"),
        ({"every": "batch"}, "got 'batch'"),
        ({"models": []}, "models must name at least one model, got none"),
        ({"data": HELD_OUT_X}, "data must be a tf.data.Dataset or a tuple of arrays, got a ndarray"),
        ({"data": (HELD_OUT_X, HELD_OUT_Y[:3])}, "data must be arrays of the same length"),
        ({"data": tf.data.Dataset.from_tensors(HELD_OUT_X).repeat()}, "data must be finite"),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        PredictionDifference(**{"data": (HELD_OUT_X,), **arguments})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "models must be given unless the trained model has two or more replicas, got 0"),
        ({"models": [two_outputs()]}, r"one value of shape \[batch\] or \[batch, 1\], got \(None, 2\) from model 1"),
        (
            {"data": tf.data.Dataset.from_tensors(HELD_OUT_X).take(0), "models": [model(2)]},
            "data must have at least one",
        ),
        ({"data": (HELD_OUT_X, HELD_OUT_Y * 2), "models": [model(2)]}, "label must be 0 or 1, got 2"),
    ],
)
def test_what_shows_in_fit(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit(model(1), PredictionDifference(**{"data": (HELD_OUT_X,), **arguments}))
