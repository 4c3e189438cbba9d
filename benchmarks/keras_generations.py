"""`tf_keras` and Keras 3 side by side: runs of one configuration, seed by seed, or steps of our models by turns.

    python benchmarks/keras_generations.py --workdir=runs/generations --seeds=10
    python benchmarks/keras_generations.py --workdir=runs/criteo --config=criteo --seeds=1 \\
        --flags=--config.data.path=DIR,--config.data.examples=1000000
    python benchmarks/keras_generations.py --works small criteo --rounds=9

Each run is a process of the train binary, in a workdir of its own; a run that has finished is not repeated, so a
benchmark that was killed goes on. Generations take turns, the first of a seed by turns too. Both begin with the same
initial values, so that their PDs and losses agree to six digits or so. Processor time is that of the whole process,
imports, measuring and exports included; rows a second are those of training.

With `--works` two processes of each model, one a generation, take turns on batches in memory (as in `throughput.py`):
medians over the rounds, and the ratio of the speeds within a round with the range that half of the rounds lie in.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from throughput_contenders.process import Took, take_turns
from throughput_contenders.work import WORKS

GENERATIONS = ("2", "3")
COLUMNS = ("PD", "log loss", "AUC loss", "rows a second", "processor s")
MODELS = ("relu", "recipe", "pair")  # of `throughput_contenders/ours.py`


def run(workdir: Path, config: str, seed: int, generation: str, flags: list[str]) -> list[float]:
    """Trains where that was not done; the values of COLUMNS."""
    folder, seconds = workdir / f"seed_{seed}_keras_{generation}", workdir / f"seed_{seed}_keras_{generation}.seconds"
    if not (folder / "metrics.json").exists():
        command = [sys.executable, "-m", "smooth_recs.bin.train", f"--keras={generation}", f"--config={config}"]
        command += [f"--workdir={folder}", f"--config.seed={seed}", "--config.evaluation.estimate=false", *flags]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.write_text(str(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime))
    metrics: dict[str, Any] = json.loads((folder / "metrics.json").read_text())
    means = [statistics.mean(replica[name] for replica in metrics["replicas"]) for name in ("log_loss", "auc_loss")]
    return [metrics["pd"]["relative"], *means, metrics["examples_per_second"], float(seconds.read_text())]


def side_by_side(rows: dict[str, list[list[float]]]) -> str:
    """PD and losses of both generations, a row a seed."""
    lines = ["| seed | PD in `tf_keras` | in Keras 3 | log loss | | AUC loss | |", "| --- |" + " --- |" * 6]
    for seed, (two, three) in enumerate(zip(rows["2"], rows["3"], strict=True), start=1):
        cells = [f"{value:.7f}" for pair in zip(two[:3], three[:3], strict=True) for value in pair]
        lines.append(f"| {seed} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def table(rows: dict[str, list[list[float]]]) -> str:
    """Mean over the seeds and, in brackets, the standard error of the mean, a row a generation; then the ratio."""
    lines = ["| Keras | " + " | ".join(COLUMNS) + " |", "| --- |" + " --- |" * len(COLUMNS)]
    means = {}
    for generation, runs in rows.items():
        columns = list(zip(*runs, strict=True))
        means[generation] = [statistics.mean(column) for column in columns]
        errors = [statistics.stdev(c) / len(c) ** 0.5 if len(c) > 1 else float("nan") for c in columns]
        cells = [f"{mean:,.5g} ({error:.2g})" for mean, error in zip(means[generation], errors, strict=True)]
        lines.append(f"| {generation} | " + " | ".join(cells) + " |")
    ratios = [three / two for two, three in zip(means["2"], means["3"], strict=True)]
    return "\n".join([*lines, "| 3 / 2 | " + " | ".join(f"{ratio:.3f}" for ratio in ratios) + " |"])


def speeds(work: str, rounds: int) -> str:
    """Rows a processor second of each model in both generations, and Keras 3's relative to `tf_keras`'."""
    labels = {f"{model} in {generation}": (model, generation) for model in MODELS for generation in GENERATIONS}
    contenders = {label: (f"ours:{model}", WORKS[work]) for label, (model, _) in labels.items()}
    found = take_turns(contenders, rounds, generations={label: g for label, (_, g) in labels.items()})
    lines = [f"| `{work}` | `tf_keras` | Keras 3 | by processor time | by the clock |", "| --- |" + " --- |" * 4]
    for model in MODELS:
        two, three = (found[f"{model} in {generation}"].turns for generation in GENERATIONS)
        medians = [f"{statistics.median(each.done / each.processor for each in of):,.0f}" for of in (two, three)]
        clocks = [quartiles(two, three, clock) for clock in ("processor", "wall")]
        lines.append(f"| {model} | " + " | ".join([*medians, *clocks]) + " |")
    return "\n".join(lines)


def quartiles(two: list[Took], three: list[Took], clock: str) -> str:
    """The median of the rounds' ratios of speed, with the range in which half of them lie."""
    ratios = [getattr(a, clock) / getattr(b, clock) for a, b in zip(two, three, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
    return f"{middle:.3f} ({low:.3f} to {high:.3f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workdir", type=Path, help="for runs")
    parser.add_argument("--config", default="demo")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--flags", default="", help="further flags of the train binary, with commas")
    parser.add_argument("--works", nargs="+", choices=WORKS, default=[], help="in place of runs: models to step")
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    for work in arguments.works:
        print(speeds(work, arguments.rounds), flush=True)
    if arguments.works:
        return
    if arguments.workdir is None:
        parser.error("--workdir or --works must be given")
    arguments.workdir.mkdir(parents=True, exist_ok=True)
    flags = list(filter(None, arguments.flags.split(",")))
    rows: dict[str, list[list[float]]] = {generation: [] for generation in GENERATIONS}
    for seed in range(1, arguments.seeds + 1):
        for generation in GENERATIONS if seed % 2 else GENERATIONS[::-1]:
            rows[generation].append(run(arguments.workdir, arguments.config, seed, generation, flags))
        print(f"seed {seed}: PD {rows['2'][-1][0]:.4f} and {rows['3'][-1][0]:.4f}", flush=True)
    print(side_by_side(rows), table(rows), sep="\n\n")


if __name__ == "__main__":
    main()
