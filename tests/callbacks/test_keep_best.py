"""Early stopping and best weights on PD and accuracy together, in real fits."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from smooth_recs import prediction_difference
from smooth_recs.callbacks import KeepBest, PredictionDifference
from smooth_recs.callbacks.checkpoints import Checkpoints
from smooth_recs.errors import InputError
from smooth_recs.measures import accuracy

pytestmark = pytest.mark.both_generations

RNG = np.random.default_rng(0)
X = RNG.normal(size=(240, 4)).astype(np.float32)
Y = (RNG.uniform(size=240) < 1 / (1 + np.exp(-3 * X[:, 0]))).astype(np.float32)
HELD_OUT = (X[:60], 1 - Y[:60])  # training makes these labels' log loss worse
STEPS = 12


def model(seed: int, rate: Any = 0.05) -> Any:
    initializer = tf.keras.initializers.RandomNormal(seed=seed)
    layers = [tf.keras.Input([4]), tf.keras.layers.Dense(1, activation="sigmoid", kernel_initializer=initializer)]
    built = tf.keras.Sequential(layers)
    built.compile(optimizer=tf.keras.optimizers.SGD(rate), loss="binary_crossentropy")
    return built


def rows() -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices((X, Y)).batch(20)


class Script(PredictionDifference):
    """Measures what it is told, so that every course of values can be tried."""

    def __init__(self, values: list[dict[str, float]], every: str | int = 2) -> None:
        super().__init__(HELD_OUT, models=[model(5), model(6)], every=every)
        self.values = iter(values)

    def _measure(self, data: Any) -> dict[str, float]:
        return next(self.values)


class WeightsAt(tf.keras.callbacks.Callback):
    """The trained model's weights after each step."""

    def __init__(self) -> None:
        super().__init__()
        self.after: list[list[np.ndarray]] = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.after.append(self.model.get_weights())


class RateAt(tf.keras.callbacks.Callback):
    """The learning rate after each step."""

    def __init__(self) -> None:
        super().__init__()
        self.after: list[float] = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.after.append(float(tf.convert_to_tensor(self.model.optimizer.learning_rate)))


def values(pds: list[float], losses: list[float]) -> list[dict[str, float]]:
    return [{"pd": pd, "auc": 0.5, "log_loss": loss} for pd, loss in zip(pds, losses, strict=True)]


def equal(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


NAN = float("nan")


@pytest.mark.parametrize(
    ("pds", "losses", "bounds", "best"),
    [
        ([0.3, 0.3, 0.3, 0.3, 0.3, 0.3], [5, 4, 3, 4, 5, 3], None, 6),  # the first of equals
        ([0.3, 0.2, 0.1, 0.05, 0.1, 0.2], [1, 2, 5, 4, 3, 2], {"pd": 0.1}, 10),  # the lowest loss within the bound
        ([0.5, 0.2, 0.3, 0.4, 0.5, 0.6], [1, 9, 1, 1, 1, 1], {"pd": 0.1}, 4),  # none within: the least excess
        ([0.3, 0.3, 0.3, 0.2, 0.2, 0.2], [1, 2, 3, 7, 6, 6.5], {"pd": 0.1}, 10),  # at equal excess the lower loss
        ([NAN, 0.3, NAN, 0.2, 0.1, 0.1], [NAN, 5, NAN, NAN, 6, 7], None, 4),  # NaN of the objective never is better
        ([NAN, 0.3, 0.01, NAN, 0.01, 0.2], [1, 5, 6, 1, 7, 1], {"pd": 0.1}, 6),  # nor that of a bounded value
    ],
)
def test_which_measurement_is_the_best(
    pds: list[float], losses: list[float], bounds: dict[str, float] | None, best: int, tmp_path: Path
) -> None:
    """Every 2 steps of 12; the weights that come back are those after the best one's step."""
    trained, recorder = model(1), WeightsAt()
    measured = Script(values(pds, losses))
    kept = KeepBest(measured, subject_to=bounds, filepath=tmp_path / "best.weights.h5")
    trained.fit(rows(), callbacks=[recorder, kept, measured], verbose=0)  # in any order
    assert kept.best == measured.history[best // 2 - 1]
    assert kept.best["step"] == best
    assert not kept.stopped
    assert equal(trained.get_weights(), recorder.after[best - 1])
    assert not equal(recorder.after[best - 1], recorder.after[best - 3])
    other = model(2)
    other.load_weights(tmp_path / "best.weights.h5")
    assert equal(other.get_weights(), recorder.after[best - 1])
    assert [path.name for path in tmp_path.iterdir()] == ["best.weights.h5"]


def test_training_stops_in_the_middle_of_an_epoch() -> None:
    trained, recorder = model(1), WeightsAt()
    measured = Script(values([0.1] * 6, [5, 3, 4, 3, 1, 1]))
    kept = KeepBest(measured, patience=2)
    trained.fit(rows(), epochs=5, callbacks=[recorder, measured, kept], verbose=0)
    assert len(recorder.after) == 8  # measured after 2, 4, 6, 8; the best one after 4
    assert (kept.best["step"], kept.waited, kept.stopped) == (4, 2, True)
    assert equal(trained.get_weights(), recorder.after[3])


def test_a_higher_auc_is_better_where_it_is_maximised() -> None:
    course = [{"pd": 0.1, "auc": auc, "log_loss": 0.5} for auc in (0.6, 0.7, 0.7, NAN, 0.8, 0.75)]
    kept = KeepBest(Script(course), maximize="auc")
    model(1).fit(rows(), callbacks=[kept.measured, kept], verbose=0)
    assert (kept.best["step"], kept.best["auc"], kept.waited) == (10, 0.8, 1)
    with pytest.raises(InputError, match=r"maximize must name one of auc, got 'log_loss'"):
        KeepBest(Script([]), maximize="log_loss")


def test_rates_are_cut_on_a_plateau_and_again_after_as_many_more() -> None:
    """Measured every step of 12: the best at 2; 4 and 6 cut, 7 is the best, and 9 and 11 cut again."""
    losses = [5, 4, 4, 4, 4, 4, 3, 3, 3, 3, 3, 3]
    trained, recorder = model(1, rate=0.5), RateAt()
    kept = KeepBest(Script(values([0.1] * 12, losses), every=1), plateau=2, plateau_factor=0.5)
    trained.fit(rows(), callbacks=[kept.measured, kept, recorder], verbose=0)
    expected = [0.5] * 3 + [0.25] * 2 + [0.125] * 3 + [0.0625] * 2 + [0.03125] * 2
    assert recorder.after == expected
    assert not kept.stopped


def test_a_schedule_has_no_plateau() -> None:
    trained = model(1, rate=tf.keras.optimizers.schedules.PolynomialDecay(0.1, 10))
    kept = KeepBest(Script(values([0.1] * 6, [5] * 6)), plateau=1)
    with pytest.raises(InputError, match="plateau must be None where the learning rate is a schedule"):
        trained.fit(rows(), callbacks=[kept.measured, kept], verbose=0)


def test_measurements_of_nothing_but_nan_stop_too_and_leave_the_weights() -> None:
    trained, recorder = model(1), WeightsAt()
    kept = KeepBest(Script(values([NAN] * 6, [NAN] * 6)), patience=3)
    trained.fit(rows(), callbacks=[recorder, kept.measured, kept], verbose=0)
    assert len(recorder.after) == 6
    assert kept.best is None
    assert equal(trained.get_weights(), recorder.after[-1])


def test_real_measurements_at_the_end_of_epochs() -> None:
    """The held-out labels are the wrong way round: the first measurement has the lowest log loss."""
    trained, other, recorder = model(1), model(2), WeightsAt()
    measured = PredictionDifference(HELD_OUT, models=[other])
    kept = KeepBest(measured, patience=2)
    trained.fit(rows(), epochs=10, callbacks=[recorder, measured, kept], verbose=0)
    losses = [entry["log_loss"] for entry in measured.history]
    assert losses == sorted(losses)
    assert [entry["step"] for entry in measured.history] == [STEPS, 2 * STEPS, 3 * STEPS]
    assert kept.best == measured.history[0]
    assert equal(trained.get_weights(), recorder.after[STEPS - 1])
    predictions = [np.asarray(m(HELD_OUT[0]), np.float64)[:, 0] for m in (trained, other)]
    assert prediction_difference.relative(*predictions) == pytest.approx(kept.best["pd"], rel=1e-6)
    mean = np.mean([accuracy.log_loss(HELD_OUT[1], p) for p in predictions])
    assert mean == pytest.approx(kept.best["log_loss"], rel=1e-6)


def test_a_slice_can_be_bounded() -> None:
    measured = PredictionDifference(HELD_OUT, models=[model(2)], slices={"side": lambda x: x[:, 1] > 0})
    kept = KeepBest(measured, minimize="pd", subject_to={"pd/side=True": 0.0})
    model(1).fit(rows(), epochs=3, callbacks=[measured, kept], verbose=0)
    assert kept.best == min(measured.history, key=lambda entry: entry["pd/side=True"])
    wrong = KeepBest(measured, subject_to={"pd/side=Left": 0.1})
    with pytest.raises(
        InputError, match=r"must name measured values \(pd, auc, .*pd/side=True.*\), got 'pd/side=Left'"
    ):
        model(1).fit(rows(), callbacks=[measured, wrong], verbose=0)


def test_the_last_weights_stay_where_they_are_not_asked_back() -> None:
    trained, recorder = model(1), WeightsAt()
    kept = KeepBest(Script(values([0.1] * 6, [1, 2, 3, 4, 5, 6])), restore_best_weights=False)
    trained.fit(rows(), callbacks=[recorder, kept.measured, kept], verbose=0)
    assert kept.best["step"] == 2
    assert equal(trained.get_weights(), recorder.after[-1])


COURSE = values([0.3, 0.09, 0.08, 0.07, 0.2, 0.2], [1, 4, 3, 3.5, 1, 1])


def test_a_resumed_run_knows_the_best_from_its_history_and_its_file(tmp_path: Path) -> None:
    path = tmp_path / "best.weights.h5"
    recorder, first = WeightsAt(), KeepBest(Script(COURSE[:4]), subject_to={"pd": 0.1}, patience=3, filepath=path)
    trained = model(1)
    trained.fit(rows(), steps_per_epoch=8, callbacks=[recorder, first.measured, first], verbose=0)
    again = KeepBest(Script(COURSE[4:]), subject_to={"pd": 0.1}, patience=3, filepath=path)
    again.measured.history = list(first.measured.history)
    again.replay()
    assert (again.best, again.waited, again.stopped) == (first.best, first.waited, False)
    assert (again.best["step"], again.waited) == (6, 1)
    trained.fit(rows(), callbacks=[again.measured, again], verbose=0)  # steps 9, 10, ...; stops after 12
    assert [entry["step"] for entry in again.measured.history] == [2, 4, 6, 8, 10, 12]
    assert again.stopped
    assert equal(trained.get_weights(), recorder.after[5])


def test_a_resumed_run_has_the_best_weights_from_its_checkpoint(tmp_path: Path) -> None:
    """The measurement after the checkpoint's is lost with the run: the best one of the history is that of step 6."""
    trained, recorder = model(1), WeightsAt()
    first = KeepBest(Script(COURSE[:4]), subject_to={"pd": 0.1}, restore_best_weights=False)
    checkpoints = Checkpoints(trained, str(tmp_path), best=first)
    assert checkpoints.restore() == 0
    trained.fit(rows(), steps_per_epoch=8, callbacks=[recorder, first.measured, first, checkpoints], verbose=0)
    resumed = model(3)
    again = KeepBest(Script(COURSE[4:]), subject_to={"pd": 0.1}, restore_best_weights=False)
    assert Checkpoints(resumed, str(tmp_path), best=again).restore() == 8
    assert equal(resumed.get_weights(), recorder.after[7])
    again.measured.history = list(first.measured.history)
    resumed.fit(rows(), steps_per_epoch=4, callbacks=[again.measured, again], verbose=0)
    assert not equal(resumed.get_weights(), recorder.after[5])
    again.restore(resumed)
    assert again.best["step"] == 6
    assert equal(resumed.get_weights(), recorder.after[5])


def test_weights_that_were_not_kept_are_named() -> None:
    kept = KeepBest(Script(values([0.2] * 3, [5, 6, 7])))
    kept.measured.history = [{"step": 1, "pd": 0.1, "auc": 0.5, "log_loss": 1.0}]
    with pytest.raises(InputError, match="best weights are of step 1, before this run was interrupted"):
        model(1).fit(rows(), steps_per_epoch=5, callbacks=[kept.measured, kept], verbose=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"minimize": "auc"}, "minimize must name one of pd, log_loss or a slice pd/NAME=VALUE, got 'auc'"),
        ({"minimize": "loss"}, "got 'loss'"),
        ({"subject_to": {"auc": 0.5}}, "subject_to must name one of pd, log_loss"),
        ({"subject_to": {"pd": -0.1}}, "subject_to must hold bounds of at least 0, got -0.1 for 'pd'"),
        ({"subject_to": {"pd": math.nan}}, "got nan for 'pd'"),
        ({"patience": 0}, "patience must be a number of measurements of at least 1 or None, got 0"),
        ({"plateau": 0}, "plateau must be a number of measurements of at least 1 or None, got 0"),
        ({"plateau_factor": 1.0}, "plateau_factor must be above 0 and below 1, got 1.0"),
        ({"filepath": "best.h5"}, r"filepath must end with .weights.h5, got 'best.h5'"),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        KeepBest(Script([]), **arguments)
    assert "\n" not in str(caught.value)


def test_without_labels_there_is_no_loss_to_minimize() -> None:
    unlabelled = PredictionDifference((HELD_OUT[0],), models=[model(1), model(2)])
    with pytest.raises(InputError, match="minimize must name one of pd or a slice"):
        KeepBest(unlabelled)
    assert KeepBest(unlabelled, minimize="pd").minimize == "pd"
