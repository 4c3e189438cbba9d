"""Keras metrics of reproducibility and ranking, for both generations of Keras."""

from smooth_recs.metrics.auc_loss import AUCLoss
from smooth_recs.metrics.per_query_auc_loss import PerQueryAUCLoss
from smooth_recs.metrics.prediction_difference import RelativePredictionDifference

__all__ = ["AUCLoss", "PerQueryAUCLoss", "RelativePredictionDifference"]
