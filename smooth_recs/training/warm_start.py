"""A run that begins with what another one has learnt: which variables are taken over, and which rows of tables.

Rows are matched by the values that they stand for, because a vocabulary may have grown, an order changed, a feature
come or gone.
"""

from __future__ import annotations

import collections
import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from smooth_recs import keras_generation
from smooth_recs.callbacks.checkpoints import newest_first
from smooth_recs.config import Config
from smooth_recs.data.encoding import Encoder, Encoding
from smooth_recs.errors import InputError
from smooth_recs.layers import StackedEmbedding
from smooth_recs.models import generation
from smooth_recs.models.siblings import SiblingModel
from smooth_recs.models.trackable import trackable
from smooth_recs.schema import Categorical
from smooth_recs.workdir import checkpoint_reader
from smooth_recs.workdir.checkpoint_reader import CheckpointReader

Index = npt.NDArray[np.int64]


class Pairs(NamedTuple):
    """Row `there[i]` and row `here[i]` stand for the same."""

    there: Index
    here: Index


@dataclasses.dataclass(frozen=True)
class Matching:
    """The rows that two stacked tables, with the rows of one feature after those of another, have in common.

    Attributes:
      equal: every row of one table stands for the same as that row of the other; `rows` and `features` are empty then,
        because a table may have more rows than memory has room for numbers of them.
      rows: pairs of rows of the tables.
      features: pairs of positions among the categorical features, for variables with one row per feature.
      words: for each categorical feature here, how many of its values have a row there, or why none has.
    """

    equal: bool
    rows: Pairs
    features: Pairs
    words: dict[str, str]


def matching(there: Encoding, here: Encoding) -> Matching:
    """Pairs rows of the same feature and value: by value in vocabularies, by number otherwise.

    The rows of values out of vocabulary are paired with each other, and so are those of missing values. A feature that
    is encoded in another way, or hashed into another number of buckets, has nothing in common with the one there.
    """
    others = {feature.name: feature for feature in there.schema.categorical}
    found = {f.name: _common_values(there, others.get(f.name), here, f) for f in here.schema.categorical}
    words = {name: one if isinstance(one, str) else one.words for name, one in found.items()}
    common = {name: one for name, one in found.items() if not isinstance(one, str)}
    if list(others) == list(found) and len(common) == len(found) and all(one.equal for one in common.values()):
        return Matching(True, _joined([]), _joined([]), words)
    starts = []  # the first row of each feature in either stacked table
    for encoding in (there, here):
        features = encoding.schema.categorical
        firsts = itertools.accumulate((encoding.table_rows(feature) for feature in features), initial=0)
        starts.append({feature.name: first for feature, first in zip(features, firsts, strict=False)})
    rows = [
        Pairs(*(part + start[name] for part, start in zip(one.pairs(), starts, strict=True)))
        for name, one in common.items()
    ]
    positions = [np.array([list(start).index(name) for name in common], np.int64) for start in starts]
    return Matching(False, _joined(rows), Pairs(*positions), words)


@dataclasses.dataclass(frozen=True)
class _CommonValues:
    """The known values that one feature has on both sides; `common` is None where they are the first ones of both."""

    known_there: int
    known_here: int
    equal: bool
    common: Pairs | None = None

    @property
    def words(self) -> str:
        shared = min(self.known_there, self.known_here) if self.common is None else self.common.here.size
        return f"{shared:,} of {self.known_here:,} values"

    def pairs(self) -> Pairs:
        """The pairs of known values, and those of the two rows that follow them."""
        first = np.arange(min(self.known_there, self.known_here))
        common = Pairs(first, first) if self.common is None else self.common
        special = np.arange(2)  # out of vocabulary, missing
        return _joined([common, Pairs(self.known_there + special, self.known_here + special)])


def _common_values(
    there: Encoding, other: Categorical | None, here: Encoding, feature: Categorical
) -> _CommonValues | str:
    """The values that a feature has in common with the one there, or the reason why there are none."""
    if other is None:
        return "not in that run"
    if (other.encoding, other.dtype) != (feature.encoding, feature.dtype):
        return f"{other.encoding} of {other.dtype} there, {feature.encoding} of {feature.dtype} here"
    sizes = there.known_values(other), here.known_values(feature)
    if feature.encoding == "hash" and sizes[0] != sizes[1]:
        return f"{sizes[0]:,} buckets there, {sizes[1]:,} here"
    if feature.encoding != "vocabulary":
        return _CommonValues(*sizes, equal=sizes[0] == sizes[1])
    values = [encoding.statistics.vocabularies[feature.name] for encoding in (there, here)]
    if values[0] == values[1]:
        return _CommonValues(*sizes, equal=True)
    row_there = {value: row for row, value in enumerate(values[0])}
    shared = [(row_there[value], row) for row, value in enumerate(values[1]) if value in row_there]
    return _CommonValues(*sizes, equal=False, common=Pairs(*np.array(shared, np.int64).reshape(-1, 2).T))


def _joined(pairs: list[Pairs]) -> Pairs:
    empty = Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64))
    return Pairs(*(np.concatenate(parts) for parts in zip(empty, *pairs, strict=True)))


_SHOWN = 10
_SLOT = "accumulator"


@dataclasses.dataclass
class WarmStart:
    """What was taken over. Variables are named by their place in a sibling: `top_stack/hidden/0/kernel`.

    Attributes:
      checkpoint: where it comes from.
      steps: that it had been trained for.
      siblings: which sibling there each one here began with.
      taken: variables taken over whole.
      rows: of tables of other rows, how many were taken over.
      accumulators: variables whose sums of squares (Adagrad) were taken over as well.
      left: other variables, which begin as in any new run, and why.
      features: how many of each categorical feature's values have a row there, or why none has.
    """

    checkpoint: str
    steps: int
    siblings: list[int] = dataclasses.field(default_factory=list)
    taken: list[str] = dataclasses.field(default_factory=list)
    rows: dict[str, int] = dataclasses.field(default_factory=dict)
    accumulators: list[str] = dataclasses.field(default_factory=list)
    left: dict[str, str] = dataclasses.field(default_factory=dict)
    features: dict[str, str] = dataclasses.field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def summary(self) -> str:
        """A line, and one for each variable, up to ten, that was not taken over whole."""
        whole, every = len(self.taken), len(self.taken) + len(self.rows) + len(self.left)
        lines = [f"begins with {self.checkpoint} ({self.steps:,} steps): {whole} of {every} variables whole"]
        parts = [f"  {name}: {rows:,} rows taken" for name, rows in self.rows.items()]
        parts += [f"  {name}: not taken, {why}" for name, why in self.left.items()]
        more = [f"  and {len(parts) - _SHOWN} more: see warm_start.json"] if len(parts) > _SHOWN else []
        return "\n".join([*lines, *parts[:_SHOWN], *more])


def is_due(config: Config, workdir: str) -> bool:
    """Whether a run is to begin with another one's variables: one that has checkpoints resumes from its own."""
    return bool(config.train.warm_start) and not newest_first(checkpoint_reader.folder(workdir))


def begin(siblings: SiblingModel, config: Config, workdir: str, encoder: Encoder) -> WarmStart | None:
    """The warm start of a run, if it is due, and its anchor, which one that resumes restores from its checkpoint.

    Args and Raises: as `initialise`; `config` and `workdir` are those of the run that begins.
    """
    begun = initialise(siblings, config.train.warm_start, encoder) if is_due(config, workdir) else None
    if begun and siblings.weight_average is not None:
        siblings.weight_average.reset()  # it begins with the weights as they are now
    for replica in siblings.replicas if config.train.anchor else ():
        replica.set_anchor(config.train.anchor)
    return begun


def initialise(siblings: SiblingModel, path: str, encoder: Encoder) -> WarmStart:
    """Takes over every variable that has the same place and shape in another run's siblings, Adagrad's sums included.

    Rows of embedding tables are taken over by the values that they stand for: a vocabulary may have grown, an order
    changed, a feature come or gone. Counts of steps, and with them the schedules of learning rates, begin at 0; so do
    Adam's moments, which belong to such a count, and all metrics.

    Sibling k begins with sibling k there, or, where there are only r, with number k modulo r.

    Args:
      siblings: of `models.from_config` models, with their variables, before the first step; under a strategy, in its
        scope.
      path: the workdir of a run, its folder of checkpoints, or a checkpoint in it.
      encoder: of the rows that `siblings` will be trained on.

    Raises:
      InputError: there is no checkpoint of siblings, it cannot be read, or it has nothing in common with `siblings`.

    ```python
    siblings = loop.build(Batches(config, workdir, source))
    print(warm_start.initialise(siblings, "runs/yesterday", source.encoder).summary())
    ```
    """
    stored = CheckpointReader(path)
    found = WarmStart(stored.path, stored.steps)
    there = stored.encoding
    rows = None if there is None else matching(there, Encoding.of(encoder))
    found.features = {} if rows is None else rows.words
    for k, replica in enumerate(siblings.replicas):
        found.siblings.append(k % len(stored.replicas))
        taking = _Taking(replica, stored, rows, found if k == 0 else WarmStart(stored.path, stored.steps))
        for name, variable, node in _variables(replica, stored, stored.replicas[found.siblings[k]]):
            taking.take(name, variable, node)
    if not found.taken and not found.rows:
        raise InputError(f"train.warm_start: checkpoint {stored.path} has no variable in common with this model")
    return found


def _variables(replica: Any, stored: CheckpointReader, node: int) -> Iterator[tuple[str, Any, int | None]]:
    """Name, variable, and the node at the same place in the checkpoint; without metrics, optimizers and copies."""
    layers = keras_generation.all_layers(replica)  # whose metrics those of a model of Keras 3 (3.15) are not
    metrics = [metric for layer in layers for metric in getattr(layer, "metrics", ())]
    seen = {id(thing): thing for thing in (replica.optimizer, *metrics, *replica.copies)}
    waiting: collections.deque[tuple[str, Any, int | None]] = collections.deque()
    waiting.append(("", trackable(replica, without=list(seen.values())), node))
    while waiting:
        place, thing, there = waiting.popleft()
        nodes = {} if there is None else stored.children(there)
        for name, child in tf.train.TrackableView.children(thing).items():
            if id(child) in seen:
                continue
            seen[id(child)] = child  # kept, so that no other object gets its id
            if hasattr(child, "assign"):
                yield place + name, child, nodes.get(name)
            else:
                waiting.append((f"{place}{name}/", child, nodes.get(name)))


class _Taking:
    """Takes over one sibling's variables, and notes in `found` which."""

    def __init__(self, replica: Any, stored: CheckpointReader, rows: Matching | None, found: WarmStart) -> None:
        self._stored, self._rows, self._found = stored, rows, found
        self._by_row, self._by_feature = set[int](), set[int]()
        for layer in keras_generation.all_layers(replica):
            if isinstance(layer, StackedEmbedding):
                admitted = [] if layer.admitted is None else [layer.admitted.counts, layer.admitted.last_seen]
                self._by_row |= {id(keras_generation.stored(variable)) for variable in (layer.embeddings, *admitted)}
                lookups = [] if layer.admitted is None else [layer.admitted.lookups]
                self._by_feature |= {id(keras_generation.stored(variable)) for variable in lookups}
        dense, *sparse = replica.optimizer.optimizers
        pairs = [(dense, replica.dense_variables), *((one, replica.embedding_variables) for one in sparse)]
        self._optimizers = {id(keras_generation.stored(v)): one for one, variables in pairs for v in variables}

    def take(self, name: str, variable: Any, node: int | None) -> None:
        pairs = self._pairs(variable)
        why = self._obstacle(variable, node, pairs)
        if why:
            self._found.left[name] = why
            return
        assert node is not None
        if pairs is None:
            # Tables may be in 16 bits here and not there.
            variable.assign(np.asarray(self._stored.value(node), tf.as_dtype(variable.dtype).as_numpy_dtype))
            self._found.taken.append(name)
        else:
            variable.assign(_merged(np.array(tf.convert_to_tensor(variable)), self._stored.value(node), pairs))
            self._found.rows[name] = pairs.here.size
        if self._take_accumulators(variable, self._stored.slot(node, _SLOT), pairs):
            self._found.accumulators.append(name)

    def _pairs(self, variable: Any) -> Pairs | None:
        """None for a variable that is taken over whole or not at all."""
        if self._rows is None or self._rows.equal:
            return None
        if id(variable) in self._by_row:
            return self._rows.rows
        return self._rows.features if id(variable) in self._by_feature else None

    def _obstacle(self, variable: Any, node: int | None, pairs: Pairs | None) -> str:
        """Why a variable cannot be taken over; empty where it can."""
        here, there = list(variable.shape), None if node is None else self._stored.shape(node)
        if there is None:
            return "not in that run"
        if self._rows is None and id(variable) in self._by_row | self._by_feature:
            return "that run's workdir does not say what its rows stand for (no encoder.json)"
        if pairs is None:
            return "" if there == here else f"shape {there} there, {here} here"
        if there[1:] != here[1:]:
            return f"{there[1:]} wide there, {here[1:]} here"
        return "" if pairs.here.size else "no feature in common"

    def _take_accumulators(self, variable: Any, value: Any, pairs: Pairs | None) -> bool:
        """Takes over Adagrad's sums of squares; each shard of a table on parameter servers has its own."""
        shards = getattr(variable, "variables", [variable])
        optimizer = self._optimizers.get(id(shards[0]))
        if value is None or not isinstance(optimizer, generation.Adagrad):
            return False
        initial = optimizer.get_config()["initial_accumulator_value"]
        if pairs is not None:
            value = _merged(np.full(variable.shape, initial, value.dtype), value, pairs)
        slots = [optimizer.add_slot(shard, _SLOT, tf.constant_initializer(initial)) for shard in shards]
        begin = 0
        for slot in slots:
            slot.assign(value if len(slots) == 1 else value[begin : begin + slot.shape[0]])
            begin += len(slots) > 1 and slot.shape[0]
        return True


def _merged(here: Any, there: Any, pairs: Pairs) -> Any:
    here[pairs.here] = there[pairs.there]
    return here
