"""The causes table: which pairs are trained, what their numbers become, and how a reader sees them."""

from __future__ import annotations

import json
import re
from html import escape

import matplotlib.image
import pytest
from report_pages import Page, assert_asks_for_nothing

from smooth_recs.config import Config, Data, Model, Siblings, Train
from smooth_recs.errors import InputError
from smooth_recs.experiments import attribution
from smooth_recs.experiments.cells import Folder

ATTACK = "<script>alert(1)</script>"
CONFIG = Config(seed=4, data=Data(examples=1000, eval_examples=10, shuffle_window=200), model=Model(beta=0.15))
MANIFEST = {"data": {"fingerprint": "abc", "rows": 1010}, "versions": {"smooth_recs": "1"}}


def plan(config=CONFIG, activations=("relu", "smelu"), pairs=3):
    return attribution.Plan(config, activations, pairs)


def varying(config):
    """The fields that causes set."""
    return config.siblings.differ, config.data.shuffle_window, config.train.deterministic


def page_of(table, folder):
    attribution.write(table, str(folder))
    return (folder / "causes.html").read_text()


def finish(folder, cell, pd):
    workdir = folder / "cells" / cell.key
    workdir.mkdir(parents=True, exist_ok=True)
    replicas = [{"auc_loss": 0.25 + pd, "log_loss": 0.3}, {"auc_loss": 0.25 - pd, "log_loss": 0.34}]
    metrics = {"pd": {"relative": pd, "after_matching_means": pd / 2}, "replicas": replicas}
    (workdir / "metrics.json").write_text(json.dumps(metrics))
    (workdir / "manifest.json").write_text(json.dumps(MANIFEST))


@pytest.fixture
def table(tmp_path):
    """Of runs whose PDs are 10, 12 and 14% for ReLU and half of that for SmeLU; without hardware chance."""
    three = plan()
    for cause in three.causes:
        for activation, share in (("relu", 1.0), ("smelu", 0.5)):
            for seed, pd in zip(three.seeds, (0.10, 0.12, 0.14), strict=True):
                chance = cause.name.startswith("hardware")
                finish(tmp_path, three.cell(cause, activation, seed), 0.0 if chance else share * pd)
    return attribution.table(three, Folder(str(tmp_path)))


def test_the_title_is_what_was_found(table, tmp_path):
    found = "ReLU differs most by initialisation: PD 12.0%; SmeLU 0.15 is shown to differ less under 5 of 7 causes"
    assert f"<h1>{found}</h1>" in page_of(table, tmp_path)


def test_every_cause_sets_what_differs_and_nothing_else():
    causes_of = {cause.name: plan().cell(cause, "smelu", 5).config for cause in plan().causes}
    assert {name: varying(config) for name, config in causes_of.items()} == {
        "everything": ("both", 200, False),
        "initialisation": ("init", 200, False),
        "order": ("order", 200, False),
        "order_in_small_windows": ("order", 20, False),
        "order_of_whole_log": ("order", 1000, False),
        "hardware": ("nothing", 200, False),
        "hardware_deterministic": ("nothing", 200, True),
    }
    for config in causes_of.values():
        config.siblings, config.data.shuffle_window, config.train.deterministic = Siblings(), 200, False
        assert config == Config(seed=5, data=CONFIG.data, model=Model(activation="smelu", beta=0.15))


def test_the_demo_has_a_pair_for_each_cause_activation_and_seed():
    demo = plan(Config(model=Model(beta=0.15)))
    cells = demo.cells()
    assert len({cell.key for cell in cells}) == len({cell.label for cell in cells}) == len(cells) == 42
    assert {cell.config.seed for cell in cells} == {1, 2, 3}
    assert {(cell.config.model.activation, cell.config.model.beta) for cell in cells} == {
        ("relu", None),
        ("smelu", 0.15),
    }
    assert cells[0].label == "ReLU, everything (windows of 100,000 rows), seed 1"
    whole = [cell.config.data.shuffle_window for cell in cells if "the whole log" in cell.label]
    assert whole == [2**31 - 1] * 6  # how many rows a log has is not known before it is read


def test_windows_as_long_as_the_log_are_trained_once():
    short = plan(Config(data=Data(examples=1000)), ("relu",), 1)
    keys = {cause.name: short.cell(cause, "relu", 1).key for cause in short.causes}
    assert keys["order"] == keys["order_of_whole_log"]
    assert len(set(keys.values())) == 6
    assert varying(short.cell(short.causes[3], "relu", 1).config) == ("order", 100, False)


def test_determinism_that_the_configuration_asks_for_stays():
    always = plan(Config(train=Train(deterministic=True)))
    found = {cause.name: always.cell(cause, "relu", 1).config.train.deterministic for cause in always.causes}
    assert [name for name, deterministic in found.items() if not deterministic] == ["hardware"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"activations": ()}, "activations must be one or more that differ, got none"),
        ({"activations": ("relu", "relu")}, "activations must be one or more that differ, got relu, relu"),
        ({"activations": ("relu", "smlu")}, "an activation must be a name, name:beta or a dictionary, got 'smlu': "),
        ({"pairs": 0}, "pairs must be at least 1, got 0"),
        ({"config": Config(siblings=Siblings(replicas=1))}, "siblings.replicas must be at least 2, got 1"),
        (
            {"config": Config(data=Data(shuffle_window=19))},
            "data.shuffle_window and data.examples must be at least 20 to tell windows apart, got 19",
        ),
        (
            {"config": Config(train=Train(progressive=True))},
            "train.progressive must be false, as a window of the whole log has nothing ahead, got true",
        ),
        (
            {"config": Config(data=Data(examples=12))},
            "data.shuffle_window and data.examples must be at least 20 to tell windows apart, got 12",
        ),
    ],
)
def test_a_plan_that_cannot_be(arguments, words):
    with pytest.raises(InputError) as raised:
        plan(**arguments)
    assert str(raised.value).startswith(words)


def test_numbers_by_hand(table):
    order = table["causes"][2]
    relu, smelu = order["pairs"]
    assert [relu["activation"], smelu["activation"]] == table["activations"] == ["ReLU", "SmeLU 0.15"]
    assert relu["pd_of_seeds"] == [0.10, 0.12, 0.14]
    assert relu["pd"]["value"] == pytest.approx(0.12)
    # Student's t at 97.5% with two degrees of freedom is 4.30265; the standard error is 0.02 / sqrt(3).
    half = 4.302653 * 0.02 / 3**0.5
    assert relu["pd"]["interval"] == pytest.approx([0.12 - half, 0.12 + half], abs=1e-6)
    assert smelu["pd"]["interval"] == pytest.approx([0.06 - half / 2, 0.06 + half / 2], abs=1e-6)
    assert relu["after_matching_means"] == pytest.approx(0.06)
    assert (relu["auc_loss"], relu["log_loss"]) == (pytest.approx(0.25), pytest.approx(0.32))
    assert order["changes"] == [{"activation": "SmeLU 0.15", "value": -0.5, "interval": [-0.5, -0.5]}]
    hardware = table["causes"][5]
    assert [pair["pd"] for pair in hardware["pairs"]] == [{"value": 0.0, "interval": [0.0, 0.0]}] * 2
    assert hardware["changes"] == [None]  # no part of nothing


def test_the_interval_of_a_pd_does_not_reach_below_zero(tmp_path):
    two = plan(pairs=2)
    for cell in two.cells():
        finish(tmp_path, cell, 0.1 * (cell.config.seed - 3.5))  # 5 and 15%: Student's t with one degree is 12.7062
    pd = attribution.table(two, Folder(str(tmp_path)))["causes"][0]["pairs"][0]["pd"]
    assert pd["value"] == pytest.approx(0.1)
    assert pd["interval"] == [0.0, pytest.approx(0.1 + 12.7062 * 0.05, abs=1e-5)]


def test_one_pair_has_no_interval(tmp_path):
    one = plan(pairs=1)
    for cell in one.cells():
        finish(tmp_path, cell, 0.1)
    found = attribution.table(one, Folder(str(tmp_path)))
    assert found["causes"][0]["pairs"][0]["pd"] == {"value": 0.1, "interval": None}
    assert found["causes"][0]["changes"] == [{"activation": "SmeLU 0.15", "value": 0.0, "interval": None}]
    assert attribution.sentences(found)[-1] == "One pair of each is no ground to conclude on: take several."
    assert "95%" not in re.sub(r"<style>.*</style>", "", page_of(found, tmp_path), flags=re.DOTALL)


def test_a_metric_that_is_not_defined_stays_undefined(tmp_path):
    one = plan(pairs=1)
    for cell in one.cells():
        finish(tmp_path, cell, 0.1)
        path = tmp_path / "cells" / cell.key / "metrics.json"
        path.write_text(path.read_text().replace('"auc_loss": 0.35', '"auc_loss": null'))
    found = attribution.table(one, Folder(str(tmp_path)))
    assert found["causes"][0]["pairs"][0]["auc_loss"] is None
    assert "–" in attribution.markdown(attribution.accuracy(found))


def test_markdown(table):
    lines = attribution.markdown(attribution.difference(table)).splitlines()
    assert lines[:2] == [
        "| What differs | ReLU | SmeLU 0.15 | SmeLU 0.15 against ReLU |",
        "| --- | ---: | ---: | ---: |",
    ]
    assert lines[5] == (
        "| Example order (windows of 20 rows) | 12.0% (7.03% to 17.0%) | 6.00% (3.52% to 8.48%) | −50% (−50% to −50%) |"
    )
    assert lines[8] == "| Hardware chance, deterministic ops | 0% | 0% | – |"


def test_sentences(table):
    assert attribution.sentences(table) == [
        "ReLU: the largest single cause is initialisation, with a PD of 12.0%. Causes do not add up: each alone can "
        "send two trainings apart.",
        "SmeLU 0.15 differs less than ReLU under: everything (windows of 200 rows) (−50%); initialisation (−50%); "
        "example order (windows of 200 rows) (−50%); example order (windows of 20 rows) (−50%); example order (the "
        "whole log) (−50%).",
        "The siblings of every pair predict the same under: hardware chance; hardware chance, deterministic ops.",
    ]


def test_a_change_whose_interval_holds_zero_is_not_claimed(table):
    table["causes"][1]["changes"][0]["interval"] = [-0.9, 0.1]
    table["causes"][2]["changes"][0] = {"activation": "SmeLU 0.15", "value": 0.3, "interval": [0.1, 0.5]}
    _, less, more, none, _ = attribution.sentences(table)
    assert "initialisation" not in less
    assert more == "SmeLU 0.15 differs more than ReLU under: example order (windows of 200 rows) (+30%)."
    assert none == "3 pairs show no change of SmeLU 0.15 from ReLU for: initialisation."


def test_everything_is_written(table, tmp_path):
    said = attribution.write(table, str(tmp_path))
    assert json.loads((tmp_path / "causes.json").read_text()) == json.loads(json.dumps(table))
    written = (tmp_path / "causes.md").read_text()
    assert said.split("\n\nreport ")[0] in written
    assert "| PD with means matched, ReLU |" in written
    picture = matplotlib.image.imread(tmp_path / "causes.png")
    assert picture.shape[0] > 500
    assert picture.shape[1] > 1000
    assert attribution.write(table, str(tmp_path)) == said  # over files of its own


def test_a_page_shows_the_numbers_and_needs_nothing_else(table, tmp_path):
    page = page_of(table, tmp_path)
    for words in ("12.0% (7.03% to 17.0%)", "−50%", "3 pairs, each with a seed of its own", "data.<wbr>shuffle_window"):
        assert words in page
    assert_asks_for_nothing(Page(tmp_path / "causes.html"))
    assert page.count("<svg") == 1


def test_nothing_of_the_configuration_reaches_the_page_unescaped(table, tmp_path):
    table["activations"][0] = table["command"] = table["config"]["data"]["path"] = ATTACK
    table["causes"][0]["label"] = f"Everything ({ATTACK})"
    page = page_of(table, tmp_path)
    assert ATTACK not in page
    assert escape(ATTACK) in page
