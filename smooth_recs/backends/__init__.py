"""The one place where activations, norms and clipping meet TensorFlow, jax or PyTorch.

`ops` is the module of this process' backend (`keras_generation.backend`): `_tensorflow`, `_jax` or `_torch`. Each has
the same names, with one meaning: elementwise mathematics under the names of `tf.math`, conversions, what a formula asks
of a type (`largest`, `lowest`), and

    differentiable(value, partials, x, hyperparameters, exact_in_half=False)

which computes `value(x, *hyperparameters)` with the gradients `partials(x, *hyperparameters)`. Automatic
differentiation gives a wrong slope where two pieces meet (3/4 for max(x, u^2 / 4 beta) at beta, where both pieces have
slope 1), and keeps every intermediate result for the backward pass. `differentiable` avoids both: the partial
derivatives are computed from `x`, by differentiable operations, when a gradient is asked for. So only `x` is kept,
higher derivatives follow, and a compiler that sees both passes computes what they share only once. Its arguments:

  value: function of `x` and the hyperparameters, in their order.
  partials: function of the same arguments. It returns a function for `x`, then one for each hyperparameter, each of
    which returns that derivative in a shape that broadcasts with the value.
  x: float tensor of any shape.
  hyperparameters: by name, numbers and arrays (which get no gradient) or tensors (which do) that broadcast with x.
  exact_in_half: the formula is exact enough in float16, as it is. Else 16-bit types are computed in float32.

It raises InputError where a hyperparameter is larger than the largest number of the type it is computed in.

At a tie `minimum(x, y)` and `maximum(x, y)` pass the whole gradient to x, and `relu` passes none at 0.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from smooth_recs import keras_generation

__all__ = ["is_tensor", "ops"]


def is_tensor(value: Any) -> bool:
    """True for a tensor or variable of any backend; False for numbers, NumPy arrays and everything else."""
    return hasattr(value, "dtype") and not isinstance(value, (np.ndarray, np.generic))


ops: Any = importlib.import_module(f"{__name__}._{keras_generation.backend()}")
