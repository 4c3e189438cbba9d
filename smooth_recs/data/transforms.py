"""The scale on which a numeric feature is standardised: one definition for statistics, pipeline and export."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from smooth_recs.data.schema import Numeric

LARGEST = 1e12  # the square of a unit's input is still finite, and so is a layer normalisation's variance


def finite(values: Any) -> Any:
    """Clips `values` to [-1e12, 1e12], infinite ones too; NaN stays NaN."""
    return tf.clip_by_value(values, -LARGEST, LARGEST)


def rescaled(feature: Numeric, values: Any) -> Any:
    """`values`, or sign(x) log(1 + |x|) of them where the feature's transform starts with a logarithm."""
    values = finite(values)
    if feature.transform.startswith("log"):
        return tf.sign(values) * tf.math.log1p(tf.abs(values))
    return values
