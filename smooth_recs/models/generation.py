"""What the ranking stack takes from the generation of Keras that this process has: a model class, a loss, optimizers.

In `tf_keras` they are those of TensorFlow Recommenders and Keras' legacy optimizers; in Keras 3, which TensorFlow
Recommenders (0.7.7) refuses, they are this package's own, of the same numbers. The rest of the stack is one code.
"""

from __future__ import annotations

from typing import Any

from smooth_recs import keras_generation


def _stack() -> Any:
    if keras_generation.is_legacy():
        from smooth_recs.models import _tf_keras

        return _tf_keras
    from smooth_recs.models import _keras_3

    return _keras_3


_found = _stack()

# The base class of ranking models.
Model: Any = _found.Model
# Makes the task of a ranking model: maps (labels, logits, sample_weight, compute_metrics) to a logistic loss a row.
logistic_task: Any = _found.logistic_task
# The optimizers: of one learning rate or schedule, `global_clipnorm` and `gradient_transformers`. All update the rows
# alone that a sparse gradient has, but `Adam`, which in tf_keras is Keras' own.
Adagrad: Any = _found.Adagrad
Adam: Any = _found.Adam
RowAdam: Any = _found.RowAdam
SGD: Any = _found.SGD
# Those of them that update tables in 16 bits (`layers.stochastic_rounding`).
ROUNDING: Any = _found.ROUNDING
# One optimizer of pairs of (optimizer, function that returns its variables), which it lists as `optimizers`.
CompositeOptimizer: Any = _found.CompositeOptimizer
# Makes the variables (slots) of an optimizer for the variables that it is given.
make_slots: Any = _found.make_slots
