"""The program that times the input pipeline runs, and its figures are those of its stages."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from benchmark_programs import program

from smooth_recs import config
from smooth_recs.data import presets, survey

pytestmark = pytest.mark.slow

STAGES = ["parse and check", "number and select", "encode", "shuffle and batch"]


def test_every_stage_is_timed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    output = tmp_path / "found.json"
    sizes = f"--rows=300 --window=100 --batch_size=32 --turns=1 --formats csv parquet --output={output}"
    monkeypatch.setattr(sys, "argv", ["input_pipeline", *sizes.split()])
    program("input_pipeline").main()
    found = json.loads(output.read_text())
    assert found["settings"]["rows"] == 300
    first = {"csv": ["read", "yardstick"], "parquet": []}
    assert {name: list(stages) for name, stages in found["formats"].items()} == {
        name: own + STAGES for name, own in first.items()
    }
    lines = capsys.readouterr().out.splitlines()
    for name, stages in found["formats"].items():
        whole = stages["shuffle and batch"]
        least, greatest = whole["processor_spread"]
        assert least <= whole["processor"] <= greatest
        (said,) = [line for line in lines if line.startswith(f"{name}: ")]
        assert said.startswith(f"{name}: {1e6 / whole['processor']:,.0f} rows a second of processor time in all")


def test_the_formats_hold_the_same_rows(tmp_path: Path) -> None:
    benchmark = program("input_pipeline")
    rows = {}
    for name, file in benchmark.written(str(tmp_path), 50, list(benchmark.WRITERS)).items():
        source = "criteo" if name.startswith("csv") else name
        reader = presets.origin(config.Data(source=source, path=file, schema=benchmark.SCHEMA)).training
        assert (survey.survey(reader, 0.0).good, survey.survey(reader, 0.0).malformed) == (50, 0)
        (chunk,) = reader.read().as_numpy_iterator()
        rows[name] = {key: repr(values.tolist()) for key, values in {**chunk["raw"], "label": chunk["label"]}.items()}
    for name in rows:
        assert rows[name] == rows["csv"], name
    assert "nan" in rows["csv"]["I1"]
    assert "b''" in rows["csv"]["C22"]
