"""The C functions in the library of the TensorFlow wheel, found without importing TensorFlow."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib.util
import os
from collections.abc import Iterator
from typing import Any

_LIBRARY = "libtensorflow_cc.so.2"


class LoaderError(Exception):
    """The loader or the graph refuses something: an export, an input, a value. The message is its own."""


class Output(ctypes.Structure):
    _fields_ = (("operation", ctypes.c_void_p), ("index", ctypes.c_int))


class Buffer(ctypes.Structure):
    _fields_ = (("data", ctypes.c_void_p), ("length", ctypes.c_size_t), ("deallocator", ctypes.c_void_p))


_P, _I, _N = ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t
_ARGUMENTS: dict[str, list[Any]] = {
    "TF_AllocateTensor": [_I, _P, _I, _N],
    "TF_CloseSession": [_P, _P],
    "TF_DeleteBuffer": [_P],
    "TF_DeleteGraph": [_P],
    "TF_DeleteSession": [_P, _P],
    "TF_DeleteSessionOptions": [_P],
    "TF_DeleteStatus": [_P],
    "TF_DeleteTensor": [_P],
    "TF_Dim": [_P, _I],
    "TF_GetCode": [_P],
    "TF_GraphOperationByName": [_P, ctypes.c_char_p],
    "TF_LoadSessionFromSavedModel": [_P, _P, ctypes.c_char_p, _P, _I, _P, _P, _P],
    "TF_Message": [_P],
    "TF_NumDims": [_P],
    "TF_SessionRun": [_P, _P, _P, _P, _I, _P, _P, _I, _P, _I, _P, _P],
    "TF_StringCopy": [_P, ctypes.c_char_p, _N],
    "TF_StringDealloc": [_P],
    "TF_StringGetDataPointer": [_P],
    "TF_StringGetSize": [_P],
    "TF_StringInit": [_P],
    "TF_TensorData": [_P],
    "TF_TensorType": [_P],
}
_RESULTS: dict[str, Any] = {
    **dict.fromkeys(("TF_NewGraph", "TF_NewSessionOptions", "TF_NewStatus", "TF_LoadSessionFromSavedModel"), _P),
    **dict.fromkeys(("TF_AllocateTensor", "TF_GraphOperationByName", "TF_TensorData", "TF_StringGetDataPointer"), _P),
    "TF_NewBuffer": ctypes.POINTER(Buffer),
    "TF_Message": ctypes.c_char_p,
    "TF_Dim": ctypes.c_int64,
    "TF_StringGetSize": _N,
    **dict.fromkeys(("TF_DeleteTensor", "TF_StringDealloc", "TF_StringInit", "TF_StringCopy", "TF_DeleteGraph"), None),
}


@functools.cache
def library() -> Any:
    """The C functions of TensorFlow."""
    package = importlib.util.find_spec("tensorflow")  # finds it without importing it
    if package is None or not package.submodule_search_locations:
        raise LoaderError("TensorFlow is not installed, in whose wheel the loader is")
    path = os.path.join(package.submodule_search_locations[0], _LIBRARY)
    try:
        functions = ctypes.CDLL(path)
    except OSError as error:
        raise LoaderError(f"the loader cannot be opened: {error}") from error
    for name, result in _RESULTS.items():
        getattr(functions, name).restype = result
    for name, arguments in _ARGUMENTS.items():
        getattr(functions, name).argtypes = arguments
    return functions


@contextlib.contextmanager
def status() -> Iterator[int]:
    """A status for one call; raises LoaderError where the call fails."""
    functions = library()
    state = functions.TF_NewStatus()
    try:
        yield state
        if functions.TF_GetCode(state):
            raise LoaderError(functions.TF_Message(state).decode("utf-8", "replace"))
    finally:
        functions.TF_DeleteStatus(state)
