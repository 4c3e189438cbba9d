"""Variables that hold one row an id: made without a second copy, read by rows, and moved into huge pages on request.

Such a table is most of a recommender's memory, so what other variables may cost unseen (copies while they are made,
reads of the whole) counts here.
"""

from __future__ import annotations

import ctypes
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf

from smooth_recs import keras_generation
from smooth_recs.layers import stochastic_rounding


def local(weight: Any) -> Any:
    """Finds the variable that a weight is on this device, without Keras' and the strategy's wrappers."""
    # Keras 3 wraps variables, and so does a strategy with several devices. The wrappers read all of a variable before
    # they gather some rows, and again after they update some (TensorFlow 2.21).
    stored = keras_generation.stored(weight)
    return stored._get() if isinstance(stored, tf.distribute.DistributedValues) else stored


def lookup(table: Any, ids: tf.Tensor) -> tf.Tensor:
    """Gathers the rows `ids` [n] of a weight [rows, ...]: [n, ...], in float32 where it is stored in 16 bits.

    A table that is sharded over parameter servers takes flat ids only, so all tables get flat ones.
    """
    stored = local(table)
    shards = getattr(stored, "variables", None)
    found = tf.gather(stored, ids) if shards is None else tf.nn.embedding_lookup(shards, ids)
    return stochastic_rounding.in_float32(found) if stochastic_rounding.is_rounded(found.dtype) else found


def in_place(initializer: Callable[..., tf.Tensor]) -> Callable[..., tf.Tensor]:
    """Makes an initializer of the same values that takes the memory of its result only; Keras' own take three times it.

    ```python
    self.add_weight(name="embeddings", shape=(10_000_000, 16), initializer=in_place(initializer))
    ```
    """

    def initialize(shape: Any, dtype: Any = None, **kwargs: Any) -> tf.Tensor:
        # Op by op, scaling random numbers keeps the numbers, their product and the sum. In one graph each op writes
        # over its input. Constant folding would compute the whole table a second time while the graph is optimised.
        options = tf.config.optimizer.get_experimental_options()
        tf.config.optimizer.set_experimental_options({"constant_folding": False})
        # A table in 16 bits begins with the numbers of one in float32, rounded to the nearest. Together they take six
        # bytes a number, as the table and Adagrad's sums do later.
        rounds = dtype is not None and stochastic_rounding.is_rounded(dtype)

        def values() -> tf.Tensor:
            if rounds:
                return tf.cast(initializer(shape, dtype="float32", **kwargs), dtype)
            return initializer(shape, dtype=dtype, **kwargs)

        try:
            graph = tf.function(values, autograph=False)
            return graph.get_concrete_function()()
        finally:
            folding = options.get("constant_folding", True)
            tf.config.optimizer.set_experimental_options({"constant_folding": folding})

    return initialize


def give_up(weight: Any) -> bool:
    """Frees the memory of a large weight, which must be assigned a value before it is read; whether it is large."""
    stored = keras_generation.stored(weight)
    size = stored.shape.num_elements() * stored.dtype.size
    if size < LARGE_BYTES or hasattr(stored, "variables"):
        return False
    for each in stored.values if isinstance(stored, tf.distribute.DistributedValues) else [stored]:
        with tf.device(each.device):
            nothing = tf.zeros([0, *each.shape[1:]], each.dtype)
            tf.raw_ops.AssignVariableOp(resource=each.handle, value=nothing)
    return True


LARGE_BYTES = 64 << 20
_SETTING = Path("/sys/kernel/mm/transparent_hugepage/enabled")
_HUGE, _COLLAPSE = 14, 25  # advice to madvise(2); the second, since Linux 6.1, moves what lies in small pages already
_PRIVATE_MEMORY = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) rw-p 0+ 00:00 0\s*$", re.MULTILINE)


def ask_for_huge_pages() -> int:
    """Asks Linux to move all large pieces of this process' memory into pages of 2 MiB; returns their bytes.

    Large tables otherwise lie in more pages than a processor remembers the addresses of. Returns 0 where Linux does not
    grant huge pages on request (`madvise`). It takes about as long as to copy the memory.
    """
    try:
        granted_on_request = sys.platform == "linux" and "[madvise]" in _SETTING.read_text(encoding="utf-8")
    except OSError:
        return 0
    if not granted_on_request:
        return 0
    found = _PRIVATE_MEMORY.findall(Path("/proc/self/maps").read_text(encoding="utf-8"))
    advise = ctypes.CDLL(None).madvise
    advise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    total = 0
    for begin, end in ((int(begin, 16), int(end, 16)) for begin, end in found):
        size = end - begin
        if size >= LARGE_BYTES:
            total += size
            if advise(begin, size, _HUGE) == 0:
                advise(begin, size, _COLLAPSE)
    return total


class HugePages(keras_generation.keras().callbacks.Callback):  # type: ignore[misc]
    """Asks for huge pages once, after the first steps: all tables, and what optimizers keep of them, exist by then.

    A run does so only where `train.huge_pages` is set: the advice goes to memory that TensorFlow allocated, of the
    whole process, so giving it is the user's decision.
    """

    def __init__(self) -> None:
        super().__init__()
        self.asked = False
        self._supports_tf_logs = True  # else tf_keras (2.21) turns the logs of every execution into NumPy

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if not self.asked:
            self.asked = True
            ask_for_huge_pages()
