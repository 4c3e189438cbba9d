"""Runs of one configuration in `tf_keras` and in Keras 3, seed by seed: PD, accuracy and speed side by side.

    python benchmarks/keras_generations.py --workdir=runs/generations --seeds=10
    python benchmarks/keras_generations.py --workdir=runs/criteo --config=criteo --seeds=1 \\
        --flags=--config.data.path=DIR,--config.data.examples=1000000

Each run is a process of the train binary, in a workdir of its own; a run that has finished is not repeated, so a
benchmark that was killed goes on. Generations take turns, the first of a seed by turns too. Both begin with the same
initial values, so that their PDs and losses agree to six digits or so. Processor time is that of the whole process,
imports, measuring and exports included; steps a second are those of training.
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

GENERATIONS = ("2", "3")
COLUMNS = ("PD", "log loss", "AUC loss", "rows a second", "processor s")


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workdir", type=Path, required=True)
    parser.add_argument("--config", default="demo")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--flags", default="", help="further flags of the train binary, with commas")
    arguments = parser.parse_args()
    arguments.workdir.mkdir(parents=True, exist_ok=True)
    flags = list(filter(None, arguments.flags.split(",")))
    rows: dict[str, list[list[float]]] = {generation: [] for generation in GENERATIONS}
    for seed in range(1, arguments.seeds + 1):
        for generation in GENERATIONS if seed % 2 else GENERATIONS[::-1]:
            rows[generation].append(run(arguments.workdir, arguments.config, seed, generation, flags))
        print(f"seed {seed}: PD {rows['2'][-1][0]:.4f} and {rows['3'][-1][0]:.4f}", flush=True)
    print(table(rows))


if __name__ == "__main__":
    main()
