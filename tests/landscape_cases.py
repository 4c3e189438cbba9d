"""Networks of a few weights, whose losses are known in closed form."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from smooth_recs.experiments.landscape.movable_network import Network, Rows, Sibling


def network_of(logit, *siblings, label=(1.0,), weight=None, is_table=None, name="network"):
    """Siblings with the given lists of weights; `logit` maps variables to the log-odds of every row."""
    label = np.array(label)
    rows = Rows(
        label, np.ones(label.size) if weight is None else np.array(weight), np.arange(label.size, dtype=np.uint64)
    )

    def sibling(number, values):
        variables = [tf.Variable(np.array(value, np.float32)) for value in values]
        tables_ = is_table or [False] * len(values)
        return Sibling(f"replica {number}", None, variables, tables_, lambda: predict(variables))

    def predict(variables):
        logits = np.broadcast_to(np.asarray(logit(*(v.numpy() for v in variables)), np.float64), label.shape)
        return 1 / (1 + np.exp(-logits))

    return Network(name, [sibling(k, values) for k, values in enumerate(siblings)], rows)
