"""Averages of the weights over several seeds: PD and accuracy with and without, at constant and at falling rates.

  python benchmarks/averages.py --config=configs/demo.py --workdir=runs/averages/demo --seeds=1-5
  python benchmarks/averages.py --config=configs/trivago.py --config.data.path=DIR --workdir=runs/averages/trivago \\
      --activations=relu,smelu:0.15
  python benchmarks/averages.py --config=configs/online.py --workdir=runs/averages/online --half_lives=0,6,20,60
  python benchmarks/averages.py --draw=averages.png --csv=demo.csv,trivago.csv

A pair of siblings is trained for each activation, kind of learning rates and seed, with the configuration's
`train.average`, or `auto`. Each run measures both the averages and the weights as they were trained. `--half_lives`
compares those instead, in steps, at the configuration's own rates; 0 is no average. With `train.progressive`, what is
measured is progressive validation. Prints a Markdown table with 95% intervals over seeds, and writes WORKDIR/runs.csv,
a line for each pair and kind of weights. The first activation is the baseline. Finished runs are not repeated.
"""

from __future__ import annotations

import csv
import os
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from absl import flags

from smooth_recs import prediction_difference
from smooth_recs.bin import _command, _flags
from smooth_recs.errors import InputError
from smooth_recs.experiments import variants
from smooth_recs.experiments.cells import Cell, Folder

_CONFIG = _flags.define(default="demo")
_WORKDIR = flags.DEFINE_string("workdir", "", "folder that receives the runs and runs.csv")
_SEEDS = flags.DEFINE_string("seeds", "1-5", "FIRST-LAST, at least two")
_ACTIVATIONS = flags.DEFINE_string("activations", "relu,smelu", "with commas, the baseline first")
_RATES = flags.DEFINE_multi_enum("rates", ["constant", "falling"], ["constant", "falling"], "learning rates to compare")
_HALF_LIVES = flags.DEFINE_list("half_lives", [], "compared in place of learning rates")
_DRAW = flags.DEFINE_string("draw", "", "picture of the files of --csv")
_CSV = flags.DEFINE_list("csv", [], "files that are drawn, a panel each")

FINAL_SHARES = {"constant": 1.0, "falling": 0.02}
MEASURES = ("pd", "after_matching_means", "auc_loss", "per_query_auc_loss", "log_loss")
COLUMNS = ("activation", "arm", "weights", "seed", *MEASURES)
Line = dict[str, Any]
"""Of one pair and one kind of weights: a value for each of `COLUMNS`, None where there is none."""


def arms(average: float | str) -> dict[str, dict[str, Any]]:
    """What each activation is trained with."""
    if _HALF_LIVES.value:
        return {f"half-life {each}": {"train.average": float(each)} for each in _HALF_LIVES.value}
    return {
        f"{rates} rates": {
            "train.average": average or "auto",
            "train.final_learning_rate_share": FINAL_SHARES[rates],
        }
        for rates in _RATES.value
    }


def measured(run: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """By kind of weights, what a pair shows: PD, and the means of both siblings' losses."""
    kept = "averaged" if run.get("raw") else "as trained"
    if windows := [entry for entry in run["history"] if entry.get("progressive_pd") is not None]:
        names = {name: f"progressive_{name}" for name in MEASURES}
        return {
            kept: {
                name: statistics.mean(entry[key] for entry in windows)
                for name, key in names.items()
                if windows[0].get(key) is not None
            }
        }
    found = {}
    for kind, of_kind in {kept: run, **({"as trained": run["raw"]} if run.get("raw") else {})}.items():
        losses = {name: [each.get(name) for each in of_kind["replicas"]] for name in MEASURES[2:]}
        found[kind] = {
            "pd": of_kind["pd"]["relative"],
            "after_matching_means": of_kind["pd"]["after_matching_means"],
            **{name: statistics.mean(values) for name, values in losses.items() if None not in values},
        }
    return found


def trained() -> list[Line]:
    first, _, last = str(_SEEDS.value).partition("-")
    if not (first.isdigit() and last.isdigit() and int(first) < int(last)):
        raise InputError(f"--seeds must be FIRST-LAST with at least two seeds, got {_SEEDS.value!r}")
    cells = {
        (activation, arm, seed): Cell(
            f"{activation}, {arm}, seed {seed}",
            variants.with_fields(_CONFIG.value, {"seed": seed, **fields, **variants.of_activation(activation)}),
        )
        for arm, fields in arms(_CONFIG.value.train.average).items()
        for activation in variants.listed(str(_ACTIVATIONS.value))
        for seed in range(int(first), int(last) + 1)
    }
    folder = Folder(str(_WORKDIR.value))
    folder.run(list(cells.values()))
    return [
        {**dict.fromkeys(COLUMNS), "activation": activation, "arm": arm, "weights": weights, "seed": seed, **values}
        for (activation, arm, seed), cell in cells.items()
        for weights, values in measured(folder.metrics(cell)).items()
    ]


def table(lines: Sequence[Line]) -> str:
    """Means over the seeds, and the change of PD from the baseline's in the same arm with the same kind of weights."""
    groups: dict[tuple[str, str, str], list[Line]] = {}
    for line in lines:
        groups.setdefault((line["arm"], line["weights"], line["activation"]), []).append(line)
    baseline = lines[0]["activation"]
    rows = [
        "| arm | weights | activation | PD (means matched) | its change | AUC loss | per-query AUC loss | log loss |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for (arm, weights, activation), pairs in sorted(groups.items()):
        known = [name for name in MEASURES if pairs[0][name] is not None]
        shown = {name: format(statistics.mean(pair[name] for pair in pairs), ".4f") for name in known}
        shown["pd"] = f"{statistics.mean(pair['pd'] for pair in pairs):.2%}"
        if "after_matching_means" in known:
            shown["pd"] += f" ({statistics.mean(pair['after_matching_means'] for pair in pairs):.2%})"
        change = ""
        if activation != baseline:
            both = list(zip(pairs, groups[arm, weights, baseline], strict=True))
            change = _interval([one["pd"] / other["pd"] - 1 for one, other in both], "+.1%")
            for name in known[2:] if "after_matching_means" in known else known[1:]:
                shown[name] += f" ({_interval([one[name] - other[name] for one, other in both], '+.4f')})"
        losses = " | ".join(shown.get(name, "") for name in MEASURES[2:])
        rows.append(f"| {arm} | {weights} | {activation} | {shown['pd']} | {change} | {losses} |")
    return "\n".join(rows)


def _interval(values: Sequence[float], form: str) -> str:
    """The mean and its 95% interval by Student's t over independent seeds."""
    low, high = prediction_difference.interval_over_seeds(values)
    return f"{statistics.mean(values):{form}}, {low:{form}} to {high:{form}}"


def draw(paths: Sequence[str], target: str) -> None:
    """PD against log loss, a panel a file: hollow as trained, filled averaged; lines join the two kinds of weights."""
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator, NullFormatter

    from smooth_recs.activations import registry
    from smooth_recs.reports.charts import MUTED, SERIES, STYLE, percent_ticks

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(4 * len(paths), 3.6), layout="constrained")
        for axes, path in zip(figure.subplots(1, len(paths), squeeze=False)[0], paths, strict=True):
            with Path(path).open(encoding="utf-8", newline="") as file:
                lines = list(csv.DictReader(file))
            several = len({line["arm"] for line in lines}) > 1
            for arm, marker in zip(dict.fromkeys(line["arm"] for line in lines), "osD^v<>", strict=False):
                for activation, colour in zip(
                    dict.fromkeys(line["activation"] for line in lines), SERIES, strict=False
                ):
                    means = {}
                    for weights in ("as trained", "averaged"):
                        kept = [
                            line
                            for line in lines
                            if (line["arm"], line["activation"], line["weights"]) == (arm, activation, weights)
                        ]
                        if not kept:
                            continue
                        x, y = (statistics.mean(float(line[name]) for line in kept) for name in ("log_loss", "pd"))
                        means[weights] = x, y
                        face = colour[0] if weights == "averaged" else "none"
                        name = registry.TABLE[activation.partition(":")[0]].label
                        label = ", ".join([name, *([arm] if several else []), weights])
                        axes.plot(x, y, marker, color=colour[0], markerfacecolor=face, markersize=8, label=label)
                    axes.plot(*zip(*means.values(), strict=True), color=colour[0], linewidth=0.8)
            axes.set_yscale("log")
            percent_ticks(axes.yaxis, 5)
            axes.yaxis.set_minor_formatter(NullFormatter())
            axes.xaxis.set_major_locator(MaxNLocator(3))
            axes.set_title(Path(path).stem, color=MUTED)
            axes.set_xlabel("log loss")
            axes.set_ylabel("PD")
        figure.legend(
            *figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False, fontsize=8
        )
        figure.savefig(target, dpi=150)


def main() -> None:
    if _DRAW.value:
        return draw(_CSV.value, str(_DRAW.value))
    if not _WORKDIR.value:
        raise InputError("--workdir must name the folder that receives the runs, got ''")
    lines = trained()
    with Path(str(_WORKDIR.value), "runs.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
    print(table(lines))


if __name__ == "__main__":
    _command.run(main)
