"""Keras callbacks, for both generations of Keras."""

from smooth_recs.callbacks.average_weights import AverageWeights
from smooth_recs.callbacks.keep_best import KeepBest
from smooth_recs.callbacks.periodic import LearnedActivations, ProgressiveValidation
from smooth_recs.callbacks.prediction_difference import PredictionDifference
from smooth_recs.callbacks.transition_regions import TransitionRegions

__all__ = [
    "AverageWeights",
    "KeepBest",
    "LearnedActivations",
    "PredictionDifference",
    "ProgressiveValidation",
    "TransitionRegions",
]
