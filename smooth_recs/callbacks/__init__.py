"""Keras callbacks, for both generations of Keras."""

from smooth_recs.callbacks.prediction_difference import PredictionDifference

__all__ = ["PredictionDifference"]
