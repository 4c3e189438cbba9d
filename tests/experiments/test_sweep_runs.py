"""The runs of a sweep: how their exports are timed, what they would cost, and what is refused before all training."""

from __future__ import annotations

import pytest
import tensorflow as tf
from sweep_cases import sweep, written

from smooth_recs.errors import InputError
from smooth_recs.experiments import sweeps
from smooth_recs.experiments.cells import Folder
from smooth_recs.experiments.sweeps import Sweep, Variant, sweep_runs
from smooth_recs.experiments.variants import grid_of


def of(results, name):
    return next(variant for variant in results["variants"] if variant["name"] == name)


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
    monkeypatch.setattr(sweep_runs, "_ROUNDS", 8)
    exports = {name: export(tmp_path / name, work) for name, work in (("quick", 0), ("slow", 100))}
    x = tf.random.stateless_uniform([1000], (1, 2))
    found = sweep_runs.time_exports(exports, {"quick": {"x": x, "unused": tf.zeros(1000)}, "slow": {"x": x}})
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

    monkeypatch.setattr(sweep_runs, "time_exports", measure)
    monkeypatch.setattr(sweep_runs, "some_rows", lambda data, cache: data.eval_examples)
    (tmp_path / "cells").mkdir()
    grid = grid_of(two)
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
