"""The signatures of a SavedModel in a folder, without loading it."""

from __future__ import annotations

import os

from tensorflow.core.protobuf import saved_model_pb2

from smooth_recs.serving import meta_graph
from smooth_recs.serving.meta_graph import Signature


def read(export: str) -> dict[str, Signature]:
    """By name, in the order of their names; `export` is the folder with `saved_model.pb`."""
    saved = saved_model_pb2.SavedModel()
    with open(os.path.join(export, "saved_model.pb"), "rb") as file:
        saved.ParseFromString(file.read())
    found = meta_graph.signatures(memoryview(saved.meta_graphs[0].SerializeToString()))
    return dict(sorted(found.items()))
