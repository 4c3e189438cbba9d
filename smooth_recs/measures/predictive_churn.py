"""Predictive churn: what a new model gets right and wrong beside the live one, and the rows that no retraining settles.

Labels take part, which `prediction_difference` does not need. `label` is 0 or 1, [n]; predictions are probabilities;
`sample_weight` is [n], at or above 0, or None for equal weights. Wrong input raises InputError, a ValueError, with one
line that names the argument, the rule and the value.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from smooth_recs import prediction_difference
from smooth_recs.measures import accuracy
from smooth_recs.statistics import arrays
from smooth_recs.statistics.arrays import Array


def negative_flips(label: Any, live: Any, new: Any, sample_weight: Any = None, *, threshold: float = 0.5) -> float:
    """Share of the weight that the live model classifies rightly and the new one wrongly (Yan et al. 2021).

    A model is right where its prediction reaches the threshold and the label is 1, or neither is so. With two classes
    each flip has one of two directions: `negative_flips` + `positive_flips` = `prediction_difference.flips`.

    Args:
      label: [n], 0 or 1.
      live, new: [n] probabilities by the model that serves and by the one that is to replace it.
      sample_weight: [n], at or above 0.
      threshold: in [0, 1].

    ```python
    negative_flips([1, 0, 1], live=[0.7, 0.6, 0.2], new=[0.4, 0.3, 0.1])  # 0.333...: the first row
    ```
    """
    y = arrays.labels(label)
    a, b = arrays.probabilities("live", live, y.size), arrays.probabilities("new", new, y.size)
    weight = arrays.weights(sample_weight, y.size)
    arrays.refuse_weightless("negative_flips", weight)
    limit = arrays.probability("threshold", threshold)
    live_right, new_right = ((each >= limit) == (y == 1) for each in (a, b))
    return float(np.average(live_right & ~new_right, weights=weight))


def positive_flips(label: Any, live: Any, new: Any, sample_weight: Any = None, *, threshold: float = 0.5) -> float:
    """Share of the weight that the live model classifies wrongly and the new one rightly.

    Args: those of `negative_flips`.

    ```python
    positive_flips([1, 0, 1], live=[0.7, 0.6, 0.2], new=[0.4, 0.3, 0.1])  # 0.333...: the second row
    ```
    """
    return negative_flips(label, new, live, sample_weight, threshold=threshold)


FLIPS = {"negative_flips": negative_flips, "positive_flips": positive_flips}
"""The directions of a flip between the live model and a new one: by the measure's name, its function."""


class Unstable(NamedTuple):
    """What `unstable_rows` returns.

    Attributes:
      share: of the weight that is unstable.
      good: the models within the stated loss of the best one, ascending; that one is among them.
      best: the model of the lowest log loss.
      moved: [n] the relative difference of each row between the best model and the good one farthest from it.
    """

    share: float
    good: list[int]
    best: int
    moved: Array


def unstable_rows(
    label: Any, predictions: Any, sample_weight: Any = None, *, loss: float = 0.001, pd: float = 0.1
) -> Unstable:
    """Rows that a model as good as the best would move, and their share of the weight (Watson-Daniels et al. 2024).

    A row is unstable if max over g in G of 2 |y_g - y_best| / (y_g + y_best) > `pd`, the summand of eq. 2. G holds the
    models whose log loss is at most `loss` above that of the best one. The paper's set of good models has all that the
    data allow, and its predictions are classes. Siblings are a sample of such a set, so that the share is a lower bound
    of the one over all good models, and grows with their number.

    Args:
      label: [n], 0 or 1.
      predictions: [n, R] probabilities of R >= 2 models.
      sample_weight: [n], at or above 0.
      loss: in nats, at or above 0.
      pd: from 0 to 2.

    ```python
    unstable_rows([1, 0], [[0.5, 0.5], [0.2, 0.25]], loss=0.1).share  # 0.5: the second row moves by 22%
    ```
    """
    matrix = arrays.prediction_matrix(predictions)
    losses = [accuracy.log_loss(label, column, sample_weight) for column in matrix.T]
    best = int(np.argmin(losses))
    good = [model for model, each in enumerate(losses) if each <= losses[best] + loss]
    moved = np.max([prediction_difference.per_example(matrix[:, best], matrix[:, each]) for each in good], axis=0)
    share = float(np.average(moved > pd, weights=arrays.weights(sample_weight, len(matrix))))
    return Unstable(share, good, best, moved)
