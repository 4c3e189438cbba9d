"""A model as `tf.train.Checkpoint` has to see it, so that both generations of Keras leave the same checkpoints.

A checkpoint names a variable by the attributes that lead to it: `replicas/0/top_stack/hidden/0/kernel`. Models of
tf_keras show all of theirs. Those of Keras 3 (3.15) show neither what lies in lists nor metrics nor what random layers
keep, and the slots of an optimizer by number. Here they do, by the names that tf_keras has for the same.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator
from typing import Any

import tensorflow as tf

from smooth_recs import keras_generation
from smooth_recs.errors import InputError

# Attributes in which Keras 3 keeps what other attributes name.
_BOOKKEEPING = {"_layers", "_metrics", "_trainable_variables", "_non_trainable_variables", "_seed_generators"}
_BOOKKEEPING |= {"_inbound_nodes", "_outbound_nodes", "_operations", "_functional", "_loss_tracker", "_variables"}


def trackable(model: Any, without: Collection[Any] = ()) -> Any:
    """What a checkpoint saves of a model that has its variables; in tf_keras the model itself.

    Args:
      model: of either generation.
      without: parts that are left out in Keras 3.

    ```python
    tf.train.Checkpoint(model=trackable(model)).write(path)
    ```
    """
    return model if keras_generation.is_legacy() else _View(without).of(model)


def make_optimizer_variables(model: Any) -> None:
    """Makes, in Keras 3, the variables of the optimizers that have none: it (3.15) restores those that are there."""
    for each in () if keras_generation.is_legacy() else getattr(model, "replicas", [model]):
        if getattr(each, "optimizer", None) is not None and not each.optimizer.built:
            each.optimizer.build(each.trainable_variables)


def predicting_variables(model: Any) -> list[Any]:
    """TensorFlow's own variables of a model, without those of optimizers and metrics."""
    if keras_generation.is_legacy():
        metrics = {id(variable) for metric in model.metrics for variable in metric.variables}
        return [variable for variable in model.variables if id(variable) not in metrics]
    keras = keras_generation.keras()
    node = _View(kinds=(keras.metrics.Metric, keras.optimizers.Optimizer)).of(model)
    return [each for each in tf.train.TrackableView(node).descendants() if isinstance(each, tf.Variable)]


class Checkpointed:
    """Shows a model of Keras 3 to `tf.train.Checkpoint(model=model)` as `trackable` does: for classes of models.

    Raises:
      InputError: in Keras 3 the model has no variables yet. What is restored then would be lost in silence: Keras 3
        (3.15) does not tell TensorFlow of variables that are made later, as tf_keras does.
    """

    _self_shown: Any = (None, None)  # Keras and `_View` leave the attribute alone

    def _trackable_children(self, save_type: str = "checkpoint", **kwargs: Any) -> dict[str, Any]:
        if keras_generation.is_legacy() or save_type != "checkpoint":
            found: dict[str, Any] = super()._trackable_children(save_type, **kwargs)  # type: ignore[misc]
            return found
        if not self.trainable_variables:  # type: ignore[attr-defined]
            raise InputError(
                "a model must have its variables before a checkpoint of it is written or restored in Keras 3: call it "
                "once, on a batch of features"
            )
        make_optimizer_variables(self)
        # TensorFlow asks several times, and takes what it is given for other parts unless they are the same objects.
        node = _View().of(self)
        leaves = list(_leaves(node))
        if self._self_shown[0] != leaves:
            object.__setattr__(self, "_self_shown", (leaves, tf.train.TrackableView.children(node)))
        return dict(self._self_shown[1])


def _leaves(node: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], int]]:
    """Where the parts of a node are that are no nodes themselves, and which objects they are."""
    for name, part in tf.train.TrackableView.children(node).items():
        if type(part) is tf.train.Checkpoint:
            yield from _leaves(part, (*path, name))
        else:
            yield (*path, name), id(part)


class _View:
    """The tree of a model's parts, each a node once; parts without variables are left out.

    Args:
      without: parts that are left out.
      kinds: classes whose objects are left out.
    """

    def __init__(self, without: Collection[Any] = (), kinds: tuple[type, ...] = ()) -> None:
        self._keras = keras_generation.keras()
        self._kinds = kinds
        self._nodes: dict[int, Any] = {id(part): None for part in without}
        self._parts: list[Any] = list(without)  # kept, so that no other object gets the id of one

    def of(self, part: Any) -> Any:
        """The node of a part; None where it has no variables."""
        if isinstance(part, tf.Variable):
            return part
        if isinstance(part, self._keras.Variable):
            return part.value
        if id(part) not in self._nodes:
            self._nodes[id(part)] = None  # for what leads back to this part
            self._parts.append(part)
            self._nodes[id(part)] = self._node(part)
        return self._nodes[id(part)]

    def _node(self, part: Any) -> Any:
        if isinstance(part, self._kinds):
            return None
        if hasattr(part, "get_slot_names"):  # an optimizer of this package
            return part
        children = {name: node for name, each in self._children(part) if (node := self.of(each)) is not None}
        if not children:
            return None
        if isinstance(part, tf.train.Checkpoint) and all(getattr(part, n, None) is c for n, c in children.items()):
            return part
        return tf.train.Checkpoint(**children)

    def _children(self, part: Any) -> Iterator[tuple[str, Any]]:
        keras = self._keras
        if isinstance(part, list | tuple):
            yield from ((str(k), each) for k, each in enumerate(part))
        elif isinstance(part, dict):
            yield from ((str(name), each) for name, each in part.items())
        elif isinstance(part, keras.optimizers.Optimizer):
            yield "variables", part.variables
        elif isinstance(part, tf.train.Checkpoint):
            yield from tf.train.TrackableView.children(part).items()
        elif isinstance(part, keras.layers.Layer | keras.metrics.Metric | keras.random.SeedGenerator | tf.Module):
            for name, each in vars(part).items():
                if name not in _BOOKKEEPING and not name.startswith("_self_"):  # the latter are TensorFlow's
                    yield name.lstrip("_") if isinstance(each, keras.Variable) else name, each
            if isinstance(part, keras.layers.Layer):
                yield from self._unassigned(part)
            if isinstance(part, keras.Model):  # of functional and sequential models no attributes lead to the layers
                yield "layers", [layer for layer in part.layers if id(layer) not in self._nodes]

    def _unassigned(self, layer: Any) -> Iterator[tuple[str, Any]]:
        """The variables of a layer that no attribute of it leads to, by their own names, as tf_keras has them."""
        values = [value for name, value in vars(layer).items() if name not in _BOOKKEEPING]
        assigned = {id(each) for value in values for each in (value if isinstance(value, list | tuple) else [value])}
        assigned |= {id(each) for value in values if isinstance(value, dict) for each in value.values()}
        taken = set(vars(layer))
        for variable in (*layer._trainable_variables, *layer._non_trainable_variables):
            if id(variable) not in assigned:
                names = (f"{variable.name}_{k}" if k else variable.name for k in itertools.count())
                name = next(name for name in names if name not in taken)
                taken.add(name)
                yield name, variable
