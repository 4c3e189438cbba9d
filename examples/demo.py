"""ReLU against SmeLU on the synthetic click log: two pairs of siblings, side by side. `make demo` runs it.

Leaves two ordinary runs, runs/demo/relu and runs/demo/smelu, and runs/demo/report.html over both, where it is started.
Flags are passed on to the train binary: `python examples/demo.py --config.data.examples=200000 --config.seed=7`.
"""

import json
import os
import pathlib
import subprocess
import sys

CONFIG = os.path.relpath(pathlib.Path(__file__).resolve().parent.parent / "configs" / "demo.py")
RUNS = pathlib.Path("runs/demo")


def execute(command: list[str]) -> None:
    """Runs a binary as a user would; ends with its status where it fails."""
    print("\n$ python", " ".join(command), flush=True)
    status = subprocess.run([sys.executable, *command], check=False).returncode
    if status:
        sys.exit(status)


def train(activation: str, overrides: list[str]) -> dict:
    """A pair of siblings; returns the content of its metrics.json."""
    workdir = RUNS / activation
    command = ["-m", "smooth_recs.bin.train", f"--config={CONFIG}", f"--workdir={workdir}"]
    command += [f"--config.model.activation={activation}", *overrides]
    execute(command)
    return json.loads((workdir / "metrics.json").read_text())


def table(runs: dict[str, dict]) -> str:
    """PD and the accuracy of both siblings, a column an activation."""
    rows = [("relative PD", [f"{run['pd']['relative']:.2%}" for run in runs.values()])]
    for name, label in (("auc_loss", "AUC loss of the pair"), ("log_loss", "log loss of the pair")):
        pairs = [[replica[name] for replica in run["replicas"]] for run in runs.values()]
        rows.append((label, ["  ".join(f"{value:.4f}" for value in pair) for pair in pairs]))
    best = next(iter(runs.values()))["best_possible"]
    lines = [f"{'':24}" + "".join(f"{name:>18}" for name in runs)]
    lines += [f"{label:24}" + "".join(f"{value:>18}" for value in values) for label, values in rows]
    return "\n".join([*lines, f"The true click probabilities would score AUC loss {best['auc_loss']:.4f}."])


def main() -> None:
    overrides = sys.argv[1:]
    runs = {activation: train(activation, overrides) for activation in ("relu", "smelu")}
    report = RUNS / "report.html"
    workdirs = ",".join(str(RUNS / name) for name in runs)
    execute(["-m", "smooth_recs.bin.report", f"--workdirs={workdirs}", f"--output={report}"])
    print("\n" + table(runs))
    print(f"\nreport   {report}")
    for name, run in runs.items():
        for path in run["exports"]:
            print(f"export   {RUNS / name / path}")


if __name__ == "__main__":
    main()
