"""Distillation against hand-derived losses; no gradient reaches a teacher, and nothing of it is the student's."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from smooth_recs import losses
from smooth_recs.layers import EmbeddedFeature, StackedEmbedding, Tower
from smooth_recs.losses import TEACHER_PROBABILITY, Distillation
from smooth_recs.models import EnsembleModel, interactions
from smooth_recs.models.ranking import RankingModel

ROWS = 512


def network(seed: int, distillation: Any = None) -> RankingModel:
    tf.keras.utils.set_random_seed(seed)
    model = RankingModel(
        embeddings=StackedEmbedding([EmbeddedFeature("user", 20)], dim=4),
        numeric=["price"],
        interaction=interactions.by_name("concat"),
        top_stack=Tower([8], "smelu"),
        distillation=distillation,
    )
    model({"user": tf.constant([0]), "price": tf.constant([[0.0]])})  # makes its variables, from the seed
    model.compile(optimizer=tf.keras.optimizers.legacy.Adam(0.03))
    return model


def log() -> tuple[dict[str, tf.Tensor], tf.Tensor]:
    random = np.random.default_rng(5)
    features = {
        "user": tf.constant(random.integers(0, 20, ROWS)),
        "price": tf.constant(random.normal(size=(ROWS, 1)), tf.float32),
    }
    return features, tf.constant(random.integers(0, 2, ROWS), tf.float32)


def given(probability: Any) -> dict[str, tf.Tensor]:
    return {TEACHER_PROBABILITY: tf.constant(probability)}


def test_soft_label_by_hand() -> None:
    # sigmoid(0) = 1/2: the loss is log 2 whatever the teacher says; at logit log 3 the student says 3/4.
    found = Distillation("soft_label", 0.25)(
        tf.constant([0.8, 2.0]), tf.constant([0.0, math.log(3)]), given([0.9, 0.6]), 0
    )
    second = -0.6 * math.log(0.75) - 0.4 * math.log(0.25)
    np.testing.assert_allclose(found, [0.75 * 0.8 + 0.25 * math.log(2), 0.75 * 2.0 + 0.25 * second], rtol=1e-6)


def test_logit_by_hand() -> None:
    found = Distillation("logit", 0.5)(tf.constant([0.8]), tf.constant([2.0]), given([0.75]), 0)
    np.testing.assert_allclose(found, [0.5 * 0.8 + 0.5 * (2.0 - math.log(3)) ** 2 / 2], rtol=1e-6)


def test_the_weight_changes_over_the_run() -> None:
    objective = Distillation("logit", losses.Ramp((1.0, 0.0), total_steps=10))
    for step, weight in ((0, 1.0), (5, 0.5), (10, 0.0), (12, 0.0)):
        found = objective(tf.constant([3.0]), tf.constant([[2.0]]), given([0.5]), tf.constant(step, tf.int64))
        np.testing.assert_allclose(found, [(1 - weight) * 3.0 + weight * 2.0], rtol=1e-6)


@pytest.mark.parametrize("loss", ["soft_label", "logit"])
def test_the_gradient_leads_the_student_towards_the_teacher_and_nowhere_else(loss: str) -> None:
    logits, teacher = tf.Variable([0.4, -1.0]), tf.Variable([0.9, 0.1])
    with tf.GradientTape() as tape:
        value = Distillation(loss, 1.0, lambda features: tf.identity(teacher))(tf.zeros([2]), logits, {}, 0)
    towards, away = tape.gradient(value, [logits, teacher])
    assert away is None
    expected = 1 / (1 + np.exp([-0.4, 1.0])) - [0.9, 0.1]
    if loss == "logit":
        expected = np.array([0.4, -1.0]) - np.log([9.0, 1 / 9])
    np.testing.assert_allclose(towards, expected, rtol=1e-5)


def test_an_unknown_loss_and_a_batch_without_a_teacher() -> None:
    with pytest.raises(ValueError, match="loss must be one of soft_label, logit, got 'hinge'"):
        Distillation("hinge")
    with pytest.raises(ValueError, match="must have the feature teacher_probability, got none"):
        Distillation()(tf.zeros([1]), tf.zeros([1]), {"user": tf.constant([1])}, 0)


def test_the_teacher_is_asked_once_for_all_who_learn_from_a_batch() -> None:
    asked = []
    objective = Distillation(teacher=lambda features: asked.append(1) or features["price"][:, 0])
    features = objective.with_teacher({"price": tf.constant([[0.3]])})
    for _ in range(3):
        objective(tf.zeros([1]), tf.zeros([1]), features, 0)
    np.testing.assert_allclose(features[TEACHER_PROBABILITY], [0.3])
    assert len(asked) == 1


@pytest.mark.parametrize("loss", ["soft_label", "logit"])
def test_a_student_of_a_teacher_alone_comes_to_predict_what_it_does(loss: str) -> None:
    features, labels = log()
    teacher = network(1)
    teacher.fit(tf.data.Dataset.from_tensors((features, labels)).repeat(60), verbose=0)
    taught = teacher(features).numpy()
    student = network(2, Distillation(loss, 1.0, teacher))
    before = np.abs(student(features) - taught).mean()
    data = tf.data.Dataset.from_tensors((features, 1.0 - labels))  # labels that count for nothing
    student.fit(data.repeat(300), verbose=0)
    after = np.abs(student(features) - taught).mean()
    assert before > 0.1
    assert after < 0.15 * before
    np.testing.assert_array_equal(teacher(features), taught)  # which no step has changed


def test_nothing_of_the_teacher_is_the_students(tmp_path: Any) -> None:
    features, labels = log()
    teacher = network(1)
    student = network(2, Distillation(teacher=teacher))
    plain = network(2)
    for model in (teacher, student, plain):
        model.fit(tf.data.Dataset.from_tensors((features, labels)), verbose=0)
    shapes = [variable.shape for variable in plain.variables]
    assert [variable.shape for variable in student.variables] == shapes
    assert len(student.optimizer.variables()) == len(plain.optimizer.variables())
    keys = []
    for name, model in (("plain", plain), ("student", student)):
        path = tf.train.Checkpoint(model=model).write(str(tmp_path / name))
        keys.append({key for key, _ in tf.train.list_variables(path)})
    assert keys[0] == keys[1]


def test_what_is_reported_and_evaluated_is_the_labels_loss() -> None:
    features, labels = log()
    features |= given(np.full(ROWS, 0.9, np.float32))
    student = network(2, Distillation("soft_label", 1.0))
    plain = network(2)
    data = tf.data.Dataset.from_tensors((features, labels))
    before = [model.evaluate(data, verbose=0) for model in (student, plain)]
    assert before[0] == before[1]
    reported = [model.fit(data, verbose=0).history["loss"][0] for model in (student, plain)]
    assert reported[0] == reported[1] == pytest.approx(before[0])


def test_weights_of_examples_count_for_both_losses() -> None:
    features, labels = log()
    features |= given(np.linspace(0.01, 0.99, ROWS).astype(np.float32))
    weight = np.where(np.arange(ROWS) < 100, 2.0, 0.0).astype(np.float32)
    some = tf.nest.map_structure(lambda column: column[:100], (features, labels))
    models = [network(2, Distillation(weight=0.5)) for _ in range(2)]
    for model, batch in zip(models, ((features, labels, weight), some), strict=True):
        model.compile(optimizer=tf.keras.optimizers.legacy.SGD(1.0))
        model.fit(tf.data.Dataset.from_tensors(batch), verbose=0)
    start = network(2)
    moved = [model.output_layer.kernel - start.output_layer.kernel for model in models]
    np.testing.assert_allclose(moved[0] * ROWS / 200, moved[1], rtol=1e-4, atol=1e-7)


def test_the_components_of_an_ensemble_ask_their_teacher_once() -> None:
    features, labels = log()
    asked = []

    def teacher(batch: Any) -> tf.Tensor:
        asked.append(sorted(batch))
        return tf.fill([ROWS], 0.9)

    objective = Distillation("logit", 0.25, teacher)
    components = [network(seed, objective) for seed in (1, 2, 3)]
    ensemble = EnsembleModel(components)
    ensemble.compile(optimizer="sgd")
    found = ensemble.compute_loss((features, labels), training=True)
    assert asked == [["price", "user"]]
    expected = 0.0
    for component in components:
        logits = component.logits(features)[:, 0]
        own = tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits)
        expected += float(tf.reduce_mean(0.75 * own + 0.25 * (logits - math.log(9)) ** 2 / 2))
    assert float(found) == pytest.approx(expected, rel=1e-5)
