"""The ranking model: its parts, its loss, its two optimizers, and configurations of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from smooth_recs import config, keras_generation
from smooth_recs.data.encoding import Encoder
from smooth_recs.errors import InputError
from smooth_recs.layers import EmbeddedFeature, StackedEmbedding, Tower
from smooth_recs.measures import accuracy
from smooth_recs.models import RankingModel, from_config, generation, interactions
from smooth_recs.schema import Categorical, Numeric, Schema

USER = Categorical("user", "identity", 7, "int64")
ITEM = Categorical("item", "hash", 5)
TAGS = Categorical("tags", "identity", 6, "int64", max_values=3, combiner="sum")
PRICE = Numeric("price", "identity", "zero")
AGE = Numeric("age", "identity", "indicator")
SMALL = config.Model(hidden_units=(5, 4), embedding_dim=3, activation="smelu")


def raw_rows(rows: int, seed: int = 1) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    return {
        "user": tf.constant(random.integers(-1, 7, rows)),
        "item": tf.constant(random.choice(["a", "b", "c", ""], rows), tf.string),
        "tags": tf.constant(random.integers(-1, 6, (rows, 3))),
        "price": tf.constant(random.normal(size=rows), tf.float32),
        "age": tf.constant(np.where(random.uniform(size=rows) < 0.3, np.nan, 1.0), tf.float32),
    }


def encoded(features: tuple[Any, ...], rows: int, seed: int = 1) -> dict[str, tf.Tensor]:
    raw = raw_rows(rows, seed)
    return Encoder(Schema(features))({feature.name: raw[feature.name] for feature in features})


def model_of(features: tuple[Any, ...], **settings: Any) -> RankingModel:
    return from_config.ranking_model(dataclasses.replace(SMALL, **settings), Encoder(Schema(features)))


def labelled(features: tuple[Any, ...], rows: int, seed: int = 1) -> tuple[dict[str, tf.Tensor], tf.Tensor, tf.Tensor]:
    random = np.random.default_rng(seed)
    label = tf.constant(random.uniform(size=rows) < 0.4, tf.float32)
    return encoded(features, rows, seed), label, tf.constant(random.uniform(0.5, 2.0, rows), tf.float32)


def logistic_loss(label: Any, logit: Any, weight: Any = 1.0) -> float:
    """-y log p - (1 - y) log(1 - p), weighted, then averaged over the examples."""
    label, logit = np.asarray(label, np.float64), np.asarray(logit, np.float64)
    return float(np.mean(np.asarray(weight, np.float64) * (np.logaddexp(0, logit) - label * logit)))


KINDS = {
    "single": (USER, ITEM),
    "multi": (TAGS,),
    "numeric": (PRICE, AGE),
    "one number": (PRICE,),
    "single and multi": (USER, TAGS),
    "single and numeric": (USER, PRICE),
    "multi and numeric": (TAGS, AGE),
    "all": (AGE, TAGS, USER, PRICE, ITEM),
}


@pytest.mark.parametrize("kinds", KINDS)
@pytest.mark.parametrize("interaction", list(interactions.KINDS))
@pytest.mark.parametrize("with_more", [False, True], ids=["plain", "bottom and linear"])
def test_any_kinds_of_features_train_and_predict_at_any_batch_size(
    kinds: str, interaction: str, with_more: bool
) -> None:
    features = KINDS[kinds]
    more: dict[str, Any] = {"bottom_units": (4,), "linear": True} if with_more else {}
    if interaction in ("dot", "deepfm") and kinds in ("numeric", "one number"):
        with pytest.raises(InputError, match="interaction must be concat or cross"):
            model_of(features, interaction=interaction)
        return
    model = model_of(features, interaction=interaction, **more)
    model.compile(optimizer=from_config.optimizer(model, config.Train(), total_steps=10))
    for rows in (4, 1):
        assert np.isfinite(model.train_step(labelled(features, rows)[:2])["loss"])
    nine = model(encoded(features, 9)).numpy()
    assert nine.shape == (9,)
    assert nine.dtype == np.float32
    assert ((nine > 0) & (nine < 1)).all()
    for rows in (0, 1):
        part = {name: column[:rows] for name, column in encoded(features, 9).items()}
        np.testing.assert_allclose(model(part), nine[:rows], rtol=1e-5)


@pytest.mark.both_generations
@pytest.mark.parametrize("interaction", list(interactions.KINDS))
def test_fit_evaluate_and_predict_with_a_last_batch_of_one(interaction: str) -> None:
    features = KINDS["all"]
    model = model_of(features, interaction=interaction, bottom_units=(4,), linear=True)
    model.compile(optimizer=from_config.optimizer(model, config.Train(), total_steps=10))
    dataset = tf.data.Dataset.from_tensor_slices(labelled(features, 9)).batch(4)
    losses = model.fit(dataset, epochs=2, verbose=0).history["loss"]
    assert np.isfinite(losses).all()
    assert np.isfinite(model.evaluate(dataset, verbose=0))
    assert model.predict(encoded(features, 1), verbose=0).shape == (1,)


@pytest.mark.both_generations
def test_weights_are_saved_after_a_fit_alone(tmp_path: Path) -> None:
    model, again = (model_of((USER, PRICE)) for _ in range(2))
    for each in (model, again):
        each.compile(optimizer=tf.keras.optimizers.SGD(0.1))
        each.fit(tf.data.Dataset.from_tensor_slices(labelled((USER, PRICE), 8)).batch(4), verbose=0)
    model.save_weights(str(tmp_path / "a.weights.h5"))
    again.load_weights(str(tmp_path / "a.weights.h5"))
    x = encoded((USER, PRICE), 9, seed=2)
    np.testing.assert_array_equal(model(x), again(x))


@pytest.mark.both_generations
@pytest.mark.parametrize("given", [{"loss": "mse"}, {"metrics": ["AUC"]}, {"weighted_metrics": ["AUC"]}])
def test_what_would_be_computed_nowhere_is_refused(given: dict[str, Any]) -> None:
    (name,) = given
    with pytest.raises(ValueError, match=f"{name} must be left out: a ranking model has its own loss") as raised:
        model_of((USER, PRICE)).compile(optimizer="sgd", **given)
    assert "\n" not in str(raised.value)


@pytest.mark.both_generations
@pytest.mark.skipif(keras_generation.is_legacy(), reason="tf_keras says it in its own words")
def test_a_whole_model_in_a_keras_file_is_refused_in_a_line(tmp_path: Path) -> None:
    model = model_of((USER, PRICE))
    model(encoded((USER, PRICE), 2))
    with pytest.raises(
        NotImplementedError, match="a RankingModel has no configuration to save or to copy it by"
    ) as raised:
        model.save(str(tmp_path / "a.keras"))
    assert "\n" not in str(raised.value)


def test_neither_embeddings_nor_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="a RankingModel needs embeddings or numeric features, got neither"):
        RankingModel(interaction=interactions.Concatenation(), top_stack=Tower([4]))


def test_predictions_are_sigmoids_of_the_logits() -> None:
    model = model_of(KINDS["all"])
    features = encoded(KINDS["all"], 6)
    logits = model.logits(features).numpy()
    assert logits.shape == (6, 1)
    np.testing.assert_allclose(model(features), 1 / (1 + np.exp(-logits[:, 0])), rtol=1e-6)


def test_output_layer_is_neither_normalised_nor_activated_nor_clipped() -> None:
    model = RankingModel(numeric=["price"], interaction=interactions.Concatenation(), top_stack=Tower([], clip=0.1))
    features = {"price": tf.constant([[1.0], [-40.0]])}
    model(features)
    model.output_layer.set_weights([np.array([[3.0]]), np.array([0.5])])
    np.testing.assert_allclose(model.logits(features), [[3.5], [-119.5]])


def test_embeddings_are_neither_activated_nor_clipped() -> None:
    table = StackedEmbedding([EmbeddedFeature("user", 9)], 2)
    model = RankingModel(
        embeddings=table, interaction=interactions.Concatenation(), top_stack=Tower([], activation="relu", clip=0.1)
    )
    features = {"user": tf.constant([3], tf.int64)}
    model(features)
    values = np.zeros((9, 2))
    values[3] = [-5.0, 4.0]
    table.set_weights([values])
    model.output_layer.set_weights([np.ones((2, 1)), np.zeros(1)])
    np.testing.assert_allclose(model.logits(features), [[-1.0]])


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("label_shape", [(7,), (7, 1)])
def test_loss_is_the_logistic_loss(weighted: bool, label_shape: tuple[int, ...]) -> None:
    model = model_of(KINDS["all"])
    features, label, weight = labelled(KINDS["all"], 7)
    batch = (features, tf.reshape(label, label_shape), weight)[: 2 + weighted]
    expected = logistic_loss(label, model.logits(features)[:, 0], weight if weighted else 1.0)
    assert float(model.compute_loss(batch)) == pytest.approx(expected, rel=1e-6)
    model.compile()
    model.reset_metrics()
    reported = expected / np.mean(weight) if weighted else expected
    assert float(model.test_step(batch)["loss"]) == pytest.approx(reported, rel=1e-6)


def test_loss_stays_finite_for_extreme_logits() -> None:
    model = RankingModel(numeric=["price"], interaction=interactions.Concatenation(), top_stack=Tower([]))
    features = {"price": tf.constant([[1e4], [-1e4]])}
    model(features)
    model.output_layer.set_weights([np.array([[1.0]]), np.zeros(1)])
    assert float(model.compute_loss((features, tf.constant([0.0, 1.0])))) == pytest.approx(1e4)


@pytest.mark.both_generations
def test_reported_loss_is_the_mean_over_examples_not_batches() -> None:
    model = model_of((USER, PRICE))
    features, label, _ = labelled((USER, PRICE), 9)
    model.compile()
    reported = model.evaluate(tf.data.Dataset.from_tensor_slices((features, label)).batch(4), verbose=0)
    assert reported == pytest.approx(logistic_loss(label, model.logits(features)[:, 0]), rel=1e-5)


def test_reported_loss_of_weighted_rows_is_on_the_scale_of_the_log_loss() -> None:
    """sum(weight * loss) / sum(weight), where what is minimised is divided by the number of rows."""
    model = model_of(KINDS["all"])
    features, label, weight = labelled(KINDS["all"], 7)
    weight *= tf.constant([0.0, 3, 3, 3, 3, 3, 3])
    loss = model.compute_loss((features, label, weight))
    probability = np.asarray(model(features), np.float64)
    expected = accuracy.log_loss(label.numpy(), probability, weight.numpy())
    assert float(model.loss_mean.result()) == pytest.approx(expected, rel=1e-5)
    assert float(loss) == pytest.approx(expected * np.mean(weight), rel=1e-5)


@pytest.mark.both_generations
def test_several_outputs() -> None:
    features, _, _ = labelled((USER, PRICE), 8)
    labels = tf.constant(np.random.default_rng(2).integers(0, 2, (8, 3)), tf.float32)
    weight = tf.constant(np.random.default_rng(3).uniform(size=8), tf.float32)
    model = RankingModel(
        embeddings=StackedEmbedding([EmbeddedFeature("user", 9)], 3),
        numeric=["price"],
        interaction=interactions.Concatenation(),
        top_stack=Tower([5]),
        outputs=3,
    )
    assert model(features).shape == (8, 3)
    logits = model.logits(features).numpy()
    expected = np.mean([logistic_loss(labels[:, k], logits[:, k], weight) for k in range(3)])
    assert float(model.compute_loss((features, labels, weight))) == pytest.approx(expected, rel=1e-6)
    model.compile(optimizer=generation.Adagrad(0.1))
    dataset = tf.data.Dataset.from_tensors((features, labels)).repeat(30)
    losses = model.fit(dataset, epochs=2, verbose=0).history["loss"]
    assert losses[1] < losses[0]


TASKS = Schema((USER, PRICE), label=("click", "sale"))


def two_tasks(**settings: Any) -> tuple[RankingModel, dict[str, tf.Tensor], tf.Tensor]:
    """A model of two labels, with rows and their labels [n, 2]."""
    model = from_config.ranking_model(dataclasses.replace(SMALL, **settings), Encoder(TASKS))
    x, click, _ = labelled(TASKS.features, 20)
    return model, x, tf.stack([click, click * labelled(TASKS.features, 20, seed=2)[1]], axis=1)


@pytest.mark.both_generations
def test_of_several_tasks_the_first_is_predicted_and_all_are_learnt() -> None:
    model, x, y = two_tasks(task_weights=(1.0, 0.25), linear=True)
    logits = model.logits(x).numpy()
    assert logits.shape == (20, 2)
    np.testing.assert_allclose(model(x), 1 / (1 + np.exp(-logits[:, 0])), rtol=1e-5)
    np.testing.assert_allclose(model.task_probabilities(x), 1 / (1 + np.exp(-logits)), rtol=1e-5)
    click, sale = (logistic_loss(y[:, k], logits[:, k]) for k in range(2))
    model.compile(optimizer=from_config.optimizer(model, config.Train(), 1))
    weight = tf.random.stateless_uniform([20, 1], [1, 2])
    of_both = [logistic_loss(y[:, k], logits[:, k], weight[:, 0]) for k in range(2)]
    assert float(model.compute_loss((x, y, weight), training=True)) == pytest.approx(
        of_both[0] + 0.25 * of_both[1], rel=1e-5
    )
    assert float(model.compute_loss((x, y, weight))) == pytest.approx(of_both[0], rel=1e-5)
    model.loss_mean.reset_state()
    assert model.evaluate(tf.data.Dataset.from_tensors((x, y)), verbose=0) == pytest.approx(click, rel=1e-5)
    assert sale != pytest.approx(click)


def test_tasks_share_all_but_their_output_and_linear_weights() -> None:
    model, x, y = two_tasks(linear=True)
    model(x)
    shapes = [variable.shape.as_list() for variable in (model.output_layer.kernel, model.linear.table.embeddings)]
    assert shapes == [[4, 2], [9, 2]]
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(model.objective(y, model.logits(x), None, x, 0))
    head, bias, kernel = tape.gradient(
        loss, [model.output_layer.kernel, model.output_layer.bias, model.top_stack.hidden[0].kernel]
    )
    errors = model.task_probabilities(x) - y  # the loss' derivative by the logits, each of weight 1
    np.testing.assert_allclose(bias, tf.reduce_mean(errors, axis=0), rtol=1e-4)
    assert np.ptp(head, axis=1).min() > 0
    assert np.abs(kernel).max() > 0


@pytest.mark.parametrize("weights", [(1.0,), (1.0, 1.0, 1.0)])
def test_weights_of_tasks_are_one_for_each_label(weights: tuple[float, ...]) -> None:
    with pytest.raises(InputError, match=f"one for each of several labels, got {len(weights)} for click, sale"):
        two_tasks(task_weights=weights)
    with pytest.raises(ValueError, match="task_weights must be one for each of two or more outputs, got "):
        RankingModel(numeric=["price"], interaction=None, top_stack=None, outputs=2, task_weights=weights)


def test_a_task_of_ones_own_replaces_the_loss() -> None:
    def squared(labels: Any, logits: Any, sample_weight: Any = None, **_: Any) -> tf.Tensor:
        return tf.reduce_sum((labels - logits) ** 2, axis=1)

    model = RankingModel(numeric=["price"], interaction=interactions.Concatenation(), top_stack=Tower([]), task=squared)
    features, label, _ = labelled((PRICE,), 5)
    expected = np.mean((label - model.logits(features)[:, 0]) ** 2)
    assert float(model.compute_loss((features, label))) == pytest.approx(float(expected), rel=1e-6)


def test_linear_part_adds_weights_of_values_and_slopes_of_numbers() -> None:
    model = model_of((USER, TAGS, AGE), linear=True)
    features = {
        "user": tf.constant([2, 2], tf.int64),
        "tags": tf.constant([[0, 5, -1], [-1, -1, -1]], tf.int64),
        "age": tf.constant([[3.0, 0.0], [0.0, 1.0]]),
    }
    plain = model.logits(features).numpy()  # the linear part starts at zero
    weights, slopes = np.zeros((9 + 8, 1)), np.array([[0.5], [4.0]])
    weights[2], weights[9 + 0], weights[9 + 5] = 1.0, 10.0, 100.0
    table, of_numbers = model.linear.variables
    table.assign(weights)
    of_numbers.assign(slopes)
    np.testing.assert_allclose(model.logits(features) - plain, [[1 + 110 + 1.5], [1 + 4]], rtol=1e-5)


def test_linear_part_of_one_kind_only() -> None:
    for features in ((USER,), (PRICE,)):
        with_part, without = model_of(features, linear=True), model_of(features)
        inputs = encoded(features, 4)
        assert with_part(inputs).shape == without(inputs).shape == (4,)
        assert len(with_part.trainable_variables) == len(without.trainable_variables) + 1
        optimizer = from_config.optimizer(with_part, config.Train(), total_steps=10)
        assert len(optimizer.optimizers) == 1 + (features == (USER,))
        with_part.compile(optimizer=optimizer)
        with_part.train_step(labelled(features, 4))


def gradients(model: RankingModel, batch: Any) -> dict[str, Any]:
    with tf.GradientTape() as tape:
        loss = model.compute_loss(batch, training=True)
    variables = model.trainable_variables
    return {id(v): g for v, g in zip(variables, tape.gradient(loss, variables), strict=True)}


@pytest.mark.parametrize("linear", [False, True])
def test_embedding_gradients_are_sparse_and_all_others_are_there(linear: bool) -> None:
    model = model_of(KINDS["all"], linear=linear, bottom_units=(4,))
    batch = labelled(KINDS["all"], 6)
    model(batch[0])
    found = gradients(model, batch)
    assert not any(gradient is None for gradient in found.values())
    tables = [v for v in model.trainable_variables if v.shape[0] == 9 + 7 + 8]
    assert len(tables) == 1 + linear
    assert all(isinstance(found[id(table)], tf.IndexedSlices) for table in tables)


def test_variables_are_split_into_embeddings_and_the_rest() -> None:
    model = model_of(KINDS["all"], linear=True, bottom_units=(4,))
    batch = labelled(KINDS["all"], 6)
    model(batch[0])
    found = gradients(model, batch)
    sparse, dense = model.embedding_variables, model.dense_variables
    assert {id(v) for v in sparse} | {id(v) for v in dense} == {id(v) for v in model.trainable_variables}
    assert not {id(v) for v in sparse} & {id(v) for v in dense}
    assert all(isinstance(found[id(v)], tf.IndexedSlices) for v in sparse)
    assert not any(isinstance(found[id(v)], tf.IndexedSlices) for v in dense)


@pytest.mark.parametrize(("moving", "field"), [("sparse", "dense_learning_rate"), ("dense", "embedding_learning_rate")])
@pytest.mark.parametrize("linear", [False, True])
def test_each_optimizer_moves_its_own_variables_only(moving: str, field: str, linear: bool) -> None:
    """With the other's learning rate at 0."""
    model = model_of(KINDS["all"], linear=linear)
    batch = labelled(KINDS["all"], 6)
    train = dataclasses.replace(config.Train(initial_accumulator=0.1), **{field: 0.0})
    model.compile(optimizer=from_config.optimizer(model, train, total_steps=10))
    model(batch[0])
    sparse, dense = model.embedding_variables, model.dense_variables
    before = [[v.numpy() for v in sparse], [v.numpy() for v in dense]]
    model.train_step(batch)
    moved = [
        [not np.array_equal(v, b) for v, b in zip(variables, values, strict=True)]
        for variables, values in zip((sparse, dense), before, strict=True)
    ]
    assert [all(m) for m in moved] == [moving == "sparse", moving == "dense"]
    assert [any(m) for m in moved] == [moving == "sparse", moving == "dense"]


def test_a_step_by_hand() -> None:
    """One embedding weight e and the output w e + b with w = 2, b = 0, e = 0.5, label 1: dL/dz = sigmoid(1) - 1."""
    embeddings = StackedEmbedding([EmbeddedFeature("user", 9)], 1)
    model = RankingModel(embeddings=embeddings, interaction=interactions.Concatenation(), top_stack=Tower([]))
    features = {"user": tf.constant([3], tf.int64)}
    train = config.Train(dense_learning_rate=0.1, embedding_learning_rate=0.2, initial_accumulator=0.01)
    model.compile(optimizer=from_config.optimizer(model, train, total_steps=10))
    model(features)
    table = np.arange(9.0)[:, None]
    table[3] = 0.5
    model.embeddings.set_weights([table])
    model.output_layer.set_weights([np.array([[2.0]]), np.zeros(1)])
    model.train_step((features, tf.constant([1.0])))
    dz = 1 / (1 + np.exp(-1.0)) - 1

    def step(rate: float, gradient: float) -> float:
        return rate * gradient / np.sqrt(0.01 + gradient**2)

    table[3] -= step(0.2, 2 * dz)
    np.testing.assert_allclose(model.embeddings.get_weights()[0], table, rtol=1e-6)
    kernel, bias = model.output_layer.get_weights()
    np.testing.assert_allclose(kernel, [[2 - step(0.1, 0.5 * dz)]], rtol=1e-6)
    np.testing.assert_allclose(bias, [-step(0.1, dz)], rtol=1e-6)


@pytest.mark.parametrize("name", ["adagrad", "adam", "sgd"])
def test_dense_optimizers(name: str) -> None:
    model = model_of((USER, PRICE))
    train = config.Train(dense_optimizer=name, dense_learning_rate=0.05, clip_norm=0.5)
    optimizer = from_config.optimizer(model, train, total_steps=10)
    assert [type(o).__name__.lower() for o in optimizer.optimizers] == [name, "adagrad"]
    assert [o.global_clipnorm for o in optimizer.optimizers] == [0.5, None]
    model.compile(optimizer=optimizer)
    dataset = tf.data.Dataset.from_tensors(labelled((USER, PRICE), 30)).repeat(20)
    losses = model.fit(dataset, epochs=3, verbose=0).history["loss"]
    assert losses[2] < losses[0]


@pytest.mark.both_generations
def test_dense_gradients_are_clipped_to_a_global_norm() -> None:
    """SGD with rate 1 moves the dense parts by the clipped gradient; the embeddings' gradient is not clipped."""
    batch = labelled((USER, PRICE), 10)
    moves, sparse_moves = [], []
    for limit in (0.0, 1e-3):
        tf.keras.utils.set_random_seed(1)
        model = model_of((USER, PRICE))
        train = config.Train(dense_optimizer="sgd", dense_learning_rate=1.0, clip_norm=limit)
        model.compile(optimizer=from_config.optimizer(model, train, total_steps=10))
        model(batch[0])
        dense, sparse = ([v.numpy() for v in vs] for vs in (model.dense_variables, model.embedding_variables))
        model.train_step(batch)
        moves.append(
            np.concatenate([(v - b).numpy().ravel() for v, b in zip(model.dense_variables, dense, strict=True)])
        )
        sparse_moves.append(model.embedding_variables[0].numpy() - sparse[0])
    full, clipped = moves
    assert np.linalg.norm(full) > 1e-2
    one_place = 1.2e-7  # of a weight near 1, which is what a step is told from
    np.testing.assert_allclose(clipped, full * 1e-3 / np.linalg.norm(full), rtol=1e-2, atol=one_place)
    np.testing.assert_array_equal(*sparse_moves)


def test_learning_rates_fall_to_the_configured_share() -> None:
    model = model_of((USER, PRICE))
    train = config.Train(dense_learning_rate=0.1, embedding_learning_rate=0.4, final_learning_rate_share=0.25)
    for optimizer, initial in zip(
        from_config.optimizer(model, train, total_steps=100).optimizers, (0.1, 0.4), strict=True
    ):
        rates = [float(optimizer.learning_rate(step)) for step in (0, 50, 100, 200)]
        np.testing.assert_allclose(rates, initial * np.array([1.0, 0.625, 0.25, 0.25]), rtol=1e-6)


def test_the_clip_norm_and_dropout_leave_predictions_alone() -> None:
    tf.keras.utils.set_random_seed(1)
    model = model_of(KINDS["all"], dropout=0.5)
    features = encoded(KINDS["all"], 6)
    np.testing.assert_array_equal(model(features), model(features))
    assert not np.array_equal(model.logits(features, training=True), model.logits(features, training=True))


def test_l2_is_part_of_what_is_minimised_but_not_of_the_reported_loss() -> None:
    batch = labelled((USER, PRICE), 10)
    moves = []
    for l2 in (0.0, 0.5):
        tf.keras.utils.set_random_seed(1)
        model = model_of((USER, PRICE), l2=l2, normalization="none")
        train = config.Train(dense_optimizer="sgd", dense_learning_rate=1.0)
        model.compile(optimizer=from_config.optimizer(model, train, total_steps=10))
        model(batch[0])
        kernel = next(v for v in model.top_stack.trainable_variables if len(v.shape) == 2)
        before = kernel.numpy()
        loss = model.train_step(batch)["loss"]
        assert float(loss) == pytest.approx(logistic_loss_before(batch, l2), rel=1e-5)
        moves.append((kernel.numpy() - before, before))
    (plain, _), (penalised, before) = moves
    np.testing.assert_allclose(penalised - plain, -2 * 0.5 * before, rtol=1e-4, atol=1e-6)


def logistic_loss_before(batch: Any, l2: float) -> float:
    """The loss of a new model with the same seed."""
    tf.keras.utils.set_random_seed(1)
    model = model_of((USER, PRICE), l2=l2, normalization="none")
    return logistic_loss(batch[1], model.logits(batch[0])[:, 0], batch[2]) / np.mean(batch[2])


@pytest.mark.parametrize("beta", [(0.5, 0.1), 0.3, None])
def test_beta_reaches_the_layers(beta: Any) -> None:
    layers = from_config.layer_activations(dataclasses.replace(SMALL, beta=beta))
    assert len(layers) == 2
    if beta is not None:
        assert [f.beta for f in layers] == list(np.broadcast_to(beta, 2))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"activation": "smelo"}, "model.activation"),
        ({"activation": "relu", "beta": 0.5}, "model.beta"),
        ({"beta": -0.1}, "model.beta"),
        ({"beta": (0.5, 0.1, 0.1)}, "model.beta must be a number or one a hidden layer, got 3 for 2 layers"),
    ],
)
def test_bad_settings_name_the_field(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        model_of((USER,), **settings)


def test_every_feature_reaches_the_prediction() -> None:
    model = model_of(KINDS["all"], embedding_dim=4, activation="softplus")
    features = encoded(KINDS["all"], 1)
    model.embeddings(features)
    model.embeddings.set_weights([np.random.default_rng(1).normal(size=model.embeddings.weights[0].shape)])
    before = model.logits(features).numpy()
    for name, column in features.items():
        changed = features | {name: (column + 1) % 4 if column.dtype == tf.int64 else column + 1}
        assert not np.array_equal(model.logits(changed), before), name


def test_weights_round_trip(tmp_path: Any) -> None:
    features = encoded(KINDS["all"], 6)
    one, other = (model_of(KINDS["all"], linear=True, bottom_units=(4,)) for _ in range(2))
    expected = one(features).numpy()
    assert not np.array_equal(other(features), expected)
    tf.train.Checkpoint(model=one).write(str(tmp_path / "checkpoint"))
    tf.train.Checkpoint(model=other).read(str(tmp_path / "checkpoint")).assert_consumed()
    np.testing.assert_array_equal(other(features), expected)


@pytest.fixture
def bfloat16() -> Iterator[None]:
    tf.keras.mixed_precision.set_global_policy("mixed_bfloat16")
    yield
    tf.keras.mixed_precision.set_global_policy("float32")


@pytest.mark.usefixtures("bfloat16")
@pytest.mark.parametrize("interaction", list(interactions.KINDS))
@pytest.mark.parametrize("with_more", [False, True], ids=["plain", "bottom and linear"])
def test_trains_in_bfloat16_to_nearly_the_same_loss(interaction: str, with_more: bool) -> None:
    more: dict[str, Any] = {"bottom_units": (4,), "linear": True} if with_more else {}
    batch = labelled(KINDS["all"], 64)
    losses, weights = {}, None
    for policy in ("float32", "mixed_bfloat16"):
        tf.keras.mixed_precision.set_global_policy(policy)
        model = model_of(KINDS["all"], interaction=interaction, embedding_dim=4, **more)
        model(batch[0])
        weights = weights or model.get_weights()
        model.set_weights(weights)
        train = config.Train(dense_learning_rate=0.05, embedding_learning_rate=0.3, initial_accumulator=0.1)
        model.compile(optimizer=from_config.optimizer(model, train, total_steps=60), steps_per_execution=20)
        assert {tf.as_dtype(weight.dtype) for weight in model.weights} == {tf.float32}
        dataset = tf.data.Dataset.from_tensors(batch).repeat(20)
        losses[policy] = model.fit(dataset, epochs=3, verbose=0).history["loss"]
        assert model.top_stack.compute_dtype == policy.removeprefix("mixed_")
        assert model(batch[0]).dtype == model.logits(batch[0]).dtype == tf.float32
    assert losses["float32"][-1] < 0.95 * losses["float32"][0]
    np.testing.assert_allclose(losses["mixed_bfloat16"], losses["float32"], rtol=0.02)


@pytest.mark.both_generations
@pytest.mark.parametrize("interaction", list(interactions.KINDS))
def test_a_configuration_names_the_precision_of_the_stacks(interaction: str) -> None:
    batch = labelled(KINDS["all"], 64)
    found = {}
    for precision in ("float32", "bfloat16"):
        tf.keras.utils.set_random_seed(1)
        model = model_of(KINDS["all"], interaction=interaction, embedding_dim=4, bottom_units=(4,), precision=precision)
        found[precision] = model(batch[0])
        for stack in (model.top_stack, model.bottom_stack):
            assert stack.compute_dtype == precision
        assert model.embeddings.compute_dtype == "float32"
        assert {tf.as_dtype(weight.dtype) for weight in model.weights} == {tf.float32}
    np.testing.assert_allclose(found["bfloat16"], found["float32"], atol=0.01)
    assert not np.array_equal(found["bfloat16"], found["float32"])


@pytest.mark.usefixtures("bfloat16")
def test_numbers_alone_train_in_bfloat16() -> None:
    for interaction in ("concat", "cross"):
        model = model_of(KINDS["numeric"], interaction=interaction)
        model.compile(optimizer=from_config.optimizer(model, config.Train(), total_steps=10))
        assert np.isfinite(model.train_step(labelled(KINDS["numeric"], 8))["loss"])


def test_learns_an_interaction() -> None:
    """Click if user and item have the same parity: the logistic loss of a model without interactions is log 2."""
    tf.keras.utils.set_random_seed(1)
    features = (dataclasses.replace(USER, size=20), Categorical("item", "identity", 20, "int64"))
    random = np.random.default_rng(1)
    inputs = {name: tf.constant(random.integers(0, 20, 4096)) for name in ("user", "item")}
    label = tf.cast((inputs["user"] + inputs["item"]) % 2 == 0, tf.float32)
    model = model_of(features, hidden_units=(16, 8))
    train = config.Train(dense_learning_rate=0.05, embedding_learning_rate=0.3, initial_accumulator=0.01)
    model.compile(optimizer=from_config.optimizer(model, train, total_steps=320), steps_per_execution=32)
    dataset = tf.data.Dataset.from_tensor_slices((inputs, label)).batch(128)
    assert model.fit(dataset, epochs=10, verbose=0).history["loss"][-1] < 0.2
