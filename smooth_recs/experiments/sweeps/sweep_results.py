"""What the runs of a sweep have measured: `results.json`, by variant, and `results.csv`, a row a run."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from smooth_recs._files import read_json, whole_file
from smooth_recs.experiments import over_seeds
from smooth_recs.experiments.cells import Folder
from smooth_recs.experiments.sweeps.grid import Grid
from smooth_recs.experiments.sweeps.sweep import Sweep, Variant
from smooth_recs.measures import registry
from smooth_recs.workdir.manifest import command

Serving = Mapping[str, Mapping[str, Any]]
"""By the key of a cell what `serving_cost.measure` found."""


def names() -> list[str]:
    """All that is measured of a variant, in the order of the CSV's columns; of several replicas the mean."""
    return [measure.name for measure in registry.swept()]


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished run of a sweep.

    Attributes:
      variant, seed: which.
      key: of its cell.
      measures: by name, None for what it does not have.
    """

    variant: Variant
    seed: int
    key: str
    measures: Mapping[str, float | None]


def finished_runs(grid: Grid, folder: Folder, serving: Serving) -> list[Run]:
    """Variant by variant."""
    return [
        Run(variant, seed, cell.key, measures_of(folder.metrics(cell), serving.get(cell.key, {})))
        for variant in grid.variants
        for seed in grid.seeds
        if folder.is_finished(cell := grid.cell(variant, seed))
    ]


def measures_of(metrics: Mapping[str, Any], milliseconds: Mapping[str, Any]) -> dict[str, float | None]:
    """The measures of a run, by name.

    Args:
      metrics: the content of its `metrics.json`.
      milliseconds: of its export, by the number of rows, as `serving_cost.measure` found them; empty: not measured.
    """
    return {
        measure.name: (measure.within(milliseconds) or {}).get("median")
        if measure.family == "serving"
        else measure.read(metrics)
        for measure in registry.swept()
    }


def table(sweep: Sweep, grid: Grid, folder: Folder, serving: Serving | None = None) -> dict[str, Any]:
    """What the finished runs of `grid` say, as it goes into `results.json`.

    Args:
      sweep: names the baseline.
      grid: variants and seeds; at least one run is finished.
      folder: of the runs.
      serving: milliseconds of exports.

    Returns:
      `baseline`, its name; `seeds`; `variants`, each with `name`, `label`, `fields`, `line` and `width` (None where it
      is on no line), `measures` and `changes`; `config`, what all have in common; `data`, `versions`, `command`.
      A measure has `of_seeds` (None for a run that is not finished, or does not have it), and, over the finished runs,
      `value`, their mean, and `interval` (`prediction_difference.interval_over_seeds`; None for a single run). A change
      is from the baseline, over the seeds that both have: `value` and `interval` of the difference, `percent` and
      `percent_interval` of the difference as a share of the baseline (0.01 is 1%). What is not known is None.
    """
    runs = finished_runs(grid, folder, serving or {})
    measured: dict[str, Measured] = {variant.name: dict.fromkeys(grid.seeds) for variant in grid.variants}
    for run in runs:
        measured[run.variant.name][run.seed] = run.measures
    manifest = read_json(os.path.join(folder.workdir(grid.cell(runs[0].variant, runs[0].seed)), "manifest.json"))
    found = {
        "baseline": sweep.baseline,
        "seeds": list(grid.seeds),
        "variants": [
            {
                "name": variant.name,
                "label": variant.label,
                "fields": dict(variant.fields),
                "line": variant.line or None,
                "width": variant.width,
                "measures": {name: _measure(measured[variant.name], name) for name in names()},
                "changes": {name: _change(measured[variant.name], measured[sweep.baseline], name) for name in names()},
            }
            for variant in grid.variants
        ],
        "config": grid.config.to_dict(),
        "data": manifest["data"],
        "versions": manifest["versions"],
        "command": command(),
    }
    plain: dict[str, Any] = json.loads(json.dumps(found))  # as one reads it back
    return plain


def write_csv(grid: Grid, runs: Sequence[Run], path: str) -> None:
    """A row for each run: its variant, seed and workdir, the fields that are varied, and its measures."""
    varied = varied_fields(grid)
    with whole_file(path) as beside, open(beside, "w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["variant", "label", "line", "width", "seed", "workdir", *varied, *names()])
        for run in runs:
            variant = run.variant
            about = [variant.name, variant.label, variant.line, variant.width, run.seed, f"cells/{run.key}"]
            fields = [variant.fields.get(field) for field in varied]
            rows.writerow([*about, *fields, *(run.measures[measure] for measure in names())])


def varied_fields(grid: Grid) -> list[str]:
    """The fields that any variant sets."""
    return list(dict.fromkeys(path for variant in grid.variants for path in variant.fields))


Measured = dict[int, Mapping[str, float | None] | None]
"""The measures of a variant by seed, None where its run is not finished."""


def _measure(runs: Measured, name: str) -> dict[str, Any]:
    of_seeds = [None if run is None else run[name] for run in runs.values()]
    finished = [run[name] for run in runs.values() if run is not None]
    return {**over_seeds.measured(finished), "of_seeds": of_seeds}


def _change(runs: Measured, baseline: Measured, name: str) -> dict[str, Any]:
    pairs = [
        (run[name], base[name]) for run, base in zip(runs.values(), baseline.values(), strict=True) if run and base
    ]
    ours, theirs = [value for value, _ in pairs], [base for _, base in pairs]
    differences = over_seeds.differences(ours, theirs)
    shares = over_seeds.ratios(ours, theirs)
    return {
        "value": over_seeds.mean(differences),
        "percent": over_seeds.mean(shares),
        "interval": over_seeds.interval(differences),
        "percent_interval": over_seeds.interval(shares, least=-1.0),  # no measure is below 0
    }
