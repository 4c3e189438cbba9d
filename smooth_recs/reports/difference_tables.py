"""All measures of difference, recommendations and the estimate from one model, as tables that say what each means."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from smooth_recs.reports.formats import count, percent, points, short
from smooth_recs.reports.table import Cell, Format, Table, interval, measured, number
from smooth_recs.workdir.finished_runs import Run

Row = tuple[str, str, Format, str]  # key in metrics.json, name, format, meaning


def _any_size(value: Any) -> str:
    return "infinite" if value == math.inf else short(value)


_DIFFERENCES: Sequence[Row] = (
    ("relative", "Relative (PD)", percent, "|a − b| divided by the mean of a and b: the measure of this page"),
    ("after_matching_means", "Relative, means matched", percent, "what remains without a shift that all share"),
    ("quantiles.0.5", "Relative, median example", percent, "half of the examples differ by no more"),
    ("quantiles.0.9", "Relative, 90% of examples", percent, "differ by no more than this"),
    ("quantiles.0.99", "Relative, 99% of examples", percent, "differ by no more than this"),
    ("relative_norm_1", "Relative to the mean, L1", percent, "mean distance from the mean of all; half of PD for two"),
    ("relative_norm_2", "Relative to the mean, L2", percent, "the same with squares: far-off models count more"),
    ("absolute", "Absolute", points, "|a − b|, in percentage points of probability"),
    ("standard_deviation", "Standard deviation", points, "of an example's predictions, in the same points"),
    ("logit_difference", "Logits", _any_size, "|logit a − logit b|: shifts of the log odds"),
    ("kl", "KL divergence", _any_size, "information lost when one model stands for the other, in nats"),
    ("jensen_shannon", "Jensen-Shannon", _any_size, "the same in both directions, never above 0.69 nats"),
    ("flips", "Classification flips", percent, "examples on different sides of the threshold"),
)
_LISTS: Sequence[Row] = (
    ("k", "Length of the lists (k)", count, ""),
    ("swap_rate", "Swap rate", percent, "requests whose ordered top k differs"),
    ("swap_rate_interval", "Swap rate, 95% interval", percent, "over held-out requests, for these very models"),
    ("top_k_overlap", "Overlap", percent, "of the two top k, in whatever order"),
    ("kendall_distance", "Kendall distance", percent, "pairs of rows of a request in different order"),
    ("requests", "Requests", count, ""),
    ("single_row_requests", "of a single row", count, "which cannot change"),
)
_ESTIMATES = {
    "units": ("Every unit", "only for the model it is fitted on"),
    "summaries": ("Summaries of each layer", "do not depend on the order of the units"),
    "prediction_only": ("The prediction alone", "what one knows without looking inside"),
}


def differences(runs: Sequence[Run]) -> Table:
    """Every statistic of `prediction_difference.statistics` that is one number, a column a run."""
    return _table([run.pd for run in runs], _DIFFERENCES, [run.label for run in runs])


def recommendations(runs: Sequence[Run]) -> Table:
    """How much lists of recommendations differ, a column a run; no rows where no run has requests."""
    return _table([run.metrics.get("recommendations") or {} for run in runs], _LISTS, [run.label for run in runs])


def estimates(runs: Sequence[Run]) -> list[Table]:
    """How well each example's PD is foreseen from one model, a table a run that tried."""
    tables = []
    for run in runs:
        found = (run.metrics.get("pd_estimate") or {}).get("rank_correlation") or {}
        names = {key: _ESTIMATES.get(key, (key, "")) for key in found}
        rows = {
            names[key][0]: [number(each.get("value"), short), interval(each.get("interval"), short)]
            for key, each in found.items()
            if each
        }
        if measured(rows):
            notes = {name: meaning for name, meaning in names.values() if meaning}
            title = run.label if len(runs) > 1 else ""
            tables.append(Table(("Estimated from", "Rank correlation", "95% interval"), rows, title, notes=notes))
    return tables


def _table(found: Sequence[Mapping[str, Any]], rows: Sequence[Row], labels: Sequence[str]) -> Table:
    cells = measured({name: [_cell(each, key, text) for each in found] for key, name, text, _ in rows})
    notes = {name: meaning for _, name, _, meaning in rows if meaning}
    return Table(("", *(labels if len(labels) > 1 else ["Value"])), cells, notes=notes)


def _cell(found: Mapping[str, Any], key: str, text: Format) -> Cell:
    head, _, quantile = key.partition(".")
    value = found.get(head)
    if quantile:
        value = (value or {}).get(quantile)
    if value is None and text is _any_size and key in found:
        value = math.inf  # metrics.json has null for it
    return interval(value, text) if isinstance(value, list) else number(value, text)
