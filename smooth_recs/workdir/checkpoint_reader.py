"""Reader of a run's checkpoint, variable by variable, without building its model."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import trackable_object_graph_pb2

from smooth_recs import _files, _paths
from smooth_recs.callbacks.checkpoints import newest_first, reader
from smooth_recs.data import encoding
from smooth_recs.errors import InputError

_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"


class CheckpointReader:
    """The siblings in a checkpoint, whose objects are numbered nodes; the nodes of variables have values.

    Args:
      path: the workdir of a run, its folder of checkpoints, or one checkpoint: `ckpt-100`, not `ckpt-100.index`.

    Attributes:
      path: the checkpoint; in a folder, the newest one.
      replicas: the nodes of the siblings.

    Raises:
      InputError: there is no checkpoint, it cannot be read, or it does not hold siblings.
    """

    def __init__(self, path: str) -> None:
        saved = newest_first(folder(path)) or newest_first(path)
        if not saved and not _files.exists(f"{path}.index"):
            raise InputError(f"train.warm_start must be the workdir of a run or a checkpoint, got {path!r}")
        self.path = saved[0] if saved else path
        with self._reading():
            self._reader = reader(self.path)
            # TensorFlow 2.21 has no public way to list a checkpoint's objects; it stores the graph of them as a tensor.
            graph = trackable_object_graph_pb2.TrackableObjectGraph.FromString(self._reader.get_tensor(_GRAPH))
        self._nodes = graph.nodes
        model = self.children(0).get("model", 0)
        siblings = self.children(self.children(model).get("replicas", 0))
        self.replicas = [siblings[str(k)] for k in range(len(siblings)) if str(k) in siblings]
        if not self.replicas or "replicas" not in self.children(model):
            raise InputError(f"train.warm_start: checkpoint {self.path} is not of a run's siblings")
        self._slots = {
            (slot.original_variable_node_id, slot.slot_name): slot.slot_variable_node_id
            for node in self._nodes
            for slot in node.slot_variables
        }

    @property
    def encoding(self) -> encoding.Encoding | None:
        """The values that rows of the embedding tables stand for, from the run's workdir; None where it has no file."""
        path = os.path.join(_paths.parent(_paths.parent(_paths.absolute(self.path))), encoding.NAME)
        return encoding.load(path) if _files.exists(path) else None

    @property
    def steps(self) -> int:
        """Number of steps that the run had made."""
        node = self.children(0).get("steps")
        return 0 if node is None else int(self.value(node))

    def children(self, node: int) -> dict[str, int]:
        """Nodes of an object's attributes, by name."""
        return {child.local_name: child.node_id for child in self._nodes[node].children}

    def shape(self, node: int) -> list[int] | None:
        """Shape of a variable; None where the node is not a variable."""
        key = self._key(node)
        return None if key is None else list(self._reader.get_variable_to_shape_map()[key])

    def value(self, node: int) -> Any:
        """Value of a variable, as a NumPy array."""
        with self._reading():
            return self._reader.get_tensor(self._key(node))

    def slot(self, node: int, name: str) -> Any:
        """Slot that the optimizer keeps for a variable under this name, as a NumPy array; None where it has none."""
        slot = self._slots.get((node, name))
        return None if slot is None else self.value(slot)

    def _key(self, node: int) -> str | None:
        """Key of a variable's value in the checkpoint; None where the node is not a variable."""
        return next((str(value.checkpoint_key) for value in self._nodes[node].attributes), None)

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        """Turns the errors of TensorFlow's reader into InputError."""
        try:
            yield
        # The reader of TensorFlow 2.21 raises any of these for a damaged file, depending on where the damage is.
        except (tf.errors.OpError, IndexError, RuntimeError, ValueError) as error:
            line = str(error).splitlines()[0]
            raise InputError(f"train.warm_start: checkpoint {self.path} cannot be read: {line}") from error


def folder(workdir: str) -> str:
    """The folder of a run's checkpoints."""
    return os.path.join(workdir, "checkpoints")
