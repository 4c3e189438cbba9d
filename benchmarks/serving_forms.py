"""What exact forms of SmeLU cost between the dense layers of an export, relative to ReLU.

    python benchmarks/serving_forms.py --rounds=60

TensorFlow makes one operation of a matrix product, a bias and a ReLU (or ReLU6). Everything else is a pass over the
activations of its own. The forms are of beta = 1/4, whose scale an export puts into the weights on both sides. The
default network (256-128-64-32-16), 1,000 rows, one core, processor time of the fastest of three calls a round; ratios
within a round. The last two are no SmeLU: they show what one and two further passes cost at the least.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf

UNITS = (81, 256, 128, 64, 32, 16)
ROWS = 1000


def clip_square_max(z: Any) -> Any:
    u = tf.raw_ops.ClipByValue(t=z, clip_value_min=-0.25, clip_value_max=0.25)
    return tf.maximum(z, tf.math.squared_difference(u, -0.25))


def relu_square_add(z: Any) -> Any:
    """Of z + 1/4; 1/4 too large, which the next bias would take off."""
    r = tf.nn.relu(z)
    return r + tf.math.squared_difference(tf.minimum(r, 0.5), 0.5)


def huber(z: Any) -> Any:
    """Of z + 1/4: m (2 r - m), m = min(r, 1/2)."""
    r = tf.nn.relu(z)
    m = tf.minimum(r, 0.5)
    return m * (r + (r - m))


def relu6_square_max(z: Any) -> Any:
    """Of 12 z + 3, and 144 times as large; the optimiser joins ReLU6 and the square."""
    return tf.maximum(12 * z - 36, tf.square(tf.nn.relu6(z)))


FORMS: dict[str, Callable[[Any], Any]] = {
    "relu": tf.nn.relu,
    "max(z, (clip(z) + 1/4)^2), as exports have it": clip_square_max,
    "r + (min(r, 1/2) - 1/2)^2, r = relu": relu_square_add,
    "m (2 r - m), m = min(r, 1/2), r = relu": huber,
    "max(12 z - 36, relu6(z)^2)": relu6_square_max,
    "one pass: max(z, -1/4)": lambda z: tf.maximum(z, -0.25),
    "two passes: max(z, z^2)": lambda z: tf.maximum(z, tf.square(z)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=60)
    arguments = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-1:])
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    calls = {name: network(form) for name, form in FORMS.items()}
    rows = tf.random.stateless_normal([ROWS, UNITS[0]], (1, 1))
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(-5, arguments.rounds):  # the first ones warm up
        for name in random.sample(list(calls), len(calls)):
            fastest = min(processor_time(calls[name], rows) for _ in range(3))
            if turn >= 0:
                seconds[name].append(fastest)
    for name, times in seconds.items():
        ratio = np.median(np.array(times) / seconds["relu"])
        print(f"{np.median(times) * 1e3:6.3f} ms  {ratio:.3f}  {name}", flush=True)


def network(form: Callable[[Any], Any]) -> Any:
    layers = [
        (tf.random.stateless_normal(shape, (2, n)) * 1.4 / shape[0] ** 0.5, tf.zeros(shape[1]))
        for n, shape in enumerate(itertools.pairwise(UNITS))
    ]

    @tf.function(input_signature=[tf.TensorSpec([None, UNITS[0]], tf.float32)])
    def answer(x: Any) -> Any:
        for kernel, bias in layers:
            x = form(tf.nn.bias_add(tf.matmul(x, kernel), bias))
        return x

    return answer.get_concrete_function()


def processor_time(call: Any, rows: Any) -> float:
    begun = time.process_time()
    call(rows)
    return time.process_time() - begun


if __name__ == "__main__":
    main()
