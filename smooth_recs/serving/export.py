"""SavedModels that take the raw features by name."""

from __future__ import annotations

import os
import shutil
import tempfile
from typing import Any

import tensorflow as tf

from smooth_recs import activations
from smooth_recs.data.encoding import Encoder


class ServingModule(tf.Module):
    """What is saved: the variables, the vocabularies and one function, nothing of Keras.

    `serving_default` takes every feature under its name (`Encoder.raw_signature` tells types and shapes) and returns
    `probability`, float32 [batch].
    """

    def __init__(self, model: Any, encoder: Encoder) -> None:
        super().__init__(name="smooth_recs_export")
        self.encoder = encoder
        # Without the metrics': nobody serves them, and to save them several processes would have to sum them up.
        metrics = {variable.ref() for metric in model.metrics for variable in metric.variables}
        self.model_variables = [variable for variable in model.variables if variable.ref() not in metrics]
        signature = {name: tf.TensorSpec(s.shape, s.dtype, name=name) for name, s in encoder.raw_signature().items()}

        def serve(**raw: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"probability": tf.cast(model(encoder(raw), training=False), tf.float32)}

        with activations.frozen(model):
            self.serve = tf.function(serve).get_concrete_function(**signature)


def save(model: Any, encoder: Encoder, base: str) -> str:
    """Writes a SavedModel as the next version under `base`, whole or not at all.

    Args:
      model: a Keras model that maps encoded features to probabilities; learned activations become constants. Of a
        model that has one, its `deployed_model()` is saved: of an ensemble whose first component predicts, that alone.
      encoder: maps raw features to encoded ones.
      base: folder of versions: the export is `base/VERSION`, with VERSION one above the highest that is there.

    Returns:
      The path of the export.
    """
    os.makedirs(base, exist_ok=True)
    versions = [int(name) for name in os.listdir(base) if name.isdigit()]
    target = os.path.join(base, str(max(versions, default=0) + 1))
    beside = tempfile.mkdtemp(prefix=".writing-", dir=base)
    try:
        deployed = getattr(model, "deployed_model", lambda: model)()
        module = ServingModule(deployed, encoder)
        tf.saved_model.save(module, beside, signatures={"serving_default": module.serve})
        os.chmod(beside, 0o755)
        os.rename(beside, target)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    return target
