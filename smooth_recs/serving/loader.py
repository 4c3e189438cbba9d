"""The C++ SavedModel loader that TensorFlow Serving uses, called without any Python TensorFlow.

It is in the library of the TensorFlow wheel, whose C functions are called through ctypes: what runs here runs in
TensorFlow Serving, which is built from the same code.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import weakref
from collections.abc import Mapping
from typing import Any

from smooth_recs.serving import c_api, c_tensors, meta_graph
from smooth_recs.serving.c_api import LoaderError
from smooth_recs.serving.c_tensors import Array, Values
from smooth_recs.serving.meta_graph import Signature, Tensor

__all__ = ["LoadedModel", "LoaderError"]


class LoadedModel:
    """A SavedModel in a session of TensorFlow's C++ runtime.

    Args:
      path: the folder with `saved_model.pb`.

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

    def __init__(self, path: str) -> None:
        library = c_api.library()
        graph, buffer = library.TF_NewGraph(), library.TF_NewBuffer()
        options = library.TF_NewSessionOptions()
        tags = (ctypes.c_char_p * 1)(b"serve")
        try:
            with c_api.status() as status:
                session = library.TF_LoadSessionFromSavedModel(
                    options, None, os.fsencode(path), tags, 1, graph, buffer, status
                )
            self._signatures = meta_graph.signatures(memoryview(_content(buffer)))
        except LoaderError:
            library.TF_DeleteGraph(graph)
            raise
        finally:
            library.TF_DeleteSessionOptions(options)
            library.TF_DeleteBuffer(buffer)
        self._session, self._graph = session, graph
        self._places: dict[str, tuple[Any, Any]] = {}
        self.close = weakref.finalize(self, _close, session, graph)

    def __enter__(self) -> LoadedModel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def signatures(self) -> dict[str, dict[str, Any]]:
        return {
            name: {"inputs": _public(s.inputs), "outputs": _public(s.outputs), "method_name": s.method_name}
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
        declared = self._declared(signature)
        if inputs.keys() != declared.inputs.keys():
            names = [", ".join(sorted(each)) or "none" for each in (declared.inputs, inputs)]
            raise LoaderError(f"the inputs of {signature} are {names[0]}, got {names[1]}")
        with contextlib.ExitStack() as stack:
            fed = [stack.enter_context(c_tensors.feed(name, inputs[name])) for name in declared.inputs]
            return dict(zip(declared.outputs, self._run(signature, fed), strict=True))

    def _declared(self, signature: str) -> Signature:
        if signature not in self._signatures:
            raise LoaderError(f"the signatures are {', '.join(sorted(self._signatures))}, got {signature}")
        return self._signatures[signature]

    def _run(self, signature: str, fed: list[int]) -> list[Array]:
        library = c_api.library()
        inputs, outputs = self._places_of(signature)
        results = (ctypes.c_void_p * len(outputs))()
        values = (ctypes.c_void_p * len(fed))(*fed)
        with c_api.status() as status:
            library.TF_SessionRun(
                self._session, None, inputs, values, len(fed), outputs, results, len(outputs), None, 0, None, status
            )
        try:
            return [c_tensors.read(tensor) for tensor in results if tensor]
        finally:
            for tensor in results:
                library.TF_DeleteTensor(tensor)

    def _places_of(self, signature: str) -> tuple[Any, Any]:
        """Where in the graph the inputs and outputs are; found once."""
        if signature not in self._places:
            declared = self._declared(signature)
            self._places[signature] = (self._outputs(declared.inputs), self._outputs(declared.outputs))
        return self._places[signature]

    def _outputs(self, tensors: Mapping[str, Tensor]) -> Any:
        places = (c_api.Output * len(tensors))()
        for place, (name, tensor) in zip(places, tensors.items(), strict=True):
            operation, _, index = tensor.place.rpartition(":")
            place.operation = c_api.library().TF_GraphOperationByName(self._graph, operation.encode())
            place.index = int(index or 0)
            if not place.operation:
                raise LoaderError(f"the graph has no operation {operation!r} for {name}")
        return places


def _content(buffer: Any) -> bytes:
    return ctypes.string_at(buffer.contents.data, buffer.contents.length)


def _public(tensors: Mapping[str, Tensor]) -> dict[str, tuple[str, Any]]:
    return {name: (tensor.dtype, tensor.shape) for name, tensor in tensors.items()}


def _close(session: int, graph: int) -> None:
    library = c_api.library()
    status = library.TF_NewStatus()
    library.TF_CloseSession(session, status)
    library.TF_DeleteSession(session, status)
    library.TF_DeleteStatus(status)
    library.TF_DeleteGraph(graph)
