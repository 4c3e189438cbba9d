"""SavedModels that take the raw features by name."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from smooth_recs import activations
from smooth_recs.data.encoding import Encoder
from smooth_recs.models.ranker import Features, Ranker
from smooth_recs.serving import folding, signatures, versions


class ServingModule(tf.Module):
    """What is saved: variables, vocabularies and a function a signature (`signatures.functions`), nothing of Keras.

    The signature `logits` is there for the ranking models of this package.
    """

    def __init__(self, model: Any, encoder: Encoder) -> None:
        super().__init__(name="smooth_recs_export")
        self.encoder = encoder
        served = folding.folded(model)
        # Without the metrics': nobody serves them, and to save them several processes would have to sum them up.
        metrics = {variable.ref() for metric in served.metrics for variable in metric.variables}

        def probability(features: Features) -> tf.Tensor:
            return tf.cast(served(features, training=False), tf.float32)

        def logit(features: Features) -> tf.Tensor:
            return tf.squeeze(served.logits(features), axis=1)

        has_logit = isinstance(served, Ranker) and served.outputs == 1
        with activations.frozen(model):
            self.functions = signatures.functions(encoder, probability, logit if has_logit else None)
        self.model_variables = [variable for variable in served.variables if variable.ref() not in metrics]


def save(model: Any, encoder: Encoder, base: str, complete: Callable[[str], None] = lambda _: None) -> str:
    """Writes a SavedModel as the next version under `base`, whole or not at all.

    Args:
      model: a Keras model that maps encoded features to probabilities; learned activations become constants. Of a
        model that has one, its `deployed_model()` is saved: of an ensemble whose first component predicts, that alone.
      encoder: maps raw features to encoded ones.
      base: folder of versions: the export is `base/VERSION`, with VERSION one above the highest that is there.
      complete: adds files to the export, whose path it is given, before that is a version.

    Returns:
      The path of the export.
    """
    os.makedirs(base, exist_ok=True)
    target = versions.following(base)
    beside = tempfile.mkdtemp(prefix=".writing-", dir=base)
    try:
        deployed = getattr(model, "deployed_model", lambda: model)()
        module = ServingModule(deployed, encoder)
        tf.saved_model.save(module, beside, signatures=dict(module.functions))
        signatures.set_methods(beside)
        complete(beside)
        os.chmod(beside, 0o755)
        os.rename(beside, target)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    return target
