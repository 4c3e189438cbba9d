"""A small model trained by every process of a cluster: started by tests, once for each process.

small_training.py STEPS_PER_EPOCH EPOCHS ROWS [WARN_SECONDS LIMIT_SECONDS START_SECONDS]
"""

from __future__ import annotations

import os
import sys

os.environ["TF_USE_LEGACY_KERAS"] = "1"

import tensorflow as tf

from smooth_recs import distribution
from smooth_recs.cluster.task import Task
from smooth_recs.cluster.watchdog import Watchdog

STEPS, EPOCHS, ROWS = map(int, sys.argv[1:4])
SECONDS = [float(value) for value in sys.argv[4:]]
BATCH, IDS = 8, 40_000


def rows() -> tf.data.Dataset:
    """Ids, and whether they are odd."""
    return tf.data.Dataset.range(ROWS).map(lambda row: ({"id": row % IDS}, tf.cast(row % 2, tf.float32))).batch(BATCH)


def model() -> tf.keras.Model:
    ids = tf.keras.Input((), name="id", dtype="int64")
    table = tf.keras.layers.Embedding(IDS, 4, name="table")
    logit = tf.keras.layers.Dense(1)(table(ids))
    built = tf.keras.Model({"id": ids}, logit)
    built.compile(tf.keras.optimizers.legacy.Adagrad(0.1), tf.keras.losses.BinaryCrossentropy(from_logits=True))
    return built


class Say(tf.keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self._supports_tf_logs = True  # or parameter servers refuse it

    def on_train_batch_end(self, batch, logs=None):
        if batch % 100 == 0:
            print(f"step {batch}", flush=True)

    def on_epoch_end(self, epoch, logs=None):
        print(f"epoch {epoch} loss {float(logs['loss']):.6f}", flush=True)


def train(task: Task, watchdog: Watchdog) -> None:
    strategy = distribution.strategy("auto")
    if distribution.resolve("auto", task) == "parameter_server":
        service = distribution.data_service(task)
        shared = tf.data.experimental.service.distribute(
            tf.data.experimental.service.ShardingPolicy.DYNAMIC,
            service=f"grpc://{task.chief.data_address}",
            job_name="train",
        )
        data = tf.keras.utils.experimental.DatasetCreator(lambda _: rows().repeat().apply(shared))
    else:
        service = None
        data = rows().repeat()
    with strategy.scope():
        built = model()
    built.fit(data, steps_per_epoch=STEPS, epochs=EPOCHS, callbacks=[watchdog, Say()], verbose=0)
    print(f"trained {int(built.optimizer.iterations.numpy())} steps with {strategy.__class__.__name__}", flush=True)
    print("table parts", len(getattr(built.get_layer("table").embeddings, "variables", [0])), flush=True)
    del service


def main() -> None:
    tf.keras.utils.set_random_seed(1)
    task = Task.from_environment()
    assert task is not None
    if task.serves("auto"):
        distribution.serve(task, float(os.environ.get("CHIEF_SECONDS", "100")))
        return
    with Watchdog(task, *SECONDS) as watchdog:
        train(task, watchdog)
    distribution.dismiss(task)


if __name__ == "__main__":
    main()
