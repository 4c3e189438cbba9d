"""Sweeps whose activations choose values of their own, with real processes that take no time: losses are made up."""

from __future__ import annotations

import dataclasses
import json

import pytest

from smooth_recs.config import Config, Data
from smooth_recs.errors import InputError
from smooth_recs.experiments import cells, sweeps, training_processes
from smooth_recs.experiments.cells import Folder
from smooth_recs.experiments.sweeps import sweep_runs, tuning, workflow

DENSE, EMBEDDING = "train.dense_learning_rate", "train.embedding_learning_rate"
# Takes the flags of the train binary. ReLU is best at dense and embedding rates of 0.02 and 0.1, SmeLU at 0.08 and 0.2;
# a dense rate of 9 diverges. What the first measurement of a run says is not what the last one says.
TRAIN = """
import json, os, sys
flags = dict(flag.lstrip("-").split("=", 1) for flag in sys.argv[1:])
config = json.load(open(flags["config"]))
train, smelu = config["train"], config["model"]["activation"] == "smelu"
dense, embedding = train["dense_learning_rate"], train["embedding_learning_rate"]
loss = 0.5 + abs(dense - (0.08 if smelu else 0.02)) + abs(embedding - (0.2 if smelu else 0.1))
loss = None if dense == 9 else loss
single = config["siblings"]["replicas"] == 1
if single:
    assert config["data"]["validation_fraction"] == SHARE, config["data"]
    assert config["evaluation"]["slices"] == [] and config["train"]["evaluations"] == 0
else:
    assert config["data"]["validation_fraction"] == PAIRS_SHARE, config["data"]
os.makedirs(flags["workdir"], exist_ok=True)
json.dump({"data": {"fingerprint": "abc"}, "versions": {}}, open(os.path.join(flags["workdir"], "manifest.json"), "w"))
metrics = {
    "replicas": [{"auc_loss": loss}] * config["siblings"]["replicas"],
    "pd": None if single else {"relative": 0.1 + 0.001 * config["seed"], "after_matching_means": 0.1},
    "exports": [],
    "history": [{"step": 1, "log_loss": 0.1, "auc": 0.1}, {"step": 2, "log_loss": loss, "auc": loss and 1 - loss}],
    "diverged": [0] if loss is None else [],
}
json.dump(metrics, open(os.path.join(flags["workdir"], "metrics.json"), "w"))
"""


@pytest.fixture(autouse=True)
def train(monkeypatch, tmp_path):
    program = tmp_path / "train.py"
    program.write_text(f"SHARE, PAIRS_SHARE = 0.2, 0.0\n{TRAIN}")
    monkeypatch.setattr(training_processes, "PROGRAM", (str(program),))
    monkeypatch.setattr(cells, "_TICK_SECONDS", 0.02)
    return program


def sweep(config=None, variants=None, **tune):
    variants = variants or [*sweeps.activation("relu"), *sweeps.activation("smelu", 0.1, 0.2, 0.4)]
    return sweeps.Sweep(config or Config(seed=4, data=Data(examples=1000)), variants, "relu", 2, tune=tune["tune"])


def rates(found):
    return {each.name: (each.fields.get(DENSE), each.fields.get(EMBEDDING)) for each in found.variants}


def test_each_activation_takes_what_is_best_for_its_middle_width(tmp_path):
    plan = sweep(tune={DENSE: (0.02, 0.05, 0.08), EMBEDDING: (0.1, 0.2)})
    found = tuning.tuned(plan, Folder(str(tmp_path)))
    assert rates(found) == {
        "relu": (0.02, 0.1),
        "smelu:0.1": (0.08, 0.2),
        "smelu:0.2": (0.08, 0.2),
        "smelu:0.4": (0.08, 0.2),
    }
    # The widths stay, six runs were trained for each of the two activations, and they were of single models.
    assert [each.fields.get("model.beta") for each in found.variants] == [None, 0.1, 0.2, 0.4]
    assert (found.tune, len(list((tmp_path / "cells").glob("*.json")))) == ({}, 12)
    relu, smelu = found.tuned
    assert (relu["label"], relu["variants"], smelu["label"]) == ("ReLU", ["relu"], "SmeLU 0.2")
    assert smelu["variants"] == ["smelu:0.1", "smelu:0.2", "smelu:0.4"]
    assert relu["tried"][0] == {"fields": {DENSE: 0.02, EMBEDDING: 0.1}, "value": 0.5}
    assert relu["tried"][-1]["value"] == pytest.approx(0.5 + 0.06 + 0.1)
    # Of two values each is at an end, which says nothing.
    assert (relu["edges"], smelu["edges"]) == ([DENSE], [DENSE])


def test_the_whole_workflow_says_what_was_tried(tmp_path):
    said = workflow.run(sweep(tune={DENSE: (0.02, 0.08)}), str(tmp_path))
    assert "SmeLU 0.4" in said
    results = json.loads((tmp_path / "results.json").read_text())
    assert [each["fields"] for each in results["tuned"]] == [{DENSE: 0.02}, {DENSE: 0.08}]
    assert results["variants"][3]["fields"] == {DENSE: 0.08, "model.activation": "smelu", "model.beta": 0.4}
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "Values tuned for each activation" in page
    # Nothing is trained again: 4 single models, and 4 variants with 2 seeds.
    before = sorted(path.stat().st_mtime_ns for path in (tmp_path / "cells").glob("*/metrics.json"))
    assert len(before) == 12
    workflow.run(sweep(tune={DENSE: (0.02, 0.08)}), str(tmp_path))
    assert sorted(path.stat().st_mtime_ns for path in (tmp_path / "cells").glob("*/metrics.json")) == before


def test_a_variant_that_states_a_value_itself_keeps_it(tmp_path):
    own = sweeps.Variant("slow", "ReLU, slow", {"model.activation": "relu", DENSE: 0.001})
    found = tuning.tuned(
        sweep(variants=[*sweeps.activation("relu"), own], tune={DENSE: (0.02, 0.08)}), Folder(str(tmp_path))
    )
    assert rates(found) == {"relu": (0.02, None), "slow": (0.001, None)}
    assert [each["variants"] for each in found.tuned] == [["relu"]]


def test_the_validation_rows_of_the_configuration_choose(train, tmp_path):
    train.write_text(train.read_text().replace("SHARE, PAIRS_SHARE = 0.2, 0.0", "SHARE, PAIRS_SHARE = 0.1, 0.1"))
    config = Config(seed=4, data=Data(examples=1000, validation_fraction=0.1))
    workflow.run(sweep(config, tune={DENSE: (0.02, 0.08)}), str(tmp_path))


def test_auc_chooses_where_it_is_what_is_best(tmp_path):
    config = Config(seed=4, data=Data(examples=1000))
    config.train.patience, config.train.best = 3, "auc"
    found = tuning.tuned(sweep(config, tune={DENSE: (0.02, 0.08)}), Folder(str(tmp_path)))
    assert rates(found)["smelu:0.1"] == (0.08, None)
    # At the default embedding rate of 0.05: 0.5 + 0.05 from ReLU's best one.
    assert found.tuned[0]["tried"][0]["value"] == pytest.approx(0.45)


def test_what_diverged_is_never_chosen(tmp_path):
    found = tuning.tuned(sweep(tune={DENSE: (9.0, 0.5)}), Folder(str(tmp_path)))
    assert rates(found)["relu"] == (0.5, None)
    assert found.tuned[0]["tried"][0]["value"] is None
    with pytest.raises(RuntimeError, match=r"^ReLU: every training with the values of tune diverged$"):
        tuning.tuned(sweep(tune={DENSE: (9.0,), EMBEDDING: (0.1, 0.2)}), Folder(str(tmp_path)))


def test_a_dry_run_lists_the_single_models_first(tmp_path):
    plan = dataclasses.replace(
        sweep(tune={DENSE: (0.02, 0.08)}), config=Config(data=Data(examples=1000, eval_examples=100))
    )
    said = sweep_runs.outline(plan, str(tmp_path))
    assert "SmeLU 0.2, dense_learning_rate 0.08, seed 1" in said
    assert "4 of 4 cells to do" in said
    assert "whose values of tune are not known yet" in said


@pytest.mark.parametrize(
    ("tune", "message"),
    [
        ({"seed": (1, 2)}, "^tune must leave the seed to the pairs"),
        (
            {DENSE: (0.1,)},
            r"^tune must have two or more values to choose from, got \{'train.dense_learning_rate': \(0.1,\)\}$",
        ),
        ({DENSE: ()}, "^tune must have two or more values"),
    ],
)
def test_nothing_to_choose_from_is_refused(tune, message):
    with pytest.raises(InputError, match=message):
        sweep(tune=tune)


def test_a_field_that_is_none_is_refused_before_any_training(tmp_path):
    with pytest.raises(InputError, match=r"there must be a field of each name, got train\.rate$"):
        tuning.tuned(sweep(tune={"train.rate": (1, 2)}), Folder(str(tmp_path)))
    assert not (tmp_path / "cells").exists()
