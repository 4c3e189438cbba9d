"""bin/sweep, from real processes: killed while a pair trains and started again, it ends as one that was left alone."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from source_imports import ROOT

COMMAND = [sys.executable, "-m", "smooth_recs.bin.sweep"]
# The student needs its teacher, which stands after it; the numbers are the same in every run.
SWEEP = f"""
from pathlib import Path
from smooth_recs.experiments import sweeps

def get_sweep():
    config = sweeps.config_of(Path({str(ROOT)!r}, "configs", "demo_falling.py"))
    student = sweeps.Variant("student", "Student", {{"train.warm_start": "@teacher"}})
    teacher = sweeps.Variant("teacher", "Teacher", {{"model.activation": "relu", "siblings.differ": "both"}})
    return sweeps.Sweep(config, [student, teacher], baseline="teacher", pairs=1)
"""
SMALL = [
    "--config.data.examples=4000",
    "--config.data.eval_examples=500",
    "--config.model.hidden_units=8",
    "--config.evaluation.estimate=false",
    "--config.evaluation.slices=label",
    "--config.train.deterministic=true",
    "--config.train.threads=1",
    "--config.train.checkpoint_seconds=0",
    "--config.train.steps_per_execution=1",
]
TIMES = ("examples_per_second", "serving_ms_1", "serving_ms_1000")


def sweep(*arguments):
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=600, cwd=ROOT)
    assert "Traceback" not in done.stderr
    return done


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--config=configs/demo.py"], "--workdir must be given: "),
        (["--config=configs/sweeps/none.py", "--workdir=w"], "flag --config=configs/sweeps/none.py: no such file"),
        (
            ["--config=configs/demo.py", "--workdir=w"],
            "--activations or --grid must be given where the file of --config",
        ),
        (["--config=configs/demo.py", "--workdir=w", "--activations=,"], "--activations must be one or more, got ','"),
        (["--config=configs/sweeps/windows.py", "--workdir=setup.py"], "workdir setup.py cannot be used: "),
    ],
)
def test_wrong_flags_are_one_line(arguments, words):
    done = sweep(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {words}")
    assert done.stderr.count("\n") == 1


def kill_when(process, condition):
    """Kills the command and what it trains, at once."""
    end = time.monotonic() + 300
    while not condition():
        assert process.poll() is None, "the command ended before it was killed"
        assert time.monotonic() < end
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def without_times(workdir):
    """`results.json`, but for what a clock measured, and the command, which names the workdir."""
    results = json.loads((workdir / "results.json").read_text())
    for variant in results["variants"]:
        for part in ("measures", "changes"):
            for name in TIMES:
                assert variant[part].pop(name)["value"] is not None
    del results["command"]
    return results


@pytest.mark.slow
@pytest.mark.timeout(900)  # four commands and four trainings
def test_killed_at_any_time_it_ends_as_one_that_was_left_alone(tmp_path):
    (tmp_path / "mine.py").write_text(SWEEP)
    flags = [f"--config={tmp_path / 'mine.py'}", *SMALL, "--allow_collapsed"]
    alone, killed = tmp_path / "alone", tmp_path / "killed"
    done = sweep(*flags, f"--workdir={alone}")
    assert (done.returncode, done.stderr) == (0, "")
    ends = [line.split(",")[0] for line in done.stdout.splitlines()[:2]]
    assert ends == ["1 of 2  Teacher", "2 of 2  Student"]
    with open(alone / "results.csv", encoding="utf-8", newline="") as file:
        student, teacher = (Path(row["workdir"]).name for row in csv.DictReader(file))

    def kill(condition):
        command = [*COMMAND, *flags, f"--workdir={killed}"]
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        kill_when(process, condition)

    kill(lambda: list((killed / "cells" / student / "checkpoints").glob("ckpt-*.index")))
    assert not (killed / "cells" / student / "metrics.json").exists()
    kill(lambda: (killed / "results.lock").exists())  # while exports are timed
    assert not (killed / "results.json").exists()
    trained = [(killed / "cells" / key / "metrics.json").read_bytes() for key in (teacher, student)]
    done = sweep(*flags, f"--workdir={killed}")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("serving  2 exports of seed 1 take turns\n|")
    assert [(killed / "cells" / key / "metrics.json").read_bytes() for key in (teacher, student)] == trained
    assert without_times(killed) == without_times(alone)
    begun = json.loads((killed / "cells" / student / "config.json").read_text())["train"]["warm_start"]
    assert begun == os.path.realpath(killed / "cells" / teacher)
    left = {"cells", "results.json", "results.csv", "serving.json", "tensorboard", "report.html"}
    assert left <= set(os.listdir(killed))
