"""From a finished run to a version for serving: only what passes checks and gates becomes one."""

from __future__ import annotations

import functools
import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shared_runs
import tensorflow as tf

from smooth_recs import config, training
from smooth_recs.errors import GateNotMet, InputError
from smooth_recs.measures.gates import Limits
from smooth_recs.release import publishing
from smooth_recs.release.publishing import Published, Release
from smooth_recs.serving import checks, saved_model
from smooth_recs.training import results


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The workdir of a finished run of two siblings on a small CSV file."""
    return str(shared_runs.of_csv(tmp_path_factory))


LOADED = functools.cache(results.load)


@pytest.fixture(autouse=True)
def loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No release changes the run that it exports, which takes seconds to load."""
    monkeypatch.setattr(results, "load", LOADED)


def sibling(run: str) -> str:
    return os.path.join(run, "export", "replica_1")


def published(release: Release) -> Published:
    """After the siblings and the base are known to hold whole versions only."""
    found = publishing.publish(release)
    names = os.listdir(release.output)
    assert all(name.isdigit() for name in names)
    return found


@pytest.mark.slow
def test_stacks_in_bfloat16_are_served_as_they_were_trained(run: str, tmp_path: Path) -> None:
    settings = config.Config.from_dict(json.loads(Path(run, "config.json").read_text()))
    settings.model.precision = "bfloat16"
    metrics = training.train_and_evaluate(settings, str(tmp_path / "run"))
    assert metrics["replicas"][0]["log_loss"] == pytest.approx(of_metrics(run)["replicas"][0]["log_loss"], abs=0.02)
    passed = published(Release(str(tmp_path / "run"), str(tmp_path / "ranker"))).passed
    assert passed.largest_difference <= checks.TOLERANCES["bfloat16"]


def of_metrics(workdir: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(workdir, "metrics.json").read_text())
    return found


@pytest.mark.slow
def test_versions_follow_each_other_and_predict_as_the_run_does(run: str, tmp_path: Path) -> None:
    base = str(tmp_path / "models" / "ranker")
    first = published(Release(run, base, replica=1))
    assert (first.path, first.comparisons) == (os.path.join(base, "1"), {})
    second = published(
        Release(
            run,
            base,
            against=sibling(run),
            live=base,
            sibling_limits=Limits(max_pd=1.0),
            live_limits=Limits(max_pd=1.0, max_auc_loss_increase=0.5, max_swap_rate=1.0),
        )
    )
    assert second.path == os.path.join(base, "2")
    assert second.passed.largest_difference <= checks.TOLERANCE
    assert os.stat(second.path).st_mode & 0o777 == 0o755

    reported = json.loads((Path(run) / "metrics.json").read_text())["pd"]["relative"]
    for flag, names in (("--against", ["max_pd"]), ("--live", ["max_pd", "max_auc_loss_increase", "max_swap_rate"])):
        comparison = second.comparisons[flag]
        assert comparison["pd"]["relative"] == pytest.approx(reported, rel=1e-4)
        assert [gate["name"] for gate in comparison["gates"]] == names
    assert re.match(r"checks +\d+ passed, within \S+ of the trained model, loads in [\d.]+ s\n", str(second))
    assert str(second).endswith(f"export       {second.path}")

    siblings = results.load(run)
    raw = {
        "user": ["ann", "never seen", ""],
        "words": [["one", ""], ["", ""], ["two", "three"]],
        "item": [2**31, -1, 3],
        "price": [float("nan"), 2.5, float("inf")],
    }
    tensors = {
        name: tf.constant(raw[name], spec.dtype) for name, spec in siblings.source.encoder.raw_signature().items()
    }
    for path, replica in ((first.path, 1), (second.path, 0)):
        served = tf.saved_model.load(path).signatures["serving_default"](**tensors)["probability"]
        expected = siblings.siblings.replicas[replica](siblings.source.encoder(tensors), training=False)
        np.testing.assert_allclose(served, expected, rtol=0, atol=1e-6)


MISSED: dict[str, tuple[dict[str, Limits], str]] = {
    "a sibling": (
        {"sibling_limits": Limits(max_pd=1e-6)},
        r"--against \S+/replica_1/1: gate not met: --max_pd=1e-06: pd is 0\.\d+, 0\.\d+ above$",
    ),
    "live": (
        {"live_limits": Limits(max_pd=1e-6)},
        r"--live \S+/replica_1/1: gate not met: --max_pd_live=1e-06: pd is 0\.\d+, 0\.\d+ above$",
    ),
    "two of live": (
        {"live_limits": Limits(max_auc_loss_increase=-0.5, max_swap_rate=0.0)},
        r"--live \S+/replica_1/1: gates not met: --max_auc_loss_increase=-0\.5: .* above; --max_swap_rate=0: swap_",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", MISSED)
def test_a_gate_that_is_not_met_leaves_nothing(run: str, tmp_path: Path, case: str) -> None:
    limits, words = MISSED[case]
    base = tmp_path / "not" / "there yet"
    with pytest.raises(GateNotMet, match=words):
        publishing.publish(Release(run, str(base), against=sibling(run), live=sibling(run), **limits))
    assert os.listdir(tmp_path) == []


@pytest.mark.slow
def test_an_export_that_fails_a_check_leaves_what_was_there(
    run: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = str(tmp_path)
    published(Release(run, base))
    before = sorted(tmp_path.rglob("*"))
    save = saved_model.save

    def of_another_model(model: Any, encoder: Any, folder: str) -> str:
        table = next(variable for variable in model.variables if "embedding" in variable.name)
        kept = table.numpy()
        table.assign_add(tf.ones_like(table))
        try:
            return save(model, encoder, folder)
        finally:
            table.assign(kept)

    monkeypatch.setattr(saved_model, "save", of_another_model)
    with pytest.raises(
        checks.CheckFailed, match=r"serving_default, a batch of 1: for row 0 the export predicts .* apart"
    ):
        publishing.publish(Release(run, base))
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"sibling_limits": Limits(max_pd=0.1)}, "--against must be given for the gate --max_pd"),
        ({"live_limits": Limits(max_pd=0.1)}, "--live must be given for the gate --max_pd_live"),
        ({"live_limits": Limits(max_swap_rate=0.1)}, "--live must be given for the gate --max_swap_rate"),
        ({"live": "nowhere", "live_limits": Limits(max_pd=3)}, "--max_pd_live must be a fraction from 0 to 2, got 3"),
        ({"live": "nowhere"}, "--live: no such file or folder: nowhere"),
        ({"against": "file.csv"}, "--against must be an export or a folder of versions, got file.csv"),
        ({}, "workdir run must hold a finished run, got no config.json there"),
    ],
)
def test_wrong_input_is_one_line_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, Any], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file.csv").write_text("prediction\n0.5\n")
    with pytest.raises(InputError) as error:
        publishing.publish(Release("run", "base", **given))
    assert str(error.value) == words
    assert os.listdir() == ["file.csv"]


def test_what_has_learned_nothing_is_not_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("config", "manifest"):
        (tmp_path / f"{name}.json").write_text("{}")
    collapsed = [{"replica": 1, "reason": "predicts 0 for every row"}]
    (tmp_path / "metrics.json").write_text(json.dumps({"replicas": [{}, {}], "collapsed": collapsed}))
    base = tmp_path / "base"
    with pytest.raises(GateNotMet, match=r"replica 1 of \S+ predicts 0 for every row: publish .* --allow_collapsed$"):
        publishing.publish(Release(str(tmp_path), str(base), replica=1))

    def loaded(workdir: str) -> None:
        raise LookupError

    monkeypatch.setattr(results, "load", loaded)  # what follows the gate
    for release in (Release(str(tmp_path), str(base)), Release(str(tmp_path), str(base), 1, allow_collapsed=True)):
        with pytest.raises(LookupError):
            publishing.publish(release)
    assert not base.exists()


@pytest.mark.slow
def test_a_replica_that_the_run_does_not_have(run: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--replica must be below the run's 2, got 2"):
        publishing.publish(Release(run, str(tmp_path / "base"), replica=2))
    assert os.listdir(tmp_path) == []
