"""A disk that is full, files that vanish or are cut: one line each time, and the same command goes on where it was."""

from __future__ import annotations

import contextlib
import pathlib
import random
import resource
import subprocess
from collections.abc import Callable, Iterator

import pytest
import tensorflow as tf
from train_runs import PATIENCE, Run

ROWS = 1600  # of each of two files, the last fifth held out
EPOCHS = 12
CONFIG = """
from smooth_recs.config import Config, Data, Evaluation, Model, Train
from smooth_recs.schema import Categorical, Numeric, Schema

SCHEMA = Schema((Categorical("shop", "hash", size=500), Numeric("price", "identity")))

def get_config():
    return Config(
        data=Data(source="tfrecord", path={path!r}, schema=SCHEMA, shuffle_window=400),
        model=Model(hidden_units=(16, 8)),
        train=Train(
            batch_size=16, epochs={epochs}, steps_per_execution=5, checkpoint_seconds=0.2, evaluation_examples=500,
            deterministic=True,
        ),
        evaluation=Evaluation(slices=(), estimate=False),
    )
"""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3 * PATIENCE)]


def write_log(folder: pathlib.Path) -> list[pathlib.Path]:
    """Records of one length, so that each half of a file is whole."""
    chance = random.Random(1)
    files = [folder / f"part-{k}.tfrecord" for k in range(2)]
    for path in files:
        with tf.io.TFRecordWriter(str(path)) as writer:
            for _ in range(ROWS):
                shop, price = 100 + chance.randrange(800), chance.random()
                features = {
                    "shop": tf.train.Feature(bytes_list=tf.train.BytesList(value=[str(shop).encode()])),
                    "price": tf.train.Feature(float_list=tf.train.FloatList(value=[price])),
                    "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[int(chance.random() < price / 2)])),
                }
                example = tf.train.Example(features=tf.train.Features(feature=features))
                writer.write(example.SerializeToString())
    return files


@contextlib.contextmanager
def unreadable(path: pathlib.Path) -> Iterator[None]:
    """A link to itself, which the superuser cannot read either."""
    kept = path.with_name(f".{path.name}")
    path.rename(kept)
    path.symlink_to(path)
    yield
    kept.replace(path)


@contextlib.contextmanager
def cut(path: pathlib.Path, size: float) -> Iterator[None]:
    """In place, as a reader may have the file open."""
    whole = path.read_bytes()
    path.write_bytes(whole[: round(size)])
    yield
    path.write_bytes(whole)


def broken_off(run: Run, harm: Callable[[subprocess.Popen[bytes]], contextlib.AbstractContextManager[None]]) -> str:
    """The line in which a process ends that had saved something new before the harm, which then is undone."""
    before, process = run.reached, run.start()
    try:
        run.wait_until(process, lambda: run.reached > before)
        with harm(process):
            line = run.fails(process, 1)
    finally:
        process.kill()
    assert run.reached < EPOCHS * 2 * ROWS * 0.8 / 16
    return line


def limit_files(process: subprocess.Popen[bytes]) -> contextlib.AbstractContextManager[None]:
    """To 60 kB each, less than a checkpoint has: what TensorFlow cannot write it cannot write on a full disk either."""
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (60_000, 60_000))
    return contextlib.nullcontext()


def test_each_fault_is_a_line_and_the_run_ends_as_without_any(tmp_path):
    log = tmp_path / "log"
    log.mkdir()
    _, last = write_log(log)
    config = tmp_path / "run.py"
    config.write_text(CONFIG.format(path=str(log), epochs=EPOCHS))
    whole = Run(config, tmp_path / "whole").finish()
    run = Run(config, tmp_path / "run")

    line = broken_off(run, lambda _: unreadable(last))
    assert f"{last}; Too many levels of symbolic links" in line
    line = broken_off(run, limit_files)
    assert f"{run.workdir}/checkpoints/ckpt-" in line
    assert line.endswith("cannot be written: it is too large a file (the limit is 60,000 bytes: ulimit -f)")
    half = last.stat().st_size // 2  # between two records: TensorFlow takes it for the end
    line = broken_off(run, lambda _: cut(last, half))
    assert "the files have lost rows that were there" in line
    with cut(last, half + 40):  # within a record
        assert run.fails(run.start(), 2).startswith("data.path: a file is damaged: truncated record at")

    newest = run.workdir / f"checkpoints/ckpt-{run.reached}.data-00000-of-00001"
    newest.write_bytes(newest.read_bytes()[:1000])
    for leaves in ("1/variables", ".writing-half/variables"):  # an export that was copied in part, and one broken off
        (run.workdir / "export/replica_0" / leaves).mkdir(parents=True)
    ended = run.finish()
    assert run.said.count("cannot be read, the one before it is tried") == 1
    assert f"{newest.stem} cannot be read" in run.said
    assert ended["exports"] == ["export/replica_0/1", "export/replica_1/1"]  # the part of a version is gone
    assert [path.name for path in (run.workdir / "export/replica_0").iterdir()] == ["1"]
    for name in ("examples", "replicas", "pd", "history"):
        assert ended[name] == whole[name], name
    assert ended["examples"] == EPOCHS * 2 * ROWS * 0.8
