"""What the compiled tower and the exchange of embeddings do: SmeLU adds no kernel to ReLU's, few operations, no bytes.

The counts come from `benchmarks/throughput_contenders/program_cost.py`, of the programs that XLA makes for this
processor.
"""

from __future__ import annotations

import importlib
import re
from collections import Counter
from typing import Any

import pytest
import tensorflow as tf
from source_imports import ROOT

from smooth_recs.activations import smelu
from smooth_recs.layers import EmbeddedFeature, StackedEmbedding, Tower, clip

pytestmark = pytest.mark.both_generations

BATCH, UNITS, INPUTS = 256, (128, 64), 40


@pytest.fixture
def program_cost(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("throughput_contenders.program_cost")


def tower_program(activation: str, **recipe: Any) -> str:
    """Forward, and gradients of weights and inputs, of a tower without an output layer."""
    tower = Tower(UNITS, activation=activation, **recipe)
    x, upstream = tf.ones([BATCH, INPUTS]), tf.ones([BATCH, UNITS[-1]])
    tower(x)

    @tf.function(jit_compile=True, autograph=False)
    def step(x: Any, upstream: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tower(x, training=True)
        return y, tape.gradient(y, [x, *tower.trainable_variables], upstream)

    text: str = step.experimental_get_compiler_ir(x, upstream)(stage="optimized_hlo")
    return text


def per_example(kernels: list[tuple[str, str]]) -> Counter[str]:
    """Products, and kernels with a row for each example; the rest sums the gradients of biases and norms."""
    return Counter(
        "product" if op == "dot" else shape for op, shape in kernels if op == "dot" or shape.startswith(f"f32[{BATCH},")
    )


@pytest.mark.parametrize("recipe", [{"normalization": "none"}, {"normalization": "weight", "clip": 6.0}])
def test_smelu_adds_no_kernel_to_relu_and_little_else(program_cost: Any, recipe: dict[str, Any]) -> None:
    relu, smelu = (tower_program(name, **recipe) for name in ("relu", "smelu"))
    assert per_example(program_cost.kernels(smelu)) == per_example(program_cost.kernels(relu))
    one, other = program_cost.cost(relu), program_cost.cost(smelu)
    # On some shapes XLA sums the gradient of a bias in two kernels after SmeLU, where it takes one after ReLU.
    assert 0 <= other.kernels - one.kernels <= len(UNITS)
    values = BATCH * sum(UNITS)
    assert 0 < other.flops - one.flops <= 12 * values, "a dozen operations for each value, forward and backward"
    assert other.bytes <= 1.01 * one.bytes


def test_smelu_and_its_clip_are_one_kernel_and_so_is_their_gradient(program_cost: Any) -> None:
    """What `layers.compiled` compiles of a training step: one pass over the outputs of a layer, and one back."""
    x, upstream = tf.ones([BATCH, 64]), tf.ones([BATCH, 64])

    @tf.function(jit_compile=True, autograph=False)
    def value(x: Any) -> Any:
        return clip(smelu(x, beta=0.1), limit=6.0)

    @tf.function(jit_compile=True, autograph=False)
    def gradient(x: Any, upstream: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = clip(smelu(x, beta=0.1), limit=6.0)
        return tape.gradient(y, x, upstream)

    for function, inputs in ((value, [x]), (gradient, [x, upstream])):
        found = program_cost.cost(program_cost.optimized(function, *inputs))
        assert (found.kernels, found.fusions) == (1, 1)
        assert found.bytes == 4 * BATCH * 64 * (len(inputs) + 1), "inputs are read once, outputs written once"


def test_the_count_sees_what_an_activation_adds(program_cost: Any) -> None:
    """GELU keeps more for its gradient: kernels and bytes that SmeLU does not need."""
    relu, gelu = (tower_program(name, normalization="none") for name in ("relu", "gelu"))
    assert program_cost.cost(gelu).bytes > 1.2 * program_cost.cost(relu).bytes
    assert sum(per_example(program_cost.kernels(gelu)).values()) > sum(per_example(program_cost.kernels(relu)).values())


def test_the_exchange_is_of_the_rows_of_the_batch(program_cost: Any) -> None:
    """The looked-up rows out, their gradients and ids back: nothing has the size of the table but the table."""
    sizes = (5_000, 300, 77)
    embeddings = StackedEmbedding([EmbeddedFeature(f"C{k}", size) for k, size in enumerate(sizes)], 16)
    ids = {f"C{k}": tf.range(BATCH, dtype=tf.int64) % size for k, size in enumerate(sizes)}
    upstream = tf.ones([BATCH, 3, 16])
    embeddings(ids)

    @tf.function(jit_compile=True, autograph=False)
    def exchange(ids: Any, upstream: Any) -> Any:
        with tf.GradientTape() as tape:
            embedded = embeddings(ids)
        (gradient,) = tape.gradient(embedded, embeddings.trainable_variables, upstream)
        return embedded, gradient.values, gradient.indices

    portable = exchange.experimental_get_compiler_ir(ids, upstream)(stage="stablehlo")
    table = re.escape(f"tensor<{sum(sizes)}x16xf32>")
    using = [line for line in portable.splitlines() if re.search(table, line) and "func.func" not in line]
    assert len(using) == 1
    assert "stablehlo.gather" in using[0]
    assert "custom_call" not in portable
    assert "?x" not in portable, "no dimension is unknown"
    rows, moved = BATCH * len(sizes), program_cost.cost(program_cost.optimized(exchange, ids, upstream)).bytes
    # Embeddings and gradients are read and written, numbers of rows found and passed on: four tables would be 1.4 MB.
    assert moved <= 2 * 2 * rows * 16 * 4 + 8 * rows * 8


PROGRAM = """HloModule hand, entry_computation_layout={...}

%add (a: f32[], b: f32[]) -> f32[] {
  %a = f32[] parameter(0)
  %b = f32[] parameter(1)
  ROOT %sum = f32[] add(%a, %b)
}

%fused (p0: f32[4,8], p1: f32[100,8], p2: s32[4]) -> f32[4,8] {
  %p0 = f32[4,8]{1,0} parameter(0)
  %p1 = f32[100,8]{1,0} parameter(1)
  %p2 = s32[4]{0} parameter(2)
  %found = f32[4,8]{1,0} gather(%p1, %p2), offset_dims={1}
  %e = f32[4,8]{1,0} exponential(%p0)
  ROOT %m = f32[4,8]{1,0} multiply(%e, %found)
}

ENTRY %main (x: f32[4,3], w: f32[3,8], t: f32[100,8], i: s32[4]) -> f32[8] {
  %x = f32[4,3]{1,0} parameter(0)
  %w = f32[3,8]{1,0} parameter(1)
  %t = f32[100,8]{1,0} parameter(2)
  %i = s32[4]{0} parameter(3)
  %zero = f32[] constant(0)
  %d = f32[4,8]{1,0} dot(%x, %w), lhs_contracting_dims={1}, rhs_contracting_dims={0}
  %f = f32[4,8]{1,0} fusion(%d, %t, %i), kind=kLoop, calls=%fused
  ROOT %r = f32[8]{0} reduce(%f, %zero), dimensions={0}, to_apply=%add
}
"""


def test_a_program_counted_by_hand(program_cost: Any) -> None:
    """4 x 8 dot products of length 3, 32 exponentials and products, 24 additions; rows found, not the table."""
    assert program_cost.kernels(PROGRAM) == [("dot", "f32[4,8]"), ("fusion", "f32[4,8]"), ("reduce", "f32[8]")]
    found = program_cost.cost(PROGRAM)
    assert (found.kernels, found.fusions, found.transcendentals) == (3, 1, 32)
    assert found.flops == 2 * 32 * 3 + 32 + 32 + 24
    dot, fusion, reduction = 4 * (12 + 24 + 32), 4 * (32 + 32 + 32 + 4), 4 * (32 + 1 + 8)
    assert found.bytes == dot + fusion + reduction


def test_a_text_that_is_no_program(program_cost: Any) -> None:
    with pytest.raises(ValueError, match="no entry"):
        program_cost.cost("HloModule empty")
