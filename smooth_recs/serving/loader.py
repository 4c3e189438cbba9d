"""The C++ SavedModel loader that TensorFlow Serving uses, called through ctypes without Python TensorFlow.

It is in the library of the TensorFlow wheel, whose C functions (`tensorflow/c/c_api.h`) are called here: what runs here
runs in TensorFlow Serving, which is built from the same code.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib.util
import math
import os
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from smooth_recs._paths import literal_folder
from smooth_recs.serving import saved_signatures
from smooth_recs.serving.saved_signatures import Signature, Tensor

__all__ = ["LoadedModel", "LoaderError"]

Array = npt.NDArray[Any]
Values = Array | Sequence[Any]


class LoaderError(Exception):
    """The loader or the graph refuses something: an export, an input, a value. The message is its own."""


class LoadedModel:
    """A SavedModel in a session of TensorFlow's C++ runtime.

    Args:
      path: the folder with `saved_model.pb`.
      signatures: what `saved_signatures.read` finds there. None: it is read here, which imports Python TensorFlow.

    Attributes:
      signatures: by name, `inputs` and `outputs` with the dtype and shape of each tensor by name (None is a free size,
        or an unknown rank), and `method_name`.

    Raises:
      LoaderError: there is no such library, or it cannot load the export.

    ```python
    with LoadedModel("runs/demo/relu/export/replica_0/1") as model:
        print(model.signatures["serving_default"]["inputs"])  # {"user": ("int64", (None,)), ...
        model.run("serving_examples", {"examples": [example.SerializeToString()]})["probability"]
    ```
    """

    def __init__(self, path: str, signatures: Mapping[str, Signature] | None = None) -> None:
        library = _library()
        graph, options = library.TF_NewGraph(), library.TF_NewSessionOptions()
        tags = (ctypes.c_char_p * 1)(b"serve")
        try:
            with _status() as status:
                # The MetaGraphDef that the loader would hand out is not asked for: to read it without Python TensorFlow
                # would take a parser of protocol buffers.
                session = library.TF_LoadSessionFromSavedModel(
                    options, None, os.fsencode(literal_folder(path)), tags, 1, graph, None, status
                )
        except LoaderError:
            library.TF_DeleteGraph(graph)
            raise
        finally:
            library.TF_DeleteSessionOptions(options)
        self._session, self._graph = session, graph
        self._places: dict[str, tuple[Any, Any]] = {}
        self.close = weakref.finalize(self, _close, session, graph)
        # Only now: of an export that cannot be loaded the loader itself says why.
        self._signatures = saved_signatures.read(path) if signatures is None else signatures

    def __enter__(self) -> LoadedModel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def signatures(self) -> dict[str, dict[str, Any]]:
        """The signatures by name, as the attributes of the class say."""

        def public(tensors: Mapping[str, Tensor]) -> dict[str, tuple[str, Any]]:
            return {name: (tensor.dtype, tensor.shape) for name, tensor in tensors.items()}

        return {
            name: {"inputs": public(s.inputs), "outputs": public(s.outputs), "method_name": s.method_name}
            for name, s in self._signatures.items()
        }

    def run(self, signature: str, inputs: Mapping[str, Values]) -> dict[str, Array]:
        """Every output of a signature, by name; texts as objects of type bytes.

        Args:
          signature: its name.
          inputs: all inputs of the signature. Arrays go as they are, whatever type and shape the signature declares;
            texts as (nested) lists of bytes, or as arrays of objects or of bytes of a fixed width.

        Raises:
          LoaderError: there is no such signature or input, or the runtime refuses a type, a shape or a value.
        """
        with self.prepared(signature, inputs) as call:
            return call()

    @contextlib.contextmanager
    def prepared(self, signature: str, inputs: Mapping[str, Values]) -> Iterator[Callable[[], dict[str, Array]]]:
        """A function that does what `run` does with these inputs, which lie in tensors already: to time the session."""
        if signature not in self._signatures:
            raise LoaderError(f"the signatures are {', '.join(sorted(self._signatures))}, got {signature}")
        declared = self._signatures[signature]
        if inputs.keys() != declared.inputs.keys():
            names = [", ".join(sorted(each)) or "none" for each in (declared.inputs, inputs)]
            raise LoaderError(f"the inputs of {signature} are {names[0]}, got {names[1]}")
        if signature not in self._places:
            self._places[signature] = (self._located(declared.inputs), self._located(declared.outputs))
        inputs_at, outputs_at = self._places[signature]
        library = _library()
        with contextlib.ExitStack() as stack:
            fed = [stack.enter_context(_tensor(name, inputs[name])) for name in declared.inputs]

            def call() -> dict[str, Array]:
                results = (ctypes.c_void_p * len(outputs_at))()
                values = (ctypes.c_void_p * len(fed))(*fed)
                with _status() as status:
                    library.TF_SessionRun(
                        *(self._session, None, inputs_at, values, len(fed), outputs_at, results, len(outputs_at)),
                        *(None, 0, None, status),
                    )
                try:
                    found = [_values(tensor) for tensor in results if tensor]
                finally:
                    for tensor in results:
                        library.TF_DeleteTensor(tensor)
                return dict(zip(declared.outputs, found, strict=True))

            yield call

    def _located(self, tensors: Mapping[str, Tensor]) -> Any:
        """The places of the tensors in the graph, as an array of TF_Output."""
        places = (_Output * len(tensors))()
        for place, (name, tensor) in zip(places, tensors.items(), strict=True):
            operation, _, index = tensor.place.rpartition(":")
            place.operation = _library().TF_GraphOperationByName(self._graph, operation.encode())
            place.index = int(index or 0)
            if not place.operation:
                raise LoaderError(f"the graph has no operation {operation!r} for {name}")
        return places


def _close(session: int, graph: int) -> None:
    library = _library()
    status = library.TF_NewStatus()
    library.TF_CloseSession(session, status)
    library.TF_DeleteSession(session, status)
    library.TF_DeleteStatus(status)
    library.TF_DeleteGraph(graph)


# Tensors of the C++ runtime from NumPy arrays and lists of texts, and back.

# Numbers of tensorflow/core/framework/types.proto: those of types that NumPy has, under NumPy's names.
_DTYPES = {
    1: "float32", 2: "float64", 3: "int32", 4: "uint8", 5: "int16", 6: "int8", 8: "complex64", 9: "int64", 10: "bool",
    17: "uint16", 18: "complex128", 19: "float16", 22: "uint32", 23: "uint64",
}  # fmt: skip
_NUMBERS = {name: number for number, name in _DTYPES.items()}
_STRING = 7
_STRING_SIZE = 24  # bytes of a TF_TString, which the C interface has no function for (tsl/platform/ctstring.h, 2.21)


@contextlib.contextmanager
def _tensor(name: str, values: Values) -> Iterator[int]:
    """A tensor with the values of the input `name`, as long as it is needed."""
    library = _library()
    array = values if isinstance(values, np.ndarray) else np.array(values, object)
    texts = array.dtype.kind in "OS"
    dtype = _STRING if texts else _NUMBERS.get(array.dtype.name)
    if dtype is None:
        raise LoaderError(f"{name} must be of a type that TensorFlow has, got {array.dtype.name}")
    size = _STRING_SIZE * array.size if texts else array.nbytes
    tensor = library.TF_AllocateTensor(dtype, (ctypes.c_int64 * array.ndim)(*array.shape), array.ndim, size)
    cells = range(0)
    try:
        data = library.TF_TensorData(tensor) or 0  # none of a tensor without elements
        if texts:
            cells = range(data, data + size, _STRING_SIZE)
            for cell in cells:  # all of them, before a text that is none ends the loop below
                library.TF_StringInit(cell)
            for cell, text in zip(cells, array.ravel().tolist(), strict=True):
                if not isinstance(text, bytes):
                    raise LoaderError(f"{name} must hold bytes, got {text!r}")
                library.TF_StringCopy(cell, text, len(text))
        else:
            ctypes.memmove(data, np.ascontiguousarray(array).ctypes.data, size)
        yield tensor
    finally:  # only now: an output may share the memory of an input
        for cell in cells:
            library.TF_StringDealloc(cell)
        library.TF_DeleteTensor(tensor)


def _values(tensor: int) -> Array:
    """A copy of the tensor's values."""
    library = _library()
    shape = [library.TF_Dim(tensor, axis) for axis in range(library.TF_NumDims(tensor))]
    count, data, number = math.prod(shape), library.TF_TensorData(tensor), library.TF_TensorType(tensor)
    if number == _STRING:
        texts = np.empty(count, object)
        for index in range(count):
            cell = data + index * _STRING_SIZE
            texts[index] = ctypes.string_at(library.TF_StringGetDataPointer(cell), library.TF_StringGetSize(cell))
        return texts.reshape(shape)
    if number not in _DTYPES:
        raise LoaderError(f"an output is of a type that NumPy does not have, number {number}")
    dtype = np.dtype(_DTYPES[number])
    content = ctypes.string_at(data, count * dtype.itemsize) if count else b""
    return np.frombuffer(content, dtype).reshape(shape).copy()


# The C functions.

# Beside it lies libtensorflow_framework.so.2, which has the tensors but neither sessions nor the loader (2.21).
_LIBRARY = "libtensorflow_cc.so.2"


class _Output(ctypes.Structure):
    _fields_ = (("operation", ctypes.c_void_p), ("index", ctypes.c_int))


_P, _I, _N = ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t
_ARGUMENTS: dict[str, list[Any]] = {
    "TF_AllocateTensor": [_I, _P, _I, _N],
    "TF_CloseSession": [_P, _P],
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
_RESULTS: dict[str, Any] = {  # int where none is named, which would cut off half of a pointer
    **dict.fromkeys(("TF_NewGraph", "TF_NewSessionOptions", "TF_NewStatus", "TF_LoadSessionFromSavedModel"), _P),
    **dict.fromkeys(("TF_AllocateTensor", "TF_GraphOperationByName", "TF_TensorData", "TF_StringGetDataPointer"), _P),
    "TF_Message": ctypes.c_char_p,
    "TF_Dim": ctypes.c_int64,
    "TF_StringGetSize": _N,
    **dict.fromkeys(("TF_DeleteTensor", "TF_StringDealloc", "TF_StringInit", "TF_StringCopy", "TF_DeleteGraph"), None),
}


@functools.cache
def _library() -> Any:
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
def _status() -> Iterator[int]:
    """A status for one call; raises LoaderError where the call fails."""
    functions = _library()
    state = functions.TF_NewStatus()
    try:
        yield state
        if functions.TF_GetCode(state):
            raise LoaderError(functions.TF_Message(state).decode("utf-8", "replace"))
    finally:
        functions.TF_DeleteStatus(state)
