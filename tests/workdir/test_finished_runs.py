"""Finished runs read back: their labels, and workdirs that hold none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from report_pages import page_of, workdir

from smooth_recs.errors import InputError
from smooth_recs.reports import run_report


def test_runs_with_one_name_are_told_apart_by_what_differs(tmp_path: Path) -> None:
    runs = [workdir(tmp_path / name) for name in ("a", "b")]
    assert f"SmeLU 0.1 ({runs[0]})" in page_of(tmp_path, *runs).prose
    settings = json.loads((tmp_path / "b" / "config.json").read_text())
    settings["seed"] = 7
    (tmp_path / "b" / "config.json").write_text(json.dumps(settings))
    assert page_of(tmp_path, *runs).prose.startswith("SmeLU 0.1 (seed 7) against SmeLU 0.1 (seed 1)")


def test_workdirs_that_hold_no_finished_run_are_named(tmp_path: Path) -> None:
    output = str(tmp_path / "report.html")
    with pytest.raises(InputError, match="must name at least one workdir, got none"):
        run_report.write([], output)
    with pytest.raises(InputError, match=r"workdir .*nowhere must hold a finished run, got no config\.json there"):
        run_report.write([str(tmp_path / "nowhere")], output)
    run = Path(workdir(tmp_path / "run"))
    for content, rule in (
        ("{", r"metrics\.json cannot be read \(it is not JSON, or not all of it: Expecting"),
        ("[]", r"metrics\.json must hold a JSON object, got a list"),
        ("{}", r"metrics\.json must hold the measures of each replica, got none"),
    ):
        (run / "metrics.json").write_text(content)
        with pytest.raises(InputError, match=rule):
            run_report.write([str(run)], output)
    assert not Path(output).exists()
