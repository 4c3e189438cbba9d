"""Compiled training steps together with all else that a model can have, up to its export.

Each case has many parts at once. Siblings that differ in nothing stay equal to the bit, a resumed run has the bits of
one that was not stopped, and TensorFlow's C++ runtime predicts from the export what the model does.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import tensorflow as tf

from smooth_recs import losses
from smooth_recs.callbacks import AverageWeights
from smooth_recs.config import Config, Ensemble, Model, Train
from smooth_recs.data.encoding import Encoder
from smooth_recs.models import SiblingModel, from_config
from smooth_recs.models.trackable import trackable
from smooth_recs.schema import Categorical, Numeric, Schema
from smooth_recs.serving import checks, saved_model
from smooth_recs.serving.loader import LoadedModel

pytestmark = pytest.mark.both_generations

ROWS, BATCH, STEPS = 40, 16, 6  # two passes over batches of 16, 16 and 8
FEATURES = (
    Categorical("user", "identity", 7, "int64"),
    Categorical("tags", "identity", 9, "int64", max_values=3),
    Numeric("price", "identity", "zero"),
)
LEARNED = {"class_name": "GSmeLU", "config": {"alpha": 0.4, "beta": 0.6, "t": -0.1, "learn": "all", "per": "unit"}}
LEAKY = {"class_name": "GSmeLU", "config": {"alpha": 0.4, "beta": 0.6, "g_minus": 0.1}}


class Case(NamedTuple):
    """What a model is made of: the configuration, its labels, the loss of distillation, and an average's half-life."""

    config: Config
    labels: tuple[str, ...] = ("label",)
    distillation: str | None = None
    half_life: float = 0


CASES = {
    "a distilled ensemble of learned widths, admission, no clip": Case(
        Config(
            model=Model(
                LEARNED, hidden_units=(8, 4), interaction="cross", clip=0, admission=2, dropout=0.3, linear=True
            ),
            ensemble=Ensemble(components=2, average="logit", decorrelation=0.1),
            train=Train(dense_optimizer="sgd", clip_norm=0.1),
        ),
        distillation="logit",
    ),
    "two labels, layers of a unit, an average": Case(
        Config(
            model=Model(
                LEAKY, hidden_units=(6, 1, 5), bottom_units=(1,), interaction="dot", clip=0.3, embedding_l2=0.01,
                l2=0.01, task_weights=(1.0, 0.5),
            ),
            train=Train(embedding_optimizer="adam", final_learning_rate_share=0.1),
        ),
        labels=("click", "buy"),
        half_life=3,
    ),
}  # fmt: skip


def raw_rows() -> dict[str, np.ndarray]:
    random = np.random.default_rng(1)
    return {
        "user": random.integers(-1, 9, ROWS),
        "tags": random.integers(-1, 10, (ROWS, 3)),
        "price": random.normal(size=ROWS).astype(np.float32),
    }


def encoded(encoder: Encoder) -> dict[str, tf.Tensor]:
    return encoder({name: tf.constant(values) for name, values in raw_rows().items()})


def data(case: Case, encoder: Encoder) -> tf.data.Dataset:
    random = np.random.default_rng(2)
    teacher = random.uniform(size=ROWS).astype(np.float32)
    features = encoded(encoder) | ({losses.TEACHER_PROBABILITY: teacher} if case.distillation else {})
    label = (random.uniform(size=(ROWS, len(case.labels))) < 0.4).astype(np.float32)
    weight = random.uniform(0.5, 2, ROWS).astype(np.float32)
    rows = features, label if len(case.labels) > 1 else label[:, 0], weight
    return tf.data.Dataset.from_tensor_slices(rows).batch(BATCH)


def siblings_of(case: Case, encoder: Encoder, form: Any, replicas: int = 2) -> SiblingModel:
    config = from_config.resolved(case.config)
    config.model.compile_dense = form
    train = dataclasses.replace(config.train, initial_accumulator=0.1, dense_learning_rate=0.05)

    def build() -> Any:
        tf.keras.utils.set_random_seed(3)
        taught = losses.Distillation(case.distillation, losses.Ramp((0.2, 0.8), STEPS)) if case.distillation else None
        model = from_config.model(config, encoder, total_steps=STEPS, distillation=taught)
        model.compile(optimizer=from_config.optimizer(model, train, STEPS))
        return model

    made = SiblingModel(build, replicas, differ="nothing")
    made.compile(steps_per_execution=2)
    made.build_replicas(data(case, encoder).element_spec)
    for replica in made.replicas:
        replica.make_slots()
    return made


def trained(siblings: SiblingModel, case: Case, encoder: Encoder) -> float:
    """Trains for half of all steps; the loss that is reported."""
    averages = [AverageWeights(half_life=case.half_life)] if case.half_life else []
    fit = siblings.fit(data(case, encoder), steps_per_epoch=STEPS // 2, verbose=0, callbacks=averages)
    return float(fit.history["loss"][0])


def weights(siblings: SiblingModel, k: int = 0) -> list[np.ndarray]:
    return [np.asarray(variable) for variable in siblings.replicas[k].trainable_variables]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.one_generation] if CASES[name].distillation else []) for name in CASES],
)
def test_a_compiled_step_is_the_step(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    encoder = Encoder(Schema(FEATURES, label=case.labels if len(case.labels) > 1 else case.labels[0]))
    plain, fast, resumed = (
        siblings_of(case, encoder, form, replicas) for form, replicas in (("never", 1), ("always", 2), ("always", 2))
    )
    reported = [trained(each, case, encoder) for each in (plain, fast)]
    path = tf.train.Checkpoint(model=trackable(fast)).write(str(tmp_path / "checkpoint"))
    reported += [trained(each, case, encoder) for each in (plain, fast)]
    # Sums of 40 numbers at most, in another order: 40 roundings of 2^-24 in each of 6 steps, times 4 for their growth.
    np.testing.assert_allclose(reported[1::2], reported[::2], rtol=6e-5)
    for one, other in zip(weights(plain), weights(fast), strict=True):
        np.testing.assert_allclose(other, one, rtol=6e-5, atol=6e-6)
    held_out = [each.evaluate(data(case, encoder), return_dict=True, verbose=0)["loss"] for each in (plain, fast)]
    np.testing.assert_allclose(*held_out, rtol=6e-5)

    tf.train.Checkpoint(model=trackable(resumed)).read(path).assert_existing_objects_matched()
    trained(resumed, case, encoder)
    for first, *others in zip(weights(fast), weights(fast, 1), weights(resumed), strict=True):
        for other in others:
            np.testing.assert_array_equal(other, first)

    replica = fast.deployed_model().replicas[0]
    with LoadedModel(saved_model.save(replica, encoder, str(tmp_path / "export"))) as loaded:
        served = loaded.run("serving_default", raw_rows())
    deployed, rows = replica.deployed_model(), encoded(encoder)
    several = len(case.labels) > 1
    expected = deployed.task_probabilities(rows) if several else deployed(rows, training=False)
    found = np.stack([served["probability"], served["buy"]], axis=1) if several else served["probability"]
    np.testing.assert_allclose(found, expected, rtol=0, atol=checks.TOLERANCE)
    assert np.ptp(found) > 1e-3
