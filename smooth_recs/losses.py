"""Losses of the paper's alternatives (sections 1.2 and 6), which are minimised beside the loss of the labels.

`decorrelation` is the loss of anti-distillation [46]. `soft_label` and `logit` draw a student towards a teacher [21],
which gets no gradient, and `Distillation` adds one of them to a ranking model's loss. `Ramp` is a weight that changes
over a run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

__all__ = ["Distillation", "Ramp", "decorrelation", "logit", "multi_task", "soft_label"]

_CONSTANT = 1e-5  # logits whose standard deviation is below this share of their root mean square are constant: rounding


def decorrelation(logits: Any, sample_weight: Any = None) -> tf.Tensor:
    """The squared Pearson correlation of two components' logits over the batch, averaged over the pairs of components.

    r_ij^2 = (sum_n w_n x_ni x_nj)^2 / (sum_n w_n x_ni^2 sum_n w_n x_nj^2) with x the logits less their weighted means;
    0 for a pair with a constant component. In a replica context of `tf.distribute` the sums go over the batches of all
    devices: each device gets the value for the whole batch, and its gradient, divided by the number of devices, is its
    part of the whole one.

    Args:
      logits: [batch, M] of M components, M at least 2.
      sample_weight: [batch] or [batch, 1]; None weighs all examples the same.

    Returns:
      A scalar in [0, 1], of the type of `logits`: 1 for equal components, 0 for uncorrelated ones.

    Raises:
      ValueError: fewer than two components.

    ```python
    decorrelation([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])  # 0
    decorrelation([[0.0, 0.0], [1.0, -2.0]])  # 1
    ```
    """
    logits = tf.convert_to_tensor(logits)
    components = logits.shape[1]
    if components < 2:
        raise ValueError(f"logits must be of two or more components, got {components}")
    weight = tf.ones_like(logits[:, :1]) if sample_weight is None else tf.cast(sample_weight, logits.dtype)
    weight = tf.reshape(weight, [-1, 1])
    total, first, second = _over_devices(
        [tf.reduce_sum(weight), tf.reduce_sum(weight * logits, axis=0), tf.reduce_sum(weight * logits**2, axis=0)]
    )
    centred = logits - tf.math.divide_no_nan(first, total)
    # A second pass takes out what rounding left of the mean, which may be all there is of logits that are far from 0.
    (rest,) = _over_devices([tf.reduce_sum(weight * centred, axis=0)])
    centred -= tf.math.divide_no_nan(rest, total)
    (products,) = _over_devices([tf.matmul(weight * centred, centred, transpose_a=True)])
    # 1 / standard deviation, and 0 with gradient 0 for a constant component. The inner where keeps rsqrt, and so its
    # gradient, finite where it is not used.
    variance = tf.linalg.diag_part(products)
    varies = variance > tf.stop_gradient(second) * _CONSTANT**2
    scale = tf.math.rsqrt(tf.where(varies, variance, tf.ones_like(variance)))
    scale = tf.where(varies, scale, tf.zeros_like(variance))
    correlation = products * scale[:, None] * scale[None, :]
    pairs = components * (components - 1)  # the matrix has each pair twice
    squares = tf.square(correlation)
    return (tf.reduce_sum(squares) - tf.reduce_sum(tf.linalg.diag_part(squares))) / pairs


def _over_devices(sums: list[tf.Tensor]) -> list[tf.Tensor]:
    """Adds sums up over the devices of a synchronous strategy; their gradients too."""
    if tf.distribute.get_strategy().num_replicas_in_sync == 1:
        return sums
    return list(tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, sums))


class Ramp:
    """A weight that goes linearly from one value, at step 0, to another, at the end of the run, and stays there.

    Args:
      value: a number, which is the weight throughout, or two: first and last.
      total_steps: how many steps the run has, at least 1.

    Attributes:
      active: False where the weight is 0 throughout, so that the term it weighs need not be computed.

    Raises:
      ValueError: not one or two numbers, one below 0, or total_steps below 1.

    ```python
    Ramp((0.0, 1.0), total_steps=1000)(250)  # 0.25
    ```
    """

    def __init__(self, value: float | Sequence[float], total_steps: int = 1) -> None:
        values = tuple(value) if isinstance(value, Sequence) else (value,)
        if len(values) not in (1, 2) or not all(number >= 0 for number in values):
            raise ValueError(f"value must be one or two numbers of at least 0, got {value!r}")
        if total_steps < 1:
            raise ValueError(f"total_steps must be at least 1, got {total_steps!r}")
        self.first, self.last = float(values[0]), float(values[-1])
        self.total_steps = int(total_steps)

    @property
    def active(self) -> bool:
        return max(self.first, self.last) > 0

    def __call__(self, iterations: Any) -> tf.Tensor:
        """The weight after so many steps, float32, of the shape of `iterations`."""
        share = tf.minimum(tf.cast(iterations, tf.float32) / self.total_steps, 1.0)
        return self.first * (1.0 - share) + self.last * share


NEAREST = 1e-6  # a teacher's probability counts as no nearer to 0 and 1, so its log-odds are at most 13.8


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


def multi_task(logits: Any, labels: Any, weights: Sequence[float]) -> tf.Tensor:
    """The weighted sum of the tasks' logistic losses for each example, sum over t of w_t BCE(y_t, sigmoid(l_t)).

    What a network with a shared bottom minimises (Caruana 1997). Each task's loss is a mean over the examples, so that
    the weights say how much a unit of one task's log loss counts beside one of another.

    Args:
      logits: l, [batch, T] of T tasks.
      labels: y, 0 or 1, of the same shape.
      weights: w, T numbers.

    Returns:
      A loss for each example, [batch].

    ```python
    multi_task([[0.0, 0.0]], [[1.0, 0.0]], weights=(1.0, 0.5))  # [1.0397...], 1.5 log 2
    ```
    """
    logits = tf.convert_to_tensor(logits)
    each = tf.nn.sigmoid_cross_entropy_with_logits(labels=tf.cast(labels, logits.dtype), logits=logits)
    return tf.linalg.matvec(each, tf.constant(weights, logits.dtype))


TEACHER_PROBABILITY = "teacher_probability"
"""Among a batch's features: what the teacher predicts for each row, float32 [batch]."""

LOSSES = {"soft_label": soft_label, "logit": logit}

Features = Mapping[str, tf.Tensor]


class Distillation:
    """The loss of distillation, (1 - w) label loss + w teacher loss for each example; the teacher gets no gradient.

    The teacher is not part of the student: not of its variables, its checkpoints or its exports.

    Args:
      loss: `soft_label`, the default: the logistic loss towards the teacher's probability; or `logit`: half the squared
        difference of the log-odds.
      weight: w, a number (0.5 by default), or a function of the number of training steps done, such as `Ramp`.
      teacher: maps a batch's encoded features to probabilities [batch]; None: the batch has them, as the feature
        `teacher_probability`.

    Raises:
      ValueError: an unknown loss.

    ```python
    import tensorflow as tf
    from smooth_recs.losses import Distillation

    quarter = Distillation("logit", weight=0.25)
    features = {"teacher_probability": tf.constant([0.5])}  # log-odds 0
    per_example = quarter(tf.constant([0.6]), tf.constant([[1.0]]), features, iterations=0)
    assert abs(float(per_example[0]) - (0.75 * 0.6 + 0.25 * (1.0 - 0.0) ** 2 / 2)) < 1e-6
    ```
    """

    def __init__(
        self,
        loss: str = "soft_label",
        weight: float | Callable[[Any], tf.Tensor] = 0.5,
        teacher: Callable[[Features], tf.Tensor] | None = None,
    ) -> None:
        if loss not in LOSSES:
            raise ValueError(f"loss must be one of {', '.join(LOSSES)}, got {loss!r}")
        self._loss = LOSSES[loss]
        self._weight = weight
        self._teacher = teacher

    def __call__(self, label_loss: tf.Tensor, logits: tf.Tensor, features: Features, iterations: Any) -> tf.Tensor:
        """Computes the loss of each example, [batch].

        Args:
          label_loss: the labels' loss of each example, [batch].
          logits: the student's logits, [batch] or [batch, 1].
          features: encoded features, with `teacher_probability` where there is no `teacher`.
          iterations: training steps done.
        """
        weight = self._weight(iterations) if callable(self._weight) else self._weight
        logits = tf.reshape(logits, tf.shape(label_loss))
        teacher = self._loss(logits, self.with_teacher(features)[TEACHER_PROBABILITY])
        return (1.0 - weight) * label_loss + weight * teacher

    def with_teacher(self, features: Features) -> Features:
        """Adds `teacher_probability` to the features, so that several networks can ask the teacher once a batch."""
        if TEACHER_PROBABILITY in features:
            return features
        if self._teacher is None:
            raise ValueError(f"a batch without a teacher must have the feature {TEACHER_PROBABILITY}, got none")
        return {**features, TEACHER_PROBABILITY: self._teacher(features)}
