"""The scale of pre-activations: what a transition region's width has to be compared with."""

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
      name: of the layer.
      units: width of the layer.
      rms: root mean square over the units and the batch.
      transition_share: share of the units, over the batch, inside the transition region: near 0 the activation is
        ReLU, near 1 the layer is almost a polynomial of degree 2; None for an activation without such a region.
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
    with recorded(model, lambda layer, activation, x, _: seen.append(_measured(layer.name, activation, x))):
        model(inputs, training=False)
    return seen


Note = Callable[[Any, Callable[[Any], Any], Any, Any], None]


@contextlib.contextmanager
def recorded(model: Any, note: Note) -> Iterator[None]:
    """Calls note(layer, activation, x, y) whenever a layer of the model makes x, float32 NumPy, to y = activation(x).

    In the order of the forward pass; linear layers are left out. The model has to be called eagerly.
    """
    with contextlib.ExitStack() as stack:
        for layer in keras_generation.all_layers(model):
            activation = getattr(layer, "activation", None)
            if activation is not None and getattr(activation, "__name__", "") != "linear":
                stack.enter_context(_recorded(layer, activation, note))
        yield


@contextlib.contextmanager
def _recorded(layer: Any, activation: Callable[[Any], Any], note: Note) -> Iterator[None]:
    """Has the layer note what goes through its activation."""

    def noting(x: Any) -> Any:
        y = activation(x)
        note(layer, activation, np.asarray(tf.cast(x, tf.float32)), np.asarray(tf.cast(y, tf.float32)))
        return y

    object.__setattr__(layer, "activation", noting)  # past Keras, which would forget the weights of a learned one
    try:
        yield
    finally:
        object.__setattr__(layer, "activation", activation)


def _measured(name: str, activation: Any, x: Any) -> PreActivation:
    region = transition_region(activation)
    share = None if region is None else float(np.mean((x > region[0]) & (x < region[1])))
    return PreActivation(name, int(x.shape[-1]), float(np.sqrt(np.mean(np.square(x, dtype=np.float64)))), share)
