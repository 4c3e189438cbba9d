"""The activations by name: as Keras strings, in both generations of Keras, and in run configurations.

Names that Keras has itself ("relu", "softplus", "swish", "gelu", "elu", ...) keep Keras' meaning, which is that of our
functions at their default hyperparameters. The others ("smelu", "gsmelu", "tanhexp", and what this Keras lacks of
"mish", "celu", "leaky_relu") become Keras strings. `rescu` has no string, since its knots have no default.
"""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Callable
from typing import Any

from smooth_recs import keras_generation
from smooth_recs.activations import functions, layers, others, sharpness
from smooth_recs.errors import InputError

Function = Callable[..., Any]

FUNCTIONS: dict[str, Function] = {
    function.__name__: function
    for function in (
        *(functions.smelu, functions.gsmelu, functions.softplus, functions.swish, functions.gelu),
        *(others.relu, others.leaky_relu, others.elu, others.selu, others.celu, others.mish, others.tanhexp),
    )
}


def _is_string_of_keras(name: str) -> bool:
    try:
        keras_generation.keras().activations.get(name)
    except ValueError:
        return False
    return True


STRINGS = {name: function for name, function in FUNCTIONS.items() if not _is_string_of_keras(name)}
LAYERS: dict[str, Any] = {
    layer.__name__: layer
    for layer in (layers.SmeLU, layers.GSmeLU, layers.RESCU, sharpness.Softplus, sharpness.Swish, sharpness.GELU)
}
WITH_BETA: dict[str, Function] = {
    "smelu": layers.SmeLU,
    "gsmelu": lambda beta: layers.GSmeLU(alpha=beta, beta=beta),
    "softplus": sharpness.Softplus,
    "swish": sharpness.Swish,
    "gelu": sharpness.GELU,
}


def get(identifier: Any) -> Function:
    """The activation that a string, a configuration, a function or a layer stands for.

    >>> get("smelu")([-1.0, 1.0]).numpy().tolist()
    [0.0, 1.0]
    >>> get({"class_name": "SmeLU", "config": {"beta": 1.0}}).beta
    1.0

    Args:
      identifier: a name of ours or of Keras, a dictionary with the `class_name` and `config` of a layer, a callable (a
        layer is one), which is returned as it is, or None, which is the identity.

    Returns:
      A function of a tensor.

    Raises:
      InputError: a string that is not registered; the message has the near misses.
    """
    keras = keras_generation.keras()
    if isinstance(identifier, dict) and identifier.get("class_name") in LAYERS:
        return LAYERS[identifier["class_name"]].from_config(dict(identifier.get("config", {})))
    if isinstance(identifier, str) and identifier in STRINGS:
        return STRINGS[identifier]
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
    return name in WITH_BETA


def with_beta(name: str, beta: float | None = None) -> Function:
    """The activation of a run configuration: a name, and its width parameter.

    >>> with_beta("smelu", 0.1).get_config()["beta"]
    0.1

    Args:
      name: what `get` knows.
      beta: its beta (of "gsmelu", alpha too), or None for the default.

    Returns:
      A function of a tensor that Keras can save: a layer where `beta` is given.

    Raises:
      InputError: an unknown name, a beta out of bounds, or a beta for an activation that has none.
    """
    function = get(name)
    if beta is None:
        return function
    if not takes_beta(name):
        raise InputError(f"beta must be null for the activation {name!r}, which has none, got {beta}")
    return WITH_BETA[name](beta=beta)


def register() -> None:
    """Makes Keras know the functions: all of them in saved models, and those that are not its own as strings."""
    _require_tensorflow()
    for function in FUNCTIONS.values():
        keras_generation.serializable(function)
    for name, function in STRINGS.items():
        _add_string(name, function)


def _require_tensorflow() -> None:
    backend = "tensorflow" if keras_generation.is_legacy() else keras_generation.keras().backend.backend()
    if backend != "tensorflow":
        raise ImportError(
            f"smooth_recs must have Keras' TensorFlow backend: set KERAS_BACKEND=tensorflow, got {backend}"
        )


def _add_string(name: str, function: Function) -> None:
    """Keras 2 has a public table of names. Keras 3 reads a private one only, which a later version may not have."""
    if keras_generation.is_legacy():
        keras_generation.keras().utils.get_custom_objects()[name] = function
        return
    try:
        from keras.src import activations

        activations.ALL_OBJECTS_DICT[name] = function
    except (ImportError, AttributeError, TypeError):
        message = f"this Keras takes no further strings: instead of {name!r} pass smooth_recs.activations.{name}"
        warnings.warn(message, stacklevel=2)
