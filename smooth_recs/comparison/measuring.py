"""From matched rows to the content of the JSON file."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from smooth_recs.comparison.matching import Matched
from smooth_recs.comparison.settings import Settings, named_as_flags
from smooth_recs.comparison.sides import FREQUENCY, SLICE, Columns, Side
from smooth_recs.errors import InputError
from smooth_recs.measures import gates, held_out, increases, registry
from smooth_recs.workdir import manifest

INCREASES = [measure.name for measure in registry.of() if measure.name in increases.TERMS]
_MEASURED = ("prediction", "label", "weight", "query_id", "true_probability")


def measure(settings: Settings, a: Side, b: Side, matched: Matched, data: dict[str, Any] | None) -> dict[str, Any]:
    """All that `--output` holds.

    Raises:
      InputError: all weights are 0, or a gate is on the AUC loss of one class.
    """
    columns = matched.columns
    if not columns.get("weight", np.ones(1)).any():
        raise InputError("weight must be above 0 in one of the rows that match, got 0 in all")
    metrics = held_out.metrics(
        {role: columns[role] for role in _MEASURED if role in columns},
        evaluation=settings.evaluation,
        slice_columns=matched.group(SLICE),
        frequency=matched.group(FREQUENCY),
        multiplier=columns.get("multiplier"),
    )
    increase: dict[str, Any] = {metric: _increase(metric, columns) for metric in INCREASES}
    with named_as_flags():
        judged = gates.judge(settings.limits, gates.measured(metrics, increase))
    return {
        "a": _origin(a),
        "b": _origin(b),
        "rows": len(columns["prediction"]),
        "only_in_a": matched.only_in_a,
        "only_in_b": matched.only_in_b,
        "replicas": metrics["replicas"],
        "increase": increase,
        "pd": metrics["pd"],
        "recommendations": metrics["recommendations"],
        "slices": metrics["slices"],
        "best_possible": metrics["best_possible"],
        "gates": [gate.as_dict() for gate in judged],
        "data": data,
        "settings": {
            "key": list(settings.key),
            "columns": settings.columns,
            "multiplier": settings.multiplier or None,
            "evaluation": dataclasses.asdict(settings.evaluation) | {"slices": list(settings.evaluation.slices)},
        },
        "versions": manifest.versions(),
        "command": manifest.command(),
    }


def _origin(side: Side) -> dict[str, Any]:
    return {"path": side.artifact.path, "kind": side.artifact.kind, "rows": side.total}


def _increase(metric: str, columns: Columns) -> dict[str, Any] | None:
    """None without labels."""
    if "label" not in columns:
        return None
    a, b = columns["prediction"].T
    query = columns.get("query_id")
    return increases.increase(metric, columns["label"], a, b, columns.get("weight"), query_id=query)
