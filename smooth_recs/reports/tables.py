"""Tables of a run's report: everything measured, and where the numbers come from.

Most functions take runs and return one column for each, or one table for each. The first run is the baseline.
"""

from __future__ import annotations

import dataclasses
import math
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from smooth_recs.measures import catalogue
from smooth_recs.measures.catalogue import PD
from smooth_recs.measures.measure import ACCURACY, PROGRESSIVE, Family, Measure
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
    setting,
    short,
    signed,
)
from smooth_recs.workdir.finished_runs import Run, differing, flatten, is_number

_RAW = " of the raw weights"
_NOTES = {
    f"{PD.label}{_RAW}": "as they were trained; everything else is of their averages",
    "PD, 95% interval": "with other held-out requests",
    "PD, 95% interval over replicas": "with other replicas of the run",
    "PD to the live model, 95% interval": "with other held-out requests",
}
_LAYER_METRICS: Mapping[str, tuple[str, Format]] = {
    "pre_activation_rms": ("Scale (root mean square)", short),
    "half_width": ("Half-width of the transition", short),
    "transition_share": ("Within the transition", percent),
}
_REQUEST_COUNTS = {"requests": ("Requests", ""), "single_row_requests": ("of a single row", "which cannot change")}
_ESTIMATES = {
    "units": ("Every unit", "only for the model it is fitted on"),
    "summaries": ("Summaries of each layer", "do not depend on the order of the units"),
    "prediction_only": ("The prediction alone", "what one knows without looking inside"),
}
# Parts of the manifest that have tables of their own.
_OTHER_TABLES = ("versions", "data", "command")


def overview(runs: Sequence[Run]) -> Table:
    """The main measures, one column for each run and, after each but the first, its change from the first."""
    best = [run.metrics.get("best_possible") or {} for run in runs]
    raw = [run.metrics.get("raw") for run in runs]
    rows = {
        f"{PD.label} ({PD.short})": _compared([PD.read(run.metrics) for run in runs], percent, _relative),
        f"{PD.label}{_RAW}": _compared([each and PD.read(each) for each in raw], percent, _relative),
        "PD, 95% interval": _beside([interval(run.pd.get("interval")) for run in runs]),
        "PD, 95% interval over replicas": _beside([interval(run.pd.get("interval_over_replicas")) for run in runs]),
        **{
            each.label: _compared([each.read(run.metrics) for run in runs], formats.of(each), _relative)
            for each in catalogue.swept("difference")
            if each is not PD
        },
        **{
            each.label: _compared([each.read(run.metrics) for run in runs], formats.of(each), _relative)
            for each in catalogue.of("live")
        },
        "PD to the live model, 95% interval": _beside(
            [interval((run.metrics.get("pd_live") or {}).get("interval")) for run in runs]
        ),
        **{
            each.label: _compared([run.mean(each.name) for run in runs], formats.of(each), _absolute)
            for each in catalogue.of(*ACCURACY)
        },
        **{
            f"{each.label}{_RAW}": _compared([known and each.read(known) for known in raw], formats.of(each), _absolute)
            for each in catalogue.leading()
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
    return Table(_heads(runs), measured(rows), notes=_NOTES)


def tasks(runs: Sequence[Run]) -> Table:
    """PD and accuracy of each label after the first, as `overview` has those of the first; no rows without any."""

    def change(measure: Measure) -> Callable[[float, float], str]:
        return _relative if measure.family == PD.family else _absolute

    rows = {}
    for name in dict.fromkeys(name for run in runs for name in run.metrics.get("tasks") or ()):
        found = [(run.metrics.get("tasks") or {}).get(name) for run in runs]
        for each in [PD, *catalogue.swept("recommendations"), *catalogue.swept(*ACCURACY)]:
            values = [known and each.read(known) for known in found]
            rows[f"{name}: {each.short}"] = _compared(values, formats.of(each), change(each))
            if each is PD:
                ends = [((known or {}).get("pd") or {}).get("interval") for known in found]
                rows[f"{name}: PD, 95% interval"] = _beside([interval(both) for both in ends])
    return Table(_heads(runs), measured(rows))


def _heads(runs: Sequence[Run]) -> tuple[str, ...]:
    """The heads of a table of runs, with a column for the change after each but the first."""
    names = [name for run in runs for name in (run.label, "Change")]
    return ("", names[0], *names[2:])


def _relative(value: float, baseline: float) -> str:
    return signed(f"{abs(value / baseline - 1):.0%}", value - baseline) if baseline else ""


def _absolute(value: float, baseline: float) -> str:
    return signed(decimal(abs(value - baseline)), value - baseline)


def _compared(
    values: Sequence[Any], text: Format, change: Callable[[float, float], str] | None = None
) -> list[TableCell]:
    """Cells of all runs, with the changes from the first where `change` writes one."""
    first, comparable = values[0], change is not None and is_number(values[0])
    changes = [change(value, first) if change and comparable and is_number(value) else "" for value in values[1:]]
    return _beside([number(value, text) for value in values], changes)


def _beside(cells: Sequence[TableCell], changes: Sequence[str] = ()) -> list[TableCell]:
    """Each cell but the first with its change from the first, which may be empty."""
    texts = [*changes, *[""] * (len(cells) - 1 - len(changes))]
    pairs = zip(cells[1:], (TableCell((text,)) for text in texts), strict=True)
    return [cells[0], *(cell for pair in pairs for cell in pair)]


def differences(runs: Sequence[Run]) -> Table:
    """Every statistic of `prediction_difference.statistics` that is one number."""
    return _family_table("difference", [run.pd for run in runs], runs)


def recommendations(runs: Sequence[Run]) -> Table:
    """Differences between lists of recommendations; no rows where no run has requests."""
    lists = [run.metrics.get("recommendations") or {} for run in runs]
    table = _family_table("recommendations", lists, runs)
    length = {"Length of the lists (k)": [number(each.get("k"), count) for each in lists]}
    counts = {name: [number(each.get(key), count) for each in lists] for key, (name, _) in _REQUEST_COUNTS.items()}
    notes = {**table.notes, **{name: note for name, note in _REQUEST_COUNTS.values() if note}}
    return dataclasses.replace(table, rows=measured({**length, **table.rows, **counts}), notes=notes)


def _family_table(family: Family, sections: Sequence[Mapping[str, Any]], runs: Sequence[Run]) -> Table:
    """The measures of a family, each followed by its interval where it has one, with notes that explain them."""
    rows, notes = {}, {}
    for measure in catalogue.of(family):
        name, text = measure.row or measure.label, formats.of(measure)
        cells = []
        for section in sections:
            value = measure.within(section)
            # JSON has no infinity; metrics.json has null for it.
            if value is None and measure.form == "unbounded" and measure.name in section:
                value = math.inf
            cells.append(number(value, text))
        rows[name], notes[name] = cells, measure.note
        ends = [section.get(f"{measure.name}_interval") for section in sections]
        if any(ends):
            rows[f"{name}, 95% interval"] = [interval(each, text) for each in ends]
            notes[f"{name}, 95% interval"] = "over held-out requests, for these very models"
    columns = [run.label for run in runs] if len(runs) > 1 else ["Value"]
    return Table(("", *columns), measured(rows), notes=notes)


def against_live(runs: Sequence[Run]) -> list[Run]:
    """What the runs that have a live model measured against it, in the form of runs: PD, recommendations, slices."""
    found = [(run, run.metrics.get("pd_live")) for run in runs]
    return [
        dataclasses.replace(
            run,
            metrics={
                "replicas": [],
                "pd": live,
                "recommendations": live.get("recommendations"),
                "slices": live.get("slices"),
            },
        )
        for run, live in found
        if live
    ]


def replicas(runs: Sequence[Run]) -> Table:
    """Every metric that metrics.json has of replicas, one column for each replica."""
    every = [replica for run in runs for replica in run.replicas]
    rows = {
        each.label: [number(replica.get(each.name), formats.of(each)) for replica in every]
        for each in catalogue.of(*ACCURACY)
    }
    # A run of another version may have metrics that this one does not know.
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
    """Measures of held-out rows while training, one row for each step."""
    return _curves(runs, {each.name: (each.short, formats.of(each)) for each in catalogue.held_out()})


def progressive(runs: Sequence[Run]) -> list[Table]:
    """Measures of rows that no replica had trained on yet, one row for each step."""
    watched = catalogue.progressive()
    return _curves(runs, {PROGRESSIVE + each.name: (each.short, formats.of(each)) for each in watched})


def _curves(runs: Sequence[Run], metrics: Mapping[str, tuple[str, Format]]) -> list[Table]:
    """A table for each run that has any of the metrics, with the steps at which it has one."""
    tables = []
    for run in runs:
        entries = [entry for entry in run.history if any(is_number(entry.get(metric)) for metric in metrics)]
        if entries:
            tables.append(_records("Step", "step", entries, metrics, _title(run, runs)))
    return tables


def layers(runs: Sequence[Run]) -> list[Table]:
    """Scale of the pre-activations of each hidden layer."""
    return [
        _records("Layer", "name", run.metrics["layers"], _LAYER_METRICS, _title(run, runs))
        for run in runs
        if run.metrics.get("layers")
    ]


def _records(
    head: str, key: str, records: Sequence[Mapping[str, Any]], metrics: Mapping[str, tuple[str, Format]], title: str
) -> Table:
    """One row for each record, named by its `key`; the columns are the metrics that any record has."""
    known = {metric: how for metric, how in metrics.items() if any(is_number(each.get(metric)) for each in records)}
    rows = {
        count(record[key]) if is_number(record[key]) else str(record[key]): [
            number(record.get(metric), text) for metric, (_, text) in known.items()
        ]
        for record in records
    }
    return Table((head, *(name for name, _ in known.values())), rows, title)


def estimates(runs: Sequence[Run]) -> list[Table]:
    """How well each example's PD is predicted from one model, a table for each run that tried."""
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
            head = ("Estimated from", "Rank correlation", "95% interval")
            tables.append(Table(head, rows, _title(run, runs), notes=notes))
    return tables


def _title(run: Run, runs: Sequence[Run]) -> str:
    """The caption of a run's table, which it needs only beside those of other runs."""
    return run.label if len(runs) > 1 else ""


def words() -> dict[str, str]:
    """Explanations of the measures by label: accuracies first, then differences."""
    measures = catalogue.of(*ACCURACY, "difference", "live", "recommendations")
    return {each.label: each.meaning for each in measures if each.meaning}


def data(runs: Sequence[Run]) -> Table:
    """The data that the runs read, as their manifests describe them."""
    return _side_by_side(runs, [flatten(run.manifest.get("data") or {}) for run in runs])


def settings(runs: Sequence[Run]) -> Table:
    """All settings of the runs."""
    return _side_by_side(runs, [flatten(run.config) for run in runs])


def changed_settings(runs: Sequence[Run]) -> Table:
    """The settings that are not the same in all runs."""
    flat = [flatten(run.config) for run in runs]
    keys = differing(flat)
    return _side_by_side(runs, [{key: mapping[key] for key in keys if key in mapping} for mapping in flat])


def versions(runs: Sequence[Run]) -> Table:
    """Versions of this package and of the libraries that it used."""
    return _side_by_side(runs, [flatten(run.manifest.get("versions") or {}) for run in runs])


def origin(runs: Sequence[Run]) -> Table:
    """The workdir of each run, its exports, and the rest of its manifest, whatever that holds."""
    known = [{"workdir": run.workdir, "exports": list(run.metrics.get("exports") or ())} for run in runs]
    others = [{key: value for key, value in run.manifest.items() if key not in _OTHER_TABLES} for run in runs]
    return _side_by_side(runs, [{**first, **flatten(rest)} for first, rest in zip(known, others, strict=True)])


def _side_by_side(runs: Sequence[Run], flat: Sequence[Mapping[str, Any]]) -> Table:
    """One row for each key; one column of values where all runs agree, else one for each run."""
    same = not differing(flat)
    rows = {}
    for key in dict.fromkeys(key for mapping in flat for key in mapping):
        cells = []
        for mapping in flat[:1] if same else flat:
            value = mapping.get(key)
            if key not in mapping:
                cells.append(TableCell())
            elif isinstance(value, list) and any(isinstance(item, str) for item in value):
                # Paths and messages are long: each has a line of its own.
                cells.append(TableCell([setting(item) for item in value], [None] * len(value)))
            else:
                cells.append(TableCell((setting(value),), (value if is_number(value) else None,)))
        rows[key] = cells
    names = ["Value" if len(runs) == 1 else "All runs"] if same else [run.label for run in runs]
    return Table(("", *names), rows, numeric=False)


def commands(runs: Sequence[Run]) -> list[tuple[str, str]]:
    """Label and command line of each run that recorded one."""
    recorded = [(run.label, run.manifest.get("command")) for run in runs]
    return [
        (label, shlex.join(map(str, command)) if isinstance(command, list) else str(command))
        for label, command in recorded
        if command
    ]
