"""Orders of their own for siblings, from whatever a Keras `fit` takes: arrays, datasets, sequences, generators.

Arrays are permuted as a whole, anew in every epoch. Of anything else a window of batches is read at a time, and its
rows are permuted for each sibling; the batches keep their sizes, so an epoch has as many steps as there are batches.
Where rows cannot be permuted (sparse or ragged tensors, batches of unequal widths) the batches of a window are.

`data.shuffling` is the shuffle that a run can resume at any row, which a dataset or a generator of any kind does not
allow.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from smooth_recs import keras_generation
from smooth_recs.data.shuffling import SiblingBatches
from smooth_recs.errors import InputError

BATCH_SIZE = 32  # Keras' own default, for arrays


def in_orders(given: dict[str, Any], siblings: int, window: int) -> dict[str, Any]:
    """Replaces what `fit` is given by batches in an order of its own for each sibling.

    Args:
      given: arguments of `tf.keras.Model.fit` by name, `x` among them.
      siblings: how many. Their seeds come from Python's `random`, which `tf.keras.utils.set_random_seed` seeds.
      window: see `of_batches`.

    Returns:
      The same arguments with other data. Data of an unknown kind (of a strategy) stay as they are.

    Raises:
      InputError: `shuffle` is False; arrays or class weights break a rule of the functions below.
    """
    given, x = dict(given), given["x"]
    class_weight = given.pop("class_weight", None)

    def weighted(*batch: Any) -> Any:
        return weighted_by_class(batch if len(batch) > 1 else batch[0], class_weight)

    if is_ordered(x):
        if class_weight:
            x = x.map(lambda step: step._replace(batches=tuple(map(weighted, step.batches))))
        return {**given, "x": x}
    if not (isinstance(x, tf.data.Dataset) or given.get("shuffle", True)):
        raise InputError("shuffle must be True where siblings differ in order, got False: all would have one order")
    seeds = random.sample(range(2**31), siblings)
    if is_arrays(x):
        parts = as_tensors(packed(x, given.pop("y", None), given.pop("sample_weight", None)))
        size, share = given.pop("batch_size", None), given.pop("validation_split", 0.0)
        if share and given.get("validation_data") is None:
            parts, given["validation_data"] = without_validation(parts, share)
        if is_arrays(given.get("validation_data")):
            given["validation_batch_size"] = given.get("validation_batch_size") or size
        parts = weighted(*parts) if class_weight else parts
        x = of_arrays(parts, seeds, batch_size=size, endless=given.get("steps_per_epoch") is not None)
        return {**given, "x": x, "shuffle": False}
    if is_sequence(x):
        x = batches_of_sequence(x)
    elif is_generator(x):
        x = batches_of_generator(x)
    if not isinstance(x, tf.data.Dataset):
        return {**given, "class_weight": class_weight}
    x = of_batches(x.map(weighted) if class_weight else x, seeds, window=window)
    return {**given, "x": x, "shuffle": False}


def is_ordered(x: Any) -> bool:
    """True for a dataset that has a batch for each sibling."""
    return isinstance(x, tf.data.Dataset) and isinstance(x.element_spec, SiblingBatches)


def of_arrays(
    arrays: tuple[Any, ...], seeds: Sequence[int], *, batch_size: int | None = None, endless: bool = False
) -> tf.data.Dataset:
    """Makes batches of arrays, all rows permuted for each sibling, anew each time the dataset is read.

    Args:
      arrays: (x,), (x, y) or (x, y, sample_weight), as `as_tensors` makes them.
      seeds: one a sibling.
      batch_size: rows of a batch, 32 by default; the last one may be smaller.
      endless: goes on with the next permutation instead of ending.

    Raises:
      InputError: the arrays have no rows, or unequal numbers of them.
    """
    counts = [int(leaf.shape[0]) if leaf.shape.rank else 0 for leaf in tf.nest.flatten(arrays) if leaf is not None]
    if len(set(counts)) != 1 or not counts[0]:
        raise InputError(f"x, y and sample_weight must have as many rows each, at least one, got {counts}")
    rows, batch_size = counts[0], batch_size or BATCH_SIZE
    if any(isinstance(leaf, tf.SparseTensor) for leaf in tf.nest.flatten(arrays)):  # rows of these cannot be gathered
        batches = tf.data.Dataset.from_tensor_slices(arrays).batch(batch_size)
        permuted = of_batches(batches, seeds, window=-(-rows // batch_size))
    else:
        sizes = [min(batch_size, rows - start) for start in range(0, rows, batch_size)]
        permuted = _numbers(seeds).take(1).flat_map(lambda number: _split(arrays, tf.constant(sizes), number, seeds))
        permuted = permuted.apply(tf.data.experimental.assert_cardinality(len(sizes)))
    return (permuted.repeat() if endless else permuted).prefetch(tf.data.AUTOTUNE)


def of_batches(batches: tf.data.Dataset, seeds: Sequence[int], *, window: int) -> tf.data.Dataset:
    """Permutes the rows of each window of batches for each sibling, anew each time the dataset is read.

    Args:
      batches: any dataset that a Keras `fit` takes.
      seeds: one a sibling.
      window: batches that are permuted together; about three times as many are in memory.
    """
    spec = batches.element_spec

    def leaves_of(*batch: Any) -> tuple[Any, ...]:
        return tuple(leaf for leaf in tf.nest.flatten(batch) if leaf is not None)

    def packed(leaves: Sequence[Any]) -> Any:
        rest = iter(leaves)
        return tf.nest.map_structure(lambda leaf: None if type(leaf).__name__ == "NoneTensorSpec" else next(rest), spec)

    def together(leaves: tuple[Any, ...], number: tf.Tensor) -> Any:
        """All rows of a window, and the sizes of its batches."""
        zipped = tf.data.Dataset.zip(leaves)
        sizes = zipped.map(lambda *batch: tf.shape(batch[0])[0]).batch(window).get_single_element()
        return zipped.rebatch(tf.int64.max).get_single_element(), sizes, number

    def in_order(leaves: tuple[Any, ...], number: tf.Tensor) -> tf.data.Dataset:
        """The batches of a window as they are, in an order for each sibling."""
        zipped = tf.data.Dataset.zip(leaves)
        orders = [zipped.shuffle(window, seed=number + seed, reshuffle_each_iteration=False) for seed in seeds]
        return tf.data.Dataset.zip(tuple(orders)).map(lambda *each: SiblingBatches(tuple(map(packed, each))))

    windows = tf.data.Dataset.zip((batches.map(leaves_of).window(window), _numbers(seeds)))
    if all(_has_rows(leaf) for leaf in tf.nest.flatten(spec) if type(leaf).__name__ != "NoneTensorSpec"):
        # Two windows in the making: the next one is there when a window ends.
        read = windows.map(together, num_parallel_calls=2, deterministic=True)
        permuted = read.flat_map(lambda leaves, sizes, number: _split(packed(leaves), sizes, number, seeds))
    else:
        permuted = windows.flat_map(in_order)
    known = batches.cardinality()
    if known != tf.data.UNKNOWN_CARDINALITY:
        permuted = permuted.apply(tf.data.experimental.assert_cardinality(known))
    return permuted.prefetch(tf.data.AUTOTUNE)


def _numbers(seeds: Sequence[int]) -> tf.data.Dataset:
    """Numbers without end, others each time the dataset is read: no two epochs share an order."""
    return tf.data.Dataset.random(seed=seeds[0], rerandomize_each_iteration=True)


def _split(rows: Any, sizes: tf.Tensor, number: tf.Tensor, seeds: Sequence[int]) -> tf.data.Dataset:
    """Cuts rows into batches of these sizes, in the order of each seed."""
    index = tf.range(tf.reduce_sum(sizes))
    keys = [tf.stack([tf.constant(seed, tf.int64), number]) for seed in seeds]
    orders = [tf.random.experimental.stateless_shuffle(index, key) for key in keys]

    def batch(end: tf.Tensor, size: tf.Tensor) -> SiblingBatches:
        def taken(order: tf.Tensor) -> Any:
            return tf.nest.map_structure(
                lambda leaf: None if leaf is None else tf.gather(leaf, order[end - size : end]), rows
            )

        return SiblingBatches(tuple(map(taken, orders)))

    return tf.data.Dataset.from_tensor_slices((tf.cumsum(sizes), sizes)).map(batch)


def _has_rows(spec: Any) -> bool:
    """True where tensors of a batch can be joined with those of others, and their rows permuted."""
    return isinstance(spec, tf.TensorSpec) and bool(spec.shape.rank) and spec.shape[1:].is_fully_defined()


def is_sequence(x: Any) -> bool:
    """True for a `tf.keras.utils.Sequence`, which Keras 3 calls a PyDataset."""
    return isinstance(x, keras_generation.keras().utils.Sequence)


def is_generator(x: Any) -> bool:
    """True for what makes batches one by one and only once."""
    return hasattr(x, "__next__")


def is_arrays(x: Any) -> bool:
    """True for an array, tensor or data frame, or a structure of them."""
    leaves = tf.nest.flatten(x)
    return bool(leaves) and all(hasattr(leaf, "shape") or isinstance(leaf, int | float | str) for leaf in leaves)


def as_tensors(structure: Any) -> Any:
    """Converts arrays as Keras does: lists of arrays are tuples, floats of NumPy have Keras' type, None stays."""
    if isinstance(structure, Mapping):
        return {name: as_tensors(value) for name, value in structure.items()}
    numbers = isinstance(structure, list) and not any(hasattr(leaf, "shape") for leaf in tf.nest.flatten(structure))
    if isinstance(structure, list | tuple) and not numbers:
        return tuple(map(as_tensors, structure))
    if structure is None or isinstance(structure, tf.Tensor | tf.RaggedTensor | tf.SparseTensor):
        return structure
    if hasattr(structure, "to_numpy"):
        structure = structure.to_numpy()
    if not isinstance(structure, tf.Variable):
        structure = np.asarray(structure)
        if np.issubdtype(structure.dtype, np.floating):
            structure = structure.astype(keras_generation.keras().backend.floatx())
    return tf.convert_to_tensor(structure)


def packed(*parts: Any) -> tuple[Any, ...]:
    """(x, y, sample_weight) without what is None at its end."""
    while parts and parts[-1] is None:
        parts = parts[:-1]
    return parts


def batches_of_sequence(sequence: Any) -> tf.data.Dataset:
    """Reads a `tf.keras.utils.Sequence`, its batches in an order of chance, as `fit` does; then the epoch has ended."""
    number = len(sequence)

    def batches() -> Iterator[Any]:
        for k in np.random.permutation(number):
            yield sequence[int(k)]
        sequence.on_epoch_end()

    spec = _spec([sequence[0], sequence[number - 1]])
    return _from_generator(batches, spec).apply(tf.data.experimental.assert_cardinality(number))


def batches_of_generator(generator: Iterator[Any]) -> tf.data.Dataset:
    """Reads a generator, once; reading the dataset again goes on where it was."""
    first = list(itertools.islice(generator, 2))
    if not first:
        raise InputError("x must yield at least one batch, got none")
    rest = itertools.chain(first, generator)
    return _from_generator(lambda: rest, _spec(first))


def _from_generator(batches: Callable[[], Iterator[Any]], spec: Any) -> tf.data.Dataset:
    return tf.data.Dataset.from_generator(lambda: map(_batch, batches()), output_signature=spec)


def _batch(batch: Any) -> Any:
    """A batch of a sequence or generator as a dataset holds it: a tuple, or x alone."""
    tensors = as_tensors(batch)
    return packed(*tensors) if isinstance(tensors, tuple) else tensors


def _spec(batches: Sequence[Any]) -> Any:
    """The specification of batches like these: a size is known where all have it, but for the number of rows."""

    def common(*leaves: Any) -> Any:
        if not isinstance(leaves[0], tf.Tensor):
            return tf.type_spec_from_value(leaves[0])
        shapes = zip(*(leaf.shape[1:] for leaf in leaves), strict=True)
        sizes = [same.pop() if len(same := set(each)) == 1 else None for each in shapes]
        return tf.TensorSpec([None, *sizes], leaves[0].dtype)

    return tf.nest.map_structure(common, *map(_batch, batches))


def without_validation(parts: tuple[Any, ...], share: float) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Splits arrays as Keras' `validation_split` does: the last rows validate."""
    if not 0 < share < 1:
        raise InputError(f"validation_split must be above 0 and below 1, got {share!r}")
    rows = int(tf.nest.flatten(parts)[0].shape[0])
    train = math.floor(rows * (1 - share))
    if train == 0:
        raise InputError(f"validation_split must leave rows to train on, got {share!r} of {rows} rows")
    return tuple(
        tf.nest.map_structure(lambda leaf, s=side: None if leaf is None else leaf[s], parts)
        for side in (slice(None, train), slice(train, None))
    )


def weighted_by_class(batch: Any, class_weight: Mapping[int, float]) -> tuple[Any, Any, Any]:
    """(x, y, weight) of a batch, with the weight of each row's class, as Keras' `class_weight` gives it.

    Raises:
      InputError: the batch has no label, or several.
    """
    x, y, weight = keras_generation.keras().utils.unpack_x_y_sample_weight(batch)
    if y is None or tf.nest.is_nested(y):
        raise InputError("class_weight needs one label a row, got none or several outputs")
    y = tf.convert_to_tensor(y)
    classes = tf.argmax(y, axis=-1) if y.shape.rank == 2 and y.shape[-1] != 1 else tf.reshape(y, [-1])
    classes = tf.cast(tf.round(classes) if classes.dtype.is_floating else classes, tf.int64)
    of_class = tf.ones(tf.shape(classes), keras_generation.keras().backend.floatx())
    for number, value in class_weight.items():
        of_class = tf.where(classes == int(number), tf.cast(value, of_class.dtype), of_class)
    return x, y, of_class if weight is None else of_class * tf.reshape(tf.cast(weight, of_class.dtype), [-1])
