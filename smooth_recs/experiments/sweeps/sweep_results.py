"""What the runs of a sweep have measured: `results.json`, by variant; `results.csv`, a row a run; and TensorBoard.

TensorBoard's HParams page shows what was varied, and what came of it.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import tensorflow as tf

from smooth_recs import _files, _paths
from smooth_recs.experiments.cells import Folder
from smooth_recs.experiments.sweeps import paired
from smooth_recs.experiments.sweeps.sweep_plan import Sweep, Variant
from smooth_recs.experiments.variants import Grid
from smooth_recs.measures import catalogue
from smooth_recs.reports import formats
from smooth_recs.workdir.manifest import command

Serving = Mapping[str, Mapping[str, Any]]
"""What `sweep_runs.time_exports` found, by the key of a cell."""


def names() -> list[str]:
    """All that is measured of a variant, in the order of the CSV's columns; of several replicas the mean."""
    return [measure.name for measure in catalogue.swept()]


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished run of a sweep.

    Attributes:
      variant, seed: which.
      key: of its cell.
      measures: by name, None for what it does not have.
      collapsed: why its siblings have learned nothing, one text each; mostly none.
    """

    variant: Variant
    seed: int
    key: str
    measures: Mapping[str, float | None]
    collapsed: Sequence[str] = ()


def finished_runs(grid: Grid, folder: Folder, serving: Serving, allow_collapsed: bool = False) -> list[Run]:
    """The runs that are finished, variant by variant.

    A run with a sibling that has learned nothing, which may make it the most repeatable and the fastest of all, has
    only the measures of its size, as one that has diverged: so no front and no goal counts it. With `allow_collapsed`
    it has them all.
    """
    found = []
    for variant in grid.variants:
        for seed in grid.seeds:
            if folder.is_finished(cell := grid.cell(variant, seed)):
                metrics = folder.metrics(cell)
                collapsed = [f"replica {e['replica']} {e['reason']}" for e in metrics.get("collapsed") or ()]
                measures = measures_of(metrics, serving.get(cell.key, {}))
                if collapsed and not allow_collapsed:
                    sizes = {measure.name for measure in catalogue.of("size")}
                    measures = {name: value if name in sizes else None for name, value in measures.items()}
                found.append(Run(variant, seed, cell.key, measures, collapsed))
    return found


def measures_of(metrics: Mapping[str, Any], milliseconds: Mapping[str, Any]) -> dict[str, float | None]:
    """The measures of a run, by name.

    Args:
      metrics: the content of its `metrics.json`.
      milliseconds: of its export, by the number of rows, as `sweep_runs.time_exports` found them; empty: not timed.
    """
    return {
        measure.name: (measure.within(milliseconds) or {}).get("median")
        if measure.family == "serving"
        else measure.read(metrics)
        for measure in catalogue.swept()
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
      is on no line), `measures`, `changes`, `workdirs` by seed (None for a run that is not finished), and `collapsed`,
      the reasons by seed (see `finished_runs`); `tuned`, see `tuning.tuned`; `config`, what all have in common; `data`,
      `versions`, `command`.
      A measure has `of_seeds` (None for a run that is not finished, or does not have it), and, over the finished runs,
      `value`, their mean, and `interval` (`prediction_difference.interval_over_seeds`; None for a single run). A change
      is from the baseline, over the seeds that both have: `value` and `interval` of the difference, `percent` and
      `percent_interval` of the difference as a share of the baseline (0.01 is 1%). What is not known is None.
    """
    runs = finished_runs(grid, folder, serving or {}, sweep.allow_collapsed)
    by_seed: dict[str, _BySeed] = {variant.name: dict.fromkeys(grid.seeds) for variant in grid.variants}
    for run in runs:
        by_seed[run.variant.name][run.seed] = run.measures
    baseline = by_seed[sweep.baseline]
    manifest = _files.read_json(os.path.join(folder.workdir(grid.cell(runs[0].variant, runs[0].seed)), "manifest.json"))
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
                "measures": {
                    name: {
                        **paired.measured([run[name] for run in by_seed[variant.name].values() if run is not None]),
                        "of_seeds": [None if run is None else run[name] for run in by_seed[variant.name].values()],
                    }
                    for name in names()
                },
                "changes": {name: _change(by_seed[variant.name], baseline, name) for name in names()},
                "workdirs": [
                    f"cells/{grid.cell(variant, seed).key}" if by_seed[variant.name][seed] is not None else None
                    for seed in grid.seeds
                ],
                "collapsed": {run.seed: run.collapsed for run in runs if run.variant is variant and run.collapsed},
            }
            for variant in grid.variants
        ],
        "tuned": list(sweep.tuned),
        "config": grid.config.to_dict(),
        "data": manifest["data"],
        "versions": manifest["versions"],
        "command": command(),
    }
    # As one reads it back from the file, tuples as lists, so that a report is the same from either.
    plain: dict[str, Any] = json.loads(json.dumps(found))
    return plain


_BySeed = dict[int, Mapping[str, float | None] | None]
"""The measures of a variant by seed, None where its run is not finished."""


def _change(runs: _BySeed, baseline: _BySeed, name: str) -> dict[str, Any]:
    both = [(run[name], base[name]) for run, base in zip(runs.values(), baseline.values(), strict=True) if run and base]
    ours, theirs = [value for value, _ in both], [base for _, base in both]
    differences, shares = paired.differences(ours, theirs), paired.ratios(ours, theirs)
    return {
        "value": paired.mean(differences),
        "percent": paired.mean(shares),
        "interval": paired.interval(differences),
        # No measure is below 0, so that none can fall by more than all of it; Student's t does not know that.
        "percent_interval": paired.interval(shares, least=-1.0),
    }


def varied_fields(grid: Grid) -> list[str]:
    """The fields that any variant sets."""
    return list(dict.fromkeys(path for variant in grid.variants for path in variant.fields))


def write_csv(grid: Grid, runs: Sequence[Run], path: str) -> None:
    """Writes a row for each run: its variant, seed and workdir, the fields that are varied, and its measures."""
    varied = varied_fields(grid)
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(["variant", "label", "line", "width", "seed", "workdir", *varied, *names()])
    for run in runs:
        variant = run.variant
        about = [variant.name, variant.label, variant.line, variant.width, run.seed, f"cells/{run.key}"]
        fields = [variant.fields.get(field) for field in varied]
        rows.writerow([*about, *fields, *(run.measures[measure] for measure in names())])
    _files.write_text(path, text.getvalue())


def write_tensorboard(grid: Grid, runs: Sequence[Run], path: str) -> None:
    """Writes a folder of summaries for each run, and summaries that tell what the columns are; replaces `path`."""
    from tensorboard.plugins.hparams import api  # type: ignore[import-untyped]  # slow to load

    varied = varied_fields(grid)
    # Written beside the folder and renamed, so that a reader never sees half of it and a killed command leaves the old
    # one.
    with _files.hidden_folder(_paths.parent(path)) as hidden:
        beside = os.path.join(hidden, os.path.basename(path))
        with _summaries(beside):
            columns = [api.HParam("variant"), *(api.HParam(field) for field in varied), api.HParam("seed")]
            api.hparams_config(columns, [api.Metric(measure) for measure in names()])
        for run in runs:
            name = f"{run.variant.name}, seed {run.seed}"
            with _summaries(os.path.join(beside, name.replace(os.sep, "_"))):
                # HParams takes numbers and texts only (TensorBoard of TensorFlow 2.21).
                fields = {
                    field: value if isinstance(value, bool | int | float | str) else formats.setting(value)
                    for field, value in run.variant.fields.items()
                }
                api.hparams({"variant": run.variant.name, **fields, "seed": run.seed}, trial_id=name)
                for measure, value in run.measures.items():
                    if value is not None:
                        tf.summary.scalar(measure, value, step=0)
        if _files.exists(path):
            _files.remove_folder(path)
        _files.place(beside, path)


@contextlib.contextmanager
def _summaries(path: str) -> Iterator[None]:
    with contextlib.closing(tf.summary.create_file_writer(path)) as writer, writer.as_default():
        yield
