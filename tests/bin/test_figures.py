"""bin/figures, from real processes: its flags, its messages, and the files that it leaves."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from source_imports import ROOT

COMMAND = [sys.executable, "-m", "smooth_recs.bin.figures"]


def figures(*arguments):
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=280, cwd=ROOT)
    assert "Traceback" not in done.stderr
    return done


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--workdir must be given: folder that receives the figures"),
        (["--workdir=w", "--points=many"], "flag --points=many: "),
        (["--workdir=w", "--betas=0.1,wide"], "flag --betas=0.1,wide: must be numbers with commas"),
        (["--workdir=w", "--p1=0.5,2"], "--p1 must be one or more that differ, between 0 and 1, got 0.5,2.0"),
        (["--workdir=setup.py"], "--workdir: the folder "),
        (["--workdir=w", "--config=configs/demo.py"], "--config must be given with --export_a and --export_b only"),
        (["--workdir=w", "more"], "arguments must be flags (--name=value), got 'more'"),
    ],
)
def test_wrong_flags_are_one_line(arguments, words):
    done = figures(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {words}")
    assert done.stderr.count("\n") == 1
    assert not (ROOT / "w").exists()


def test_help_names_every_flag():
    done = figures("--help")
    assert (done.returncode, done.stderr) == (0, "")
    for name in ("workdir", "only", "curves_seed", "norm_value", "input_range", "points", "p1", "networks", "betas"):
        assert f"\n  --{name} " in done.stdout


@pytest.mark.slow
def test_it_leaves_what_it_says(tmp_path):
    small = ["--only=minima,activations", "--networks=2", "--points=101", "--norm_values=1", "--betas=0.5", "--p1=0.5"]
    done = figures(f"--workdir={tmp_path / 'new'}", *small)
    assert (done.returncode, done.stderr) == (0, "")
    first, second, page = [line.split() for line in done.stdout.splitlines()]
    assert (first[0], second[0], page[0]) == ("activations", "minima", "page")  # in the order of the page
    left = {str(tmp_path / "new" / name) for name in os.listdir(tmp_path / "new")}
    assert left == {*first[1:], *second[1:], *page[1:]}
    assert {os.path.basename(path) for path in left} == {
        *(f"activations.{suffix}" for suffix in ("png", "svg", "csv")),
        *(f"minima.{suffix}" for suffix in ("png", "svg", "csv")),
        *("minima_networks.csv", "figures.html"),
    }
    again = figures(f"--workdir={tmp_path / 'new'}", "--only=surface")
    assert (again.returncode, again.stdout) == (2, "")
    assert again.stderr == "error: --only must be of activations, curves, surfaces, minima, got 'surface'\n"
