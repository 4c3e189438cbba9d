"""The program that times the input pipeline reads the same rows in every format."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmark_programs import program

from smooth_recs import config
from smooth_recs.data import presets, survey

pytestmark = pytest.mark.slow

STAGES = ["parse and check", "number and select", "encode", "shuffle and batch"]


def test_the_formats_hold_the_same_rows(tmp_path: Path) -> None:
    benchmark = program("input_pipeline")
    rows = {}
    for name, file in benchmark.written(str(tmp_path), 50, list(benchmark.WRITERS)).items():
        source = "criteo" if name.startswith("csv") else name
        reader = presets.origin(config.Data(source=source, path=file, schema=benchmark.SCHEMA)).training
        found = survey.survey(reader, 0.0)
        assert (found.good, found.malformed) == (50, 0)
        (chunk,) = reader.read().as_numpy_iterator()
        rows[name] = {key: repr(values.tolist()) for key, values in {**chunk["raw"], "label": chunk["label"]}.items()}
    for name in rows:
        assert rows[name] == rows["csv"], name
    assert "nan" in rows["csv"]["I1"]
    assert "b''" in rows["csv"]["C22"]
