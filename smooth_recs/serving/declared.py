"""What an export must declare: its signatures, and no function that has to be compiled."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from tensorflow.core.protobuf import saved_model_pb2

from smooth_recs.data.schema import Schema
from smooth_recs.errors import GateNotMet

RAW, EXAMPLES, LOGITS, CLASSIFY, REGRESS = "serving_default", "serving_examples", "logits", "classify", "regress"
OF_EXAMPLES = {EXAMPLES: "examples", CLASSIFY: "inputs", REGRESS: "inputs"}
"""Signatures that take serialized tf.Examples, and the names of that input."""

_REQUIRED = (RAW, EXAMPLES)
_XLA = "_XlaMustCompile"


class CheckFailed(GateNotMet):
    """An export is not what it must be: one line says which check failed, and by how much."""


def check_signatures(schema: Schema, signatures: Mapping[str, Any]) -> None:
    """Raises CheckFailed where a signature declares other tensors than those it must."""
    for name, wanted in _wanted_signatures(schema).items():
        found = signatures.get(name)
        if found is None:
            if name in _REQUIRED:
                raise CheckFailed(f"check failed: the export must have the signature {name}")
            continue
        for side in ("inputs", "outputs"):
            declared = {tensor: (dtype, shape) for tensor, (dtype, shape) in found[side].items()}
            for tensor, spec in wanted[side].items():
                if declared.pop(tensor, None) != spec:
                    got = found[side].get(tensor)
                    raise CheckFailed(f"check failed: {name} must have {tensor} {_spec(spec)}, got {_spec(got)}")
            if declared:
                raise CheckFailed(f"check failed: {name} must not have {side} {', '.join(declared)}")
        method = found["method_name"].rpartition("/")[2]
        if method != wanted["method"]:
            raise CheckFailed(f"check failed: the method of {name} must be {wanted['method']}, got {method!r}")


def _wanted_signatures(schema: Schema) -> dict[str, dict[str, Any]]:
    raw = {f.name: ("float32", [None]) for f in schema.numeric}
    raw |= {f.name: (f.dtype, [None, None] if f.multi_valued else [None]) for f in schema.categorical}
    texts, probability = ("string", [None]), {"probability": ("float32", [None])}
    classes = {"scores": ("float32", [None, 2]), "classes": ("string", [None, 2])}
    return {
        RAW: {"inputs": raw, "outputs": probability, "method": "predict"},
        LOGITS: {"inputs": raw, "outputs": {"logit": ("float32", [None])}, "method": "predict"},
        EXAMPLES: {"inputs": {"examples": texts}, "outputs": probability, "method": "predict"},
        CLASSIFY: {"inputs": {"inputs": texts}, "outputs": classes, "method": "classify"},
        REGRESS: {"inputs": {"inputs": texts}, "outputs": {"outputs": ("float32", [None])}, "method": "regress"},
    }


def check_compilation(export: str) -> None:
    """Raises CheckFailed for a function that XLA must compile, which a stock TensorFlow Serving may not have."""
    saved = saved_model_pb2.SavedModel()
    with open(os.path.join(export, "saved_model.pb"), "rb") as file:
        saved.ParseFromString(file.read())
    for graph in (meta.graph_def for meta in saved.meta_graphs):
        nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
        for each in (*nodes, *graph.library.function):
            if _XLA in each.attr and each.attr[_XLA].b:
                name = each.name if hasattr(each, "name") else each.signature.name
                raise CheckFailed(f"check failed: {name} must be compiled by XLA")


def _spec(spec: Any) -> str:
    if spec is None:
        return "none"
    dtype, shape = spec
    return f"{dtype} {str(shape).replace('None', '?')}"
