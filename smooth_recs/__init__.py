"""Smooth activations and prediction difference for Keras recommenders, on TensorFlow, jax and PyTorch.

`import smooth_recs as sr` makes "smelu" and the other activations known to Keras as strings. Everything else is loaded
when it is first used: `sr.layers`, `sr.metrics`, `sr.callbacks`, `sr.models`, ... What needs TensorFlow says so.

```python
import tensorflow as tf
import smooth_recs as sr

layer = tf.keras.layers.Dense(8, activation="smelu")
wide = tf.keras.layers.Dense(8, activation=sr.layers.SmeLU(beta=0.5))
```
"""

from __future__ import annotations

import importlib
from typing import Any

from smooth_recs import keras_generation
from smooth_recs.version import __version__

__all__ = ["__version__"]

# The attributes of the package, and the modules that they name.
_SUBMODULES = {
    "accuracy": "measures.accuracy",
    "activations": "activations",
    "artifacts": "artifacts",
    "callbacks": "callbacks",
    "cluster": "cluster",
    "comparison": "comparison",
    "config": "config",
    "constraints": "constraints",
    "data": "data",
    "distribution": "cluster",
    "experiments": "experiments",
    "gates": "measures.gates",
    "increases": "measures.increases",
    "layers": "layers",
    "losses": "losses",
    "measures": "measures",
    "metrics": "metrics",
    "models": "models",
    "prediction_difference": "prediction_difference",
    "recommendations": "measures.recommendations",
    "release": "release",
    "reports": "reports",
    "serving": "serving",
    "sibling_fits": "sibling_fits",
    "slices": "measures.slices",
    "testing": "testing",
    "training": "training",
}
# Of these, what needs Keras on TensorFlow as a whole; some parts of the others do, too.
_OF_TENSORFLOW = frozenset(
    {
        *("artifacts", "cluster", "comparison", "data", "distribution", "experiments", "losses", "metrics", "models"),
        *("release", "serving", "training"),
    }
)


def __getattr__(name: str) -> Any:
    """Loads a submodule on first use: most need no TensorFlow Recommenders, some no TensorFlow."""
    if name in _SUBMODULES:
        if not keras_generation.started_as_binary():
            keras_generation.check_backend()
            if name in _OF_TENSORFLOW:
                keras_generation.require_tensorflow(f"smooth_recs.{name}")
        return importlib.import_module(f"{__name__}.{_SUBMODULES[name]}")
    if name == "train_siblings":
        return importlib.import_module(f"{__name__}.sibling_fits").train_siblings
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_SUBMODULES, "train_siblings"})


if keras_generation.started_as_binary():
    # The binaries need Keras 2, and answer --help and wrong flags before they load TensorFlow.
    keras_generation.choose_legacy()
else:
    from smooth_recs import activations, layers  # noqa: F401  register the strings, and what saved models are made of
