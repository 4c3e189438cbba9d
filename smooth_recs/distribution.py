"""The `tf.distribute` strategy that a configuration names."""

from __future__ import annotations

import tensorflow as tf

from smooth_recs.errors import InputError

STRATEGIES = ("auto", "one_device", "mirrored")


def strategy(name: str) -> tf.distribute.Strategy:
    """`one_device`: the default device; `mirrored`: all GPUs, or all logical CPU devices where there is no GPU; `auto`:
    mirrored where there are several GPUs, else one device.

    Raises:
      InputError: an unknown name.
    """
    if name not in STRATEGIES:
        raise InputError(f"distribution.strategy must be one of {', '.join(STRATEGIES)}, got {name!r}")
    gpus = tf.config.list_logical_devices("GPU")
    if name == "mirrored" or (name == "auto" and len(gpus) > 1):
        devices = gpus or tf.config.list_logical_devices("CPU")
        return tf.distribute.MirroredStrategy([device.name for device in devices])
    return tf.distribute.get_strategy()
