"""The dense step compiles whole under XLA with static shapes and gives the same numbers: what CPUs can tell of a TPU.

The embeddings are inputs, as on a TPU, where they come from units of their own.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from smooth_recs.config import Config
from smooth_recs.data.presets import open_source
from smooth_recs.models import from_config

BATCH = 256
CONFIGS = Path(__file__).parents[1] / "configs"
# A lone host-side op in the step would be a custom call or a transfer in what XLA makes of it.
ON_THE_HOST = re.compile(r"custom-call|infeed|outfeed|send\(|recv\(|host-transfer", re.IGNORECASE)


def configuration(name: str) -> Config:
    spec = importlib.util.spec_from_file_location(name, CONFIGS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    config: Config = module.get_config()
    return config


def dense_step(model: Any) -> Callable[..., Any]:
    """Loss, logits, and gradients with regard to the dense variables and the embeddings."""

    def step(embedded: tf.Tensor, numeric: dict[str, tf.Tensor], label: tf.Tensor) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(embedded)
            dense = tf.concat([numeric[name] for name in model.numeric], axis=1)
            hidden = model.top_stack(model.interaction(embedded, dense), training=True)
            logits = model.output_layer(hidden)
            loss = tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(label[:, None], logits))
        return loss, logits, *tape.gradient(loss, [*model.dense_variables, embedded])

    return step


def inputs(config: Config) -> tuple[Any, Any, Any, Any]:
    """A model of the configuration, and a batch with its embeddings."""
    tf.keras.utils.set_random_seed(1)
    config.data.examples, config.data.eval_examples = 1_000, 100
    source = open_source(config.data, "")
    model = from_config.ranking_model(config.model, source.encoder)
    rows = next(iter(source.train().rebatch(BATCH)))
    embedded = model.embeddings(rows["features"])
    model(rows["features"])
    for variable in model.dense_variables:  # biases of 0 leave half of the joints of an activation untried
        variable.assign_add(tf.random.normal(variable.shape, stddev=0.1))
    return model, embedded, {name: rows["features"][name] for name in model.numeric}, rows["label"]


@pytest.mark.parametrize("name", ["demo", "tpu"])
def test_the_dense_step_compiles_and_gives_the_same(name: str) -> None:
    config = configuration(name)
    model, *batch = inputs(config)
    step = dense_step(model)
    compiled = tf.function(step, jit_compile=True, autograph=False)
    for got, expected in zip(compiled(*batch), step(*batch), strict=True):
        np.testing.assert_allclose(got, expected, rtol=2e-4, atol=2e-6)
    text = compiled.experimental_get_compiler_ir(*batch)(stage="hlo")
    assert f"f32[{BATCH},{config.model.hidden_units[0]}]" in text
    assert not ON_THE_HOST.search(text)
    assert "<=" not in text, "no dimension is a bound"


def test_one_network_for_gpu_and_tpu() -> None:
    assert configuration("gpu").model == configuration("tpu").model


def test_the_check_sees_what_xla_cannot_compile() -> None:
    """A step that looks strings up, as an encoder does, is refused: encoding stays in the input pipeline."""

    @tf.function(jit_compile=True)
    def step(text: tf.Tensor) -> tf.Tensor:
        return tf.strings.to_hash_bucket_fast(text, 10)

    with pytest.raises((tf.errors.InvalidArgumentError, tf.errors.UnimplementedError, ValueError)):
        step(tf.constant(["a"]))


def test_smelu_is_one_pass_forward_and_one_backward_as_relu_is() -> None:
    """Compiled, an activation of a layer and its gradient are one kernel each, together with what stands beside it."""

    def passes(activation: str, beta: float | None) -> int:
        config = configuration("demo")
        config.model = dataclasses.replace(
            config.model, activation=activation, beta=beta, normalization="none", clip=0.0
        )
        model, *batch = inputs(config)
        compiled = tf.function(dense_step(model), jit_compile=True, autograph=False)
        program = compiled.experimental_get_compiler_ir(*batch)(stage="optimized_hlo")
        entry = program[program.index("ENTRY") :]
        hidden = "|".join(map(str, config.model.hidden_units))
        return len(re.findall(rf"= f32\[{BATCH},(?:{hidden})\]\S* fusion\(", entry))

    layers = len(configuration("demo").model.hidden_units)
    relu, smelu = passes("relu", None), passes("smelu", 0.2)
    # XLA joins ReLU of the last layer with the product that follows, of a single column, which it computes itself.
    assert relu in (2 * layers - 1, 2 * layers)
    assert smelu == 2 * layers
