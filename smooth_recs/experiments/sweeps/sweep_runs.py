"""The runs of a sweep: every variant of a configuration with every seed.

A sweep from its first run to its results; started again after whatever ended it, it repeats no finished run.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from smooth_recs._files import read_json, write_json
from smooth_recs.config import Config, Data
from smooth_recs.data.encoding import Encoder
from smooth_recs.data.presets import open_source
from smooth_recs.errors import InputError
from smooth_recs.experiments import cells, variants
from smooth_recs.experiments.cells import REFERENCE, Cell, Folder, distinct
from smooth_recs.experiments.sweeps import sweep_results
from smooth_recs.experiments.sweeps.sweep_plan import Sweep, Variant
from smooth_recs.models import from_config
from smooth_recs.models.cost import Cost, cost


@dataclasses.dataclass(frozen=True)
class Grid:
    """A pair of siblings, or more, for every variant and seed.

    Args:
      config: what all have in common.
      variants: with names that differ.
      seeds: of the pairs.

    Raises:
      InputError: fields that do not exist, break a rule or are the seed; variants that need one that there is not, or
        each other in a circle.

    ```python
    grid = Grid(Config(), sweeps.activation("smelu", 0.1, 0.2), seeds=(1, 2, 3))
    Folder("runs/widths").run(grid.cells())
    ```
    """

    config: Config
    variants: Sequence[Variant]
    seeds: Sequence[int]

    def __post_init__(self) -> None:
        for variant in self.variants:
            self.cell(variant, self.seeds[0])

    def cells(self) -> list[Cell]:
        """Seed by seed, so that what is finished is soon a table."""
        return [self.cell(variant, seed) for seed in self.seeds for variant in self.variants]

    def cell(self, variant: Variant, seed: int) -> Cell:
        """The run of a variant with a seed, and those of the same seed that it needs."""
        return self._cell(variant, seed, ())

    def _cell(self, variant: Variant, seed: int, within: tuple[str, ...]) -> Cell:
        if variant.name in within:
            raise InputError(f"variants need each other in a circle: {' needs '.join((*within, variant.name))}")
        named, needs = {other.name: other for other in self.variants}, dict[str, Cell]()
        for path, name in _references(variant.fields):
            if name not in named:
                raise InputError(
                    f"variant {variant.name}: {path} must name a variant ({', '.join(named)}), got {REFERENCE}{name}"
                )
            needs[f"{REFERENCE}{name}"] = self._cell(named[name], seed, (*within, variant.name))
        keys = {name: f"{REFERENCE}{cell.key}" for name, cell in needs.items()}
        config = self._config(variant, seed, cells.replaced(variant.fields, keys))
        return Cell(f"{variant.label}, seed {seed}", config, tuple(needs.values()))

    def _config(self, variant: Variant, seed: int, fields: Mapping[str, Any]) -> Config:
        if "seed" in fields:
            raise InputError(f"variant {variant.name}: the seed must be left to the pairs, got {fields['seed']!r}")
        try:
            config = variants.with_fields(self.config, {"seed": seed, **fields})
            from_config.layer_activations(config.model)  # raises for an unknown one
        except InputError as error:
            raise InputError(f"variant {variant.name}: {error}") from error
        return config


def _references(fields: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The field and the name of every variant that a field names."""
    for path, value in fields.items():
        for item in value if isinstance(value, list | tuple) else (value,):
            if isinstance(item, str) and item.startswith(REFERENCE):
                yield path, item.removeprefix(REFERENCE)


def grid_of(sweep: Sweep) -> Grid:
    """All runs of a sweep; InputError where a variant is wrong."""
    return Grid(sweep.config, sweep.variants, sweep.seeds)


def outline(sweep: Sweep, workdir: str) -> str:
    """What a sweep would train, what its variants cost, and how long what is not finished would take."""
    grid, folder = grid_of(sweep), Folder(workdir)
    costs = _costs(grid, os.path.join(workdir, "cache"))
    width = max(len(variant.label) for variant in grid.variants)
    lines = [f"{'':{width}}  {'parameters':>14} {'multiply-adds':>14} {'lookups':>8} an example"]
    lines += [
        f"{variant.label:{width}}  {each.parameters:14,} {each.multiply_adds:14,} {each.lookups:8,}"
        for variant, each in zip(grid.variants, costs, strict=True)
    ]
    return "\n".join([*lines, "", folder.outline(grid.cells())])


Train = Callable[[Grid, Folder], None]
"""Trains the runs of a grid, or some of them."""


def train_all(grid: Grid, folder: Folder) -> None:
    folder.run(grid.cells())


def run(sweep: Sweep, workdir: str, train: Train = train_all) -> dict[str, Any]:
    """Trains what is not finished, and writes `results.json`, `results.csv` and `tensorboard/` into `workdir`.

    Several processes, on several machines, may run one sweep in one folder.

    Args:
      sweep: what to train.
      workdir: exists or is made.
      train: decides which runs of the grid are worth it.

    Returns:
      The content of `results.json`: see `sweep_results.table`.

    Raises:
      InputError: a variant, the data or the folder is wrong.
      RuntimeError: a run failed.

    ```python
    results = sweeping.run(sweep, "runs/sweep")
    results["variants"][1]["changes"]["pd"]["percent"]  # -0.385
    ```
    """
    grid, folder = grid_of(sweep), Folder(workdir)
    if any(cell.config.ensemble.equal_cost != "none" for cell in folder.unfinished(grid.cells())):
        _costs(grid, os.path.join(workdir, "cache"))  # what cannot be narrowed is an error before all training
    train(grid, folder)
    return write(sweep, grid, folder, workdir)


def write(sweep: Sweep, grid: Grid, folder: Folder, workdir: str) -> dict[str, Any]:
    """Measures the exports of finished runs, and writes the results; one process at a time."""
    with _alone(os.path.join(workdir, "results.lock")):
        serving = _serving(grid, folder, workdir)
        results = sweep_results.table(sweep, grid, folder, serving)
        write_json(os.path.join(workdir, "results.json"), results)
        runs = sweep_results.finished_runs(grid, folder, serving)
        sweep_results.write_csv(grid, runs, os.path.join(workdir, "results.csv"))
        sweep_results.write(grid, runs, os.path.join(workdir, "tensorboard"))
    return results


def _costs(grid: Grid, cache: str) -> Sequence[Cost]:
    """Of each variant."""
    encoders: list[tuple[Data, Encoder]] = []
    costs = []
    for variant in grid.variants:
        config = grid.cell(variant, grid.seeds[0]).config
        data = _in_any_order(config.data)
        if all(data != other for other, _ in encoders):
            encoders.append((data, open_source(data, cache).encoder))
        costs.append(cost(config, next(encoder for other, encoder in encoders if other == data)))
    return costs


def _serving(grid: Grid, folder: Folder, workdir: str) -> sweep_results.Serving:
    """Milliseconds by the cells' keys, kept in `serving.json`; those of one seed are measured together."""
    path = os.path.join(workdir, "serving.json")
    found: dict[str, Any] = read_json(path) if os.path.exists(path) else {}
    for seed in grid.seeds:
        cells = distinct([grid.cell(variant, seed) for variant in grid.variants])
        exports = {
            cell.key: export
            for cell in cells
            if folder.is_finished(cell)
            and (export := sweep_results.of_run(folder.workdir(cell), folder.metrics(cell))) is not None
        }
        if set(exports) - set(found):
            print(f"serving  {len(exports)} exports of seed {seed} take turns", flush=True)
            found |= sweep_results.measure(exports, _rows([cell for cell in cells if cell.key in exports], folder))
            write_json(path, found)
    return found


def _rows(cells: Sequence[Cell], folder: Folder) -> Mapping[str, sweep_results.Rows]:
    """Raw rows for every cell, read once for those of the same data."""
    read: list[tuple[Data, sweep_results.Rows]] = []
    for cell in cells:
        data = _in_any_order(cell.config.data)
        if all(data != other for other, _ in read):
            read.append((data, sweep_results.some_rows(data, os.path.join(folder.workdir(cell), "cache"))))
    return {cell.key: next(r for d, r in read if d == _in_any_order(cell.config.data)) for cell in cells}


def _in_any_order(data: Data) -> Data:
    """The same rows; their order costs nothing."""
    return dataclasses.replace(data, shuffle_window=1)


@contextlib.contextmanager
def _alone(path: str) -> Iterator[None]:
    """Waits until no other process is inside."""
    with open(path, "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
