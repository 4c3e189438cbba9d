from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

Reload = Callable[[Any, Mapping[str, Any]], dict[str, np.ndarray]]


@pytest.fixture
def reload_every_way(tmp_path: Path) -> Reload:
    """Outputs, for inputs {name: tensor}, of a functional model after each way of saving, exporting or copying it."""

    def reload(model: Any, inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
        model.save(tmp_path / "model.keras")
        specs = {name: tf.TensorSpec([None, *x.shape[1:]], x.dtype, name=name) for name, x in inputs.items()}
        serve = tf.function(lambda **x: {"outputs": model(x)}).get_concrete_function(**specs)
        tf.saved_model.save(model, str(tmp_path / "saved_model"), signatures=serve)
        rebuilt = type(model).from_config(model.get_config())
        cloned = tf.keras.models.clone_model(model)
        for copy in (rebuilt, cloned):
            copy.set_weights(model.get_weights())
        loaded = tf.keras.models.load_model(tmp_path / "model.keras")
        saved = tf.saved_model.load(str(tmp_path / "saved_model"))
        from_saved = saved.signatures["serving_default"](**inputs)["outputs"].numpy()
        copies = {"keras file": loaded, "from_config": rebuilt, "clone_model": cloned}
        return {"saved model": from_saved} | {way: copy(inputs).numpy() for way, copy in copies.items()}

    return reload


@pytest.fixture
def mixed_precision() -> Iterator[Callable[[str], None]]:
    """Sets the global Keras policy for one test."""
    yield tf.keras.mixed_precision.set_global_policy
    tf.keras.mixed_precision.set_global_policy("float32")
