"""Learning a teacher's predictions along with the labels (sections 1.2 and 6, [21])."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from smooth_recs import losses

TEACHER_PROBABILITY = "teacher_probability"
"""Among a batch's features: what the teacher predicts for each row, float32 [batch]."""

LOSSES = {"soft_label": losses.soft_label, "logit": losses.logit}

Features = Mapping[str, tf.Tensor]


class Distillation:
    """The loss of an example: (1 - w) label loss + w teacher loss, which no gradient leaves towards the teacher.

    What predicts is no part of the student: not of its variables, its checkpoints or its exports.

    Args:
      loss: `soft_label`: the logistic loss towards the teacher's probability; `logit`: half the squared difference of
        the log-odds.
      weight: w, a number, or a function of the number of training steps done, such as `losses.Ramp`.
      teacher: maps a batch's encoded features to probabilities [batch]; None: the batch has them, as the feature
        `teacher_probability`.

    Raises:
      ValueError: an unknown loss.

    ```python
    import tensorflow as tf
    from smooth_recs.models.distillation import Distillation

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
        """The loss of each example, [batch].

        Args:
          label_loss: of each example, [batch].
          logits: the student's, [batch] or [batch, 1].
          features: encoded; with `teacher_probability` where there is no `teacher`.
          iterations: training steps done.
        """
        weight = self._weight(iterations) if callable(self._weight) else self._weight
        logits = tf.reshape(logits, tf.shape(label_loss))
        teacher = self._loss(logits, self.with_teacher(features)[TEACHER_PROBABILITY])
        return (1.0 - weight) * label_loss + weight * teacher

    def with_teacher(self, features: Features) -> Features:
        """The features with `teacher_probability`: several networks that learn from one batch ask the teacher once."""
        if TEACHER_PROBABILITY in features:
            return features
        if self._teacher is None:
            raise ValueError(f"a batch without a teacher must have the feature {TEACHER_PROBABILITY}, got none")
        return {**features, TEACHER_PROBABILITY: self._teacher(features)}
