"""The demo's claim over several seeds: ReLU against SmeLU, one pair of siblings each, with intervals of the means.

    python benchmarks/demo_seeds.py --first=6 --last=10 --workdir=runs/seeds [-- --config.model.beta=0.2]

Prints a Markdown table. Finished runs in the workdir are not repeated. What stands after `--` goes to every run.
"""

import argparse
import json
import math
import pathlib
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
STUDENT_975 = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365, 9: 2.306, 10: 2.262}


def train_config(workdir: pathlib.Path, config: str, activation: str, seed: int, overrides: list[str]) -> dict:
    """One pair of a file in `configs/` through the train binary; returns its metrics."""
    command = ["-m", "smooth_recs.bin.train", f"--config={ROOT}/configs/{config}.py", f"--workdir={workdir}"]
    command += [f"--config.model.activation={activation}", f"--config.seed={seed}", *overrides]
    subprocess.run([sys.executable, *command], cwd=ROOT, check=True, stdout=sys.stderr)
    return json.loads((workdir / "metrics.json").read_text())


def mean_with_interval(values: list[float]) -> tuple[float, float, float]:
    """The mean and its 95% interval by Student's t over independent seeds."""
    mean = statistics.mean(values)
    half = STUDENT_975[len(values)] * statistics.stdev(values) / math.sqrt(len(values))
    return mean, mean - half, mean + half


def row(seed: int, relu: dict, smelu: dict) -> str:
    cells = [str(seed)]
    for run in (relu, smelu):
        cells.append(f"{run['pd']['relative']:.2%} ({run['pd']['after_matching_means']:.2%})")
        cells.append(" ".join(f"{replica['auc_loss']:.4f}" for replica in run["replicas"]))
        cells.append(" ".join(f"{replica['log_loss']:.4f}" for replica in run["replicas"]))
    return "| " + " | ".join(cells) + " |"


def auc_loss(run: dict) -> float:
    return statistics.mean(replica["auc_loss"] for replica in run["replicas"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", type=int, default=6)
    parser.add_argument("--last", type=int, default=10)
    parser.add_argument("--workdir", type=pathlib.Path, default=ROOT / "runs" / "seeds")
    parser.add_argument("overrides", nargs="*")
    arguments = parser.parse_args()
    seeds = range(arguments.first, arguments.last + 1)
    pairs = [
        [
            train_config(arguments.workdir / f"{name}_{seed}", "demo", name, seed, arguments.overrides)
            for name in ("relu", "smelu")
        ]
        for seed in seeds
    ]
    print("| seed | ReLU PD (means matched) | AUC loss | log loss | SmeLU PD (means matched) | AUC loss | log loss |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    print("\n".join(row(seed, *pair) for seed, pair in zip(seeds, pairs, strict=True)))
    cuts = [1 - smelu["pd"]["relative"] / relu["pd"]["relative"] for relu, smelu in pairs]
    print(
        "\ncut of PD: mean {:.1%}, 95% interval {:.1%} to {:.1%}; least {least:.1%}".format(
            *mean_with_interval(cuts), least=min(cuts)
        )
    )
    changes = [auc_loss(smelu) - auc_loss(relu) for relu, smelu in pairs]
    print("change of AUC loss: mean {:+.5f}, 95% interval {:+.5f} to {:+.5f}".format(*mean_with_interval(changes)))
    changes = [
        statistics.mean(r["log_loss"] for r in smelu["replicas"])
        - statistics.mean(r["log_loss"] for r in relu["replicas"])
        for relu, smelu in pairs
    ]
    print("change of log loss: mean {:+.5f}, 95% interval {:+.5f} to {:+.5f}".format(*mean_with_interval(changes)))


if __name__ == "__main__":
    main()
