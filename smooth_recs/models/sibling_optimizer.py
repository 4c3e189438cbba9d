"""The optimizers of siblings as one object, so that what Keras' callbacks do to `model.optimizer` is done to all."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from smooth_recs.errors import InputError

# With one set of gradients for all these would train siblings on each other's batches.
_OF_ONE_MODEL = ("apply", "apply_gradients", "minimize", "compute_gradients", "update_step")
_OF_VARIABLES = ("build", "finalize_variable_values")


class SiblingOptimizer:
    """What is read is the first replica's, what is set is set in all, and what is called is called for all.

    `learning_rate` (in tf_keras also `lr`) can be set and has `assign`, as that of a plain model. Lists, such as
    `variables`, are those of all replicas one after the other.

    Args:
      replicas: models with an optimizer each.

    Raises:
      AttributeError: optimizers of this class have no such attribute; gradients, which belong to one replica, are to be
        applied to all.

    ```python
    siblings.optimizer.learning_rate = 0.01
    siblings.replicas[1].optimizer.learning_rate  # 0.01
    ```
    """

    def __init__(self, replicas: Sequence[Any]) -> None:
        object.__setattr__(self, "_replicas", list(replicas))

    def __getattr__(self, name: str) -> Any:
        if name == "_replicas":  # a copy that is being made has none yet
            raise AttributeError(name)
        if name in _OF_ONE_MODEL:
            raise AttributeError(f"siblings have an optimizer each: {name} is one of siblings.replicas[k].optimizer")
        found = [getattr(replica.optimizer, name) for replica in self._replicas]
        if name in ("learning_rate", "lr") and not callable(found[0]):
            return LearningRate(found)
        if isinstance(found[0], list):
            joined = list(itertools.chain(*found))
            return type(found[0])(joined) if callable(found[0]) else joined  # tf_keras: `variables` and `variables()`
        if name in _OF_VARIABLES:
            pairs = list(zip(found, self._replicas, strict=True))
            return lambda _: [method(list(replica.trainable_variables)) for method, replica in pairs]
        if callable(found[0]):

            def called(*args: Any, **kwargs: Any) -> Any:
                first, *_ = [method(*args, **kwargs) for method in found]
                return first

            return called
        return found[0]

    def __setattr__(self, name: str, value: Any) -> None:
        for replica in self._replicas:
            setattr(replica.optimizer, name, value)


class LearningRate(float):
    """The learning rate of all siblings: the number that it was when it was read, and Keras' ways to change it."""

    # A float, since what callbacks read from an optimizer they also put into the logs.
    dtype = tf.float32
    shape = ()

    def __new__(cls, rates: Sequence[Any]) -> LearningRate:
        made = super().__new__(cls, float(np.asarray(rates[0])))
        made._rates = rates
        return made

    _rates: Sequence[Any] = ()

    def numpy(self) -> Any:
        """The learning rate as it is now."""
        return np.asarray(self._rates[0])

    def assign(self, value: Any) -> None:
        """Sets the learning rate of all siblings."""
        for rate in self._rates:
            rate.assign(value)


def copied(argument: str, given: Any) -> Any:
    """Copies the optimizers and metrics in what `compile` is given; anything else is shared.

    Raises:
      InputError: Keras cannot make one again from its configuration.
    """
    if isinstance(given, Mapping):
        return {name: copied(argument, value) for name, value in given.items()}
    if isinstance(given, list | tuple):
        return type(given)(copied(argument, value) for value in given)
    if isinstance(given, type) or not (hasattr(given, "variables") and hasattr(given, "get_config")):
        return given
    try:
        return type(given).from_config(given.get_config())
    except (AttributeError, NotImplementedError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"{argument} must be what Keras can copy from its configuration, a copy for each sibling (let build_fn "
            f"compile the model instead): {reason}"
        ) from error
