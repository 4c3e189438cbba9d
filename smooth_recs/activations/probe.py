"""The scale of pre-activations, layer by layer: what the width of a transition region has to be compared with."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from smooth_recs import keras_generation
from smooth_recs.activations.registry import transition_region


@dataclasses.dataclass(frozen=True)
class PreActivation:
    """What reaches the activation of one layer.

    Attributes:
      name: the layer's.
      units: width of the layer.
      rms: root mean square over the units and the batch.
      transition_share: the share of units and rows inside the transition region. Near 0 the activation is ReLU, near 1
        the layer is almost a polynomial of degree 2; None for an activation without such a region.
    """

    name: str
    units: int
    rms: float
    transition_share: float | None


def probe(model: Any, inputs: Any) -> list[PreActivation]:
    """Measures the pre-activations of every layer with an activation, in the order of the forward pass.

    beta is in units of the pre-activation (eq. 7): the same beta is wide in one layer and narrow in another.

    Args:
      model: a Keras model whose layers have an `activation` (Dense, NormalizedDense, Activation, ...). Linear ones are
        left out.
      inputs: a batch for the model.

    Returns:
      A `PreActivation` for each layer.

    ```python
    for layer in sr.activations.probe(model, batch):
        print(layer.name, layer.rms, layer.transition_share)
    ```
    """
    seen: list[PreActivation] = []

    def measure(layer: Any, activation: Any, x: Any, y: Any) -> None:
        del y
        rms = float(np.sqrt(np.mean(np.square(x, dtype=np.float64))))
        region = transition_region(activation)
        share = None if region is None else float(np.mean((x > region[0]) & (x < region[1])))
        seen.append(PreActivation(layer.name, int(x.shape[-1]), rms, share))

    with recorded(model, measure):
        model(inputs, training=False)
    return seen


Note = Callable[[Any, Callable[[Any], Any], Any, Any], None]


@contextlib.contextmanager
def recorded(model: Any, note: Note) -> Iterator[None]:
    """Inside, calls note(layer, activation, x, y) whenever a layer of the model computes y = activation(x).

    x and y are NumPy arrays, float32. The calls come in the order of the forward pass; linear layers are left out. The
    model has to be called eagerly.
    """

    def noting(layer: Any, activation: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def noted(x: Any) -> Any:
            y = activation(x)
            note(layer, activation, np.asarray(tf.cast(x, tf.float32)), np.asarray(tf.cast(y, tf.float32)))
            return y

        return noted

    found = [(layer, getattr(layer, "activation", None)) for layer in keras_generation.all_layers(model)]
    active = [(layer, f) for layer, f in found if f is not None and getattr(f, "__name__", "") != "linear"]
    # Layer.__setattr__ of either Keras would forget the weights of a learned activation: object's goes past it.
    try:
        for layer, activation in active:
            object.__setattr__(layer, "activation", noting(layer, activation))
        yield
    finally:
        for layer, activation in active:
            object.__setattr__(layer, "activation", activation)
