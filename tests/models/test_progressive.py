"""Progressive validation in real fits, against the same training done step by step, by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from smooth_recs import prediction_difference
from smooth_recs.callbacks import PredictionDifference, ProgressiveValidation
from smooth_recs.callbacks.checkpoints import Checkpoints
from smooth_recs.data.shuffling import shuffled
from smooth_recs.measures import accuracy
from smooth_recs.models import SiblingModel, generation

pytestmark = [
    pytest.mark.both_generations,
    pytest.mark.filterwarnings("ignore:Your input ran out of data:UserWarning"),  # of Keras 3
]

ROWS, WINDOW, BATCH = 150, 40, 16
STEPS = -(-ROWS // BATCH)
RNG = np.random.default_rng(1)
X = RNG.normal(size=(ROWS, 3)).astype(np.float32)
Y = (RNG.uniform(size=ROWS) < 1 / (1 + np.exp(-X[:, 0]))).astype(np.float32)
WEIGHT = RNG.uniform(0.5, 2, ROWS).astype(np.float32)


def open_rows(start: int) -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices((X, Y, WEIGHT)).skip(start).batch(11)


def stream(seeds: Sequence[int], start: int = 0, ahead: bool = True) -> tf.data.Dataset:
    return shuffled(open_rows, window=WINDOW, batch_size=BATCH, seeds=seeds, start=start, ahead=ahead)


def build() -> Any:
    hidden = tf.keras.layers.Dense(4, activation="smelu")
    model = tf.keras.Sequential([tf.keras.Input([3]), hidden, tf.keras.layers.Dense(1, activation="sigmoid")])
    model.compile(optimizer=generation.SGD(0.3), loss="binary_crossentropy")
    return model


def made(replicas: int = 2, differ: str = "order", progressive: bool = True, steps_per_execution: int = 1) -> Any:
    tf.keras.utils.set_random_seed(7)
    siblings = SiblingModel(build, replicas=replicas, differ=differ)
    siblings.compile(progressive=progressive, steps_per_execution=steps_per_execution)
    siblings.build_replicas(stream(range(replicas)).element_spec)
    return siblings


def weights(siblings: Any) -> list[np.ndarray]:
    return [value for replica in siblings.replicas for value in replica.get_weights()]


Predicted = list[tuple[np.ndarray, np.ndarray]]  # of each step: the rows that are new, [n], and predictions [n, R]


def by_hand(differ: str, seeds: Sequence[int]) -> Predicted:
    """Predicts the rows WINDOW ahead of what each step trains on, or the batch itself, with models trained apart."""
    replicas = made(len(seeds), differ).replicas
    steps = []
    for step, element in enumerate(stream(seeds, ahead=False)):
        at = step * BATCH
        if hasattr(element, "batches"):
            batches, rows = element.batches, np.arange(ROWS)[WINDOW + at : WINDOW + at + BATCH]
        else:
            batches = [element] * len(seeds)
            rows = np.array([np.flatnonzero((row == X).all(axis=1)).item() for row in element[0].numpy()])
        predictions = [replica(X[rows]).numpy()[:, 0].astype(np.float64) for replica in replicas]
        steps.append((rows, np.stack(predictions, axis=1)))
        for replica, batch in zip(replicas, batches, strict=True):
            replica.train_step(batch)
    return steps


def expected(steps: Predicted) -> dict[str, Any]:
    rows, predictions = (np.concatenate(parts) for parts in zip(*steps, strict=True))
    assert len(set(rows)) == len(rows)
    of_replicas = [(Y[rows], p, WEIGHT[rows]) for p in predictions.T]
    values = {
        "progressive_log_loss": np.mean([accuracy.log_loss(*columns) for columns in of_replicas]),
        "progressive_auc_loss": np.mean([accuracy.auc_loss(*columns) for columns in of_replicas]),
    }
    if predictions.shape[1] > 1:
        values["progressive_pd"] = prediction_difference.mean_over_pairs(predictions, WEIGHT[rows])
    # Rows with almost the same prediction share a bin of the streaming AUC loss.
    return {name: pytest.approx(v, rel=1e-5, abs=3e-3 if "auc" in name else 0) for name, v in values.items()}


@pytest.mark.parametrize(
    ("differ", "seeds", "steps_per_execution", "ends"),
    [
        ("order", [1, 2], 1, [3, 6, 9]),
        ("order", [1, 2], 4, [4, 8]),  # after the execution that passes a multiple of 3; nothing is new in the last two
        ("both", [1, 2, 3], 1, [3, 6, 9]),
        ("init", [5, 5], 1, [3, 6, 9, 10]),
    ],
)
def test_windows_of_the_curve_are_those_of_training_by_hand(
    differ: str, seeds: list[int], steps_per_execution: int, ends: list[int]
) -> None:
    """Every row after the first window is predicted once; all rows where the replicas share their batches."""
    siblings = made(len(seeds), differ, steps_per_execution=steps_per_execution)
    validation = ProgressiveValidation(every=3)
    siblings.fit(stream(seeds), steps_per_epoch=STEPS, callbacks=[validation], verbose=0)
    assert [entry["step"] for entry in validation.history] == ends
    steps = by_hand(differ, seeds)
    assert sum(len(rows) for rows, _ in steps) == (ROWS if differ == "init" else ROWS - WINDOW)
    for start, entry in zip([0, *ends], validation.history, strict=False):
        values = expected([step for step in steps[start : int(entry["step"])] if len(step[0])])
        assert entry.keys() == {"step", *values}
        for name, value in values.items():
            assert entry[name] == value, name
    assert len({entry["progressive_pd"] for entry in validation.history}) == len(ends)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dict[str, float]], list[np.ndarray], Path]:
    """An uninterrupted run: its curve, every 5 steps, its weights, its TensorBoard folder."""
    folder = tmp_path_factory.mktemp("tensorboard")
    validation = ProgressiveValidation(every=5, log_dir=folder)
    siblings = made()
    siblings.fit(stream([1, 2]), callbacks=[validation], verbose=0)
    return validation.history, weights(siblings), folder


def test_training_is_what_it_is_without(whole: Any) -> None:
    without = made(progressive=False)
    without.fit(stream([1, 2], ahead=False), verbose=0)
    for one, other in zip(whole[1], weights(without), strict=True):
        np.testing.assert_array_equal(one, other)


def test_logs_hold_the_values_beside_those_of_the_model_and_of_the_held_out_rows() -> None:
    siblings = made(steps_per_execution=5)
    measured = PredictionDifference((X[:20], Y[:20]))
    logs = siblings.fit(stream([1, 2]), steps_per_epoch=STEPS, callbacks=[measured], verbose=0).history
    assert {"loss", "pd", "progressive_pd", "progressive_log_loss", "progressive_auc_loss"} <= logs.keys()
    for name, value in expected([step for step in by_hand("order", [1, 2]) if len(step[0])]).items():
        assert logs[name] == [value]
    # Evaluation is what it was: a loss, and no example of it counts as one before training.
    assert isinstance(siblings.evaluate(tf.data.Dataset.from_tensors((X, Y)), verbose=0), float)
    assert float(siblings.progressive.result()["progressive_pd"]) == logs["progressive_pd"][0]


def test_one_replica_has_losses_and_no_difference() -> None:
    siblings = made(1)
    validation = ProgressiveValidation()
    siblings.fit(stream([4]), callbacks=[validation], verbose=0)
    (entry,) = validation.history
    assert entry.keys() == {"step", "progressive_log_loss", "progressive_auc_loss"}
    assert entry["step"] == STEPS
    for name, value in expected(by_hand("order", [4])).items():
        assert entry[name] == value


def test_a_second_epoch_has_nothing_new() -> None:
    siblings = made(differ="init")
    validation = ProgressiveValidation(every=5)
    siblings.fit(stream([5, 5]), epochs=2, callbacks=[validation], verbose=0)
    assert [entry["step"] for entry in validation.history] == [5, 10]
    # The next days of an online log are a first epoch again, and nothing of the second one is counted.
    siblings.fit(stream([5, 5]), callbacks=[validation], verbose=0)
    assert [entry["step"] for entry in validation.history] == [5, 10, 25, 30]


def test_batches_without_rows_ahead_are_trained_on_and_not_predicted() -> None:
    siblings = made()
    before = weights(siblings)
    validation = ProgressiveValidation(every=5)
    siblings.fit(stream([1, 2], ahead=False), callbacks=[validation], verbose=0)
    assert validation.history == []
    assert not np.array_equal(before[0], weights(siblings)[0])


def test_a_run_that_is_resumed_has_the_same_curve_to_the_bit(tmp_path: Path, whole: Any) -> None:
    """Stopped after 3 steps of 5, within a shuffle window."""
    interrupted, first = made(), ProgressiveValidation(every=5)
    saving = Checkpoints(interrupted, str(tmp_path))
    interrupted.fit(stream([1, 2]), steps_per_epoch=3, callbacks=[Unfinished(first), saving], verbose=0)
    resumed, rest = made(), ProgressiveValidation(every=5)
    checkpoints = Checkpoints(resumed, str(tmp_path))
    assert checkpoints.restore() == 3
    resumed.fit(stream([1, 2], start=3 * BATCH), callbacks=[rest, checkpoints], verbose=0)
    assert first.history == []
    assert rest.history == whole[0]
    for one, other in zip(whole[1], weights(resumed), strict=True):
        np.testing.assert_array_equal(one, other)


class Unfinished(tf.keras.callbacks.Callback):
    """Stands for a callback in a fit that is killed: the end of the epoch never comes."""

    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner = inner

    def set_model(self, model: Any) -> None:
        self.inner.set_model(model)

    def set_params(self, params: Any) -> None:
        self.inner.set_params(params)

    def on_train_begin(self, logs: Any = None) -> None:
        self.inner.on_train_begin(logs)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.inner.on_epoch_begin(epoch, logs)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.inner.on_train_batch_end(batch, logs)


def test_values_are_written_for_tensorboard(whole: Any) -> None:
    history, _, folder = whole
    (path,) = folder.iterdir()
    found = {}
    for event in tf.compat.v1.train.summary_iterator(str(path)):
        for value in event.summary.value:
            found[value.tag, event.step] = tf.make_ndarray(value.tensor).item()
    names = ("progressive_pd", "progressive_log_loss", "progressive_auc_loss")
    assert [entry["step"] for entry in history] == [5, 10]
    assert found == {(name, entry["step"]): pytest.approx(entry[name], rel=1e-6) for entry in history for name in names}


def test_a_model_without_progressive_metrics_is_refused() -> None:
    with pytest.raises(ValueError, match="compiled with progressive=True, got a SiblingModel without"):
        made(progressive=False).fit(stream([1, 2]), callbacks=[ProgressiveValidation()], verbose=0)
    with pytest.raises(ValueError, match="got a Sequential without"):
        build().fit(X, Y, callbacks=[ProgressiveValidation(every=1)], verbose=0)


MIRRORED = """
import json
import numpy as np
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

from smooth_recs import distribution
from smooth_recs.callbacks import ProgressiveValidation
from smooth_recs.data.encoding import Encoder
from smooth_recs import config
from smooth_recs.schema import Numeric, Schema
from smooth_recs.data.shuffling import shuffled
from smooth_recs.models import SiblingModel, from_config

random = np.random.default_rng(1)
x = random.normal(size=(150, 3)).astype(np.float32)
table = ({"x": x[:, :1]}, (x[:, 0] > 0).astype(np.float32), random.uniform(0.5, 2, 150).astype(np.float32))
encoder = Encoder(Schema((Numeric("x", "identity", "zero"),)))


def build():
    model = from_config.ranking_model(config.Model(hidden_units=(4,)), encoder)
    model.compile(optimizer=from_config.optimizer(model, config.Train(dense_learning_rate=0.1), 100))
    return model


def run(strategy):
    tf.keras.utils.set_random_seed(7)
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    rows = tf.data.Dataset.from_tensor_slices(table)
    batches = shuffled(lambda at: rows.skip(at).batch(50), window=40, batch_size=16, seeds=[1, 2], ahead=True)
    validation = ProgressiveValidation(every=4)
    with strategy.scope():
        siblings = SiblingModel(build)
        siblings.compile(progressive=True, steps_per_execution=2)
        siblings.fit(batches.with_options(options), steps_per_epoch=10, verbose=0, callbacks=[validation])
    return validation.history


print(json.dumps([run(distribution.strategy(name)) for name in ("one_device", "mirrored")]))
"""


@pytest.mark.slow
def test_two_devices_have_the_curve_of_one(in_fresh_process: Callable[[str], Any]) -> None:
    one, two = in_fresh_process(MIRRORED)
    assert [entry["step"] for entry in one] == [entry["step"] for entry in two] == [4, 8]
    for entry, other in zip(one, two, strict=True):
        assert entry == pytest.approx(other, rel=1e-4)
