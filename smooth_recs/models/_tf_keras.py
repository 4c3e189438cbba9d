"""The ranking stack's base in tf_keras: TensorFlow Recommenders, and Keras' legacy optimizers.

Of these the sparse Adagrad is one fused op, where the new ones of tf_keras (2.21) pass over the whole table in each
step, and the TPU embedding takes no others.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from smooth_recs import keras_generation
from smooth_recs.models import row_updates

tfrs = keras_generation.recommenders("a ranking model")
_legacy = tf.keras.optimizers.legacy

Model = tfrs.models.Model
Adam = _legacy.Adam
SGD = _legacy.SGD
CompositeOptimizer = tfrs.experimental.optimizers.CompositeOptimizer


class Adagrad(_legacy.Adagrad):  # type: ignore[name-defined]
    """Keras' own Adagrad, whose sparse updates take less time: the same numbers, to the bit."""

    def _resource_apply_sparse(self, grad: Any, var: Any, indices: Any, apply_state: Any = None) -> Any:
        """Updates rows `indices` [n], which are all different, by their gradients [n, dim]."""
        device, dtype = var.device, var.dtype.base_dtype
        state = (apply_state or {}).get((device, dtype)) or self._fallback_apply_state(device, dtype)
        sums = self.get_slot(var, "accumulator")
        return row_updates.adagrad(var, sums, indices, grad, state["lr_t"], state["epsilon"])


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


class RowAdam(_legacy.Adam):  # type: ignore[name-defined]
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
        device, dtype = var.device, var.dtype.base_dtype
        state = (apply_state or {}).get((device, dtype)) or self._fallback_apply_state(device, dtype)
        m, v = self.get_slot(var, "m"), self.get_slot(var, "v")
        first = state["beta_1_t"] * tf.gather(m, indices) + state["one_minus_beta_1_t"] * grad
        second = state["beta_2_t"] * tf.gather(v, indices) + state["one_minus_beta_2_t"] * tf.square(grad)
        step = state["lr"] * first / (tf.sqrt(second) + state["epsilon"])
        return tf.group(
            m.scatter_update(tf.IndexedSlices(first, indices)),
            v.scatter_update(tf.IndexedSlices(second, indices)),
            row_updates.descend(var, indices, step),
        )
