"""A run whose ensemble is to cost what one network does: what it prints, writes and exports, and what it refuses."""

from __future__ import annotations

import dataclasses
import math
import pathlib

import pytest
import tensorflow as tf

from smooth_recs import config, training
from smooth_recs.errors import InputError

EQUAL = config.Config(
    data=config.Data(examples=600, eval_examples=300, shuffle_window=300),
    model=config.Model(hidden_units=(24, 12), embedding_dim=7),
    ensemble=config.Ensemble(components=3, equal_cost="parameters"),
    train=config.Train(evaluation_examples=100),
    evaluation=config.Evaluation(slices=(), estimate=False),
)


@pytest.mark.slow
def test_a_run_of_equal_cost(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    metrics = training.train_and_evaluate(EQUAL, str(tmp_path / "run"))
    ours, of_single = metrics["cost"], metrics["single_cost"]
    assert 0.8 * of_single["parameters"] < ours["parameters"] <= of_single["parameters"]
    assert ours["lookups"] == of_single["lookups"]
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("equal cost")]
    assert line.startswith("equal cost  3 components of embedding_dim 2, hidden units ")
    for numbers in (ours, of_single):
        assert f"{numbers['parameters']:,}" in line
        assert f"{numbers['multiply_adds']:,}" in line
    for path in metrics["exports"]:
        exported = tf.saved_model.load(str(tmp_path / "run" / path))
        assert sum(math.prod(v.shape) for v in exported.model_variables if v.dtype == tf.float32) == ours["parameters"]


def test_a_plan_says_it_too(tmp_path: pathlib.Path) -> None:
    lines = training.plan(EQUAL, str(tmp_path)).splitlines()
    assert lines[1].startswith("equal cost  3 components of embedding_dim 2, hidden units ")
    single = training.plan(dataclasses.replace(EQUAL, ensemble=config.Ensemble()), str(tmp_path))
    assert "equal cost" not in single


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ({"embedding_dim": 2}, r"^model\.embedding_dim must be at least ensemble\.components"),
        ({"hidden_units": (24, 1)}, r"^ensemble\.equal_cost multiplications needs layers"),
    ],
)
def test_what_cannot_be_narrowed_is_refused_before_anything_is_written(
    model: dict[str, object], words: str, tmp_path: pathlib.Path
) -> None:
    ensemble = config.Ensemble(components=3, equal_cost="multiplications")
    wrong = dataclasses.replace(EQUAL, model=dataclasses.replace(EQUAL.model, **model), ensemble=ensemble)
    with pytest.raises(InputError, match=words):
        training.train_and_evaluate(wrong, str(tmp_path / "run"))
    assert not [*tmp_path.rglob("*.*")]
