"""What an activation, the dense step and training cost on the GPU of this machine: ten minutes, one table to send us.

    python benchmarks/gpu.py > gpu.md

Activations forward and backward, the dense step (loss, and gradients of weights and embeddings), as TensorFlow runs it
and compiled by XLA, and examples a second of Keras' `fit` on made-up rows in memory. Kernels, operations and bytes are
those of the program that XLA makes for the device. Without a GPU it measures the CPU, and says so.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

import tensorflow as tf
from throughput_contenders import ours, program_cost
from throughput_contenders.fitting import by_name, dataset, fitted
from throughput_contenders.work import Work

from smooth_recs import activations as act

ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "ReLU": tf.nn.relu,
    "SmeLU": act.smelu,
    "gSmeLU": lambda x: act.gsmelu(x, alpha=0.5, beta=0.5, g_minus=0.1, g_plus=1.0, t=-0.1),
    "SiLU": tf.nn.silu,
    "GELU": tf.nn.gelu,
}
NETWORKS: dict[str, dict[str, Any]] = {
    "ReLU": {"activation": "relu", "normalization": "none"},
    "SmeLU": {"activation": "smelu", "normalization": "none"},
    "SmeLU, row norm, clip": ours.RECIPE,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("auto", "cpu", "gpu"), default="auto")
    parser.add_argument("--repetitions", type=int, default=20)
    parser.add_argument("--steps", type=int, default=64, help="of `fit`, a repetition")
    parser.add_argument("--batch_size", type=int, default=8192)
    parser.add_argument("--units", type=int, nargs="+", default=[1024, 512, 256], help="hidden layers")
    parser.add_argument("--features", type=int, default=26, help="categorical ones, 16 wide each")
    parser.add_argument("--rows", type=int, default=100_000, help="of each table")
    arguments = parser.parse_args()
    device = chosen(arguments.device)
    work = Work(
        (arguments.rows,) * arguments.features, 13, 16, tuple(arguments.units), arguments.batch_size,
        batches=8, steps=arguments.steps, per_execution=min(16, arguments.steps),
    )  # fmt: skip
    with tf.device(device):
        print("\n| activation, forward and backward | graph | XLA | kernels |\n| --- | --- | --- | --- |")
        for name, function in ACTIVATIONS.items():
            print(activation_row(name, function, work, arguments.repetitions), flush=True)
        print("\n| dense step | graph | XLA | kernels | GFLOP | of ReLU's | MB | of ReLU's |\n|" + " --- |" * 8)
        base = None
        for name, tower in NETWORKS.items():
            line, found = dense_row(name, tower, work, arguments.repetitions, base)
            base = base or found
            print(line, flush=True)
        print("\n| training, Keras' `fit` | examples a second | peak memory |\n| --- | --- | --- |")
        for name, tower in NETWORKS.items():
            print(training_row(name, tower, work, max(arguments.repetitions // 4, 1), device), flush=True)


def chosen(wanted: str) -> str:
    """The device, and a line about it."""
    gpus = tf.config.list_physical_devices("GPU")
    if wanted != "cpu" and gpus:
        details = tf.config.experimental.get_device_details(gpus[0])
        print(f"On {details.get('device_name', 'a GPU')}, TensorFlow {tf.__version__}.")
        return "/GPU:0"
    found = "The CPU was asked for" if wanted == "cpu" else "No GPU was found: measured on the CPU"
    print(f"{found}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, TensorFlow {tf.__version__}.")
    return "/CPU:0"


def activation_row(name: str, function: Callable[[Any], Any], work: Work, repetitions: int) -> str:
    shape = (work.batch_size, work.units[0])
    x, upstream = (tf.random.stateless_normal(shape, seed=(1, k)) for k in (1, 2))

    def step(x: Any, upstream: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = function(x)
        return y, tape.gradient(y, x, upstream)

    graph, compiled, found = both_ways(step, (x, upstream), repetitions)
    return f"| {name} | {graph} | {compiled} | {found.kernels if found else ''} |"


def dense_row(
    name: str, tower: dict[str, Any], work: Work, repetitions: int, base: program_cost.Cost | None
) -> tuple[str, program_cost.Cost | None]:
    model = ours.ranking(work, **tower)
    features, label = next(iter(dataset(work, by_name(work))))
    embedded = model.embeddings(features)
    model(features)
    graph, compiled, found = both_ways(dense_step(model), (embedded, features["numeric"], label), repetitions)
    cells = [name, graph, compiled]
    if found:
        first = base or found
        cells += [str(found.kernels), f"{found.flops / 1e9:.3g}", f"{found.flops / first.flops:.4f}"]
        cells += [f"{found.bytes / 1e6:.3g}", f"{found.bytes / first.bytes:.4f}"]
    else:
        cells += [""] * 5
    return f"| {' | '.join(cells)} |", found


def dense_step(model: Any) -> Callable[..., Any]:
    """Loss, and gradients with regard to the dense variables and the embeddings."""

    def step(embedded: Any, numeric: Any, label: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(embedded)
            logits = model.output_layer(model.top_stack(model.interaction(embedded, numeric), training=True))
            loss = tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(label[:, None], logits))
        return loss, *tape.gradient(loss, [*model.dense_variables, embedded])

    return step


def both_ways(step: Any, inputs: tuple[Any, ...], repetitions: int) -> tuple[str, str, program_cost.Cost | None]:
    """Milliseconds in graph mode and under XLA, and what XLA's program does; a line where XLA is not there."""
    graph = milliseconds(tf.function(step, autograph=False), inputs, repetitions)
    function = tf.function(step, jit_compile=True, autograph=False)
    try:
        compiled = milliseconds(function, inputs, repetitions)
    except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError) as error:
        print(f"not compiled: {error.message.splitlines()[0]}")
        return graph, "", None
    return graph, compiled, program_cost.cost(program_cost.optimized(function, *inputs))


def milliseconds(function: Any, inputs: tuple[Any, ...], repetitions: int) -> str:
    """The median; by processor time behind it."""
    taken = []
    for _ in range(repetitions + 1):
        begun = time.perf_counter(), time.process_time()
        tf.nest.flatten(function(*inputs))[-1][0].numpy()  # waits for the device
        taken.append((time.perf_counter() - begun[0], time.process_time() - begun[1]))
    wall, processor = (1000 * statistics.median(column) for column in zip(*taken[1:], strict=True))
    return f"{wall:.3g} ms ({processor:.3g})"


def training_row(name: str, tower: dict[str, Any], work: Work, repetitions: int, device: str) -> str:
    forget_peak(device)
    turn = fitted(work, ours.compiled(work, **tower), dataset(work, by_name(work)))
    turn(work.per_execution)  # traces
    speeds = []
    for _ in range(repetitions):
        begun = time.perf_counter()
        speeds.append(turn(work.steps) / (time.perf_counter() - begun))
    return f"| {name} | {statistics.median(speeds):,.0f} | {peak(device) / 2**30:.2f} GiB |"


def forget_peak(device: str) -> None:
    if device == "/GPU:0":
        tf.config.experimental.reset_memory_stats("GPU:0")
    elif Path("/proc/self/clear_refs").exists():
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")


def peak(device: str) -> float:
    """Bytes on the GPU, or of this process; 0 where the system does not say (not Linux)."""
    if device == "/GPU:0":
        return float(tf.config.experimental.get_memory_info("GPU:0")["peak"])
    status = Path("/proc/self/status")
    return int(status.read_text("utf-8").split("VmHWM:")[1].split()[0]) * 1024.0 if status.exists() else 0.0


if __name__ == "__main__":
    main()
