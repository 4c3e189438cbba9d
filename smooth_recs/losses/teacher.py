"""Losses towards the prediction of a teacher, which may be another component (sections 1.2 and 2).

No gradient reaches the teacher.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

NEAREST = 1e-6  # how near to 0 and 1 a probability is whose log-odds are taken: 13.8 at most


def soft_label(logits: Any, teacher_probability: Any) -> tf.Tensor:
    """The logistic loss with the teacher's probability q as the label: -q log s - (1 - q) log(1 - s), s = sigmoid(l).

    The loss of distillation and co-distillation (references [21] and [4]): least, but not 0, where s = q; its gradient
    is s - q.

    Args:
      logits: l, of any shape.
      teacher_probability: q, of the same shape, in [0, 1].

    Returns:
      A loss for each example, of the same shape.

    ```python
    soft_label([0.0], [0.3])  # [0.6931...], log 2
    ```
    """
    logits = tf.convert_to_tensor(logits)
    teacher = tf.stop_gradient(tf.cast(teacher_probability, logits.dtype))
    return tf.nn.sigmoid_cross_entropy_with_logits(labels=teacher, logits=logits)


def logit(logits: Any, teacher_probability: Any) -> tf.Tensor:
    """Half the squared difference of the log-odds, (l - log(q / (1 - q)))^2 / 2, which weighs rare events as any other.

    Args:
      logits: l, of any shape.
      teacher_probability: q, of the same shape, in [0, 1]; taken as no nearer to 0 and 1 than 1e-6.

    Returns:
      A loss for each example, of the same shape.

    ```python
    logit([1.0], [0.5])  # [0.5]
    ```
    """
    logits = tf.convert_to_tensor(logits)
    teacher = tf.cast(teacher_probability, logits.dtype)
    inside = tf.clip_by_value(teacher, NEAREST, 1.0 - NEAREST)
    log_odds = tf.stop_gradient(tf.math.log(inside) - tf.math.log1p(-inside))
    return 0.5 * tf.square(logits - log_odds)
