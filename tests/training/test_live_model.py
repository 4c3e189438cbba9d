"""The live model of a run: what may be named, what it predicts, and what a run says of it."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shared_runs
from comparison_log import DATA, ROWS, save, write_csv

from smooth_recs import prediction_difference, training
from smooth_recs.artifacts import exports
from smooth_recs.config import Config
from smooth_recs.data.presets import open_source
from smooth_recs.data.sources import Source
from smooth_recs.errors import InputError
from smooth_recs.training import live_model
from smooth_recs.training.live_model import open_live


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    return open_source(DATA, str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of versions of a model that knows the item and the price."""
    folder = tmp_path_factory.mktemp("model")
    save(folder / "3", 0.5)
    save(folder / "12", 0.8)
    return folder


def expected(source: Source, export: Path) -> Any:
    model = exports.SavedModel("--export", str(export))
    rows = next(iter(source.holdout(raw=True).rebatch(ROWS)))["raw"]
    return model({name: rows[name] for name in ("item", "price")}).numpy()


def test_an_export_a_folder_of_versions_and_a_file(source: Source, versions: Path, tmp_path: Path) -> None:
    newest = open_live(str(versions), str(tmp_path), source)
    assert newest is not None
    np.testing.assert_array_equal(newest.prediction, expected(source, versions / "12"))
    assert (newest.kind, newest.path) == ("export", str(versions / "12"))
    older = open_live(str(versions / "3"), str(tmp_path), source)
    assert older is not None
    assert older.fingerprint != newest.fingerprint
    assert prediction_difference.relative(older.prediction, newest.prediction) > 0.01
    label = next(iter(source.holdout().rebatch(ROWS)))["label"].numpy()
    file = write_csv(tmp_path / "p.csv", {"prediction": older.prediction, "label": label.astype(int)})
    of_file = open_live(file, str(tmp_path), source)
    assert of_file is not None
    np.testing.assert_array_equal(of_file.prediction, older.prediction)
    assert open_live("", str(tmp_path), source) is None


def test_a_resumed_run_goes_on_with_the_model_that_it_began_with(
    source: Source, versions: Path, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    shutil.copytree(versions, model)
    begun = open_live(str(model), str(tmp_path), source)
    assert begun is not None
    begun.save(str(tmp_path))
    shutil.rmtree(model)
    resumed = open_live(str(model), str(tmp_path), source)
    assert resumed is not None
    assert resumed.about() == begun.about()
    np.testing.assert_array_equal(resumed.prediction, begun.prediction)
    # What stays in the workdir is a live model itself.
    again = open_live(str(tmp_path / live_model.PREDICTED), str(tmp_path / "next"), source)
    assert again is not None
    np.testing.assert_array_equal(again.prediction, begun.prediction)


def test_what_is_wrong_is_one_line(source: Source, versions: Path, tmp_path: Path) -> None:
    def refused(path: str) -> str:
        with pytest.raises(InputError) as error:
            open_live(path, str(tmp_path), source)
        assert "\n" not in str(error.value)
        return str(error.value).replace(str(tmp_path), "HERE")

    assert refused("nowhere") == "evaluation.live: no such file or folder: nowhere"
    short = write_csv(tmp_path / "short.csv", {"prediction": [0.5, 0.5]})
    assert refused(short) == (
        "evaluation.live: HERE/short.csv must have the 10,000 held-out rows in their order, got 2 rows"
    )
    other = write_csv(tmp_path / "other.csv", {"score": [0.5]})
    assert refused(other) == "evaluation.live: HERE/other.csv must have a column 'prediction', got score"
    wrong = write_csv(tmp_path / "wrong.csv", {"prediction": np.full(ROWS, 0.5), "label": np.ones(ROWS, int)})
    assert refused(wrong).startswith(
        "evaluation.live: HERE/wrong.csv must have the labels of the held-out rows, got 1 in"
    )
    logits = write_csv(tmp_path / "logits.csv", {"prediction": np.full(ROWS, -2.0)})
    assert refused(logits) == "evaluation.live: predictions must be in [0, 1], got -2 in row 0; are these logits?"
    (tmp_path / "config.json").write_text("{}")
    assert refused(str(tmp_path)) == "evaluation.live: the run in HERE has no export of replica 0; is it finished?"
    (tmp_path / "config.json").unlink()
    without_price = dataclasses.replace(DATA, features=("user", "item"))
    narrow = open_source(without_price, str(tmp_path / "cache"))
    with pytest.raises(
        InputError, match=r"^evaluation\.live: the model's input 'price' is no feature of --config, which"
    ):
        open_live(str(versions), str(tmp_path), narrow)


def test_a_run_beside_its_live_model(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, capsys: Any) -> None:
    live = shared_runs.of_csv(tmp_path_factory)
    config = Config.from_dict(json.loads((live / "config.json").read_text()))
    config = dataclasses.replace(
        config, seed=5, evaluation=dataclasses.replace(config.evaluation, live=str(live), slices=("user",))
    )
    wrong = dataclasses.replace(config, evaluation=dataclasses.replace(config.evaluation, live="nowhere"))
    with pytest.raises(InputError, match=r"^evaluation\.live: no such file or folder: nowhere$"):
        training.train_and_evaluate(wrong, str(tmp_path / "run"))
    metrics = training.train_and_evaluate(config, str(tmp_path / "run"))
    found = metrics["pd_live"]
    assert found["model"]["path"] == str(live / "export" / "replica_0" / "1")
    source = open_source(config.data, str(tmp_path / "cache"))
    kept = open_live("kept", str(tmp_path / "run"), source)
    assert kept is not None
    for export, relative in zip(metrics["exports"], found["of_replicas"], strict=True):
        new = open_live(str(tmp_path / "run" / export), str(tmp_path), source)
        assert new is not None
        assert prediction_difference.relative(kept.prediction, new.prediction) == pytest.approx(relative, rel=1e-4)
    assert found["relative"] == pytest.approx(np.mean(found["of_replicas"]))
    low, high = found["interval"]
    assert 0 < low < found["relative"] < high
    assert 0 <= found["recommendations"]["swap_rate"] <= 1
    assert [each["slice"] for each in found["slices"]["user"]]
    assert f"PD to live   {found['relative']:.2%}" in capsys.readouterr().out
    page = (tmp_path / "run" / "report.html").read_text("utf-8")
    assert "Against the live model" in page
    assert str(live / "export") in page
