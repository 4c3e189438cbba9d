"""Activations in few operations, where the dense layers on both sides can do the rest."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from smooth_recs.activations import registry
from smooth_recs.activations.registry import Served
from smooth_recs.layers import clipping

Numbers = npt.NDArray[np.float64]


class Rewritten(NamedTuple):
    """clip(f(x)) = out_scale * function(in_scale * (x + in_shift)) + out_shift; numbers, or arrays of one a unit."""

    function: Callable[[Any], Any]
    in_scale: Numbers
    in_shift: Numbers
    out_scale: Numbers
    out_shift: Numbers


class _Rise(NamedTuple):
    """An activation that is `low` up to `start`, then a parabola up to start + width, then a line of slope `slope`."""

    start: Numbers
    width: Numbers
    slope: Numbers
    low: Numbers


def plain(activation: Any, clip: float | None) -> Rewritten:
    """The activation itself, clipped to [-clip, clip] unless `clip` is None."""
    one, zero = np.ones(()), np.zeros(())
    if clip is None:
        return Rewritten(activation, one, zero, one, zero)
    return Rewritten(lambda x: clipping.clip(activation(x), limit=clip), one, zero, one, zero)


def rewritten(activation: Any, clip: float | None) -> Rewritten:
    """The form that an activation's row in `activations.registry` names; a gSmeLU with a left slope as it is.

    ReLU clipped at c is c / 6 relu6(6 / c x), which TensorFlow fuses into the dense layer as it does ReLU.

    SmeLU (eq. 7) is, with z = x / 4 beta and u = min(max(z, -1/4), 1/4),

        y / 4 beta = max(z, (u + 1/4)^2),

    since the parabola touches the line. Both factors 4 beta go into weights, of this layer and of the next one: a clip,
    a squared difference and a maximum are left.

    Args:
      activation: a function or layer of tensors.
      clip: limit of its values; None for none.
    """
    clip = None if clip is None or np.isinf(clip) else clip
    served = registry.served(activation)
    if served is Served.RELU or activation is tf.nn.relu:
        return _relu(clip)
    rise = _rise(registry.hyperparameters(activation)) if served is Served.PARABOLA else None
    if rise is None or (clip is not None and np.any(rise.low < -clip)):
        return plain(activation, clip)
    return _parabola(rise, clip)


def _relu(clip: float | None) -> Rewritten:
    one, zero = np.ones(()), np.zeros(())
    if clip is None:
        return Rewritten(tf.nn.relu, one, zero, one, zero)
    return Rewritten(tf.nn.relu6, one * 6 / clip, zero, one * clip / 6, zero)


def _parabola(rise: _Rise, clip: float | None) -> Rewritten:
    unit = 2 * rise.width
    gain = unit * rise.slope
    limit = None if clip is None else ((clip - rise.low) / gain).astype(np.float32)
    return Rewritten(functools.partial(_unit, limit=limit), 1 / unit, -rise.start - rise.width / 2, gain, rise.low)


def _unit(z: Any, limit: Any) -> Any:
    """SmeLU of beta = 1/4, at most `limit`."""
    u = tf.raw_ops.ClipByValue(t=z, clip_value_min=-0.25, clip_value_max=0.25)
    y = tf.maximum(z, tf.math.squared_difference(u, -0.25))
    return y if limit is None else tf.minimum(y, limit)


def _rise(hyperparameters: Mapping[str, Any]) -> _Rise | None:
    """From gSmeLU's hyperparameters; those that are missing are SmeLU's. None where the slope on the left is not 0."""
    values = {name: np.asarray(value, np.float64) for name, value in hyperparameters.items()}
    beta = values["beta"]
    values = {"alpha": beta, "g_minus": 0 * beta, "g_plus": 0 * beta + 1, "t": 0 * beta} | values
    width = values["alpha"] + beta
    if np.any(values["g_minus"] != 0) or np.any(width <= 0):
        return None
    return _Rise(-values["alpha"], width, values["g_plus"], values["t"])
