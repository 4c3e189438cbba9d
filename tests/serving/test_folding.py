"""What is served: plain kernels and cheap activations that predict what the trained layers do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import smooth_recs as sr
from smooth_recs import config
from smooth_recs.data.encoding import Encoder
from smooth_recs.layers import Tower
from smooth_recs.models import from_config
from smooth_recs.schema import Categorical, Numeric, Schema
from smooth_recs.serving import folding, saved_model
from smooth_recs.serving.loader import LoadedModel

ENCODER = Encoder(Schema((Categorical("user", "identity", 30, "int64"), Numeric("x", "identity"), Numeric("z", "log"))))
X = np.concatenate([np.linspace(-3, 3, 2001), [-1e30, 1e30, -np.inf, np.inf, np.nan]]).astype(np.float32)


def raw_rows(rows: int) -> dict[str, Any]:
    random = np.random.default_rng(1)
    numbers = {name: random.normal(size=rows).astype(np.float32) for name in ("x", "z")}
    return {"user": random.integers(-1, 32, rows), **numbers}


def model_of(**settings: Any) -> Any:
    """Every dense weight is another number, moving statistics included, so that none can be left out unnoticed."""
    tf.keras.utils.set_random_seed(1)
    sizes = {"hidden_units": (12, 8, 6), "bottom_units": (5, 4), "embedding_dim": 4, "linear": True} | settings
    model = from_config.model(config.Config(model=config.Model(**sizes)), ENCODER)
    model(ENCODER(raw_rows(2)))
    random = np.random.default_rng(2)
    for variable in model.variables:
        if variable.dtype == tf.float32:
            variable.assign(variable + random.uniform(0.05, 0.6, variable.shape).astype(np.float32))
    return model


# 1. Activations: out_scale * function(in_scale * (x + in_shift)) + out_shift is the clipped activation.

CHEAP: dict[str, Any] = {
    "relu": sr.activations.relu,
    "Keras' relu": tf.keras.activations.relu,
    "smelu": sr.activations.smelu,
    "narrow": sr.layers.SmeLU(1e-6),
    "wide": sr.layers.SmeLU(2.0),
    "gsmelu": sr.layers.GSmeLU(alpha=0.3, beta=0.8, g_plus=1.7, t=-0.2),
}
AS_THEY_ARE: dict[str, Any] = {
    "no width": sr.layers.SmeLU(0.0),
    "leaky": sr.layers.GSmeLU(g_minus=0.1),
    "swish": sr.layers.Swish(3.0),
    "rescu": sr.layers.RESCU((-1.0, 0.0, 1.0), (0.0, 1.5, 1.0)),
    "linear": tf.keras.activations.linear,
}


@pytest.mark.parametrize("clip", [None, 6.0, 1.0, 0.1, 0.01])
@pytest.mark.parametrize("name", [*CHEAP, *AS_THEY_ARE])
def test_a_rewritten_activation_has_the_same_values(name: str, clip: float | None) -> None:
    activation = (CHEAP | AS_THEY_ARE)[name]
    expected = activation(tf.constant(X)).numpy()
    expected = expected if clip is None else np.clip(expected, -clip, clip)
    r = folding.rewritten(activation, clip)
    with np.errstate(invalid="ignore"):
        inner = np.asarray(r.function(tf.constant(((X + r.in_shift) * r.in_scale).astype(np.float32))), np.float64)
        found = r.out_scale * inner + r.out_shift
    np.testing.assert_allclose(found, expected, rtol=3e-7, atol=3e-7)


@pytest.mark.parametrize("name", CHEAP)
def test_cheap_forms_take_few_operations(name: str) -> None:
    r = folding.rewritten(CHEAP[name], 6.0 if "relu" in name else None)
    assert r.function is not CHEAP[name]
    graph = tf.function(r.function).get_concrete_function(tf.TensorSpec([None, 3], tf.float32)).graph
    kinds = [node.op for node in graph.as_graph_def().node if node.op not in ("Const", "Placeholder", "Identity")]
    assert kinds == (["Relu6"] if "relu" in name else ["ClipByValue", "SquaredDifference", "Maximum"])


def test_units_may_have_widths_of_their_own() -> None:
    betas = np.array([0.05, 0.5, 1.5])
    r = folding.rewritten(sr.layers.SmeLU(betas), 1.0)
    x = np.linspace(-2, 2, 50)[:, np.newaxis].repeat(3, axis=1)
    found = r.out_scale * np.asarray(r.function(tf.constant(x * r.in_scale, tf.float32))) + r.out_shift
    parabola = (x + betas) ** 2 / (4 * betas)
    expected = np.minimum(np.where(x <= -betas, 0, np.where(x >= betas, x, parabola)), 1.0)
    np.testing.assert_allclose(found, expected, atol=1e-6)


# 2. Towers.

LEARNED = {"class_name": "GSmeLU", "config": {"alpha": 0.4, "beta": 0.6, "t": -0.1, "learn": "all", "per": "unit"}}
RELATIVE = {"class_name": "SmeLU", "config": {"relative_beta": 0.3, "per": "unit"}}
MODELS: dict[str, dict[str, Any]] = {
    f"{activation}, {normalization}, {clip}": {"activation": activation, "normalization": normalization, "clip": clip}
    for activation in ("smelu", "relu", "swish")
    for normalization in ("weight", "layer", "batch", "none")
    for clip in (0.0, 0.7)
} | {
    "a width a layer": {"beta": (0.1, 0.3, 0.5), "clip": 0.7},
    "learned": {"activation": LEARNED, "clip": 0.7},
    "relative": {"relative_beta": 0.3, "clip": 0.7},
    "relative, a unit": {"activation": RELATIVE, "normalization": "batch"},
    "dropout": {"dropout": 0.5},
    "no tower": {"hidden_units": (), "bottom_units": ()},
    "crosses": {"interaction": "cross"},
    "deepfm": {"interaction": "deepfm", "linear": True},
}


@pytest.mark.parametrize("name", MODELS)
def test_a_folded_model_has_the_same_logits(name: str) -> None:
    model, rows = model_of(**MODELS[name]), ENCODER(raw_rows(300))
    expected = model.logits(rows).numpy()
    assert np.ptp(expected) > 0.01
    np.testing.assert_allclose(folding.folded(model).logits(rows), expected, rtol=2e-6, atol=2e-6)


def test_row_norms_are_in_the_kernels() -> None:
    model = model_of(activation="swish", norm_value=1.4)
    stages = folding.folded(model).top_stack.stages
    for stage in stages:
        np.testing.assert_allclose(np.linalg.norm(stage.kernel, axis=0), 1.4, rtol=1e-6)
    raw = [layer.kernel for layer in model.top_stack.hidden]
    assert all(abs(np.linalg.norm(kernel, axis=0) - 1.4).min() > 1e-3 for kernel in raw)


def test_folding_leaves_the_model_as_it_was() -> None:
    model = model_of(normalization="batch")
    before = [variable.numpy() for variable in model.variables]
    served = folding.folded(model)
    for stage in [*served.top_stack.stages, *served.bottom_stack.stages]:
        stage.kernel.assign(tf.zeros_like(stage.kernel))
    for variable, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)


def test_other_models_stay_as_they_are() -> None:
    class Own(sr.models.RankingModel):
        def logits(self, features: Any, training: bool = False, embedded: Any = None) -> Any:
            return super().logits(features, training, embedded) * 2

    from smooth_recs.models import interactions

    own = Own(numeric=["x"], interaction=interactions.Concatenation(), top_stack=Tower([2], dtype="float64"))
    assert folding.folded(own) is own
    half = sr.models.RankingModel(
        numeric=["x"], interaction=interactions.Concatenation(), top_stack=Tower([2], dtype="mixed_bfloat16")
    )
    assert folding.folded(half).top_stack is half.top_stack
    assert folding.folded(half).output_layer is half.output_layer


# 3. Exports, in TensorFlow's C++ runtime.


@pytest.mark.parametrize("name", ["smelu, weight, 0.7", "relu, batch, 0.7", "smelu, layer, 0.0", "relative"])
def test_the_runtime_predicts_as_the_model(name: str, tmp_path: Path) -> None:
    model, rows = model_of(**MODELS[name]), raw_rows(100)
    with LoadedModel(saved_model.save(model, ENCODER, str(tmp_path))) as loaded:
        predictions = loaded.run("serving_default", rows)["probability"]
    np.testing.assert_allclose(predictions, model(ENCODER(rows), training=False), rtol=0, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("normalization", ["weight", "batch", "none"])
def test_a_normalised_export_has_the_operations_of_a_plain_one(normalization: str, tmp_path: Path) -> None:
    def operations(kind: str) -> list[str]:
        model = model_of(normalization=kind, dropout=0.0 if kind == "none" else 0.3)
        serve = tf.saved_model.load(saved_model.save(model, ENCODER, str(tmp_path / kind))).signatures[
            "serving_default"
        ]
        functions = serve.graph.as_graph_def().library.function
        return sorted(node.op for function in functions for node in function.node_def)

    assert operations(normalization) == operations("none")
