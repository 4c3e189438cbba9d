"""Layers of the paper's recipe: normalised dense layers, clipping, towers, stacked embeddings, activations."""

from __future__ import annotations

import importlib
from typing import Any

from smooth_recs.activations import registry
from smooth_recs.layers.admission import embedding_report
from smooth_recs.layers.embedding import EmbeddedFeature, StackedEmbedding
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


def __getattr__(name: str) -> Any:
    """Finds the layers of activations, and loads the one layer that needs TensorFlow Recommenders on first use."""
    if name in registry.LAYERS:
        return registry.LAYERS[name]
    if name == "TPUStackedEmbedding":
        return importlib.import_module("smooth_recs.layers.tpu_embedding").TPUStackedEmbedding
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
