"""Smooth activations and prediction difference for TensorFlow and Keras recommenders.

`import smooth_recs as sr` makes "smelu" and the other activations known to Keras as strings. Everything else is loaded
when it is first used: `sr.layers`, `sr.metrics`, `sr.callbacks`, `sr.models`, ...

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
    "slices": "measures.slices",
    "testing": "testing",
    "training": "training",
}


def __getattr__(name: str) -> Any:
    """Loads a submodule on first use: most need no TensorFlow Recommenders, some no TensorFlow."""
    if name in _SUBMODULES:
        return importlib.import_module(f"{__name__}.{_SUBMODULES[name]}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_SUBMODULES})


if keras_generation.started_as_binary():
    # The binaries need Keras 2, and answer --help and wrong flags before they load TensorFlow.
    keras_generation.choose_legacy()
else:
    from smooth_recs import activations  # noqa: F401  registers the strings
