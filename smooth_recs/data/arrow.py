"""Arrow columns of any type as one of three: bytes, int64 or float64, alone or in lists."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from smooth_recs.errors import InputError


def is_list(kind: Any) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def natural_type(kind: Any) -> Any:
    """What `natural` makes of a column of that type, or of one of lists of it.

    Raises:
      InputError: it holds neither numbers nor texts nor times.
    """
    types = pa.types
    if is_list(kind) or types.is_dictionary(kind):
        return natural_type(kind.value_type)
    if types.is_integer(kind) or types.is_boolean(kind):
        return pa.int64()
    if types.is_floating(kind) or types.is_decimal(kind) or types.is_date(kind) or types.is_timestamp(kind):
        return pa.float64()
    if types.is_null(kind) or any(name in str(kind) for name in ("string", "binary")):
        return pa.binary()
    raise InputError(f"data.path: a column must hold numbers, texts, times or lists of them, got {kind}")


def natural(array: Any) -> Any:
    """The array as bytes, int64 or float64; a date or time as seconds since 1970; unsigned integers keep their bits."""
    target = natural_type(array.type)
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_date(array.type):
        array = array.cast(pa.timestamp("s"))
    if pa.types.is_timestamp(array.type):
        microseconds = array.cast(pa.timestamp("us", array.type.tz), safe=False).cast(pa.int64())
        return pc.divide(microseconds.cast(target), 1e6)
    return array.cast(target, safe=False)


def split_lists(array: Any, separator: str) -> Any:
    """A column of texts as one of lists of their parts."""
    parts = [None if text is None else text.split(separator.encode()) for text in natural(array).to_pylist()]
    return pa.array(parts, pa.list_(pa.binary()))


def dense(array: Any) -> tuple[np.ndarray, np.ndarray]:
    """NumPy values [n] of a natural array, and the mask of those that are not null."""
    zero = b"" if pa.types.is_binary(array.type) else 0
    values = array.fill_null(zero).to_numpy(zero_copy_only=False)
    return values, array.is_valid().to_numpy(zero_copy_only=False)


def padded(lists: Any, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Values [n, width] of an array of lists, and the mask of those that are there; further values are dropped."""
    count = np.asarray(pc.list_value_length(lists).fill_null(0))
    flat, valid = dense(natural(pc.list_flatten(lists)))
    row = np.repeat(np.arange(count.size), count)
    position = np.arange(flat.size) - np.repeat(np.cumsum(count) - count, count)
    kept = position < width
    values = np.full((count.size, width), b"" if flat.dtype == object else 0, flat.dtype)
    present = np.zeros(values.shape, bool)
    values[row[kept], position[kept]] = flat[kept]
    present[row[kept], position[kept]] = valid[kept]
    return values, present
