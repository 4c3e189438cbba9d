"""The activations as Keras strings, in both generations of Keras."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Callable
from typing import Any

from smooth_recs import keras_generation
from smooth_recs.activations import functions, layers
from smooth_recs.errors import InputError

from smooth_recs.activations import others
FUNCTIONS: dict[str, Callable[..., Any]] = {f.__name__: f for f in (functions.smelu, functions.gsmelu, functions.softplus, functions.swish, functions.gelu, others.relu, others.leaky_relu, others.elu, others.selu, others.celu, others.mish, others.tanhexp)}
LAYERS: dict[str, Any] = {c.__name__: c for c in (layers.SmeLU, layers.GSmeLU, layers.Softplus, layers.Swish, layers.GELU)}
WITH_BETA = {"smelu": layers.SmeLU, "gsmelu": layers.GSmeLU, "softplus": layers.Softplus, "swish": layers.Swish, "gelu": layers.GELU}


def register() -> None:
    for name, function in FUNCTIONS.items():
        if not _is_builtin(name):
            keras_generation.serializable(function)
            _add_string(name, function)


def _is_builtin(name: str) -> bool:
    try:
        keras_generation.keras().activations.get(name)
    except (ValueError, TypeError):
        return False
    return True


def _add_string(name: str, function: Callable[..., Any]) -> None:
    if keras_generation.is_legacy():
        keras_generation.keras().utils.get_custom_objects()[name] = function
        return
    try:
        from keras.src.activations import ALL_OBJECTS_DICT

        ALL_OBJECTS_DICT[name] = function
    except ImportError:
        warnings.warn(f"this Keras does not take the string {name!r}: pass smooth_recs.activations.{name}", stacklevel=2)


def get(identifier: Any) -> Callable[..., Any]:
    keras = keras_generation.keras()
    if isinstance(identifier, dict) and identifier.get("class_name") in LAYERS:
        return LAYERS[identifier["class_name"]].from_config(identifier.get("config", {}))
    if isinstance(identifier, str):
        if identifier in FUNCTIONS and not _is_builtin(identifier):
            return FUNCTIONS[identifier]
        if not _is_builtin(identifier):
            near = difflib.get_close_matches(identifier, FUNCTIONS, cutoff=0.5)
            raise InputError(f"activation must be a registered name, got {identifier!r}; near: {', '.join(near)}")
    return keras.activations.get(identifier)


def takes_beta(name: str) -> bool:
    """True where the activation `name` has a width parameter beta."""
    return name in WITH_BETA


def with_beta(name: str, beta: float | None = None) -> Callable[..., Any]:
    """The activation `name` of width beta (None = its default), as an object that Keras can save."""
    function = get(name)
    if beta is None:
        return function
    if not takes_beta(name):
        raise InputError(f"beta must be null for the activation {name!r}, got {beta}")
    if name == "gsmelu":
        return layers.GSmeLU(alpha=beta, beta=beta)
    return WITH_BETA[name](beta=beta)
