"""What a run takes over from another one, variable by variable and row by row."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from smooth_recs import config
from smooth_recs.callbacks.checkpoints import Checkpoints
from smooth_recs.data import encoding
from smooth_recs.data.encoding import Encoder
from smooth_recs.data.feature_statistics import Statistics
from smooth_recs.errors import InputError
from smooth_recs.models import SiblingModel, from_config
from smooth_recs.schema import Categorical, Numeric, Schema
from smooth_recs.training import warm_start
from smooth_recs.workdir.checkpoint_reader import CheckpointReader

SITES = (b"a.org", b"b.org", b"c.org")
MODEL = config.Model(hidden_units=(8, 4), embedding_dim=4, admission=2, linear=True)
TRAIN = config.Train(dense_learning_rate=0.1, embedding_learning_rate=0.3, initial_accumulator=0.1)
ROWS, BATCH = 96, 16


def encoder_of(sites: Sequence[bytes] = SITES, first: Sequence[Any] = (), users: int = 10) -> Encoder:
    features = (Categorical("user", "identity", users, "int64"), Categorical("site", "vocabulary"))
    schema = Schema((*first, *features, Numeric("price", "identity", "zero")))
    return Encoder(schema, Statistics({"site": tuple(sites)}))


def batches(encoder: Encoder) -> tf.data.Dataset:
    random = np.random.default_rng(1)
    raw = {
        "user": random.integers(0, 11, ROWS),
        "site": random.choice([*SITES, b"new.org"], ROWS),
        "price": random.normal(size=ROWS).astype(np.float32),
        "shop": random.choice([b"x", b"y"], ROWS),
    }
    label = (raw["user"] % 3 == 0).astype(np.float32)
    return tf.data.Dataset.from_tensor_slices((encoder({k: tf.constant(v) for k, v in raw.items()}), label)).batch(
        BATCH
    )


def made(
    encoder: Encoder, seed: int, replicas: int = 2, model: config.Model = MODEL, train: config.Train = TRAIN
) -> SiblingModel:
    def build() -> Any:
        ranking = from_config.ranking_model(model, encoder)
        ranking.compile(optimizer=from_config.optimizer(ranking, train, total_steps=100))
        return ranking

    tf.keras.utils.set_random_seed(seed)
    siblings = SiblingModel(build, replicas, "init")
    siblings.compile()
    siblings.build_replicas(batches(encoder).element_spec)
    return siblings


@pytest.fixture(scope="module")
def trained(tmp_path_factory: Any) -> tuple[SiblingModel, str]:
    """Two siblings after 12 steps, and the workdir of their run."""
    workdir = tmp_path_factory.mktemp("trained")
    encoder = encoder_of()
    siblings = made(encoder, seed=1)
    siblings.fit(batches(encoder), epochs=2, verbose=0, callbacks=[Checkpoints(siblings, str(workdir / "checkpoints"))])
    encoding.save(encoder, str(workdir / "encoder.json"))
    return siblings, str(workdir)


def values(siblings: SiblingModel, k: int = 0) -> list[np.ndarray]:
    """Of all variables but the one metric's, which come last."""
    replica = siblings.replicas[k]
    metric = {variable.ref() for variable in replica.loss_mean.variables}
    return [variable.numpy() for variable in replica.variables if variable.ref() not in metric]


def accumulators(siblings: SiblingModel, k: int = 0) -> list[np.ndarray]:
    replica = siblings.replicas[k]
    dense, sparse = replica.optimizer.optimizers
    pairs = [(dense, replica.dense_variables), (sparse, replica.embedding_variables)]
    return [optimizer.get_slot(v, "accumulator").numpy() for optimizer, variables in pairs for v in variables]


def sums(replica: Any) -> Any:
    """Of squares of the gradients of the embeddings."""
    table = replica.embeddings.embeddings
    slots = [replica.optimizer.optimizers[1].get_slot(v, "accumulator") for v in getattr(table, "variables", [table])]
    return tf.concat(slots, axis=0)


def same(one: Any, other: Any) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.slow
def test_training_goes_on_as_if_never_interrupted(trained: Any) -> None:
    before, workdir = trained
    encoder = encoder_of()
    here, twin = made(encoder, seed=2), made(encoder, seed=3)
    report = warm_start.initialise(here, workdir, encoder)
    assert not report.left
    assert not report.rows
    assert report.steps == 12
    assert report.siblings == [0, 1]
    assert {"top_stack/hidden/0/kernel", "embeddings/embeddings", "embeddings/admitted/counts"} <= {*report.taken}
    assert report.accumulators == [name for name in report.taken if "admitted" not in name]
    assert int(here.replicas[0].optimizer.iterations.numpy()) == 0
    for k in range(2):
        assert same(values(here, k), values(before, k))
        assert same(accumulators(here, k), accumulators(before, k))
        assert all(variable.numpy() == 0 for variable in here.replicas[k].loss_mean.variables)
    assert not same(values(here, 0), values(here, 1)), "each has its own sibling's"
    tf.train.Checkpoint(model=twin).restore(f"{workdir}/checkpoints/ckpt-12").expect_partial()  # as a resumed run does
    for siblings in (here, twin):
        siblings.fit(batches(encoder), verbose=0)
    for k in range(2):
        assert same(values(here, k), values(twin, k))
        assert same(accumulators(here, k), accumulators(twin, k))


def test_no_name_of_a_workdir_stops_it(trained: Any, tmp_path: Path) -> None:
    for name in ("x[1]", "a\\b", "*.keras", "v1,b 50%"):
        (tmp_path / name).symlink_to(trained[1])
        for path in (tmp_path / name, tmp_path / name / "checkpoints" / "ckpt-12"):
            assert CheckpointReader(str(path)).steps == 12
        assert CheckpointReader(f"{tmp_path / name}/").encoding is not None


def test_rows_follow_their_values(trained: Any) -> None:
    """The vocabulary lost a value, gained two and changed its order; there are more users; a feature came before."""
    before, workdir = trained
    here_encoder = encoder_of((b"c.org", b"d.org", b"a.org", b"e.org"), [Categorical("shop", "hash", 5)], users=12)
    here = made(here_encoder, seed=2)
    first = here.replicas[0].embeddings.embeddings.numpy()
    report = warm_start.initialise(here, workdir, here_encoder)
    # There: users 0-9, unknown 10, missing 11, sites a 12, b 13, c 14, unknown 15, missing 16.
    # Here: shops 0-6, users 7-18, unknown 19, missing 20, sites c 21, d 22, a 23, e 24, unknown 25, missing 26.
    there = [*range(10), 10, 11, 14, 12, 15, 16]
    rows = [*range(7, 17), 19, 20, 21, 23, 25, 26]
    fresh = sorted(set(range(27)) - set(rows))
    old, new = before.replicas[0], here.replicas[0]
    table = new.embeddings.embeddings.numpy()
    slot, slot_was = (sums(one).numpy() for one in (new, old))
    np.testing.assert_array_equal(table[rows], old.embeddings.embeddings.numpy()[there])
    np.testing.assert_array_equal(table[fresh], first[fresh])
    np.testing.assert_array_equal(slot[rows], slot_was[there])
    assert (slot[fresh] == np.float32(0.1)).all()
    for name in ("counts", "last_seen"):
        state, was = (getattr(one.embeddings.admitted, name).numpy() for one in (new, old))
        np.testing.assert_array_equal(state[rows], was[there])
        assert was.any()
        assert (state[fresh] == 0).all()
    lookups = new.embeddings.admitted.lookups.numpy()
    np.testing.assert_array_equal(lookups, [[0, 0], *old.embeddings.admitted.lookups.numpy()])
    np.testing.assert_array_equal(new.linear.table.embeddings.numpy()[rows], old.linear.table.embeddings.numpy()[there])
    assert report.rows["embeddings/embeddings"] == 16
    assert report.features == {"shop": "not in that run", "user": "10 of 12 values", "site": "2 of 4 values"}
    assert report.left == {"top_stack/hidden/0/kernel": "shape [9, 8] there, [13, 8] here"}
    here.fit(batches(here_encoder), verbose=0)
    lines = report.summary().splitlines()
    assert lines[0].endswith("/checkpoints/ckpt-12 (12 steps): 7 of 13 variables whole")
    assert "  embeddings/embeddings: 16 rows taken" in lines
    assert lines[-1] == "  top_stack/hidden/0/kernel: not taken, shape [9, 8] there, [13, 8] here"
    assert json.loads(json.dumps(report.to_dict()))["rows"]["embeddings/embeddings"] == 16


def test_more_siblings_than_there_share(trained: Any) -> None:
    before, workdir = trained
    here = made(encoder_of(), seed=2, replicas=3)
    report = warm_start.initialise(here, f"{workdir}/checkpoints/ckpt-12", encoder_of())
    assert report.siblings == [0, 1, 0]
    kernels = [replica.top_stack.hidden[0].kernel.numpy() for replica in here.replicas]
    assert same(kernels, [before.replicas[k].top_stack.hidden[0].kernel.numpy() for k in (0, 1, 0)])


def test_moments_that_belong_to_a_count_of_steps_are_not_taken(trained: Any) -> None:
    _, workdir = trained
    here = made(encoder_of(), seed=2, train=dataclasses.replace(TRAIN, dense_optimizer="adam"))
    report = warm_start.initialise(here, f"{workdir}/checkpoints", encoder_of())
    assert set(report.accumulators) == {"embeddings/embeddings", "linear/table/embeddings"}
    assert not report.left
    dense, _ = here.replicas[0].optimizer.optimizers
    assert dense.get_slot_names() == []


def test_what_has_no_place_there_begins_anew(trained: Any, tmp_path: Path) -> None:
    """Another depth, no linear part; and a checkpoint that was copied without its run's encoder."""
    before, workdir = trained
    for file in Path(workdir, "checkpoints").iterdir():
        (tmp_path / "copied").mkdir(exist_ok=True)
        (tmp_path / "copied" / file.name).write_bytes(file.read_bytes())
    model = dataclasses.replace(MODEL, hidden_units=(8, 4, 4), linear=False)
    here = made(encoder_of(), seed=2, model=model)
    table = here.replicas[0].embeddings.embeddings.numpy()
    report = warm_start.initialise(here, str(tmp_path / "copied"), encoder_of())
    unknown = "that run's workdir does not say what its rows stand for (no encoder.json)"
    assert report.left == {
        "embeddings/embeddings": unknown,
        "embeddings/admitted/counts": unknown,
        "embeddings/admitted/last_seen": unknown,
        "embeddings/admitted/lookups": unknown,
        "top_stack/hidden/2/kernel": "not in that run",
        "top_stack/hidden/2/bias": "not in that run",
    }
    np.testing.assert_array_equal(here.replicas[0].embeddings.embeddings.numpy(), table)
    kernels = [siblings.replicas[1].top_stack.hidden[0].kernel.numpy() for siblings in (here, before)]
    np.testing.assert_array_equal(*kernels)


def test_a_sibling_run_of_nothing_in_common_is_refused(trained: Any) -> None:
    _, workdir = trained
    encoder = Encoder(Schema((Categorical("shop", "hash", 4),)))
    model = config.Model(hidden_units=(5,), embedding_dim=3)

    def build() -> Any:
        ranking = from_config.ranking_model(model, encoder)
        ranking.output_layer = tf.keras.layers.Dense(1, use_bias=False)
        ranking.compile(optimizer=from_config.optimizer(ranking, TRAIN, total_steps=1))
        return ranking

    siblings = SiblingModel(build)
    siblings.compile()
    siblings.build_replicas(({"shop": tf.TensorSpec([None], tf.int64)},))
    with pytest.raises(InputError, match="ckpt-12 has no variable in common with this model"):
        warm_start.initialise(siblings, workdir, encoder)


def test_what_is_no_checkpoint_of_siblings_is_one_line(trained: Any, tmp_path: Path) -> None:
    _, workdir = trained
    here = made(encoder_of(), seed=2)
    for path in (str(tmp_path), str(tmp_path / "nowhere"), f"{workdir}/checkpoints/ckpt-99"):
        with pytest.raises(InputError, match="must be the workdir of a run or a checkpoint, got"):
            warm_start.initialise(here, path, encoder_of())
    plain = tf.train.Checkpoint(model=tf.keras.Sequential([tf.keras.layers.Dense(1)])).save(str(tmp_path / "ckpt"))
    with pytest.raises(InputError, match="is not of a run's siblings"):
        warm_start.initialise(here, plain, encoder_of())


@pytest.mark.parametrize("ending", ["index", "data-00000-of-00001"])
def test_a_damaged_checkpoint_is_one_line(trained: Any, tmp_path: Path, ending: str) -> None:
    _, workdir = trained
    for file in Path(workdir, "checkpoints").iterdir():
        content = file.read_bytes()
        (tmp_path / file.name).write_bytes(content[: len(content) // 2] if file.name.endswith(ending) else content)
    with pytest.raises(InputError, match=r"ckpt-12 cannot be read: [^\n]+$"):
        warm_start.initialise(made(encoder_of(), seed=2), str(tmp_path / "ckpt-12"), encoder_of())


GROWN = (b"d.org", b"b.org", b"a.org", b"e.org")
KNOWN = [*range(12), 13, 14, 16, 17]  # rows of the grown tables that the run has


def grown_run(workdir: str, path: str, in_cluster: bool = False) -> dict[str, Any]:
    """The report, what the siblings began with, and a checkpoint in `path` after 6 steps."""
    encoder = encoder_of(GROWN)
    siblings = made(encoder, seed=2)
    report = warm_start.initialise(siblings, workdir, encoder)
    table = siblings.replicas[0].embeddings.embeddings
    began = [np.array(tf.convert_to_tensor(v))[KNOWN].tolist() for v in (table, sums(siblings.replicas[0]))]
    data: Any = batches(encoder)
    if in_cluster:
        data = tf.keras.utils.experimental.DatasetCreator(lambda context: batches(encoder_of(GROWN)).repeat())
    siblings.fit(data, steps_per_epoch=6, verbose=0)
    tf.train.Checkpoint(model=siblings).write(path)
    return {"report": report.to_dict(), "began": began, "shards": len(getattr(table, "variables", [table]))}


def checkpoint(path: str) -> dict[str, np.ndarray]:
    """The siblings' variables and sums; of tables the rows that the run has."""
    reader = tf.train.load_checkpoint(path)
    found = {key: reader.get_tensor(key) for key in reader.get_variable_to_shape_map() if key.startswith("model/rep")}
    return {key: value[KNOWN] if value.shape[:1] == (18,) else value for key, value in found.items()}


BEGINNING = """
import json, os, socket, sys
import tensorflow as tf
sys.path.insert(0, sys.argv[1])
import test_warm_start as cases
"""
ENDING = """
with strategy.scope():
    print(json.dumps(cases.grown_run(*sys.argv[2:4], in_cluster=servers)), flush=True)
os._exit(0)  # servers in this process are not stopped otherwise
"""
MIRRORED = """
servers = False
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
"""
PARAMETER_SERVERS = """
def port():
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return f"localhost:{free.getsockname()[1]}"

cluster = tf.train.ClusterSpec({"worker": [port()], "ps": [port(), port()]})
servers = [tf.distribute.Server(cluster, job_name=job, task_index=k, protocol="grpc")
           for job, k in (("worker", 0), ("ps", 0), ("ps", 1))]
strategy = tf.distribute.ParameterServerStrategy(
    tf.distribute.cluster_resolver.SimpleClusterResolver(cluster, rpc_layer="grpc"),
    variable_partitioner=tf.distribute.experimental.partitioners.MinSizePartitioner(min_shard_bytes=64, max_shards=2))
"""


@pytest.mark.slow
@pytest.mark.parametrize(("strategy", "shards"), [(MIRRORED, 1), (PARAMETER_SERVERS, 2)], ids=["mirrored", "servers"])
def test_several_devices_and_sharded_tables_begin_alike(
    trained: Any, tmp_path: Path, strategy: str, shards: int
) -> None:
    _, workdir = trained
    program = BEGINNING + strategy + ENDING
    command = [
        sys.executable,
        "-X",
        "warm",
        "-c",
        program,
        str(Path(__file__).parent),
        workdir,
        str(tmp_path / "there"),
    ]
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([root, *sys.path])}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=250, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    alone = grown_run(workdir, str(tmp_path / "here"))
    assert json.loads(done.stdout.splitlines()[-1]) == {**json.loads(json.dumps(alone)), "shards": shards}
    here, there = checkpoint(str(tmp_path / "here")), checkpoint(str(tmp_path / "there"))
    assert here.keys() == there.keys()
    for key in here:
        np.testing.assert_allclose(there[key], here[key], rtol=1e-3, atol=1e-5, err_msg=key)
