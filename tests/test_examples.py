"""The examples do what they show."""

from __future__ import annotations

import json
import re
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest
from source_imports import ROOT

from smooth_recs import config, prediction_difference
from smooth_recs.data.presets import open_source
from smooth_recs.serving import raw_batches
from smooth_recs.serving.loader import LoadedModel


def run(name: str, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`python examples/NAME.py`, with its runs in another folder."""
    monkeypatch.setattr(sys, "argv", [f"{name}.py"])
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    main = runpy.run_path(str(ROOT / "examples" / f"{name}.py"))["main"]
    monkeypatch.setitem(main.__globals__, "RUNS", runs)
    main()


def probabilities(export: Path, rows: raw_batches.Batch) -> Any:
    with LoadedModel(str(export)) as model:
        return model.run("serving_default", rows)["probability"]


@pytest.mark.slow
@pytest.mark.timeout(900)  # seconds, of a machine with much else to do: it needs about 80 of a processor
def test_a_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    run("release", tmp_path, monkeypatch)
    said = capfd.readouterr()
    assert re.findall(r"^\$ python -m smooth_recs\.bin\.(\w+)", said.out, re.MULTILINE) == [
        *("train", "export", "train", "compare", "export", "export")
    ]
    errors = [line for line in said.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert re.search(r"--live \S+/ranker/1: gate not met: max_pd_live=0\.01: pd is 0\.\d+, 0\.\d+ above$", errors[0])

    ranker = tmp_path / "models" / "ranker"
    assert sorted(path.name for path in ranker.iterdir()) == ["1", "2"]
    comparison = json.loads((tmp_path / "comparison.json").read_text())
    settings = config.Config.from_dict(json.loads((tmp_path / "second" / "config.json").read_text()))
    source = open_source(settings.data, str(tmp_path / "cache"))
    rows = raw_batches.held_out(source, source.eval_rows)
    live, new = (probabilities(ranker / version, rows) for version in "12")
    assert prediction_difference.relative(live, new) == pytest.approx(comparison["pd"]["relative"], rel=1e-5)
    assert 0.01 < comparison["pd"]["relative"] <= 0.3
    assert (tmp_path / "comparison.html").is_file()
