"""Values and gradients as NumPy arrays, on whichever backend of Keras this process has; on jax in 64 bits as well."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from smooth_recs import keras_generation

BACKEND = keras_generation.backend()


def value_and_gradients(
    function: Callable[..., Any], *arrays: Any, dtype: str = "float64", compiled: bool = False
) -> tuple[np.ndarray, list[np.ndarray]]:
    """`function` of tensors of `dtype`, and the gradients of its sum with respect to each, as float64 arrays."""
    return _ON[BACKEND](function, [np.asarray(array, np.float64) for array in arrays], dtype, compiled)


def value(function: Callable[..., Any], *arrays: Any, dtype: str = "float64") -> np.ndarray:
    return value_and_gradients(function, *arrays, dtype=dtype)[0]


def _on_tensorflow(function: Any, arrays: Any, dtype: str, compiled: bool) -> Any:
    import tensorflow as tf

    def both(*tensors: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            y = function(*tensors)
        return y, tape.gradient(y, tensors, unconnected_gradients="zero")

    run = tf.function(both, autograph=False) if compiled else both
    y, gradients = run(*(tf.cast(array, dtype) for array in arrays))
    return tf.cast(y, tf.float64).numpy(), [tf.cast(each, tf.float64).numpy() for each in gradients]


def _on_jax(function: Any, arrays: Any, dtype: str, compiled: bool) -> Any:
    import jax
    import jax.numpy as jnp

    with jax.enable_x64(True):

        def both(*tensors: Any) -> Any:
            y, backward = jax.vjp(function, *tensors)
            return y, backward(jnp.ones_like(y))

        y, gradients = (jax.jit(both) if compiled else both)(*(jnp.asarray(array, dtype) for array in arrays))
        return np.asarray(y, np.float64), [np.asarray(each, np.float64) for each in gradients]


def _on_torch(function: Any, arrays: Any, dtype: str, compiled: bool) -> Any:
    import torch

    # Traced as torch.compile does, in one graph and without generating code, which takes a minute.
    run = torch.compile(function, fullgraph=True, backend="aot_eager") if compiled else function
    tensors = [torch.tensor(array).to(getattr(torch, dtype)).requires_grad_() for array in arrays]
    y = run(*tensors)
    gradients = torch.autograd.grad(y.sum(), tensors, allow_unused=True, materialize_grads=True)
    return y.detach().double().numpy(), [each.double().numpy() for each in gradients]


_ON = {"tensorflow": _on_tensorflow, "jax": _on_jax, "torch": _on_torch}
