"""A configuration as a file of `configs/`, that states only what differs from the defaults.

Successive halving: pairs are spent where they matter, on the variants nearest the front, and nearest the goal.

All variants get a first pair, the half of them that lies nearest the Pareto front a second one, the half of that a
third one, and so on; where there is a goal, what is best for it and what is nearest the front take turns. The baseline,
which the others are compared with, gets all. With 24 variants and 3 pairs these are 24 + 12 + 6 pairs (and two more of
the baseline) instead of 72.

Which variants go on depends on finished pairs alone: a search that was killed, or that several processes share, comes
to the same ones.

From a sweep to a report, and to a configuration: trains, chooses, confirms on fresh seeds, writes it all down.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import math
import textwrap
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from smooth_recs._files import whole_file, write_json
from smooth_recs.config import Config
from smooth_recs.errors import InputError
from smooth_recs.experiments.cells import Folder
from smooth_recs.experiments.sweeps import choice, goals, sweep_report, sweep_results, sweep_runs
from smooth_recs.experiments.sweeps import paired as paired_lib
from smooth_recs.experiments.sweeps.goals import Goal
from smooth_recs.experiments.sweeps.paired import Paired
from smooth_recs.experiments.sweeps.sweep_plan import Sweep
from smooth_recs.experiments.sweeps.sweep_runs import Grid

_WIDTH = 120
_MODULES = {"smooth_recs.config": "config", "smooth_recs.schema": "schema"}


def write(config: Config, text: str, path: str) -> None:
    """Writes a Python file whose `get_config()` returns an equal configuration, with `text` as its docstring.

    ```python
    chosen_config.write(config, "SmeLU 0.1.", "runs/sweep/chosen.py")
    ```
    """
    with whole_file(path) as beside:
        Path(beside).write_text(source(config, text), encoding="utf-8")


def source(config: Config, text: str) -> str:
    """The file's content."""
    body = _code(config, indent=4, taken=len("    return "))
    imports = ["from smooth_recs import config"]
    if "schema." in body and config.data.schema is not None:
        imports.append("from smooth_recs.data import schema")
    docstring = text.replace("\\", "\\\\").replace('"', '\\"')
    lines = [f'"""{docstring}"""', "", *imports, "", "", "def get_config() -> config.Config:", f"    return {body}", ""]
    return "\n".join(lines)


def wrapped(paragraphs: Sequence[str]) -> list[str]:
    """Lines that fit a docstring; an empty paragraph is an empty line."""
    return [line for text in paragraphs for line in textwrap.wrap(text, _WIDTH) or [""]]


def _code(value: Any, indent: int, taken: int) -> str:
    """An expression of the value, on lines of its own where it is too long; `taken`: what stands before it."""
    opening, items, closing = _parts(value)
    if items is None:
        return opening
    flat = opening + ", ".join(key + _code(item, 0, -(10**6)) for key, item in items) + closing
    if taken + len(flat) < _WIDTH:
        return flat
    inside = indent + 4
    lines = [f"{' ' * inside}{key}{_code(item, inside, inside + len(key))}," for key, item in items]
    return "\n".join([opening, *lines, f"{' ' * indent}{closing.lstrip(',')}"])


def _parts(value: Any) -> tuple[str, list[tuple[str, Any]] | None, str]:
    """What opens an expression, its items with what stands before each, and what closes it."""
    if dataclasses.is_dataclass(value):
        kind = type(value)
        return f"{_MODULES[kind.__module__]}.{kind.__name__}(", [(f"{k}=", v) for k, v in _changed(value)], ")"
    if isinstance(value, dict) and value:
        return "{", [(f"{_text(key)}: ", item) for key, item in value.items()], "}"
    if isinstance(value, tuple) and value:
        return "(", [("", item) for item in value], ",)" if len(value) == 1 else ")"
    if isinstance(value, list) and value:
        return "[", [("", item) for item in value], "]"
    return _text(value), None, ""


def _changed(value: Any) -> Iterator[tuple[str, Any]]:
    """The fields that do not have their defaults, or have none."""
    for field in dataclasses.fields(value):
        default = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
        found = getattr(value, field.name)
        if default is dataclasses.MISSING or found != default or type(found) is not type(default):
            yield field.name, found


def _text(value: Any) -> str:
    """The literal, a text in double quotes as everywhere in this project."""
    plain = repr(value)
    if isinstance(value, str) and '"' not in value and "'" not in value:
        return f'"{plain[1:-1]}"'
    return plain


Train = Callable[[Collection[str], Sequence[int]], Mapping[str, Any]]


def search(train: Train, names: Sequence[str], seeds: Sequence[int], goal: Goal | None = None) -> None:
    """Trains a round for each seed, with half as many variants as the one before.

    Args:
      train: gets names of variants, and the seeds of all rounds so far. It trains these variants with the last of the
        seeds, where that is not done, and returns the results of all finished pairs with these seeds, as
        `results.json`.
      names: all variants.
      seeds: one a round.
      goal: what is wanted in the end.
    """
    kept: Sequence[str] = names
    for done in range(1, len(seeds) + 1):
        paired = Paired(train(kept, seeds[:done]))
        kept = survivors(paired, kept, choice.ranked(paired, goal, seeds[:done]) if goal else ())


def sizes(variants: int, rounds: int) -> list[int]:
    """How many variants each round trains, the baseline among them.

    >>> sizes(25, 3)
    [25, 13, 7]
    """
    found = [variants]
    while len(found) < rounds:
        found.append(1 + math.ceil((found[-1] - 1) / 2))
    return found


def outline(variants: int, rounds: int) -> str:
    """How many cells a search trains, variants that others need not counted.

    >>> outline(25, 3)
    '25 + 13 + 7 cells'
    """
    return f"{' + '.join(map(str, sizes(variants, rounds)))} cells"


def survivors(paired: Paired, names: Sequence[str], wanted: Sequence[str] = ()) -> list[str]:
    """The better half of `names`, rounded up and in their order, and the baseline.

    The best of `wanted`, which are in the order of a goal, and the variants nearest the front take turns. Variants
    without PD or loss, as with predictions that are no numbers, go first.

    Raises:
      InputError: the baseline has none of one of these.
    """
    for measure in paired.axes:
        paired.check(measure)
    nearest = paired_lib.nearest_first(paired_lib.points(paired, paired.axes))
    turns = [name for pair in itertools.zip_longest(wanted, nearest) for name in pair]
    order = [name for name in dict.fromkeys(turns) if name in names and name != paired.baseline]
    kept = order[: sizes(len(names), 2)[1] - 1]
    return [name for name in names if name in kept or name == paired.baseline]


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
    results = sweep_runs.run(sweep, workdir, _halved(sweep, goal) if way.halve else sweep_runs.train_all)
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


def _halved(sweep: Sweep, goal: goals.Goal | None) -> sweep_runs.Train:
    def train(grid: Grid, folder: Folder) -> None:
        def round_of(names: Collection[str], seeds: Sequence[int]) -> Mapping[str, Any]:
            so_far = dataclasses.replace(grid, seeds=seeds)
            _train(so_far, folder, names, seeds[-1:])
            return sweep_results.table(sweep, so_far, folder)

        search(round_of, [variant.name for variant in grid.variants], grid.seeds, goal)

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
    grid = sweep_runs.grid_of(sweep)
    variant = next(variant for variant in grid.variants if variant.name == found["chosen"])
    config = Folder(workdir).config(grid.cell(variant, grid.seeds[0]))
    write(Config.from_dict(config), _docstring(found), str(path))
    return str(path)


def _docstring(found: Mapping[str, Any]) -> str:
    said = [f"{found['label']}: chosen by a sweep for '{found['goal']}'.", "", *sweep_report.of_choice(found)]
    return "\n".join([*wrapped(said), ""])
