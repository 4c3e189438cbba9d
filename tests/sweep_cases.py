"""Results of sweeps that were never trained: their measures are made up, so that what is true of them is known."""

from __future__ import annotations

import json
import statistics

from smooth_recs import prediction_difference
from smooth_recs.config import Config, Data, Model
from smooth_recs.experiments import sweeps
from smooth_recs.experiments.cells import Folder
from smooth_recs.experiments.sweeps import Sweep, sweep_runs
from smooth_recs.experiments.variants import grid_of


def results(measures, *, labels=None, lines=None, seeds=None):
    """As `results.json`, from {variant: {measure: [a value a seed, or None]}}; the first variant is the baseline.

    `lines` has (line, width) by variant.
    """
    baseline = next(iter(measures))
    count = len(next(iter(measures[baseline].values())))
    return {
        "baseline": baseline,
        "seeds": list(seeds or range(1, count + 1)),
        "variants": [
            {
                "name": name,
                "label": (labels or {}).get(name, name),
                "fields": {"model.activation": name},
                "line": (lines or {}).get(name, (None, None))[0],
                "width": (lines or {}).get(name, (None, None))[1],
                "measures": {measure: measured(values) for measure, values in of_variant.items()},
                "changes": {
                    measure: change(values, measures[baseline][measure]) for measure, values in of_variant.items()
                },
            }
            for name, of_variant in measures.items()
        ],
        "config": Config().to_dict(),
        "data": {"fingerprint": "abc", "rows": 1100},
        "versions": {"smooth_recs": "1"},
        "command": "python -m smooth_recs.bin.sweep",
    }


def measured(values):
    known = [value for value in values if value is not None]
    return {"of_seeds": list(values), "value": mean(known), "interval": interval(known)}


def change(values, baseline):
    pairs = [(ours, base) for ours, base in zip(values, baseline, strict=True) if None not in (ours, base)]
    differences = [ours - base for ours, base in pairs]
    shares = [ours / base - 1 for ours, base in pairs if base]
    return {
        "value": mean(differences),
        "interval": interval(differences),
        "percent": mean(shares),
        "percent_interval": interval(shares),
    }


def mean(values):
    return statistics.fmean(values) if values else None


def interval(values):
    return list(prediction_difference.interval_over_seeds(values)) if len(values) > 1 else None


MANIFEST = {"data": {"fingerprint": "abc", "rows": 1010}, "versions": {"smooth_recs": "1"}}


PDS = {"relu": (0.10, 0.12, 0.14), "smelu:0.1": (0.05, 0.06, 0.07), "smelu:0.2": (0.04, 0.06, 0.05)}


def sweep(pairs=3, **arguments):
    """ReLU and two widths of SmeLU, small."""
    variants = [*sweeps.activation("relu"), *sweeps.activation("smelu", 0.1, 0.2)]
    config = Config(seed=4, data=Data(examples=1000, eval_examples=10), model=Model(hidden_units=(8,)))
    return Sweep(config, variants, "relu", pairs, **arguments)


def finish(folder, cell, pd, **more):
    """Leaves what a run of a cell leaves."""
    workdir = folder / "cells" / cell.key
    workdir.mkdir(parents=True, exist_ok=True)
    replicas = [
        {"auc_loss": 0.25 + pd, "log_loss": 0.3, "per_query_auc_loss": None, "calibration": 1.0},
        {"auc_loss": 0.25 - pd, "log_loss": 0.34, "per_query_auc_loss": 0.4, "calibration": 1.2},
    ]
    metrics = {"pd": {"relative": pd, "after_matching_means": pd / 2}, "replicas": replicas, "exports": [], **more}
    (workdir / "metrics.json").write_text(json.dumps(metrics))
    (workdir / "manifest.json").write_text(json.dumps(MANIFEST))


def written(of_sweep, path, left_out=(), **more):
    """The results of a sweep whose runs have the PDs of `PDS`, written into `path`."""
    grid = grid_of(of_sweep)
    for variant in of_sweep.variants:
        for seed, pd in zip(of_sweep.seeds, PDS[variant.name], strict=False):
            if (variant.name, seed) not in left_out:
                finish(path, grid.cell(variant, seed), pd, **more)
    return sweep_runs.write(of_sweep, grid, Folder(str(path)), str(path))


WIDTHS = {
    "relu": (0.120, 0.2500),
    "smelu:0.2": (0.070, 0.2510),
    "smelu:0.05": (0.100, 0.2480),
    "smelu:0.1": (0.084, 0.2490),
    "softplus:5.0": (0.066, 0.2800),
    "softplus:20.0": (0.078, 0.2600),
}


LABELS = {name: name.replace(":", " ").replace("relu", "ReLU").replace("smelu", "SmeLU") for name in WIDTHS}


LINES = {name: (name.split(":")[0].title(), float(name.split(":")[1])) for name in WIDTHS if ":" in name}


NOISE = (0.0, 0.002, -0.002)


COSTS = {"parameters": 1234567, "multiply_adds": 54321, "lookups": 5, "examples_per_second": 9e4, "serving_ms_1": 0.2}


def figure_4(table=WIDTHS, pairs=3, **others):
    """The results of variants with PD and loss as in `table`, on the lines that their names tell."""

    def of_variant(pd, loss):
        shared = {
            "pd": [pd + noise for noise in NOISE[:pairs]],
            "per_query_auc_loss": [loss * (1 + noise / 4) for noise in NOISE[:pairs]],
            "auc_loss": [loss - 0.01] * pairs,
            "calibration": [1.01] * pairs,
        }
        return {**shared, **{name: [value] * pairs for name, value in COSTS.items()}}

    return results(
        {name: of_variant(*point) for name, point in table.items()}, **{"labels": LABELS, "lines": LINES, **others}
    )
