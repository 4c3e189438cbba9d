"""Warns of activations whose width does nothing at the scale of their inputs."""

from __future__ import annotations

import warnings
from typing import Any

from smooth_recs import activations, keras_generation


class TransitionRegions(keras_generation.keras().callbacks.Callback):  # type: ignore[misc]
    """Warns after the first epoch of each activation that is ReLU or linear for nearly all of its inputs.

    One `UserWarning` a layer, which says its width and the root mean square of its inputs: those of `PreActivation`,
    whose `warning` it is. A fixed beta is in units of the pre-activations, and nothing else would tell that they are a
    hundred times smaller (SmeLU is then a straight line, and so is the network) or larger (it is then ReLU).

    Args:
      inputs: a batch for the model, such as the first thousand held-out rows.

    Attributes:
      found: the `PreActivation` of every layer; empty before the first epoch has ended.

    Of a `SiblingModel` the first replica is measured.

    ```python
    x = tf.random.normal([256, 4])
    model = tf.keras.Sequential([tf.keras.layers.Dense(8, activation="smelu"), tf.keras.layers.Dense(1)])
    model.compile(optimizer="adagrad", loss="mse")
    model.fit(x, x[:, :1], callbacks=[sr.callbacks.TransitionRegions(x[:100])])
    ```
    """

    def __init__(self, inputs: Any) -> None:
        super().__init__()
        self.inputs = inputs
        self.found: list[activations.PreActivation] = []

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self.found:
            return
        self.found = activations.probe(getattr(self.model, "replicas", [self.model])[0], self.inputs)
        for line in filter(None, (layer.warning for layer in self.found)):
            warnings.warn(line, stacklevel=2)
