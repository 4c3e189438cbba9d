"""Measures of predictions in NumPy and float64, without TensorFlow: accuracy, recommendations, slices, gates.

`catalogue` has a row for every measure; the difference between models is in `smooth_recs.prediction_difference`.
Most modules are also attributes of the package: `sr.accuracy` is `sr.measures.accuracy`.
"""

from smooth_recs.measures import (
    accuracy,
    catalogue,
    gates,
    held_out,
    increases,
    predictive_churn,
    recommendations,
    slices,
)

__all__ = ["accuracy", "catalogue", "gates", "held_out", "increases", "predictive_churn", "recommendations", "slices"]
