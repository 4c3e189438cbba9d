"""The table of all measures, one row each: where its value comes from, and how reports, sweeps and gates show it.

To add a measure of accuracy, write its function (in `accuracy`), a row here and its test. The row alone brings it into
`metrics.json`, the tables and explanations of reports, the model card, and a sweep's goals, tables and CSV. Measures of
the other families are computed together, in the place that `Family` names; their rows say how they are shown.
"""

from __future__ import annotations

from typing import get_args

import numpy as np

from smooth_recs.measures import accuracy
from smooth_recs.measures.measure import ACCURACY, Family, Measure, Rows

# The accuracies of a replica stand in this order in `metrics.json`.
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
        "predictions of a model share is taken out.",
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
        name="unstable_rows",
        family="difference",
        label="Unstable rows",
        form="percent",
        needs=("label",),
        key="unstable.share",
        note="examples that a model as good as the best would move",
        meaning="Share of the examples whose prediction any model moves by more than evaluation.unstable_pd, "
        "relative to the best one, of the models whose log loss is at most evaluation.unstable_loss above the lowest.",
        source="Watson-Daniels et al. 2024",
    ),
    Measure(
        name="pd_live",
        family="live",
        label="PD to the live model",
        form="percent",
        key="relative",
        brief="PD to live",
        meaning="PD between the model that serves now and the new one, as a mean over the replicas: what users would "
        "see if the new one took its place.",
        bounds=(0, 2),
        source="eq. 2",
    ),
    Measure(
        name="swap_rate_live",
        family="live",
        label="Swap rate to the live model",
        form="percent",
        needs=("query_id",),
        key="recommendations.swap_rate",
        brief="Swap rate to live",
        bounds=(0, 1),
    ),
    Measure(
        name="negative_flips",
        family="live",
        label="Negative flips",
        form="percent",
        needs=("label",),
        note="the old model is right, the new one wrong",
        meaning="Share of the examples on whose right side of the threshold the live model is and the new one is not; "
        "positive flips are the reverse.",
        bounds=(0, 1),
        source="Yan et al. 2021",
    ),
    Measure(
        name="positive_flips",
        family="live",
        label="Positive flips",
        form="percent",
        better="higher",
        needs=("label",),
        note="the old model is wrong, the new one right",
        # All flips without the negative ones.
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
        # Log loss times a factor that depends on the labels alone, so that it ranks variants as log loss does.
        swept=False,
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
        "loss is 1 − AUC; the per-query AUC loss counts only pairs of the same request.",
        card="1 is perfect, 0.5 is chance",
        held_out="chart",
        # 1 - AUC loss.
        swept=False,
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
        label="Per-query AUC loss",
        form="decimal",
        function=lambda rows: (
            accuracy.per_query_auc_loss(rows.label, rows.prediction, rows.query_id, rows.weight).value
        ),
        needs=("label", "query_id"),
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
        # Calibration times a factor that depends on the labels alone.
        swept=False,
    ),
    Measure(
        name="swap_rate",
        family="recommendations",
        label="Swap rate",
        form="percent",
        needs=("query_id",),
        note="requests with a different ordered top k",
        meaning="Share of the requests for which the two models put different rows, or the same rows in a different "
        "order, on the first k places.",
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
        note="rows that are in both top k, in any order",
        swept=False,
    ),
    Measure(
        name="top_k_jaccard",
        family="recommendations",
        label="Jaccard index",
        form="percent",
        better="higher",
        needs=("query_id",),
        note="rows in both top k, of those that are in either",
        swept=False,
    ),
    Measure(
        name="rank_biased_overlap",
        family="recommendations",
        label="Rank-biased overlap",
        form="decimal",
        better="higher",
        needs=("query_id",),
        note="1: the same order; first places count most (p = 0.9)",
        swept=False,
        source="Webber et al. 2010",
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
    """The measures of the named families, one family after the other; without a name, those of all families.

    >>> [measure.name for measure in of("ranking")]
    ['auc', 'auc_loss', 'per_query_auc_loss']
    """
    return [measure for family in families or get_args(Family) for measure in MEASURES if measure.family == family]


def accuracies(rows: Rows) -> dict[str, float | None]:
    """The accuracies of one model, by name, as a replica has them in `metrics.json`.

    >>> accuracies(Rows([1, 0], np.array([0.5, 0.25])))["auc"]
    1.0
    """
    return {measure.name: measure.of(rows) for measure in MEASURES if measure.family in ACCURACY}


def leading() -> list[Measure]:
    """The measures that represent accuracy where there is room for two numbers.

    >>> [measure.name for measure in leading()]
    ['auc_loss', 'log_loss']
    """
    return [measure for measure in of(*ACCURACY) if measure.leading]


def swept(*families: Family) -> list[Measure]:
    """The measures by which a sweep compares variants, of the named families or of all."""
    return [measure for measure in of(*families) if measure.swept]


def held_out() -> list[Measure]:
    """The measures that are taken on held-out rows while models train."""
    return [measure for measure in of() if measure.held_out != "no"]


def progressive() -> list[Measure]:
    """The measures that are taken on rows that no replica has trained on yet."""
    return [measure for measure in of() if measure.progressive != "no"]
