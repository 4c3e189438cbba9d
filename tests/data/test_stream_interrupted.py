"""A run that follows a folder: files come while it trains, it is killed, and ends as if nothing had been.

`SMOOTH_RECS_SEED` repeats the moments of an earlier test.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import time

import numpy as np
import pytest
import tensorflow as tf
from stream_runs import ROWS, write_config, write_file
from train_runs import PATIENCE, Run

from smooth_recs import training
from smooth_recs.callbacks.checkpoints import Checkpoints
from smooth_recs.errors import InputError
from smooth_recs.experiments import sweeps
from smooth_recs.measures.gates import Limits
from smooth_recs.release import publishing
from smooth_recs.release.publishing import Release

FILES = 5
SEED = int(os.environ.get("SMOOTH_RECS_SEED", random.SystemRandom().randrange(10**6)))

pytestmark = [pytest.mark.slow, pytest.mark.timeout(5 * PATIENCE)]


@pytest.fixture(scope="module")
def followed(tmp_path_factory):
    """A run that was never interrupted: the first two files were there, the others came together."""
    folder = tmp_path_factory.mktemp("whole")
    log = folder / "log"
    log.mkdir()
    for number in range(2):
        write_file(log / f"{number}.csv", number)
    run = Run(write_config(folder, log), folder / "run")
    process = run.start()
    run.wait_until(process, (run.workdir / "manifest.json").exists)
    for number in range(2, FILES):
        write_file(log / f"{number}.csv", number)
    assert run.end(process) == 0, run.said[-3000:]
    return run


def metrics_of(run):
    return json.loads((run.workdir / "metrics.json").read_text())


def variables(run):
    """Of the newest checkpoint, by name."""
    reader = tf.train.load_checkpoint(str(run.workdir / f"checkpoints/ckpt-{run.reached}"))
    names = [name for name in reader.get_variable_to_shape_map() if name.endswith("VARIABLE_VALUE")]
    return {name: reader.get_tensor(name) for name in names if "save_counter" not in name}


def test_a_stream_is_trained_to_its_end(followed):
    metrics = metrics_of(followed)
    assert metrics["examples"] == FILES * ROWS
    stream = json.loads((followed.workdir / "stream.json").read_text())
    assert stream["ended"]
    assert [os.path.basename(file["file"]) for file in stream["files"]] == [f"{number}.csv" for number in range(FILES)]
    manifest = json.loads((followed.workdir / "manifest.json").read_text())
    assert manifest["data"]["train_rows"] == FILES * ROWS
    assert len(manifest["data"]["files"]) == FILES + 1
    # 50 x 40 rows are 125 steps of 16: measured after the execution of 7 that passes them, and at the end.
    assert [entry["step"] for entry in metrics["history"]] == [126, 219]
    assert {"pd", "progressive_pd"} <= metrics["history"][0].keys()
    assert "waiting for new files under" in followed.said
    exports = sorted(path.name for path in (followed.workdir / "export/replica_0").iterdir())
    assert exports == ["1", "2", "3", "4"]  # after 60, 120 and 180 steps, and at the end


def test_a_killed_one_ends_as_if_nothing_had_been(followed, tmp_path):
    """Files come one by one, each after a kill at a random moment, some while nothing runs."""
    print(f"SMOOTH_RECS_SEED={SEED}")
    chance = random.Random(SEED)
    log = tmp_path / "log"
    log.mkdir()
    for number in range(2):
        write_file(log / f"{number}.csv", number)
    run = Run(write_config(tmp_path, log), tmp_path / "run")
    for number in range(2, FILES):
        before, process = run.reached, run.start()
        try:
            if number == 2:
                run.wait_until(process, (run.workdir / "manifest.json").exists)
            elif chance.random() < 0.7:  # until it has learnt something new, or there is nothing new to learn
                run.wait_until(
                    process, lambda before=before: run.reached > before or "waiting for new files" in run.said
                )
            if number % 2:
                write_file(log / f"{number}.csv", number)
            time.sleep(chance.uniform(0, 3))
        finally:
            process.kill()
        assert process.wait() == -9, run.said[-3000:]
        if not number % 2:
            write_file(log / f"{number}.csv", number)
        print(f"killed with {run.reached} steps safe")
    ended, whole = run.finish(), metrics_of(followed)
    for name in ("examples", "replicas", "pd", "history", "slices"):
        assert ended[name] == whole[name], name
    one, other = variables(followed), variables(run)
    assert one.keys() == other.keys()
    for name, value in one.items():
        np.testing.assert_array_equal(value, other[name], err_msg=name)


class Interrupted(Exception):
    pass


def interrupted(config, workdir):
    """A run that ends with its first checkpoint, in the middle of the rows that are there."""
    save = Checkpoints.save

    def save_and_end(checkpoints):
        save(checkpoints)
        raise Interrupted

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpoints, "save", save_and_end)
        with pytest.raises(Interrupted):
            training.train_and_evaluate(config, str(workdir))


def refused(config, workdir):
    with pytest.raises(InputError) as error:
        training.train_and_evaluate(config, str(workdir))
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.both_generations
def test_a_day_begins_with_the_day_before_and_may_be_interrupted(tmp_path):
    """Day 2 takes over the weights of day 1 and is compared with it; interrupted, it ends with the bits of its twin."""

    def day(number, live=""):
        folder = tmp_path / f"day_{number}"
        (folder / "log").mkdir(parents=True)
        for seed in (10 * number, 10 * number + 1):
            write_file(folder / "log" / f"{seed}.csv", seed)
        config = sweeps.config_of(write_config(folder, folder / "log"))
        config.data.follow_seconds, config.train.export_steps, config.train.deterministic = 1.0, 0, False
        config.train.warm_start = config.evaluation.live = live
        return folder, config

    folder, first = day(1)
    begun = training.train_and_evaluate(first, str(folder / "run"))
    folder, second = day(2, live=str(folder / "run"))
    twin = training.train_and_evaluate(second, str(folder / "twin"))
    interrupted(second, folder / "run")
    resumed = training.train_and_evaluate(second, str(folder / "run"))
    assert resumed["examples"] == begun["examples"] == 2 * ROWS
    for name in ("pd", "pd_live", "replicas", "history"):
        assert resumed[name] == twin[name], name
    runs = [Run(folder, folder / name) for name in ("twin", "run")]
    assert runs[0].reached == runs[1].reached > 0
    one, other = map(variables, runs)
    assert one.keys() == other.keys()
    for name, value in one.items():
        np.testing.assert_array_equal(value, other[name], err_msg=name)
    took = json.loads((folder / "run/warm_start.json").read_text())
    assert "top_stack/hidden/0/kernel" in took["taken"]
    assert took["rows"] == {"embeddings/embeddings": 42}  # 40 shops, in another order on each day
    assert not took["left"]
    # It has learnt from two days.
    assert twin["replicas"][0]["log_loss"] < begun["replicas"][0]["log_loss"]


def test_what_changes_or_goes_is_a_line_and_others_data_are_refused(tmp_path):
    """A file of the stream that is still to be trained on; held-out rows; then all is as it was, and the run ends."""
    log, workdir = tmp_path / "log", tmp_path / "run"
    log.mkdir()
    for number in range(2):
        write_file(log / f"{number}.csv", number)
    config = sweeps.config_of(write_config(tmp_path, log))
    config.data.follow_seconds = 1.0
    config.train.deterministic = False  # which would be so for all of this process
    interrupted(config, workdir)
    last = log / "1.csv"
    kept = last.read_bytes()
    last.unlink()
    assert refused(config, workdir) == f"data.path: {last} has gone before it was trained on"
    last.write_bytes(kept.replace(b"0.", b"1."))
    assert refused(config, workdir).startswith(f"data.path: {last} has changed since it was taken")
    last.write_bytes(kept)
    held_out = tmp_path / "held_out.csv"
    kept = held_out.read_bytes()
    write_file(held_out, seed=1000)
    assert "holds a run that began on other data" in refused(config, workdir)
    held_out.write_bytes(kept)
    assert training.train_and_evaluate(config, str(workdir))["examples"] == 2 * ROWS
    shutil.rmtree(log)  # all is trained: the run can be read, and released, without its files
    assert training.train_and_evaluate(config, str(workdir))["examples"] == 2 * ROWS
    sibling = str(workdir / "export" / "replica_1")
    # Two files teach less than the click rate says.
    limits, base = Limits(max_pd=2.0), str(tmp_path / "models")
    release = Release(str(workdir), base, against=sibling, sibling_limits=limits, allow_collapsed=True)
    assert publishing.publish(release).comparisons["--against"]["rows"] == ROWS
