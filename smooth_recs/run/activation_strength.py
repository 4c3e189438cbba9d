"""How strongly the neurons of one model respond to an example, from which its PD can be estimated.

Chen et al. 2020 and Yu et al. 2021 (references [11] and [53] of the paper) find that the variation of an example's
prediction over retrainings shows in the activations of a single model.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from smooth_recs.activations.probe import recorded
from smooth_recs.activations.registry import transition_region
from smooth_recs.errors import InputError
from smooth_recs.statistics.arrays import Array

SUMMARIES = ("mean", "rms", "active", "transition", "max", "novelty")
MOST_UNITS = 1000
BATCH_SIZE = 4096
_EXTREME = 4.0
_SMALLEST_VARIANCE = 1e-4  # as a share of the largest: directions below it are rounding

Floats = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True)
class Strengths:
    """What one model's hidden layers make of n examples.

    Attributes:
      units: [n, units] float32 outputs of the activations, layer beside layer. A network of more than 1,000 units is
        represented by every second of each layer, or every third, and so on.
      summaries: [n, layers x 6] of each layer: mean and root mean square of the outputs; shares of the pre-activations
        above 0, and inside the transition region (0 without one); maximum of the outputs; novelty, log(1 + m), with m
        the outputs' squared Mahalanobis distance from their mean over a dimension, 1 on average. None of them depends
        on the order of the units, novelty not even on the basis. In standard deviations over the n examples, at most 4,
        so that they mean the same in another model.
    """

    units: Floats
    summaries: Array


def strengths(model: Any, features: Any) -> Floats:
    """Outputs of the activations of all hidden layers for a batch, float32 [n, units], layer beside layer.

    Args:
      model: a Keras model whose layers have an `activation`; linear ones are left out.
      features: a batch for the model.

    Raises:
      InputError: the model has no such layer.

    ```python
    strengths(siblings.replicas[0], rows["features"])  # [4096, 496]
    ```
    """
    return np.concatenate([y for _, _, y in _layers(model, features)], axis=1)


def record(model: Any, holdout: Any, rows: int) -> Strengths:
    """The strengths of the first `rows` examples of `holdout`, chunks of `data.source.Rows`.

    Raises:
      InputError: the model has no hidden layer with an activation.
    """
    units: list[list[Floats]] = []
    summaries = []
    for chunk in holdout.rebatch(BATCH_SIZE).take(-(-rows // BATCH_SIZE)):
        layers = _layers(model, chunk["features"])
        step = -(-sum(y.shape[1] for _, _, y in layers) // MOST_UNITS)
        units.append([y[:, ::step] for _, _, y in layers])
        summaries.append(np.stack([column for layer in layers for column in _summaries(*layer)], axis=1))
    outputs = [np.concatenate(parts)[:rows] for parts in zip(*units, strict=True)]
    found = np.concatenate(summaries)[:rows]
    novelty = np.stack([_novelty(y) for y in outputs], axis=1)
    per_layer = np.concatenate([found.reshape(len(found), len(outputs), -1), novelty[:, :, None]], axis=2)
    return Strengths(np.concatenate(outputs, axis=1), _standardised(per_layer.reshape(len(found), -1)))


def _layers(model: Any, features: Any) -> list[tuple[Any, Floats, Floats]]:
    """(activation, pre-activations [n, units], outputs [n, units]) of each hidden layer."""
    seen: list[tuple[Any, Floats, Floats]] = []

    def note(layer: Any, activation: Any, x: Floats, y: Floats) -> None:
        seen.append((activation, x.reshape(len(x), -1), y.reshape(len(y), -1)))

    with recorded(model, note):
        model(features, training=False)
    if not seen:
        raise InputError(f"model must have hidden layers with an activation, got {model.name!r} without")
    return seen


def _summaries(activation: Any, x: Floats, y: Floats) -> list[Floats]:
    """Of one layer, [n] each, in the order of `SUMMARIES`, novelty left out."""
    region = transition_region(activation)
    inside = np.zeros(x.shape, bool) if region is None else (x > region[0]) & (x < region[1])
    return [
        y.mean(axis=1),
        np.sqrt(np.square(y).mean(axis=1)),
        (x > 0).mean(axis=1, dtype=np.float32),
        inside.mean(axis=1, dtype=np.float32),
        y.max(axis=1),
    ]


def _novelty(outputs: Floats) -> Array:
    """log(1 + m) of each row of one layer; see `Strengths`."""
    mean = outputs.mean(axis=0, dtype=np.float64)
    blocks = np.array_split(outputs, -(-len(outputs) // BATCH_SIZE))  # small enough to stay in the cache
    covariance = sum((block - mean).T @ (block - mean) for block in blocks) / len(outputs)
    variance, directions = np.linalg.eigh(covariance)
    kept = variance > max(_SMALLEST_VARIANCE * variance[-1], np.finfo(np.float32).tiny)
    if not kept.any():
        return np.zeros(len(outputs))
    whitening = directions[:, kept] / np.sqrt(variance[kept])
    return np.log1p(np.concatenate([np.square((block - mean) @ whitening).mean(axis=1) for block in blocks]))


def _standardised(values: Any) -> Array:
    values = np.asarray(values, np.float64)
    centred, scale = values - values.mean(axis=0), values.std(axis=0)
    varies = scale > 1e-5 * np.sqrt(np.square(values).mean(axis=0))  # beyond the rounding of float32
    clipped: Array = np.clip(centred / np.where(varies, scale, np.inf), -_EXTREME, _EXTREME)
    return clipped
