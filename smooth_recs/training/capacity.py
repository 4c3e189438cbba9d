"""What a run needs, counted before anything is allocated: parameters, memory per device, bytes per step."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from smooth_recs import config as config_lib
from smooth_recs.data.encoding import Encoder
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


def capacity(config: config_lib.Config, encoder: Encoder, *, devices: int = 1, servers: int = 0) -> Capacity:
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
        batch_size=config.train.batch_size,
        devices=devices,
        servers=servers,
        stored=cost_lib.stored_bytes(config.model),
        stored_copies=stored_copies,
    )


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
