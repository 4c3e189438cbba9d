"""The pages that name the code: every link leads to something, and every formula is what the code computes.

The formulas of `docs/equations.md` are evaluated once more here, in NumPy and as they stand there: by sums over all
pairs and by integrals, not the way the package computes them.
"""

from __future__ import annotations

import ast
import functools
import itertools
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from test_layers_of_imports import LAYER

import smooth_recs as sr
from smooth_recs import config, losses
from smooth_recs.experiments.figures import random_networks
from smooth_recs.losses import Distillation
from smooth_recs.models import averaging, from_config, interactions
from smooth_recs.models.averaging import WeightAverage

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "equations.md").read_text("utf-8")
X = np.array([-7.0, -2.5, -1.0, -0.4, -0.1, 0.0, 0.05, 0.3, 0.9, 1.0, 2.5, 8.0])
GSMELU = {"alpha": 0.75, "beta": 1.5, "g_minus": -0.125, "g_plus": 1.25, "t": -0.25}
LABEL = np.array([1, 0, 1, 0, 0, 1, 0, 1])
QUERY = np.array([1, 1, 1, 2, 2, 2, 3, 3])
A = np.array([0.6, 0.5, 0.2, 0.25, 0.9, 0.7, 0.1, 0.35])
B = np.array([0.5, 0.55, 0.1, 0.3, 0.85, 0.45, 0.05, 0.4])
C = np.array([0.4, 0.5, 0.3, 0.2, 0.8, 0.6, 0.2, 0.3])

Pairs = Iterator[tuple[Any, Any]]
CHECKS: dict[str, Callable[[], Pairs]] = {}


def formula(heading: str) -> Callable[[Callable[[], Pairs]], Callable[[], Pairs]]:
    """Marks a function that yields (what the code computes, what the formula under this heading gives)."""

    def register(check: Callable[[], Pairs]) -> Callable[[], Pairs]:
        CHECKS[heading] = check
        return check

    return register


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-np.asarray(x)))


def slopes(f: Callable[[Any], Any], x: Any) -> Any:
    x = tf.constant(x, tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = f(x)
    return tape.gradient(y, x).numpy()


def numeric_model(kernel: float, bias: float = 0.0) -> Any:
    """a^L = kernel x + bias."""
    model = sr.models.RankingModel(
        numeric=["x"], interaction=interactions.Concatenation(), top_stack=sr.layers.Tower([])
    )
    model({"x": tf.zeros([1, 1])})
    model.output_layer.set_weights([np.array([[kernel]]), np.array([bias])])
    return model


def features(x: Any) -> dict[str, Any]:
    return {"x": tf.constant(np.reshape(x, [-1, 1]), tf.float32)}


@formula("Input layer")
def input_layer() -> Pairs:
    tables = {"user": np.arange(6.0).reshape(3, 2), "tags": np.arange(10.0, 18.0).reshape(4, 2)}
    columns = [sr.layers.EmbeddedFeature("user", 3), sr.layers.EmbeddedFeature("tags", 4, max_values=2)]
    embed = sr.layers.StackedEmbedding(columns, dim=2)
    embed.build(None)
    embed.set_weights([np.concatenate(list(tables.values()))])
    vectors = embed({"user": tf.constant([2]), "tags": tf.constant([[1, 3]])})
    inputs = interactions.Concatenation()(vectors, tf.constant([[0.5, -0.5]]))
    mean = (tables["tags"][1] + tables["tags"][3]) / 2
    yield inputs, [np.concatenate([tables["user"][2], mean, [0.5, -0.5]])]


@formula("A layer")
def dense_layer() -> Pairs:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(5, 4))
    tower = sr.layers.Tower([3, 2], activation="smelu", normalization="none", dtype="float64")
    tower(x)
    tower.set_weights([rng.normal(size=w.shape) for w in tower.get_weights()])
    first, first_bias, second, second_bias = tower.get_weights()
    a1 = first.T @ x.T + first_bias[:, None]
    a2 = second.T @ smelu(a1, 0.1) + second_bias[:, None]
    yield tower(x), smelu(a2, 0.1).T


@formula("Prediction and logistic loss")
def prediction() -> Pairs:
    model = numeric_model(0.5, -1.0)
    x, y = np.array([-3.0, 1.0, 4.0]), np.array([1.0, 0.0, 1.0])
    score = 0.5 * x - 1
    loss = y * np.log(1 + np.exp(-score)) + (1 - y) * np.log(1 + np.exp(score))
    yield model(features(x)), sigmoid(score)
    yield model.label_loss(tf.constant(y), model.logits(features(x))), loss
    yield sr.accuracy.log_loss(y, sigmoid(score)), loss.mean()
    yield random_networks.logistic(score, 0.1), 0.1 * np.log(1 + np.exp(-score)) + 0.9 * np.log(1 + np.exp(score))


@formula("Clipping")
def clipping() -> Pairs:
    yield sr.layers.clip(tf.constant(X), limit=0.9), np.minimum(np.maximum(X, -0.9), 0.9)
    yield slopes(lambda x: sr.layers.clip(x, limit=0.9), X), np.abs(X) <= 0.9
    yield config.Model().clip, 6.0


@formula("Weight norm")
def weight_norm() -> Pairs:
    rng = np.random.default_rng(2)
    w, upstream, v = rng.normal(size=(3, 5)), rng.normal(size=(3, 5)), 1.4  # rows of W
    dense = sr.layers.NormalizedDense(3, norm_value=v, dtype="float64")
    dense.build((None, 5))
    dense.kernel.assign(w.T)
    with tf.GradientTape() as tape:
        rows = dense.normalized_kernel()
    found = tape.gradient(rows, dense.kernel, output_gradients=tf.constant(upstream.T))
    for j in range(3):
        length = math.sqrt(sum(w[j] ** 2))
        yield rows[:, j], v * w[j] / length
        yield found[:, j], v / length * (np.eye(5) - np.outer(w[j], w[j]) / length**2) @ upstream[j]
    constrained = sr.constraints.RowNorm(v, p=1)(tf.constant(w.T))
    yield constrained, np.transpose([v * row / sum(abs(row)) for row in w])


@formula("Adagrad")
def adagrad() -> Pairs:
    model = numeric_model(2.0, 0.5)
    train = config.Train(dense_learning_rate=0.1, initial_accumulator=0.01)
    model.compile(optimizer=from_config.optimizer(model, train, total_steps=2))
    weights, s = np.array([2.0, 0.5]), np.full(2, 0.01)
    for x, y in ((1.5, 1.0), (-0.5, 0.0)):
        model.train_step((features([x]), tf.constant([y])))
        g = (sigmoid(weights[0] * x + weights[1]) - y) * np.array([x, 1.0])
        s = s + g**2
        weights = weights - 0.1 * g / np.sqrt(s)
    yield np.ravel([np.ravel(w) for w in model.output_layer.get_weights()]), weights


def wrong_pairs(label: Any, prediction: Any, ties: float) -> tuple[float, int]:
    """The double sum of eq. 1, and N."""
    pairs = [(p, q) for p, y in zip(prediction, label, strict=True) for q, z in zip(prediction, label, strict=True)
             if y == 1 and z == 0]  # fmt: skip
    return sum(1.0 if q > p else ties if q == p else 0.0 for p, q in pairs), len(pairs)


@formula("Eq. 1: AUC loss")
def auc_loss() -> Pairs:
    tied = np.round(A, 1)
    for prediction in (A, B, tied):
        for ties in (0.0, 0.5):
            wrong, n = wrong_pairs(LABEL, prediction, ties)
            yield sr.accuracy.auc_loss(LABEL, prediction, ties=ties), wrong / n
    metric = sr.metrics.AUCLoss()
    metric.update_state(LABEL, A)
    wrong, n = wrong_pairs(LABEL, A, 0.5)
    yield metric.result(), wrong / n
    yield sr.accuracy.auc_loss(LABEL, np.full(8, 0.3)), 0.5
    yield sr.accuracy.auc_loss(LABEL, np.full(8, 0.3), ties=0), 0.0


@formula("PQAUC: AUC loss per query")
def per_query() -> Pairs:
    sums = [wrong_pairs(LABEL[q == QUERY], A[q == QUERY], 0.5) for q in (1, 2, 3)]
    by_pairs = sum(wrong for wrong, _ in sums) / sum(n for _, n in sums)
    yield sr.accuracy.per_query_auc_loss(LABEL, A, QUERY).value, by_pairs
    by_queries = np.mean([wrong / n for wrong, n in sums])
    yield sr.accuracy.per_query_auc_loss(LABEL, A, QUERY, weighting="queries").value, by_queries
    assert by_queries != by_pairs
    metric = sr.metrics.PerQueryAUCLoss()
    metric.update_state(LABEL, A, query_id=QUERY)
    yield metric.result(), by_pairs


def delta_r(a: Any, b: Any) -> float:
    return sum(2 * abs(p - q) / (p + q) for p, q in zip(a, b, strict=True)) / len(a)


@formula("Eq. 2: relative PD")
def relative_pd() -> Pairs:
    yield sr.prediction_difference.relative(A, B), delta_r(A, B)
    metric = sr.metrics.RelativePredictionDifference()
    metric.update_state(A, B)
    yield metric.result(), delta_r(A, B)
    three = sr.prediction_difference.mean_over_pairs(np.transpose([A, B, C]))
    yield three, (delta_r(A, B) + delta_r(A, C) + delta_r(B, C)) / 3
    yield sr.prediction_difference.relative([0.0, 0.1], [0.0, 0.3]), 0.5


@formula("L_p PD")
def norms() -> Pairs:
    predictions = np.transpose([A, B, C])
    mean = (A + B + C) / 3
    for p in (1, 2, 3):
        total = sum(
            sum(abs(y - m) ** p / 3 for y in row) ** (1 / p) / m for row, m in zip(predictions, mean, strict=True)
        )
        yield sr.prediction_difference.relative_norm(predictions, p=p), total / 8
        yield sr.prediction_difference.relative_norm(predictions[:, :2], p=p), delta_r(A, B) / 2


@formula("Standard deviation and KL divergence")
def others() -> Pairs:
    predictions, mean = np.transpose([A, B, C]), (A + B + C) / 3
    deviations = [math.sqrt(sum((y - m) ** 2 for y in row) / 3) for row, m in zip(predictions, mean, strict=True)]
    yield sr.prediction_difference.standard_deviation(predictions), sum(deviations) / 8
    divergence = sum(p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q)) for p, q in zip(A, B, strict=True))
    yield sr.prediction_difference.kl(A, B), divergence / 8


@formula("Swap rate")
def swap_rate() -> Pairs:
    def top(prediction: Any, q: int, k: int) -> list[int]:
        rows = [i for i in range(8) if QUERY[i] == q]
        return sorted(rows, key=lambda i: -prediction[i])[:k]

    for k in (1, 2, 3):
        swapped = [top(A, q, k) != top(B, q, k) for q in (1, 2, 3)]
        yield sr.recommendations.swap_rate(A, B, QUERY, k=k), np.mean(swapped)
        metric = sr.metrics.SwapRate(k=k)
        metric.update_state(A, B, query_id=QUERY)
        yield metric.result(), np.mean(swapped)


@formula("Eq. 3: SoftPlus")
def softplus() -> Pairs:
    for beta in (0.5, 1.0, 3.0):
        yield sr.activations.softplus(tf.constant(X), beta=beta), np.log(1 + np.exp(beta * X)) / beta


@formula("Eq. 4: Swish")
def swish() -> Pairs:
    for beta in (0.5, 1.0, 3.0):
        yield sr.activations.swish(tf.constant(X), beta=beta), X * sigmoid(beta * X)
    yield sr.activations.swish(tf.constant(X), beta=0), X / 2


@formula("Eq. 5: GELU")
def gelu() -> Pairs:
    erf = np.vectorize(math.erf)
    for beta in (0.5, 1.0, 3.0):
        yield sr.activations.gelu(tf.constant(X), beta=beta), X * 0.5 * (1 + erf(beta * X / math.sqrt(2)))
        approximation = X * sigmoid(math.sqrt(8 / math.pi) * beta * X)
        yield sr.activations.gelu(tf.constant(X), beta=beta, form="sigmoid"), approximation


@formula("Mish, TanhExp, ELU, SELU, CELU")
def named() -> Pairs:
    x = tf.constant(X)
    alpha, scale = 1.6732632423543772, 1.0507009873554805
    yield sr.activations.mish(x), X * np.tanh(np.log(1 + np.exp(X)))
    yield sr.activations.tanhexp(x), X * np.tanh(np.exp(X))
    yield sr.activations.elu(x, alpha=0.5), np.where(X > 0, X, 0.5 * (np.exp(X) - 1))
    yield sr.activations.selu(x), np.where(X > 0, scale * X, scale * alpha * (np.exp(X) - 1))
    yield sr.activations.celu(x, alpha=0.5), np.where(X > 0, X, 0.5 * (np.exp(X / 0.5) - 1))


@formula("Eq. 6: SmeLU's constraints")
def smelu_slopes() -> Pairs:
    for beta in (0.25, 1.0):
        yield slopes(functools.partial(sr.activations.smelu, beta=beta), [-beta, 0.0, beta]), [0.0, 0.5, 1.0]


def smelu(x: Any, beta: float) -> Any:
    return np.where(x <= -beta, 0, np.where(x >= beta, x, (x + beta) ** 2 / (4 * beta)))


@formula("Eq. 7: SmeLU")
def eq_7() -> Pairs:
    for beta in (0.1, 0.5, 1.0, 4.0):
        yield sr.activations.smelu(tf.constant(X), beta=beta), smelu(X, beta)
    yield sr.activations.smelu(tf.constant(X)), smelu(X, 0.1)
    yield sr.activations.smelu(tf.constant(X), beta=0), np.maximum(X, 0)
    box = (np.arange(20_000) + 0.5) / 20_000 * 2 - 1
    yield sr.activations.smelu(tf.constant(X), beta=1.0), [np.maximum(x - box, 0).mean() for x in X]


@formula("Widths by layer")
def widths() -> Pairs:
    yield sr.activations.width_schedule(0.8, 0.1, 4), [0.8 * (0.1 / 0.8) ** (i / 3) for i in range(4)]
    yield sr.activations.width_schedule(0.8, 0.2, 3, kind="linear"), [0.8, 0.5, 0.2]


@formula("Eq. 8: gSmeLU's constraints")
def gsmelu_constraints() -> Pairs:
    f = functools.partial(sr.activations.gsmelu, **GSMELU)
    yield slopes(f, [-GSMELU["alpha"], GSMELU["beta"]]), [GSMELU["g_minus"], GSMELU["g_plus"]]
    yield f(tf.constant(-GSMELU["alpha"], tf.float64)), GSMELU["t"]


@formula("Eqs. 9 and 10: gSmeLU")
def eqs_9_and_10() -> Pairs:
    alpha, beta, g_minus, g_plus, t = GSMELU.values()
    a = (g_plus - g_minus) / (2 * (alpha + beta))
    b = (alpha * g_plus + beta * g_minus) / (alpha + beta)
    c = t + (alpha**2 * (g_plus + g_minus) + 2 * alpha * beta * g_minus) / (2 * (alpha + beta))
    left = g_minus * X + t + g_minus * alpha
    right = g_plus * X + t + (alpha + beta) / 2 * g_minus + (alpha - beta) / 2 * g_plus
    wanted = np.select([-alpha >= X, beta <= X], [left, right], a * X**2 + b * X + c)
    yield sr.activations.gsmelu(tf.constant(X), **GSMELU), wanted
    yield sr.activations.gsmelu(tf.constant(X)), smelu(X, 1.0)


@formula("RESCU")
def rescu() -> Pairs:
    knots, at_knots, t = (-1.0, 0.5, 2.0), (-0.25, 1.5, 1.0), 0.125
    f = functools.partial(sr.activations.rescu, knots=knots, slopes=at_knots, t=t)
    for x in X:
        z = np.linspace(knots[0], x, 200_001)
        s = np.interp(z, knots, at_knots)
        yield f(tf.constant(x, tf.float64)), t + np.sum((s[1:] + s[:-1]) / 2 * np.diff(z))
    pieces = [
        (tf.zeros_like, (-math.inf, -1.0)),
        (lambda x: (x + 1) ** 2 / 4, (-1.0, 1.0)),
        (tf.identity, (1.0, math.inf)),
    ]
    yield sr.activations.join(pieces)(tf.constant(X)), smelu(X, 1.0)


@functools.cache
def ensemble() -> tuple[Any, Any, Any]:
    """Three components with their features and log-odds [8, 3]."""
    x = np.linspace(-2, 2, 8)
    parts = [(0.5, -1.0), (-0.75, 0.25), (1.0, 0.0)]
    components = [numeric_model(*part) for part in parts]
    logits = np.transpose([kernel * x + bias for kernel, bias in parts])
    return components, features(x), logits


def cross_entropy(q: Any, s: Any) -> Any:
    return -q * np.log(s) - (1 - q) * np.log(1 - s)


def ensemble_loss(**settings: float) -> float:
    components, x, _ = ensemble()
    model = sr.models.EnsembleModel(components, **settings)
    model.compile(optimizer=tf.keras.optimizers.legacy.SGD(0.1))
    return float(model.compute_loss((x, tf.constant(LABEL, tf.float32)), training=True))


@formula("Ensembles")
def ensembles() -> Pairs:
    components, x, logits = ensemble()
    yield sr.models.EnsembleModel(components)(x), sigmoid(logits).mean(axis=1)
    yield sr.models.EnsembleModel(components, average="logit")(x), sigmoid(logits.mean(axis=1))
    yield ensemble_loss(), sum(cross_entropy(LABEL, sigmoid(column)).mean() for column in logits.T)


@formula("Anti-distillation")
def anti_distillation() -> Pairs:
    columns = [np.sin(np.arange(8.0)), np.cos(np.arange(8.0)), np.arange(8.0) ** 2]
    squares = []
    for one, other in itertools.combinations(columns, 2):
        x, y = one - one.mean(), other - other.mean()
        squares.append((sum(x * y) / math.sqrt(sum(x * x) * sum(y * y))) ** 2)
    yield losses.decorrelation(np.transpose(columns)), 2 / (3 * 2) * sum(squares)
    yield ensemble_loss(decorrelation=0.5) - ensemble_loss(), 0.5  # log-odds that are straight lines of x are all alike


@formula("Distillation")
def distillation() -> Pairs:
    logits, q, label_loss = np.array([-1.0, 0.5, 2.0]), np.array([0.2, 0.9, 0.5]), np.array([0.3, 0.2, 0.1])
    batch = {"teacher_probability": tf.constant(q, tf.float64)}
    towards = {
        "soft_label": cross_entropy(q, sigmoid(logits)),
        "logit": (logits - np.log(q / (1 - q))) ** 2 / 2,
    }
    for name, loss in towards.items():
        yield getattr(losses, name)(tf.constant(logits), q), loss
        found = Distillation(name, weight=0.25)(tf.constant(label_loss), tf.constant(logits), batch, iterations=0)
        yield found, 0.75 * label_loss + 0.25 * loss
    assert config.Distillation().weight == 0.5
    assert config.Distillation().loss == "soft_label"


@formula("Co-distillation")
def co_distillation() -> Pairs:
    _, _, logits = ensemble()
    own = sigmoid(logits)
    others = np.transpose([np.delete(own, k, axis=1).mean(axis=1) for k in range(3)])
    towards = sum(cross_entropy(others[:, k], own[:, k]).mean() for k in range(3))
    yield ensemble_loss(codistillation=0.5) - ensemble_loss(), 0.5 * towards


@formula("Anchor")
def anchor() -> Pairs:
    """With SGD of rate 1 an update is the gradient: lambda (d - d_0) more than that of a free model."""
    updates = []
    for weight in (0.0, 0.25):
        model = numeric_model(2.0, 0.5)
        model.compile(optimizer=tf.keras.optimizers.legacy.SGD(1.0))
        model.set_anchor(weight)
        model.output_layer.set_weights([np.array([[3.0]]), np.array([-0.5])])
        model.train_step((features([1.0]), tf.constant([1.0])))
        updates.append([3.0, -0.5] - np.ravel([np.ravel(w) for w in model.output_layer.get_weights()]))
    yield updates[1] - updates[0], 0.25 * np.array([3.0 - 2.0, -0.5 - 0.5])


@formula("Averages of the weights")
def averages_of_the_weights() -> Pairs:
    weights = [2.0, -1.0, 0.5, 3.0]
    for half_life in (0.5, 3.0):
        shares = [2 ** (-(len(weights) - i) / half_life) for i in range(1, len(weights) + 1)]
        trained, averaged = numeric_model(0.0, 0.5), numeric_model(0.0, 0.5)
        average = WeightAverage(trained, averaged, half_life)
        for step, weight in enumerate(weights, start=1):
            trained.output_layer.kernel.assign([[weight]])
            average.update(step)
        wanted = sum(share * weight for share, weight in zip(shares, weights, strict=True)) / sum(shares)
        yield averaged.output_layer.kernel[0, 0], wanted
        yield averaging.share(2, 5, half_life), (1 - 2 ** (-3 / half_life)) / (1 - 2 ** (-5 / half_life))


def test_every_formula_of_the_page_is_checked() -> None:
    assert re.findall(r"^### (.*)$", PAGE, re.MULTILINE) == list(CHECKS)
    assert [int(n) for n in re.findall(r"^### Eqs?\. (\d+)", PAGE, re.MULTILINE)] == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    for section in re.split(r"^### ", PAGE, flags=re.MULTILINE)[1:]:
        assert section.count("```math") >= 1, section
        assert "- Code: [`" in section, section
        assert "- Proof: [`test_" in section, section


@pytest.mark.parametrize("heading", list(CHECKS))
def test_the_code_computes_the_formula(heading: str) -> None:
    pairs = list(CHECKS[heading]())
    assert pairs
    for found, wanted in pairs:
        found, wanted = np.asarray(found, np.float64), np.asarray(wanted, np.float64)
        assert found.shape == wanted.shape
        np.testing.assert_allclose(found, wanted, rtol=2e-6, atol=2e-7)


def defined(path: Path) -> set[str]:
    """Names of the functions and classes of a file, `Class.method` included."""
    names = set()
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
            names |= {f"{node.name}.{m.name}" for m in ast.walk(node) if isinstance(m, ast.FunctionDef)}
    return names


def test_every_link_of_the_page_leads_to_what_it_names() -> None:
    links = re.findall(r"\[`([^`]+)`\]\(\.\./([^)]+)\)", PAGE)
    assert len(links) > 90
    for name, path in links:
        assert name in defined(ROOT / path), f"{path} has no {name}"
        assert path.startswith("tests/" if name.startswith("test_") else "smooth_recs/")


def test_every_public_name_of_the_page_exists() -> None:
    names = set(re.findall(r"`sr\.([a-z_A-Z.]+)`", PAGE))
    assert len(names) > 15
    for name in names:
        assert callable(functools.reduce(getattr, name.split("."), sr)), name


PATH = re.compile(r"(?:[a-z_]{2,}/)+(?:[a-z_]+\.py)?|[a-z_]+\.py")


@pytest.mark.parametrize(("page", "least"), [("architecture.md", 40), ("architecture.svg", 15)])
def test_the_architecture_names_what_is_there(page: str, least: int) -> None:
    """Page and picture name modules as they lie in `smooth_recs/`."""
    text = (ROOT / "docs" / page).read_text("utf-8")
    found = set(PATH.findall(re.sub(r"https?://\S+|</\w+>", "", text)))
    assert len(found) >= least, found
    missing = {name for name in found if not any((base / name).exists() for base in (ROOT, ROOT / "smooth_recs"))}
    assert not missing


def test_the_table_of_the_architecture_is_the_tree() -> None:
    """Every module at the top of the package stands in it once, in the layer whose imports are tested."""
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    rows = re.findall(r"^\| L(\d) \| ([^|]*) \|", page, re.MULTILINE)
    named = [(name.removesuffix("/").removesuffix(".py"), int(row)) for row, names in rows for name in
             re.findall(r"`([^`]+)`", names)]  # fmt: skip
    assert len(named) == len(dict(named))
    assert dict(named) == LAYER
