"""bin/init, from real processes: the file that it writes trains as it is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import log_cases
import numpy as np
import pytest
from source_imports import ROOT

from smooth_recs import training
from smooth_recs.bin import _configurations

LOGS = os.environ.get("SMOOTH_RECS_DATA", "")


def init(folder: Path, *flags: str, answers: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "smooth_recs", "init", *flags]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, input=answers, env=environment)


@pytest.mark.slow
@pytest.mark.timeout(900)  # seconds, of a machine with much else to do
def test_the_file_trains_as_it_is_written(tmp_path, monkeypatch):
    random = np.random.default_rng(1)
    rows = [
        {
            "request_id": f"r{row // 4}",
            "time": 1_700_000_000 + row,
            "user_id": int(random.integers(60)),
            "price": float(np.round(random.lognormal(), 2)),
            "tags": ["new", "sale"][: row % 3],
            "clicked": int(random.random() < 0.1 + 0.5 * (row % 4 == 0)),
            "bought": int(random.random() < 0.1),
            "position": row % 4,
        }
        for row in range(1_000)
    ]
    (tmp_path / "logs").mkdir()
    log_cases.write(tmp_path / "logs", "parquet", rows)
    done = init(tmp_path, "--data=logs/*.parquet", "--output=my/log.py", "--label=clicked")
    assert (done.returncode, done.stderr) == (0, "")
    assert (
        "\nbought                integer    0.0%         2  0 to 1                  left out: suspect, outcome\n"
        in (done.stdout)
    )
    assert done.stdout.endswith("\n$ smooth-recs train --config=my/log.py --workdir=runs/first\n")
    monkeypatch.chdir(tmp_path)
    config = _configurations.load("my/log.py")
    config.evaluation.estimate = False
    metrics = training.train_and_evaluate(config, "runs/first")
    assert metrics["replicas"][0]["auc_loss"] < 0.35  # by position alone it would be 0.23
    assert 0 < metrics["pd"]["relative"] < 1
    assert (tmp_path / "runs/first/report.html").is_file()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--output=log.json"], "--output must be a Python file (.py), got 'log.json'"),
        (["--output=there.py"], "--output: there.py exists; name another file, or remove it"),
        (["--output=log.py"], "--label must name one of click, label, which all hold 0 and 1"),
    ],
)
def test_what_is_wrong_is_one_line_and_status_2_and_nothing_is_written(tmp_path, flags, said):
    (tmp_path / "there.py").touch()
    (tmp_path / "log.csv").write_text("x,click,label\n3,0,1\n4,1,0\n")
    done = init(tmp_path, "--data=log.csv", *flags)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"error: {said}\n")
    assert {path.name for path in tmp_path.iterdir()} == {"there.py", "log.csv"}


@pytest.mark.slow
def test_on_a_terminal_it_asks(tmp_path):
    (tmp_path / "log.csv").write_text("x,click,label\n3,0,1\n4,1,0\n5,1,1\n")
    done = init(tmp_path, "--data=log.csv", "--output=log.py", "--ask", answers="\n\n\n\n")
    assert (done.returncode, done.stderr) == (0, "")
    assert "[click, or label]: " in done.stdout
    assert _configurations.load(str(tmp_path / "log.py")).data.schema.label == "click"


@pytest.mark.slow
@pytest.mark.skipif(not LOGS, reason="SMOOTH_RECS_DATA names no folder of real logs")
@pytest.mark.parametrize(
    ("log", "label", "query", "time", "left_out"),
    [
        ("trivago/impressions.csv.gz", "label", "request_id", "timestamp", {"user_id", "session_id"}),
        (
            "kuairand/log.csv.gz",
            "is_click",
            "session_id",
            "time_ms",
            {"date", "is_rand", "is_lowactive_period", "play_time_ms", "long_view"}
            | {f"is_{outcome}" for outcome in ("like", "follow", "comment", "forward", "hate")},
        ),
    ],
)
def test_real_logs_get_the_roles_that_their_presets_have(tmp_path, log, label, query, time, left_out):
    from smooth_recs.log_profile.column_roles import Given, roles_of
    from smooth_recs.log_profile.layout import layout_of
    from smooth_recs.log_profile.profile import profile_of

    roles = roles_of(profile_of(layout_of(os.path.join(LOGS, log))), Given())
    assert (roles.label, roles.query, roles.time, roles.weight) == (label, query, time, "")
    assert {each.column for each in roles.features if not each.used} == left_out
