"""What lies between the products of matrices, compiled by XLA: row norms, activations and clips of a training step.

TensorFlow passes over memory once for each operation; what XLA compiles passes over it once, forward and backward. The
products themselves stay as they are: on a processor oneDNN's are faster than XLA's.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

Function = Callable[[Any], Any]

# The outputs of a hidden layer in a step, on average, from which on fewer passes gain more than the calls of what is
# compiled cost (benchmarks/compiled_dense.py).
LEAST_OUTPUTS = 100_000

_this_thread = threading.local()  # each device of a strategy is traced in a thread of its own


@contextlib.contextmanager
def passes(wanted: bool = True) -> Iterator[None]:
    """Has `apply` compile what is traced inside, such as the training step of a model; nothing else is compiled.

    ```python
    with compiled.passes():
        hidden = tower(inputs)
    ```
    """
    before = getattr(_this_thread, "wanted", False)
    _this_thread.wanted = wanted
    try:
        yield
    finally:
        _this_thread.wanted = before


def apply(function: Function, x: Any) -> Any:
    """Computes `function(x)`; inside of `passes` XLA compiles its value, and its gradient, as one function each.

    The results differ from those that are not compiled in last bits, since sums are added in another order.

    Args:
      function: of one tensor, without variables, random numbers or other state.
      x: float32 to be compiled; of other types XLA rounds elsewhere than TensorFlow.
    """
    if not getattr(_this_thread, "wanted", False):
        return function(x)
    import tensorflow as tf  # here, since layers on other backends come by

    if tf.executing_eagerly() or x.dtype != tf.float32:  # outside of a graph each call would compile anew
        return function(x)

    def gradient(x: Any, upstream: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = function(x)
        return tape.gradient(y, x, output_gradients=upstream)

    @tf.custom_gradient
    def applied(x: Any) -> tuple[Any, Function]:
        # The backward function computes the value again: its operations cost nothing where they need no pass of their
        # own, and nothing but `x` has to be kept.
        return _compiled(function)(x), lambda upstream: _compiled(gradient)(x, upstream)

    return applied(x)


def pays(batch_size: int, units: Sequence[int]) -> bool:
    """Whether hidden layers of these widths train faster where they are compiled, on a processor.

    >>> pays(2048, (1024, 512, 256)), pays(256, (256, 128, 64, 32, 16))
    (True, False)
    """
    return batch_size * sum(units) >= LEAST_OUTPUTS * len(units) > 0


@functools.cache
def missing() -> str:
    """Why XLA cannot compile in this process, in one line; empty where it can."""
    import tensorflow as tf

    try:
        with tf.init_scope():
            _compiled(lambda x: x + 1.0)(tf.constant(0.0))
    except tf.errors.OpError as error:
        return str(error.message).splitlines()[0]
    return ""


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    import tensorflow as tf

    made: Callable[..., Any] = tf.function(function, jit_compile=True, autograph=False)
    return made
