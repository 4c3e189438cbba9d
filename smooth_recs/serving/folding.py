"""Ranking models as they are served: normalisation inside plain kernels, no dropout, cheap activations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from smooth_recs.layers import Clip, NormalizedDense, Tower
from smooth_recs.models import EnsembleModel, RankingModel
from smooth_recs.serving import cheap_activations
from smooth_recs.serving.cheap_activations import Rewritten

Numbers = npt.NDArray[np.float64]


def folded(model: Any) -> Any:
    """A model of the same predictions, which shares the embeddings and has copies of the dense weights.

    In its towers v w_j / ||w_j|| is a kernel like any other (section 2: in deployment, the normalisation costs
    nothing), batch normalisation is part of the kernel before it, dropout is gone, and of SmeLU only what a fused dense
    layer cannot do is left (`cheap_activations`). A model that is neither a `RankingModel` nor an `EnsembleModel` of
    such is returned as it is; so is a tower that computes in half precision.

    Args:
      model: a built model; its learned activations count with the hyperparameters that they have now.
    """
    if type(model) is EnsembleModel:
        components = [folded(component) for component in model.components]
        return EnsembleModel(components, average=model.average, deployed=model.deployed)
    return _ranking(model) if type(model) is RankingModel else model


def _ranking(model: RankingModel) -> RankingModel:
    top, output = model.top_stack, model.output_layer
    if _foldable(top):
        stages = _stages([*top.hidden, output])
        top, output = Stack(stages[:-1]), Stack(stages[-1:])
    bottom = model.bottom_stack
    served = RankingModel(
        embeddings=model.embeddings,
        numeric=model.numeric,
        bottom_stack=Stack(_stages(bottom.hidden)) if _foldable(bottom) else bottom,
        interaction=model.interaction,
        top_stack=top,
        linear=model.linear,
        task=model.task,
        outputs=model.outputs,
    )
    served.output_layer = output
    return served


def _foldable(tower: Any) -> bool:
    return type(tower) is Tower and tower.compute_dtype == "float32"


class Stack(tf.Module):
    """Dense layers, each f(norm(W x + b)), one after the other; `norm` is a layer normalisation, or not there."""

    def __init__(self, stages: Sequence[Stage]) -> None:
        super().__init__()
        self.stages = list(stages)

    def __call__(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        outputs = inputs
        for stage in self.stages:
            outputs = stage(outputs)
        return outputs


class Stage(tf.Module):
    """One of the layers: `kernel` [inputs, units], `bias` [units], and what is in `norm` and `activation`."""

    def __init__(self, kernel: Numbers, bias: Numbers, norm: Any, activation: Any) -> None:
        super().__init__()
        self.kernel = tf.Variable(kernel.astype(np.float32), name="kernel")
        self.bias = tf.Variable(bias.astype(np.float32), name="bias")
        self.norm = norm
        self._activation = (activation,)  # in a tuple, since an activation may be a layer, whose weights are not served

    def __call__(self, inputs: tf.Tensor) -> tf.Tensor:
        # MatMul, BiasAdd and a ReLU next to each other: TensorFlow's optimiser makes one op of them.
        outputs = tf.nn.bias_add(tf.matmul(inputs, self.kernel), self.bias)
        return self._activation[0](outputs if self.norm is None else self.norm(outputs))


class _Hidden(NamedTuple):
    """A hidden layer in NumPy, in double precision; `norm` is Keras' layer normalisation."""

    kernel: Numbers
    bias: Numbers
    norm: Any
    activation: Any
    clip: float | None


def _stages(layers: Sequence[Any]) -> list[Stage]:
    """`layers` are those of a tower, with or without the output layer after them."""
    hidden = _hidden(layers)
    stages = []
    scale, shift = np.ones(1), np.zeros(1)  # the true outputs of the layer before are scale * outputs + shift
    for position, layer in enumerate(hidden):
        last = position == len(hidden) - 1
        rewrite = cheap_activations.plain if last else cheap_activations.rewritten
        cheap = rewrite(layer.activation, layer.clip)
        inputs = len(layer.kernel)
        bias = layer.bias + np.broadcast_to(shift, [inputs]) @ layer.kernel
        stages.append(_stage(np.broadcast_to(scale, [inputs])[:, np.newaxis] * layer.kernel, bias, layer.norm, cheap))
        scale, shift = cheap.out_scale, cheap.out_shift
    return stages


def _stage(kernel: Numbers, bias: Numbers, norm: Any, cheap: Rewritten) -> Stage:
    """With the scale and shift that the activation wants of its inputs in the last weights before it."""
    if norm is None:
        return Stage(kernel * cheap.in_scale, (bias + cheap.in_shift) * cheap.in_scale, None, cheap.function)
    gamma, beta = (_numbers(weight) for weight in (norm.gamma, norm.beta))
    own = tf.keras.layers.LayerNormalization(epsilon=norm.epsilon)
    own.build([None, len(gamma)])
    own.set_weights([gamma * cheap.in_scale, (beta + cheap.in_shift) * cheap.in_scale])
    return Stage(kernel, bias, own, cheap.function)


def _hidden(layers: Sequence[Any]) -> list[_Hidden]:
    """The layers of a tower by hidden layer: from each dense one to the next."""
    keras = tf.keras.layers
    found: list[_Hidden] = []
    for layer in layers:
        if isinstance(layer, NormalizedDense | keras.Dense):
            found.append(_dense(layer))
        elif isinstance(layer, keras.BatchNormalization):
            found[-1] = _with_batch_norm(found[-1], layer)
        elif isinstance(layer, keras.LayerNormalization):
            found[-1] = found[-1]._replace(norm=layer)
        elif isinstance(layer, keras.Activation):
            found[-1] = found[-1]._replace(activation=layer.activation)
        elif isinstance(layer, Clip):
            found[-1] = found[-1]._replace(clip=layer.limit)
        else:
            assert isinstance(layer, keras.Dropout), f"a tower has no {layer}"
    return found


def _dense(layer: Any) -> _Hidden:
    normalized = isinstance(layer, NormalizedDense)
    kernel = _numbers(layer.normalized_kernel() if normalized else layer.kernel)
    bias = np.zeros(layer.units) if layer.bias is None else _numbers(layer.bias)
    return _Hidden(kernel, bias, None, layer.activation, layer.clip if normalized else None)


def _with_batch_norm(dense: _Hidden, norm: Any) -> _Hidden:
    """gamma (W x + b - mean) / sqrt(variance + epsilon) + beta, as a dense layer."""
    weights = (norm.gamma, norm.beta, norm.moving_mean, norm.moving_variance)
    gamma, beta, mean, variance = (_numbers(weight) for weight in weights)
    scale = gamma / np.sqrt(variance + norm.epsilon)
    return dense._replace(kernel=dense.kernel * scale, bias=(dense.bias - mean) * scale + beta)


def _numbers(weight: Any) -> Numbers:
    return np.asarray(tf.convert_to_tensor(weight), np.float64)
