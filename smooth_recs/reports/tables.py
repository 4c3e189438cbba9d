"""What was measured, as the tables of a report.

All measures of difference, recommendations and the estimate from one model, as tables that say what each means.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from smooth_recs.measures import catalogue
from smooth_recs.measures.catalogue import ACCURACY, PD, PROGRESSIVE
from smooth_recs.reports import formats
from smooth_recs.reports.formats import (
    Format,
    Table,
    TableCell,
    count,
    decimal,
    interval,
    measured,
    number,
    percent,
    short,
    signed,
)
from smooth_recs.workdir.finished_runs import Run, is_number

Change = Callable[[float, float], str]

_INTERVALS = {
    "PD, 95% interval": "with other held-out requests",
    "PD, 95% interval over replicas": "with other replicas of the run",
}
_LAYER_METRICS: Mapping[str, tuple[str, Format]] = {
    "pre_activation_rms": ("Scale (root mean square)", short),
    "transition_share": ("Within the transition", percent),
}


def overview(runs: Sequence[Run]) -> Table:
    """One column a run and, after each but the first, how much it differs from the first."""
    best = [run.metrics.get("best_possible") or {} for run in runs]
    rows = {
        f"{PD.label} ({PD.short})": _compared([PD.read(run.metrics) for run in runs], percent, _relative_change),
        "PD, 95% interval": _beside([interval(run.pd.get("interval")) for run in runs]),
        "PD, 95% interval over replicas": _beside([interval(run.pd.get("interval_over_replicas")) for run in runs]),
        **{
            each.label: _compared([each.read(run.metrics) for run in runs], formats.of(each), _relative_change)
            for each in catalogue.swept("difference")
            if each is not PD
        },
        **{
            each.label: _compared([run.mean(each.name) for run in runs], formats.of(each), _absolute_change)
            for each in catalogue.of(*ACCURACY)
        },
        **{
            f"{each.label} of the true probabilities": _compared([found.get(each.name) for found in best], decimal)
            for each in catalogue.held_out()
            if each.family in ACCURACY
        },
        "Training examples": _compared([run.metrics.get("examples") for run in runs], count),
        **{
            each.label: _compared([each.read(run.metrics) for run in runs], formats.of(each))
            for each in catalogue.of("training")
        },
    }
    names = [name for run in runs for name in (run.label, "Change")]
    return Table(("", names[0], *names[2:]), measured(rows), notes=_INTERVALS)


def replicas(runs: Sequence[Run]) -> Table:
    """One column a replica, every metric that metrics.json has."""
    every = [replica for run in runs for replica in run.replicas]
    rows = {
        each.label: [number(replica.get(each.name), formats.of(each)) for replica in every]
        for each in catalogue.of(*ACCURACY)
    }
    others = [key for key in dict.fromkeys(key for replica in every for key in replica) if key not in catalogue.BY_NAME]
    rows |= {key: [number(replica.get(key), decimal) for replica in every] for key in others}
    names = [
        f"{run.label}, {replica}" if len(runs) > 1 else f"Replica {replica}"
        for run in runs
        for replica in range(len(run.replicas))
    ]
    return Table(("", *names), measured(rows))


def pairs(runs: Sequence[Run]) -> list[Table]:
    """PD of each pair of replicas, for runs with more than one pair."""
    return [
        Table(
            ("Replicas", "PD"),
            {f"{a} and {b}": [number(relative, percent)] for a, b, relative in run.pd["pairs"]},
            _title(run, runs),
        )
        for run in runs
        if len(run.pd.get("pairs") or ()) > 1
    ]


def histogram(runs: Sequence[Run]) -> list[Table]:
    """Share of the examples in each bin of PD, up to the last bin that has any."""
    tables = []
    for run in runs:
        bins = run.pd.get("histogram") or {}
        edges, counts = bins.get("edges") or [], bins.get("counts") or []
        last = max((index + 1 for index, examples in enumerate(counts) if examples), default=0)
        rows = {
            f"{percent(edges[index])} to {percent(edges[index + 1])}": [number(counts[index] / sum(counts), percent)]
            for index in range(last)
        }
        if rows:
            tables.append(Table(("PD of an example", "Examples"), rows, _title(run, runs)))
    return tables


def history(runs: Sequence[Run]) -> list[Table]:
    """What was measured on held-out rows while training, a row a step."""
    return _curves(runs, {each.name: (each.short, formats.of(each)) for each in catalogue.held_out()})


def progressive(runs: Sequence[Run]) -> list[Table]:
    """What was measured on rows that no replica had trained on yet, a row a step."""
    watched = catalogue.progressive()
    return _curves(runs, {PROGRESSIVE + each.name: (each.short, formats.of(each)) for each in watched})


def words() -> dict[str, str]:
    """What a page explains, by the label of each measure: accuracies first, then differences."""
    measures = catalogue.of(*ACCURACY, "difference", "recommendations")
    return {each.label: each.meaning for each in measures if each.meaning}


def layers(runs: Sequence[Run]) -> list[Table]:
    """The scale of the pre-activations of each hidden layer."""
    return [
        _records("Layer", "name", run.metrics["layers"], _LAYER_METRICS, _title(run, runs))
        for run in runs
        if run.metrics.get("layers")
    ]


def _curves(runs: Sequence[Run], metrics: Mapping[str, tuple[str, Format]]) -> list[Table]:
    """A table a run that has any of the metrics, of the steps at which it has."""
    tables = []
    for run in runs:
        entries = [entry for entry in run.history if any(is_number(entry.get(metric)) for metric in metrics)]
        if entries:
            tables.append(_records("Step", "step", entries, metrics, _title(run, runs)))
    return tables


def _records(
    head: str, key: str, records: Sequence[Mapping[str, Any]], metrics: Mapping[str, tuple[str, Format]], title: str
) -> Table:
    """One row a record, named by its `key`; the columns are the metrics that any record has."""
    known = {metric: how for metric, how in metrics.items() if any(is_number(each.get(metric)) for each in records)}
    rows = {
        count(record[key]) if is_number(record[key]) else str(record[key]): [
            number(record.get(metric), text) for metric, (_, text) in known.items()
        ]
        for record in records
    }
    return Table((head, *(name for name, _ in known.values())), rows, title)


def _compared(values: Sequence[Any], text: Format, change: Change | None = None) -> list[TableCell]:
    first, comparable = values[0], change is not None and is_number(values[0])
    changes = [change(value, first) if change and comparable and is_number(value) else "" for value in values[1:]]
    return _beside([number(value, text) for value in values], changes)


def _beside(cells: Sequence[TableCell], changes: Sequence[str] = ()) -> list[TableCell]:
    """Each cell but the first with its change from the first."""
    said = [*changes, *[""] * (len(cells) - 1 - len(changes))]
    pairs = zip(cells[1:], (TableCell((text,)) for text in said), strict=True)
    return [cells[0], *(cell for pair in pairs for cell in pair)]


def _relative_change(value: float, baseline: float) -> str:
    return signed(f"{abs(value / baseline - 1):.0%}", value - baseline) if baseline else ""


def _absolute_change(value: float, baseline: float) -> str:
    return signed(decimal(abs(value - baseline)), value - baseline)


def _title(run: Run, runs: Sequence[Run]) -> str:
    return run.label if len(runs) > 1 else ""


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
    family: catalogue.Family, sections: Sequence[Mapping[str, Any]]
) -> tuple[dict[str, list[TableCell]], dict[str, str]]:
    """The measures of a family, each followed by its interval where it has one of its own, and notes on them."""
    rows, notes = {}, {}
    for measure in catalogue.of(family):
        name, text = measure.row or measure.label, formats.of(measure)
        rows[name], notes[name] = [_cell(measure, section, text) for section in sections], measure.note
        ends = [section.get(f"{measure.name}_interval") for section in sections]
        if any(ends):
            rows[f"{name}, 95% interval"] = [interval(each, text) for each in ends]
            notes[f"{name}, 95% interval"] = "over held-out requests, for these very models"
    return rows, notes


def _cell(measure: catalogue.Measure, section: Mapping[str, Any], text: Format) -> TableCell:
    value = measure.within(section)
    if value is None and measure.form == "unbounded" and measure.name in section:
        value = math.inf  # metrics.json has null for it
    return number(value, text)
