"""Two workers in step on this machine, as on two: the run ends with the numbers of one process.

This file is the configuration too. What is started is what would be started on each machine of a cluster, there with
TF_CONFIG set by whoever runs the cluster. Leaves runs/cluster/one and runs/cluster/two, with report and exports, and in
logs/ what the second worker said.
"""

import argparse
import json
import pathlib
import subprocess
import sys

from smooth_recs import config

RUNS = pathlib.Path("runs/cluster")


def get_config() -> config.Config:
    """A small log; `distribution.strategy` is `auto`: in step where TF_CONFIG names workers, else one device."""
    return config.Config(
        data=config.Data(
            examples=20_000,
            eval_examples=10_000,
            shuffle_window=5_000,
            synthetic=config.SyntheticLog(users=2_000, items=500),
        ),
        model=config.Model(activation="smelu", beta=0.15, norm_value=1.4, hidden_units=(64, 32, 16)),
        train=config.Train(dense_learning_rate=0.01, embedding_learning_rate=0.3, final_learning_rate_share=0.02),
        evaluation=config.Evaluation(estimate=False),
    )


def run(name: str, rows: int, *launcher: str) -> dict:
    """The train binary, alone or as a cluster of itself; its metrics."""
    train = ["-m", "smooth_recs.bin.train", f"--config={__file__}", f"--workdir={RUNS / name}"]
    command = [*launcher, *([sys.executable] if launcher else []), *train, f"--config.data.examples={rows}"]
    print("\n$ python", *command, flush=True)
    status = subprocess.run([sys.executable, *command], check=False).returncode
    if status:
        sys.exit(status)
    return json.loads((RUNS / name / "metrics.json").read_text())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000, help="rows to train on")
    rows = parser.parse_args().rows
    one = run("one", rows)
    two = run("two", rows, "-m", "smooth_recs.bin.local_cluster", "--workers=2", "--")
    print(f"\n{'':12} {'log loss of the pair':>26} {'PD':>12}")
    for name, metrics in (("one process", one), ("two workers", two)):
        losses = "  ".join(f"{replica['log_loss']:.8f}" for replica in metrics["replicas"])
        print(f"{name:12} {losses:>26} {metrics['pd']['relative']:12.6%}")
    pairs = zip(one["replicas"], two["replicas"], strict=True)
    furthest = max(abs(a["log_loss"] / b["log_loss"] - 1) for a, b in pairs)
    print(
        f"log losses differ by {furthest:.1e} of themselves at the most: {'equal' if furthest < 1e-4 else 'NOT equal'}"
    )
    sys.exit(furthest >= 1e-4)


if __name__ == "__main__":
    main()
