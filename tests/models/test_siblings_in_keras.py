"""Siblings of plain Keras models: what `fit`, `compile` and the standard callbacks take and do, in both generations."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from smooth_recs import keras_generation
from smooth_recs.callbacks import PredictionDifference
from smooth_recs.data.shuffling import SiblingBatches, shuffled
from smooth_recs.models import SiblingModel

# Keras 3 (3.15) warns so of a plain model too: of fewer steps than asked for, and of data of unknown size.
ends = pytest.mark.filterwarnings("ignore:Your input ran out of data:UserWarning")
pytestmark = [pytest.mark.both_generations, ends]

callbacks = tf.keras.callbacks
RNG = np.random.default_rng(0)
X = RNG.normal(size=(96, 4)).astype(np.float32)
Y = (RNG.uniform(size=96) < 0.4).astype(np.float32)
WEIGHT = RNG.uniform(0.5, 2.0, 96).astype(np.float32)


def model(dropout: float = 0.0, **compiled: Any) -> Any:
    """A compiled model; optimizer and metrics are functions, so that each has its own."""
    layers = [tf.keras.Input([4]), tf.keras.layers.Dense(6, activation="smelu")]
    if dropout:
        layers.append(tf.keras.layers.Dropout(dropout))
    made = tf.keras.Sequential([*layers, tf.keras.layers.Dense(1, activation="sigmoid")])
    compiled = {"optimizer": lambda: tf.keras.optimizers.SGD(0.1), "loss": "binary_crossentropy", **compiled}
    made.compile(**{name: value() if callable(value) else value for name, value in compiled.items()})
    return made


def siblings(differ: str = "order", loop: dict[str, Any] | None = None, **of_model: Any) -> SiblingModel:
    made = SiblingModel(lambda: model(**of_model), differ=differ)
    made.compile(**loop or {})
    return made


def fitted(made: SiblingModel, *callbacks: Any, x: Any = X, y: Any = Y, **fit: Any) -> dict[str, list[float]]:
    return made.fit(x, y, verbose=0, callbacks=list(callbacks), **fit).history


def pd(made: SiblingModel) -> float:
    one, other = made.predict(X, verbose=0).T
    return float(np.mean(2 * np.abs(one - other) / (one + other)))


def test_metrics_of_all_replicas_are_one_mean() -> None:
    """Keras numbers the names of further replicas: auc_1, auc_2, ..., which is no reason to tell them apart."""
    made = siblings(metrics=lambda: ["accuracy", tf.keras.metrics.AUC(), tf.keras.metrics.AUC(curve="PR")])
    history = fitted(made, validation_data=(X, Y))
    together = made.evaluate(X, Y, verbose=0, return_dict=True)
    apart = [replica.evaluate(X, Y, verbose=0) for replica in made.replicas]
    assert len(together) == 4
    assert {*together, *(f"val_{name}" for name in together)} == set(history)
    listed = made.evaluate(X, Y, verbose=0)
    np.testing.assert_allclose(listed, np.mean(apart, axis=0), rtol=1e-5)
    assert sorted(together.values()) == sorted(listed)
    assert listed[0] == together["loss"]


@pytest.mark.parametrize("metric", ["AUC", lambda: tf.keras.metrics.AUC(name="auc")])
def test_the_pd_callback_finds_names_of_its_own(metric: Any) -> None:
    made = siblings(metrics=lambda: [metric() if callable(metric) else metric])
    measured = PredictionDifference((X, Y))
    history = fitted(made, measured)
    # In Keras 3 the string's metric is called AUC, which is no name of the callback's.
    assert history["auc" if "AUC" in history else "held_out_auc"] == [measured.history[0]["auc"]]
    assert history["pd"] == [measured.history[0]["pd"]]
    assert measured.history[0]["pd"] > 0


class Rows(tf.keras.utils.Sequence):
    def __init__(self) -> None:
        super().__init__()

    def __len__(self) -> int:
        return 6

    def __getitem__(self, k: int) -> Any:
        return X[16 * k : 16 * k + 16], Y[16 * k : 16 * k + 16]


def generator() -> Any:
    while True:
        yield from map(Rows().__getitem__, range(6))


DATA: dict[str, Callable[[], dict[str, Any]]] = {
    "arrays": lambda: {"x": X, "y": Y, "batch_size": 16},
    "tensors, weights": lambda: {"x": tf.constant(X), "y": tf.constant(Y[:, None]), "sample_weight": WEIGHT},
    "split, classes": lambda: {"x": X, "y": Y, "validation_split": 0.25, "class_weight": {0: 1.0, 1: 2.0}},
    "arrays by steps": lambda: {"x": X, "y": Y, "batch_size": 16, "steps_per_epoch": 4},
    "dataset": lambda: {"x": tf.data.Dataset.from_tensor_slices((X, Y)).batch(20), "validation_data": (X, Y)},
    "endless dataset": lambda: {
        "x": tf.data.Dataset.from_tensor_slices((X, Y, WEIGHT)).shuffle(96).batch(20).repeat(), "steps_per_epoch": 5
    },
    "sequence, classes": lambda: {"x": Rows(), "class_weight": {0: 1.0, 1: 2.0}},
    "generator": lambda: {"x": generator(), "steps_per_epoch": 6},
}  # fmt: skip


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("differ", ["order", "init"])
def test_what_fit_of_a_plain_model_takes(differ: str, data: str) -> None:
    """Orders of their own where they are to differ, never one order in silence."""
    made = siblings(differ)
    start = made.replicas[0].get_weights()
    history = made.fit(**DATA[data](), epochs=2, verbose=0).history
    assert len(history["loss"]) == 2
    assert all(map(math.isfinite, history["loss"]))
    assert ("val_loss" in history) == (data in ("split, classes", "dataset"))
    assert not np.array_equal(start[0], made.replicas[0].get_weights()[0])
    assert pd(made) > 0


@pytest.mark.parametrize("data", ["tensors, weights", "split, classes"])
def test_equal_orders_train_as_a_plain_model_does(data: str) -> None:
    """With all rows in one batch an order is none: both replicas end as one that is trained alone."""
    given = {**DATA[data](), "batch_size": 96, "epochs": 2, "verbose": 0}
    made, alone = siblings(), model()
    alone.set_weights(made.replicas[0].get_weights())
    history, expected = made.fit(**given).history, alone.fit(**given).history
    assert history.keys() == expected.keys()
    for name in history:
        np.testing.assert_allclose(history[name], expected[name], rtol=1e-5)
    for replica in made.replicas:
        for one, other in zip(replica.get_weights(), alone.get_weights(), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_both_differs_in_both() -> None:
    made = siblings("both")
    assert pd(made) > 0
    fitted(made, x=tf.data.Dataset.from_tensor_slices((X, Y)).batch(16), y=None)
    assert len({int(replica.optimizer.iterations) for replica in made.replicas}) == 1


def test_class_weights_reach_batches_that_have_orders_already() -> None:
    """Weight 0 for all stops learning."""

    def rows(start: int) -> tf.data.Dataset:
        return tf.data.Dataset.from_tensor_slices((X, Y)).skip(start).batch(32)

    made = siblings()
    before = made.get_weights()
    batches = shuffled(rows, window=64, batch_size=16, seeds=[1, 2])
    fitted(made, x=batches, y=None, class_weight={0: 0.0, 1: 0.0})
    assert all(map(np.array_equal, before, made.get_weights()))


@pytest.mark.parametrize("differ", ["nothing", "init"])
@pytest.mark.parametrize("eagerly", [False, True])
def test_dropout_is_the_same_in_all_siblings(differ: str, eagerly: bool) -> None:
    made = siblings(differ, {"run_eagerly": eagerly}, dropout=0.5)
    if differ == "init":
        fitted(made, steps_per_epoch=1)
        made.replicas[1].set_weights(made.replicas[0].get_weights())
    fitted(made, batch_size=16, epochs=2)
    for one, other in zip(*(replica.get_weights() for replica in made.replicas), strict=True):
        np.testing.assert_array_equal(one, other)
    assert pd(made) == 0.0


def test_dropout_is_not_the_same_in_all_steps() -> None:
    """Learning rate 0 and one batch: what differs between the steps' losses is what was dropped."""
    made = siblings("nothing", dropout=0.5, optimizer=lambda: tf.keras.optimizers.SGD(0.0))
    assert len({round(loss, 6) for loss in fitted(made, batch_size=96, epochs=3)["loss"]}) == 3


def rates(made: SiblingModel) -> list[float]:
    return [pytest.approx(float(np.asarray(replica.optimizer.learning_rate)), rel=1e-6) for replica in made.replicas]


class WarmUp(callbacks.Callback):
    def __init__(self, assign: bool) -> None:
        super().__init__()
        self.by_assigning = assign

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if self.by_assigning:
            self.model.optimizer.learning_rate.assign(0.01 * (batch + 1))
        else:
            self.model.optimizer.learning_rate = 0.01 * (batch + 1)


@pytest.mark.parametrize(
    ("callback", "rate"),
    [
        (lambda: callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2), 0.1 / 8),
        (lambda: callbacks.ReduceLROnPlateau(monitor="loss", patience=1, factor=0.1, min_delta=10.0), 0.001),
        (lambda: WarmUp(assign=True), 0.06),
        (lambda: WarmUp(assign=False), 0.06),
    ],
)
def test_learning_rates_of_all_siblings_follow_a_callback(callback: Any, rate: float) -> None:
    made = siblings()
    history = fitted(made, callback(), epochs=3, batch_size=16)
    assert rates(made) == [rate, rate]
    logged = history.get("lr", history.get("learning_rate"))
    assert logged is None or len(set(logged)) > 1


def test_schedules_of_the_optimizer_run_in_every_sibling() -> None:
    schedule = tf.keras.optimizers.schedules.ExponentialDecay
    made = siblings(optimizer=lambda: tf.keras.optimizers.SGD(schedule(0.1, 6, 0.5)))
    fitted(made, batch_size=16, epochs=2)
    assert [int(replica.optimizer.iterations) for replica in made.replicas] == [12, 12]
    first, second = (float(np.asarray(replica.optimizer.learning_rate)) for replica in made.replicas)
    assert first == second == float(made.optimizer.learning_rate)
    assert 0.1 * 0.5**2 <= first <= 0.1 * 0.5 ** (11 / 6) * (1 + 1e-6)  # Keras has that of the last step or of the next


def test_averaged_weights_are_those_of_each_sibling_in_the_end() -> None:
    """`use_ema` puts the averages in place when `fit` ends, as on a plain model."""
    made = siblings(optimizer=lambda: tf.keras.optimizers.SGD(0.5, use_ema=True, ema_momentum=0.9))
    during: list[Any] = []
    fitted(made, callbacks.LambdaCallback(on_epoch_end=lambda *_: during.append(made.get_weights())), batch_size=16)
    for replica in made.replicas:
        averages = replica.optimizer._model_variables_moving_average
        for variable, average in zip(replica.trainable_variables, averages, strict=True):
            np.testing.assert_array_equal(np.asarray(variable), np.asarray(average))
    assert not any(np.array_equal(a, b) for a, b in zip(during[0], made.get_weights(), strict=True) if a.ndim == 2)


def test_compile_compiles_every_sibling() -> None:
    def build() -> Any:
        return tf.keras.Sequential([tf.keras.Input([4]), tf.keras.layers.Dense(1, activation="sigmoid")])

    made = SiblingModel(build)
    made.compile()
    with pytest.raises(ValueError, match="build_fn must return a compiled model, or compile be given an optimizer"):
        fitted(made)
    given = tf.keras.optimizers.Adam(0.02)
    made.compile(given, "binary_crossentropy", metrics=[tf.keras.metrics.AUC(name="a")], weighted_metrics=["accuracy"])
    history = fitted(made, sample_weight=WEIGHT)
    assert set(history) == {"loss", "a", "accuracy"}
    assert rates(made) == [0.02, 0.02]
    assert len({id(replica.optimizer) for replica in made.replicas}) == 2
    assert [int(replica.optimizer.iterations) for replica in made.replicas] == [3, 3]


@pytest.mark.parametrize(
    "loop",
    [{"jit_compile": True}, {"run_eagerly": True}, {"steps_per_execution": 3}],
    ids=lambda loop: next(iter(loop)),
)
def test_the_loop_is_that_of_siblings_or_of_what_build_fn_compiled(loop: dict[str, Any]) -> None:
    seen: list[int] = []
    count = callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(batch))
    histories, start = [], siblings("nothing").get_weights()
    for made in (siblings("nothing", loop), siblings("nothing", **loop)):
        assert made.run_eagerly == loop.get("run_eagerly", False)
        assert bool(made.jit_compile) == loop.get("jit_compile", False)
        made.set_weights(start)
        histories.append(fitted(made, count, batch_size=16, shuffle=False)["loss"])
    np.testing.assert_allclose(*histories, rtol=1e-5)
    assert len(seen) == (4 if "steps_per_execution" in loop else 12)


def two_outputs() -> Any:
    inputs = tf.keras.Input([4])
    hidden = tf.keras.layers.Dense(4)(inputs)
    outputs = [
        tf.keras.layers.Dense(1, activation="sigmoid", name="a")(hidden),
        tf.keras.layers.Dense(3, name="b")(hidden),
    ]
    made = tf.keras.Model(inputs, outputs)
    made.compile("sgd", loss=["binary_crossentropy", "mse"], loss_weights=[1.0, 0.5], metrics=[["accuracy"], ["mae"]])
    return made


def test_several_outputs() -> None:
    made = SiblingModel(two_outputs)
    made.compile()
    labels = [Y, RNG.normal(size=(96, 3)).astype(np.float32)]
    history = fitted(made, y=labels, validation_split=0.25)
    assert {"loss", "a_loss", "b_loss", "a_accuracy", "b_mae", "val_loss"} <= set(history)
    assert [output.shape for output in made.predict(X, verbose=0)] == [(96, 2), (96, 3, 2)]
    with pytest.raises(ValueError, match="models must predict one value of shape"):
        fitted(made, PredictionDifference((X, Y)), y=labels)


def test_single_batches() -> None:
    made = siblings("init")
    loss = made.train_on_batch(X, Y)
    assert loss != made.test_on_batch(X, Y)
    assert made.predict_on_batch(X).shape == (96, 2)
    made = siblings(metrics=lambda: ["accuracy"])
    with pytest.raises(ValueError, match="x must be a SiblingBatches, one batch a replica, where differ='order'"):
        made.train_on_batch(X, Y)
    values = made.train_on_batch(SiblingBatches(((X, Y), (X[::-1].copy(), Y[::-1].copy()))))
    assert len(values) == 2
    assert made.test_on_batch(X, Y, return_dict=True).keys() == {"loss", "accuracy"}


def test_predictions_before_fit_are_those_that_training_starts_from() -> None:
    def build() -> Any:  # its variables are made by the first call
        made = tf.keras.Sequential([tf.keras.layers.Dense(3), tf.keras.layers.Dense(1)])
        made.compile("sgd", "mse")
        return made

    for call in (lambda made: made(X), lambda made: made.predict(X, verbose=0)):
        made = SiblingModel(build)
        made.compile()
        one, other = np.asarray(call(made)).T
        np.testing.assert_array_equal(one, other)
        assert np.ptp(one) > 0


def test_early_stopping_restores_the_best_weights_of_all() -> None:
    made = siblings()
    kept: list[Any] = []
    keep = callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: kept.append(made.get_weights()))
    rising = callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(worse=epoch))
    stop = callbacks.EarlyStopping(monitor="worse", mode="min", patience=1, restore_best_weights=True)
    fitted(made, keep, rising, stop, epochs=5)
    assert len(kept) == 2
    assert all(map(np.array_equal, kept[0], made.get_weights()))


def test_nan_of_one_sibling_stops_both() -> None:
    made = siblings()
    made.replicas[1].set_weights([np.full_like(w, np.nan) for w in made.replicas[1].get_weights()])
    assert len(fitted(made, callbacks.TerminateOnNaN(), epochs=3)["loss"]) == 1


def test_logs_go_to_csv_and_tensorboard(tmp_path: Path) -> None:
    made = siblings(metrics=lambda: [tf.keras.metrics.AUC(name="auc")])
    board = callbacks.TensorBoard(str(tmp_path / "board"), histogram_freq=1)
    history = fitted(made, callbacks.CSVLogger(str(tmp_path / "log.csv")), board, epochs=2)
    rows = list(csv.DictReader((tmp_path / "log.csv").read_text().splitlines()))
    assert [float(row["auc"]) for row in rows] == pytest.approx(history["auc"])
    assert list((tmp_path / "board").rglob("events.out.tfevents.*"))


def test_whole_siblings_are_saved_and_loaded(tmp_path: Path) -> None:
    made = siblings(optimizer="adam", metrics=lambda: ["accuracy"])
    saving = callbacks.ModelCheckpoint(str(tmp_path / "{epoch}.keras"))
    fitted(made, saving)
    again = tf.keras.models.load_model(tmp_path / "1.keras")
    assert (type(again), again.differ, again.window) == (SiblingModel, "order", made.window)
    np.testing.assert_array_equal(again.predict(X, verbose=0), made.predict(X, verbose=0))
    assert pd(again) > 0
    for one in (again, made):  # both go on alike: one batch, so that orders do not matter
        one.fit(X, Y, batch_size=96, verbose=0)
    assert [int(replica.optimizer.iterations) for replica in again.replicas] == [4, 4]
    np.testing.assert_allclose(again.predict(X, verbose=0), made.predict(X, verbose=0), rtol=1e-4)


def test_weights_are_saved_and_an_interrupted_fit_is_resumed(tmp_path: Path) -> None:
    made, path = siblings(), str(tmp_path / "all.weights.h5")
    fitted(made, callbacks.ModelCheckpoint(path, save_weights_only=True))
    other = siblings()
    other.load_weights(path)
    np.testing.assert_array_equal(other.predict(X, verbose=0), made.predict(X, verbose=0))
    fitted(other)  # loaded weights stay apart: siblings are made equal once
    assert pd(other) > 0

    class Killed(callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            if epoch == 2:
                raise KeyboardInterrupt

    backup = str(tmp_path / "backup")
    first, resumed = siblings(), siblings()
    with pytest.raises(KeyboardInterrupt):
        fitted(first, callbacks.BackupAndRestore(backup), Killed(), epochs=3)
    stopped_at = first.predict(X, verbose=0)
    began: list[Any] = []
    look = callbacks.LambdaCallback(on_epoch_begin=lambda *_: began.append(resumed.predict(X, verbose=0)))
    assert len(fitted(resumed, callbacks.BackupAndRestore(backup), look, epochs=3)["loss"]) == 1
    np.testing.assert_allclose(began[0], stopped_at, rtol=1e-6)


def test_summary_is_that_of_one_replica(capsys: pytest.CaptureFixture[str]) -> None:
    siblings().summary()
    out = capsys.readouterr().out
    assert out.startswith("2 siblings that differ in order, each of them:")
    assert "37" in out  # 4 * 6 + 6 + 6 + 1 weights


def seeded() -> Any:
    kernel = tf.keras.initializers.GlorotUniform(seed=1)
    made = tf.keras.Sequential([tf.keras.Input([4]), tf.keras.layers.Dense(1, kernel_initializer=kernel)])
    made.compile("sgd", "mse")
    return made


def one_optimizer_for_all() -> Callable[[], Any]:
    shared = tf.keras.optimizers.SGD(0.1)
    return lambda: model(optimizer=lambda: shared)


def one_model_for_all() -> Callable[[], Any]:
    shared = model()
    return lambda: shared


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda _: siblings().fit(X, Y, shuffle=False),
            "shuffle must be True where siblings differ in order, got False",
        ),
        (
            lambda _: fitted(compiled(SiblingModel(seeded, differ="init"))),
            "initialise each model anew, without seeds of its own, where",
        ),
        (lambda _: SiblingModel(one_model_for_all()), "must return a new model each time, got models that share"),
        (
            lambda _: fitted(compiled(SiblingModel(one_optimizer_for_all()))),
            "with an optimizer of its own, got one for",
        ),
        (
            lambda _: siblings(loop={"progressive": True}).fit(X, Y),
            r"shuffling.shuffled\(..., ahead=True\) makes where",
        ),
        (lambda path: siblings().save(path / "all.h5"), "filepath must end with .keras for siblings, got"),
        (
            lambda _: siblings().compile(Uncopied(), "mse"),
            "optimizer must be what Keras can copy from its configuration",
        ),
        (
            lambda _: siblings().optimizer.apply_gradients([]),
            "siblings have an optimizer each: apply_gradients is one of",
        ),
        (
            lambda _: setattr(siblings(), "optimizer", tf.keras.optimizers.SGD()),
            "optimizer each: give compile another one",
        ),
        (lambda _: SiblingModel(model, window=0), "window must be a number of batches of at least 1, got 0"),
    ],
)
def test_what_siblings_cannot_do_is_refused_in_a_line(call: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises((ValueError, AttributeError), match=message) as caught:
        call(tmp_path)
    assert "\n" not in str(caught.value)


def compiled(made: SiblingModel) -> SiblingModel:
    made.compile()
    return made


class Uncopied:
    """Stands for an optimizer that has no configuration, such as a composite of TensorFlow Recommenders."""

    variables = ()

    def get_config(self) -> Any:
        raise NotImplementedError("no configuration")


@pytest.mark.skipif(not keras_generation.is_legacy(), reason="TensorFlow Recommenders needs tf_keras")
def test_a_model_of_tensorflow_recommenders_without_call() -> None:
    tfrs = keras_generation.recommenders("the test")

    class Clicks(tfrs.Model):
        def __init__(self) -> None:
            super().__init__()
            self.users = tf.keras.layers.Embedding(10, 3)
            self.score = tf.keras.layers.Dense(1)
            self.task = tfrs.tasks.Ranking(loss=tf.keras.losses.BinaryCrossentropy(from_logits=True))

        def compute_loss(self, inputs: Any, training: bool = False) -> tf.Tensor:
            return self.task(labels=inputs["click"], predictions=self.score(self.users(inputs["user"])))

    def build() -> Any:
        made = Clicks()
        made.compile(optimizer=tf.keras.optimizers.Adagrad(0.5))
        return made

    rows = {"user": np.arange(96) % 10, "click": Y[:, None]}
    made = SiblingModel(build)
    made.compile()
    first, second = fitted(made, x=tf.data.Dataset.from_tensor_slices(rows).batch(16), y=None, epochs=2)["loss"]
    assert second != first
    one, other = (replica.get_weights()[0] for replica in made.replicas)
    assert not np.array_equal(one, other)
    np.testing.assert_allclose(one, other, atol=0.5)  # they began with equal values
