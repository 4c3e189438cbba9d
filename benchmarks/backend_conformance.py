"""Every activation on TensorFlow, jax and PyTorch: errors of value and slope, and time beside ReLU and SiLU.

    python benchmarks/backend_conformance.py --jax_python=JAX/bin/python --torch_python=TORCH/bin/python

Each backend is measured in a process of its own, eager and compiled (`tf.function`, `jax.jit`, `torch.compile`). Errors
of values are in units of the last place of the exact result, those of slopes in units of the last place of 1, the worst
over all inputs; hyperparameters are numbers that every type holds exactly. Times are of forward and backward pass on
one float32 tensor: processor time, medians of turns, relative to the backend's own ReLU and SiLU.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from scipy import special

BACKENDS = ("tensorflow", "jax", "torch")
TYPES = {"float32": 23, "bfloat16": 7, "float16": 10}  # with the digits of each after the point
MODES = ("eager", "compiled")
FAR = (1.5, 3.0, 5.0, 8.0, 20.0, 40.0, 300.0, 3e4)

Curve = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


class Case(NamedTuple):
    """An activation with hyperparameters, its exact value and slope in float64, and where its pieces meet.

    Attributes:
      crossing: the size of the terms whose sum the result is: where it crosses 0 its own last place is no measure.
    """

    given: dict[str, Any]
    exact: Curve
    joints: tuple[float, ...] = (0.0,)
    crossing: float = 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jax_python", default="", help="an interpreter that has jax, if this one has not")
    parser.add_argument("--torch_python", default="", help="an interpreter that has PyTorch, if this one has not")
    parser.add_argument("--activations", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--repetitions", type=int, default=15, help="of the times; 0 for none")
    parser.add_argument("--rows", type=int, default=2048, help="of 512 units, where times are measured")
    parser.add_argument("--measure", choices=BACKENDS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measured(arguments)))
        return
    found = {}
    for backend in BACKENDS:
        python = getattr(arguments, f"{backend}_python", "") or sys.executable
        if python == sys.executable and importlib.util.find_spec(backend) is None:
            print(f"{backend} is left out: --{backend}_python names no interpreter that has it", file=sys.stderr)
            continue
        environment = os.environ | {"KERAS_BACKEND": backend, "TF_USE_LEGACY_KERAS": "0", "TF_CPP_MIN_LOG_LEVEL": "3"}
        environment["OMP_NUM_THREADS"] = "1"  # PyTorch's threads wait for each other in a loop, which counts as work
        command = [python, __file__, *sys.argv[1:], f"--measure={backend}"]
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
        found[backend] = json.loads(done.stdout.splitlines()[-1])
    print(tables(arguments.activations, found))


def tables(names: list[str], found: dict[str, Any]) -> str:
    """The errors, value / slope, a row for each activation and backend; the times beside ReLU / SiLU."""
    columns = [f"{dtype}, {mode}" for dtype in TYPES for mode in MODES]
    errors = [["activation", "backend", *columns, "joints, 0, ±∞"]]
    places = [(backend, mode) for backend in found for mode in MODES]
    times = [["activation", *(f"{backend}, {mode}" for backend, mode in places)]]
    for name in names:
        for backend, of in found.items():
            cells = ["{:.1f} / {:.1f}".format(*of[name][column]) for column in (*columns, "special")]
            errors.append([name, backend, *cells])
        cells = ["{:.2f} / {:.2f}".format(*found[backend][name].get(mode, [math.nan] * 2)) for backend, mode in places]
        times.append([name, *cells])
    return f"{markdown(errors)}\n\n{markdown(times)}"


def markdown(rows: list[list[str]]) -> str:
    head, *rest = ("| " + " | ".join(row) + " |" for row in rows)
    return "\n".join([head, "| --- " * len(rows[0]) + "|", *rest])


# What is exact.


def piecewise(knots: tuple[float, ...], slopes: tuple[float, ...], t: float) -> Curve:
    """t at the first knot, plus the integral of the slope through (knots, slopes), constant outside."""

    def curve(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        inside = np.clip(x, knots[0], knots[-1])
        ends = np.concatenate([[t], t + np.cumsum(np.diff(knots) * (np.add(slopes[:-1], slopes[1:]) / 2))])
        i = np.clip(np.searchsorted(knots, inside, "right") - 1, 0, len(knots) - 2)
        at, rise = inside - np.take(knots, i), (np.diff(slopes) / np.diff(knots))[i]
        y = ends[i] + at * (np.take(slopes, i) + at * rise / 2)
        outside = np.where(x < knots[0], slopes[0], slopes[-1])
        beyond = np.where(outside == 0, 0.0, outside * np.where(inside == x, 0.0, x - inside))
        return y + beyond, np.interp(x, knots, slopes)

    return curve


def gated(beta: float, gate: Curve) -> Curve:
    """y = x g(beta x), for a gate and its derivative."""

    def curve(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        finite = np.clip(x, -1e6, 1e6)
        g, density = gate(beta * finite)
        return np.where(g == 0, 0.0, x * g), g + beta * finite * density

    return curve


def exponential(alpha: float, scale: float = 1.0, width: float = 1.0) -> Curve:
    """y = x for x > 0, alpha (exp(x / width) - 1) otherwise, times the scale."""

    def curve(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        low = np.minimum(x, 0) / width
        return scale * np.where(x > 0, x, alpha * np.expm1(low)), scale * np.where(
            x > 0, 1.0, alpha / width * np.exp(low)
        )

    return curve


def bent(left: float) -> Curve:
    """y = x for x > 0, left x otherwise; the slope at 0 is the left one."""

    def curve(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.where(x > 0, x, 0.0 if left == 0 else left * x), np.where(x > 0, 1.0, left)

    return curve


def tanh_of(inner: Callable[[np.ndarray], np.ndarray], slope: Callable[[np.ndarray], np.ndarray]) -> Curve:
    """The gate tanh(inner(x)), and its derivative slope(x) / cosh(inner(x))^2."""

    def curve(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        at = np.minimum(inner(np.minimum(x, 300.0)), 300.0)
        return np.tanh(at), slope(np.minimum(x, 300.0)) / np.cosh(at) ** 2

    return curve


def logistic(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return special.expit(z), special.expit(z) * special.expit(-z)


def normal(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return special.ndtr(z), np.exp(-z * z / 2) / np.sqrt(2 * np.pi)


def softplus(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.logaddexp(2 * x, 0) / 2, special.expit(2 * x)


GSMELU = {"alpha": 0.75, "beta": 0.5, "g_minus": 0.125, "g_plus": 1.25, "t": -0.25}
RESCU = {"knots": (-1.0, 0.25, 1.5), "slopes": (0.25, 1.5, -0.5), "t": -0.25}
CASES = {
    "smelu": Case({"beta": 0.5}, piecewise((-0.5, 0.5), (0.0, 1.0), 0.0), (-0.5, 0.0, 0.5)),
    "gsmelu": Case(GSMELU, piecewise((-0.75, 0.5), (0.125, 1.25), -0.25), (-0.75, 0.0, 0.5), 0.25),
    "rescu": Case(RESCU, piecewise(RESCU["knots"], RESCU["slopes"], -0.25), (*RESCU["knots"], 0.0), 2.0),
    "softplus": Case({"beta": 2.0}, softplus),
    "swish": Case({"beta": 2.0}, gated(2.0, logistic)),
    "gelu": Case({"beta": 1.5}, gated(1.5, normal)),
    "relu": Case({}, bent(0.0)),
    "leaky_relu": Case({"alpha": 0.25}, bent(0.25)),
    "elu": Case({"alpha": 0.5}, exponential(0.5)),
    "selu": Case({}, exponential(1.6732632423543772, 1.0507009873554805)),
    "celu": Case({"alpha": 0.5}, exponential(0.5, width=0.5)),
    "mish": Case({}, gated(1.0, tanh_of(lambda x: np.logaddexp(x, 0), special.expit))),
    "tanhexp": Case({}, gated(1.0, tanh_of(np.exp, np.exp))),
}


# What a backend computes.


def measured(arguments: argparse.Namespace) -> dict[str, Any]:
    """The errors and times of every activation on the backend of this process."""
    from smooth_recs import activations

    runs = {"tensorflow": OnTensorFlow, "jax": OnJax, "torch": OnTorch}[arguments.measure]()
    found: dict[str, Any] = {}

    def with_hyperparameters(name: str) -> Callable[[Any], Any]:
        function, given = getattr(activations, name), CASES[name].given
        return lambda x: function(x, **given)

    functions = {name: with_hyperparameters(name) for name in arguments.activations}
    for name, function in functions.items():
        with np.errstate(invalid="ignore"):  # infinity times 0, where the formulas say what it is
            found[name] = errors(runs, function, CASES[name])
    if arguments.repetitions:
        x = np.random.default_rng(1).normal(size=(arguments.rows, 512)).astype("float32")
        for mode in MODES:
            timed = times(runs, {**functions, "": runs.relu, " ": runs.silu}, x, mode, arguments.repetitions)
            for name in functions:
                found[name][mode] = [timed[name] / timed[""], timed[name] / timed[" "]]
    return found


def errors(runs: Any, function: Any, case: Case) -> dict[str, list[float]]:
    """The worst errors of value and slope by type and mode, and over all of these at joints, 0 and infinities."""
    found: dict[str, list[float]] = {}
    at_special = [0.0, 0.0]
    for dtype, digits in TYPES.items():
        for mode in MODES:
            x, y, slope = runs.value_and_slope(function, inputs(case, digits), dtype, mode == "compiled")
            wanted, wanted_slope = case.exact(x)
            smallest = 2.0**-14 if dtype == "float16" else 2.0**-126
            last = 2.0 ** (np.floor(np.log2(np.maximum(np.abs(np.nan_to_num(wanted, posinf=1.0, neginf=1.0)),
                                                       max(smallest, case.crossing)))) - digits)  # fmt: skip
            of_value = distance(y, wanted) / last
            of_slope = distance(slope, wanted_slope) * 2.0**digits
            found[f"{dtype}, {mode}"] = [float(of_value.max()), float(of_slope.max())]
            chosen = np.isin(x, [*case.joints, np.inf, -np.inf])
            worst = of_value[chosen].max(), of_slope[chosen].max()
            at_special = [max(at_special[i], float(worst[i])) for i in (0, 1)]
    return {**found, "special": at_special}


def inputs(case: Case, digits: int) -> np.ndarray:
    """Joints, 0 and infinities, what is next to them on both sides, far away, and the ordinary."""
    near = [
        joint + sign * max(abs(joint), 2.0**-4) * step * 2.0**-digits
        for joint in case.joints
        for step in (1, 2, 16)
        for sign in (-1, 1)
    ]
    ordinary = np.random.default_rng(2).normal(size=2000) * 2
    return np.array([*case.joints, 0.0, np.inf, -np.inf, *near, *FAR, *(-x for x in FAR), *ordinary])


def distance(found: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """0 where both are the same infinity; infinite where only one is, or where one is NaN."""
    with np.errstate(invalid="ignore"):
        apart = np.abs(found - wanted)
    return np.where(found == wanted, 0.0, np.where(np.isnan(apart), np.inf, apart))


def times(runs: Any, functions: dict[str, Any], x: np.ndarray, mode: str, repetitions: int) -> dict[str, float]:
    """Median processor seconds of a forward and backward pass; contenders take turns, in another order each time."""
    steps = {name: runs.step(function, x, mode == "compiled") for name, function in functions.items()}
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(repetitions + 2):  # the first two warm up
        for name in random.sample(list(steps), len(steps)):
            start = time.process_time()
            steps[name]()
            if turn > 1:
                seconds[name].append(time.process_time() - start)
    return {name: statistics.median(found) for name, found in seconds.items()}


class OnTensorFlow:
    def __init__(self) -> None:
        import tensorflow as tf

        tf.get_logger().setLevel("ERROR")  # it warns of the many functions that are traced here
        self.tf, self.relu, self.silu = tf, tf.nn.relu, tf.nn.silu

    def both(self, function: Any, compiled: bool) -> Any:
        def both(x: Any) -> Any:
            with self.tf.GradientTape() as tape:
                tape.watch(x)
                y = function(x)
            return y, tape.gradient(y, x)

        return self.tf.function(both, autograph=False) if compiled else both

    def value_and_slope(self, function: Any, x: np.ndarray, dtype: str, compiled: bool) -> Iterator[np.ndarray]:
        x = self.tf.cast(x, dtype)
        return (self.tf.cast(each, "float64").numpy() for each in (x, *self.both(function, compiled)(x)))

    def step(self, function: Any, x: np.ndarray, compiled: bool) -> Callable[[], Any]:
        both, x = self.both(function, compiled), self.tf.constant(x)
        return lambda: both(x)[1].numpy()


class OnJax:
    def __init__(self) -> None:
        import jax

        self.jax, self.relu, self.silu = jax, jax.nn.relu, jax.nn.silu

    def both(self, function: Any, compiled: bool) -> Any:
        def both(x: Any) -> Any:
            y, backward = self.jax.vjp(function, x)
            return y, backward(self.jax.numpy.ones_like(y))[0]

        return self.jax.jit(both) if compiled else both

    def value_and_slope(self, function: Any, x: np.ndarray, dtype: str, compiled: bool) -> Iterator[np.ndarray]:
        x = self.jax.numpy.asarray(x.astype("float32")).astype(dtype)
        return (np.asarray(each, "float64") for each in (x, *self.both(function, compiled)(x)))

    def step(self, function: Any, x: np.ndarray, compiled: bool) -> Callable[[], Any]:
        both, x = self.both(function, compiled), self.jax.numpy.asarray(x)
        return lambda: self.jax.block_until_ready(both(x))


class OnTorch:
    def __init__(self) -> None:
        import torch

        self.torch, self.relu, self.silu = torch, torch.relu, torch.nn.functional.silu
        torch._dynamo.config.recompile_limit = 1000  # all activations are compiled from one line of this program
        torch._dynamo.config.accumulated_recompile_limit = 1000

    def both(self, function: Any, compiled: bool) -> Any:
        run = self.torch.compile(function, fullgraph=True, dynamic=False) if compiled else function

        def both(x: Any) -> Any:
            x = x.detach().requires_grad_()
            y = run(x)
            y.backward(self.torch.ones_like(y))
            return y, x.grad

        return both

    def value_and_slope(self, function: Any, x: np.ndarray, dtype: str, compiled: bool) -> Iterator[np.ndarray]:
        x = self.torch.tensor(x).to(getattr(self.torch, dtype))
        return (each.detach().double().numpy() for each in (x, *self.both(function, compiled)(x)))

    def step(self, function: Any, x: np.ndarray, compiled: bool) -> Callable[[], Any]:
        both, x = self.both(function, compiled), self.torch.tensor(x)
        return lambda: both(x)


if __name__ == "__main__":
    main()
