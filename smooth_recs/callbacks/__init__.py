"""Keras callbacks, for both generations of Keras. What needs TensorFlow says so where Keras runs on another backend."""

import importlib
from typing import Any

from smooth_recs import keras_generation
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

_OF_TENSORFLOW = {"AverageWeights": "average_weights", "KeepBest": "keep_best"}


def __getattr__(name: str) -> Any:
    """Loads what needs TensorFlow on first use."""
    if name in _OF_TENSORFLOW:
        keras_generation.require_tensorflow(f"sr.callbacks.{name}")
        return getattr(importlib.import_module(f"{__name__}.{_OF_TENSORFLOW[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
