"""The memory that runs with large tables take, from real processes, beside what is counted before they begin."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from source_imports import ROOT

from smooth_recs import config
from smooth_recs.data.encoding import Encoder
from smooth_recs.schema import Categorical, Schema
from smooth_recs.training import capacity

SMALL, LARGE = 1_000, 2_000_000  # rows of the table


def settings(rows: int, log: Path, **train: object) -> config.Config:
    return config.Config(
        data=config.Data(source="csv", path=str(log), schema=Schema((Categorical("user", "hash", rows - 2, "int64"),))),
        model=config.Model(hidden_units=(4,)),
        siblings=config.Siblings(replicas=1),
        train=config.Train(evaluations=0, **train),  # type: ignore[arg-type]
        evaluation=config.Evaluation(slices=(), estimate=False),
    )


def peak(run: config.Config, workdir: Path) -> int:
    """The most memory that the run has of its own, in bytes, without pages of files."""
    path = workdir.with_suffix(".json")
    path.write_text(json.dumps(run.to_dict()))
    command = [sys.executable, "-m", "smooth_recs.bin.train", f"--config={path}", f"--workdir={workdir}"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    most = 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment) as process:
        while process.poll() is None:
            try:
                status = Path(f"/proc/{process.pid}/status").read_text()
            except OSError:  # it has just ended
                continue
            found = re.search(r"RssAnon:\s+(\d+) kB", status)
            most = max(most, int(found[1]) * 1024 if found else 0)
            time.sleep(0.002)
    assert process.returncode == 0
    return most


@pytest.mark.slow
@pytest.mark.parametrize("train", [{}, {"embedding_optimizer": "adam"}], ids=["adagrad", "adam"])
def test_a_run_takes_what_is_counted_and_a_table_more_to_resume(tmp_path, train):
    """Checkpoints and exports take nothing beside it, and what is read takes no memory beside the values before it.

    One table more is what TensorFlow (2.21) takes to read a variable.
    """
    log = tmp_path / "log.csv"
    log.write_text("user,label\n" + "".join(f"{n * 7919 % LARGE},{n % 2}\n" for n in range(2_000)))
    runs = {rows: settings(rows, log, **train) for rows in (SMALL, LARGE)}
    counted = {rows: capacity.capacity(run, Encoder(run.data.schema)).device_bytes for rows, run in runs.items()}
    needed = counted[LARGE] - counted[SMALL]
    assert needed == (LARGE - SMALL) * 16 * 4 * (3 if train else 2)
    first = {rows: peak(run, tmp_path / f"run_{rows}") for rows, run in runs.items()}
    assert 0.9 * needed < first[LARGE] - first[SMALL] < 1.25 * needed
    for rows in runs:
        (tmp_path / f"run_{rows}" / "metrics.json").unlink()
    again = {rows: peak(run, tmp_path / f"run_{rows}") for rows, run in runs.items()}
    assert 0.9 * needed < again[LARGE] - again[SMALL] < needed + 1.3 * LARGE * 16 * 4
