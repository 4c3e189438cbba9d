"""The table of all activations, and what is read from it: Keras strings, layers, widths, transition regions, labels.

To add an activation, write its function (and its layer, if its hyperparameters may be learned) and a row of `TABLE`.

Names that Keras has itself ("relu", "softplus", "swish", "gelu", "elu", ...) keep Keras' meaning, which is that of our
functions at their default hyperparameters. The others ("smelu", "gsmelu", "tanhexp", and those of "mish", "celu",
"leaky_relu" that this Keras lacks) become Keras strings. `rescu` has no string, since its knots have no default.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import enum
import inspect
import warnings
from collections.abc import Callable
from typing import Any

from smooth_recs import keras_generation
from smooth_recs.activations import functions, layers, others
from smooth_recs.activations._arguments import number
from smooth_recs.errors import InputError

Function = Callable[..., Any]

RELATIVE = "rms"  # what follows a width that is a share of the pre-activations' root mean square, where it is written


class Served(enum.Enum):
    """How an activation between two dense layers is computed in an export; the code is in `smooth_recs.serving`."""

    AS_IT_IS = "its own function"
    RELU = "ReLU, or ReLU6 where it is clipped, which TensorFlow fuses into the dense layer"
    PARABOLA = "gSmeLU's parabola in three operations; hyperparameters that it does not have are SmeLU's"


@dataclasses.dataclass(frozen=True)
class Row:
    """One activation.

    Attributes:
      function: maps a tensor to a tensor; its name is the activation's.
      label: the name in reports.
      layer: the Keras layer, whose hyperparameters may be learned; None where there is none.
      region: maps the hyperparameters, by name, to the (left end, right end) of the transition region; None where it
        has no ends.
      served: the form in exports.
    """

    function: Function
    label: str
    layer: type[layers.Activation] | None = None
    region: Callable[..., tuple[Any, Any]] | None = None
    served: Served = Served.AS_IT_IS

    @property
    def name(self) -> str:
        """The Keras string, and the name in configurations and of `smooth_recs.activations`."""
        return self.function.__name__

    @property
    def widths(self) -> tuple[str, ...]:
        """The hyperparameters of the layer that `model.beta` sets; empty where there is no width parameter."""
        return self.layer.widths if self.layer else ()

    @property
    def has_string(self) -> bool:
        """True where every hyperparameter has a default, which a string needs."""
        _, *keywords = inspect.signature(self.function).parameters.values()
        return all(keyword.default is not inspect.Parameter.empty for keyword in keywords)

    @property
    def defaults(self) -> dict[str, float]:
        """The hyperparameters of the function that have a default, by name."""
        parameters = inspect.signature(self.function).parameters.values()
        return {each.name: each.default for each in parameters if isinstance(each.default, int | float)}


TABLE: dict[str, Row] = {
    row.name: row
    for row in (
        Row(
            functions.smelu,
            "SmeLU",
            layers.SmeLU,
            region=lambda beta: (-beta, beta),
            served=Served.PARABOLA,
        ),
        Row(
            functions.gsmelu,
            "gSmeLU",
            layers.GSmeLU,
            region=lambda alpha, beta, **_: (-alpha, beta),
            served=Served.PARABOLA,
        ),
        Row(functions.rescu, "RESCU", layers.RESCU, region=lambda knots, **_: (knots[0], knots[-1])),
        Row(others.softplus, "Softplus", layers.Softplus),
        Row(others.swish, "Swish", layers.Swish),
        Row(others.gelu, "GELU", layers.GELU),
        Row(others.relu, "ReLU", served=Served.RELU),
        Row(others.leaky_relu, "leaky_relu"),
        Row(others.elu, "elu"),
        Row(others.selu, "selu"),
        Row(others.celu, "celu"),
        Row(others.mish, "Mish"),
        Row(others.tanhexp, "TanhExp"),
    )
}

FUNCTIONS: dict[str, Function] = {name: row.function for name, row in TABLE.items() if row.has_string}
LAYERS: dict[str, type[layers.Activation]] = {row.layer.__name__: row.layer for row in TABLE.values() if row.layer}
# What `smooth_recs.activations` offers by name.
OFFERED: dict[str, Any] = {**{name: row.function for name, row in TABLE.items()}, **LAYERS}

# Keras' own functions of our names. They are found out here, before `register` adds ours to Keras' strings.
_KERAS_OWN: dict[str, Function] = {}
for _name in TABLE:
    with contextlib.suppress(ValueError):
        _KERAS_OWN[_name] = keras_generation.keras().activations.get(_name)

# Those of ours that Keras learns from us as strings.
STRINGS = {name: function for name, function in FUNCTIONS.items() if name not in _KERAS_OWN}


def row_of(activation: Any) -> Row | None:
    """Finds the row of a function or layer, Keras' own function of the same name included; None for anything else."""
    for name, row in TABLE.items():
        is_function = activation is row.function or (name in _KERAS_OWN and activation is _KERAS_OWN[name])
        if is_function or (row.layer is not None and isinstance(activation, row.layer)):
            return row
    return None


def hyperparameters(activation: Any) -> dict[str, Any]:
    """The hyperparameters by name: those that a layer has now, the defaults of a function of ours, else none.

    >>> hyperparameters(functions.smelu)
    {'beta': 0.1}
    """
    if isinstance(activation, layers.Activation):
        return activation.current()
    row = row_of(activation)
    return row.defaults if row is not None and activation is row.function else {}


def transition_region(activation: Any) -> tuple[Any, Any] | None:
    """The (left end, right end) of where the slope changes, numbers or one a unit; None where there are no ends.

    >>> transition_region(functions.smelu)
    (-0.1, 0.1)
    """
    row = row_of(activation)
    return None if row is None or row.region is None else row.region(**hyperparameters(activation))


def served(activation: Any) -> Served:
    """The form in which an export computes a function or a layer."""
    row = row_of(activation)
    if row is None or (isinstance(activation, layers.Activation) and type(activation) is not row.layer):
        return Served.AS_IT_IS  # a subclass may compute something else
    return row.served


def label(name: str) -> str:
    """The name that reports give to the activation `name`; one that is not in the table keeps its name.

    >>> label("smelu"), label("sigmoid")
    ('SmeLU', 'sigmoid')
    """
    return TABLE[name].label if name in TABLE else name


def get(identifier: Any) -> Function:
    """The activation that a string, a configuration, a function or a layer stands for.

    >>> get("smelu")([-1.0, 1.0]).numpy().tolist()
    [0.0, 1.0]
    >>> get({"class_name": "SmeLU", "config": {"beta": 1.0}}).beta
    1.0
    >>> get("smelu:0.3rms").relative_beta
    0.3

    Args:
      identifier: a name of ours or of Keras; one with a width (`spelled`), which is a new layer each time; a dictionary
        with the `class_name` and `config` of a layer, a callable (a layer is one), which is returned as it is, or None,
        which is the identity. Keras' own layers take no strings with a width: give them `get`'s layer.

    Returns:
      A function of a tensor.

    Raises:
      InputError: a string that is not registered; the message has the near misses.
    """
    keras = keras_generation.keras()
    if isinstance(identifier, dict) and identifier.get("class_name") in LAYERS:
        layer = LAYERS[identifier["class_name"]].from_config(dict(identifier.get("config", {})))
        if identifier.get("build_config"):  # a saved model: its weights are read into what is built now
            layer.build_from_config(identifier["build_config"])
        return layer
    if isinstance(identifier, str) and identifier in STRINGS:
        return STRINGS[identifier]
    if isinstance(identifier, str) and ":" in identifier:
        name, width = spelled(identifier)
        return with_beta(name, **width)
    try:
        return keras.activations.get(identifier)
    except ValueError as error:
        if not isinstance(identifier, str):
            raise
        names = sorted({*FUNCTIONS, *dir(keras.activations)} - {"deserialize", "get", "serialize"})
        near = ", ".join(difflib.get_close_matches(identifier, names, n=3, cutoff=0.5)) or "nothing"
        raise InputError(f"activation must be a registered name, got {identifier!r}; near it: {near}") from error


def serialize(activation: Function) -> Any:
    """The string or dictionary from which `get` makes the activation again, as Keras puts it into configurations.

    Args:
      activation: what `get` returned, a layer or a function.

    ```python
    get(serialize(sr.layers.SmeLU(beta=0.5))).beta  # 0.5
    ```
    """
    return keras_generation.keras().activations.serialize(activation)


def takes_beta(name: str) -> bool:
    """True where the activation `name` has a width parameter beta.

    >>> takes_beta("smelu"), takes_beta("relu")
    (True, False)
    """
    return name in TABLE and bool(TABLE[name].widths)


def spelled(text: str) -> tuple[str, dict[str, float]]:
    """Name and width of an activation as one writes it: `name`, `name:BETA`, or `name:SHARErms` for a relative beta.

    >>> spelled("smelu"), spelled("smelu:0.25"), spelled("smelu:0.3rms")
    (('smelu', {}), ('smelu', {'beta': 0.25}), ('smelu', {'relative_beta': 0.3}))

    Args:
      text: the activation; a name alone need not be known.

    Returns:
      The name, and what `with_beta` takes of the width.

    Raises:
      InputError: what stands after the colon is no number.
    """
    name, colon, width = text.partition(":")
    if not colon:
        return name, {}
    try:
        number_of = float(width.removesuffix(RELATIVE))
    except ValueError:
        raise InputError(
            f"an activation's width must be a number, or a number with {RELATIVE} after it, got {text!r}"
        ) from None
    return name, {"relative_beta" if width.endswith(RELATIVE) else "beta": number_of}


def with_beta(name: str, beta: float | None = None, relative_beta: float | None = None) -> Function:
    """The activation of a run configuration: a name, and its width parameter.

    >>> with_beta("smelu", 0.1).get_config()["beta"]
    0.1

    Args:
      name: one that `get` knows.
      beta: the value of its width parameters (beta; alpha too for "gsmelu"), or None for the default.
      relative_beta: instead, their share of the running root mean square of the pre-activations (`Activation`).

    Returns:
      A function of a tensor that Keras can save: a layer where a width is given.

    Raises:
      InputError: an unknown name, a width out of bounds, both widths, or a width for an activation that has none.
    """
    function = get(name)
    given = {key: value for key, value in (("beta", beta), ("relative_beta", relative_beta)) if value is not None}
    if not given:
        return function
    if len(given) == 2:
        raise InputError(f"beta must be null where relative_beta sets the width, got {beta} and {relative_beta}")
    row = TABLE.get(name)
    if row is None or row.layer is None or not row.widths:
        key, value = next(iter(given.items()))
        raise InputError(f"{key} must be null for the activation {name!r}, which has none, got {value}")
    made: Any = row.layer
    return made(relative_beta=relative_beta, **({} if beta is None else dict.fromkeys(row.widths, beta)))


def width_schedule(first: float, last: float, layers: int, kind: str = "geometric") -> tuple[float, ...]:
    """The beta of every hidden layer, from the one next to the inputs to the one next to the output (section 5.1).

    geometric: first * (last / first)^(i / (layers - 1)),  linear: first + (last - first) * i / (layers - 1).

    >>> width_schedule(1.0, 0.25, 3)
    (1.0, 0.5, 0.25)

    Args:
      first, last: half-widths of the first and the last layer; above 0 for a geometric schedule.
      layers: how many; one layer has the width `first`.
      kind: "geometric" or "linear".

    Raises:
      TypeError: an argument is not a number.
      InputError: a width or the number of layers is out of bounds, or the kind is unknown.
    """
    if kind not in ("geometric", "linear"):
        raise InputError(f"kind must be 'geometric' or 'linear', got {kind!r}")
    for name, width in (("first", first), ("last", last)):
        number(name, width, **({"above": 0} if kind == "geometric" else {"at_least": 0}))
    number("layers", layers, at_least=1)
    shares = [i / (layers - 1) if layers > 1 else 0.0 for i in range(layers)]
    if kind == "linear":
        return tuple(first * (1 - share) + last * share for share in shares)
    return tuple(first ** (1 - share) * last**share for share in shares)


def register() -> None:
    """Makes Keras know the functions: all of them in saved models, and those that are not its own as strings."""
    for function in FUNCTIONS.values():
        keras_generation.serializable(function)
    if keras_generation.is_legacy():
        keras_generation.keras().utils.get_custom_objects().update(STRINGS)
        return
    # In Keras 3 no public hook reaches keras.activations.get(str) (3.15 and 3.16): it reads a private table only, which
    # a later version may not have. A user then passes the function.
    try:
        from keras.src import activations

        activations.ALL_OBJECTS_DICT.update(STRINGS)
    except (ImportError, AttributeError, TypeError):
        for name in STRINGS:
            message = f"this Keras takes no further strings: instead of {name!r} pass smooth_recs.activations.{name}"
            warnings.warn(message, stacklevel=2)
