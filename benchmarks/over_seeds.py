"""Activations over several seeds: one pair of siblings each, and intervals of what changes from the first to the rest.

    python benchmarks/over_seeds.py --config=demo --seeds=6-10 --workdir=runs/seeds relu smelu
    python benchmarks/over_seeds.py --config=demo --seeds=1-3 --workdir=runs/layer_norm relu smelu:0.1 smelu:0.5 \\
        -- --config.model.normalization=layer

An activation is a name; name:beta, without beta the configuration's own; or a dictionary of a layer. Prints Markdown
tables. Finished runs in the workdir are not repeated, so a workdir is for one set of settings. What stands after `--`
goes to every run.
"""

import argparse
import json
import math
import pathlib
import re
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
STUDENT_975 = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365, 9: 2.306, 10: 2.262}


def train(arguments: argparse.Namespace, activation: str, seed: int) -> dict:
    """One pair through the train binary; returns its metrics."""
    workdir = arguments.workdir / re.sub(r"[^A-Za-z0-9.]+", "_", f"{activation}_{seed}")
    name, _, beta = (activation, "", "") if activation.startswith("{") else activation.partition(":")
    command = ["-m", "smooth_recs.bin.train", f"--config={ROOT}/configs/{arguments.config}.py", f"--workdir={workdir}"]
    command += [f"--config.model.activation={name}", f"--config.seed={seed}", *arguments.overrides]
    command += [f"--config.model.beta={beta}"] if beta else []
    subprocess.run([sys.executable, *command], cwd=ROOT, check=True, stdout=sys.stderr)
    return json.loads((workdir / "metrics.json").read_text())


def mean_of_pair(run: dict, metric: str) -> float:
    return statistics.mean(replica[metric] for replica in run["replicas"])


def interval(values: list[float], form: str) -> str:
    """The mean and its 95% interval by Student's t over independent seeds."""
    mean = statistics.mean(values)
    half = STUDENT_975[len(values)] * statistics.stdev(values) / math.sqrt(len(values))
    return f"{mean:{form}} ({mean - half:{form}} to {mean + half:{form}})"


def pairs_table(seeds: range, activation: str, runs: list[dict]) -> None:
    """Every pair: PD, in parentheses what is left of it after matching mean predictions, and both siblings' losses."""
    for seed, run in zip(seeds, runs, strict=True):
        losses = [
            " ".join(f"{replica[metric]:.4f}" for replica in run["replicas"]) for metric in ("auc_loss", "log_loss")
        ]
        difference = f"{run['pd']['relative']:.2%} ({run['pd']['after_matching_means']:.2%})"
        print(f"| {activation} | {seed} | {difference} | {losses[0]} | {losses[1]} |")


def change(activation: str, runs: list[dict], baseline: list[dict]) -> str:
    """A row: mean PD, and the changes from the baseline with their intervals over seeds."""
    both = list(zip(runs, baseline, strict=True))
    cut = [run["pd"]["relative"] / other["pd"]["relative"] - 1 for run, other in both]
    changes = [
        interval([mean_of_pair(run, metric) - mean_of_pair(other, metric) for run, other in both], "+.4f")
        for metric in ("auc_loss", "log_loss")
    ]
    pd = statistics.mean(run["pd"]["relative"] for run in runs)
    return f"| {activation} | {pd:.2%} | {interval(cut, '+.1%')} | {changes[0]} | {changes[1]} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="demo", help="name of a file in configs/")
    parser.add_argument("--seeds", default="6-10", help="FIRST-LAST, at least two")
    parser.add_argument("--workdir", type=pathlib.Path, default=ROOT / "runs" / "seeds")
    parser.add_argument("activations", nargs="+", help="the baseline first")
    at = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    arguments = parser.parse_args(sys.argv[1:at], argparse.Namespace(overrides=sys.argv[at + 1 :]))
    first, last = (int(seed) for seed in arguments.seeds.split("-"))
    seeds = range(first, last + 1)
    runs = {name: [train(arguments, name, seed) for seed in seeds] for name in arguments.activations}
    print("| activation | seed | PD (means matched) | AUC loss | log loss |\n| --- | --- | --- | --- | --- |")
    for name, of_seeds in runs.items():
        pairs_table(seeds, name, of_seeds)
    baseline = arguments.activations[0]
    print(f"\n| activation | PD | its change from {baseline} | of AUC loss | of log loss |")
    print("| --- | --- | --- | --- | --- |")
    for name in arguments.activations[1:]:
        print(change(name, runs[name], runs[baseline]))


if __name__ == "__main__":
    main()
