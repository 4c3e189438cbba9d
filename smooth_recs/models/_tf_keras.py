"""The ranking stack's base in tf_keras: TensorFlow Recommenders, and Keras' legacy optimizers.

Of these the sparse Adagrad is one fused op, where the new ones of tf_keras (2.21) pass over the whole table in each
step, and the TPU embedding takes no others.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from smooth_recs import keras_generation
from smooth_recs.layers import stochastic_rounding
from smooth_recs.models import row_updates

tfrs = keras_generation.recommenders("a ranking model")
_legacy = tf.keras.optimizers.legacy

Model = tfrs.models.Model
Adam = _legacy.Adam
CompositeOptimizer = tfrs.experimental.optimizers.CompositeOptimizer


class _Rounding:
    """What a legacy optimizer needs for tables in 16 bits: slots and rates in float32, and seeds of the rounding.

    A seed is the step and the number of the table among those of the optimizer, so that a run resumes to the bit, and
    mirrored copies stay equal.
    """

    _table_numbers: dict[str, int]

    def _create_all_weights(self, var_list: Any) -> None:
        self.__dict__.setdefault("_table_numbers", {})
        for var in var_list:
            self._table_numbers.setdefault(_key(var), len(self._table_numbers))
        super()._create_all_weights(var_list)  # type: ignore[misc]

    def add_slot(self, var: Any, slot_name: str, initializer: Any = "zeros", shape: Any = None) -> Any:
        if not stochastic_rounding.is_rounded(var.dtype):
            return super().add_slot(var, slot_name, initializer, shape)  # type: ignore[misc]
        with tf.variable_creator_scope(_in_float32):
            return super().add_slot(var, slot_name, initializer, shape)  # type: ignore[misc]

    def _prepare_local(self, var_device: Any, var_dtype: Any, apply_state: Any) -> None:
        if not stochastic_rounding.is_rounded(var_dtype):
            return super()._prepare_local(var_device, var_dtype, apply_state)  # type: ignore[misc]
        state = apply_state.setdefault((var_device, tf.float32), {})
        super()._prepare_local(var_device, tf.float32, apply_state)  # type: ignore[misc]
        state["step"] = tf.cast(self.iterations, tf.int64)  # type: ignore[attr-defined]

    def _state(self, var: Any, apply_state: Any) -> Any:
        """The rates of this step, in the type that an update is computed in."""
        dtype = tf.float32 if stochastic_rounding.is_rounded(var.dtype) else var.dtype.base_dtype
        found = (apply_state or {}).get((var.device, dtype))
        return found or self._fallback_apply_state(var.device, dtype)  # type: ignore[attr-defined]

    def _seed(self, var: Any, state: Any) -> Any:
        """The seed of the rounding in this step; None for a variable that is not rounded."""
        if not stochastic_rounding.is_rounded(var.dtype):
            return None
        step = state["step"] if "step" in state else tf.cast(self.iterations, tf.int64)  # type: ignore[attr-defined]
        return tf.stack([step, self._table_numbers[_key(var)]])


def _key(var: Any) -> str:
    """What tells variables apart; the copies of one on several devices are the same."""
    if not isinstance(var, tf.distribute.DistributedValues):
        for part in (var, var.handle):  # where Keras' own optimizers (tf_keras 2.21) look for it
            if hasattr(part, "_distributed_container"):
                return str(part._distributed_container()._unique_id)
    return str(var._unique_id)


def _in_float32(creator: Callable[..., Any], **kwargs: Any) -> Any:
    """Makes a slot in float32, for which Keras (tf_keras 2.21) takes the type of the variable."""
    made = kwargs["initial_value"]
    if isinstance(made, functools.partial):
        made = functools.partial(made.func, *made.args, **{**made.keywords, "dtype": tf.float32})
    return creator(**{**kwargs, "initial_value": made, "dtype": tf.float32})


class Adagrad(_Rounding, _legacy.Adagrad):  # type: ignore[name-defined]
    """Keras' own Adagrad, whose sparse updates take less time: the same numbers, to the bit, or rows in 16 bits."""

    def _resource_apply_sparse(self, grad: Any, var: Any, indices: Any, apply_state: Any = None) -> Any:
        """Updates rows `indices` [n], which are all different, by their gradients [n, dim]."""
        state, sums = self._state(var, apply_state), self.get_slot(var, "accumulator")
        seed = self._seed(var, state)
        return row_updates.adagrad(var, sums, indices, grad, state["lr_t"], state["epsilon"], seed)


class SGD(_Rounding, _legacy.SGD):  # type: ignore[name-defined]
    """Keras' own gradient descent, which updates tables in 16 bits too, without momentum."""

    def _resource_apply_sparse_duplicate_indices(self, grad: Any, var: Any, indices: Any, **kwargs: Any) -> Any:
        if not stochastic_rounding.is_rounded(var.dtype):
            return super()._resource_apply_sparse_duplicate_indices(grad, var, indices, **kwargs)
        rows, positions = tf.unique(indices)
        summed = tf.math.unsorted_segment_sum(grad, positions, tf.shape(rows)[0])
        state = self._state(var, kwargs.get("apply_state"))
        return row_updates.descend(var, rows, state["lr_t"] * summed, self._seed(var, state))


def logistic_task() -> Any:
    """A `tfrs.tasks.Ranking` with the logistic loss of each row."""
    return tfrs.tasks.Ranking(
        loss=tf.keras.losses.BinaryCrossentropy(from_logits=True, reduction=tf.keras.losses.Reduction.NONE)
    )


def make_slots(optimizer: Any, variables: list[Any]) -> None:
    """Makes an optimizer's variables (slots) for `variables`."""
    # Legacy optimizers (tf_keras 2.21) otherwise make them in the first training step, which TensorFlow then has to
    # trace again. No public method makes them, and TFRS' composite (0.7.7) has no public list of its optimizers.
    for one, own in getattr(optimizer, "_optimizers_and_vars", [(optimizer, lambda: variables)]):
        if hasattr(one, "_create_all_weights"):
            one._create_all_weights(own())


class RowAdam(_Rounding, _legacy.Adam):  # type: ignore[name-defined]
    """Adam (Kingma & Ba 2015) whose sparse updates read and write the rows of the batch alone.

    For each row i of the batch, whose gradient g_i is summed over the row's occurrences, at step t from 1:

        m_i = b1 m_i + (1 - b1) g_i,   v_i = b2 v_i + (1 - b2) g_i^2
        w_i = w_i - rate sqrt(1 - b2^t) / (1 - b1^t) m_i / (sqrt(v_i) + epsilon)

    The moments of other rows keep their values, and those rows do not move; Keras' own Adam decays all moments and
    moves all rows in each step, a pass over the table. A row that is in every batch moves as there. A gradient that is
    dense, such as one with a penalty on the whole table, updates every row, as Keras' own.

    Args: those of `tf.keras.optimizers.legacy.Adam`, but for `amsgrad`.

    ```python
    table = tf.Variable(tf.ones([3, 2]))
    gradient = tf.IndexedSlices(tf.ones([1, 2]), tf.constant([1]), tf.constant([3, 2]))
    RowAdam(0.1).apply_gradients([(gradient, table)])  # rows 0 and 2 are as they were; row 1 is 0.9
    ```
    """

    def _resource_apply_sparse(self, grad: Any, var: Any, indices: Any, apply_state: Any = None) -> Any:
        """Updates rows `indices` [n], which are all different, by their gradients [n, dim]."""
        state = self._state(var, apply_state)
        m, v = self.get_slot(var, "m"), self.get_slot(var, "v")
        first = state["beta_1_t"] * tf.gather(m, indices) + state["one_minus_beta_1_t"] * grad
        second = state["beta_2_t"] * tf.gather(v, indices) + state["one_minus_beta_2_t"] * tf.square(grad)
        step = state["lr"] * first / (tf.sqrt(second) + state["epsilon"])
        return tf.group(
            m.scatter_update(tf.IndexedSlices(first, indices)),
            v.scatter_update(tf.IndexedSlices(second, indices)),
            row_updates.descend(var, indices, step, self._seed(var, state)),
        )


ROUNDING = (Adagrad, RowAdam, SGD)
