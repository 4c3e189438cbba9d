"""What a sweep says of its finished runs: numbers by hand, tables, TensorBoard; how exports are timed."""

from __future__ import annotations

import csv
import dataclasses
import json

import pytest
import tensorflow as tf
from source_imports import ROOT
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from smooth_recs.bin import sweep as sweep_lib
from smooth_recs.config import Config, Data, Model
from smooth_recs.errors import InputError
from smooth_recs.experiments import sweeps
from smooth_recs.experiments.cells import Folder
from smooth_recs.experiments.sweeps import Sweep, Variant, sweep_results, sweep_runs

MANIFEST = {"data": {"fingerprint": "abc", "rows": 1010}, "versions": {"smooth_recs": "1"}}
PDS = {"relu": (0.10, 0.12, 0.14), "smelu:0.1": (0.05, 0.06, 0.07), "smelu:0.2": (0.04, 0.06, 0.05)}


def sweep(pairs=3, **arguments):
    variants = [*sweeps.activation("relu"), *sweeps.activation("smelu", 0.1, 0.2)]
    config = Config(seed=4, data=Data(examples=1000, eval_examples=10), model=Model(hidden_units=(8,)))
    return Sweep(config, variants, "relu", pairs, **arguments)


def finish(folder, cell, pd, **more):
    workdir = folder / "cells" / cell.key
    workdir.mkdir(parents=True, exist_ok=True)
    replicas = [
        {"auc_loss": 0.25 + pd, "log_loss": 0.3, "per_query_auc_loss": None, "calibration": 1.0},
        {"auc_loss": 0.25 - pd, "log_loss": 0.34, "per_query_auc_loss": 0.4, "calibration": 1.2},
    ]
    metrics = {"pd": {"relative": pd, "after_matching_means": pd / 2}, "replicas": replicas, "exports": [], **more}
    (workdir / "metrics.json").write_text(json.dumps(metrics))
    (workdir / "manifest.json").write_text(json.dumps(MANIFEST))


@pytest.fixture
def results(tmp_path):
    """Of three variants and seeds, written into `tmp_path`."""
    return written(sweep(), tmp_path)


def written(of_sweep, path, left_out=(), **more):
    grid = sweep_runs.grid_of(of_sweep)
    for variant in of_sweep.variants:
        for seed, pd in zip(of_sweep.seeds, PDS[variant.name], strict=False):
            if (variant.name, seed) not in left_out:
                finish(path, grid.cell(variant, seed), pd, **more)
    return sweep_runs.write(of_sweep, grid, Folder(str(path)), str(path))


def of(results, name):
    return next(variant for variant in results["variants"] if variant["name"] == name)


def test_no_measure_can_fall_by_more_than_all(tmp_path, monkeypatch):
    monkeypatch.setitem(PDS, "smelu:0.1", (0.02, 0.09))  # -80% and -25%: Student's t reaches far beyond -100%
    found = of(written(sweep(2), tmp_path), "smelu:0.1")["changes"]["pd"]
    assert (found["percent"], found["percent_interval"][0]) == (pytest.approx(-0.525), -1.0)


def test_numbers_by_hand(results):
    assert (results["baseline"], results["seeds"]) == ("relu", [4, 5, 6])
    relu, smelu = of(results, "relu"), of(results, "smelu:0.1")
    pd = relu["measures"]["pd"]
    assert pd["of_seeds"] == [0.10, 0.12, 0.14]
    assert pd["value"] == pytest.approx(0.12)
    # Student's t at 97.5% with two degrees of freedom is 4.30265; the standard error is 0.02 / sqrt(3).
    half = 4.302653 * 0.02 / 3**0.5
    assert pd["interval"] == pytest.approx([0.12 - half, 0.12 + half], abs=1e-6)
    change = smelu["changes"]["pd"]
    assert change["value"] == pytest.approx(-0.06)
    assert change["interval"] == pytest.approx([-0.06 - half / 2, -0.06 + half / 2], abs=1e-6)
    assert change["percent"] == pytest.approx(-0.5)  # a share, and the same in every pair
    assert change["percent_interval"] == pytest.approx([-0.5, -0.5])
    assert relu["changes"]["pd"] == {
        "value": 0.0,
        "percent": 0.0,
        "interval": [0.0, 0.0],
        "percent_interval": [0.0, 0.0],
    }
    # Paired by seed: shares 0.04 / 0.10, 0.06 / 0.12 and 0.05 / 0.14, not the ratio of the means.
    assert of(results, "smelu:0.2")["changes"]["pd"]["percent"] == pytest.approx((0.4 + 0.5 + 5 / 14) / 3 - 1)


def test_what_is_not_known_is_none(results):
    found = of(results, "relu")["measures"]
    assert found["auc_loss"]["value"] == pytest.approx(0.25)
    assert found["calibration"]["value"] == pytest.approx(1.1)
    unknown = {"value": None, "interval": None, "of_seeds": [None] * 3}
    for name in ("per_query_auc_loss", "swap_rate", "parameters", "lookups", "serving_ms_1", "serving_ms_1000"):
        assert found[name] == unknown, name


def test_costs_and_swap_rates_are_there_where_a_run_has_them(tmp_path):
    cost = {"parameters": 7, "multiply_adds": 5, "lookups": 3}
    found = written(sweep(), tmp_path, cost=cost, recommendations={"swap_rate": 0.25}, examples_per_second=1e5)
    values = {name: measure["value"] for name, measure in of(found, "smelu:0.1")["measures"].items()}
    expected = {**cost, "swap_rate": 0.25, "examples_per_second": 1e5}
    assert {name: values[name] for name in expected} == expected


def test_a_variant_is_described_for_the_figure(results):
    assert [(each["name"], each["label"], each["line"], each["width"]) for each in results["variants"]] == [
        ("relu", "ReLU", None, None),
        ("smelu:0.1", "SmeLU 0.1", "SmeLU", 0.1),
        ("smelu:0.2", "SmeLU 0.2", "SmeLU", 0.2),
    ]
    assert of(results, "smelu:0.1")["fields"] == {"model.activation": "smelu", "model.beta": 0.1}
    assert results["config"]["seed"] == 4
    assert (results["data"], results["versions"]) == (MANIFEST["data"], MANIFEST["versions"])


def test_one_pair_has_no_interval(tmp_path):
    found = of(written(sweep(pairs=1), tmp_path), "smelu:0.1")
    assert found["measures"]["pd"] == {"value": 0.05, "interval": None, "of_seeds": [0.05]}
    assert found["changes"]["pd"]["percent"] == pytest.approx(-0.5)
    assert found["changes"]["pd"]["percent_interval"] is None


def test_runs_that_are_not_finished_are_left_out(tmp_path):
    found = written(sweep(), tmp_path, left_out=[("relu", 4), ("smelu:0.1", 6), ("smelu:0.2", 5), ("smelu:0.2", 6)])
    assert of(found, "relu")["measures"]["pd"]["of_seeds"] == [None, 0.12, 0.14]
    assert of(found, "relu")["measures"]["pd"]["value"] == pytest.approx(0.13)
    assert of(found, "smelu:0.1")["changes"]["pd"]["value"] == pytest.approx(0.06 - 0.12)  # seed 5 alone is of both
    assert of(found, "smelu:0.2")["measures"]["pd"]["value"] == 0.04
    assert of(found, "smelu:0.2")["changes"]["pd"]["value"] is None


def test_the_file_holds_what_is_returned_and_the_csv_every_run(results, tmp_path):
    assert json.loads((tmp_path / "results.json").read_text()) == results
    with open(tmp_path / "results.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 9
    assert [float(row["pd"]) for row in rows[3:6]] == list(PDS["smelu:0.1"])
    assert [(row["variant"], row["seed"], row["model.beta"]) for row in rows[2:4]] == [
        ("relu", "6", ""),
        ("smelu:0.1", "4", "0.1"),
    ]
    assert all((tmp_path / row["workdir"] / "metrics.json").exists() for row in rows)


def test_tensorboard_gets_every_run_once(results, tmp_path):
    grid = sweep_runs.grid_of(sweep())
    sweep_runs.write(sweep(), grid, Folder(str(tmp_path)), str(tmp_path))  # again, over files of its own
    folder = tmp_path / "tensorboard"
    runs = [path for path in folder.iterdir() if path.is_dir()]
    assert len(runs) == 9
    events = EventAccumulator(str(folder / "smelu:0.1, seed 5"), size_guidance={"tensors": 0}).Reload()
    (point,) = events.Tensors("pd")
    assert float(tf.make_ndarray(point.tensor_proto)) == pytest.approx(0.06)
    start = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    hparams = HParamsPluginData.FromString(start).session_start_info.hparams
    assert (hparams["model.activation"].string_value, hparams["model.beta"].number_value) == ("smelu", 0.1)
    assert hparams["seed"].number_value == 5
    assert len(list(folder.glob("*/events*"))) == 9


class Slow(tf.Module):
    """A model whose answer takes `work` products of matrices."""

    def __init__(self, work):
        super().__init__()
        self.work = tf.constant(work)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def serve(self, x):
        matrix = tf.fill([200, 200], tf.reduce_mean(x))
        for _ in tf.range(self.work):
            matrix = matrix @ matrix * 1e-3
        return {"probability": tf.sigmoid(x + 0 * matrix[0, 0])}


def export(path, work):
    module = Slow(work)
    tf.saved_model.save(module, str(path), signatures={"serving_default": module.serve})
    return str(path)


def test_exports_take_turns_and_the_slower_one_takes_longer(tmp_path, monkeypatch):
    monkeypatch.setattr(sweep_results, "_ROUNDS", 8)
    exports = {name: export(tmp_path / name, work) for name, work in (("quick", 0), ("slow", 100))}
    x = tf.random.stateless_uniform([1000], (1, 2))
    found = sweep_results.measure(exports, {"quick": {"x": x, "unused": tf.zeros(1000)}, "slow": {"x": x}})
    assert set(found) == {"quick", "slow"}
    for times in (*found["quick"].values(), *found["slow"].values()):
        assert 0 < times["low"] <= times["median"] <= times["high"]
    for batch in ("1", "1000"):
        assert found["slow"][batch]["median"] > 2 * found["quick"][batch]["median"]


def test_exports_are_timed_once_a_seed_and_are_in_the_results(tmp_path, monkeypatch):
    two = sweep(pairs=2)
    timed = []

    def measure(exports, rows):
        timed.append((list(exports), rows))
        return {key: {"1": {"median": 0.5 * len(timed)}, "1000": {"median": 2.0}} for key in exports}

    monkeypatch.setattr(sweep_results, "measure", measure)
    monkeypatch.setattr(sweep_results, "some_rows", lambda data, cache: data.eval_examples)
    (tmp_path / "cells").mkdir()
    grid = sweep_runs.grid_of(two)
    for cell in grid.cells():
        (tmp_path / "cells" / cell.key / "export").mkdir(parents=True)
    found = written(two, tmp_path, exports=["export"])
    keys = [[grid.cell(variant, seed).key for variant in two.variants] for seed in two.seeds]
    assert timed == [(of_seed, dict.fromkeys(of_seed, 10)) for of_seed in keys]
    assert of(found, "smelu:0.1")["measures"]["serving_ms_1"]["of_seeds"] == [0.5, 1.0]
    assert of(found, "smelu:0.1")["measures"]["serving_ms_1000"]["value"] == 2.0
    assert sweep_runs.write(two, grid, Folder(str(tmp_path)), str(tmp_path)) == found
    assert len(timed) == 2


def test_an_outline_tells_costs_and_trains_nothing(tmp_path):
    said = sweep_runs.outline(sweep(pairs=1), str(tmp_path / "w")).splitlines()
    rows = 20_000 + 5_000 + 1_000 + 200 + 50 + 100 + 6 * 2  # each feature has two for what is missing or unknown
    inputs = 6 * 16 + 2 + 1  # embeddings, price with its indicator, hour
    assert said[1].split() == ["ReLU", f"{rows * 16 + (inputs + 1) * 8 + 9:,}", f"{inputs * 8 + 8:,}", "8"]
    assert said[-1] == "3 of 3 cells to do: no finished cell tells how long"
    assert not (tmp_path / "w").exists()


def test_what_cannot_be_narrowed_is_an_error_before_all_training(tmp_path):
    fields = {"ensemble.components": 20, "ensemble.equal_cost": "parameters"}
    variants = [*sweeps.activation("relu"), Variant("wide", "Wide", fields)]
    with pytest.raises(InputError, match=r"model.embedding_dim must be at least ensemble.components"):
        sweep_runs.run(Sweep(sweep().config, variants, "relu"), str(tmp_path))
    assert not (tmp_path / "cells").exists()


SWEEPS = sorted((ROOT / "configs" / "sweeps").glob("*.py"))


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_the_ready_sweeps_can_be_trained(path):
    config = sweep_lib.read(str(path))
    if config.data.source != "synthetic":  # their files are named by --config.data.path
        config = dataclasses.replace(config, data=dataclasses.replace(config.data, path="log"))
    found = sweep_lib.read_sweep(config, "", [], None)
    cells = sweep_runs.grid_of(found).cells()
    assert len(cells) == 3 * len(found.variants)
    assert len({cell.key for cell in cells}) == len({cell.label for cell in cells}) == len(cells)
    assert found.config == config


def test_figure_4_has_lines_from_narrow_to_wide():
    config = sweep_lib.read(str(ROOT / "configs" / "sweeps" / "figure4.py"))
    lines = {}
    for variant in sweep_lib.read_sweep(config, "", [], None).variants:
        lines.setdefault(variant.line, []).append(variant.width)
    assert lines.pop("") == [None]  # ReLU
    assert len(lines) == 5
    for line, widths in lines.items():
        assert len(widths) >= 4
        assert widths == sorted(widths, reverse=line in ("Swish", "GELU", "Softplus")), line


@pytest.fixture(autouse=True)
def no_sweep_of_a_file_read_before(monkeypatch):
    monkeypatch.setattr(sweep_lib, "_of_file", [])


def test_flags_make_a_sweep_of_a_configuration():
    found = sweep_lib.read_sweep(
        Config(), "relu,smelu:0.1:0.2", ["model.hidden_units=(8,4),(16,)", "train.epochs=2"], 5
    )
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
        sweep_lib.read_sweep(Config(), activations, grid, None)
    assert str(raised.value).startswith(words)


def test_a_file_with_a_sweep_takes_overrides_and_no_variants(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "from smooth_recs import config\nfrom smooth_recs.experiments import sweeps\n"
        "def get_sweep():\n    return sweeps.Sweep(config.Config(), sweeps.activation('relu'), 'relu', 7)\n"
    )
    config = sweep_lib.read(str(path))
    config.seed = 9  # as --config.seed=9 does
    assert list(sweep_lib.read_sweep(config, "", [], None).seeds) == list(range(9, 16))
    assert list(sweep_lib.read_sweep(config, "", [], 2).seeds) == [9, 10]
    with pytest.raises(InputError, match="must not be given where get_sweep"):
        sweep_lib.read_sweep(config, "relu", [], None)
    path.write_text("def get_sweep():\n    return 3\n")
    said = r"get_sweep\(\) must return a smooth_recs.experiments.sweeps.sweep_plan.Sweep, got int"
    with pytest.raises(InputError, match=said):
        sweep_lib.read(str(path))
