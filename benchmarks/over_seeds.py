"""Activations over several seeds: one pair of siblings each, and intervals of what changes from the first to the rest.

  python benchmarks/over_seeds.py --config=configs/demo_falling.py --workdir=runs/seeds --seeds=6-10 \\
      --activations=relu,smelu
  python benchmarks/over_seeds.py --config=configs/demo_falling.py --workdir=runs/seeds --seeds=1-3 \\
      --activations=relu,smelu:0.1,smelu:0.5 --config.model.normalization=layer

An activation is a name; name:beta, without beta the configuration's own; or a dictionary of a layer. Prints Markdown
tables: of the held-out rows, and with `train.progressive` also of all rows of the log, each predicted before it was
trained on. Finished runs in the workdir are not repeated, whatever their settings.
"""

from __future__ import annotations

import os
import re
import statistics
from collections.abc import Sequence
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from absl import flags

from smooth_recs import prediction_difference
from smooth_recs.bin import _command, _flags
from smooth_recs.errors import InputError
from smooth_recs.experiments import variants
from smooth_recs.experiments.cells import Cell, Folder

_CONFIG = _flags.define()
_WORKDIR = _command.required_string("workdir", "folder that receives the runs")
_SEEDS = flags.DEFINE_string("seeds", "6-10", "FIRST-LAST, at least two")
_ACTIVATIONS = flags.DEFINE_string("activations", "relu,smelu", "with commas, the baseline first")


class Measured(NamedTuple):
    """Of a pair of siblings: PD, and the means of their losses."""

    pd: float
    auc_loss: float
    log_loss: float


def held_out(run: dict[str, Any]) -> Measured:
    losses = [statistics.mean(sibling[metric] for sibling in run["replicas"]) for metric in Measured._fields[1:]]
    return Measured(run["pd"]["relative"], *losses)


def progressive(run: dict[str, Any]) -> Measured | None:
    """Means over the windows of rows that were new, which are of equal length; None where there are none."""
    windows = [entry for entry in run["history"] if entry.get("progressive_pd") is not None]
    if not windows:
        return None
    return Measured(*(statistics.mean(entry[f"progressive_{name}"] for entry in windows) for name in Measured._fields))


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


def changes(title: str, runs: dict[str, list[Measured]]) -> None:
    """Mean PD and losses of each activation, and how they change from the first one's, with intervals over seeds."""
    baseline, *_ = runs
    print(f"\n{title}\n\n| activation | PD | its change from {baseline} | AUC loss | change | log loss | change |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, measured in runs.items():
        means = Measured(*map(statistics.mean, zip(*measured, strict=True)))
        cut, *others = ["", "", ""] if name == baseline else _changes(measured, runs[baseline])
        losses = [f"{mean:.4f} | {other}" for mean, other in zip(means[1:], others, strict=True)]
        print(f"| {name} | {means.pd:.2%} | {cut} | {' | '.join(losses)} |")


def _changes(measured: Sequence[Measured], baseline: Sequence[Measured]) -> list[str]:
    both = list(zip(measured, baseline, strict=True))
    return [
        interval([one.pd / other.pd - 1 for one, other in both], "+.1%"),
        interval([one.auc_loss - other.auc_loss for one, other in both], "+.4f"),
        interval([one.log_loss - other.log_loss for one, other in both], "+.4f"),
    ]


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
    changes("Held-out rows", {name: [held_out(run) for run in of_seeds] for name, of_seeds in runs.items()})
    found = {name: [progressive(run) for run in of_seeds] for name, of_seeds in runs.items()}
    new = {name: [one for one in measured if one is not None] for name, measured in found.items()}
    if all(len(new[name]) == len(found[name]) for name in found):
        changes("Progressive validation: every row before it was trained on", new)


if __name__ == "__main__":
    _command.run(main)
