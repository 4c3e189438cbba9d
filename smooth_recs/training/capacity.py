"""What a run needs, counted before anything is allocated: parameters, memory per device, bytes per step.

`check_memory` refuses what cannot fit into the memory that this process may take.
"""

from __future__ import annotations

import bisect
import dataclasses
import math
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import tensorflow as tf

from smooth_recs import _memory
from smooth_recs import config as config_lib
from smooth_recs.data import synthetic
from smooth_recs.data.encoding import Encoder, Encoding
from smooth_recs.data.feature_statistics import Statistics
from smooth_recs.errors import InputError
from smooth_recs.models import cost as cost_lib
from smooth_recs.models import from_config
from smooth_recs.models.cost import Cost

FLOAT, COUNT, ID = 4, 4, 8  # bytes
SLOTS = {"adagrad": 1, "adam": 2, "sgd": 0}
MANY_IDS = 10**9


@dataclasses.dataclass(frozen=True)
class Capacity:
    """What one sibling needs; the totals are those of all siblings.

    Attributes:
      replicas: R, how many siblings are trained side by side.
      table_rows: of all features together.
      cost: of one sibling, all its components and a linear part included.
      table_slots: numbers kept per embedding weight besides it: the optimizer's, and copies. They are in float32, but
        for `stored_copies` of them.
      moments: those of them that the optimizer keeps, such as Adagrad's sum of squares.
      whole_tables: each step reads and writes every row, because of a penalty on them.
      dense_slots: the same per other weight: what the dense optimizer keeps, copies, and an anchor.
      read_back: of both, the copies that a run has once it is read back, to predict.
      counted_tables: tables whose ids are counted, in two integers a row.
      batch_size: examples a step and sibling, over all devices.
      devices: that share a batch, each with a copy of everything that is mirrored.
      servers: parameter servers; 0 = none.
      stored: bytes of an embedding weight, as `model.embedding_precision` says.
      stored_copies: copies of embedding weights that are stored as these are.
    """

    replicas: int
    table_rows: int
    cost: Cost
    table_slots: int
    dense_slots: int
    counted_tables: int
    batch_size: int
    read_back: int = 0
    moments: int = 1
    whole_tables: bool = False
    devices: int = 1
    servers: int = 0
    stored: int = FLOAT
    stored_copies: int = 0

    @property
    def table_width(self) -> int:
        """Numbers of one row in one sibling, those of several tables together."""
        return self.cost.table_parameters // max(self.table_rows, 1)

    @property
    def table_bytes(self) -> int:
        """All siblings' tables with what their optimizer keeps and the counts of ids."""
        return self.replicas * self.table_rows * self.row_bytes

    @property
    def row_bytes(self) -> int:
        """Bytes that one row takes in one sibling's tables."""
        a_weight = (1 + self.stored_copies) * self.stored + (self.table_slots - self.stored_copies) * FLOAT
        return self.table_width * a_weight + self.counted_tables * 2 * COUNT

    @property
    def dense_bytes(self) -> int:
        """All siblings' other weights with their optimizer's state and gradients."""
        return self.replicas * self.cost.dense_parameters * (2 + self.dense_slots) * FLOAT

    @property
    def touched_bytes(self) -> int:
        """Bytes of tables that one step moves, for all siblings: weights and moments, each read and written."""
        weights = self.batch_size * self.cost.lookup_bytes // self.stored
        if self.whole_tables:
            weights = self.cost.table_parameters
        return self.replicas * weights * (self.stored + self.moments * FLOAT) * 2

    @property
    def device_bytes(self) -> int:
        """Memory of one device: tables are mirrored unless parameter servers hold them."""
        return self.dense_bytes + (0 if self.servers else self.table_bytes)

    @property
    def server_bytes(self) -> int:
        """Memory of one parameter server, which holds its part of the tables and of the dense state."""
        return (self.table_bytes + self.dense_bytes) // self.servers if self.servers else 0

    @property
    def predicting_bytes(self) -> int:
        """Memory of a process that reads a finished run back, without what its optimizers kept."""
        tables = self.cost.table_parameters * (1 + self.read_back) * self.stored  # averages may take more
        others = self.cost.dense_parameters * (1 + self.read_back) * FLOAT
        return self.replicas * (tables + others + self.table_rows * self.counted_tables * 2 * COUNT)

    @property
    def network_bytes(self) -> int:
        """Sent by one device in one step.

        Mirrored: a ring all-reduce of the dense gradients (twice their size), and the touched rows' gradients with
        their ids to every other device. Parameter servers: the looked-up rows, their gradients and ids, the dense
        weights and their gradients.
        """
        an_example = self.cost.lookup_bytes // self.stored * FLOAT + self.cost.lookups * ID
        rows = self.replicas * self.batch_size * an_example // self.devices
        dense = self.replicas * self.cost.dense_parameters * FLOAT
        if self.servers:
            return 2 * rows + 2 * dense
        return 2 * dense * (self.devices - 1) // self.devices + rows * (self.devices - 1)


def capacity(config: config_lib.Config, encoder: Encoder | Encoding, *, devices: int = 1, servers: int = 0) -> Capacity:
    """Counts what a run of `config` needs, for rows that `encoder` encodes.

    Raises:
      InputError: a model that cannot be made, or an ensemble that cannot be narrowed to the cost it is to have.
    """
    from_config.check(config.model, encoder)
    ensemble = config.ensemble
    averages = config.train.average != 0
    # Older weights, the average, and the best of both.
    stored_copies = (ensemble.stale_steps > 0) + (config.train.patience > 0)
    copies = stored_copies + averages * (1 + (config.train.patience > 0))
    tables = ensemble.components if ensemble.tables == "separate" else 1
    return Capacity(
        replicas=config.siblings.replicas,
        table_rows=sum(encoder.table_rows(feature) for feature in encoder.schema.categorical),
        cost=cost_lib.cost(config, encoder),
        table_slots=SLOTS[config.train.embedding_optimizer] + copies,
        moments=SLOTS[config.train.embedding_optimizer],
        whole_tables=config.model.embedding_l2 > 0,
        dense_slots=SLOTS[config.train.dense_optimizer] + copies + (config.train.anchor > 0),
        counted_tables=tables if config.model.admission else 0,
        read_back=(ensemble.stale_steps > 0) + averages,
        batch_size=config.train.batch_size,
        devices=devices,
        servers=servers,
        stored=cost_lib.stored_bytes(config.model),
        stored_copies=stored_copies,
    )


def check_memory(
    config: config_lib.Config, encoder: Encoder, *, copies: int = 1, servers: int = 0, trains: bool = True
) -> None:
    """Refuses what cannot fit into the memory that this process may take, or into that of a GPU.

    What is counted is a lower bound of what is needed: weights, what optimizers and averages keep of them, counts of
    ids, dense gradients.

    Args:
      config: of the run, for rows that `encoder` encodes.
      copies: how many devices of this process have their own, where they are no GPUs.
      servers: parameter servers, which hold what is trained; the chief reads it back to measure and export it.
      trains: False where a finished run is read back.

    Raises:
      InputError: it does not fit; the line says what would.
    """
    here, gpus = _memory.available(), _memory_of_gpus()
    if here is not None:  # with GPUs this memory holds all weights once, while a checkpoint is written
        _check_room(config, encoder, here, servers=servers, trains=trains, copies=1 if gpus else copies)
    if gpus:
        _check_room(config, encoder, min(gpus), servers=servers, trains=trains, whose="a GPU has")


def check_memory_before_reading(config: config_lib.Config) -> None:
    """Refuses what `check_memory` would, before any row is read, where the configuration alone tells the schema.

    Vocabularies, which rows tell, count as empty. TensorFlow is not asked for devices, so that its threads can still be
    set.

    Raises:
      InputError: it does not fit.
    """
    data, here = config.data, _memory.available()
    schema = synthetic.schema(data.synthetic) if data.source == "synthetic" else data.schema
    if here is None or schema is None:
        return
    schema.validate()
    schema = schema.select(data.features, data.labels)
    known = Encoding(schema, Statistics(vocabularies={feature.name: () for feature in schema.categorical}))
    # No activation, since one that learns is a layer with variables.
    model = dataclasses.replace(config.model, activation="relu", beta=None, relative_beta=None)
    _check_room(dataclasses.replace(config, model=model), known, here)


def _check_room(
    config: config_lib.Config,
    encoder: Encoder | Encoding,
    room: int,
    *,
    servers: int = 0,
    trains: bool = True,
    copies: int = 1,
    whose: str = "this process may take",
) -> None:
    def needs(changed: config_lib.Config, **of_tables: Any) -> int:
        found = dataclasses.replace(capacity(changed, encoder, servers=servers), **of_tables)
        return copies * (found.device_bytes if trains and not servers else found.predicting_bytes)

    needed, counted = needs(config), capacity(config, encoder)
    if needed <= room:
        return
    fitting = []
    if trains:
        without = needs(config, table_rows=0, cost=dataclasses.replace(counted.cost, table_parameters=0))
        rows = counted.table_rows * (room - without) // max(needed - without, 1)
        fitting = [*_fitting(config, needs, room), *([f"at most {rows:,} rows"] if rows > 0 else ())]
    if not servers:
        fitting.append("parameter servers" if trains else "a machine with more memory")
    several = {"sibling": counted.replicas, "device": copies}
    whole = [f"{count} {what}{'s' * (count > 1)}" for what, count in several.items() if count > 1 or what == "sibling"]
    what = f"{counted.table_rows:,} rows x {counted.table_width} of {' on '.join(whole)}"
    raise InputError(
        f"model.embedding_dim must be such that tables fit: {what} need {size(needed)}"
        f"{f' with {config.train.embedding_optimizer}' if trains and not servers else ''}, {whose} {size(room)}: "
        f"take {', '.join(fitting)}, or say --memory_gib={math.ceil(needed / 2**30)} if there is more"
    )


def _fitting(config: config_lib.Config, needs: Callable[[config_lib.Config], int], room: int) -> Iterator[str]:
    """Changes each of which would make it fit alone."""
    model, train = config.model, config.train

    def with_dim(dim: int) -> config_lib.Config:
        return dataclasses.replace(config, model=dataclasses.replace(model, embedding_dim=dim))

    least = config.ensemble.components if config.ensemble.equal_cost != "none" else 1
    dims = range(least, model.embedding_dim)
    found = bisect.bisect_right(dims, room, key=lambda dim: needs(with_dim(dim)))
    if found:
        yield f"model.embedding_dim={dims[found - 1]}"
    others: dict[str, dict[str, Any]] = {
        "siblings.replicas=1": {"siblings": dataclasses.replace(config.siblings, replicas=1)},
        "train.embedding_optimizer=adagrad": {"train": dataclasses.replace(train, embedding_optimizer="adagrad")},
        "train.average=0": {"train": dataclasses.replace(train, average=0)},
    }
    if not model.embedding_l2:  # which needs float32
        half = dataclasses.replace(model, embedding_precision="float16")
        others = {"model.embedding_precision=float16": {"model": half}} | others
    for words, change in others.items():
        changed = dataclasses.replace(config, **change)
        if changed != config and needs(changed) <= room:
            yield words


def _memory_of_gpus() -> list[int]:
    """Bytes that TensorFlow may take of each GPU; none where the user says what this process may take."""
    if os.environ.get(_memory.VARIABLE) or not tf.config.list_physical_devices("GPU"):
        return []
    # TensorFlow (2.21) has no public name for it.
    from tensorflow.python.client import device_lib

    return [device.memory_limit for device in device_lib.list_local_devices() if device.device_type == "GPU"]


def lines(needed: Capacity) -> Sequence[str]:
    """What a person wants to know of it."""
    row_bytes = needed.replicas * needed.row_bytes
    stored = f"of {needed.stored} bytes"
    tables, others = needed.cost.table_parameters, needed.cost.dense_parameters
    found = [
        f"embeddings        {needed.table_rows:,} rows x {needed.table_width} = {tables:,} parameters {stored}",
        f"all others        {others:,} parameters",
        f"an example        {needed.cost.multiply_adds:,} multiplications, {needed.cost.lookups:,} lookups",
        f"siblings          {needed.replicas}",
        f"memory a device   {size(needed.device_bytes)} for weights and optimizers",
    ]
    if needed.servers:
        found.append(f"memory a server   {size(needed.server_bytes)}, {needed.servers} parameter servers")
    found += [
        f"tables in a step  {size(needed.touched_bytes)} read and written",
        f"network in a step {size(needed.network_bytes)} sent by each of {needed.devices} devices",
        f"10^9 ids          {size(MANY_IDS * row_bytes)} of tables: {-(-MANY_IDS * row_bytes // (64 << 30)):,} "
        "parameter servers of 64 GiB",
    ]
    return found


def size(count: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if count < 1024 or unit == "TiB":
            break
        count /= 1024
    return f"{count:,.0f} {unit}" if count >= 100 or unit == "B" else f"{count:.3g} {unit}"
