"""The activations as Keras layers, with fixed or learned hyperparameters."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import numpy as np

from smooth_recs import keras_generation
from smooth_recs.activations import functions
from smooth_recs.activations.base import INFINITY, SMALLEST_GAP, SMALLEST_WIDTH, Activation
from smooth_recs.activations.checks import number

Names = str | Iterable[str]
POSITIVE = (SMALLEST_WIDTH, INFINITY)


@keras_generation.serializable
class SmeLU(Activation):
    """`smelu` (eq. 7) as a layer.

    ```python
    narrow = tf.keras.layers.Dense(64, activation=sr.layers.SmeLU(beta=0.1))
    learned = sr.layers.SmeLU(learn="beta", per="unit")
    ```

    Args:
      beta: half-width of the transition region, or where it starts from: a number, or one a unit.
      learn: "beta" (or "all") to train it with the model; it stays above 0. Fixed by default.
      per: "layer" or "unit": how many numbers are trained. One object called in several places shares them.
      **kwargs: of `tf.keras.layers.Layer`.

    Raises:
      TypeError, InputError: as `smelu`; a name in `learn` that is no hyperparameter; another `per`.
    """

    function = staticmethod(functions.smelu)
    bounds: ClassVar = {"beta": POSITIVE}

    def __init__(self, beta: Any = functions.DEFAULT_BETA, learn: Names = (), per: str = "layer", **kwargs: Any):
        number("beta", beta, at_least=0)
        super().__init__({"beta": beta}, learn, per, **kwargs)


@keras_generation.serializable
class GSmeLU(Activation):
    """`gsmelu` (eqs. 9, 10) as a layer.

    ```python
    learned = sr.layers.GSmeLU(t=-0.1, learn="all", per="unit")
    leaky = sr.layers.GSmeLU(g_minus=0.1, learn=("alpha", "beta"))
    ```

    Args:
      alpha, beta, g_minus, g_plus, t: see `gsmelu`; what they are, or where they start from: numbers, or one a unit.
      learn: names of those to train with the model, or "all"; alpha, beta > 0, g_plus > g_minus and t <= 0 are kept.
      per: "layer" or "unit": how many numbers are trained. One object called in several places shares them.
      **kwargs: of `tf.keras.layers.Layer`.

    Raises:
      TypeError, InputError: as `gsmelu`; a name in `learn` that is no hyperparameter; another `per`.
    """

    function = staticmethod(functions.gsmelu)
    bounds: ClassVar = {"alpha": POSITIVE, "beta": POSITIVE, "t": (-INFINITY, 0.0)}

    def __init__(
        self,
        alpha: Any = 1.0,
        beta: Any = 1.0,
        g_minus: Any = 0.0,
        g_plus: Any = 1.0,
        t: Any = 0.0,
        learn: Names = (),
        per: str = "layer",
        **kwargs: Any,
    ):
        functions.check_gsmelu(alpha, beta, g_minus, g_plus, t)
        values = {"alpha": alpha, "beta": beta, "g_minus": g_minus, "g_plus": g_plus, "t": t}
        super().__init__(values, learn, per, **kwargs)

    def add_hyperparameters(self) -> None:
        """The weights of learned slopes are the gap between the two and, where both are learned, g_minus."""
        super().add_hyperparameters()
        learned = {"g_minus", "g_plus"}.intersection(self.learn)
        if len(learned) == 2:
            self.add_hyperparameter("g_minus", self.g_minus)
        if learned:
            self.add_hyperparameter("g_gap", np.subtract(self.g_plus, self.g_minus), SMALLEST_GAP)

    def hyperparameters(self) -> dict[str, Any]:
        now = super().hyperparameters()
        if "g_plus" in self.learn:
            now["g_minus"] = self.weight("g_minus") if "g_minus" in self.learn else now["g_minus"]
            now["g_plus"] = self.weight("g_gap") + now["g_minus"]
        elif "g_minus" in self.learn:
            now["g_minus"] = now["g_plus"] - self.weight("g_gap")
        return now


@keras_generation.serializable
class RESCU(Activation):
    """`rescu` (section 5.2) as a layer.

    ```python
    bump = sr.layers.RESCU(knots=(-1.0, 0.0, 1.0), slopes=(0.0, 1.5, 1.0), learn=("knots", "slopes"))
    ```

    Args:
      knots, slopes, t: see `rescu`; what they are, or where they start from: for each knot a number, or one a unit.
      learn: some of "knots", "slopes" and "t" to train with the model, or "all"; the knots stay in order.
      per: "layer" or "unit": how many numbers a hyperparameter has. One object called in several places shares them.
      **kwargs: of `tf.keras.layers.Layer`.

    Raises:
      TypeError, InputError: as `rescu`; a name in `learn` that is no hyperparameter; another `per`.
    """

    function = staticmethod(functions.rescu)
    bounds: ClassVar = {"t": (-INFINITY, INFINITY)}

    def __init__(
        self,
        knots: Sequence[Any],
        slopes: Sequence[Any],
        t: Any = 0.0,
        learn: Names = (),
        per: str = "layer",
        **kwargs: Any,
    ):
        functions.check_rescu(knots, slopes, t)
        super().__init__({"knots": knots, "slopes": slopes, "t": t}, learn, per, **kwargs)

    def add_hyperparameters(self) -> None:
        """The weights of learned knots are the first knot and the gaps between them."""
        super().add_hyperparameters()
        if "knots" in self.learn:
            self.add_hyperparameter("knot_0", self.knots[0])
            for i, (left, right) in enumerate(itertools.pairwise(self.knots)):
                self.add_hyperparameter(f"gap_{i}", np.subtract(right, left), SMALLEST_GAP)
        if "slopes" in self.learn:
            for i, slope in enumerate(self.slopes):
                self.add_hyperparameter(f"slope_{i}", slope)

    def hyperparameters(self) -> dict[str, Any]:
        now = super().hyperparameters()
        if "knots" in self.learn:
            gaps = (self.weight(f"gap_{i}") for i in range(len(self.knots) - 1))
            now["knots"] = list(itertools.accumulate(gaps, initial=self.weight("knot_0")))
        if "slopes" in self.learn:
            now["slopes"] = [self.weight(f"slope_{i}") for i in range(len(self.slopes))]
        return now
