"""The signatures in a serialized MetaGraphDef, read without TensorFlow's protocol buffers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

# Fields, in the order of tensorflow/core/protobuf/meta_graph.proto and framework/tensor_shape.proto.
_SIGNATURE_DEF = 5
_INPUTS, _OUTPUTS, _METHOD_NAME = 1, 2, 3
_NAME, _DTYPE, _TENSOR_SHAPE = 1, 2, 3
_DIM, _UNKNOWN_RANK, _SIZE = 2, 3, 1
_KEY, _VALUE = 1, 2

_INITIALISER = "__saved_model_init_op"  # stands among the signatures, and nobody calls it

DTYPES = {
    1: "float32", 2: "float64", 3: "int32", 4: "uint8", 5: "int16", 6: "int8", 7: "string", 8: "complex64", 9: "int64",
    10: "bool", 17: "uint16", 18: "complex128", 19: "float16", 22: "uint32", 23: "uint64",
}  # fmt: skip
"""Types by their numbers in TensorFlow; those that NumPy has."""


class Tensor(NamedTuple):
    """`place`: operation and number of its output, "op:0"; `shape`: None is an unknown rank, within it a free size."""

    place: str
    dtype: str
    shape: tuple[int | None, ...] | None


class Signature(NamedTuple):
    """Tensors by name; `method_name`: which call of TensorFlow Serving takes the signature."""

    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]
    method_name: str


def signatures(meta_graph: memoryview) -> dict[str, Signature]:
    """The signatures by name; `meta_graph` is a serialized MetaGraphDef."""
    entries = (_entry(value) for number, value in _fields(meta_graph) if number == _SIGNATURE_DEF)
    return {name: _signature(message) for name, message in entries if name != _INITIALISER}


def _signature(message: memoryview) -> Signature:
    tensors: dict[int, dict[str, Tensor]] = {_INPUTS: {}, _OUTPUTS: {}}
    method = ""
    for number, value in _fields(message):
        if number in tensors:
            name, info = _entry(value)
            tensors[number][name] = _tensor(info)
        elif number == _METHOD_NAME:
            method = _text(value)
    return Signature(tensors[_INPUTS], tensors[_OUTPUTS], method)


def _tensor(message: memoryview) -> Tensor:
    found = dict(_fields(message))
    dtype = found.get(_DTYPE, 0)
    place = _text(found[_NAME]) if _NAME in found else ""  # else a sparse or composite tensor
    return Tensor(place, DTYPES.get(int(dtype), f"type {dtype}"), _shape(found.get(_TENSOR_SHAPE, memoryview(b""))))


def _shape(message: int | memoryview) -> tuple[int | None, ...] | None:
    sizes: list[int | None] = []
    for number, value in _fields(message):
        if number == _UNKNOWN_RANK and value:
            return None
        if number == _DIM:
            size = int(dict(_fields(value)).get(_SIZE, 0))
            sizes.append(None if size >= 1 << 63 else size)  # -1 is free
    return tuple(sizes)


def _entry(message: int | memoryview) -> tuple[str, memoryview]:
    """Key and value of one entry of a map."""
    found = dict(_fields(message))
    return _text(found.get(_KEY, memoryview(b""))), found.get(_VALUE, memoryview(b""))  # type: ignore[return-value]


def _text(value: int | memoryview) -> str:
    return bytes(value).decode()


def _fields(message: int | memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of each field: an integer, or the bytes of a text or message; of fixed width, the bytes too."""
    assert isinstance(message, memoryview)
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            value, position = _varint(message, position)
            yield number, value
            continue
        if kind == 2:
            size, position = _varint(message, position)
        else:
            size = {1: 8, 5: 4}[kind]
        yield number, message[position : position + size]
        position += size


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            return value, position
