"""The model card: what it says is what the run, the model, the comparisons and the export say."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from markdown_it import MarkdownIt

from smooth_recs import config, training
from smooth_recs._files import read_json
from smooth_recs.activations import layers
from smooth_recs.measures.gates import Limits
from smooth_recs.release import publishing
from smooth_recs.release.publishing import Release
from smooth_recs.serving import assets, model_card
from smooth_recs.serving.checks import Passed
from smooth_recs.workdir.manifest import Finished

pytestmark = pytest.mark.both_generations
ACCURACY = {"log_loss": 0.3, "auc": 0.8, "per_query_auc_loss": None, "calibration": 1.0}
SLICE = {"interval": [0.1, 0.3], "weight_share": 0.5, "pd_share": 0.75}
SLICES = {
    "label": [
        {"slice": "1", "rows": 50, "pd": 0.9, "small": True, **SLICE},
        {"slice": "0", "rows": 900, "pd": 0.2, "small": False, **SLICE},
    ],
    "site": [{"slice": "a|b", "rows": 400, "pd": 0.4, "small": False, **SLICE}],
}


def finished(replicas: int, pairs: list[Any]) -> Finished:
    return Finished(
        {"model": {"activation": "smelu", "beta": (0.5, 0.25)}, "data": {"source": "csv"}},
        {
            "data": {"fingerprint": "f00d", "files": ["one.csv", "two.csv"], "first_malformed": []},
            "seeds": {"seed": 7},
            "versions": {"tensorflow": "2.21.0"},
            "command": "python -m smooth_recs.bin.train",
        },
        {
            "replicas": [{**ACCURACY, "auc_loss": 0.25 + k / 64} for k in range(replicas)],
            "pd": {"relative": 0.3, "pairs": pairs, "interval": [0.25, 0.35]} if pairs else None,
            "recommendations": {"swap_rate": 0.125} if pairs else None,
            "slices": SLICES if pairs else {},
            "examples": 1_000,
            "eval_examples": 950,
        },
    )


COMPARISON = {
    "a": {"path": "models/ranker/3"},
    "pd": {"relative": 0.0625, "interval": [0.05, 0.07]},
    "increase": {"auc_loss": {"value": -0.0125}},
    "recommendations": None,
    "slices": SLICES,
    "gates": [{"name": "max_pd", "limit": 0.1, "value": 0.0625}],
}


@pytest.fixture
def export(exported: Any, tmp_path: Path) -> Path:
    shutil.copytree(exported.path, tmp_path / "1")
    return tmp_path / "1"


def test_a_card_holds_what_there_is_to_know(exported: Any, export: Path) -> None:
    run = finished(2, [[0, 1, 0.3]])
    card = model_card.build(run, exported.model, 1, {"--live": COMPARISON}, Passed(70, 2e-7, 0.25))
    model_card.write(str(export), card)
    read = json.loads((export / "model_card.json").read_text("utf-8"))
    assert read["model"]["name"] == "SmeLU 0.5 to 0.25"
    assert [(a["activation"], a["beta"]) for a in read["model"]["activations"]] == [("SmeLU", 0.5), ("SmeLU", 0.25)]
    assert read["data"] == {"source": "csv", **run.manifest["data"]}
    assert read["metrics"] == {**ACCURACY, "auc_loss": 0.265625, "held_out_examples": 950}
    sibling, live = read["prediction_difference"]
    assert (sibling["kind"], sibling["against"]) == ("sibling", "replica 0 of the same run")
    assert (sibling["relative"], sibling["interval"], sibling["swap_rate"]) == (0.3, [0.25, 0.35], 0.125)
    assert sibling["auc_loss_increase"] == 0.015625
    assert (live["kind"], live["against"], live["relative"]) == ("live", "models/ranker/3", 0.0625)
    assert (live["auc_loss_increase"], live["gates"][0]["limit"]) == (-0.0125, 0.1)
    assert [(s["title"], s["slice"], s["pd"]) for s in live["slices"]] == [("site", "a|b", 0.4), ("label", "0", 0.2)]
    assert read["checks"] == {"checks": 70, "largest_difference": 2e-7, "load_seconds": 0.25}
    assert read["config"]["model"]["beta"] == [0.5, 0.25]


def test_the_readable_card_says_the_same(exported: Any, export: Path) -> None:
    run = finished(2, [[0, 1, 0.3]])
    model_card.write(str(export), model_card.build(run, exported.model, 0, {"--live": COMPARISON}))
    lines = (export / "model_card.md").read_text("utf-8").splitlines()
    assert lines[0] == "# Model card: SmeLU 0.5 to 0.25"
    assert "| 0.3000 | 0.2500 | – | 1.0000 |" in lines
    assert (
        "| sibling: replica 1 of the same run | 30.0% (25.0% to 35.0%) | 12.5% | \N{MINUS SIGN}0.0156 | none given |"
        in lines
    )
    assert "| live: models/ranker/3 | 6.25% (5.00% to 7.00%) | – | \N{MINUS SIGN}0.0125 | max_pd 0.1 |" in lines
    assert "| site: a\\|b | 40.0% (10.0% to 30.0%) | 50.0% | 75.0% | 400 |" in lines
    assert "| files | one.csv, two.csv |" in lines
    assert not any(line.startswith("| first_malformed") for line in lines)
    assert "| `serving_examples` | predict | `examples` string [n] | `probability` float32 [n] |" in lines
    (default,) = [line for line in lines if line.startswith("| `serving_default`")]
    assert "`tags` int64 [n, any]<br>`user` int64 [n]" in default
    for table in "\n".join(lines).split("\n\n"):
        rows = [line.replace("\\|", "") for line in table.split("\n") if line.startswith("|")]
        assert len({row.count("|") for row in rows}) <= 1, table


def test_texts_of_users_are_neither_html_nor_headings(exported: Any, export: Path) -> None:
    attack = "<img src=x onerror=alert(1)>\n\n# Approved\n`<b>` ![x](http://x) | "
    run = finished(2, [[0, 1, 0.3]])
    run.metrics["slices"] = {attack: [{**SLICES["label"][0], "slice": attack, "small": False}]}
    run.manifest["data"] |= {"files": [attack], attack: 1}
    run.manifest["versions"][attack], run.manifest["command"] = attack, attack
    comparison = {**COMPARISON, "a": {"path": attack}, "slices": {}, "gates": [{"name": attack, "limit": 1}]}
    model_card.write(str(export), model_card.build(run, exported.model, 0, {"--live": comparison}))
    text = (export / "model_card.md").read_text("utf-8")
    assert [line for line in text.splitlines() if line.startswith("#")] == [
        "# Model card: SmeLU 0.5 to 0.25",
        *(f"## {title}" for title in ("Accuracy", "Prediction difference", "Checks", "Activations", "Data")),
        *(f"## {title}" for title in ("Signatures", "Versions")),
    ]
    rendered = MarkdownIt("commonmark").enable("table").render(text)
    assert "<img" not in rendered
    assert "<b>" not in rendered
    assert "&lt;img src=x onerror=alert(1)&gt;" in rendered
    assert "http://x&quot;" not in rendered  # no link, no picture: the address is text


def test_of_three_siblings_each_pair_has_its_own_number(exported: Any) -> None:
    card = model_card.build(finished(3, [[0, 1, 0.1], [0, 2, 0.2], [1, 2, 0.4]]), exported.model, 2)
    found = [(each["against"], each["relative"]) for each in card["prediction_difference"]]
    assert found == [("replica 0 of the same run", 0.2), ("replica 1 of the same run", 0.4)]
    assert all(each["interval"] is None and not each["slices"] for each in card["prediction_difference"])


def test_one_replica_alone_has_no_difference(exported: Any, export: Path) -> None:
    card = model_card.build(finished(1, []), exported.model)
    assert card["prediction_difference"] == []
    model_card.write(str(export), card)
    assert "Not measured: the run trained one replica" in (export / "model_card.md").read_text("utf-8")


def test_learned_hyperparameters_are_those_of_the_trained_model() -> None:
    learned = layers.SmeLU(beta=[0.5, 1.0, 3.0], learn="beta", per="unit")
    model = tf.keras.Sequential(
        [tf.keras.layers.Dense(3, activation=learned), tf.keras.layers.Dense(2, "smelu"), tf.keras.layers.Dense(1)]
    )
    model(np.zeros((1, 2), np.float32))
    first, second = model_card.activations(model)
    assert first["activation"] == "SmeLU"
    assert first["beta"] == pytest.approx({"min": 0.5, "mean": 1.5, "max": 3.0})
    assert (second["activation"], second["beta"]) == ("smelu", 0.1)


def test_signatures_are_those_of_the_export(exported: Any) -> None:
    found = model_card.signatures(exported.path)
    assert list(found) == ["classify", "logits", "regress", "serving_default", "serving_examples"]
    assert found["classify"]["method"] == "classify"
    assert found["serving_default"]["inputs"]["words"] == {"dtype": "string", "shape": (None, None)}
    assert found["logits"]["outputs"] == {"logit": {"dtype": "float32", "shape": (None,)}}


@pytest.mark.slow
def test_training_and_publishing_leave_cards_and_warm_ups(tmp_path: Path) -> None:
    folder = str(tmp_path / "run")
    settings = config.Config(
        data=config.Data(examples=3_000, eval_examples=1_000, shuffle_window=1_000),
        model=config.Model(hidden_units=(8, 4), embedding_dim=4),
        train=config.Train(batch_size=50, steps_per_execution=10, dense_learning_rate=0.1, evaluations=0),
        evaluation=config.Evaluation(slices=("label",), estimate=False),
    )
    metrics = training.train_and_evaluate(settings, folder)
    first, second = (str(tmp_path / "run" / path) for path in metrics["exports"])
    card = read_json(f"{first}/model_card.json")
    assert card["data"]["fingerprint"] == read_json(f"{folder}/manifest.json")["data"]["fingerprint"]
    assert card["metrics"]["auc_loss"] == metrics["replicas"][0]["auc_loss"]
    assert card["prediction_difference"][0]["relative"] == metrics["pd"]["relative"]
    assert card["checks"] is None
    assert assets.check_warm_up(second) == 7

    release = Release(folder, str(tmp_path / "models"), against=second, live=first, live_limits=Limits(max_pd=1.0))
    published = publishing.publish(release)
    card = read_json(f"{published.path}/model_card.json")
    assert card["checks"]["checks"] == published.passed.checks
    assert [each["kind"] for each in card["prediction_difference"]] == ["sibling", "sibling", "live"]
    _, sibling, live = card["prediction_difference"]
    assert sibling["relative"] == pytest.approx(metrics["pd"]["relative"], abs=1e-6)
    assert (live["against"], live["gates"][0]["limit"]) == (first, 1.0)
    assert live["relative"] == pytest.approx(0.0, abs=1e-6)  # the same model
    assert len(assets.read_warm_up(published.path)) == 7
