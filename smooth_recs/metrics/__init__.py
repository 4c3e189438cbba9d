"""Keras metrics of reproducibility, ranking and calibration, for both generations of Keras."""

from smooth_recs.metrics.auc import AUCLoss, PerQueryAUCLoss, SwapRate
from smooth_recs.metrics.probability import Calibration, LogLoss, NormalizedEntropy, RelativePredictionDifference

__all__ = [
    "AUCLoss",
    "Calibration",
    "LogLoss",
    "NormalizedEntropy",
    "PerQueryAUCLoss",
    "RelativePredictionDifference",
    "SwapRate",
]
