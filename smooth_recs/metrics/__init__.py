"""Keras metrics of reproducibility, ranking and calibration, for both generations of Keras."""

from smooth_recs.metrics.auc_loss import AUCLoss
from smooth_recs.metrics.calibration import Calibration
from smooth_recs.metrics.log_loss import LogLoss
from smooth_recs.metrics.normalized_entropy import NormalizedEntropy
from smooth_recs.metrics.per_query_auc_loss import PerQueryAUCLoss
from smooth_recs.metrics.prediction_difference import RelativePredictionDifference
from smooth_recs.metrics.swap_rate import SwapRate

__all__ = [
    "AUCLoss",
    "Calibration",
    "LogLoss",
    "NormalizedEntropy",
    "PerQueryAUCLoss",
    "RelativePredictionDifference",
    "SwapRate",
]
