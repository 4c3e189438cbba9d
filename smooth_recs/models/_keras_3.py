"""The ranking stack's base in Keras 3, on its TensorFlow backend: the same numbers as in tf_keras, to the bit.

Keras' own optimizers (3.15) pass over the whole table in each step, and square the gradients of a row that a batch has
twice apart. These sum them first and update the rows of the batch alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from smooth_recs import keras_generation
from smooth_recs.layers import embedding_tables, stochastic_rounding
from smooth_recs.models import row_updates
from smooth_recs.models.trackable import Checkpointed

keras_generation.require_tensorflow("a ranking model")
_keras = keras_generation.keras()

EPSILON = 1e-7

Pairs = list[tuple[Any, Any]]


class Model(Checkpointed, _keras.Model):  # type: ignore[name-defined]
    """A model whose first call makes its variables."""

    @property
    def metrics(self) -> list[Any]:
        """The metrics, but for the mean of the loss that Keras keeps for `compute_loss` of its own."""
        # With it (3.15) there would be two that are called `loss`, and `evaluate` would return both.
        return [metric for metric in super().metrics if metric is not getattr(self, "_loss_tracker", None)]

    def get_config(self) -> dict[str, Any]:
        """Raises NotImplementedError, in one line (Keras 3.15 has twenty): parts of a ranking model are objects."""
        raise NotImplementedError(
            f"a {type(self).__name__} has no configuration to save or to copy it by: save_weights('x.weights.h5') and "
            "tf.train.Checkpoint save what it has learnt, the SavedModels of a run serve it"
        )

    def build(self, input_shape: Any = None) -> None:
        """Does nothing: Keras' own (3.15) warns of layers without variables, such as those that an export replaces."""
        self.built = True


def logistic_task() -> Callable[..., tf.Tensor]:
    """The logistic loss of each row, by weight."""
    loss = _keras.losses.BinaryCrossentropy(from_logits=True, reduction="none")

    def task(labels: tf.Tensor, logits: tf.Tensor, sample_weight: Any = None, compute_metrics: bool = False) -> Any:
        del compute_metrics  # an argument of `tfrs.tasks.Ranking`
        return loss(labels, logits, sample_weight=sample_weight)

    return task


class RowOptimizer(_keras.optimizers.Optimizer):  # type: ignore[name-defined]
    """An optimizer that updates the rows alone that a sparse gradient has.

    Gradients are summed over the devices first, and those of a row over its occurrences in the batch; then each device
    updates its own copies, which stay equal. Its slots are in checkpoints as those of Keras' legacy optimizers are, by
    variable and name. Those of tables in 16 bits are in float32.

    Args:
      learning_rate: a number or a schedule.
      global_clipnorm: the L2 norm that all gradients together are clipped to; None: they are not.
      gradient_transformers: functions of (gradient, variable) pairs that return such pairs, applied in order.
    """

    slot_names: tuple[str, ...] = ()
    hyperparameters: Mapping[str, float] = {"decay": 0.0}

    def __init__(
        self,
        learning_rate: Any,
        *,
        global_clipnorm: float | None = None,
        gradient_transformers: Sequence[Callable[[Pairs], Pairs]] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(float(learning_rate) if isinstance(learning_rate, int) else learning_rate, **kwargs)
        self._norm = global_clipnorm
        self._transformers = tuple(gradient_transformers)
        # In checkpoints only, where those of tf_keras look for them.
        self._hyper = {name: tf.Variable(value, trainable=False) for name, value in self.hyperparameters.items()}

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "global_clipnorm": self._norm}

    def initial_value(self, slot: str) -> float:
        """The value that a slot begins with."""
        del slot
        return 0.0

    def update_whole(self, variable: Any, slots: Sequence[Any], rate: tf.Tensor, gradient: tf.Tensor) -> None:
        """Updates a variable by its gradient."""
        raise NotImplementedError

    def update_rows(
        self, variable: Any, slots: Sequence[Any], rate: tf.Tensor, gradient: tf.Tensor, rows: tf.Tensor, seed: Any
    ) -> None:
        """Updates the rows [n], which are all different, of a variable by their gradients [n, ...].

        `seed` is that of the rounding of a table in 16 bits: the step, and the table's number; None elsewhere.
        """
        raise NotImplementedError

    def add_variable(self, shape: Any, initializer: Any = "zeros", dtype: Any = None, **kwargs: Any) -> Any:
        """Makes a variable of the optimizer, in float32 for one of 16 bits."""
        dtype = "float32" if dtype is not None and stochastic_rounding.is_rounded(dtype) else dtype
        return super().add_variable(shape, initializer, dtype, **kwargs)

    def build(self, variables: list[Any]) -> None:
        if self.built:
            return
        super().build(variables)
        self._slots = {}
        for name in self.slot_names:
            initializer = _keras.initializers.Constant(self.initial_value(name))
            self._slots[name] = self.add_optimizer_variables(variables, name, initializer)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        number = self._get_variable_index(variable)
        slots = [embedding_tables.local(self._slots[name][number]) for name in self.slot_names]
        stored = embedding_tables.local(variable)
        rounds = stochastic_rounding.is_rounded(stored.dtype)
        rate = tf.cast(learning_rate, tf.float32 if rounds else stored.dtype)
        if isinstance(gradient, tf.IndexedSlices):
            rows, positions = tf.unique(gradient.indices)
            summed = tf.math.unsorted_segment_sum(gradient.values, positions, tf.shape(rows)[0])
            seed = None
            if rounds:
                seed = tf.stack([tf.cast(tf.convert_to_tensor(self._iterations), tf.int64), number])
            self.update_rows(stored, slots, rate, summed, rows, seed)
        else:
            self.update_whole(stored, slots, rate, gradient)

    def _backend_update_step(
        self, grads: Sequence[Any], trainable_variables: Sequence[Any], learning_rate: Any
    ) -> None:
        # Keras' own (3.15) clips before it sums the devices' gradients, and updates from outside of their context,
        # which a loop of steps cannot leave.
        context = tf.distribute.get_replica_context()
        if context is not None and context.num_replicas_in_sync > 1:
            grads = context.all_reduce(tf.distribute.ReduceOp.SUM, list(grads))
        if self._norm is not None:
            grads, _ = tf.clip_by_global_norm(list(grads), self._norm)
        pairs = list(zip(grads, trainable_variables, strict=True))
        for transformer in self._transformers:
            pairs = transformer(pairs)
        rate = tf.convert_to_tensor(learning_rate)
        for gradient, variable in pairs:
            self.update_step(gradient, variable, rate)

    # What tf.train.Checkpoint (TensorFlow 2.21) asks optimizers for: slots by variable and name. Keras 3 (3.15) tracks
    # them in a list, by number.

    def get_slot_names(self) -> list[str]:
        """The names of the slots."""
        return list(self.slot_names) if self.built else []

    def get_slot(self, variable: Any, name: str) -> Any:
        """The slot of a variable; KeyError or AttributeError for what this optimizer does not update."""
        return self._slots[name][self._trainable_variables_indices[self._var_key(variable)]].value

    def add_slot(self, variable: Any, name: str, initializer: Any = None) -> Any:
        """The slot of a variable, which is there since `build`."""
        del initializer
        return self.get_slot(variable, name)

    def _create_or_restore_slot_variable(self, slot_variable_position: Any, slot_name: str, variable: Any) -> None:
        slot_variable_position.restore(self.get_slot(variable, slot_name))

    def _trackable_children(self, save_type: str = "checkpoint", **kwargs: Any) -> dict[str, Any]:
        rate = self._learning_rate
        found = {"iter": self._iterations.value, **self._hyper}
        return found | {"learning_rate": rate.value} if hasattr(rate, "assign") else found


class Adagrad(RowOptimizer):
    """Adagrad (Duchi et al. 2011): a = a + g^2, w = w - rate g / (sqrt(a) + epsilon), each number by itself.

    Args: those of `RowOptimizer`, and
      initial_accumulator_value: what `a` begins with, 0.1 by default.
    """

    slot_names = ("accumulator",)

    def __init__(self, learning_rate: Any, initial_accumulator_value: float = 0.1, **kwargs: Any) -> None:
        super().__init__(learning_rate, **kwargs)
        self.initial_accumulator_value = initial_accumulator_value

    def initial_value(self, slot: str) -> float:
        del slot
        return self.initial_accumulator_value

    def update_whole(self, variable: Any, slots: Sequence[Any], rate: tf.Tensor, gradient: tf.Tensor) -> None:
        tf.raw_ops.ResourceApplyAdagradV2(
            var=variable.handle, accum=slots[0].handle, lr=rate, epsilon=tf.cast(EPSILON, rate.dtype), grad=gradient
        )

    def update_rows(
        self, variable: Any, slots: Sequence[Any], rate: tf.Tensor, gradient: tf.Tensor, rows: tf.Tensor, seed: Any
    ) -> None:
        row_updates.adagrad(variable, slots[0], rows, gradient, rate, tf.cast(EPSILON, rate.dtype), seed)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "initial_accumulator_value": self.initial_accumulator_value}


class RowAdam(RowOptimizer):
    """Adam (Kingma & Ba 2015) whose sparse updates read and write the rows of the batch alone.

    For each row i of the batch, whose gradient g_i is summed over the row's occurrences, at step t from 1:

        m_i = b1 m_i + (1 - b1) g_i,   v_i = b2 v_i + (1 - b2) g_i^2
        w_i = w_i - rate sqrt(1 - b2^t) / (1 - b1^t) m_i / (sqrt(v_i) + epsilon)

    The moments of other rows keep their values, and those rows do not move.

    b1 is 0.9, b2 0.999. Args: those of `RowOptimizer`.
    """

    slot_names = ("m", "v")
    hyperparameters: Mapping[str, float] = {"decay": 0.0, "beta_1": 0.9, "beta_2": 0.999}

    def _coefficients(self, dtype: Any) -> tuple[tf.Tensor, ...]:
        """b1, b2, and their powers at this step."""
        betas = [tf.constant(self.hyperparameters[name], dtype) for name in ("beta_1", "beta_2")]
        step = tf.cast(tf.convert_to_tensor(self._iterations) + 1, dtype)
        return (*betas, *(tf.pow(beta, step) for beta in betas))

    def update_whole(self, variable: Any, slots: Sequence[Any], rate: tf.Tensor, gradient: tf.Tensor) -> None:
        beta_1, beta_2, power_1, power_2 = self._coefficients(rate.dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=slots[0].handle,
            v=slots[1].handle,
            beta1_power=power_1,
            beta2_power=power_2,
            lr=rate,
            beta1=beta_1,
            beta2=beta_2,
            epsilon=tf.cast(EPSILON, rate.dtype),
            grad=gradient,
        )

    def update_rows(
        self, variable: Any, slots: Sequence[Any], rate: tf.Tensor, gradient: tf.Tensor, rows: tf.Tensor, seed: Any
    ) -> None:
        beta_1, beta_2, power_1, power_2 = self._coefficients(rate.dtype)
        m, v = slots
        first = beta_1 * tf.gather(m, rows) + (1 - beta_1) * gradient
        second = beta_2 * tf.gather(v, rows) + (1 - beta_2) * tf.square(gradient)
        rate = rate * (tf.sqrt(1 - power_2) / (1 - power_1))
        step = rate * first / (tf.sqrt(second) + tf.cast(EPSILON, rate.dtype))
        m.scatter_update(tf.IndexedSlices(first, rows))
        v.scatter_update(tf.IndexedSlices(second, rows))
        row_updates.descend(variable, rows, step, seed)


Adam = RowAdam


class SGD(RowOptimizer):
    """Stochastic gradient descent: w = w - rate g."""

    def update_whole(self, variable: Any, slots: Sequence[Any], rate: tf.Tensor, gradient: tf.Tensor) -> None:
        tf.raw_ops.ResourceApplyGradientDescent(var=variable.handle, alpha=rate, delta=gradient)

    def update_rows(
        self, variable: Any, slots: Sequence[Any], rate: tf.Tensor, gradient: tf.Tensor, rows: tf.Tensor, seed: Any
    ) -> None:
        row_updates.descend(variable, rows, rate * gradient, seed)


ROUNDING = (Adagrad, RowAdam, SGD)


class CompositeOptimizer(_keras.optimizers.Optimizer):  # type: ignore[name-defined]
    """Several optimizers as one, each for variables of its own; steps and learning rate are those of the first.

    Args:
      optimizers_and_vars: pairs of an optimizer and a function that returns the variables it updates.
    """

    def __init__(self, optimizers_and_vars: Sequence[tuple[Any, Callable[[], Sequence[Any]]]]) -> None:
        first, _ = optimizers_and_vars[0]
        super().__init__(learning_rate=lambda: first.learning_rate)
        self.optimizers = [optimizer for optimizer, _ in optimizers_and_vars]
        self._variables_of = tuple(variables for _, variables in optimizers_and_vars)
        self._iterations = first.iterations

    def build(self, variables: list[Any]) -> None:
        for optimizer, own in zip(self.optimizers, self._variables_of, strict=True):
            optimizer.build(list(own()))
        self.built = True

    @property
    def variables(self) -> list[Any]:
        """The variables of all."""
        return [variable for optimizer in self.optimizers for variable in optimizer.variables]

    def apply_gradients(self, grads_and_vars: Sequence[tuple[Any, Any]]) -> Any:
        owners = {id(v): k for k, own in enumerate(self._variables_of) for v in own()}
        pairs: list[Pairs] = [[] for _ in self.optimizers]
        for gradient, variable in grads_and_vars:
            pairs[owners[id(variable)]].append((gradient, variable))
        for optimizer, own in zip(self.optimizers, pairs, strict=True):
            if own:
                optimizer.apply_gradients(own)
        return self._iterations

    def get_config(self) -> dict[str, Any]:
        raise NotImplementedError("a CompositeOptimizer has functions, which Keras cannot copy from a configuration")

    def get_slot_names(self) -> list[str]:
        """None of its own."""
        return []

    def _trackable_children(self, save_type: str = "checkpoint", **kwargs: Any) -> dict[str, Any]:
        return {f"Optimizer{k}": optimizer for k, optimizer in enumerate(self.optimizers)}


def make_slots(optimizer: Any, variables: list[Any]) -> None:
    """Makes an optimizer's variables (slots) for `variables`."""
    optimizer.build(variables)
