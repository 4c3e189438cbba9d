"""The metrics under `MirroredStrategy` with two devices, in a process of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.both_generations, pytest.mark.slow]

PROGRAM = """
import json
import numpy as np
import tensorflow as tf
from smooth_recs import metrics

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
rng = np.random.default_rng(0)
a, b, weight = (rng.uniform(size=96) for _ in range(3))
label = (rng.uniform(size=96) < a).astype(np.float64)
query = np.arange(96) // 6  # batches of 12 on each device: whole queries

def make():
    return [metrics.RelativePredictionDifference(), metrics.AUCLoss(), metrics.PerQueryAUCLoss("examples"),
            metrics.Calibration(), metrics.LogLoss(), metrics.NormalizedEntropy(), metrics.SwapRate(k=2)]

def update(pd, auc, per_query, calibration, log_loss, entropy, swaps, batch):
    a, b, weight, label, query = batch
    pd.update_state(a, b, weight)
    per_query.update_state(label, a, weight, query_id=query)
    swaps.update_state(a, b, weight, query_id=query)
    for metric in (auc, calibration, log_loss, entropy):
        metric.update_state(label, a, weight)

with strategy.scope():
    mirrored = make()
single = make()
dataset = tf.data.Dataset.from_tensor_slices((a, b, weight, label, query)).batch(24)
options = tf.data.Options()
options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF

@tf.function
def step(batch):
    strategy.run(update, (*mirrored, batch))

for batch in strategy.experimental_distribute_dataset(dataset.with_options(options)):
    step(batch)
for batch in dataset:
    update(*single, batch)

def numbers(kind):
    return [float(tf.convert_to_tensor(getattr(metrics[2], kind))) for metrics in (mirrored, single)]

results = {"replicas": strategy.num_replicas_in_sync,
           "mirrored": [float(metric.result()) for metric in mirrored],
           "single": [float(metric.result()) for metric in single],
           "queries": numbers("queries"), "split": numbers("split_queries")}
for batch in strategy.experimental_distribute_dataset(dataset.with_options(options)):
    step(batch)  # once more: each device sees its own queries again
results["split_twice"] = numbers("split_queries")
print(json.dumps(results))
for metric in mirrored:
    metric.reset_state()
assert float(mirrored[0].result()) == 0.0
assert numbers("split_queries")[0] == 0.0
"""


def test_two_devices_give_what_one_gives() -> None:
    finished = subprocess.run(
        [sys.executable, "-X", "warm", "-c", PROGRAM],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ},
        check=False,
    )
    assert finished.returncode == 0, finished.stderr[-2000:]
    printed = json.loads(finished.stdout.splitlines()[-1])
    assert printed["replicas"] == 2
    assert printed["mirrored"] == pytest.approx(printed["single"], rel=1e-13)
    assert printed["queries"][0] == printed["queries"][1] > 0
    assert printed["split"] == [0, 0]
    assert printed["split_twice"] == [16, 0]
