"""The scale of pre-activations, layer by layer: what the width of a transition region has to be compared with."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from smooth_recs import keras_generation
from smooth_recs.activations.layers import find
from smooth_recs.activations.registry import transition_region
from smooth_recs.backends import ops
from smooth_recs.errors import InputError

NEARLY_ALL = 0.99  # of a layer's inputs: then the transition region is too narrow, or perhaps too wide
STRAIGHT = 0.98  # the linear share from which a layer is linear; ReLU has 0.73 over inputs spread normally around 0


@dataclasses.dataclass(frozen=True)
class PreActivation:
    """What reaches the activation of one layer.

    Attributes:
      name: the layer's.
      units: width of the layer.
      rms: root mean square over the units and the batch.
      transition_share: the share of units and rows inside the transition region. Near 0 the activation is ReLU, near 1
        the layer is almost a polynomial of degree 2; None for an activation without such a region.
      linear_share: the share of the outputs' variance, unit by unit, that a straight line through the inputs explains;
        1 is a linear layer.
      half_width: half the length of the transition region, the mean over the units; None without such a region.
    """

    name: str
    units: int
    rms: float
    transition_share: float | None
    linear_share: float = 1.0
    half_width: float | None = None

    @property
    def warning(self) -> str | None:
        """One line where the width does nothing: the layer is ReLU, or linear, for nearly all inputs; else None.

        A width of 0, which asks for ReLU, is not warned of.

        >>> PreActivation("hidden", 64, 40.0, 0.001, 0.73, 0.1).warning[:67]
        'hidden: the activation is piecewise linear for 99.9% of its inputs,'
        """
        if not self.half_width or self.transition_share is None or not np.isfinite(self.rms):
            return None
        if self.transition_share <= 1 - NEARLY_ALL:
            what = f"piecewise linear for {1 - self.transition_share:.1%} of its inputs, as ReLU is"
        elif self.transition_share >= NEARLY_ALL and self.linear_share >= STRAIGHT:
            what = (
                f"a straight line for nearly all inputs: one explains {self.linear_share:.1%} of its outputs' variance"
            )
        else:
            return None
        return (
            f"{self.name}: the activation is {what}; its half-width is {self.half_width:.3g}, the root mean square of "
            f"the inputs {self.rms:.3g} (relative_beta gives a width that follows them)"
        )


def probe(model: Any, inputs: Any) -> list[PreActivation]:
    """Measures the pre-activations of every layer with an activation, in the order of the forward pass.

    beta is in units of the pre-activation (eq. 7): the same beta is wide in one layer and narrow in another.

    Args:
      model: a Keras model whose layers have an `activation` (Dense, NormalizedDense, Activation, ...), or are one of
        ours. Left out are linear layers, and those whose activation is not a function of one batch: recurrent ones,
        which compute a step of time after the other, and what runs inside of a compiled function.
      inputs: a batch for the model.

    Returns:
      A `PreActivation` for each layer.

    Raises:
      InputError: a dataset in place of a batch, or a batch without rows.

    ```python
    for layer in sr.activations.probe(model, batch):
        print(layer.name, layer.rms, layer.transition_share, layer.warning)
    ```
    """
    seen: list[PreActivation] = []

    def measure(layer: Any, activation: Any, x: Any, y: Any) -> None:
        if not np.size(x):
            raise InputError("inputs must have at least one row, got none")
        rms = float(np.sqrt(np.mean(np.square(x, dtype=np.float64))))
        region = transition_region(activation)
        share = None if region is None else float(np.mean((x > region[0]) & (x < region[1])))
        half = None if region is None else float(np.mean(np.subtract(region[1], region[0])) / 2)
        seen.append(PreActivation(layer.name, int(x.shape[-1]), rms, share, _linear_share(x, y), half))

    if hasattr(inputs, "element_spec"):
        raise InputError("inputs must be a batch for the model, such as x of `for x, y in dataset`, got a dataset")
    with recorded(model, measure):
        model(inputs, training=False)
    return seen


def _linear_share(x: Any, y: Any) -> float:
    """The sum over the units of cov(x, y)^2 / var(x), over that of var(y); 1 where no unit's output varies."""
    x, y = (np.reshape(values, [-1, values.shape[-1]]).astype(np.float64) for values in (x, y))
    with np.errstate(invalid="ignore", over="ignore"):
        x, y = x - x.mean(axis=0), y - y.mean(axis=0)
        together, of_x, of_y = ((a * b).mean(axis=0) for a, b in ((x, y), (x, x), (y, y)))
    explained = np.divide(together**2, of_x, out=np.zeros_like(of_x), where=of_x > 0)
    return float(explained.sum() / of_y.sum()) if of_y.sum() > 0 else 1.0


Note = Callable[[Any, Callable[[Any], Any], Any, Any], None]


@contextlib.contextmanager
def recorded(model: Any, note: Note) -> Iterator[None]:
    """Inside, calls note(layer, activation, x, y) whenever a layer of the model computes y = activation(x).

    x and y are NumPy arrays, float32. The calls come in the order of the forward pass; linear and recurrent layers are
    left out. A layer of ours that stands for itself is noted as its own activation. The model has to be called eagerly.
    """
    layers = keras_generation.all_layers(model)
    recurrent = [layer for layer in layers if isinstance(layer, keras_generation.keras().layers.RNN)]
    within = {id(part) for layer in recurrent for part in keras_generation.all_layers(layer)}

    def noting(layer: Any, activation: Callable[..., Any], owner: Any) -> Callable[..., Any]:
        def noted(x: Any, **hyperparameters: Any) -> Any:
            y = activation(x, **hyperparameters)
            if not ops.is_symbolic(x):
                note(layer, owner, ops.to_numpy(x), ops.to_numpy(y))
            return y

        return noted

    found = [(layer, getattr(layer, "activation", None)) for layer in layers if id(layer) not in within]
    active = [
        (layer, f)
        for layer, f in found
        if callable(f)
        and getattr(f, "__name__", "") != "linear"
        and not isinstance(getattr(type(layer), "activation", None), property)  # of a layer inside, as a wrapper has
    ]
    inside = {id(activation) for _, activation in found}
    alone = [layer for layer in find(model) if id(layer) not in inside | within]
    own = [vars(layer).get("function") for layer in alone]  # of one object, where it is not that of the class
    # Layer.__setattr__ of either Keras would forget the weights of a learned activation: object's goes past it.
    try:
        for layer, activation in active:
            object.__setattr__(layer, "activation", noting(layer, activation, activation))
        for layer in alone:
            object.__setattr__(layer, "function", noting(layer, layer.function, layer))
        yield
    finally:
        for layer, activation in active:
            object.__setattr__(layer, "activation", activation)
        for layer, function in zip(alone, own, strict=True):
            if function is None:
                object.__delattr__(layer, "function")
            else:
                object.__setattr__(layer, "function", function)
