"""What a sweep measures: the names by which goals and files call it, and how a reader sees it."""

from __future__ import annotations

import dataclasses

from smooth_recs.experiments.sweeps.paired import Paired
from smooth_recs.reports.formats import count, decimal, percent, short
from smooth_recs.reports.table import Format


@dataclasses.dataclass(frozen=True)
class Measure:
    """`label` heads a column; `text` writes a value."""

    label: str
    text: Format


MEASURES = {
    "pd": Measure("PD", percent),
    "after_matching_means": Measure("PD with means matched", percent),
    "swap_rate": Measure("Swap rate", percent),
    "per_query_auc_loss": Measure("Per-query AUC loss", decimal),
    "auc_loss": Measure("AUC loss", decimal),
    "log_loss": Measure("Log loss", decimal),
    "calibration": Measure("Calibration", decimal),
    "examples_per_second": Measure("Examples per second", count),
    "parameters": Measure("Parameters", count),
    "multiply_adds": Measure("Multiplications an example", count),
    "lookups": Measure("Table rows an example", count),
    "serving_ms_1": Measure("Milliseconds for 1 row", short),
    "serving_ms_1000": Measure("Milliseconds for 1,000 rows", short),
}
QUALITIES = ("after_matching_means", "swap_rate", "auc_loss", "log_loss", "calibration")
COSTS = ("parameters", "multiply_adds", "lookups", "examples_per_second", "serving_ms_1", "serving_ms_1000")


def inside(name: str) -> str:
    """The label of a measure as it stands inside a sentence.

    >>> inside("per_query_auc_loss"), inside("pd")
    ('per-query AUC loss', 'PD')
    """
    label = MEASURES[name].label
    return label if label[:2].isupper() else f"{label[:1].lower()}{label[1:]}"


def plane(paired: Paired) -> tuple[str, str]:
    """PD and the loss that it is traded against: per query, as in figure 4 of the paper, where there are queries."""
    return "pd", "per_query_auc_loss" if paired.values(paired.baseline, "per_query_auc_loss") else "auc_loss"
