"""The table of all measures, a row each: what `metrics.json` holds, and what reports, sweeps and comparisons say of it.

Who adds a measure of accuracy writes its function (in `accuracy`), a row here and its test. The row alone brings it
into `metrics.json`, the tables and explanations of reports, the model card, and a sweep's goals, tables and CSV.
Measures of other families are computed together, where their family says; their rows say how they are shown.
"""

from __future__ import annotations

import dataclasses
import functools
import statistics
from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

import numpy as np

from smooth_recs.measures import accuracy
from smooth_recs.statistics.arrays import Array

Family = Literal["difference", "ranking", "probability", "recommendations", "training", "size", "serving"]
"""What a measure is about, in the order in which people read of it; each family has a section of `metrics.json`.

difference       between two models, averaged over pairs: `prediction_difference.statistics`
ranking          accuracy of each replica: how it orders rows
probability      accuracy of each replica: how far its probabilities are right
recommendations  between two models' lists: `recommendations.statistics_over_pairs`
training         what the run itself measures while it trains
size             what a model has: `models.cost`
serving          what exports take, which a sweep measures: `experiments.sweeps.sweep_runs`
"""

ACCURACY: tuple[Family, ...] = ("ranking", "probability")
_SECTIONS: Mapping[Family, str] = {"difference": "pd", "recommendations": "recommendations", "size": "cost"}
PROGRESSIVE = "progressive_"
"""Begins the names in the logs of what is measured on rows that no replica has trained on yet."""

Form = Literal["percent", "points", "decimal", "count", "short", "unbounded"]
"""How a value is written: the name of a function in `reports.formats`."""

Watched = Literal["no", "table", "chart"]
"""Whether a measure is taken while models train, and how a report shows its course."""


@dataclasses.dataclass(frozen=True)
class Rows:
    """What one model predicts for rows, and what is known of these: [n] each, None for what they lack."""

    label: Any
    prediction: Array
    weight: Any = None
    query_id: Any = None

    @functools.cached_property
    def auc_loss(self) -> float | None:
        return accuracy.auc_loss(self.label, self.prediction, self.weight)  # sorts the rows, so once for all measures


@dataclasses.dataclass(frozen=True)
class Measure:
    """A row of the table.

    Attributes:
      name: what goals, CSV columns and the logs of `fit` call it.
      family: see `Family`.
      label: what reports call it.
      form: how its values are written.
      better: which values are; a number is the ideal one, None says that none is.
      function: computes it from `Rows`; None in families that are computed together.
      needs: the columns without which there is no such measure.
      key: its key in the section of its family in `metrics.json`; empty: its name.
      brief: the label where room is scarce, and in sentences; empty: the label.
      row: the label in the table of its own family, where that differs.
      terminal: the label in the lines that a command prints, where that differs from `inside`; at most 11 letters.
      note: what it is, in small print beside its row in the table of its family.
      meaning: what it is, in full sentences, among the words that a report explains; empty: it needs no explanation.
      card: the small print of its card at the head of a run's report; empty: it has no card.
      held_out: whether it is taken on held-out rows while models train, under its name in the logs of `fit`.
      progressive: the same on rows that no replica has trained on yet, as `progressive_NAME`.
      leading: it stands for all of accuracy where there is room for little: after a run, by slice, by cause.
      swept: whether a sweep compares variants by it: not by what tells no more than another row.
      bounds: between which its values lie, where a gate can be on it.
      keras: the class in `smooth_recs.metrics` that measures it batch by batch; empty: there is none.
      source: where it is defined: the paper's equation or section.
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
        """The measure of one model; None where the rows lack what it needs, or it is not defined for them."""
        if self.function is None or any(getattr(rows, column) is None for column in self.needs):
            return None
        return self.function(rows)

    def read(self, metrics: Mapping[str, Any]) -> Any:
        """Its value in the content of a `metrics.json`, of several replicas the mean; None where there is none."""
        if self.family in ACCURACY:
            values = [self.within(replica) for replica in metrics["replicas"]]
            return None if None in values or not values else statistics.fmean(values)
        section = _SECTIONS.get(self.family)
        return self.within(metrics if section is None else metrics.get(section) or {})

    def within(self, section: Mapping[str, Any]) -> Any:
        """Its value in a section of a `metrics.json`, or in a replica; None where there is none."""
        head, _, rest = (self.key or self.name).partition(".")
        return (section.get(head) or {}).get(rest) if rest else section.get(head)

    @property
    def short(self) -> str:
        return self.brief or self.label

    @property
    def inside(self) -> str:
        """The short label as it stands inside a sentence: `log loss`, `AUC loss`."""
        return self.short if self.short[:2].isupper() else f"{self.short[:1].lower()}{self.short[1:]}"


# In each family in the order of `metrics.json`.
MEASURES = (
    Measure(
        name="pd",
        family="difference",
        label="Prediction difference",
        form="percent",
        key="relative",
        brief="PD",
        row="Relative (PD)",
        note="|a − b| divided by the mean of a and b: the measure of this page",
        held_out="chart",
        progressive="chart",
        bounds=(0, 2),
        keras="RelativePredictionDifference",
        source="eq. 2",
    ),
    Measure(
        name="after_matching_means",
        family="difference",
        label="PD with means matched",
        form="percent",
        row="Relative, means matched",
        note="what remains without a shift that all share",
        meaning="PD after the models' predictions are scaled to the same mean: what remains when a shift that all "
        "predictions share is taken out.",
    ),
    Measure(
        name="quantiles.0.5",
        family="difference",
        label="Relative, median example",
        form="percent",
        note="half of the examples differ by no more",
        swept=False,
    ),
    Measure(
        name="quantiles.0.9",
        family="difference",
        label="Relative, 90% of examples",
        form="percent",
        note="differ by no more than this",
        swept=False,
    ),
    Measure(
        name="quantiles.0.99",
        family="difference",
        label="Relative, 99% of examples",
        form="percent",
        note="differ by no more than this",
        swept=False,
    ),
    Measure(
        name="relative_norm_1",
        family="difference",
        label="Relative to the mean, L1",
        form="percent",
        note="mean distance from the mean of all; half of PD for two",
        swept=False,
        source="section 3",
    ),
    Measure(
        name="relative_norm_2",
        family="difference",
        label="Relative to the mean, L2",
        form="percent",
        note="the same with squares: far-off models count more",
        swept=False,
        source="section 3",
    ),
    Measure(
        name="absolute",
        family="difference",
        label="Absolute",
        form="points",
        note="|a − b|, in percentage points of probability",
        swept=False,
    ),
    Measure(
        name="standard_deviation",
        family="difference",
        label="Standard deviation",
        form="points",
        note="of an example's predictions, in the same points",
        swept=False,
    ),
    Measure(
        name="logit_difference",
        family="difference",
        label="Logits",
        form="unbounded",
        note="|logit a − logit b|: shifts of the log odds",
        swept=False,
    ),
    Measure(
        name="kl",
        family="difference",
        label="KL divergence",
        form="unbounded",
        note="information lost when one model stands for the other, in nats",
        swept=False,
    ),
    Measure(
        name="jensen_shannon",
        family="difference",
        label="Jensen-Shannon",
        form="unbounded",
        note="the same in both directions, never above 0.69 nats",
        swept=False,
    ),
    Measure(
        name="flips",
        family="difference",
        label="Classification flips",
        form="percent",
        note="examples on different sides of the threshold",
        swept=False,
    ),
    Measure(
        name="log_loss",
        family="probability",
        label="Log loss",
        form="decimal",
        function=lambda rows: accuracy.log_loss(rows.label, rows.prediction, rows.weight),
        needs=("label",),
        meaning="How surprised the model is by the labels, on average; lower is better. Normalised entropy is log loss "
        "divided by that of always predicting the mean label: below 1 the model has learned something.",
        card="lower is better",
        held_out="table",
        progressive="chart",
        leading=True,
        keras="LogLoss",
    ),
    Measure(
        name="normalized_entropy",
        family="probability",
        label="Normalised entropy",
        form="decimal",
        function=lambda rows: accuracy.normalized_entropy(rows.label, rows.prediction, rows.weight),
        needs=("label",),
        swept=False,  # log loss times what depends on the labels alone
        keras="NormalizedEntropy",
        source="He et al. 2014",
    ),
    Measure(
        name="auc",
        family="ranking",
        label="AUC",
        form="decimal",
        better="higher",
        function=lambda rows: None if rows.auc_loss is None else 1.0 - rows.auc_loss,
        needs=("label",),
        meaning="Share of the pairs of a positive and a negative example that the model ranks the right way round. AUC "
        "loss is 1 − AUC; within a request it counts only pairs of the same request.",
        card="1 is perfect, 0.5 is chance",
        held_out="chart",
        swept=False,  # 1 - AUC loss
    ),
    Measure(
        name="auc_loss",
        family="ranking",
        label="AUC loss",
        form="decimal",
        function=lambda rows: rows.auc_loss,
        needs=("label",),
        progressive="table",
        leading=True,
        bounds=(0, 1),
        keras="AUCLoss",
        source="eq. 1",
    ),
    Measure(
        name="per_query_auc_loss",
        family="ranking",
        label="AUC loss within a request",
        form="decimal",
        function=lambda rows: (
            accuracy.per_query_auc_loss(rows.label, rows.prediction, rows.query_id, rows.weight).value
        ),
        needs=("label", "query_id"),
        brief="Per-query AUC loss",
        terminal="per query",
        keras="PerQueryAUCLoss",
        source="section 2",
    ),
    Measure(
        name="calibration",
        family="probability",
        label="Calibration",
        form="decimal",
        better=1.0,
        function=lambda rows: accuracy.calibration(rows.label, rows.prediction, rows.weight),
        needs=("label",),
        meaning="Sum of the predictions divided by the sum of the labels; 1 means that the level is right.",
        card="1 is perfect",
        keras="Calibration",
    ),
    Measure(
        name="mean_prediction",
        family="probability",
        label="Mean prediction",
        form="decimal",
        better=None,
        function=lambda rows: float(np.average(rows.prediction, weights=rows.weight)),
        swept=False,  # calibration times what depends on the labels alone
    ),
    Measure(
        name="swap_rate",
        family="recommendations",
        label="Swap rate",
        form="percent",
        needs=("query_id",),
        note="requests whose ordered top k differs",
        meaning="Share of the requests for which the two models put other rows, or the same in another order, on the "
        "first k places.",
        bounds=(0, 1),
        keras="SwapRate",
    ),
    Measure(
        name="top_k_overlap",
        family="recommendations",
        label="Overlap",
        form="percent",
        better="higher",
        needs=("query_id",),
        note="of the two top k, in whatever order",
        swept=False,
    ),
    Measure(
        name="kendall_distance",
        family="recommendations",
        label="Kendall distance",
        form="percent",
        needs=("query_id",),
        note="pairs of rows of a request in different order",
        swept=False,
    ),
    Measure(
        name="examples_per_second",
        family="training",
        label="Examples a second",
        form="count",
        better="higher",
        brief="Examples per second",
    ),
    Measure(name="parameters", family="size", label="Parameters", form="count"),
    Measure(name="multiply_adds", family="size", label="Multiplications an example", form="count"),
    Measure(name="lookups", family="size", label="Table rows an example", form="count"),
    Measure(name="serving_ms_1", family="serving", label="Milliseconds for 1 row", form="short", key="1"),
    Measure(name="serving_ms_1000", family="serving", label="Milliseconds for 1,000 rows", form="short", key="1000"),
)
BY_NAME = {measure.name: measure for measure in MEASURES}
PD = BY_NAME["pd"]


def of(*families: Family) -> list[Measure]:
    """The measures of some families, one family after the other; of all in the order of reading where none is named.

    >>> [measure.name for measure in of("ranking")]
    ['auc', 'auc_loss', 'per_query_auc_loss']
    """
    return [measure for family in families or get_args(Family) for measure in MEASURES if measure.family == family]


def accuracies(rows: Rows) -> dict[str, float | None]:
    """All measures of one model, as a replica has them in `metrics.json`.

    >>> accuracies(Rows([1, 0], np.array([0.5, 0.25])))["auc"]
    1.0
    """
    return {measure.name: measure.of(rows) for measure in MEASURES if measure.family in ACCURACY}


def leading() -> list[Measure]:
    """The measures that stand for all of accuracy where there is room for little.

    >>> [measure.name for measure in leading()]
    ['auc_loss', 'log_loss']
    """
    return [measure for measure in of(*ACCURACY) if measure.leading]


def swept(*families: Family) -> list[Measure]:
    """The measures by which a sweep compares variants, of some families or of all."""
    return [measure for measure in of(*families) if measure.swept]


def held_out() -> list[Measure]:
    """What is measured on held-out rows while models train."""
    return [measure for measure in of() if measure.held_out != "no"]


def progressive() -> list[Measure]:
    """What is measured on rows that no replica has trained on yet."""
    return [measure for measure in of() if measure.progressive != "no"]
