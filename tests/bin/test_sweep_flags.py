"""What bin/sweep makes of its flags and of a file with a `get_sweep()`; nothing is trained."""

from __future__ import annotations

import dataclasses

import pytest
from source_imports import ROOT

from smooth_recs.bin import _flags
from smooth_recs.config import Config
from smooth_recs.errors import InputError
from smooth_recs.experiments.variants import grid_of

SWEEPS = sorted((ROOT / "configs" / "sweeps").glob("*.py"))


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_the_ready_sweeps_can_be_trained(path):
    config = _flags.load_sweep(str(path))
    if config.data.source != "synthetic":  # their files are named by --config.data.path
        config = dataclasses.replace(config, data=dataclasses.replace(config.data, path="log"))
    found = _flags.read_sweep(config, "", [], None)
    cells = grid_of(found).cells()
    assert len(cells) == 3 * len(found.variants)
    assert len({cell.key for cell in cells}) == len({cell.label for cell in cells}) == len(cells)
    assert found.config == config


def test_figure_4_has_lines_from_narrow_to_wide():
    config = _flags.load_sweep(str(ROOT / "configs" / "sweeps" / "figure4.py"))
    lines = {}
    for variant in _flags.read_sweep(config, "", [], None).variants:
        lines.setdefault(variant.line, []).append(variant.width)
    assert lines.pop("") == [None]  # ReLU
    assert len(lines) == 5
    for line, widths in lines.items():
        assert len(widths) >= 4
        assert widths == sorted(widths, reverse=line in ("Swish", "GELU", "Softplus")), line


@pytest.fixture(autouse=True)
def no_sweep_of_a_file_read_before(monkeypatch):
    monkeypatch.setattr(_flags, "_of_file", [])


def test_flags_make_a_sweep_of_a_configuration():
    found = _flags.read_sweep(Config(), "relu,smelu:0.1:0.2", ["model.hidden_units=(8,4),(16,)", "train.epochs=2"], 5)
    assert (found.baseline, found.pairs, len(found.variants)) == ("relu/hidden_units=8-4/epochs=2", 5, 6)
    assert found.variants[3].fields == {
        "model.activation": "smelu",
        "model.beta": 0.1,
        "model.hidden_units": (16,),
        "train.epochs": 2,
    }


@pytest.mark.parametrize(
    ("activations", "grid", "words"),
    [
        ("", [], "--activations or --grid must be given where the file of --config has no get_sweep()"),
        ("rleu", [], "an activation must be a name, name:beta or a dictionary, got 'rleu': "),
        ("", ["model.bta=1,2"], "--config.model.bta: no such field; did you mean beta?"),
        ("", ["model.norm_value"], "--grid must be FIELD=VALUE,VALUE,..., got 'model.norm_value'"),
        ("", ["model.norm_value="], "--grid must be FIELD=VALUE,VALUE,..., got 'model.norm_value='"),
        ("", ["model.norm_value=1,wide"], "--grid: every value of model.norm_value must be a number, got '1,wide'"),
        ("", ["model.norm_value=1,-1"], "model.norm_value must be above 0, got -1.0"),
        ("", ["model.clip=1", "model.clip=2"], "--grid must be given once a field, got model.clip=1, model.clip=2"),
    ],
)
def test_wrong_flags_are_one_line(activations, grid, words):
    with pytest.raises(InputError) as raised:
        _flags.read_sweep(Config(), activations, grid, None)
    assert str(raised.value).startswith(words)


def test_a_file_with_a_sweep_takes_overrides_and_no_variants(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "from smooth_recs import config\nfrom smooth_recs.experiments import sweeps\n"
        "def get_sweep():\n    return sweeps.Sweep(config.Config(), sweeps.activation('relu'), 'relu', 7)\n"
    )
    config = _flags.load_sweep(str(path))
    config.seed = 9  # as --config.seed=9 does
    assert list(_flags.read_sweep(config, "", [], None).seeds) == list(range(9, 16))
    assert list(_flags.read_sweep(config, "", [], 2).seeds) == [9, 10]
    with pytest.raises(InputError, match="must not be given where get_sweep"):
        _flags.read_sweep(config, "relu", [], None)
    path.write_text("def get_sweep():\n    return 3\n")
    said = r"get_sweep\(\) must return a smooth_recs.experiments.sweeps.sweep_plan.Sweep, got int"
    with pytest.raises(InputError, match=said):
        _flags.load_sweep(str(path))
