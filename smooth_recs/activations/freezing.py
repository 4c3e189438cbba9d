"""Learned activations as constants in what is exported."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from smooth_recs import keras_generation
from smooth_recs.activations.base import Activation


def find(model: Any) -> list[Activation]:
    """The activation layers of a Keras model, those given to other layers as `activation` included.

    ```python
    [layer.current() for layer in sr.activations.find(model)]  # [{"beta": 0.25}]
    ```
    """
    return [layer for layer in keras_generation.all_layers(model) if isinstance(layer, Activation)]


@contextlib.contextmanager
def frozen(model: Any) -> Iterator[None]:
    """Inside, whatever is traced from the model has its learned activations in it as constants.

    ```python
    with sr.activations.frozen(model):
        tf.saved_model.save(model, path, signatures=serve.get_concrete_function())
    ```

    A `tf.function` that was traced before keeps its weights: make the serving function inside.

    Args:
      model: a built Keras model.
    """
    layers = find(model)
    for layer in layers:
        layer.freeze()
    try:
        yield
    finally:
        for layer in layers:
            layer.unfreeze()
