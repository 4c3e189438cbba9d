"""Results of sweeps that were never trained: their measures are made up, so that what is true of them is known."""

from __future__ import annotations

import statistics

from smooth_recs import prediction_difference
from smooth_recs.config import Config


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
