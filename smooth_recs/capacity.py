"""What a run needs, counted before anything is allocated: parameters, memory per device, bytes per step."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from smooth_recs import config as config_lib
from smooth_recs.data.encoding import Encoder
from smooth_recs.models import from_config

FLOAT, COUNT, ID = 4, 4, 8  # bytes
DENSE_SLOTS = {"adagrad": 1, "adam": 2, "sgd": 0}
MANY_IDS = 10**9


@dataclasses.dataclass(frozen=True)
class Capacity:
    """Of one sibling, but for the totals, which are of all of them.

    Attributes:
      replicas: R, how many siblings are trained side by side.
      table_rows, table_width: of all embedding tables together; a linear part adds one column.
      dense_parameters: all others.
      dense_slots: what the dense optimizer keeps per parameter; Adagrad keeps one number per embedding weight.
      admission: whether ids are counted, in two integers a row.
      lookups: table rows read per example.
      batch_size: examples a step and sibling, over all devices.
      devices: that share a batch, each with a copy of everything that is mirrored.
      servers: parameter servers; 0 = none.
    """

    replicas: int
    table_rows: int
    table_width: int
    dense_parameters: int
    dense_slots: int
    admission: bool
    lookups: int
    batch_size: int
    devices: int = 1
    servers: int = 0

    @property
    def table_parameters(self) -> int:
        return self.table_rows * self.table_width

    @property
    def table_bytes(self) -> int:
        """All siblings' tables with Adagrad's sums of squares and the counts of ids."""
        return self.replicas * self.table_rows * self.row_bytes

    @property
    def row_bytes(self) -> int:
        """Of one row in one sibling's table."""
        return self.table_width * 2 * FLOAT + self.admission * 2 * COUNT

    @property
    def dense_bytes(self) -> int:
        """All siblings' other weights with their optimizer's state and gradients."""
        return self.replicas * self.dense_parameters * (2 + self.dense_slots) * FLOAT

    @property
    def touched_bytes(self) -> int:
        """Of tables in one step, over all siblings: weights and sums of squares, each read and written."""
        return self.replicas * self.batch_size * self.lookups * self.table_width * 4 * FLOAT

    @property
    def device_bytes(self) -> int:
        """Memory of one device: tables are mirrored unless parameter servers hold them."""
        return self.dense_bytes + (0 if self.servers else self.table_bytes)

    @property
    def server_bytes(self) -> int:
        """Memory of one parameter server, which holds its part of the tables and of the dense state."""
        return (self.table_bytes + self.dense_bytes) // self.servers if self.servers else 0

    @property
    def network_bytes(self) -> int:
        """Sent by one device in one step.

        Mirrored: a ring all-reduce of the dense gradients (twice their size), and the touched rows' gradients with
        their ids to every other device. Parameter servers: the looked-up rows, their gradients and ids, the dense
        weights and their gradients.
        """
        rows = self.replicas * self.batch_size * self.lookups // self.devices * (self.table_width * FLOAT + ID)
        dense = self.replicas * self.dense_parameters * FLOAT
        if self.servers:
            return 2 * rows + 2 * dense
        return 2 * dense * (self.devices - 1) // self.devices + rows * (self.devices - 1)


def capacity(config: config_lib.Config, encoder: Encoder, *, devices: int = 1, servers: int = 0) -> Capacity:
    """Counts what a run of `config` needs, for rows that `encoder` encodes.

    The dense part is counted on a real model whose tables have one row.
    """
    linear = int(config.model.linear)
    features = encoder.schema.categorical
    return Capacity(
        replicas=config.siblings.replicas,
        table_rows=sum(encoder.table_rows(feature) for feature in features),
        table_width=(config.model.embedding_dim + linear) if features else 0,
        dense_parameters=_dense_parameters(config.model, encoder),
        dense_slots=DENSE_SLOTS[config.train.dense_optimizer],
        admission=config.model.admission > 0,
        lookups=sum(feature.max_values for feature in features),
        batch_size=config.train.batch_size,
        devices=devices,
        servers=servers,
    )


def lines(needed: Capacity) -> Sequence[str]:
    """What a person wants to know of it."""
    row_bytes = needed.replicas * needed.row_bytes
    found = [
        f"embeddings        {needed.table_rows:,} rows x {needed.table_width} = {needed.table_parameters:,} parameters",
        f"all others        {needed.dense_parameters:,} parameters",
        f"siblings          {needed.replicas}",
        f"memory a device   {_bytes(needed.device_bytes)} for weights and optimizers",
    ]
    if needed.servers:
        found.append(f"memory a server   {_bytes(needed.server_bytes)}, {needed.servers} parameter servers")
    found += [
        f"tables in a step  {_bytes(needed.touched_bytes)} read and written",
        f"network in a step {_bytes(needed.network_bytes)} sent by each of {needed.devices} devices",
        f"10^9 ids          {_bytes(MANY_IDS * row_bytes)} of tables: {-(-MANY_IDS * row_bytes // (64 << 30)):,} "
        "parameter servers of 64 GiB",
    ]
    return found


def _dense_parameters(model: config_lib.Model, encoder: Encoder) -> int:
    small = from_config.ranking_model(dataclasses.replace(model, admission=0), encoder, table_rows=1)
    ids = {f.name: tf.zeros([1, f.max_values] if f.multi_valued else [1], tf.int64) for f in encoder.schema.categorical}
    small(ids | {f.name: tf.zeros([1, f.width]) for f in encoder.schema.numeric})
    return sum(int(np.prod(variable.shape)) for variable in small.dense_variables)


def _bytes(count: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if count < 1024 or unit == "TiB":
            break
        count /= 1024
    return f"{count:,.0f} {unit}" if count >= 100 or unit == "B" else f"{count:.3g} {unit}"
