"""ReLU and SmeLU side by side: two ordinary runs of one configuration, and one page over both."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

from smooth_recs import _files, extras
from smooth_recs.measures import catalogue

ACTIVATIONS = ("relu", "smelu")


def run(config: str, folder: str, called_as: str) -> None:
    """Trains the configuration at `config` with each activation, writes the report and prints a table.

    Each step is a process of a binary, as a user would start it; where one fails, this process ends with its status.

    Args:
      config: what --config takes.
      folder: receives a run named after each activation, and report.html.
      called_as: what stands before the names of binaries where the commands are shown.
    """

    def execute(binary: str, *arguments: str) -> None:
        print(f"\n$ {called_as}{binary} {' '.join(arguments)}", flush=True)
        command = [sys.executable, "-m", f"smooth_recs.bin.{binary}", *arguments]
        if status := subprocess.run(command, check=False).returncode:
            sys.exit(status)

    workdirs = {name: os.path.join(folder, name) for name in ACTIVATIONS}
    for name, workdir in workdirs.items():
        execute("train", f"--config={config}", f"--workdir={workdir}", f"--config.model.activation={name}")
    report = f"none: {extras.remedy('report')}"
    if extras.installed("report"):
        report = os.path.join(folder, "report.html")
        execute("report", f"--workdirs={','.join(workdirs.values())}", f"--output={report}")
    runs = {name: _files.read_json(os.path.join(workdir, "metrics.json")) for name, workdir in workdirs.items()}
    print(f"\n{_table(runs)}\n\nreport   {report}")
    for name, found in runs.items():
        for path in found["exports"]:
            print(f"export   {os.path.join(workdirs[name], path)}")


def _table(runs: dict[str, Any]) -> str:
    """PD and the accuracy of both siblings, a column an activation."""
    # A single replica has no PD.
    rows = [("relative PD", [f"{run['pd']['relative']:.2%}" if run["pd"] else "-" for run in runs.values()])]
    for measure in catalogue.leading():
        pairs = [[replica[measure.name] for replica in run["replicas"]] for run in runs.values()]
        rows.append((f"{measure.inside} of the pair", ["  ".join(f"{value:.4f}" for value in pair) for pair in pairs]))
    lines = [f"{'':24}" + "".join(f"{name:>18}" for name in runs)]
    lines += [f"{label:24}" + "".join(f"{value:>18}" for value in values) for label, values in rows]
    best = runs[ACTIVATIONS[0]].get("best_possible")  # of the synthetic log alone
    if best:
        lines.append(f"The true click probabilities would score AUC loss {best['auc_loss']:.4f}.")
    return "\n".join(lines)
