"""Dropout of a tower on TensorFlow: its random state is in checkpoints."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from smooth_recs import keras_generation


class DropoutState(tf.train.Checkpoint):
    """The random state of a `Dropout`: [seed, number of draws so far], int64."""

    def __init__(self, seed: int) -> None:
        aggregation = tf.VariableAggregation.ONLY_FIRST_REPLICA  # every device counts alike
        super().__init__(value=tf.Variable([seed, 0], dtype=tf.int64, trainable=False, aggregation=aggregation))


class Dropout(keras_generation.keras().layers.Dropout):  # type: ignore[misc]
    """Dropout whose random state is in checkpoints, so that a resumed training drops what it would have.

    tf_keras (2.21) keeps that of its own in the operation, or, as a generator, out of checkpoints; of Keras 3 (3.15)
    several devices cannot update that of its own. The state is no weight of the layer: files of weights and exports
    stay as they are.

    Args:
      rate, seed: those of Keras' own; without a seed, chance draws one.

    ```python
    Dropout(0.5, seed=1)(tf.ones([2, 4]), training=True)
    ```
    """

    def __init__(self, rate: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(0.0, seed=seed, **kwargs)  # of any other rate Keras 3 makes a generator of its own
        self.rate = rate

    def build(self, input_shape: Any) -> None:
        super().build(input_shape)
        with tf.init_scope():
            seed = tf.random.uniform([], 0, 2**31 - 1, tf.int32) if self.seed is None else self.seed
            self._state = DropoutState(int(seed))

    def call(self, inputs: tf.Tensor, training: Any = None) -> tf.Tensor:
        if training is None and keras_generation.is_legacy():  # Keras 3 hands it on from the model's call
            training = keras_generation.keras().backend.learning_phase()

        def dropped() -> tf.Tensor:
            replica = tf.distribute.get_replica_context()
            device = 0 if replica is None else replica.replica_id_in_sync_group  # each drops other units
            state = tf.cast(self._state.value, tf.int64)
            self._state.value.assign_add([0, 1])
            seed = state + tf.stack([tf.cast(device, tf.int64) * 2**32, tf.constant(0, tf.int64)])
            return tf.nn.experimental.stateless_dropout(inputs, self.rate, seed)

        if tf.is_tensor(training):
            return tf.cond(tf.cast(training, tf.bool), dropped, lambda: tf.identity(inputs))
        return dropped() if training else tf.identity(inputs)
