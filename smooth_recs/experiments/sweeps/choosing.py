"""From a sweep to a report, and to a configuration: trains, chooses, confirms on fresh seeds, writes it all down."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from smooth_recs._files import write_json
from smooth_recs.config import Config
from smooth_recs.errors import InputError
from smooth_recs.experiments.cells import Folder
from smooth_recs.experiments.sweeps import (
    choice,
    chosen_config,
    goals,
    halving,
    sweep_report,
    sweep_results,
    sweep_words,
    sweeping,
)
from smooth_recs.experiments.sweeps.grid import Grid
from smooth_recs.experiments.sweeps.sweep import Sweep


@dataclasses.dataclass(frozen=True)
class Way:
    """How to come to a choice.

    Attributes:
      confirm: pairs with fresh seeds of what is chosen and of the baseline; 0 = none.
      halve: whether pairs are spent by successive halving, not on all variants alike.
    """

    confirm: int = 0
    halve: bool = False


def run(sweep: Sweep, workdir: str, way: Way) -> str:
    """Trains a sweep, makes its choice where it has a goal, and writes the report; returns what to print.

    Leaves `results.json`, `results.csv`, `tensorboard/`, `results.md`, `report.html`, `figure4.png` and `.svg`; with a
    goal `choice.json`, and `chosen.py` where anything beats the baseline.

    Args:
      sweep: what is trained, and in `choose` what is wanted.
      workdir: receives the runs and the files; pairs that are finished there are not trained again.
      way: how to come to a choice.

    Raises:
      InputError: the goal or a variant is wrong, or one pair is to confirm.
      RuntimeError: a run failed.

    ```python
    sweep = dataclasses.replace(sweep, choose="min pd subject to auc_loss <= relu")
    print(choosing.run(sweep, "runs/sweep", Way(confirm=5)))
    ```
    """
    goal = parsed(sweep, way)
    results = sweeping.run(sweep, workdir, _halved(sweep, goal) if way.halve else sweeping.train_all)
    if goal is None:
        return sweep_report.write(results, workdir)
    found = choice.choose(results, goal)
    if way.confirm:
        found = _confirmed(sweep, workdir, goal, found, way.confirm)
    found["config_file"] = _write_config(sweep, workdir, found)
    write_json(str(Path(workdir, "choice.json")), found)
    return sweep_report.write(results, workdir, found)


def parsed(sweep: Sweep, way: Way) -> goals.Goal | None:
    """The goal of a sweep, None for none; InputError where it or the way to it is wrong."""
    if way.confirm == 1 or way.confirm < 0:
        raise InputError(f"confirm must be 0, or at least 2 pairs for an interval, got {way.confirm}")
    if not sweep.choose:
        if way.confirm:
            raise InputError("confirm needs a goal: choose must say what is wanted, got nothing")
        return None
    return goals.parse(sweep.choose, sweep_results.names(), [variant.name for variant in sweep.variants])


def _halved(sweep: Sweep, goal: goals.Goal | None) -> sweeping.Train:
    def train(grid: Grid, folder: Folder) -> None:
        def round_of(names: Collection[str], seeds: Sequence[int]) -> Mapping[str, Any]:
            so_far = dataclasses.replace(grid, seeds=seeds)
            _train(so_far, folder, names, seeds[-1:])
            return sweep_results.table(sweep, so_far, folder)

        halving.search(round_of, [variant.name for variant in grid.variants], grid.seeds, goal)

    return train


def _train(grid: Grid, folder: Folder, names: Collection[str], seeds: Sequence[int]) -> None:
    """Some variants of a grid; the others are there because these may need them."""
    chosen = [variant for variant in grid.variants if variant.name in names]
    folder.run([grid.cell(variant, seed) for seed in seeds for variant in chosen])


def _confirmed(sweep: Sweep, workdir: str, goal: goals.Goal, found: Mapping[str, Any], pairs: int) -> dict[str, Any]:
    """The choice, measured on pairs of seeds after those of the sweep."""
    names = choice.to_confirm(found, goal, sweep.baseline)
    if not names:
        return dict(found)
    seeds = range(sweep.seeds.stop, sweep.seeds.stop + pairs)
    grid, folder = Grid(sweep.config, sweep.variants, seeds), Folder(workdir)
    _train(grid, folder, names, seeds)
    fresh = sweep_results.table(sweep, grid, folder)
    kept = [variant for variant in fresh["variants"] if variant["name"] in names]
    confirmation = {"seeds": fresh["seeds"], "variants": kept}
    return {**choice.confirmed(found, goal, fresh), "confirmation": confirmation}


def _write_config(sweep: Sweep, workdir: str, found: Mapping[str, Any]) -> str | None:
    """Writes `chosen.py` and returns its path; takes an old one away where nothing beats the baseline."""
    path = Path(workdir, "chosen.py")
    if found["verdict"] == "nothing":
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        return None
    grid = sweeping.grid_of(sweep)
    variant = next(variant for variant in grid.variants if variant.name == found["chosen"])
    config = Folder(workdir).config(grid.cell(variant, grid.seeds[0]))
    chosen_config.write(Config.from_dict(config), _docstring(found), str(path))
    return str(path)


def _docstring(found: Mapping[str, Any]) -> str:
    said = [f"{found['label']}: chosen by a sweep for '{found['goal']}'.", "", *sweep_words.of_choice(found)]
    return "\n".join([*chosen_config.wrapped(said), ""])
