"""Slices in a report, as tables: their PD, and the share of the whole difference that each has."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

from smooth_recs.measures import catalogue
from smooth_recs.reports import formats
from smooth_recs.reports.formats import Table, count, decimal, interval, number, percent, short
from smooth_recs.workdir.finished_runs import Run, is_number

Slice = Mapping[str, Any]

HIGHEST = 10  # slices in the table of the highest PD: the others are in the table of their title
# Titles whose slices have a natural order, as those of frequencies have; the others stand by PD.
_ORDERED = ("label", "score", "position")
_COLUMNS = ("PD", "times the mean", "share of examples", "share of the difference")


@dataclasses.dataclass(frozen=True)
class Dimension:
    """The slices under one title: for each run, its slices by name, in the order to show them."""

    title: str
    slices: Sequence[Mapping[str, Slice]]

    @property
    def names(self) -> list[str]:
        """The names of all runs' slices."""
        return list(dict.fromkeys(name for of_run in self.slices for name in of_run))


def dimensions(runs: Sequence[Run]) -> list[Dimension]:
    """The slices of the runs by title, in the order of the runs' metrics."""
    # Each run has its own range of a decile, so that the names of several runs agree only without it.
    name = without_range if len(runs) > 1 else str

    def natural(each: Slice) -> list[tuple[int, str]]:
        # Numbers inside names by their value: `decile 10` after `decile 9`.
        parts = re.split(r"(\d+)", each["slice"])
        return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts if part]

    found = []
    for title in dict.fromkeys(title for run in runs for title, slices in run.slices.items() if slices):
        of_runs = [run.slices.get(title) or () for run in runs]
        if title in _ORDERED or title.startswith("frequency of "):
            of_runs = [sorted(slices, key=natural) for slices in of_runs]
        found.append(Dimension(title, [{name(each["slice"]): each for each in slices} for slices in of_runs]))
    return found


def without_range(name: str) -> str:
    """The name of a slice without the range of a decile: `decile 1`."""
    return re.sub(r"^(decile \d+) \(.*\)$", r"\1", name)


def highest(run: Run) -> list[tuple[str, str, Slice]]:
    """The slices with the highest PD of all titles, except small ones, as (title, name, slice)."""
    every = [(title, each["slice"], each) for title, slices in run.slices.items() for each in slices]
    large = [each for each in every if not each[2].get("small") and is_number(each[2].get("pd"))]
    return sorted(large, key=lambda each: -each[2]["pd"])[:HIGHEST]


def highest_tables(runs: Sequence[Run]) -> list[Table]:
    """A table of `highest` for each run, with the share of the examples and of the whole difference."""
    tables = []
    for run in runs:
        rows = {
            f"{title}: {name}": [
                number(each["pd"], percent),
                number(times_the_mean(each, run), times),
                number(each.get("weight_share"), percent),
                number(each.get("pd_share"), percent),
            ]
            for title, name, each in highest(run)
        }
        if rows:
            columns = ("Slice", *_COLUMNS)
            tables.append(Table(columns, rows, run.label if len(runs) > 1 else ""))
    return tables


def table(dimension: Dimension, runs: Sequence[Run]) -> Table:
    """All slices of a title: every measure of one run, or the PD of several runs side by side."""
    if len(runs) > 1:
        rows = {
            name: [number(of_run.get(name, {}).get("pd"), percent) for of_run in dimension.slices]
            for name in dimension.names
        }
        return Table((dimension.title, *(f"PD of {run.label}" for run in runs)), rows)
    columns = (dimension.title, *_COLUMNS, "95% interval of PD", "Rows")
    accuracies = [*(measure.label for measure in catalogue.leading()), "Mean label"]
    cells = {
        name: [
            number(each.get("pd"), percent),
            number(times_the_mean(each, runs[0]), times),
            number(each.get("weight_share"), percent),
            number(each.get("pd_share"), percent),
            interval(each.get("interval")),
            number(each.get("rows"), count),
            *(number(each.get(measure.name), formats.of(measure)) for measure in catalogue.leading()),
            number(each.get("label_mean"), decimal),
        ]
        for name, each in dimension.slices[0].items()
    }
    return Table((*columns, *accuracies), cells)


def times_the_mean(each: Slice, run: Run) -> float | None:
    """PD of a slice as a multiple of the run's; None where one is not known, or the run's is 0."""
    pd, mean = each.get("pd"), run.pd.get("relative")
    return pd / mean if is_number(pd) and is_number(mean) and mean else None


def times(value: Any) -> str:
    """A multiple, such as 1.3×."""
    return f"{short(value)}×" if is_number(value) else short(value)
