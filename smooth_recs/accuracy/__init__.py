"""Accuracy of predictions, exact, in NumPy and float64: log loss, calibration, AUC loss (eq. 1), AUC loss per query.

`label` is 0 or 1, [n]; `prediction` is [n] or [n, 1]; `sample_weight` is [n], at or above 0, or None for equal weights.
Where a measure is not defined it is None: the AUC loss of rows that are all of one class, calibration without a
positive row. Wrong input raises InputError, a ValueError, in one line.
"""

from smooth_recs.accuracy.probability import calibration, log_loss, normalized_entropy
from smooth_recs.accuracy.ranking import PerQuery, Weighting, auc_loss, per_query_auc_loss

__all__ = [
    "PerQuery",
    "Weighting",
    "auc_loss",
    "calibration",
    "log_loss",
    "normalized_entropy",
    "per_query_auc_loss",
]
