"""Ranking models as they are served: normalisation inside plain kernels, no dropout, cheap activations."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from smooth_recs.activations import registry
from smooth_recs.activations.registry import Served
from smooth_recs.layers import Clip, NormalizedDense, Tower, normalized_dense
from smooth_recs.models import EnsembleModel, RankingModel

Numbers = npt.NDArray[np.float64]


def folded(model: Any) -> Any:
    """A model with the same predictions, which shares the embeddings and has copies of the dense weights.

    In its towers v w_j / ||w_j|| is a kernel like any other (section 2: in deployment, the normalisation costs
    nothing), batch normalisation is part of the kernel before it, dropout is gone, and of SmeLU only what a fused dense
    layer cannot do is left (`rewritten`). A model that is neither a `RankingModel` nor an `EnsembleModel` of such is
    returned as it is; so is a tower that computes in half precision.

    Args:
      model: a built model; its learned activations count with the hyperparameters that they have now.
    """
    if type(model) is EnsembleModel:
        components = [folded(component) for component in model.components]
        return EnsembleModel(components, average=model.average, deployed=model.deployed)
    if type(model) is not RankingModel:
        return model
    top, output, bottom = model.top_stack, model.output_layer, model.bottom_stack
    if _foldable(top):
        stages = _stages([*top.hidden, output])
        top, output = Stack(stages[:-1]), Stack(stages[-1:])
    served = RankingModel(
        embeddings=model.embeddings,
        numeric=model.numeric,
        bottom_stack=Stack(_stages(bottom.hidden)) if _foldable(bottom) else bottom,
        interaction=model.interaction,
        top_stack=top,
        linear=model.linear,
        task=model.task,
        outputs=model.outputs,
        task_weights=model.task_weights,
    )
    served.output_layer = output
    return served


def _foldable(tower: Any) -> bool:
    return type(tower) is Tower and tower.compute_dtype == "float32"


class Stack(tf.Module):
    """Dense layers, each f(norm(W x + b)), one after the other; `norm` is a layer normalisation, or None.

    Args:
      stages: the layers, the first one first.
    """

    def __init__(self, stages: Sequence[Stage]) -> None:
        super().__init__()
        self.stages = list(stages)

    def __call__(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        outputs = inputs
        for stage in self.stages:
            outputs = stage(outputs)
        return outputs


class Stage(tf.Module):
    """One layer of a `Stack`.

    Args:
      kernel: [inputs, units].
      bias: [units].
      norm: a layer normalisation; None: none.
      activation: a function or layer of tensors.
    """

    def __init__(self, kernel: Numbers, bias: Numbers, norm: Any, activation: Any) -> None:
        super().__init__()
        # All folding is in double precision, and rounded once, here.
        self.kernel = tf.Variable(kernel.astype(np.float32), name="kernel")
        self.bias = tf.Variable(bias.astype(np.float32), name="bias")
        self.norm = norm
        self._activation = (activation,)  # in a tuple, since an activation may be a layer, whose weights are not served

    def __call__(self, inputs: tf.Tensor) -> tf.Tensor:
        # MatMul, BiasAdd and a ReLU next to each other: TensorFlow's optimiser makes one op of them (2.21).
        outputs = tf.nn.bias_add(tf.matmul(inputs, self.kernel), self.bias)
        return self._activation[0](outputs if self.norm is None else self.norm(outputs))


def _stages(layers: Sequence[Any]) -> list[Stage]:
    """The layers of a tower, with or without the output layer after them, as stages.

    The scale and shift that a cheap activation wants of its inputs go into the last weights before it, those that it
    wants of its outputs into the first weights after it.
    """
    hidden = _hidden(layers)
    stages = []
    scale, shift = np.ones(1), np.zeros(1)  # the true outputs of the layer before are scale * outputs + shift
    for position, layer in enumerate(hidden):
        last = position == len(hidden) - 1  # no weights come after it
        cheap = (plain if last else rewritten)(layer.activation, layer.clip)
        inputs = len(layer.kernel)
        bias = layer.bias + np.broadcast_to(shift, [inputs]) @ layer.kernel
        kernel = np.broadcast_to(scale, [inputs])[:, np.newaxis] * layer.kernel
        if layer.norm is None:
            norm = None
            kernel, bias = kernel * cheap.in_scale, (bias + cheap.in_shift) * cheap.in_scale
        else:
            gamma, beta = (_numbers(weight) for weight in (layer.norm.gamma, layer.norm.beta))
            norm = tf.keras.layers.LayerNormalization(epsilon=layer.norm.epsilon)
            norm.build([None, len(gamma)])
            norm.set_weights([gamma * cheap.in_scale, (beta + cheap.in_shift) * cheap.in_scale])
        stages.append(Stage(kernel, bias, norm, cheap.function))
        scale, shift = cheap.out_scale, cheap.out_shift
    return stages


class _Hidden(NamedTuple):
    """A hidden layer in NumPy, in double precision; `norm` is Keras' layer normalisation."""

    kernel: Numbers
    bias: Numbers
    norm: Any
    activation: Any
    clip: float | None


def _hidden(layers: Sequence[Any]) -> list[_Hidden]:
    """The layers of a tower by hidden layer: from each dense one to the next."""
    keras = tf.keras.layers
    found: list[_Hidden] = []
    for layer in layers:
        if isinstance(layer, NormalizedDense | keras.Dense):
            normalized = isinstance(layer, NormalizedDense)
            kernel = _numbers(layer.normalized_kernel() if normalized else layer.kernel)
            bias = np.zeros(layer.units) if layer.bias is None else _numbers(layer.bias)
            found.append(_Hidden(kernel, bias, None, layer.activation, layer.clip if normalized else None))
        elif isinstance(layer, keras.BatchNormalization):
            # gamma (W x + b - mean) / sqrt(variance + epsilon) + beta, as a dense layer.
            weights = (layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance)
            gamma, beta, mean, variance = (_numbers(weight) for weight in weights)
            scale, dense = gamma / np.sqrt(variance + layer.epsilon), found[-1]
            found[-1] = dense._replace(kernel=dense.kernel * scale, bias=(dense.bias - mean) * scale + beta)
        elif isinstance(layer, keras.LayerNormalization):
            found[-1] = found[-1]._replace(norm=layer)
        elif isinstance(layer, keras.Activation):
            found[-1] = found[-1]._replace(activation=layer.activation)
        elif isinstance(layer, Clip):
            found[-1] = found[-1]._replace(clip=layer.limit)
        else:
            assert isinstance(layer, keras.Dropout), f"a tower has no {layer}"
    return found


def _numbers(weight: Any) -> Numbers:
    return np.asarray(tf.convert_to_tensor(weight), np.float64)


# Activations in few operations, where the dense layers on both sides can do the rest.


class Rewritten(NamedTuple):
    """clip(f(x)) = out_scale * function(in_scale * (x + in_shift)) + out_shift; numbers, or arrays of one a unit."""

    function: Callable[[Any], Any]
    in_scale: Numbers
    in_shift: Numbers
    out_scale: Numbers
    out_shift: Numbers


def plain(activation: Any, clip: float | None) -> Rewritten:
    """The activation itself, clipped to [-clip, clip] unless `clip` is None."""
    one, zero = np.ones(()), np.zeros(())
    if clip is None:
        return Rewritten(activation, one, zero, one, zero)
    return Rewritten(lambda x: normalized_dense.clip(activation(x), limit=clip), one, zero, one, zero)


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
    one, zero = np.ones(()), np.zeros(())
    served = registry.served(activation)
    if served is Served.RELU or activation is tf.nn.relu:
        if clip is None:
            return Rewritten(tf.nn.relu, one, zero, one, zero)
        return Rewritten(tf.nn.relu6, one * 6 / clip, zero, one * clip / 6, zero)
    if served is not Served.PARABOLA:
        return plain(activation, clip)
    values = {name: np.asarray(value, np.float64) for name, value in registry.hyperparameters(activation).items()}
    beta = values["beta"]
    # gSmeLU's hyperparameters (eq. 9); those that are missing are SmeLU's.
    values = {"alpha": beta, "g_minus": 0 * beta, "g_plus": 0 * beta + 1, "t": 0 * beta} | values
    # It is `low` up to -alpha, then a parabola over `width`, then a line of slope g_plus.
    width, low = values["alpha"] + beta, values["t"]
    if np.any(values["g_minus"] != 0) or np.any(width <= 0) or (clip is not None and np.any(low < -clip)):
        return plain(activation, clip)
    unit = 2 * width
    gain = unit * values["g_plus"]
    limit = None if clip is None else ((clip - low) / gain).astype(np.float32)
    function = functools.partial(_unit_smelu, limit=limit)
    return Rewritten(function, 1 / unit, values["alpha"] - width / 2, gain, low)


def _unit_smelu(z: Any, limit: Any) -> Any:
    """SmeLU of beta = 1/4, at most `limit`."""
    # tf.clip_by_value would be a minimum and a maximum, two operations where this is one (TF 2.21).
    u = tf.raw_ops.ClipByValue(t=z, clip_value_min=-0.25, clip_value_max=0.25)
    y = tf.maximum(z, tf.math.squared_difference(u, -0.25))
    return y if limit is None else tf.minimum(y, limit)
