"""The smooth activations that SmeLU is compared with (eqs. 3-5), as Keras layers, with fixed or learned beta."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any, ClassVar

from smooth_recs import keras_generation
from smooth_recs.activations import functions
from smooth_recs.activations.base import INFINITY, SMALLEST_WIDTH, Activation
from smooth_recs.activations.checks import number


class Sharpness(Activation):
    """An activation of one hyperparameter, beta, whose transition region is the narrower the larger beta is.

    Args:
      beta: inverse of the width of the transition region, or where it starts from: a number, or one a unit.
      learn: "beta" (or "all") to train it with the model; it stays above 0. Fixed by default.
      per: "layer" or "unit": how many numbers are trained. One object called in several places shares them.
      **kwargs: of `tf.keras.layers.Layer`.

    Raises:
      TypeError, InputError: as the function; a name in `learn` that is no hyperparameter; another `per`.
    """

    bounds: ClassVar = {"beta": (SMALLEST_WIDTH, INFINITY)}
    rule: ClassVar = {"at_least": 0}

    def __init__(self, beta: Any = 1.0, learn: str | Iterable[str] = (), per: str = "layer", **kwargs: Any):
        number("beta", beta, **self.rule)
        super().__init__({"beta": beta}, learn, per, **kwargs)


@keras_generation.serializable
class Softplus(Sharpness):
    """`softplus` (eq. 3) as a layer.

    Args:
      beta: inverse of the width of the transition region, or where it starts from; above 0.
      learn, per: see `Sharpness`.

    ```python
    sharp = tf.keras.layers.Dense(64, activation=sr.layers.Softplus(beta=5.0))
    ```
    """

    rule: ClassVar = {"above": 0}
    function = staticmethod(functions.softplus)


@keras_generation.serializable
class Swish(Sharpness):
    """`swish` (eq. 4) as a layer.

    Args:
      beta: inverse of the width of the transition region, or where it starts from; at least 0.
      learn, per: see `Sharpness`.

    ```python
    sharp = tf.keras.layers.Dense(64, activation=sr.layers.Swish(beta=5.0))
    ```
    """

    function = staticmethod(functions.swish)


@keras_generation.serializable
class GELU(Sharpness):
    """`gelu` (eq. 5) as a layer.

    Args:
      beta: inverse of the width of the transition region, or where it starts from; at least 0.
      learn, per: see `Sharpness`.
      form: "erf", exact, or "sigmoid", the paper's approximation.

    Raises:
      TypeError, InputError: see `Sharpness`; another `form`.

    ```python
    sharp = tf.keras.layers.Dense(64, activation=sr.layers.GELU(beta=5.0))
    ```
    """

    def __init__(self, beta: Any = 1.0, form: str = "erf", **kwargs: Any):
        functions.check_form(form)
        super().__init__(beta, **kwargs)
        self.form = form
        self.function = functools.partial(functions.gelu, form=form)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "form": self.form}
