"""Under several devices and parameter servers a layer trains to the same table, and moves the rows of a batch only."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.slow

TRAINING = """
import json
import numpy as np
import tensorflow as tf
from smooth_recs.layers import EmbeddedFeature, StackedEmbedding, embedding_tables

FEATURES = [EmbeddedFeature("user", 5000), EmbeddedFeature("tags", 3000, max_values=3, combiner="sqrtn")]
ROWS, DIM, BATCH, STEPS = 8000, 4, 24, 6
TABLE = np.random.default_rng(0).normal(size=[ROWS, DIM]).astype(np.float32)
random = np.random.default_rng(1)
BATCHES = [{"user": random.integers(0, 40, BATCH), "tags": random.integers(-1, 30, [BATCH, 3])} for _ in range(STEPS)]
TOUCHED = sorted({int(u) for b in BATCHES for u in b["user"]}
                 | {5000 + int(t) for b in BATCHES for t in b["tags"].ravel() if t >= 0})

def make(admission):
    layer = StackedEmbedding(FEATURES, DIM, admission=admission)
    layer.build(None)
    layer.embeddings.assign(TABLE)
    return layer, tf.keras.optimizers.legacy.Adagrad(0.1, initial_accumulator_value=0.1)

def train(layer, optimizer, inputs):
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(inputs, training=True) ** 3) / BATCH
    variables = layer.trainable_variables  # of a sharded table its shards
    optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))

def state(layer, optimizer):
    shards = getattr(layer.embeddings, "variables", [layer.embeddings])
    slots = np.concatenate([optimizer.get_slot(shard, "accumulator").numpy() for shard in shards])
    names = ("counts", "last_seen", "steps", "lookups") if layer.admitted else ()
    counted = [getattr(layer.admitted, name) for name in names]
    return [np.array(tf.convert_to_tensor(v)) for v in (layer.embeddings, *counted)] + [slots]

def alone(admission):
    layer, optimizer = make(admission)
    for batch in BATCHES:
        train(layer, optimizer, batch)
    return state(layer, optimizer)

def compared(got, expected):
    untouched = np.setdiff1d(np.arange(ROWS), TOUCHED + [4998, 7998])  # these are out of vocabulary
    return {
        "shapes": [list(value.shape) for value in got],
        "close": [bool(np.allclose(a, b, rtol=2e-6, atol=1e-7)) for a, b in zip(got, expected, strict=True)],
        "moved": int((got[0] != TABLE).any(axis=1).sum()),
        "untouched": bool((got[0] == TABLE)[untouched].all() and (got[-1] == np.float32(0.1))[untouched].all()),
        "untouched_rows": len(untouched),
    }
"""

MIRRORED = """
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])

def part(batch, device):
    return {name: tf.constant(ids[device::2]) for name, ids in batch.items()}

def mirrored(admission):
    with strategy.scope():
        layer, optimizer = make(admission)

    @tf.function
    def step(first, second):
        def both(context):
            return (first, second)[context.replica_id_in_sync_group]
        inputs = strategy.experimental_distribute_values_from_function(both)
        strategy.run(train, (layer, optimizer, inputs))

    for batch in BATCHES:
        step(part(batch, 0), part(batch, 1))
    graph = step.get_concrete_function(part(batch, 0), part(batch, 1)).graph
    copies = [np.array(copy) for copy in strategy.experimental_local_results(layer.embeddings)]
    return state(layer, optimizer), list(operations(graph)), bool((copies[0] == copies[1]).all())

def operations(graph):
    for operation in graph.get_operations():
        yield operation
        for branch in ("then_branch", "else_branch") if operation.type in ("If", "StatelessIf") else ():
            yield from operations(graph._get_function(operation.get_attr(branch).name).graph)

def of_table_size(ops):
    return sorted({op.type for op in ops for y in op.outputs if any((n or 0) >= ROWS for n in y.shape.as_list() or [])})

def exchanged(ops):
    inputs = [op.inputs[0] for op in ops if op.type.startswith("CollectiveGather")]
    return sorted({str(x.shape.as_list()) for x in inputs if x.dtype == tf.float32})

results = {}
for admission in (0, 2):
    got, ops, equal = mirrored(admission)
    results[str(admission)] = compared(got, alone(admission)) | {
        "table_sized": of_table_size(ops), "exchanged": exchanged(ops), "copies_equal": equal}
embedding_tables.lookup = lambda table, ids: tf.gather(tf.convert_to_tensor(table), ids)
results["whole table read"] = of_table_size(mirrored(0)[1])
print(json.dumps(results))
"""

PARAMETER_SERVERS = """
import socket

def port():
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return f"localhost:{free.getsockname()[1]}"

cluster = tf.train.ClusterSpec({"worker": [port()], "ps": [port(), port()]})
servers = [tf.distribute.Server(cluster, job_name=job, task_index=k, protocol="grpc")
           for job, k in (("worker", 0), ("ps", 0), ("ps", 1))]
strategy = tf.distribute.ParameterServerStrategy(
    tf.distribute.cluster_resolver.SimpleClusterResolver(cluster, rpc_layer="grpc"),
    variable_partitioner=tf.distribute.experimental.partitioners.MinSizePartitioner(min_shard_bytes=1024, max_shards=2))
coordinator = tf.distribute.coordinator.ClusterCoordinator(strategy)
results = {}
for admission in (0, 2):
    with strategy.scope():
        layer, optimizer = make(admission)
        fresh = StackedEmbedding(FEATURES, DIM, "uniform")
        fresh.build(None)

    @tf.function
    def step(inputs):
        strategy.run(train, (layer, optimizer, inputs))

    for batch in BATCHES:
        coordinator.schedule(step, ({name: tf.constant(ids) for name, ids in batch.items()},))
        coordinator.join()
    shards = [value.numpy() for value in fresh.embeddings.variables]
    results[str(admission)] = compared(state(layer, optimizer), alone(admission)) | {
        "shards": [[v.shape[0], v.device.split("/")[1:4:2]] for v in layer.embeddings.variables],
        "fresh": [float(abs(s).max()) for s in shards], "fresh_equal": bool((shards[0] == shards[1]).all())}
print(json.dumps(results), flush=True)
import os
os._exit(0)  # servers in this process are not stopped otherwise
"""


def printed(program: str) -> dict[str, Any]:
    """The last line of the output of a process of its own, whose logical devices and servers nobody else sees."""
    finished = subprocess.run(
        [sys.executable, "-X", "warm", "-c", TRAINING + program],
        capture_output=True,
        text=True,
        timeout=200,
        env={**os.environ},
        check=False,
    )
    assert finished.returncode == 0, finished.stderr[-3000:]
    return json.loads(finished.stdout.splitlines()[-1])


def test_two_devices_train_as_one_and_exchange_the_rows_of_the_batch() -> None:
    """12 examples a device, 1 user and 3 tags each: 48 gradients of width 4, of a table with 8,000 rows."""
    results = printed(MIRRORED)
    for admission, values in (("0", 1), ("2", 5)):
        result = results[admission]
        assert result["close"] == [True] * (values + 1), admission
        assert result["copies_equal"]
        assert result["untouched"]
        assert result["untouched_rows"] > 7900
        assert result["moved"] > 20
        assert result["table_sized"] == []
        assert "[48, 4]" in result["exchanged"]
        assert set(result["exchanged"]) <= {"[48, 4]", "[None, None]"}, "the second is padded to the longest part"
    assert "ReadVariableOp" in results["whole table read"], "the check sees what it looks for"


def test_a_table_sharded_over_parameter_servers_trains_as_a_whole_one() -> None:
    results = printed(PARAMETER_SERVERS)
    for admission, values in (("0", 1), ("2", 5)):
        result = results[admission]
        assert result["close"] == [True] * (values + 1), admission
        assert result["untouched"]
        assert result["moved"] > 20
        assert sorted(result["shards"]) == [[4000, ["job:ps", f"task:{k}"]] for k in (0, 1)]
        assert all(0.049 < largest <= float(np.float32(0.05)) for largest in result["fresh"])
        assert not result["fresh_equal"]
