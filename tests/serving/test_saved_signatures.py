"""Signatures read from the file of a SavedModel, and handed on as JSON."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow.core.protobuf import saved_model_pb2

from smooth_recs.serving import saved_signatures
from smooth_recs.serving.saved_signatures import Signature, Tensor

NAMES = st.text(min_size=1, max_size=8)
TYPES = (tf.float32, tf.float64, tf.int64, tf.string, tf.bool, tf.bfloat16, tf.uint8)
DTYPES = st.sampled_from(TYPES)
SHAPES = st.none() | st.lists(st.none() | st.integers(0, 2**40), max_size=4).map(tuple)
TENSORS = st.dictionaries(NAMES, st.tuples(NAMES, DTYPES, SHAPES), max_size=3)
SIGNATURES = st.dictionaries(NAMES, st.tuples(TENSORS, TENSORS, st.text(max_size=5)), max_size=3)


def fill(tensors: Any, wanted: dict[str, Any]) -> None:
    for name, (place, dtype, shape) in wanted.items():
        info = tensors[name]
        info.name, info.dtype = place, dtype.as_datatype_enum
        info.tensor_shape.unknown_rank = shape is None
        for size in shape or ():
            info.tensor_shape.dim.add(size=-1 if size is None else size)


def as_read(wanted: dict[str, Any]) -> dict[str, Signature]:
    def tensors(given: dict[str, Any]) -> dict[str, Tensor]:
        return {name: Tensor(place, dtype.name, shape) for name, (place, dtype, shape) in given.items()}

    return {name: Signature(tensors(ins), tensors(outs), method) for name, (ins, outs, method) in wanted.items()}


def write(folder: str, wanted: dict[str, Any], *tags: str) -> None:
    """Adds a graph of these tags to the SavedModel in the folder."""
    path = Path(folder, "saved_model.pb")
    model = saved_model_pb2.SavedModel.FromString(path.read_bytes() if path.exists() else b"")
    graph = model.meta_graphs.add()
    graph.meta_info_def.tags.extend(tags)
    graph.signature_def["__saved_model_init_op"].outputs["init"].name = "init"
    for name, (ins, outs, method) in wanted.items():
        fill(graph.signature_def[name].inputs, ins)
        fill(graph.signature_def[name].outputs, outs)
        graph.signature_def[name].method_name = method
    path.write_bytes(model.SerializeToString())


@given(SIGNATURES)
@settings(max_examples=60, deadline=None)
def test_signatures_are_read_as_protocol_buffers_hold_them_and_survive_json(wanted: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write(folder, wanted, "serve")
        read = saved_signatures.read(folder)
    assert read == as_read(wanted)
    assert list(read) == sorted(read)
    assert saved_signatures.from_json(json.loads(json.dumps(saved_signatures.to_json(read)))) == read


ONE = {"one": ({}, {"x": ("x:0", tf.float32, (None,))}, "")}


def test_the_graph_is_the_one_that_is_served(tmp_path: Path) -> None:
    write(str(tmp_path), {}, "serve", "tpu")
    assert saved_signatures.read(str(tmp_path)) == {}
    write(str(tmp_path), ONE, "serve")
    assert saved_signatures.read(str(tmp_path)) == as_read(ONE)


def test_a_tensor_without_a_type_is_told_as_such(tmp_path: Path) -> None:
    write(str(tmp_path), ONE, "serve")
    path = tmp_path / "saved_model.pb"
    model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    model.meta_graphs[0].signature_def["one"].outputs["x"].ClearField("dtype")
    path.write_bytes(model.SerializeToString())
    assert saved_signatures.read(str(tmp_path))["one"].outputs["x"].dtype == "unknown"


def test_a_file_that_is_damaged_or_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        saved_signatures.read(str(tmp_path))
    (tmp_path / "saved_model.pb").write_bytes(b"\xff\xff")
    with pytest.raises(ValueError, match=r"saved_model\.pb holds no SavedModel: "):
        saved_signatures.read(str(tmp_path))
