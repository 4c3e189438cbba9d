"""Exports of ensembles and distilled students predict what the trained models do, and carry no more than they need."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from smooth_recs import config
from smooth_recs.data.encoding import Encoder
from smooth_recs.losses import TEACHER_PROBABILITY, Distillation
from smooth_recs.models import from_config
from smooth_recs.models.cost import cost, narrowed, single
from smooth_recs.schema import Categorical, Numeric, Schema
from smooth_recs.serving import saved_model

pytestmark = pytest.mark.slow

ROWS = 5_000
SCHEMA = Schema((
    Categorical("user", "identity", ROWS, "int64"),
    Categorical("words", "hash", 30, max_values=3),
    Numeric("price", "log", "indicator"),
))  # fmt: skip
ENCODER = Encoder(SCHEMA)


def raw_rows(rows: int, seed: int) -> dict[str, tf.Tensor]:
    random = np.random.default_rng(seed)
    return {
        "user": tf.constant(random.integers(-1, 60, rows)),
        "words": tf.constant(random.choice(["one", "two", ""], (rows, 3)), tf.string),
        "price": tf.constant(random.choice([float("nan"), 0.0, 3.5], rows), tf.float32),
    }


def run(ensemble: dict[str, Any], **model: Any) -> config.Config:
    sizes = {"hidden_units": (12, 6), "bottom_units": (4,), "embedding_dim": 6} | model
    return config.Config(model=config.Model(**sizes), ensemble=config.Ensemble(**ensemble))


def trained(settings: config.Config, distillation: Any = None) -> Any:
    """The model after some steps that leave no two components alike."""
    tf.keras.utils.set_random_seed(1)
    model = from_config.model(settings, ENCODER, distillation=distillation)
    train = config.Train(dense_learning_rate=0.05, embedding_learning_rate=0.3, initial_accumulator=0.1)
    model.compile(optimizer=from_config.optimizer(model, train, total_steps=12))
    features = ENCODER(raw_rows(200, seed=2))
    if distillation is not None:
        features[TEACHER_PROBABILITY] = tf.random.uniform([200], seed=4)
    labels = tf.constant(np.random.default_rng(3).integers(0, 2, 200), tf.float32)
    model.fit(tf.data.Dataset.from_tensor_slices((features, labels)).batch(50), epochs=3, verbose=0)
    return model


def loaded(path: str) -> Any:
    return tf.saved_model.load(path)


def served(export_: Any, raw: dict[str, tf.Tensor]) -> Any:
    return export_.signatures["serving_default"](**raw)["probability"].numpy()


def stored_parameters(export_: Any) -> int:
    """How many numbers the export has that are trained: those of floats."""
    return sum(math.prod(v.shape) for v in export_.model_variables if v.dtype == tf.float32)


ENSEMBLES: dict[str, dict[str, Any]] = {
    "one lookup": {},
    "tables of their own": {"tables": "separate"},
    "logit": {"average": "logit"},
    "equal cost": {"equal_cost": "parameters"},
    "distilled from each other": {"codistillation": 1.0, "stale_steps": 2},
}


@pytest.mark.parametrize("kind", ENSEMBLES)
def test_an_ensemble_predicts_as_it_was_trained(kind: str, tmp_path: Path) -> None:
    settings = run({"components": 3} | ENSEMBLES[kind], linear=kind == "logit")
    model, raw = trained(settings), raw_rows(300, seed=5)
    exported = loaded(saved_model.save(model, ENCODER, str(tmp_path)))
    predictions = served(exported, raw)
    np.testing.assert_allclose(predictions, model(ENCODER(raw)), rtol=0, atol=1e-6)

    alone = [model.component_model(k)(ENCODER(raw)).numpy().astype(np.float64) for k in range(3)]
    assert np.abs(alone[0] - alone[1]).max() > 1e-3
    if kind == "logit":
        logit = np.mean([np.log(p / (1 - p)) for p in alone], axis=0)
        np.testing.assert_allclose(predictions, 1 / (1 + np.exp(-logit)), rtol=0, atol=1e-5)
    else:
        np.testing.assert_allclose(predictions, np.mean(alone, axis=0), rtol=0, atol=1e-5)
    assert stored_parameters(exported) == cost(settings, ENCODER).parameters


@pytest.mark.parametrize("tables", ["shared", "separate"])
@pytest.mark.parametrize("equal_cost", ["none", "multiplications"])
def test_the_first_component_is_exported_alone(tables: str, equal_cost: str, tmp_path: Path) -> None:
    settings = run({"components": 3, "deployed": "first", "tables": tables, "equal_cost": equal_cost})
    model, raw = trained(settings), raw_rows(300, seed=5)
    path = saved_model.save(model, ENCODER, str(tmp_path))
    np.testing.assert_allclose(served(loaded(path), raw), model(ENCODER(raw)), rtol=0, atol=1e-6)
    one = cost(single(narrowed(settings, ENCODER)), ENCODER)
    assert stored_parameters(loaded(path)) == one.parameters
    data = os.path.getsize(os.path.join(path, "variables", "variables.data-00000-of-00001"))
    assert one.parameters * 4 <= data < one.parameters * 4 + 10_000  # the rest: a few counters and names


def test_one_row_and_none_are_served(tmp_path: Path) -> None:
    exported = loaded(saved_model.save(trained(run({"components": 2})), ENCODER, str(tmp_path)))
    rows = raw_rows(5, seed=7)
    together = served(exported, rows)
    np.testing.assert_allclose(served(exported, {n: x[3:4] for n, x in rows.items()}), together[3:4], atol=1e-6)
    assert served(exported, {name: x[:0] for name, x in rows.items()}).shape == (0,)


def test_learned_activations_of_components_become_constants(tmp_path: Path) -> None:
    learned = {"class_name": "GSmeLU", "config": {"t": -0.1, "learn": "all", "per": "unit"}}
    settings = run({"components": 2, "deployed": "first"}, activation=learned)
    model, raw = trained(settings), raw_rows(50, seed=5)
    exported = loaded(saved_model.save(model, ENCODER, str(tmp_path)))
    before = model(ENCODER(raw)).numpy()
    for variable in model.trainable_variables:
        variable.assign_add(tf.ones_like(variable))
    np.testing.assert_allclose(served(exported, raw), before, rtol=0, atol=1e-6)


@pytest.mark.parametrize("components", [1, 2])
def test_a_distilled_student_needs_no_teacher(components: int, tmp_path: Path) -> None:
    student = trained(run({"components": components}), Distillation("soft_label", weight=0.7))
    exported = loaded(saved_model.save(student, ENCODER, str(tmp_path)))
    inputs = exported.signatures["serving_default"].structured_input_signature[1]
    assert set(inputs) == {feature.name for feature in SCHEMA.features}
    raw = raw_rows(300, seed=5)
    np.testing.assert_allclose(served(exported, raw), student(ENCODER(raw)), rtol=0, atol=1e-6)
