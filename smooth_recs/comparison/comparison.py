"""A comparison from its settings to its files: measures the matched rows, prints a summary, and judges the gates."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from smooth_recs import _files, extras
from smooth_recs.artifacts import exports
from smooth_recs.artifacts.prediction_files import SLICE
from smooth_recs.comparison import predictions, rows
from smooth_recs.comparison.rows import Matched, match
from smooth_recs.comparison.settings import FREQUENCY, Settings, Shard, Side
from smooth_recs.errors import GateNotMet, InputError
from smooth_recs.measures import catalogue, gates, held_out, increases, predictive_churn
from smooth_recs.measures.gates import Gate
from smooth_recs.workdir import manifest

INCREASES = [measure.name for measure in catalogue.of() if measure.name in increases.TERMS]
_MEASURED = ("prediction", "label", "weight", "query_id", "true_probability")


def compare(settings: Settings) -> dict[str, Any]:
    """Compares two models over the same rows; writes JSON, HTML beside it, and prints a summary.

    Where `settings.shard` is given, it only predicts that part, leaves it beside the output and returns {}.
    Without the extra [report] there is no HTML.

    Returns:
      The content of the JSON file.

    Raises:
      InputError: the flags, the files or the models are not what they must be.
      GateNotMet: a gate is not met; the files are written all the same.

    ```python
    from smooth_recs.comparison.comparison import compare
    from smooth_recs.comparison.settings import Settings

    comparison = compare(Settings("baseline.csv", "new.csv", "comparison.json"))
    comparison["pd"]["relative"]
    ```
    """
    _files.check_output("--output", settings.output)
    both = [exports.identify("--a", settings.a), exports.identify("--b", settings.b)]
    if settings.merge:
        a, b, data = rows.load_shards(settings, both)
        predictions.check_measurable(settings, {*a.columns, *b.columns})
    else:
        a, b, data = predictions.gather(settings, both, settings.shard or Shard())
    if settings.shard:
        print(f"shard        {rows.save_shard(settings, settings.shard, a, b, data)}")
        return {}
    comparison = measure(settings, a, b, match(a, b), data)
    _files.write_json(settings.output, comparison)
    report = settings.html
    if extras.installed("report"):
        from smooth_recs.reports import comparison_report

        comparison_report.write(comparison, report)
    else:
        report = f"none: {extras.remedy('report')}"
    print(f"{summary(comparison)}\nresults      {settings.output}\nreport       {report}")
    # Last: whoever a gate stops wants to see in the files why.
    failure = gates.failure(gates_of(comparison), "--", collapsed(comparison, settings))
    if failure:
        raise GateNotMet(failure)
    return comparison


def measure(settings: Settings, a: Side, b: Side, matched: Matched, data: dict[str, Any] | None) -> dict[str, Any]:
    """The content of the file `--output`.

    Args:
      settings: what is asked for.
      a, b: the two sides.
      matched: their rows that have a counterpart.
      data: what is to be said of the rows' origin.

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
    increase: dict[str, Any] = dict.fromkeys(INCREASES)  # None without labels
    flips: dict[str, float | None] = dict.fromkeys(predictive_churn.FLIPS)
    if "label" in columns:
        a_predicted, b_predicted = columns["prediction"].T
        weight, query = columns.get("weight"), columns.get("query_id")
        for name, function in predictive_churn.FLIPS.items():
            threshold = settings.evaluation.threshold
            flips[name] = function(columns["label"], a_predicted, b_predicted, weight, threshold=threshold)
        for name in INCREASES:
            increase[name] = increases.increase(
                name, columns["label"], a_predicted, b_predicted, weight, query_id=query
            )
    with settings.named_as_given():
        judged = gates.judge(settings.limits, gates.measured(metrics, increase))
    origins = [{"path": side.artifact.path, "kind": side.artifact.kind, "rows": side.total} for side in (a, b)]
    return {
        "a": origins[0],
        "b": origins[1],
        "rows": len(columns["prediction"]),
        "only_in_a": matched.only_in_a,
        "only_in_b": matched.only_in_b,
        "replicas": metrics["replicas"],
        "collapsed": metrics["collapsed"],
        "increase": increase,
        "directional_flips": flips,
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


def gates_of(comparison: Mapping[str, Any]) -> list[Gate]:
    """The gates that a comparison was held against, with what was measured."""
    return [Gate(gate["name"], gate["limit"], gate["value"]) for gate in comparison["gates"]]


def collapsed(comparison: Mapping[str, Any], settings: Settings) -> str | None:
    """Why the new model meets no gate whatever was measured; None where it may, and where no gate is asked for."""
    if settings.allow_collapsed or not comparison["gates"]:
        return None
    return next((each["reason"] for each in comparison["collapsed"] if each["replica"] == 1), None)


def summary(comparison: Mapping[str, Any]) -> str:
    """The lines that `smooth_recs.bin.compare` prints."""
    difference, lists = comparison["pd"], comparison["recommendations"]
    over = "requests" if lists else "rows"
    lines = [
        f"rows         {comparison['rows']:,} matched, {comparison['only_in_a']:,} only in a, "
        f"{comparison['only_in_b']:,} only in b",
        f"relative PD  {difference['relative']:.2%}{_between(difference['interval'], '.2%', f'95% over {over}: ')}",
    ]
    for name, increase in comparison["increase"].items():
        if increase:
            a, b = (replica[name] for replica in comparison["replicas"])
            # Rounded before it is written, and + 0.0, so that nothing is -0.0000.
            change, *rounded = (round(value, 4) + 0.0 for value in (increase["value"], *(increase["interval"] or ())))
            title = catalogue.BY_NAME[name].terminal or catalogue.BY_NAME[name].inside
            lines.append(f"{title:11}  {a:.4f} to {b:.4f}: {change:+.4f}{_between(rounded or None, '+.4f')}")
    if lists:
        ends = _between(lists["swap_rate_interval"], ".2%")
        lines.append(f"swap rate    {lists['swap_rate']:.2%} of the top {lists['k']}{ends}")
    lines += [f"warning      {'ab'[each['replica']]} {each['reason']}" for each in comparison["collapsed"]]
    lines += [f"gate         --{gate}{', met' * gate.met}" for gate in gates_of(comparison)]
    return "\n".join(lines)


def _between(interval: Sequence[float] | None, form: str, over: str = "") -> str:
    """An interval in brackets, to follow its value; empty where there is none, as for the rows of one request."""
    return "" if interval is None else f" ({over}{interval[0]:{form}} to {interval[1]:{form}})"
