"""Values at which each activation of a sweep does best, such as learning rates, found before the pairs are trained.

One learning rate for all activations favours the one that it was chosen for. With `Sweep.tune`, a single model is
trained for every combination of the values, for ReLU and for the middle width of each other activation, and scored on
validation rows: rows that the pairs train on later, so that the held-out rows choose nothing. All widths of an
activation then take the values that were best for its middle one.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from smooth_recs.config import Config
from smooth_recs.experiments.cells import Cell, Folder
from smooth_recs.experiments.sweeps.sweep_plan import Sweep, Variant
from smooth_recs.experiments.variants import Grid, with_fields
from smooth_recs.workdir.finished_runs import is_number

# The share of the training rows that choose, where the configuration has no validation rows of its own.
VALIDATION_SHARE = 0.2
_SINGLE = {
    "siblings.replicas": 1,
    "train.max_pd": 0.0,  # a single model has no PD
    "train.evaluations": 0,  # at the end of each epoch only
    "evaluation.slices": (),
    "evaluation.estimate": False,
}


def tuned(sweep: Sweep, folder: Folder) -> Sweep:
    """The sweep with the values of `tune` that are best for each of its variants; trains what is not finished.

    Returns:
      A sweep without `tune`, whose `tuned` says what was tried: for each variant that stood for others `label`,
      `variants` (the names of all that take its values), `measure`, `tried` (each with `fields` and `value`, None where
      a training diverged), `fields` (the best), and `edges`, the fields whose best value is the smallest or largest of
      three or more.

    Raises:
      InputError: a value breaks a rule, or every training of a variant diverged.
      RuntimeError: a run failed.
    """
    if not sweep.tune:
        return sweep
    plan = _plan(sweep)
    folder.run([cell for _, tried in plan for _, cell in tried])
    found, fields_of = [], {}
    for line, tried in plan:
        scores = [_score(cell.config, folder.metrics(cell)) for _, cell in tried]
        best = min(range(len(tried)), key=scores.__getitem__)
        if math.isinf(scores[best]):
            raise RuntimeError(f"{line[0].label}: every training with the values of tune diverged")
        fields = tried[best][0]
        fields_of.update({variant.name: fields for variant in line})
        found.append(
            {
                "label": _middle(line).label,
                "variants": [variant.name for variant in line],
                "measure": sweep.config.train.best,
                "tried": [
                    {"fields": dict(each), "value": None if math.isinf(score) else abs(score)}
                    for (each, _), score in zip(tried, scores, strict=True)
                ],
                "fields": dict(fields),
                "edges": [
                    path
                    for path, values in sweep.tune.items()
                    if len(values) > 2 and all(map(is_number, values)) and fields[path] in (min(values), max(values))
                ],
            }
        )
    variants = [
        dataclasses.replace(each, fields={**fields_of.get(each.name, {}), **each.fields}) for each in sweep.variants
    ]
    return dataclasses.replace(sweep, variants=variants, tune={}, tuned=tuple(found))


def cells(sweep: Sweep) -> list[Cell]:
    """The runs of single models that `tuned` trains."""
    return [cell for _, tried in _plan(sweep) for _, cell in tried]


_Tried = list[tuple[Mapping[str, Any], Cell]]


def _plan(sweep: Sweep) -> list[tuple[list[Variant], _Tried]]:
    """The values that are tried for each line of variants, or variant without a line, and the runs that do so."""
    if not sweep.tune:
        return []
    lines: dict[str, list[Variant]] = {}
    for variant in sweep.variants:
        # A variant that states a value itself keeps it, and is no other's model.
        if variant.fields.keys().isdisjoint(sweep.tune):
            lines.setdefault(variant.line or f"@{variant.name}", []).append(variant)
    config = _config(sweep.config)
    found = []
    for line in lines.values():
        tried: _Tried = []
        chosen = _middle(line)
        others = [each for each in sweep.variants if each is not chosen]  # one may be the teacher of another
        for values in itertools.product(*sweep.tune.values()):
            fields = dict(zip(sweep.tune, values, strict=True))
            candidate = dataclasses.replace(
                chosen,
                label=", ".join([chosen.label, *(f"{path.rpartition('.')[2]} {fields[path]}" for path in fields)]),
                fields={**chosen.fields, **fields},
            )
            tried.append((fields, Grid(config, [candidate, *others], (config.seed,)).cell(candidate, config.seed)))
        found.append((line, tried))
    return found


def _middle(line: Sequence[Variant]) -> Variant:
    """The variant of the middle width, the narrower one of two."""
    return sorted(line, key=lambda each: each.width or 0.0)[(len(line) - 1) // 2]


def _config(config: Config) -> Config:
    has_rows = config.data.validation_path or config.data.validation_fraction
    return with_fields(config, {**_SINGLE, **({} if has_rows else {"data.validation_fraction": VALIDATION_SHARE})})


def _score(config: Config, metrics: Mapping[str, Any]) -> float:
    """What the validation rows say of a run, less is better: log loss or the negative AUC; infinite where it diverged.

    Without `train.patience` the last measurement counts, since those are the weights that a run keeps.
    """
    name = config.train.best
    sign = -1.0 if name == "auc" else 1.0
    values = [entry[name] for entry in metrics["history"] if name in entry]
    scores = [sign * value if is_number(value) else math.inf for value in values]
    if not scores or metrics.get("diverged"):
        return math.inf
    return min(scores) if config.train.patience else scores[-1]
