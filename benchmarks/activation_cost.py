"""What an activation costs: time of forward and backward pass, relative to `tf.nn.relu`.

    python benchmarks/activation_cost.py --repetitions=15

Every activation, in graph mode and under XLA, in float32 and bfloat16, on one large tensor. The contenders take turns,
in another order each time, and medians are compared, since the clock of a shared machine jumps; the second number is
the same ratio of processor time.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tensorflow as tf

from smooth_recs import activations as act

GSMELU = {"alpha": 0.5, "beta": 0.5, "g_minus": 0.1, "g_plus": 1.0, "t": -0.1}
FIXED: dict[str, Callable[[Any], Any]] = {
    "tf.nn.relu": tf.nn.relu,
    "tf.nn.silu": tf.nn.silu,
    "tf.nn.gelu": tf.nn.gelu,
    "SmeLU": act.smelu,
    "gSmeLU": lambda x: act.gsmelu(x, **GSMELU),
    "RESCU, 3 knots": lambda x: act.rescu(x, knots=(-1, 0, 1), slopes=(0, 1.5, 1)),
    "Softplus 5": lambda x: act.softplus(x, beta=5.0),
    "Swish 5": lambda x: act.swish(x, beta=5.0),
    "GELU 5": lambda x: act.gelu(x, beta=5.0),
    "GELU 5 as a Swish": lambda x: act.gelu(x, beta=5.0, form="sigmoid"),
    "Mish": act.mish,
    "TanhExp": act.tanhexp,
    "ELU": act.elu,
    "SELU": act.selu,
    "CELU 2": lambda x: act.celu(x, alpha=2.0),
    "Leaky ReLU": act.leaky_relu,
}
LEARNED: dict[str, tuple[Callable[..., Any], dict[str, float]]] = {
    "SmeLU, learned per unit": (act.smelu, {"beta": 0.5}),
    "gSmeLU, learned per unit": (act.gsmelu, GSMELU),
}

Step = Callable[[], Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=15)
    parser.add_argument("--rows", type=int, default=4096)
    parser.add_argument("--units", type=int, default=1024)
    arguments = parser.parse_args()
    columns = [(dtype, jit) for dtype in (tf.float32, tf.bfloat16) for jit in (False, True)]
    tables = [ratios(steps(arguments, dtype, jit), arguments.repetitions) for dtype, jit in columns]
    titles = [f"{dtype.name}, {'XLA' if jit else 'graph'}" for dtype, jit in columns]
    print("|", " | ".join(["activation", *titles]), "|\n|", " | ".join(["---"] * (len(titles) + 1)), "|")
    for name in tables[0]:
        print(
            "|",
            " | ".join([name, *(f"{wall:.2f} ({cpu:.2f})" for wall, cpu in (table[name] for table in tables))]),
            "|",
        )


def steps(arguments: argparse.Namespace, dtype: Any, jit: bool) -> dict[str, Step]:
    """One traced forward and backward pass for each activation."""
    shape = (arguments.rows, arguments.units)
    x, upstream = (tf.cast(tf.random.stateless_normal(shape, seed=(1, k)), dtype) for k in (1, 2))

    def step(function: Callable[..., Any], hyperparameters: dict[str, float]) -> Step:
        weights = {name: tf.fill([arguments.units], value) for name, value in hyperparameters.items()}

        @tf.function(jit_compile=jit, autograph=False)
        def traced(x: Any, upstream: Any, weights: dict[str, Any]) -> Any:
            with tf.GradientTape() as tape:
                tape.watch((x, weights))
                y = function(x, **weights)
            return y, tape.gradient(y, (x, weights), upstream)

        return lambda: traced(x, upstream, weights)

    found = {name: step(function, {}) for name, function in FIXED.items()}
    return found | {name: step(*learned) for name, learned in LEARNED.items()}


def ratios(contenders: dict[str, Step], repetitions: int) -> dict[str, tuple[float, float]]:
    """Median wall-clock and processor time of each, relative to the first."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    for step in contenders.values():
        step()  # traces and compiles
    order, kept = list(contenders), []
    for _ in range(repetitions):
        random.shuffle(order)
        for name in order:
            wall, cpu = time.perf_counter(), time.process_time()
            result = contenders[name]()
            result[1][0][0, 0].numpy()  # waits for it
            times[name].append((time.perf_counter() - wall, time.process_time() - cpu))
            # Kept until the next is there: everybody writes to fresh memory, as a layer of a network does.
            kept[:] = [result]
    medians = {
        name: [statistics.median(column) for column in zip(*pairs, strict=True)] for name, pairs in times.items()
    }
    base = next(iter(medians.values()))
    return {name: (wall / base[0], cpu / base[1]) for name, (wall, cpu) in medians.items()}


if __name__ == "__main__":
    main()
