"""How fast models train beside their peers, in examples a second: same data, batch and layer sizes.

    python benchmarks/throughput.py --rounds=5 --output=throughput.json

Every contender has a process of its own and reads the same batches from one file. They take turns, and medians over the
rounds are compared, since the clock of a shared machine jumps. Processor time stands beside. Ratios are taken within a
round; half of them lie in the range that stands behind. "Start" is the time from the start of the process to the end of
the first execution of steps. A contender whose library is not installed is left out, by name: what is on PyTorch, and
keras-rs, may be of other interpreters (`--torch_python`, `--keras_rs_python`).
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import statistics
import sys

from throughput_contenders.process import Measured, Took, take_turns, tell
from throughput_contenders.work import WORKS, Work

RECIPE = "ours:recipe"
CONTENDERS = {
    RECIPE: "ours: SmeLU, row norm, clip",
    "ours:recipe_not_compiled": "ours: SmeLU, row norm, clip, `compile_dense=never`",
    "ours:smelu": "ours: SmeLU",
    "ours:relu": "ours: ReLU",
    "ours:recipe_bfloat16": "ours: SmeLU, row norm, clip, bfloat16",
    "ours:pair": "ours: two siblings and their PD",
    "keras_models:one_step_a_call": "tf.keras: ReLU, as people write it",
    "keras_models:many_steps_a_call": "tf.keras: ReLU, as many steps a call as ours",
    "tfrs_ranking:as_it_comes": "tfrs.experimental.models.Ranking: ReLU, its own metrics",
    "tfrs_ranking:without_metrics": "tfrs.experimental.models.Ranking: ReLU, no metrics",
    "keras_rs_models:on_tensorflow": "keras-rs on TensorFlow: ReLU, by XLA as `compile` chooses",
    "keras_rs_models:on_tensorflow_graph": "keras-rs on TensorFlow: ReLU, `jit_compile=False`",
    "keras_rs_models:on_jax": "keras-rs on JAX: ReLU",
    "torch_models:plain": "PyTorch: ReLU",
    "torchrec_models:fused": "TorchRec: ReLU, fused tables",
    "fuxictr_models:dnn": "FuxiCTR's DNN: ReLU",
    "torch_models:deepctr": "DeepCTR-Torch: ReLU",
}
ON_TORCH = ("torch_models", "torchrec_models", "fuxictr_models")
FROM_FILES = {"files:from_files": "ours, from files", "files:from_memory": "ours, the same rows from memory"}
CLOCKS = ("wall", "processor")
ARITHMETIC = {"arithmetic:peak": "products of large matrices", "arithmetic:tower": "the dense tower alone"}


@dataclasses.dataclass(frozen=True)
class Goal:
    """`contender` is at least `at_least` times as fast as `base`."""

    work: str
    contender: str
    base: str
    at_least: float


GOALS = (
    Goal("criteo", RECIPE, "ours:relu", 0.96),
    Goal("criteo", RECIPE, "tfrs_ranking:as_it_comes", 0.95),
    Goal("criteo", RECIPE, "ours:recipe_not_compiled", 1.0),
    Goal("criteo", RECIPE, "keras_models:many_steps_a_call", 1.0),
    Goal("criteo", "files:from_files", "files:from_memory", 0.9),
    Goal("criteo", "arithmetic:tower", "arithmetic:peak", 0.75),
    Goal("small", RECIPE, "keras_models:one_step_a_call", 3.0),
    Goal("small", RECIPE, "keras_models:many_steps_a_call", 0.85),
    Goal("small", RECIPE, "ours:relu", 0.88),
    Goal("small", "ours:pair", RECIPE, 1 / 1.3),
    Goal("criteo", "ours:pair", RECIPE, 1 / 1.8),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--works", nargs="+", choices=WORKS, default=list(WORKS), help="sizes of data and model")
    parser.add_argument("--contenders", nargs="+", help="such as ours:recipe; default: all")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, help="a turn; default: about two seconds on two cores")
    parser.add_argument("--batch_size", type=int, help="default: that of the work")
    parser.add_argument("--rows", type=int, help="of every table; default: those of the work")
    parser.add_argument("--torch_python", default=sys.executable, help="the interpreter that has PyTorch and its peers")
    parser.add_argument("--keras_rs_python", default=sys.executable, help="the one that has keras-rs")
    parser.add_argument("--output", help="a JSON file for what was measured")
    arguments = parser.parse_args()
    found = {name: measure(name, arguments) for name in arguments.works}
    for name, contenders in found.items():
        print(f"\n{name}\n" + table(contenders))
    print()
    for goal in GOALS:
        contenders = found.get(goal.work, {})
        if goal.contender in contenders and goal.base in contenders:
            print(goal_line(goal, contenders))
    if arguments.output:
        plain = {
            work: {name: dataclasses.asdict(each) for name, each in measured.items()}
            for work, measured in found.items()
        }
        with open(arguments.output, "w", encoding="utf-8") as file:
            json.dump({"arguments": vars(arguments), "measured": plain}, file, indent=1)


def sized(work: Work, arguments: argparse.Namespace) -> Work:
    """The work, in other sizes where they are given."""
    size, steps = arguments.batch_size or work.batch_size, arguments.steps or work.steps
    rows = (arguments.rows,) * len(work.rows) if arguments.rows else work.rows
    executed = min(work.per_execution, steps)
    return dataclasses.replace(
        work, rows=rows, batch_size=size, steps=steps, batches=min(work.batches, steps), per_execution=executed
    )


def measure(name: str, arguments: argparse.Namespace) -> dict[str, Measured]:
    tell(f"{name}, load {os.getloadavg()[0]:.1f}:")
    work = sized(WORKS[name], arguments)
    chosen = {contender: (contender, work) for contender in arguments.contenders or contenders_of(name)}
    pythons = dict.fromkeys(ON_TORCH, arguments.torch_python) | {"keras_rs_models": arguments.keras_rs_python}
    return take_turns(chosen, arguments.rounds, pythons)


def contenders_of(work: str) -> list[str]:
    more = [*FROM_FILES, *ARITHMETIC] if work == "criteo" else []
    return [*CONTENDERS, *more]


def table(found: dict[str, Measured]) -> str:
    lines = [
        "| model | examples a second | of processor time | peak memory | start, s | of processor time |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, label in (CONTENDERS | FROM_FILES | ARITHMETIC).items():
        if name in found:
            turns, start = found[name].turns, found[name].start
            wall, processor = (statistics.median(speeds(turns, clock)) for clock in CLOCKS)
            unit, size = (" GFLOP/s", 1e9) if name in ARITHMETIC else ("", 1)
            cells = [f"{wall / size:,.0f}{unit}", f"{processor / size:,.0f}{unit}"]
            cells += [f"{turns[-1].peak_memory / 2**30:.2f} GiB", f"{start[0]:.1f}", f"{start[1]:.1f}"]
            lines.append(f"| {' | '.join([label, *cells])} |")
    return "\n".join(lines)


def speeds(turns: list[Took], clock: str) -> list[float]:
    return [took.done / getattr(took, clock) for took in turns]


def goal_line(goal: Goal, found: dict[str, Measured]) -> str:
    """How many times as fast, by both clocks, each with the range in which half of the rounds lie."""
    parts = []
    for clock in CLOCKS:
        both = zip(*(speeds(found[name].turns, clock) for name in (goal.contender, goal.base)), strict=True)
        ratios = [one / other for one, other in both]
        low, _, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
        parts.append(f"{statistics.median(ratios):.2f} ({low:.2f} to {high:.2f})")
    pair = f"{goal.contender} against {goal.base}"
    return f"{goal.work:7} {pair:65} {parts[0]}, by processor time {parts[1]}; goal {goal.at_least:.2f}"


if __name__ == "__main__":
    main()
