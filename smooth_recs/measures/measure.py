"""What a measure is: where its value comes from, and how reports, sweeps and gates show it."""

from __future__ import annotations

import dataclasses
import functools
import statistics
from collections.abc import Callable, Mapping
from typing import Any, Literal

from smooth_recs.measures import accuracy
from smooth_recs.statistics.arrays import Array

Family = Literal["difference", "live", "ranking", "probability", "recommendations", "training", "size", "serving"]
"""What a measure is about, in the order in which reports show the families.

difference       two models' predictions, averaged over pairs of models: `prediction_difference.statistics`
live             the predictions of the live model and of a new one, averaged over the new ones: `held_out.metrics`
ranking          accuracy of one model: the order of its predictions
probability      accuracy of one model: the values of its predictions
recommendations  two models' lists: `recommendations.statistics_over_pairs`
training         the speed of the run
size             the parts of a model: `models.cost`
serving          the time that exports take, which a sweep measures: `experiments.sweeps.sweep_runs`
"""

# Accuracies are measured for each replica; the other families have a section of `metrics.json`, or stand at its top.
ACCURACY: tuple[Family, ...] = ("ranking", "probability")
_SECTIONS: Mapping[Family, str] = {
    "difference": "pd",
    "live": "pd_live",
    "recommendations": "recommendations",
    "size": "cost",
}
PROGRESSIVE = "progressive_"
"""Prefix in the logs of `fit` for what is measured on rows that no replica has trained on yet."""

Form = Literal["percent", "points", "decimal", "count", "short", "unbounded"]
"""The name of the function in `reports.formats` that writes the values."""

Watched = Literal["no", "table", "chart"]
"""Whether a measure is taken while models train, and whether reports show its course in a chart or only in a table."""


@dataclasses.dataclass(frozen=True)
class Rows:
    """One model's predictions for some rows, and the rows' other columns, [n] each; None for a column they lack."""

    label: Any
    prediction: Array
    weight: Any = None
    query_id: Any = None

    @functools.cached_property
    def auc_loss(self) -> float | None:
        """AUC loss of the rows (eq. 1), computed once."""
        # Two measures need it, and it sorts all rows.
        return accuracy.auc_loss(self.label, self.prediction, self.weight)


@dataclasses.dataclass(frozen=True)
class Measure:
    """One row of the table.

    Attributes:
      name: its name in goals, CSV columns and the logs of `fit`.
      family: see `Family`.
      label: its name in reports.
      form: how its values are written.
      better: whether lower or higher values are better; a number is the ideal value, None means that there is none.
      function: computes it from `Rows`; None in the families that are computed together.
      needs: the columns that it cannot be computed without.
      key: its key in its family's section of `metrics.json`, a dot between levels; empty: its name.
      brief: a shorter label, for sentences and narrow places; empty: the label.
      row: the label in the table of its own family, where that is a different one.
      terminal: the label in lines that a command prints, where that is not `inside`; at most 11 letters.
      note: explanation in small print beside its row in the table of its family.
      meaning: explanation in full sentences under "Words used here" in a report; empty: it needs none.
      card: the small print of its card at the head of a run's report; empty: it has no card.
      held_out: whether it is taken on held-out rows while models train, under its name in the logs of `fit`.
      progressive: whether it is taken on rows that no replica has trained on yet, as `progressive_NAME`.
      leading: whether it represents accuracy where there is room for two numbers: after a run, by slice, by cause.
      swept: whether a sweep compares variants by it; False where another row tells the same.
      bounds: the lowest and the highest value, for measures that a gate can limit.
      keras: the class in `smooth_recs.metrics` that measures it batch by batch; empty: there is none.
      source: its definition: the paper's equation or section.
    """

    name: str
    family: Family
    label: str
    form: Form
    better: Literal["lower", "higher"] | float | None = "lower"
    function: Callable[[Rows], float | None] | None = None
    needs: tuple[Literal["label", "query_id"], ...] = ()
    key: str = ""
    brief: str = ""
    row: str = ""
    terminal: str = ""
    note: str = ""
    meaning: str = ""
    card: str = ""
    held_out: Watched = "no"
    progressive: Watched = "no"
    leading: bool = False
    swept: bool = True
    bounds: tuple[int, int] | None = None
    keras: str = ""
    source: str = ""

    def of(self, rows: Rows) -> float | None:
        """Its value for one model; None where the rows lack a column that it needs, or it is not defined for them."""
        if self.function is None or any(getattr(rows, column) is None for column in self.needs):
            return None
        return self.function(rows)

    def read(self, metrics: Mapping[str, Any]) -> Any:
        """Its value in the content of a `metrics.json`, the mean over the replicas; None where there is none."""
        if self.family in ACCURACY:
            values = [self.within(replica) for replica in metrics["replicas"]]
            return None if None in values or not values else statistics.fmean(values)
        section = _SECTIONS.get(self.family)
        return self.within(metrics if section is None else metrics.get(section) or {})

    def within(self, section: Mapping[str, Any]) -> Any:
        """Its value in the section of its family, or in one replica; None where there is none."""
        head, _, rest = (self.key or self.name).partition(".")
        return (section.get(head) or {}).get(rest) if rest else section.get(head)

    @property
    def short(self) -> str:
        """The label for narrow places."""
        return self.brief or self.label

    @property
    def inside(self) -> str:
        """The short label inside a sentence: `log loss`, `AUC loss`."""
        return self.short if self.short[:2].isupper() else f"{self.short[:1].lower()}{self.short[1:]}"
