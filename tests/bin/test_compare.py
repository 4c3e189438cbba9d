"""bin/compare from real processes: exports of a training run, statuses, one line for what is wrong."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest
import shared_runs
from source_imports import ROOT

COMMAND = [sys.executable, "-m", "smooth_recs.bin.compare"]


def process(*command):
    return subprocess.run(command, capture_output=True, text=True, timeout=250, cwd=ROOT)


def compare(*arguments):
    return process(*COMMAND, *arguments)


def refused(*arguments) -> str:
    """The one line that says what is wrong."""
    done = compare(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    return done.stderr.removeprefix("error: ").removesuffix("\n")


def test_help_names_every_flag_and_loads_no_tensorflow():
    done = process(sys.executable, "-X", "importtime", *COMMAND[1:], "--help")
    assert done.returncode == 0
    assert done.stdout.startswith("Compares two models over the same rows")
    for name in (
        *("a", "b", "output", "config", "key", "prediction", "label", "weight", "query_id", "multiplier", "k"),
        *("threshold", "slices", "max_pd", "max_auc_loss_increase", "max_swap_rate", "shard", "merge"),
    ):
        assert f"\n  --{name}" in done.stdout
    assert "3 a gate was not met" in done.stdout
    loaded = set(re.findall(r"\| +([\w.]+)$", done.stderr, re.MULTILINE))
    assert not loaded & {"tensorflow", "keras", "tf_keras", "pyarrow", "matplotlib"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "--a must be given: the baseline"),
        (("--a=x",), "--b must be given: the new model"),
        (("--a=x", "--b=y"), "--output must be given: the JSON file to write"),
        (("--a=x", "--b=y", "--output=o.json", "--max_pd=much"), "flag --max_pd=much: "),
        (("--a=x", "--b=y", "--output=o.json", "--config.seed=1"), "--config must be given: "),
        (("--a=x", "--b=y", "--output=o.json", "--config=nowhere.py"), "flag --config=nowhere.py: no such file"),
    ],
)
def test_a_wrong_flag_is_one_line(arguments, words):
    assert refused(*arguments).startswith(words)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--b=b.csv", "--shard=3"), "--shard must be i/n with i from 1 to n, such as 1/3, got '3'"),
        (("--b=b.csv", "--max_swap_rate=0.1"), "--max_swap_rate=0.1 cannot be measured: the rows have no query ids"),
        (
            ("--b=b.csv", "--key=id", "--key=prediction"),
            "--b: the column 'id' of --key is not in b.csv, which has prediction",
        ),
        (("--b=logits.csv",), "--b: predictions must be in [0, 1], got -2 in row 0; are these logits?"),
        (("--b=nowhere.csv",), "--b: no such file or folder: nowhere.csv"),
    ],
)
def test_wrong_input_is_one_line(tmp_path, monkeypatch, arguments, words):
    (tmp_path / "a.csv").write_text("id,prediction\n1,0.5\n")
    (tmp_path / "b.csv").write_text("prediction\n0.25\n")
    (tmp_path / "logits.csv").write_text("prediction\n-2\n")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    command = [*COMMAND, "--a=a.csv", "--output=out.json", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"error: {words}\n")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The workdir of a finished run of the demo, with few rows."""
    return shared_runs.trained(tmp_path_factory, shared_runs.small_demo())


@pytest.mark.slow
def test_the_exports_of_a_run_differ_by_what_training_reported(trained, tmp_path):
    reported = json.loads((trained / "metrics.json").read_text())
    flags = [f"--{side}={trained}/export/replica_{replica}" for side, replica in (("a", 0), ("b", 1))]
    flags += [f"--config={trained}/config.json", "--slices=user,label"]

    whole = compare(*flags, f"--output={tmp_path}/whole.json")
    assert (whole.returncode, whole.stderr) == (0, "")
    comparison = json.loads((tmp_path / "whole.json").read_text())
    assert comparison["pd"]["relative"] == pytest.approx(reported["pd"]["relative"], abs=1e-6)
    assert comparison["rows"] == 8000
    for replica in (0, 1):
        for name in ("log_loss", "auc_loss", "per_query_auc_loss"):
            assert comparison["replicas"][replica][name] == pytest.approx(reported["replicas"][replica][name], abs=1e-5)

    for number in (1, 2):
        done = compare(*flags, f"--output={tmp_path}/parts.json", f"--shard={number}/2")
        assert (done.returncode, done.stderr) == (0, "")
    gate = f"--max_pd={reported['pd']['relative'] - 0.001}"
    merged = compare(*flags, f"--output={tmp_path}/parts.json", "--merge", gate)
    said = [line for line in merged.stdout.splitlines() if not line.startswith("gate ")]
    assert said == whole.stdout.replace("whole.", "parts.").splitlines()
    parts = json.loads((tmp_path / "parts.json").read_text())
    del parts["command"], comparison["command"], parts["gates"], comparison["gates"]
    assert parts == comparison

    assert merged.returncode == 3
    assert re.fullmatch(r"error: gate not met: --max_pd=0\.\d+: pd is 0\.\d+, 0\.001 above\n", merged.stderr)
    assert (tmp_path / "parts.html").stat().st_size > 10_000
