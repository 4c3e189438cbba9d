"""How long exports take to answer, one beside the other in one process, so that what else runs here slows all alike.

What the runs of a sweep have measured: `results.json`, by variant, and `results.csv`, a row a run.

The runs of a sweep for TensorBoard's HParams page: what was varied, and what came of it.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from smooth_recs._files import read_json, whole_file
from smooth_recs.artifacts.exports import SavedModel
from smooth_recs.config import Data
from smooth_recs.data.presets import open_source
from smooth_recs.experiments import variants
from smooth_recs.experiments.cells import Folder
from smooth_recs.experiments.sweeps.sweep_plan import Sweep, Variant
from smooth_recs.experiments.sweeps.sweep_runs import Grid
from smooth_recs.measures import catalogue
from smooth_recs.reports import formats
from smooth_recs.workdir.manifest import command

BATCHES = tuple(int(measure.key) for measure in catalogue.of("serving"))  # rows a request
_ROUNDS = 40
_CALLS = {1: 10, 1000: 2}  # of a model in a round

Rows = Mapping[str, Any]


def measure(exports: Mapping[str, str], rows: Mapping[str, Rows]) -> dict[str, dict[str, dict[str, float]]]:
    """Milliseconds of a call, by the exports' names and the number of rows.

    Every round calls each export in turn, each time beginning with another one. The clock is around the signature as
    Python calls it, answer included: some tenths of a millisecond of each number are Python's.

    Args:
      exports: folders of SavedModels by name.
      rows: for each of them raw features by name, tensors of at least 1,000 rows, or fewer where there are no more.

    Returns:
      For each name and number of rows, as a text, `median`, and `low` and `high`, between which nine tenths of the
      calls took.

    ```python
    rows = serving_cost.some_rows(config.data, "runs/cache")
    measure({"relu": "runs/relu/export/replica_0/1"}, {"relu": rows})["relu"]["1"]
    ```
    """
    models = [SavedModel(name, path) for name, path in exports.items()]
    given = [rows[name] for name in exports]
    took: list[dict[int, list[float]]] = [{batch: [] for batch in BATCHES} for _ in models]
    for turn in range(_ROUNDS + 1):
        for batch in BATCHES:
            for k in _from(turn, len(models)):
                seconds = [_call(models[k], given[k], batch, turn + call) for call in range(_CALLS[batch])]
                if turn:  # the first one traces, and fills caches
                    took[k][batch] += seconds
    for model in models:
        model.close()
    return {
        name: {str(batch): _milliseconds(seconds) for batch, seconds in of_model.items()}
        for name, of_model in zip(exports, took, strict=True)
    }


def some_rows(data: Data, cache: str) -> Rows:
    """The first held-out rows, raw, as many as the largest batch has."""
    source = open_source(data, cache)
    rows: Rows = next(iter(source.holdout(raw=True).rebatch(max(BATCHES))))["raw"]
    return rows


def of_run(workdir: str, metrics: Mapping[str, Any]) -> str | None:
    """The export of a finished run's first sibling; None where it is not there any more."""
    paths = [os.path.join(workdir, path) for path in metrics["exports"][:1]]
    return next((path for path in paths if os.path.isdir(path)), None)


def _from(turn: int, models: int) -> Sequence[int]:
    return [(turn + k) % models for k in range(models)]


def _call(model: SavedModel, rows: Rows, batch: int, number: int) -> float:
    """Seconds of one answer; of single rows another one each time."""
    assert model.inputs is not None
    start = number % max(1, len(next(iter(rows.values()))) - batch + 1)
    features = {name: tf.identity(rows[name][start : start + batch]) for name in model.inputs}
    begin = time.perf_counter()
    np.asarray(model(features))
    return time.perf_counter() - begin


def _milliseconds(seconds: Sequence[float]) -> dict[str, float]:
    low, median, high = np.quantile(seconds, (0.05, 0.5, 0.95)) * 1000
    return {"median": float(median), "low": float(low), "high": float(high)}


Serving = Mapping[str, Mapping[str, Any]]
"""By the key of a cell what `serving_cost.measure` found."""


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
    return {**variants.measured(finished), "of_seeds": of_seeds}


def _change(runs: Measured, baseline: Measured, name: str) -> dict[str, Any]:
    pairs = [
        (run[name], base[name]) for run, base in zip(runs.values(), baseline.values(), strict=True) if run and base
    ]
    ours, theirs = [value for value, _ in pairs], [base for _, base in pairs]
    differences = variants.differences(ours, theirs)
    shares = variants.ratios(ours, theirs)
    return {
        "value": variants.mean(differences),
        "percent": variants.mean(shares),
        "interval": variants.interval(differences),
        "percent_interval": variants.interval(shares, least=-1.0),  # no measure is below 0
    }


def write(grid: Grid, runs: Sequence[Run], path: str) -> None:
    """Writes a folder of summaries for each run, and summaries that tell what the columns are; replaces `path`."""
    from tensorboard.plugins.hparams import api  # type: ignore[import-untyped]  # slow to load

    varied = varied_fields(grid)
    beside = tempfile.mkdtemp(prefix=".writing-", dir=os.path.dirname(path) or ".")
    try:
        with _summaries(beside):
            columns = [api.HParam("variant"), *(api.HParam(field) for field in varied), api.HParam("seed")]
            api.hparams_config(columns, [api.Metric(measure) for measure in names()])
        for run in runs:
            name = f"{run.variant.name}, seed {run.seed}"
            with _summaries(os.path.join(beside, name.replace(os.sep, "_"))):
                fields = {field: _plain(value) for field, value in run.variant.fields.items()}
                api.hparams({"variant": run.variant.name, **fields, "seed": run.seed}, trial_id=name)
                for measure, value in run.measures.items():
                    if value is not None:
                        tf.summary.scalar(measure, value, step=0)
        os.chmod(beside, 0o755)
        shutil.rmtree(path, ignore_errors=True)
        os.rename(beside, path)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise


@contextlib.contextmanager
def _summaries(path: str) -> Iterator[None]:
    with contextlib.closing(tf.summary.create_file_writer(path)) as writer, writer.as_default():
        yield


def _plain(value: Any) -> bool | float | str:
    return value if isinstance(value, bool | int | float | str) else formats.setting(value)
