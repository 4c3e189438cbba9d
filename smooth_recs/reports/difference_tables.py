"""All measures of difference, recommendations and the estimate from one model, as tables that say what each means."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from smooth_recs.measures import registry
from smooth_recs.reports import formats
from smooth_recs.reports.formats import count, short
from smooth_recs.reports.table import Cell, Format, Table, interval, measured, number
from smooth_recs.workdir.finished_runs import Run

_COUNTS = {"requests": ("Requests", ""), "single_row_requests": ("of a single row", "which cannot change")}
_ESTIMATES = {
    "units": ("Every unit", "only for the model it is fitted on"),
    "summaries": ("Summaries of each layer", "do not depend on the order of the units"),
    "prediction_only": ("The prediction alone", "what one knows without looking inside"),
}


def differences(runs: Sequence[Run]) -> Table:
    """Every statistic of `prediction_difference.statistics` that is one number, a column a run."""
    rows, notes = _family("difference", [run.pd for run in runs])
    return Table(("", *_columns(runs)), measured(rows), notes=notes)


def recommendations(runs: Sequence[Run]) -> Table:
    """How much lists of recommendations differ, a column a run; no rows where no run has requests."""
    lists = [run.metrics.get("recommendations") or {} for run in runs]
    rows, notes = _family("recommendations", lists)
    length = {"Length of the lists (k)": [number(each.get("k"), count) for each in lists]}
    counts = {name: [number(each.get(key), count) for each in lists] for key, (name, _) in _COUNTS.items()}
    notes |= {name: note for name, note in _COUNTS.values() if note}
    return Table(("", *_columns(runs)), measured({**length, **rows, **counts}), notes=notes)


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


def _columns(runs: Sequence[Run]) -> list[str]:
    return [run.label for run in runs] if len(runs) > 1 else ["Value"]


def _family(
    family: registry.Family, sections: Sequence[Mapping[str, Any]]
) -> tuple[dict[str, list[Cell]], dict[str, str]]:
    """The measures of a family, each followed by its interval where it has one of its own, and notes on them."""
    rows, notes = {}, {}
    for measure in registry.of(family):
        name, text = measure.row or measure.label, formats.of(measure)
        rows[name], notes[name] = [_cell(measure, section, text) for section in sections], measure.note
        ends = [section.get(f"{measure.name}_interval") for section in sections]
        if any(ends):
            rows[f"{name}, 95% interval"] = [interval(each, text) for each in ends]
            notes[f"{name}, 95% interval"] = "over held-out requests, for these very models"
    return rows, notes


def _cell(measure: registry.Measure, section: Mapping[str, Any], text: Format) -> Cell:
    value = measure.within(section)
    if value is None and measure.form == "unbounded" and measure.name in section:
        value = math.inf  # metrics.json has null for it
    return number(value, text)
