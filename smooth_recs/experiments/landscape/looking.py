"""From what a user names to the files of its landscape."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from smooth_recs._files import check_output
from smooth_recs.config import Config
from smooth_recs.errors import InputError
from smooth_recs.experiments.landscape import measuring, opening, report
from smooth_recs.experiments.landscape.plan import Plan
from smooth_recs.workdir import finished_runs, manifest


def at_runs(named: Sequence[str], folder: str, plan: Plan) -> str:
    """The landscape of finished runs beside each other: between their siblings, and around the first of each.

    Args:
      named: workdirs.
      folder: receives the files; it is made where it does not exist.
      plan: what is measured.

    Returns:
      What to print.

    Raises:
      InputError: there is no finished run, its data have changed, or the runs do not have the same held-out rows.

    ```python
    print(looking.at_runs(["runs/demo/relu", "runs/demo/smelu"], "runs/landscape", Plan()))
    ```
    """
    check_output("--workdir", os.path.join(folder, "landscape.html"))
    networks = [opening.of_run(run.workdir, run.label, plan.rows) for run in finished_runs.load(named)]
    for workdir, network in zip(named, networks, strict=True):
        if not networks[0].rows.equal(network.rows):
            raise InputError(f"runs must have the same held-out rows, got {named[0]} and {workdir}")
    found = [measuring.measure(network, plan) for network in networks]
    return _written(found, {"runs": list(named)}, folder, plan)


def at_exports(a: str, b: str, config: Config, folder: str, plan: Plan) -> str:
    """The landscape between two SavedModels of one network, and around the first.

    Args:
      a, b: folders, or folders of versions, of which the newest counts.
      config: of the held-out rows.
      folder, plan: as of `at_runs`.

    Returns:
      What to print.

    Raises:
      InputError: one is no SavedModel, takes what the data do not have, or they differ in more than their weights.

    ```python
    a, b = (f"runs/demo/smelu/export/replica_{replica}" for replica in (0, 1))
    print(looking.at_exports(a, b, Config(), "runs/landscape", Plan()))
    ```
    """
    check_output("--workdir", os.path.join(folder, "landscape.html"))
    network = opening.of_exports(a, b, config, plan.rows, os.path.join(folder, "cache"))
    return _written([measuring.measure(network, plan)], {"export_a": a, "export_b": b}, folder, plan)


def _written(found: Sequence[Any], named: dict[str, Any], folder: str, plan: Plan) -> str:
    content = {
        "networks": found,
        "settings": {**named, **dataclasses.asdict(plan)},
        "versions": manifest.versions(),
        "command": manifest.command(),
    }
    return report.write(content, Path(folder))
