"""The two generations of Keras: this is the one module that knows that there are two.

`tf.keras` is Keras 3, or `tf_keras` (Keras 2) where `TF_USE_LEGACY_KERAS=1` was set before TensorFlow was imported.
All of the package runs in both, but for what needs TensorFlow Recommenders or parameter servers, which have no Keras 3
(`models.generation` is what the ranking stack takes from either). Keras 3 has other backends too, and then TensorFlow
need not be installed: `KERAS_BACKEND` chooses, before Keras is imported.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import random
import sys
from collections.abc import Sequence
from typing import Any

from smooth_recs.errors import InputError

LEGACY_VARIABLE = "TF_USE_LEGACY_KERAS"
BACKEND_VARIABLE = "KERAS_BACKEND"
BACKENDS = ("tensorflow", "jax", "torch")  # of Keras 3, in which our objects run; each is an extra of setup.py
PACKAGE = "smooth_recs"

_BACKEND_ASKED_FOR = os.environ.get(BACKEND_VARIABLE)  # when this was imported

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
    """Asks TensorFlow for `tf_keras`, the default of the binaries; an explicit choice of the user stays."""
    os.environ.setdefault(LEGACY_VARIABLE, "1")


def choose(generation: int) -> None:
    """Asks for Keras 2 (`tf_keras`) or 3, on TensorFlow, in this process and in those that it starts.

    Raises:
      InputError: another backend of Keras 3 is asked for.
    """
    asked_for = os.environ.setdefault(BACKEND_VARIABLE, "tensorflow")  # else a file of the user's chooses
    if generation == 3 and asked_for != "tensorflow":
        raise InputError(f"--keras=3 is Keras 3 on TensorFlow: unset {BACKEND_VARIABLE}, which is {asked_for}")
    os.environ[LEGACY_VARIABLE] = str(int(generation == 2))


def asks_for_legacy() -> bool:
    """Whether `tf.keras` is, or will be, `tf_keras`, as the environment says; imports nothing."""
    return os.environ.get(LEGACY_VARIABLE, "").lower() in ("1", "true")


def trains_in_legacy() -> bool:
    """Whether a training that this process starts is in `tf_keras`, as the binaries are where nothing is chosen."""
    return LEGACY_VARIABLE not in os.environ or asks_for_legacy()


@functools.cache
def keras() -> Any:
    """The Keras of this process: what `tf.keras` stands for, or Keras 3 by itself where its backend is another one.

    Raises:
      ImportError: there is no Keras, its backend is not installed, or is one that nothing of ours runs in; one line,
        with the remedy.
    """
    with_tensorflow = importlib.util.find_spec("tensorflow") is not None
    if not (with_tensorflow and asks_for_legacy()) and _backend_of_keras_3() != "tensorflow":
        import keras

        return keras
    import tensorflow as tf

    return tf.keras


def _backend_of_keras_3() -> str:
    """Imports Keras 3; the name of its backend."""
    choices = ", ".join(BACKENDS)
    asked_for = os.environ.get(BACKEND_VARIABLE)
    if asked_for and asked_for not in BACKENDS:  # Keras' own error for an unknown one names no choices
        raise ImportError(f"{BACKEND_VARIABLE} must be one of {choices}, got {asked_for}")
    if importlib.util.find_spec("keras") is None:
        raise ImportError(f"Keras is not installed: pip install {PACKAGE.replace('_', '-')}[BACKEND], one of {choices}")
    try:
        import keras
    except ImportError as error:
        name = (error.name or "").partition(".")[0]
        if name not in BACKENDS:
            raise
        raise ImportError(
            f"Keras' backend {name} is not installed: set {BACKEND_VARIABLE} to another of {choices} before Keras is "
            f"imported, or pip install {PACKAGE.replace('_', '-')}[{name}]"
        ) from error
    found = str(keras.config.backend())
    if found not in BACKENDS:
        raise ImportError(f"Keras' backend must be one of {choices}: set {BACKEND_VARIABLE}, got {found}")
    return found


@functools.cache
def backend() -> str:
    """The name of the backend that our objects run in: one of `BACKENDS`; "tensorflow" in `tf_keras`."""
    return "tensorflow" if is_legacy() else str(keras().config.backend())


def check_backend() -> None:
    """Raises ImportError, in one line with the remedy, where another backend was chosen after ours were made."""
    now = os.environ.get(BACKEND_VARIABLE)  # which `keras.config.set_backend` sets, too
    if now and now != _BACKEND_ASKED_FOR and now != backend():
        raise ImportError(
            f"Keras' backend must be chosen before {PACKAGE} is imported: {BACKEND_VARIABLE} became {now} when the "
            f"backend was {backend()}"
        )


@functools.cache
def is_legacy() -> bool:
    """True where `tf.keras` is `tf_keras` (Keras 2)."""
    return bool(keras().layers.Layer.__module__.startswith("tf_keras"))


def require_legacy(what: str) -> None:
    """Raises ImportError, in one line with the remedy, unless `tf.keras` is `tf_keras`."""
    if not is_legacy():
        raise ImportError(
            f"{what} needs Keras 2: set the environment variable {LEGACY_VARIABLE}=1 before TensorFlow is imported"
        )


def require_tensorflow(what: str) -> None:
    """Raises ImportError, in one line with the remedy, where Keras 3 runs on another backend than TensorFlow."""
    if backend() != "tensorflow":
        missing = importlib.util.find_spec("tensorflow") is None
        raise ImportError(
            f"{what} needs Keras' backend TensorFlow, got {backend()}: "
            + (f"pip install {PACKAGE.replace('_', '-')}[tensorflow], and " if missing else "")
            + f"set the environment variable {BACKEND_VARIABLE}=tensorflow before Keras is imported"
        )


def steps_done(callback: Any, batch: int) -> int:
    """How many steps of a `fit`'s epoch are done, as a callback is told at the end of the batch numbered `batch`.

    Keras 3 (3.15) counts as if every execution had the same number of steps; the last of an epoch may have fewer.
    """
    params = getattr(callback, "params", None) or {}  # none before a `fit`
    return int(min(batch + 1, params.get("steps") or batch + 1))


def progress_lines(stateful: Sequence[str]) -> Any:
    """A `ProgbarLogger` by steps; the values named in `stateful` are shown as they are, not as means over steps."""
    callbacks = keras().callbacks
    if is_legacy():
        return callbacks.ProgbarLogger("steps", stateful_metrics=list(stateful))
    return callbacks.ProgbarLogger()  # shows all values as they are


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
    if is_legacy():
        return list(model._flatten_layers())
    found: dict[int, Any] = {}
    waiting = [model]
    while waiting:  # Keras' own walk (3.15) goes through the layers of a layer from the last to the first
        layer = waiting.pop()
        if id(layer) not in found:
            found[id(layer)] = layer
            waiting += reversed(layer._layers)
    return list(found.values())


def stored(variable: Any) -> Any:
    """TensorFlow's own variable, which Keras 3 wraps."""
    import tensorflow as tf

    return variable if is_legacy() or isinstance(variable, tf.Variable) else variable.value


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
                state.assign(keras().ops.convert_to_numpy(first))  # jax deletes an array that two variables share
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
