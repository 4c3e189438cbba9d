"""Tensors of the C++ runtime from NumPy arrays and lists of texts, and back."""

from __future__ import annotations

import contextlib
import ctypes
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from smooth_recs.serving import c_api
from smooth_recs.serving.c_api import LoaderError
from smooth_recs.serving.meta_graph import DTYPES

Array = npt.NDArray[Any]
Values = Array | Sequence[Any]

_STRING, _STRING_SIZE = 7, 24
_NUMBERS = {name: number for number, name in DTYPES.items()}


@contextlib.contextmanager
def feed(name: str, values: Values) -> Iterator[int]:
    """A tensor with the values, as long as it is needed."""
    functions = c_api.library()
    array = values if isinstance(values, np.ndarray) else np.array(values, object)
    texts = array.dtype.kind in "OS"
    dtype = _STRING if texts else _NUMBERS.get(array.dtype.name)
    if dtype is None:
        raise LoaderError(f"{name} must be of a type that TensorFlow has, got {array.dtype.name}")
    size = _STRING_SIZE * array.size if texts else array.nbytes
    shape = (ctypes.c_int64 * array.ndim)(*array.shape)
    tensor = functions.TF_AllocateTensor(dtype, shape, array.ndim, size)
    cells = range(0)
    try:
        data = functions.TF_TensorData(tensor)
        if texts:
            cells = range(data or 0, (data or 0) + size, _STRING_SIZE)
            _write_texts(name, array, cells)
        else:
            ctypes.memmove(data, np.ascontiguousarray(array).ctypes.data, size)
        yield tensor
    finally:  # only now: an output may share the memory of an input
        for cell in cells:
            functions.TF_StringDealloc(cell)
        functions.TF_DeleteTensor(tensor)


def _write_texts(name: str, array: Array, cells: range) -> None:
    functions = c_api.library()
    for cell in cells:
        functions.TF_StringInit(cell)
    for cell, text in zip(cells, array.ravel().tolist(), strict=True):
        if not isinstance(text, bytes):
            raise LoaderError(f"{name} must hold bytes, got {text!r}")
        functions.TF_StringCopy(cell, text, len(text))


def read(tensor: int) -> Array:
    """A copy of the tensor's values."""
    functions = c_api.library()
    shape = [functions.TF_Dim(tensor, axis) for axis in range(functions.TF_NumDims(tensor))]
    count, data, number = math.prod(shape), functions.TF_TensorData(tensor), functions.TF_TensorType(tensor)
    if number == _STRING:
        texts = np.empty(count, object)
        for index in range(count):
            cell = data + index * _STRING_SIZE
            texts[index] = ctypes.string_at(functions.TF_StringGetDataPointer(cell), functions.TF_StringGetSize(cell))
        return texts.reshape(shape)
    if number not in DTYPES:
        raise LoaderError(f"an output is of a type that NumPy does not have, number {number}")
    dtype = np.dtype(DTYPES[number])
    content = ctypes.string_at(data, count * dtype.itemsize) if count else b""
    return np.frombuffer(content, dtype).reshape(shape).copy()
