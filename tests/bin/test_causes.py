"""bin/causes, from real processes: it is killed while a pair trains, goes on, and ends with a table."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from source_imports import ROOT

COMMAND = [sys.executable, "-m", "smooth_recs.bin.causes"]
SMALL = [
    "--config=configs/demo_falling.py",
    "--activations=relu,smelu",
    "--pairs=1",
    "--config.data.examples=4000",
    "--config.data.eval_examples=500",
    "--config.model.hidden_units=8",
    "--config.evaluation.estimate=false",
    "--config.evaluation.slices=label",
    "--config.train.checkpoint_seconds=0",
    "--config.train.steps_per_execution=1",
]


def causes(*arguments):
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=600, cwd=ROOT)
    assert "Traceback" not in done.stderr
    return done


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--config=configs/demo.py"], "--workdir must be given: "),
        (["--config=configs/demo.py", "--workdir=w", "--pairs=0"], "flag --pairs=0: "),
        (
            ["--config=configs/demo.py", "--workdir=w", "--activations=rleu"],
            "an activation must be a name, name:beta or",
        ),
        (["--config=configs/demo.py", "--workdir=w", "--activations="], "activations must be one or more that differ"),
        (["--config=configs/demo.py", "--workdir=w", "--config.siblings.replicas=1"], "siblings.replicas must be at"),
        (["--config=configs/demo.py", "--workdir=setup.py"], "workdir setup.py cannot be used: "),
    ],
)
def test_wrong_flags_are_one_line(arguments, words):
    done = causes(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {words}")
    assert done.stderr.count("\n") == 1


def keys_of(workdir):
    """The keys of all cells, in the order in which they are trained."""
    listed = causes(*SMALL, f"--workdir={workdir}", "--dry_run").stdout.splitlines()
    assert listed[-1].endswith(" of 12 cells to do: no finished cell tells how long")
    return [line.split()[0] for line in listed[:-1]]


def started_at(workdir, key):
    return (workdir / "cells" / f"{key}.json").stat().st_mtime_ns


def kill_when(process, condition):
    """Kills the command and what it trains, at once."""
    end = time.monotonic() + 300
    while not condition():
        assert process.poll() is None, "the command ended before it was killed"
        assert time.monotonic() < end
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def borrow(workdir, source, key):
    """Makes a cell finished with the results of another, which takes no time."""
    (workdir / "cells" / key).mkdir(exist_ok=True)
    for name in ("manifest.json", "metrics.json"):
        shutil.copy(workdir / "cells" / source / name, workdir / "cells" / key / name)


@pytest.mark.slow
@pytest.mark.timeout(900)  # four commands and three trainings
def test_killed_and_started_again_it_repeats_nothing(tmp_path):
    workdir = tmp_path / "causes"
    keys = keys_of(workdir)
    assert len(keys) == 12
    assert not workdir.exists()
    command = [*COMMAND, *SMALL, f"--workdir={workdir}"]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    first, second = (workdir / "cells" / key for key in keys[:2])
    kill_when(process, lambda: list((second / "checkpoints").glob("ckpt-*.index")))
    assert (first / "metrics.json").exists()
    assert not (second / "metrics.json").exists()
    result, began = (first / "metrics.json").read_bytes(), started_at(workdir, keys[0])
    for key in keys[2:]:
        borrow(workdir, keys[0], key)
    done = causes(*SMALL, f"--workdir={workdir}")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("12 of 12  SmeLU 0.15, everything (windows of 4,000 rows), seed 1, PD ")
    assert (first / "metrics.json").read_bytes() == result
    assert started_at(workdir, keys[0]) == began
    assert len((workdir / "cells" / f"{keys[1]}.log").read_text().split("report ")) == 2  # trained to the end once
    table = json.loads((workdir / "causes.json").read_text())
    measured = [json.loads((path / "metrics.json").read_text())["pd"]["relative"] for path in (first, second)]
    assert [pair["pd"]["value"] for pair in table["causes"][0]["pairs"]] == measured
    assert "| Everything (windows of 4,000 rows) |" in done.stdout
    assert {"causes.json", "causes.md", "causes.html", "causes.png", "cells", "cache"} == set(os.listdir(workdir))
    again = causes(*SMALL, f"--workdir={workdir}")
    assert again.stdout == done.stdout.split("\n", 1)[1]
