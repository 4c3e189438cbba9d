"""Activations over several seeds: one pair of siblings each, and intervals of what changes from the first to the rest.

  python benchmarks/over_seeds.py --config=configs/demo.py --workdir=runs/seeds --seeds=6-10 --activations=relu,smelu
  python benchmarks/over_seeds.py --config=configs/demo.py --workdir=runs/seeds --seeds=1-3 \\
      --activations=relu,smelu:0.1,smelu:0.5 --config.model.normalization=layer

An activation is a name; name:beta, without beta the configuration's own; or a dictionary of a layer. Prints Markdown
tables. Finished runs in the workdir are not repeated, whatever their settings.
"""

from __future__ import annotations

import os
import re
import statistics
from collections.abc import Sequence
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from absl import flags

from smooth_recs import prediction_difference
from smooth_recs.bin import command, config_flag
from smooth_recs.errors import InputError
from smooth_recs.experiments import variants
from smooth_recs.experiments.cells import Cell, Folder

_CONFIG = config_flag.define()
_WORKDIR = command.required_string("workdir", "folder that receives the runs")
_SEEDS = flags.DEFINE_string("seeds", "6-10", "FIRST-LAST, at least two")
_ACTIVATIONS = flags.DEFINE_string("activations", "relu,smelu", "with commas, the baseline first")


def mean_of_pair(run: dict[str, Any], metric: str) -> float:
    return statistics.mean(replica[metric] for replica in run["replicas"])


def interval(values: Sequence[float], form: str) -> str:
    """The mean and its 95% interval by Student's t over independent seeds."""
    low, high = prediction_difference.interval_over_seeds(values)
    return f"{statistics.mean(values):{form}} ({low:{form}} to {high:{form}})"


def pairs_table(seeds: range, activation: str, runs: Sequence[dict[str, Any]]) -> None:
    """Every pair: PD, in parentheses what is left of it after matching mean predictions, and both siblings' losses."""
    for seed, run in zip(seeds, runs, strict=True):
        losses = [
            " ".join(f"{replica[metric]:.4f}" for replica in run["replicas"]) for metric in ("auc_loss", "log_loss")
        ]
        difference = f"{run['pd']['relative']:.2%} ({run['pd']['after_matching_means']:.2%})"
        print(f"| {activation} | {seed} | {difference} | {losses[0]} | {losses[1]} |")


def change(activation: str, runs: Sequence[dict[str, Any]], baseline: Sequence[dict[str, Any]]) -> str:
    """A row: mean PD, and the changes from the baseline with their intervals over seeds."""
    both = list(zip(runs, baseline, strict=True))
    cut = [run["pd"]["relative"] / other["pd"]["relative"] - 1 for run, other in both]
    changes = [
        interval([mean_of_pair(run, metric) - mean_of_pair(other, metric) for run, other in both], "+.4f")
        for metric in ("auc_loss", "log_loss")
    ]
    pd = statistics.mean(run["pd"]["relative"] for run in runs)
    return f"| {activation} | {pd:.2%} | {interval(cut, '+.1%')} | {changes[0]} | {changes[1]} |"


def seeds() -> range:
    found = re.fullmatch(r"(\d+)-(\d+)", str(_SEEDS.value))
    if not found or int(found[1]) >= int(found[2]):
        raise InputError(f"--seeds must be FIRST-LAST with at least two seeds, got {_SEEDS.value!r}")
    return range(int(found[1]), int(found[2]) + 1)


def trained(activations: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """The metrics of one pair a seed, by activation."""
    cells = {
        name: [
            Cell(
                f"{name}, seed {seed}",
                variants.with_fields(_CONFIG.value, {"seed": seed, **variants.of_activation(name)}),
            )
            for seed in seeds()
        ]
        for name in activations
    }
    folder = Folder(str(_WORKDIR.value))
    folder.run([cell for of_seeds in cells.values() for cell in of_seeds])
    return {name: [folder.metrics(cell) for cell in of_seeds] for name, of_seeds in cells.items()}


def main() -> None:
    runs = trained(variants.listed(str(_ACTIVATIONS.value)))
    print("| activation | seed | PD (means matched) | AUC loss | log loss |\n| --- | --- | --- | --- | --- |")
    for name, of_seeds in runs.items():
        pairs_table(seeds(), name, of_seeds)
    baseline, *others = runs
    print(f"\n| activation | PD | its change from {baseline} | of AUC loss | of log loss |")
    print("| --- | --- | --- | --- | --- |")
    for name in others:
        print(change(name, runs[name], runs[baseline]))


if __name__ == "__main__":
    command.run(main)
