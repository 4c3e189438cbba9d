"""What a SavedModel declares, read from its file without loading it: its signatures, and what XLA must compile.

TensorFlow is imported only inside `read` and `check_compilation`: the process that loads exports has this module and no
Python TensorFlow, and `tensorflow.core.protobuf` cannot be imported without all of TensorFlow (2.21).
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

from smooth_recs import _files
from smooth_recs.errors import GateNotMet
from smooth_recs.schema import Schema

RAW, EXAMPLES, LOGITS, CLASSIFY, REGRESS = "serving_default", "serving_examples", "logits", "classify", "regress"
OF_EXAMPLES = {EXAMPLES: "examples", CLASSIFY: "inputs", REGRESS: "inputs"}
"""Signatures that take serialized tf.Examples, and the names of that input."""

_REQUIRED = (RAW, EXAMPLES)


class CheckFailed(GateNotMet):
    """An export is not what it must be: one line says which check failed, and by how much."""


@dataclasses.dataclass(frozen=True)
class Tensor:
    """An input or output of a signature.

    Attributes:
      place: operation and number of its output in the graph, "op:0".
      dtype: TensorFlow's name of the type.
      shape: None is an unknown rank, within it a free size.
    """

    place: str
    dtype: str
    shape: tuple[int | None, ...] | None


@dataclasses.dataclass(frozen=True)
class Signature:
    """A signature: its `inputs` and `outputs` by name, and `method_name`, the call of TensorFlow Serving it is for."""

    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]
    method_name: str


def read(export: str) -> dict[str, Signature]:
    """The signatures of a SavedModel by name, in the order of their names, as are their tensors.

    Args:
      export: the folder with `saved_model.pb`.

    Raises:
      OSError: the file cannot be read.
      ValueError: it holds no SavedModel.
    """
    import tensorflow as tf

    def tensors(declared: Mapping[str, Any]) -> dict[str, Tensor]:
        found = {}
        for name, info in sorted(declared.items()):
            # A composite tensor, a ragged one for example, has no single place and no type here.
            dtype = tf.as_dtype(info.dtype).name if info.dtype else "unknown"
            sizes = tuple(None if dim.size < 0 else dim.size for dim in info.tensor_shape.dim)
            found[name] = Tensor(info.name, dtype, None if info.tensor_shape.unknown_rank else sizes)
        return found

    # The loader takes the graph whose tags are those that it is asked for and no others.
    graphs = [graph for graph in _saved_model(export).meta_graphs if set(graph.meta_info_def.tags) == {"serve"}]
    return {
        name: Signature(tensors(signature.inputs), tensors(signature.outputs), signature.method_name)
        for graph in graphs[:1]
        for name, signature in sorted(graph.signature_def.items())
        # Python's tf.saved_model.save (2.21) lists the graph's initialiser among the signatures; nobody calls it.
        if name != "__saved_model_init_op"
    }


def to_json(signatures: Mapping[str, Signature]) -> dict[str, Any]:
    """The signatures as JSON holds them."""
    return {name: dataclasses.asdict(signature) for name, signature in signatures.items()}


def from_json(stored: Mapping[str, Any]) -> dict[str, Signature]:
    """The signatures that `to_json` was given."""

    def tensors(named: Mapping[str, Any]) -> dict[str, Tensor]:
        return {
            name: Tensor(each["place"], each["dtype"], None if each["shape"] is None else tuple(each["shape"]))
            for name, each in named.items()
        }

    return {
        name: Signature(tensors(each["inputs"]), tensors(each["outputs"]), each["method_name"])
        for name, each in stored.items()
    }


def check_signatures(schema: Schema, signatures: Mapping[str, Signature]) -> None:
    """Raises CheckFailed where a signature declares other tensors or another method than it must."""
    raw: dict[str, Any] = {f.name: ("float32", (None,)) for f in schema.numeric}
    raw |= {f.name: (f.dtype, (None, None) if f.multi_valued else (None,)) for f in schema.categorical}
    texts, number = ("string", (None,)), ("float32", (None,))
    classes = {"scores": ("float32", (None, 2)), "classes": ("string", (None, 2))}
    tasks = dict.fromkeys(schema.labels[1:], number)
    wanted: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
        RAW: ("predict", raw, {"probability": number, **tasks}),
        LOGITS: ("predict", raw, {"logit": number, **tasks}),
        EXAMPLES: ("predict", {"examples": texts}, {"probability": number, **tasks}),
        CLASSIFY: ("classify", {"inputs": texts}, classes),
        REGRESS: ("regress", {"inputs": texts}, {"outputs": number}),
    }
    for name, (method, inputs, outputs) in wanted.items():
        found = signatures.get(name)
        if found is None:
            if name in _REQUIRED:
                raise CheckFailed(f"check failed: the export must have the signature {name}")
            continue
        for side, specs, tensors in (("inputs", inputs, found.inputs), ("outputs", outputs, found.outputs)):
            declared = {tensor: (each.dtype, each.shape) for tensor, each in tensors.items()}
            for tensor, spec in specs.items():
                got = declared.pop(tensor, None)
                if got != spec:
                    raise CheckFailed(f"check failed: {name} must have {tensor} {_spec(spec)}, got {_spec(got)}")
            if declared:
                raise CheckFailed(f"check failed: {name} must not have {side} {', '.join(declared)}")
        given = found.method_name.rpartition("/")[2]
        if given != method:
            raise CheckFailed(f"check failed: the method of {name} must be {method}, got {given!r}")


def _spec(spec: tuple[str, tuple[int | None, ...] | None] | None) -> str:
    """Type and shape as a message shows them, "float32 [?, 2]"."""
    if spec is None:
        return "none"
    dtype, shape = spec
    sizes = ["?" if size is None else str(size) for size in shape or ()]
    return f"{dtype} {'?' if shape is None else '[' + ', '.join(sizes) + ']'}"


def check_compilation(export: str) -> None:
    """Raises CheckFailed for an export with a function that XLA must compile.

    TensorFlow Serving refuses the requests that reach such a function, unless it is started with the experimental
    `--xla_cpu_compilation_enabled`.
    """
    must_compile = "_XlaMustCompile"  # what tf.function(jit_compile=True) sets (2.21)
    for graph in (meta.graph_def for meta in _saved_model(export).meta_graphs):
        nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
        for each in (*nodes, *graph.library.function):
            if must_compile in each.attr and each.attr[must_compile].b:
                name = each.name if hasattr(each, "name") else each.signature.name
                raise CheckFailed(f"check failed: {name} must be compiled by XLA")


def _saved_model(export: str) -> Any:
    """The protocol buffer in `saved_model.pb`."""
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    path = os.path.join(export, "saved_model.pb")
    try:
        return saved_model_pb2.SavedModel.FromString(_files.read_bytes(path))
    except DecodeError as error:
        raise ValueError(f"{path} holds no SavedModel: {error}") from error
