"""The workflow of a sweep: trains, chooses, confirms on fresh seeds, and writes the report and a configuration."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import textwrap
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from smooth_recs import _files
from smooth_recs.config import Config
from smooth_recs.errors import InputError
from smooth_recs.experiments.cells import Folder
from smooth_recs.experiments.sweeps import choice, sweep_plan, sweep_report, sweep_results, sweep_runs, tuning
from smooth_recs.experiments.sweeps.sweep_plan import Goal, Sweep
from smooth_recs.experiments.variants import Grid, grid_of
from smooth_recs.measures import catalogue

# Columns of the project's own files.
_WIDTH = 120
_MODULES = {"smooth_recs.config": "config", "smooth_recs.schema": "schema"}


def run(sweep: Sweep, workdir: str, *, confirm: int = 0, halving: bool = False, jobs: int = 1) -> str:
    """Trains a sweep, makes its choice where it has a goal, and writes the report; returns what to print.

    Leaves `results.json`, `results.csv`, `tensorboard/`, `results.md`, `report.html`, `figure4.png` and `.svg`; with a
    goal `choice.json`, and `chosen.py` where anything beats the baseline.

    Args:
      sweep: what is trained, in `choose` what is wanted, and in `tune` what each activation chooses for itself first.
      workdir: receives the runs and the files; pairs that are finished there are not trained again.
      confirm: pairs with fresh seeds of what is chosen and of the baseline; 0 = none.
      halving: whether pairs are spent by successive halving, not on all variants alike.
      jobs: how many trainings go on at a time.

    Raises:
      InputError: the goal or a variant is wrong, or one pair is to confirm.
      RuntimeError: a run failed.

    ```python
    sweep = dataclasses.replace(sweep, choose="min pd subject to auc_loss <= relu")
    print(run(sweep, "runs/sweep", confirm=5))
    ```
    """
    goal = goal_of(sweep, confirm)
    sweep = tuning.tuned(sweep, Folder(workdir, jobs))
    results = sweep_runs.run(sweep, workdir, _by_halving(sweep, goal) if halving else sweep_runs.train_all, jobs)
    if goal is None:
        return sweep_report.write(results, workdir)
    try:
        found = choice.choose(results, goal)
    except InputError:  # such as a baseline that has learned nothing: what was trained is reported all the same
        sweep_report.write(results, workdir)
        raise
    if confirm:
        found = _confirmed(sweep, Folder(workdir, jobs), goal, found, confirm)
    found["config_file"] = _write_chosen(sweep, workdir, found)
    _files.write_json(os.path.join(workdir, "choice.json"), found)
    return sweep_report.write(results, workdir, found)


def goal_of(sweep: Sweep, confirm: int = 0) -> Goal | None:
    """The goal of a sweep, None for none; InputError where it, or the number of pairs that confirm, is wrong."""
    if confirm == 1 or confirm < 0:
        raise InputError(f"confirm must be 0, or at least 2 pairs for an interval, got {confirm}")
    if not sweep.choose:
        if confirm:
            raise InputError("confirm needs a goal: choose must say what is wanted, got nothing")
        return None
    goal = sweep_plan.parse_goal(sweep.choose, sweep_results.names(), [variant.name for variant in sweep.variants])
    for measure in goal.measures:
        if catalogue.BY_NAME[measure].family == "live" and not sweep.config.evaluation.live:
            raise InputError(f"choose: {measure} needs evaluation.live, got none")
    return goal


def _by_halving(sweep: Sweep, goal: Goal | None) -> sweep_runs.Train:
    def train(grid: Grid, folder: Folder) -> None:
        def train_round(names: Collection[str], seeds: Sequence[int]) -> Mapping[str, Any]:
            so_far = dataclasses.replace(grid, seeds=seeds)
            _train(so_far, folder, names, seeds[-1:])
            return sweep_results.table(sweep, so_far, folder)

        choice.halving_search(train_round, [variant.name for variant in grid.variants], grid.seeds, goal)

    return train


def _train(grid: Grid, folder: Folder, names: Collection[str], seeds: Sequence[int]) -> None:
    """Trains some variants of a grid; the others are in it because these may need them."""
    chosen = [variant for variant in grid.variants if variant.name in names]
    folder.run([grid.cell(variant, seed) for seed in seeds for variant in chosen])


def _confirmed(sweep: Sweep, folder: Folder, goal: Goal, found: Mapping[str, Any], pairs: int) -> dict[str, Any]:
    """The choice, measured on pairs of seeds after those of the sweep."""
    names = choice.to_confirm(found, goal, sweep.baseline)
    if not names:
        return dict(found)
    # Seeds that no pair of the sweep had: what a seed draws for the chosen variant was seen when it was chosen.
    seeds = range(sweep.seeds.stop, sweep.seeds.stop + pairs)
    grid = Grid(sweep.config, sweep.variants, seeds)
    _train(grid, folder, names, seeds)
    fresh = sweep_results.table(sweep, grid, folder)
    kept = [variant for variant in fresh["variants"] if variant["name"] in names]
    confirmation = {"seeds": fresh["seeds"], "variants": kept}
    return {**choice.confirmed(found, goal, fresh), "confirmation": confirmation}


def _write_chosen(sweep: Sweep, workdir: str, found: Mapping[str, Any]) -> str | None:
    """Writes `chosen.py` and returns its path; removes an old one where nothing beats the baseline."""
    path = os.path.join(workdir, "chosen.py")
    if found["verdict"] == "nothing":
        with contextlib.suppress(FileNotFoundError):
            _files.remove(path)
        return None
    # As the cell got it: with the paths of the runs that it needs, such as a teacher's.
    grid = grid_of(sweep)
    variant = next(variant for variant in grid.variants if variant.name == found["chosen"])
    config = Folder(workdir).config(grid.cell(variant, grid.seeds[0]))
    paragraphs = [
        f"{found['label']}: chosen by a sweep for '{found['goal']}'.",
        "",
        *sweep_report.choice_sentences(found),
    ]
    lines = [line for text in paragraphs for line in textwrap.wrap(text, _WIDTH) or [""]]
    write_config(Config.from_dict(config), "\n".join([*lines, ""]), path)
    return path


def write_config(config: Config, text: str, path: str) -> None:
    """Writes a Python file whose `get_config()` returns an equal configuration, with `text` as its docstring.

    ```python
    write_config(config, "SmeLU 0.1.", "runs/sweep/chosen.py")
    ```
    """
    _files.write_text(path, config_source(config, text))


def config_source(config: Config, text: str) -> str:
    """The content of a file of `configs/`, which states only what differs from the defaults."""
    body = _expression(config, indent=4, taken=len("    return "))
    imports = ["from smooth_recs import config"]
    if "schema." in body and config.data.schema is not None:
        imports.append("from smooth_recs.data import schema")
    docstring = text.replace("\\", "\\\\").replace('"', '\\"')
    lines = [f'"""{docstring}"""', "", *imports, "", "", "def get_config() -> config.Config:", f"    return {body}", ""]
    return "\n".join(lines)


def _expression(value: Any, indent: int, taken: int) -> str:
    """A Python expression of the value, on lines of its own where it is too long; `taken`: columns before it.

    It comes out as ruff formats it, and a text is in double quotes as everywhere in this project.
    """
    items: list[tuple[str, Any]] = []  # what stands before each item, and the item
    if dataclasses.is_dataclass(value):
        kind = type(value)
        opening, closing = f"{_MODULES[kind.__module__]}.{kind.__name__}(", ")"
        for field in dataclasses.fields(value):
            default = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
            found = getattr(value, field.name)
            # 0 in place of 0.0 is equal, but another text in config.json, so another key of a cell.
            if default is dataclasses.MISSING or found != default or type(found) is not type(default):
                items.append((f"{field.name}=", found))
    elif isinstance(value, dict) and value:
        opening, closing = "{", "}"
        items = [(f"{_expression(key, 0, 0)}: ", item) for key, item in value.items()]
    elif isinstance(value, tuple | list) and value:
        opening, closing = ("[", "]") if isinstance(value, list) else ("(", ",)" if len(value) == 1 else ")")
        items = [("", item) for item in value]
    else:
        plain = repr(value)
        return f'"{plain[1:-1]}"' if isinstance(value, str) and '"' not in value and "'" not in value else plain
    # So many columns are left that no item is broken.
    on_one_line = -(10**6)
    flat = opening + ", ".join(key + _expression(item, 0, on_one_line) for key, item in items) + closing
    if taken + len(flat) < _WIDTH:
        return flat
    inside = indent + 4
    lines = [f"{' ' * inside}{key}{_expression(item, inside, inside + len(key))}," for key, item in items]
    return "\n".join([opening, *lines, f"{' ' * indent}{closing.lstrip(',')}"])
