"""Ensembles against their components trained alone, hand-computed losses, and what is saved of them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from smooth_recs import config, training
from smooth_recs.callbacks.checkpoints import Checkpoints
from smooth_recs.cluster.task import Task
from smooth_recs.data.encoding import Encoder
from smooth_recs.data.presets import open_source
from smooth_recs.errors import InputError
from smooth_recs.layers import EmbeddedFeature, StackedEmbedding, Tower
from smooth_recs.layers.embedding import Columns
from smooth_recs.losses import Ramp
from smooth_recs.models import EnsembleModel, RankingModel, SiblingModel, from_config, generation, interactions
from smooth_recs.schema import Categorical, Numeric, Schema
from smooth_recs.training import loop, warm_start
from smooth_recs.training.role import Role

SCHEMA = Schema(
    (
        Categorical("user", "identity", 30, "int64"),
        Categorical("tags", "identity", 6, "int64", max_values=3, combiner="sum"),
        Numeric("price", "identity", "zero"),
    )
)
ENCODER = Encoder(SCHEMA)
TABLE_ROWS = 32 + 8
MODEL = config.Model(hidden_units=(8, 4), embedding_dim=4, bottom_units=(3,))
SMALL = dataclasses.replace(MODEL, hidden_units=(4,), bottom_units=())  # where several steps are traced
TRAIN = config.Train(dense_learning_rate=0.1, embedding_learning_rate=0.3, initial_accumulator=0.1)
BATCH = 16
Batch = tuple[dict[str, tf.Tensor], tf.Tensor, tf.Tensor]


def batches(count: int, seed: int = 1) -> list[Batch]:
    random = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        features = {
            "user": tf.constant(random.integers(0, 30, BATCH)),
            "tags": tf.constant(random.integers(-1, 6, (BATCH, 3))),
            "price": tf.constant(random.normal(size=(BATCH, 1)), tf.float32),
        }
        label = tf.cast(features["user"] % 3 == 0, tf.float32)
        found.append((features, label, tf.constant(random.uniform(0.5, 2, BATCH), tf.float32)))
    return found


def compiled(model: Any, train: config.Train = TRAIN) -> Any:
    model.compile(optimizer=from_config.optimizer(model, train, total_steps=100))
    return model


def tasks_of(labels: tf.Tensor) -> tf.Tensor:
    """Two labels, [batch, 2], the second of which is the first one's opposite."""
    return tf.stack([labels, 1 - labels], axis=1)


def ensemble_of(
    model: config.Model = MODEL,
    train: config.Train = TRAIN,
    total_steps: int = 100,
    distillation: Any = None,
    **how: Any,
) -> EnsembleModel:
    """With its variables; three components unless said otherwise."""
    run = config.Config(model=model, ensemble=config.Ensemble(**({"components": 3} | how)))
    made = from_config.model(run, ENCODER, total_steps=total_steps, distillation=distillation)
    assert isinstance(made, EnsembleModel)
    made(batches(1)[0][0])
    return compiled(made, train)


def sigmoid(logits: Any) -> np.ndarray:
    return 1 / (1 + np.exp(-np.asarray(logits, np.float64)))


def log_losses(label: Any, probability: Any) -> np.ndarray:
    y, p = np.asarray(label, np.float64), np.asarray(probability, np.float64)
    return -y * np.log(p) - (1 - y) * np.log(1 - p)


def without_metrics(model: Any) -> list[tf.Variable]:
    metrics = {id(variable) for metric in model.metrics for variable in metric.variables}
    return [variable for variable in model.variables if id(variable) not in metrics]


@pytest.mark.both_generations
@pytest.mark.parametrize(
    ("tables", "model"),
    [
        ("shared", MODEL),
        ("shared", dataclasses.replace(SMALL, admission=2, l2=0.01, interaction="dot")),
        ("separate", dataclasses.replace(SMALL, interaction="cross")),
    ],
)
def test_each_component_trains_as_it_would_alone(tables: str, model: config.Model) -> None:
    tf.keras.utils.set_random_seed(1)
    ensemble = ensemble_of(model, tables=tables)
    alone = []
    for k in range(3):
        twin = from_config.ranking_model(model, ENCODER)
        twin(batches(1)[0][0])
        for variable, value in zip(twin.variables, ensemble.component_model(k).variables, strict=True):
            variable.assign(value)
        alone.append(compiled(twin))
    steps = [tf.function(each.train_step) for each in (ensemble, *alone)]
    for batch in batches(12):
        for step in steps:
            step(batch)
    held_out = batches(1, seed=9)[0][0]
    predicted = [ensemble.component_model(k)(held_out) for k in range(3)]
    for k, twin in enumerate(alone):
        np.testing.assert_allclose(predicted[k], twin(held_out), rtol=2e-6)
        for variable, other in zip(without_metrics(twin), without_metrics(ensemble.component_model(k)), strict=True):
            np.testing.assert_allclose(variable, other, rtol=1e-5, atol=1e-6)
    assert np.ptp(predicted, axis=0).min() > 1e-4, "components differ"


@pytest.mark.parametrize(("tables", "lookups"), [("shared", 1), ("separate", 3)])
def test_components_side_by_side_cost_one_lookup(tables: str, lookups: int) -> None:
    ensemble = ensemble_of(SMALL, tables=tables)
    assert [v.shape.as_list() for v in ensemble.embedding_variables] == [[TABLE_ROWS, 12 // lookups]] * lookups
    graph = tf.function(ensemble.train_step).get_concrete_function(batches(1)[0]).graph
    tables_inside = {
        id(inside)
        for outside, inside in graph.captures
        if any(outside is v.handle for v in ensemble.embedding_variables)
    }
    kinds = [
        (operation.type, id(operation.inputs[0]) in tables_inside)
        for operation in graph.get_operations()
        if operation.inputs
    ]
    assert kinds.count(("ResourceGather", True)) == 2 * lookups, "once for the model, once for the update"
    assert kinds.count(("ResourceGather", False)) == lookups, "of Adagrad's sums"
    assert kinds.count(("ResourceScatterUpdate", True)) == lookups
    assert kinds.count(("ResourceScatterUpdate", False)) == lookups


@pytest.mark.parametrize("average", ["probability", "logit"])
def test_average(average: str) -> None:
    ensemble = ensemble_of(average=average)
    features = batches(1)[0][0]
    logits = ensemble.component_logits(features)[0].numpy()
    assert logits.shape == (BATCH, 3)
    for k in range(3):
        np.testing.assert_allclose(ensemble.components[k].logits(features)[:, 0], logits[:, k], atol=1e-6)
        np.testing.assert_allclose(ensemble.component_model(k)(features), sigmoid(logits[:, k]), rtol=1e-6)
    expected = sigmoid(logits).mean(axis=1) if average == "probability" else sigmoid(logits.mean(axis=1))
    np.testing.assert_allclose(ensemble(features), expected, rtol=1e-6)
    assert ensemble(features).shape == (BATCH,)
    assert ensemble.deployed_model() is ensemble


def test_far_log_odds_are_averaged_without_overflow() -> None:
    ensemble = ensemble_of()
    for component, bias in zip(ensemble.components, (-200.0, -201.0, -90.0), strict=True):
        component.output_layer.bias.assign([bias])
        component.output_layer.kernel.assign(tf.zeros_like(component.output_layer.kernel))
    np.testing.assert_allclose(ensemble.logits(batches(1)[0][0]), np.full([BATCH, 1], -90 - np.log(3)), rtol=1e-6)


@pytest.mark.both_generations
def test_the_first_component_alone_is_deployed() -> None:
    ensemble = ensemble_of(dataclasses.replace(MODEL, admission=2), deployed="first")
    for batch in batches(4):
        ensemble.train_step(batch)
    features, label, weight = batches(1, seed=5)[0]
    first = sigmoid(ensemble.component_logits(features)[0][:, 0])
    np.testing.assert_allclose(ensemble(features), first, rtol=1e-6)
    alone = ensemble.deployed_model()
    np.testing.assert_array_equal(alone(features), ensemble(features))
    assert [v.shape.as_list() for v in alone.embedding_variables] == [[TABLE_ROWS, 4]]
    of_one = sum(np.prod(v.shape) for v in from_config_variables())
    assert sum(int(np.prod(v.shape)) for v in alone.trainable_variables) == of_one
    ensemble.reset_metrics()
    reported = ensemble.test_step((features, label, weight))["loss"]
    assert float(reported) == pytest.approx(np.average(log_losses(label, first), weights=weight), rel=1e-5)


def from_config_variables() -> list[tf.Variable]:
    model = from_config.ranking_model(MODEL, ENCODER)
    model(batches(1)[0][0])
    return model.trainable_variables


@pytest.mark.parametrize("training", [False, True])
def test_reported_is_the_loss_of_the_average(training: bool) -> None:
    ensemble = ensemble_of(decorrelation=1.0, codistillation=1.0)
    features, label, weight = batches(1)[0]
    expected = np.average(log_losses(label, ensemble(features)), weights=weight)
    step = ensemble.train_step if training else ensemble.test_step
    assert float(step((features, label, weight))["loss"]) == pytest.approx(expected, rel=1e-5)
    assert ensemble.get_metrics_result().keys() == {"loss"}


def test_what_is_minimised_by_hand() -> None:
    """At step 25 of 100 the weights are 0.5 and 0.25."""
    ensemble = ensemble_of(
        dataclasses.replace(MODEL, linear=True), decorrelation=(0.0, 2.0), codistillation=(0.25, 0.25)
    )
    features, label, weight = batches(1)[0]
    ensemble.components[0].linear.table.embeddings.assign_add(tf.random.normal([TABLE_ROWS, 1]))
    ensemble.optimizer.iterations.assign(25)
    deep, linear = (x.numpy().astype(np.float64) for x in ensemble.component_logits(features))
    assert np.abs(linear).max() > 0.1
    own, w = sigmoid(deep + linear), weight.numpy()
    others = (own.sum(axis=1, keepdims=True) - own) / 2
    expected = sum(np.mean(w * log_losses(label, own[:, k])) for k in range(3))
    towards = -others * np.log(own) - (1 - others) * np.log(1 - own)
    expected += 0.25 * sum(np.mean(w * towards[:, k]) for k in range(3))
    centred = deep - np.average(deep, axis=0, weights=w)
    covariance = (w[:, None] * centred).T @ centred
    squares = covariance**2 / np.outer(np.diag(covariance), np.diag(covariance))
    expected += 0.5 * (squares[0, 1] + squares[0, 2] + squares[1, 2]) / 3
    assert float(ensemble.compute_loss((features, label, weight), training=True)) == pytest.approx(expected, rel=1e-5)
    held_out = float(ensemble.compute_loss((features, label, weight)))
    assert held_out == pytest.approx(np.mean(w * log_losses(label, own.mean(axis=1))), rel=1e-5)


def test_codistillation_moves_each_towards_the_others_and_never_them() -> None:
    """The gradient of the bias of component k is the mean of w (s_k - y) + c w (s_k - q_k), q_k held fixed."""
    ensemble = ensemble_of(codistillation=0.7)
    features, label, weight = batches(1)[0]
    with tf.GradientTape() as tape:
        loss = ensemble.compute_loss((features, label, weight), training=True)
    found = tape.gradient(loss, [component.output_layer.bias for component in ensemble.components])
    own = sigmoid(ensemble.component_logits(features)[0])
    others = (own.sum(axis=1, keepdims=True) - own) / 2
    expected = np.mean(weight[:, None] * (own - label[:, None] + 0.7 * (own - others)), axis=0)
    np.testing.assert_allclose([g[0] for g in found], expected, rtol=1e-4)


def test_decorrelation_drives_components_apart_and_codistillation_together() -> None:
    spread, alike = {}, {}
    for name, how in {"none": {}, "anti": {"decorrelation": 3.0}, "co": {"codistillation": 10.0}}.items():
        tf.keras.utils.set_random_seed(1)
        ensemble = ensemble_of(SMALL, **how)
        step = tf.function(ensemble.train_step)
        for batch in batches(60):
            step(batch)
        logits = np.concatenate([ensemble.component_logits(batch[0])[0] for batch in batches(4)])
        spread[name] = sigmoid(logits).std(axis=1).mean()
        alike[name] = np.mean(np.corrcoef(logits.T)[np.triu_indices(3, 1)] ** 2)
    assert alike["anti"] < alike["none"] - 0.1
    assert spread["co"] < 0.7 * spread["none"]


def test_stale_predictions_are_those_of_the_last_refresh() -> None:
    ensemble = ensemble_of(SMALL, codistillation=1.0, stale_steps=3)
    assert len(ensemble.variables) == len(ensemble_of(SMALL, codistillation=1.0).variables), "copies are no variables"
    step, minimised = tf.function(ensemble.train_step), tf.function(ensemble.compute_loss)
    everything = batches(6)

    def predictions(batch: Batch) -> np.ndarray:
        return sigmoid(ensemble.component_logits(batch[0])[0])

    def expected(batch: Batch, own: np.ndarray, then: np.ndarray) -> float:
        others = (then.sum(axis=1, keepdims=True) - then) / 2
        towards = -others * np.log(own) - (1 - others) * np.log(1 - own)
        return float(np.mean(batch[2] * sum(log_losses(batch[1], own[:, k]) + towards[:, k] for k in range(3))))

    for number, batch in enumerate(everything):
        if number % 3 == 0:
            then = [predictions(b) for b in everything]
        own = predictions(batch)
        found = float(minimised(batch, training=True))
        assert found == pytest.approx(expected(batch, own, then[number]), rel=1e-5)
        if number % 3 == 2:
            assert found != pytest.approx(expected(batch, own, own), rel=1e-4), "what is stale has moved on"
        step(batch)


@pytest.mark.parametrize("differ", ["order", "nothing", "init"])
@pytest.mark.parametrize("init", ["different", "same"])
def test_initialisation(differ: str, init: str) -> None:
    model = dataclasses.replace(MODEL, dropout=0.5, linear=True)
    siblings = SiblingModel(lambda: ensemble_of(model, init=init, codistillation=1.0, stale_steps=2), 2, differ)
    siblings.compile()
    siblings.build_replicas(tf.data.Dataset.from_tensors(batches(1)[0]).element_spec)
    one, other = siblings.replicas
    equal = [np.array_equal(a, b) for a, b in zip(one.trainable_variables, other.trainable_variables, strict=True)]
    assert all(equal) == (differ != "init")
    first, second = (one.component_model(k).variables for k in (0, 1))
    kernels = [(a, b) for a, b in zip(first, second, strict=True) if len(a.shape) == 2 and a is not b]
    assert len(kernels) >= 5
    assert [np.array_equal(a, b) for a, b in kernels] == [init == "same"] * len(kernels)


def test_dropout_is_another_one_in_each_component_and_the_same_in_siblings() -> None:
    model = dataclasses.replace(SMALL, dropout=0.5)
    features = batches(1)[0][0]
    logits = []
    for _ in range(2):
        tf.keras.utils.set_random_seed(1)
        ensemble = ensemble_of(model, components=2, init="same")
        logits.append(tf.function(lambda x, e=ensemble: e.component_logits(x, training=True)[0])(features).numpy())
        still = ensemble.component_logits(features)[0].numpy()
        np.testing.assert_array_equal(still[:, 0], still[:, 1])
    np.testing.assert_array_equal(*logits)
    assert not np.array_equal(logits[0][:, 0], logits[0][:, 1])


@pytest.mark.both_generations
def test_a_resumed_ensemble_is_the_uninterrupted_one(tmp_path: Path) -> None:
    """Stale weights, steps and the anchor come back: after 4 steps and a restart, 4 more give what 8 give."""
    data = tf.data.Dataset.from_tensor_slices(
        tuple(tf.nest.map_structure(lambda *x: tf.stack(x), *batches(8)))  # type: ignore[arg-type]
    )

    def made() -> SiblingModel:
        tf.keras.utils.set_random_seed(3)
        how = {"codistillation": (0.5, 1.0), "decorrelation": (1.0, 0.0), "stale_steps": 3}
        siblings = SiblingModel(lambda: ensemble_of(SMALL, total_steps=8, components=2, **how), 1)
        siblings.compile()
        siblings.build_replicas(data.element_spec)
        for replica in siblings.replicas:
            replica.set_anchor(0.1)
        return siblings

    whole, first = made(), made()
    whole.fit(data, verbose=0)
    first.fit(data.take(4), verbose=0, callbacks=[Checkpoints(first, str(tmp_path))])
    resumed = made()
    for variable in resumed.variables:
        variable.assign(tf.zeros_like(variable))
    for replica in resumed.replicas:
        replica.set_anchor(0.1)
    assert Checkpoints(resumed, str(tmp_path)).restore() == 4
    resumed.fit(data.skip(4), verbose=0)
    for a, b in zip(without_metrics(whole), without_metrics(resumed), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.both_generations
def test_warm_start_of_an_ensemble(tmp_path: Path) -> None:
    def made(seed: int) -> SiblingModel:
        tf.keras.utils.set_random_seed(seed)
        siblings = SiblingModel(lambda: ensemble_of(SMALL, codistillation=1.0, stale_steps=2), 1)
        siblings.compile()
        siblings.build_replicas(tf.data.Dataset.from_tensors(batches(1)[0]).element_spec)
        siblings.replicas[0].make_slots()
        return siblings

    before = made(1)
    before.fit(tf.data.Dataset.from_tensors(batches(1)[0]), verbose=0, callbacks=[Checkpoints(before, str(tmp_path))])
    here = made(2)
    report = warm_start.initialise(here, str(tmp_path), ENCODER)
    # Without an encoder.json nobody knows what the rows of the tables stand for.
    assert {name for name in report.left if name != "embeddings/embeddings"} == set()
    assert len(report.taken) == len(without_metrics(here.replicas[0])) - 1
    assert "components/2/top_stack/hidden/0/kernel" in report.taken


def test_anchor_by_hand(tmp_path: Path) -> None:
    """SGD with rate 1: an anchored step adds -weight (d - d_0) to the step of a free model; d_0 is no variable."""
    train = config.Train(dense_optimizer="sgd", dense_learning_rate=1.0)
    (batch,) = batches(1)
    for build in (lambda: ensemble_of(train=train), lambda: compiled(from_config.ranking_model(MODEL, ENCODER), train)):
        steps = []
        for weight in (0.0, 0.25):
            tf.keras.utils.set_random_seed(1)
            model = build()
            model(batch[0])
            count, loss = len(model.variables), float(model.compute_loss(batch, training=True))
            model.set_anchor(weight)
            assert len(model.variables) == count
            assert len(model.copies) == (weight > 0)
            moved = [tf.random.stateless_normal(v.shape, [1, k]) for k, v in enumerate(model.dense_variables)]
            for variable, value in zip(model.dense_variables, moved, strict=True):
                variable.assign_add(value)
            before = [v.numpy() for v in model.dense_variables]
            model.train_step(batch)
            steps.append([v.numpy() - b for v, b in zip(model.dense_variables, before, strict=True)])
            assert loss > 0
        for free, anchored, away in zip(*steps, moved, strict=True):
            np.testing.assert_allclose(anchored - free, -0.25 * away, atol=2e-6)


def test_an_anchor_can_be_lifted_and_needs_variables_and_a_weight() -> None:
    model = ensemble_of()
    model.set_anchor(1.0)
    model.set_anchor(0.0)
    assert model.copies == []
    with pytest.raises(ValueError, match="weight must be at least 0, got -1"):
        model.set_anchor(-1)
    with pytest.raises(ValueError, match="the model must have its variables before it is anchored"):
        from_config.ranking_model(MODEL, ENCODER).set_anchor(1.0)


def test_distillation_is_asked_by_every_component_for_unweighted_examples() -> None:
    """A teacher that asks for the mean of the labels' loss and half the squared logit, at step 7."""
    asked = []

    def distillation(label_loss: tf.Tensor, logits: tf.Tensor, features: Any, iterations: Any) -> tf.Tensor:
        asked.append((label_loss.numpy(), int(iterations), sorted(features)))
        return 0.5 * label_loss + 0.25 * tf.square(logits[:, 0])

    (batch,) = batches(1)
    features, label, weight = batch
    ensemble = ensemble_of(distillation=distillation)
    ensemble.optimizer.iterations.assign(7)
    logits = ensemble.component_logits(features)[0].numpy().astype(np.float64)
    losses = np.stack([log_losses(label, sigmoid(logits[:, k])) for k in range(3)])
    found = float(ensemble.compute_loss(batch, training=True))
    assert found == pytest.approx(np.sum(np.mean(weight * (0.5 * losses + 0.25 * logits.T**2), axis=1)), rel=1e-5)
    assert [(steps, names) for _, steps, names in asked] == [(7, ["price", "tags", "user"])] * 3
    np.testing.assert_allclose([loss for loss, _, _ in asked], losses, rtol=1e-5)
    reported = np.average(log_losses(label, ensemble(features)), weights=weight)
    assert float(ensemble.loss_mean.result()) == pytest.approx(reported)
    asked.clear()
    ensemble.test_step(batch)
    assert not asked, "held-out rows need no teacher"
    alone = compiled(from_config.ranking_model(MODEL, ENCODER, distillation))
    logits = alone.logits(features)[:, 0].numpy()
    expected = np.mean(weight * (0.5 * log_losses(label, sigmoid(logits)) + 0.25 * logits**2))
    assert float(alone.compute_loss(batch, training=True)) == pytest.approx(expected, rel=1e-5)


def test_equal_cost_makes_components_narrower() -> None:
    single = sum(int(np.prod(v.shape)) for v in from_config_variables())
    for what in ("parameters", "multiplications"):
        narrow = ensemble_of(equal_cost=what)
        assert narrow.embeddings.dim == 3
        assert sum(int(np.prod(v.shape)) for v in narrow.trainable_variables) <= single


def test_numeric_features_alone_make_an_ensemble() -> None:
    encoder = Encoder(Schema((Numeric("price", "identity", "zero"),)))
    run = config.Config(model=MODEL, ensemble=config.Ensemble(components=2))
    ensemble = compiled(from_config.model(run, encoder))
    features, label, weight = batches(1)[0]
    ensemble.train_step(({"price": features["price"]}, label, weight))
    assert ensemble.embedding_variables == []
    assert len(ensemble.optimizer.optimizers) == 1


def network(embeddings: Any = None, **parts: Any) -> RankingModel:
    parts = {"interaction": interactions.Concatenation(), "top_stack": Tower([3])} | parts
    return RankingModel(embeddings=embeddings, numeric=["price"], **parts)


def test_wrong_components_are_refused() -> None:
    table = StackedEmbedding([EmbeddedFeature("user", 9)], 6)
    linear = tf.keras.layers.Dense(1)
    for components, message in (
        ([network()], "components must be two or more, got 1"),
        ([network(), network(outputs=2)], r"components must have one output each, or the same tasks, got \[1, 2\]"),
        ([network(linear=linear), network()], "components must have one linear part, the same object"),
        ([network(Columns(table, 0, 2)), network()], "components must have all Columns of one layer"),
        ([network(Columns(table, 0, 2)), network(Columns(table, 0, 2))], "components must have all Columns"),
        ([network(Columns(table, k, 3)) for k in range(2)], "components must have all Columns"),
    ):
        with pytest.raises(ValueError, match=message):
            EnsembleModel(components)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"average": "odds"}, "average must be one of probability, logit, got 'odds'"),
        ({"deployed": "last"}, "deployed must be one of average, first, got 'last'"),
        ({"init": "equal"}, "init must be one of different, same, got 'equal'"),
        ({"stale_steps": 3}, "stale_steps must be above 0 with stale, and 0 without, got 3"),
        ({"codistillation": -1.0}, "value must be one or two numbers of at least 0, got -1.0"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EnsembleModel([network(), network()], **settings)


def test_columns_of_a_wider_layer() -> None:
    table = StackedEmbedding([EmbeddedFeature("user", 3)], 6)
    inputs = {"user": tf.constant([2])}
    table(inputs)
    table.embeddings.assign(tf.reshape(tf.range(18.0), [3, 6]))
    middle = Columns(table, 1, 3)
    np.testing.assert_array_equal(middle(inputs), [[[14.0, 15.0]]])
    alone = middle.alone()
    np.testing.assert_array_equal(alone.embeddings, [[2.0, 3.0], [8.0, 9.0], [14.0, 15.0]])
    for index, of, message in ((0, 4, "of must divide the 6 columns"), (3, 3, "index must be at least 0 and below 3")):
        with pytest.raises(ValueError, match=message):
            Columns(table, index, of)


@pytest.mark.both_generations
def test_an_ensemble_put_together_by_hand_trains() -> None:
    """The example of the class, with losses that change."""
    table = StackedEmbedding([EmbeddedFeature("user", 100)], dim=3 * 8)
    ensemble = EnsembleModel(
        [
            RankingModel(
                embeddings=Columns(table, k, of=3),
                interaction=interactions.Concatenation(),
                top_stack=Tower([32, 16], activation="relu"),
            )
            for k in range(3)
        ],
        decorrelation=Ramp((0.0, 0.1), 10),
    )
    ensemble.compile(optimizer=generation.Adagrad(0.5))
    users = np.random.default_rng(1).integers(0, 100, 512)
    dataset = tf.data.Dataset.from_tensor_slices(({"user": users}, (users % 2).astype(np.float32))).batch(64)
    losses = ensemble.fit(dataset, epochs=8, verbose=0).history["loss"]
    assert losses[-1] < 0.1 < losses[0]
    assert ensemble.evaluate(dataset, verbose=0) == pytest.approx(losses[-1], abs=0.05)


CHIEF = Task("chief", 0, {"chief": ("a:2222",), "worker": ("b:2222",), "ps": ("c:2222",)})


def test_parameter_servers_cannot_keep_stale_weights() -> None:
    run = config.Config(ensemble=config.Ensemble(components=2, codistillation=1.0, stale_steps=5))
    with pytest.raises(InputError, match=r"ensemble.stale_steps must be 0 under parameter_server, .* got 5"):
        loop.check(run, None, Role(task=CHIEF))  # type: ignore[arg-type]


RUN = config.Config(
    data=config.Data(examples=2_000, eval_examples=500, shuffle_window=500),
    model=config.Model(hidden_units=(8, 4), embedding_dim=4),
    train=config.Train(batch_size=100, steps_per_execution=5, evaluations=0),
)


@pytest.mark.slow
def test_an_anchored_run_stays_near_the_one_that_it_began_with(tmp_path: Path) -> None:
    first = str(tmp_path / "first")
    training.train_and_evaluate(RUN, first)
    source = open_source(RUN.data, "")
    began = dense(loop.restored(RUN, first, source))
    moved = {}
    for anchor in (0.0, 30.0):
        train = dataclasses.replace(RUN.train, warm_start=first, anchor=anchor, dense_learning_rate=0.02)
        run, workdir = dataclasses.replace(RUN, train=train), str(tmp_path / str(anchor))
        training.train_and_evaluate(run, workdir)
        ended = dense(loop.restored(run, workdir, source))
        moved[anchor] = float(np.linalg.norm(ended - began))
    assert moved[30.0] < 0.3 * moved[0.0]
    reader = tf.train.load_checkpoint(str(tmp_path / "30.0" / "checkpoints"))
    anchors = [key for key in reader.get_variable_to_shape_map() if "_anchor" in key]
    assert len(anchors) == 2 * 6
    kept = np.concatenate([reader.get_tensor(f"model/replicas/0/_anchor/copies/{k}{VALUE}").ravel() for k in range(6)])
    np.testing.assert_array_equal(kept, began[: kept.size])


VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"


def dense(siblings: SiblingModel) -> np.ndarray:
    return np.concatenate([v.numpy().ravel() for replica in siblings.replicas for v in replica.dense_variables])


@pytest.mark.slow
def test_an_ensemble_is_trained_measured_and_exported_like_any_other(tmp_path: Path) -> None:
    how = config.Ensemble(
        components=3,
        equal_cost="parameters",
        decorrelation=0.1,
        codistillation=(0.0, 0.5),
        stale_steps=4,
    )
    run = dataclasses.replace(RUN, ensemble=how, siblings=config.Siblings(replicas=2, differ="both"))
    metrics = training.train_and_evaluate(run, str(tmp_path))
    assert 0 < metrics["pd"]["relative"] < 1
    assert all(0 < replica["log_loss"] < 1 for replica in metrics["replicas"])
    assert len(metrics["layers"]) == 6
    assert len(metrics["exports"]) == 2
    assert all((tmp_path / export / "saved_model.pb").exists() for export in metrics["exports"])


MIRRORED = """
import json
import numpy as np
import tensorflow as tf
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2)
from smooth_recs import config
from smooth_recs.data.encoding import Encoder
from smooth_recs.schema import Categorical, Numeric, Schema
from smooth_recs.models import SiblingModel, from_config
encoder = Encoder(Schema((Categorical("user", "identity", 30, "int64"), Numeric("price", "identity", "zero"))))
run = config.Config(model=config.Model(hidden_units=(4,), embedding_dim=4, linear=True),
    ensemble=config.Ensemble(components=2, decorrelation=(0.5, 1.0), codistillation=0.5, stale_steps=2))
train = config.Train(dense_learning_rate=0.1, embedding_learning_rate=0.3, initial_accumulator=0.1)
random = np.random.default_rng(1)
users, price = random.integers(0, 30, 143), random.normal(size=(143, 1)).astype(np.float32)
weight = random.uniform(0.5, 2, 143).astype(np.float32)
data = tf.data.Dataset.from_tensor_slices(
    ({"user": users, "price": price}, (users % 3 == 0).astype(np.float32), weight)).batch(20)  # the last of 3
options = tf.data.Options()
options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF

def trained(strategy):
    tf.keras.utils.set_random_seed(1)
    def build():
        model = from_config.model(run, encoder, total_steps=8)
        model.compile(optimizer=from_config.optimizer(model, train, 8))
        return model
    with strategy.scope():
        siblings = SiblingModel(build, 1)
        siblings.compile(steps_per_execution=4)
        siblings.build_replicas(data.element_spec)
        for replica in siblings.replicas:
            replica.set_anchor(0.1)
    siblings.fit(data.with_options(options), steps_per_epoch=8, verbose=0)
    return siblings({"user": users, "price": price}).numpy()

alone = trained(tf.distribute.get_strategy())
both = trained(tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]))
print(json.dumps({"difference": float(np.abs(both - alone).max()), "spread": float(alone.std())}))
"""


@pytest.mark.slow
def test_two_devices_train_as_one(in_fresh_process: Any) -> None:
    found = in_fresh_process(MIRRORED)
    assert found["difference"] < 2e-6 < 1e-2 < found["spread"], json.dumps(found)


@pytest.mark.both_generations
def test_the_clip_norm_is_of_each_component() -> None:
    """SGD with rate 1 moves each component by its own clipped gradient, and what they share by that of all."""
    norm, batch = 1e-2, batches(1)[0]
    train = config.Train(dense_optimizer="sgd", dense_learning_rate=1.0, clip_norm=norm)
    ensemble = compiled(ensemble_of(dataclasses.replace(SMALL, linear=True), components=2), train)
    ensemble(batch[0])
    one, other = ({id(v): v for v in component.dense_variables} for component in ensemble.components)
    groups = [[v for key, v in own.items() if key not in shared] for own, shared in ((one, other), (other, one))]
    before = [[v.numpy() for v in group] for group in groups]
    ensemble.train_step(batch)
    moved = [
        np.sqrt(sum(np.square(v.numpy() - b).sum() for v, b in zip(group, old, strict=True)))
        for group, old in zip(groups, before, strict=True)
    ]
    np.testing.assert_allclose(moved, [norm, norm], rtol=1e-3)


@pytest.mark.parametrize("average", ["probability", "logit"])
@pytest.mark.parametrize("linear", [False, True])
def test_of_several_tasks_each_is_averaged_and_learnt(average: str, linear: bool) -> None:
    """Log-odds of means over the components, task by task; the loss is the sum of the components' weighted ones."""
    encoder = Encoder(dataclasses.replace(SCHEMA, label=("click", "sale")))
    model = dataclasses.replace(SMALL, linear=linear, task_weights=(1.0, 0.25))
    run = config.Config(model=model, ensemble=config.Ensemble(components=3, average=average))
    made = compiled(from_config.model(run, encoder))
    features, label, weight = batches(1)[0]
    if linear:
        made(features)
        table = made.components[0].linear.table.embeddings
        table.assign(tf.random.stateless_normal(table.shape, [1, 2]))
    logits = np.stack([component.logits(features).numpy() for component in made.components])  # [3, batch, 2]
    assert logits.shape == (3, BATCH, 2)
    probabilities = 1 / (1 + np.exp(-logits))
    mean = probabilities.mean(axis=0) if average == "probability" else 1 / (1 + np.exp(-logits.mean(axis=0)))
    np.testing.assert_allclose(made.task_probabilities(features), mean, rtol=1e-4)
    np.testing.assert_allclose(made(features), mean[:, 0], rtol=1e-4)
    y = tasks_of(label).numpy()
    losses = np.logaddexp(0, logits) - y * logits
    expected = np.mean(weight.numpy() * (losses @ np.array([1.0, 0.25])).sum(axis=0))
    assert float(made.compute_loss((features, y, weight), training=True)) == pytest.approx(expected, rel=1e-5)
    first = -np.mean(weight.numpy() * np.log(np.where(y[:, 0] == 1, mean[:, 0], 1 - mean[:, 0])))
    assert float(made.compute_loss((features, y, weight))) == pytest.approx(first, rel=1e-4)


def test_components_are_driven_together_and_apart_in_their_main_task() -> None:
    encoder = Encoder(dataclasses.replace(SCHEMA, label=("click", "sale")))
    features, label, _ = batches(1)[0]
    ensembles = {}
    for how in ({}, {"decorrelation": 2.0}, {"codistillation": 0.5}):
        tf.keras.utils.set_random_seed(1)
        run = config.Config(model=SMALL, ensemble=config.Ensemble(components=2, **how))
        made = ensembles[next(iter(how), "")] = compiled(from_config.model(run, encoder))
        made(features)  # makes the variables, with the seed of here
    loss = {
        name: float(each.compute_loss((features, tasks_of(label)), training=True)) for name, each in ensembles.items()
    }
    logits = np.stack([each.logits(features)[:, 0].numpy() for each in ensembles[""].components])
    correlation = np.corrcoef(logits)[0, 1]
    assert loss["decorrelation"] - loss[""] == pytest.approx(2 * correlation**2, abs=1e-4)
    other = 1 / (1 + np.exp(-logits[::-1]))
    towards = np.mean((np.logaddexp(0, logits) - other * logits).sum(axis=0))
    assert loss["codistillation"] - loss[""] == pytest.approx(0.5 * towards, rel=1e-4)
