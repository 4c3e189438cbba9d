"""What the activation layers have in common: hyperparameters that are fixed, or made of weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from smooth_recs import keras_generation
from smooth_recs.activations import checks
from smooth_recs.errors import InputError

INFINITY = float("inf")
SMALLEST_WIDTH = 1e-6  # of a learned transition region, so that it stays one
SMALLEST_GAP = 1e-3  # between learned hyperparameters that are ordered, so that float32 tells them apart


class Activation(keras_generation.keras().layers.Layer):  # type: ignore[misc]
    """An activation whose hyperparameters are fixed or learned. A subclass names them and calls its function.

    Args:
      values: the hyperparameters by name: numbers, or arrays of numbers, one a unit (the last axis of the inputs).
      learn: names of those to train, starting from `values`; "all" for all.
      per: "layer", one number for all units, or "unit". A layer object that is called in several places of a network
        shares its numbers between them: that is the paper's "per network".
      **kwargs: of `tf.keras.layers.Layer`.

    Raises:
      TypeError, InputError: a name in `learn` that is no hyperparameter, another `per`, or a value out of its bounds.
    """

    function: Callable[..., Any]

    # Where the weight of a hyperparameter is put back to after every step. A projection, not a reparameterisation, so
    # that training may start on a bound.
    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {}

    def __init__(self, values: Mapping[str, Any], learn: str | Iterable[str], per: str, **kwargs: Any):
        super().__init__(**kwargs)
        if per not in ("layer", "unit"):
            raise InputError(f"per must be 'layer' or 'unit', got {per!r}")
        self.supports_masking = True
        self.names = tuple(values)
        self.learn = _chosen(learn, self.names)
        self.per = per
        for name, value in values.items():
            setattr(self, name, np.asarray(value).tolist())
        for name in set(self.learn).intersection(self.bounds):
            low, high = self.bounds[name]
            checks.number(f"a learned {name}", getattr(self, name), at_least=low, at_most=high)
        self._constants: tuple[tuple[str, Any], ...] = ()

    def build(self, input_shape: Any) -> None:
        self._weight_shape = (input_shape[-1],) if self.per == "unit" else ()
        if self.learn and None in self._weight_shape:
            raise InputError(f"the last axis of the inputs must be known where per='unit', got {tuple(input_shape)}")
        self.add_hyperparameters()
        super().build(input_shape)

    def add_hyperparameters(self) -> None:
        """Adds the weights behind the hyperparameters in `learn`: here those with bounds of their own."""
        for name in self.learn:
            if name in self.bounds:
                self.add_hyperparameter(name, getattr(self, name), *self.bounds[name])

    def add_hyperparameter(self, name: str, start: Any, low: float = -INFINITY, high: float = INFINITY) -> None:
        """Adds the weight `name`, a number or one a unit, held in [low, high]."""
        if np.ndim(start) > len(self._weight_shape):
            raise InputError(f"{name} must be one number where per='layer', got {start}")
        checks.number(f"a learned {name}", start, at_least=low, at_most=high)
        values = np.broadcast_to(np.float32(start), self._weight_shape)
        weight = self.add_weight(
            name=name,
            shape=self._weight_shape,
            initializer=keras_generation.keras().initializers.Constant(values),
            constraint=lambda weight: tf.clip_by_value(tf.convert_to_tensor(weight), low, high),
        )
        setattr(self, f"{name}_weight", weight)

    def weight(self, name: str) -> Any:
        """The weight `name`, as a tensor."""
        return tf.convert_to_tensor(getattr(self, f"{name}_weight"))

    def hyperparameters(self) -> dict[str, Any]:
        """The hyperparameters by name: arrays, and tensors in place of those that are learned."""
        own = set(self.learn).intersection(self.bounds)
        return {name: self.weight(name) if name in own else np.asarray(getattr(self, name)) for name in self.names}

    def current(self) -> dict[str, Any]:
        """The hyperparameters by name as NumPy arrays, as they are now."""
        return {name: np.asarray(value) for name, value in self.hyperparameters().items()}

    def freeze(self) -> None:
        """What is traced from now on has today's hyperparameters in it as constants, and no weights."""
        self._constants = tuple(self.current().items())

    def unfreeze(self) -> None:
        """Undoes `freeze`."""
        self._constants = ()

    def call(self, inputs: Any) -> Any:
        return self.function(inputs, **(dict(self._constants) or self.hyperparameters()))

    def compute_output_spec(self, inputs: Any) -> Any:
        """Keras 3 builds a model without calling its layers: without this the first batch would bring the error."""
        checks.floating_type(inputs.dtype)
        return super().compute_output_spec(inputs)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        values = {name: np.asarray(getattr(self, name)).tolist() for name in self.names}
        return {**super().get_config(), **values, "learn": list(self.learn), "per": self.per}


def _chosen(learn: str | Iterable[str], names: tuple[str, ...]) -> tuple[str, ...]:
    """The names in `learn`, in the order of `names`."""
    if learn == "all":
        return names
    chosen = {learn} if isinstance(learn, str) else set(learn)
    for name in sorted(chosen - set(names)):
        raise InputError(f"learn must be 'all' or some of {', '.join(names)}, got {name!r}")
    return tuple(name for name in names if name in chosen)
