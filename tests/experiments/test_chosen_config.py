"""A configuration as Python: read back, it is the same, and it looks like one that a person wrote."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest
from source_imports import ROOT

from smooth_recs.bin import _flags
from smooth_recs.config import Config, Data, Distillation, Model, SyntheticLog, Train
from smooth_recs.experiments.sweeps import workflow
from smooth_recs.schema import Categorical, Numeric, Schema

LAYER = {
    "class_name": "GSmeLU",
    "config": {"alpha": 0.3, "beta": 0.15, "t": -0.1, "learn": ["alpha", "beta"], "per": "unit"},
}
SCHEMA = Schema((Numeric("price", missing="mean"), Categorical("user", size=1000)), label="click", query_id="request")
CONFIGS = {
    "defaults": Config(),
    "demo": _flags.load(str(ROOT / "configs/demo.py")),
    "layer": Config(model=Model(activation=LAYER, hidden_units=(8,))),
    "schema": Config(data=Data(source="csv", path='C:\\logs\\it\'s "here"', schema=SCHEMA)),
    "nested": Config(
        seed=7, data=Data(synthetic=SyntheticLog(users=10)), distillation=Distillation(teachers=("runs/a",))
    ),
    "long": Config(model=Model(beta=tuple(0.1 + k / 1000 for k in range(30)), hidden_units=(16,) * 30)),
    "integer in a float's place": Config(train=Train(clip_norm=0)),
}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_read_back_it_is_the_same(config, tmp_path):
    path = tmp_path / "chosen.py"
    workflow.write(config, "What it is.", str(path))
    assert _flags.load(str(path)) == config
    ruff = [sys.executable, "-m", "ruff"]
    for command in (["check", "--select=E,F,I,W"], ["format", "--check"]):
        done = subprocess.run(
            [*ruff, *command, "--quiet", "--no-cache", "--line-length=120", path], capture_output=True
        )
        assert (done.returncode, done.stdout) == (0, b"")


def test_it_states_only_what_differs():
    config = dataclasses.replace(CONFIGS["demo"], seed=3)
    lines = workflow.source(config, "Demo.").splitlines()
    assert lines[:2] == ['"""Demo."""', ""]
    assert lines[2] == "from smooth_recs import config"
    assert "    return config.Config(" in lines
    assert "        seed=3," in lines
    assert "        model=config.Model(beta=0.15, norm_value=1.4)," in lines
    assert not any("batch_size" in line or "schema" in line for line in lines)


def test_no_docstring_breaks_it(tmp_path):
    text = 'It says """ and \\n,\n\nand ends with a quote"'
    path = tmp_path / "chosen.py"
    workflow.write(Config(), text, str(path))
    assert _flags.load(str(path)) == Config()
    namespace: dict[str, object] = {}
    exec(Path(path).read_text(), namespace)
    assert namespace["__doc__"] == text
