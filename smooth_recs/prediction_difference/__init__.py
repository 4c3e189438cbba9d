"""Prediction difference (PD): how much models of one configuration disagree (section 3), in NumPy and float64.

Predictions are probabilities, [n] or [n, 1]; those of R >= 2 models for the same examples are [n, R]. Every function
raises InputError, a ValueError with a message of one line, for NaN, values outside [0, 1], arrays of different lengths,
negative weights, and where there is nothing to average.
"""

from smooth_recs.prediction_difference.accumulator import Accumulator, statistics
from smooth_recs.prediction_difference.differences import (
    absolute,
    after_matching_means,
    flips,
    histogram,
    jensen_shannon,
    kl,
    logit_difference,
    mean_over_pairs,
    pairs,
    per_example,
    quantiles,
    relative,
    relative_norm,
    standard_deviation,
)
from smooth_recs.prediction_difference.intervals import interval, interval_over_replicas, interval_over_seeds

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
