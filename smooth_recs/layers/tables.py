"""Variables that hold one row an id: made without a second copy, read by rows, whole or sharded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from smooth_recs import keras_generation


def local(weight: Any) -> Any:
    """The variable that a weight is on this device: Keras 3 wraps it, and so does a strategy with several devices.

    The wrappers read all of a variable before they take rows of it, and after they update some.
    """
    stored = weight if keras_generation.is_legacy() else weight.value
    return stored._get() if isinstance(stored, tf.distribute.DistributedValues) else stored


def lookup(table: Any, ids: tf.Tensor) -> tf.Tensor:
    """Rows `ids` [n] of a weight, [n, ...]; a table that is sharded over parameter servers takes flat ids only."""
    stored = local(table)
    shards = getattr(stored, "variables", None)
    return tf.gather(stored, ids) if shards is None else tf.nn.embedding_lookup(shards, ids)


def in_place(initializer: Callable[..., tf.Tensor]) -> Callable[..., tf.Tensor]:
    """An initializer of the same values that takes the memory of its result only, where Keras' own take three times it.

    Run op by op, scaling random numbers keeps them, their product and the sum; in one graph each op writes over its
    input. Constant folding would compute all of it once more, beside the run.
    """

    def initialize(shape: Any, dtype: Any = None, **kwargs: Any) -> tf.Tensor:
        options = tf.config.optimizer.get_experimental_options()
        tf.config.optimizer.set_experimental_options({"constant_folding": False})
        try:
            graph = tf.function(lambda: initializer(shape, dtype=dtype, **kwargs), autograph=False)
            return graph.get_concrete_function()()
        finally:
            folding = options.get("constant_folding", True)
            tf.config.optimizer.set_experimental_options({"constant_folding": folding})

    return initialize
