"""Layers of the paper's recipe: normalised dense layers, clipping, towers, stacked embeddings, activations."""

from __future__ import annotations

import importlib
from typing import Any

from smooth_recs import keras_generation
from smooth_recs.activations import registry
from smooth_recs.layers.normalized_dense import Clip, NormalizedDense, clip
from smooth_recs.layers.tower import Tower

__all__ = [
    "Clip",
    "EmbeddedFeature",
    "NormalizedDense",
    "StackedEmbedding",
    "TPUStackedEmbedding",
    "Tower",
    "clip",
    "embedding_report",
    *registry.LAYERS,
]

# What needs TensorFlow, and the modules that have it; one of them needs TensorFlow Recommenders too.
_OF_TENSORFLOW = {
    "EmbeddedFeature": "embedding",
    "StackedEmbedding": "embedding",
    "TPUStackedEmbedding": "tpu_embedding",
    "embedding_report": "admission",
}


def __getattr__(name: str) -> Any:
    """Finds the layers of activations, and loads what needs TensorFlow on first use."""
    if name in registry.LAYERS:
        return registry.LAYERS[name]
    if name in _OF_TENSORFLOW:
        keras_generation.require_tensorflow(f"sr.layers.{name}")
        return getattr(importlib.import_module(f"{__name__}.{_OF_TENSORFLOW[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
