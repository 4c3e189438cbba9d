"""The activations as Keras layers, with hyperparameters that are fixed, learned, or relative to the pre-activations.

`Activation` makes the weights and keeps them in bounds; a subclass names its hyperparameters and its function. In
exports learned and relative hyperparameters are constants: see `frozen`.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from smooth_recs import keras_generation
from smooth_recs.activations import functions, others
from smooth_recs.activations._arguments import floating_type, number
from smooth_recs.activations.running_scale import RunningScale
from smooth_recs.backends import is_tensor, ops
from smooth_recs.errors import InputError

Names = str | Iterable[str]

INFINITY = float("inf")
SMALLEST_WIDTH = 1e-6  # a learned transition region is no narrower: at 0 it would get no gradient back
SMALLEST_GAP = 1e-3  # learned hyperparameters that are ordered are no closer: float32 must tell them apart
POSITIVE = (SMALLEST_WIDTH, INFINITY)
_SMALLEST_SCALE = 1e-12  # of inputs that are all 0


class Activation(keras_generation.keras().layers.Layer):  # type: ignore[misc]
    """An activation whose hyperparameters are fixed or learned. A subclass names them and calls its function.

    Its width parameters may be relative to the scale of the inputs, so that f(s x) = s f(x) as for ReLU, once s x has
    been trained on as long as x (of gSmeLU where t is 0): width = relative_beta r, with r the running root mean square
    of the inputs (`running_scale.RunningScale`), through which no gradient goes. r is tracked where Keras says
    `training=True`, is in checkpoints and saved models, and stays what it is while predicting.

    Args:
      values: the hyperparameters by name: numbers, or arrays of numbers, one a unit (the last axis of the inputs).
      learn: names of those to train, starting from `values`; "all" for all.
      per: "layer", one number for all units, or "unit". A layer object that is called in several places of a network
        shares its numbers between them: that is the paper's "per network".
      relative_beta: the share of r that the `widths` are, at least 0: a number, or one a unit; None leaves the widths
        as `values` says.
      **kwargs: of `tf.keras.layers.Layer`.

    Raises:
      TypeError, InputError: a name in `learn` is not a hyperparameter, `per` is unknown, a value is out of bounds, or
        a width that is relative is also learned or given.
    """

    function: Callable[..., Any]

    # The hyperparameters that `model.beta` and `relative_beta` set, and the power of the width that they are.
    widths: ClassVar[tuple[str, ...]] = ()
    power: ClassVar[int] = 1

    # Where the weight of a hyperparameter is put back to after every step. A projection, not a reparameterisation, so
    # that training may start on a bound.
    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {}

    def __init__(self, values: Mapping[str, Any], learn: Names, per: str, relative_beta: Any = None, **kwargs: Any):
        super().__init__(**kwargs)
        if per not in ("layer", "unit"):
            raise InputError(f"per must be 'layer' or 'unit', got {per!r}")
        self.supports_masking = True  # a mask passes through, as an activation changes no positions
        self.names = tuple(values)
        wanted = set(self.names if learn == "all" else [learn] if isinstance(learn, str) else learn)
        for name in sorted(wanted - set(self.names)):
            raise InputError(f"learn must be 'all' or some of {', '.join(self.names)}, got {name!r}")
        self.learn = tuple(name for name in self.names if name in wanted)
        self.per = per
        for name, value in values.items():
            setattr(self, name, np.asarray(value).tolist())
        for name in set(self.learn).intersection(self.bounds):
            low, high = self.bounds[name]
            number(f"a learned {name}", getattr(self, name), at_least=low, at_most=high)
        self.relative_beta = None if relative_beta is None else np.asarray(relative_beta).tolist()
        self.scale = None if relative_beta is None else RunningScale(per)
        if relative_beta is not None:
            self._check_relative(values)
        self._constants: tuple[tuple[str, Any], ...] = ()

    def _check_relative(self, values: Mapping[str, Any]) -> None:
        number("relative_beta", self.relative_beta, **({"at_least": 0} if self.power > 0 else {"above": 0}))
        defaults = inspect.signature(type(self)).parameters
        for name in self.widths:
            if name in self.learn:
                raise InputError(
                    f"learn must leave {name} out where relative_beta sets it, got {', '.join(self.learn)}"
                )
            if name in defaults and not np.array_equal(values[name], defaults[name].default):
                raise InputError(f"{name} must be left out where relative_beta sets it, got {values[name]}")

    def build(self, input_shape: Any) -> None:
        self._weight_shape = (input_shape[-1],) if self.per == "unit" else ()
        if (self.learn or self.scale is not None) and None in self._weight_shape:
            raise InputError(f"the last axis of the inputs must be known where per='unit', got {tuple(input_shape)}")
        self.add_hyperparameters()
        if self.scale is not None:
            self.scale.build(input_shape)
        super().build(input_shape)

    def add_hyperparameters(self) -> None:
        """Adds the weights behind the hyperparameters in `learn`; this one adds those with bounds of their own."""
        for name in self.learn:
            if name in self.bounds:
                self.add_hyperparameter(name, getattr(self, name), *self.bounds[name])

    def add_hyperparameter(self, name: str, start: Any, low: float = -INFINITY, high: float = INFINITY) -> None:
        """Adds the weight `name`, a number or one a unit, held in [low, high]."""
        if np.ndim(start) > len(self._weight_shape):
            raise InputError(f"{name} must be one number where per='layer', got {start}")
        number(f"a learned {name}", start, at_least=low, at_most=high)
        values = np.broadcast_to(np.float32(start), self._weight_shape)
        weight = self.add_weight(
            name=name,
            shape=self._weight_shape,
            initializer=keras_generation.keras().initializers.Constant(values),
            constraint=lambda weight: ops.clip(ops.convert(weight), low, high),
        )
        setattr(self, f"{name}_weight", weight)

    def weight(self, name: str) -> Any:
        """The weight `name`, as a tensor."""
        return ops.convert(getattr(self, f"{name}_weight"))

    def hyperparameters(self) -> dict[str, Any]:
        """The hyperparameters by name: arrays, and tensors in place of those that are learned or relative."""
        # Those that are learned without bounds of their own (slopes, knots) come from a subclass.
        own = set(self.learn).intersection(self.bounds)
        now = {name: self.weight(name) if name in own else np.asarray(getattr(self, name)) for name in self.names}
        return now if self.scale is None else {**now, **self.relative_widths(self.scale.root())}

    def relative_widths(self, scale: Any) -> dict[str, Any]:
        """The hyperparameters that `relative_beta` sets, by name, at this scale of the inputs."""
        # For a power of -1 (Softplus, Swish, GELU: beta is the inverse of a width) the scale must not be 0.
        width = ops.maximum(scale, _SMALLEST_SCALE) ** self.power
        width = ops.constant(np.float32(self.relative_beta), width) * width
        return dict.fromkeys(self.widths, ops.stop_gradient(width))

    @property
    def moving(self) -> tuple[str, ...]:
        """The names of the hyperparameters that change while training: those learned, and relative widths."""
        return (*self.learn, *(() if self.scale is None else self.widths))

    def current(self) -> dict[str, Any]:
        """The hyperparameters by name as NumPy arrays, as they are now."""
        return {name: _to_numpy(value) for name, value in self.hyperparameters().items()}

    def freeze(self) -> None:
        """Makes the hyperparameters of now constants, without weights, in whatever is traced from now on."""
        self._constants = tuple(self.current().items())

    def unfreeze(self) -> None:
        """Undoes `freeze`."""
        self._constants = ()

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        if self._constants:
            return self.function(inputs, **dict(self._constants))
        relative = {} if self.scale is None else self.relative_widths(self.scale(inputs, training=training))
        return self.function(inputs, **{**self.hyperparameters(), **relative})

    def compute_output_spec(self, inputs: Any, training: bool | None = None) -> Any:
        """Raises for inputs of another type than a floating-point type when a model is built."""
        # Keras 3 (3.15) builds a model without calling its layers: without this the first batch would bring the error.
        floating_type(inputs.dtype)
        return super().compute_output_spec(inputs)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        values = {name: np.asarray(getattr(self, name)).tolist() for name in self.names}
        relative = {} if self.relative_beta is None else {"relative_beta": self.relative_beta}
        return {**super().get_config(), **values, "learn": list(self.learn), "per": self.per, **relative}


@keras_generation.serializable
class SmeLU(Activation):
    """`smelu` (eq. 7) as a layer.

    ```python
    narrow = tf.keras.layers.Dense(64, activation=sr.layers.SmeLU(beta=0.1))
    learned = sr.layers.SmeLU(learn="beta", per="unit")
    relative = tf.keras.layers.Dense(64, activation=sr.layers.SmeLU(relative_beta=0.3))
    ```

    Args:
      beta: half-width of the transition region, or where it starts from: a number, or one a unit.
      learn: "beta" (or "all") to train it with the model; it stays above 0. Fixed by default.
      per: "layer" or "unit": how many numbers are trained or tracked. One object called in several places shares them.
      relative_beta: in place of beta, its share of the running root mean square of the inputs (see `Activation`).
      **kwargs: of `tf.keras.layers.Layer`.

    Raises:
      TypeError, InputError: as `smelu`; a name in `learn` that is not a hyperparameter; an unknown `per`; a beta that
        is both relative and given or learned.
    """

    function = staticmethod(functions.smelu)
    bounds: ClassVar = {"beta": POSITIVE}
    widths = ("beta",)

    def __init__(
        self,
        beta: Any = functions.DEFAULT_BETA,
        learn: Names = (),
        per: str = "layer",
        relative_beta: Any = None,
        **kwargs: Any,
    ):
        number("beta", beta, at_least=0)
        super().__init__({"beta": beta}, learn, per, relative_beta, **kwargs)


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
      per: "layer" or "unit": how many numbers are trained or tracked. One object called in several places shares them.
      relative_beta: in place of alpha and beta, the share of the running root mean square of the inputs that both are
        (see `Activation`).
      **kwargs: of `tf.keras.layers.Layer`.

    Raises:
      TypeError, InputError: as `gsmelu`; a name in `learn` that is not a hyperparameter; an unknown `per`; an alpha or
        beta that is both relative and given or learned.
    """

    function = staticmethod(functions.gsmelu)
    bounds: ClassVar = {"alpha": POSITIVE, "beta": POSITIVE, "t": (-INFINITY, 0.0)}
    widths = ("alpha", "beta")

    def __init__(
        self,
        alpha: Any = 1.0,
        beta: Any = 1.0,
        g_minus: Any = 0.0,
        g_plus: Any = 1.0,
        t: Any = 0.0,
        learn: Names = (),
        per: str = "layer",
        relative_beta: Any = None,
        **kwargs: Any,
    ):
        functions.check_gsmelu(alpha, beta, g_minus, g_plus, t)
        values = {"alpha": alpha, "beta": beta, "g_minus": g_minus, "g_plus": g_plus, "t": t}
        super().__init__(values, learn, per, relative_beta, **kwargs)

    def add_hyperparameters(self) -> None:
        """Adds the weights behind learned slopes: the gap between the two and, where both are learned, g_minus."""
        # A gap that is held above 0 keeps g_minus below g_plus, whatever both become.
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
            gap = self.weight("g_gap")
            low = now["g_minus"]
            now["g_plus"] = gap + (low if is_tensor(low) else ops.constant(low, gap))
        elif "g_minus" in self.learn:
            gap = self.weight("g_gap")
            now["g_minus"] = ops.constant(now["g_plus"], gap) - gap
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
      TypeError, InputError: as `rescu`; a name in `learn` that is not a hyperparameter; an unknown `per`.
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
        """Adds the weights behind learned knots: the first knot and the gaps between them, which keep their order."""
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


class Sharpness(Activation):
    """An activation of one hyperparameter, beta, whose transition region is the narrower the larger beta is.

    Args:
      beta: inverse of the width of the transition region, or where it starts from: a number, or one a unit.
      learn: "beta" (or "all") to train it with the model; it stays above 0. Fixed by default.
      per: "layer" or "unit": how many numbers are trained or tracked. One object called in several places shares them.
      relative_beta: in place of beta, what is divided by the running root mean square of the inputs to give it; above
        0 (see `Activation`).
      **kwargs: of `tf.keras.layers.Layer`.

    Raises:
      TypeError, InputError: as the function; a name in `learn` that is not a hyperparameter; an unknown `per`; a beta
        that is both relative and given or learned.
    """

    bounds: ClassVar = {"beta": POSITIVE}
    rule: ClassVar = {"at_least": 0}
    widths = ("beta",)
    power = -1

    def __init__(
        self,
        beta: Any = 1.0,
        learn: Names = (),
        per: str = "layer",
        relative_beta: Any = None,
        **kwargs: Any,
    ):
        number("beta", beta, **self.rule)
        super().__init__({"beta": beta}, learn, per, relative_beta, **kwargs)


@keras_generation.serializable
class Softplus(Sharpness):
    """`softplus` (eq. 3) as a layer.

    Args:
      beta: inverse of the width of the transition region, or where it starts from; above 0.
      learn, per, relative_beta: see `Sharpness`.

    ```python
    sharp = tf.keras.layers.Dense(64, activation=sr.layers.Softplus(beta=5.0))
    ```
    """

    rule: ClassVar = {"above": 0}
    function = staticmethod(others.softplus)


@keras_generation.serializable
class Swish(Sharpness):
    """`swish` (eq. 4) as a layer.

    Args:
      beta: inverse of the width of the transition region, or where it starts from; at least 0.
      learn, per, relative_beta: see `Sharpness`.

    ```python
    sharp = tf.keras.layers.Dense(64, activation=sr.layers.Swish(beta=5.0))
    ```
    """

    function = staticmethod(others.swish)


@keras_generation.serializable
class GELU(Sharpness):
    """`gelu` (eq. 5) as a layer.

    Args:
      beta: inverse of the width of the transition region, or where it starts from; at least 0.
      learn, per, relative_beta: see `Sharpness`.
      form: "erf", exact, or "sigmoid", the paper's approximation.

    Raises:
      TypeError, InputError: see `Sharpness`; an unknown `form`.

    ```python
    sharp = tf.keras.layers.Dense(64, activation=sr.layers.GELU(beta=5.0))
    ```
    """

    def __init__(self, beta: Any = 1.0, form: str = "erf", **kwargs: Any):
        others.check_form(form)
        super().__init__(beta, **kwargs)
        self.form = form
        self.function = functools.partial(others.gelu, form=form)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "form": self.form}


def _to_numpy(value: Any) -> Any:
    """A hyperparameter as a NumPy array; a list of them has one a knot."""
    if isinstance(value, list):
        return np.asarray([_to_numpy(each) for each in value])
    return ops.to_numpy(value) if is_tensor(value) else np.asarray(value)


def find(model: Any) -> list[Activation]:
    """The activation layers of a Keras model, those given to other layers as `activation` included.

    ```python
    [layer.current() for layer in sr.activations.find(model)]  # [{"beta": 0.25}]
    ```
    """
    return [layer for layer in keras_generation.all_layers(model) if isinstance(layer, Activation)]


@contextlib.contextmanager
def frozen(model: Any) -> Iterator[None]:
    """Makes learned activations constants in whatever is traced from the model inside.

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
