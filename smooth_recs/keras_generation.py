"""The two generations of Keras: this is the one module that knows that there are two.

`tf.keras` is Keras 3, or `tf_keras` (Keras 2) where `TF_USE_LEGACY_KERAS=1` was set before TensorFlow was imported.
Activations, layers, constraints, metrics and callbacks run in both; the ranking stack runs in `tf_keras` only, because
TensorFlow Recommenders does.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Sequence
from typing import Any

LEGACY_VARIABLE = "TF_USE_LEGACY_KERAS"
PACKAGE = "smooth_recs"

# What `python -m` starts without `tf.keras` having been asked for: the binaries, and the process that asks exports with
# TensorFlow's C++ loader, which has no Python TensorFlow at all.
_PROGRAMS = (f"{PACKAGE}.bin.", f"{PACKAGE}.serving.loader_process")
_SCRIPTS = ("smooth-recs", "smooth-recs.exe")  # what the wheel installs


def started_as_binary() -> bool:
    """True in `smooth-recs`, `python -m smooth_recs.bin.X`, `bin/X.py` run as a file (Bazel), the loader's process."""
    if sys.argv[:1] == ["-m"]:  # the package is imported before the module that -m names
        return any(argument == PACKAGE or argument.startswith(_PROGRAMS) for argument in sys.orig_argv)
    folder, _, name = (sys.argv[0] if sys.argv else "").replace(os.sep, "/").rpartition("/")
    return folder.endswith(f"{PACKAGE}/bin") or name in _SCRIPTS


def choose_legacy() -> None:
    """Asks TensorFlow for `tf_keras`, as the ranking stack needs; an explicit choice of the user stays."""
    os.environ.setdefault(LEGACY_VARIABLE, "1")


def keras() -> Any:
    """The Keras that `tf.keras` stands for in this process."""
    import tensorflow as tf

    return tf.keras


def is_legacy() -> bool:
    """True where `tf.keras` is `tf_keras` (Keras 2)."""
    return keras().layers.Layer.__module__.startswith("tf_keras")


def require_legacy(what: str) -> None:
    """Raises ImportError, in one line with the remedy, unless `tf.keras` is `tf_keras`."""
    if not is_legacy():
        raise ImportError(
            f"{what} needs Keras 2: set the environment variable {LEGACY_VARIABLE}=1 before TensorFlow is imported"
        )


def recommenders(what: str) -> Any:
    """Imports TensorFlow Recommenders, which `what` is made with.

    TFRS 0.7.7 refuses Keras 3 with an error that names no remedy, so this checks first.

    Raises:
      ImportError: `tf.keras` is Keras 3; one line, with the remedy.
    """
    require_legacy(f"{what} (TensorFlow Recommenders)")
    import tensorflow_recommenders

    return tensorflow_recommenders


def keeping_dtype() -> dict[str, bool]:
    """Arguments of `add_weight` for a variable that mixed precision must not cast where it is read."""
    return {"experimental_autocast" if is_legacy() else "autocast": False}


def serializable(thing: Any) -> Any:
    """Decorator: registers a class or function with Keras as `smooth_recs>NAME`, so that saved models find it."""
    return keras().utils.register_keras_serializable(package=PACKAGE)(thing)


def all_layers(model: Any) -> list[Any]:
    """The model and every layer in it, at any depth, in the order in which they were attached."""
    # Neither tf_keras 2.21 nor Keras 3.15 has a public way into layers of layers.
    return list(model._flatten_layers())


def share_randomness(models: Sequence[Any], eagerly: bool = False) -> None:
    """Makes the random layers (dropout, noise) of built models of one architecture draw the same numbers.

    Args:
      models: one model several times; layers with a seed of their own keep it.
      eagerly: the models will run eagerly.
    """
    if not is_legacy():
        states = [[v for v in model.variables if v.name == "seed_generator_state"] for model in models]
        for other in states[1:]:
            for state, first in zip(other, states[0], strict=True):
                state.assign(first)
        return
    # In tf_keras (2.21) the random operations of a layer without a seed get one from their place in the graph.
    for layers in zip(*map(all_layers, models), strict=True):
        generators = [layer._random_generator for layer in layers if hasattr(layer, "_random_generator")]
        if generators and generators[0]._seed is None:
            seed = random.randrange(1, 10**9)
            for generator in generators:
                generator._seed = seed
        for generator in generators if eagerly else ():
            if generator._rng_type == "legacy_stateful":
                # Operations with equal seeds share their state where they run eagerly, and would draw one after the
                # other: state of the layer's own instead.
                generator._rng_type, generator._built = "stateful", False
                generator._maybe_init()
