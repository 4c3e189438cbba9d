"""How fast this machine multiplies matrices, and how near a training step of the dense tower comes to it.

What is returned, and compared, are floating-point operations in place of examples.
"""

from __future__ import annotations

import itertools
from typing import Any

import tensorflow as tf

from smooth_recs.layers import Tower
from throughput_contenders import ours
from throughput_contenders.work import Turn, Work

SIZE = 2048


def peak(work: Work) -> Turn:
    """Products of square matrices, a step each."""
    matrix = tf.linalg.qr(tf.random.normal([SIZE, SIZE]))[0]  # whose powers neither grow nor vanish
    return _repeated(lambda power: tf.matmul(power, matrix), matrix, flops=2 * SIZE**3)


def tower(work: Work) -> Turn:
    """A training step of the tower of `ours.recipe` alone: forward, gradients of weights and inputs, Adagrad."""
    layers = Tower(work.units, **ours.RECIPE)
    inputs, upstream = tf.random.normal([work.batch_size, work.inputs]), tf.random.normal([work.batch_size, 1]) / 1e6
    layers(inputs)
    optimizer = tf.keras.optimizers.legacy.Adagrad(0.001)
    variables = layers.trainable_variables
    optimizer.apply_gradients((tf.zeros_like(v), v) for v in variables)  # which makes its own variables

    def step(_: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            loss = tf.reduce_sum(layers(inputs) * upstream)
        of_inputs, *gradients = tape.gradient(loss, [inputs, *variables])
        optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return of_inputs

    # Three products of matrices a layer, an addition for every multiplication; nothing else is counted.
    products = sum(a * b for a, b in itertools.pairwise([work.inputs, *work.units]))
    return _repeated(step, inputs, flops=6 * work.batch_size * products)


def _repeated(step: Any, first: Any, flops: int) -> Turn:
    """`step` again and again, each on what the one before returned."""

    @tf.function(autograph=False)
    def run(steps: Any) -> Any:
        def body(k: Any, value: Any) -> Any:
            return k + 1, step(value)

        return tf.reduce_max(tf.while_loop(lambda k, _: k < steps, body, [0, first])[1])

    def turn(steps: int) -> int:
        run(tf.constant(steps)).numpy()
        return steps * flops

    return turn
