"""The runs of a sweep: what they would cost, training those that are not finished, timing their exports, the results.

Started again after whatever ended it, a sweep repeats no finished run.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import tensorflow as tf

from smooth_recs import _files, _locks
from smooth_recs.artifacts.exports import SavedModel
from smooth_recs.config import Data
from smooth_recs.data.presets import open_source
from smooth_recs.experiments.cells import Cell, Folder, distinct
from smooth_recs.experiments.sweeps import sweep_results, tuning
from smooth_recs.experiments.sweeps.sweep_plan import Sweep
from smooth_recs.experiments.variants import Grid, grid_of
from smooth_recs.measures import catalogue
from smooth_recs.models.cost import Cost, cost

# Rows of a request, as the measures of the table have them.
BATCHES = tuple(int(measure.key) for measure in catalogue.of("serving"))
_ROUNDS = 40
# Calls of a model in a round, by rows: more of the short ones, which vary more.
_CALLS = {1: 10, 1000: 2}

Rows = Mapping[str, Any]
_Made = TypeVar("_Made")


def outline(sweep: Sweep, workdir: str) -> str:
    """What a sweep would train, what its variants cost, and how long what is not finished would take."""
    folder, lines = Folder(workdir), []
    if singles := tuning.cells(sweep):
        lines += ["single models that choose the values of tune:", folder.outline(singles), ""]
        if folder.unfinished(singles):
            lines += ["pairs, whose values of tune are not known yet:", ""]
        else:
            sweep = tuning.tuned(sweep, folder)
    grid = grid_of(sweep)
    width = max(len(variant.label) for variant in grid.variants)
    lines += [f"{'':{width}}  {'parameters':>14} {'multiply-adds':>14} {'lookups':>8} an example"]
    lines += [
        f"{variant.label:{width}}  {each.parameters:14,} {each.multiply_adds:14,} {each.lookups:8,}"
        for variant, each in zip(grid.variants, _costs(grid, workdir), strict=True)
    ]
    return "\n".join([*lines, "", folder.outline(grid.cells())])


Train = Callable[[Grid, Folder], None]
"""Trains the runs of a grid, or some of them."""


def train_all(grid: Grid, folder: Folder) -> None:
    folder.run(grid.cells())


def run(sweep: Sweep, workdir: str, train: Train = train_all, jobs: int = 1) -> dict[str, Any]:
    """Trains what is not finished, and writes `results.json`, `results.csv` and `tensorboard/` into `workdir`.

    Several processes, on several machines, may run one sweep in one folder.

    Args:
      sweep: what to train.
      workdir: exists or is made.
      train: decides which runs of the grid are worth it.
      jobs: how many trainings go on at a time.

    Returns:
      The content of `results.json`: see `sweep_results.table`.

    Raises:
      InputError: a variant, the data or the folder is wrong.
      RuntimeError: a run failed.

    ```python
    results = run(sweep, "runs/sweep")
    results["variants"][1]["changes"]["pd"]["percent"]  # -0.385
    ```
    """
    grid, folder = grid_of(sweep), Folder(workdir, jobs)
    if any(cell.config.ensemble.equal_cost != "none" for cell in folder.unfinished(grid.cells())):
        # For its errors: an ensemble that cannot be narrowed to the cost of one network is known before all training.
        _costs(grid, workdir)
    train(grid, folder)
    return write(sweep, grid, folder, workdir)


def write(sweep: Sweep, grid: Grid, folder: Folder, workdir: str) -> dict[str, Any]:
    """Times the exports of finished runs, those of one seed together, and writes the results.

    The times are kept in `serving.json`, by the cells' keys.
    """
    # One process at a time: the others of a shared sweep wait, and find the times that the first one has taken.
    with _locks.waited_for(os.path.join(workdir, "results.lock")):
        path = os.path.join(workdir, "serving.json")
        serving: dict[str, Any] = _files.read_json(path) if _files.exists(path) else {}
        for seed in grid.seeds:
            exports: dict[str, str] = {}
            exported: list[Cell] = []
            for cell in distinct([grid.cell(variant, seed) for variant in grid.variants]):
                # The first sibling's, where it is still there: users delete exports of finished runs.
                paths = folder.metrics(cell)["exports"][:1] if folder.is_finished(cell) else []
                for export in (os.path.join(folder.workdir(cell), each) for each in paths):
                    if _files.isdir(export):
                        exports[cell.key] = export
                        exported.append(cell)
            # Where one of a seed is new all are timed again: only numbers of the same minutes can be compared.
            if set(exports) - set(serving):
                print(f"serving  {len(exports)} exports of seed {seed} take turns", flush=True)
                rows = _once_for_equal_data(
                    exported, lambda data, cell: some_rows(data, os.path.join(folder.workdir(cell), "cache"))
                )
                serving |= time_exports(exports, dict(zip(exports, rows, strict=True)))
                _files.write_json(path, serving)
        results = sweep_results.table(sweep, grid, folder, serving)
        _files.write_json(os.path.join(workdir, "results.json"), results)
        runs = sweep_results.finished_runs(grid, folder, serving, sweep.allow_collapsed)
        sweep_results.write_csv(grid, runs, os.path.join(workdir, "results.csv"))
        sweep_results.write_tensorboard(grid, runs, os.path.join(workdir, "tensorboard"))
    return results


def _costs(grid: Grid, workdir: str) -> list[Cost]:
    """The cost of each variant."""
    cache = os.path.join(workdir, "cache")
    cells = [grid.cell(variant, grid.seeds[0]) for variant in grid.variants]
    encoders = _once_for_equal_data(cells, lambda data, _: open_source(data, cache).encoder)
    return [cost(cell.config, encoder) for cell, encoder in zip(cells, encoders, strict=True)]


def _once_for_equal_data(cells: Sequence[Cell], make: Callable[[Data, Cell], _Made]) -> list[_Made]:
    """What `make` returns for the data of each cell, made once for those that have the same rows in whatever order."""
    made: list[tuple[Data, _Made]] = []
    found = []
    for cell in cells:
        data = dataclasses.replace(cell.config.data, shuffle_window=1)
        if all(data != other for other, _ in made):
            made.append((data, make(data, cell)))
        found.append(next(value for other, value in made if other == data))
    return found


def some_rows(data: Data, cache: str) -> Rows:
    """The first held-out rows, raw, as many as the largest batch has."""
    source = open_source(data, cache)
    rows: Rows = next(iter(source.holdout(raw=True).rebatch(max(BATCHES))))["raw"]
    return rows


def time_exports(exports: Mapping[str, str], rows: Mapping[str, Rows]) -> dict[str, dict[str, dict[str, float]]]:
    """Milliseconds of a call, by the exports' names and the number of rows.

    One export is timed beside the other in one process, so that what else runs on the machine slows all alike: every
    round calls each export in turn, each time beginning with another one. The clock is around the signature as Python
    calls it, answer included: some tenths of a millisecond of each number are Python's.

    Args:
      exports: folders of SavedModels by name.
      rows: for each of them raw features by name, tensors of at least 1,000 rows, or fewer where there are no more.

    Returns:
      For each name and number of rows, as a text, `median`, and `low` and `high`, between which nine tenths of the
      calls took.

    ```python
    rows = some_rows(config.data, "runs/cache")
    time_exports({"relu": "runs/relu/export/replica_0/1"}, {"relu": rows})["relu"]["1"]
    ```
    """
    models = [SavedModel(name, path) for name, path in exports.items()]
    given = [rows[name] for name in exports]
    took: list[dict[int, list[float]]] = [{batch: [] for batch in BATCHES} for _ in models]
    for turn in range(_ROUNDS + 1):
        for batch in BATCHES:
            for k in ((turn + shift) % len(models) for shift in range(len(models))):
                model, names = models[k], models[k].inputs
                assert names is not None
                for call in range(_CALLS[batch]):
                    # Another row each time, so that no cache of the processor holds all that an answer needs.
                    start = (turn + call) % max(1, len(next(iter(given[k].values()))) - batch + 1)
                    features = {name: tf.identity(given[k][name][start : start + batch]) for name in names}
                    begin = time.perf_counter()
                    np.asarray(model(features))
                    # The first round does not count: it traces, and fills caches.
                    if turn:
                        took[k][batch].append(time.perf_counter() - begin)
    for model in models:
        model.close()
    found: dict[str, dict[str, dict[str, float]]] = {}
    for name, of_model in zip(exports, took, strict=True):
        found[name] = {}
        for batch, seconds in of_model.items():
            low, median, high = np.quantile(seconds, (0.05, 0.5, 0.95)) * 1000
            found[name][str(batch)] = {"median": float(median), "low": float(low), "high": float(high)}
    return found
