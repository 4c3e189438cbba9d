"""Layers of the paper's recipe: normalised dense layers, clipping, towers, stacked embeddings, activations."""

from smooth_recs.activations.layers import RESCU, GSmeLU, SmeLU
from smooth_recs.activations.sharpness import GELU, Softplus, Swish
from smooth_recs.layers.clipping import Clip, clip
from smooth_recs.layers.embedding import EmbeddedFeature, StackedEmbedding
from smooth_recs.layers.normalized_dense import NormalizedDense
from smooth_recs.layers.tower import Tower

__all__ = [
    "GELU",
    "RESCU",
    "Clip",
    "EmbeddedFeature",
    "GSmeLU",
    "NormalizedDense",
    "SmeLU",
    "Softplus",
    "StackedEmbedding",
    "Swish",
    "Tower",
    "clip",
]
