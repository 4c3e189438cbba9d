"""Keras callbacks, for both generations of Keras."""

from smooth_recs.callbacks.best import KeepBest
from smooth_recs.callbacks.learned_activations import LearnedActivations
from smooth_recs.callbacks.prediction_difference import PredictionDifference
from smooth_recs.callbacks.progressive import ProgressiveValidation

__all__ = ["KeepBest", "LearnedActivations", "PredictionDifference", "ProgressiveValidation"]
