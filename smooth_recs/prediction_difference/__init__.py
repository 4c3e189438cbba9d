"""Prediction difference (PD): how far models of the same configuration are apart (section 3), in NumPy and float64.

Predictions are probabilities, [n] or [n, 1]; those of R >= 2 models for the same examples are [n, R]. Every function
raises InputError, a ValueError, in one line for NaN, values outside [0, 1], unequal lengths, negative weights and
nothing to average.
"""

from smooth_recs.prediction_difference.accumulator import Accumulator
from smooth_recs.prediction_difference.intervals import interval, interval_over_replicas, interval_over_seeds
from smooth_recs.prediction_difference.matched_means import after_matching_means
from smooth_recs.prediction_difference.several_models import (
    mean_over_pairs,
    pairs,
    relative_norm,
    standard_deviation,
)
from smooth_recs.prediction_difference.spread import histogram, quantiles
from smooth_recs.prediction_difference.summary import statistics
from smooth_recs.prediction_difference.two_models import (
    absolute,
    flips,
    jensen_shannon,
    kl,
    logit_difference,
    per_example,
    relative,
)

__all__ = [
    "Accumulator",
    "absolute",
    "after_matching_means",
    "flips",
    "histogram",
    "interval",
    "interval_over_replicas",
    "interval_over_seeds",
    "jensen_shannon",
    "kl",
    "logit_difference",
    "mean_over_pairs",
    "pairs",
    "per_example",
    "quantiles",
    "relative",
    "relative_norm",
    "standard_deviation",
    "statistics",
]
