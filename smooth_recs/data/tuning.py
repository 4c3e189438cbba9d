"""tf.data without the tuner that keeps finished data sets waiting."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def untuned(dataset: Any) -> Any:
    """`dataset`, and all that is made of it, with the parallelism it starts with: as many calls as cores, at most 16.

    tf.data's tuner looks at a running iterator 10, 20, 40, ... ms after the last time, up to a minute, and an iterator
    that is deleted often waits for the next time (TensorFlow 2.21; benchmarks/end_of_epoch.py measures it): an epoch of
    three seconds ends after five.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)
