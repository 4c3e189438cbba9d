"""Open Bandit: logged impressions of a fashion shop, one a row, joined with the features of the items."""

from __future__ import annotations

import os
from collections.abc import Sequence

from smooth_recs import config
from smooth_recs.data.files import expand
from smooth_recs.data.first_pass import Origin
from smooth_recs.data.readers.csv import CsvReader, SideTable, header_names, read_fields
from smooth_recs.errors import InputError
from smooth_recs.schema import Categorical, Numeric, Schema

_ITEM_FILE = "item_context.csv"
_ITEM_COLUMNS = ("item_feature_0", "item_feature_1", "item_feature_2", "item_feature_3")
_AFFINITY = "user-item_affinity_"


def schema(affinities: int, *, items: bool) -> Schema:
    """Click, given the item, its position, four hashed user features and the user's affinity to each item.

    Args:
      affinities: how many affinity columns the log has: one an item.
      items: whether the items' features are joined.
    """
    features: list[Numeric | Categorical] = [
        Categorical("item_id", "vocabulary", dtype="int64"),
        Categorical("position", "identity", size=4, dtype="int64"),
    ]
    features += [Categorical(f"user_feature_{number}", "vocabulary") for number in range(4)]
    if items:
        features += [Numeric(_ITEM_COLUMNS[0]), *(Categorical(name, "vocabulary") for name in _ITEM_COLUMNS[1:])]
    features += [Numeric(f"user_item_affinity_{number}", transform="log") for number in range(affinities)]
    return Schema(tuple(features), label="click", timestamp="timestamp")


def origin(data: config.Data) -> Origin:
    """`data.path` is the folder of a campaign, or its log; `item_context.csv` is looked for beside the log."""
    log = _logs(data.path, "data.path")
    item_file = os.path.join(os.path.dirname(log[0]), _ITEM_FILE)
    tables = [_items(item_file)] if os.path.exists(item_file) else []
    affinities = sum(name.startswith(_AFFINITY) for name in header_names(log, ","))
    columns = (data.schema or schema(affinities, items=bool(tables))).select(data.features)

    def reader(names: Sequence[str]) -> CsvReader:
        return CsvReader(names, columns, side_tables=tables)

    evaluation = reader(_logs(data.eval_path, "data.eval_path")) if data.eval_path else None
    return Origin(reader(log), evaluation, (item_file,) if tables else ())


def _logs(path: str, field: str) -> tuple[str, ...]:
    logs = tuple(file for file in expand(path, field) if os.path.basename(file) != _ITEM_FILE)
    if not logs:
        raise InputError(f"{field} must name a log beside {_ITEM_FILE}, got {path}")
    return logs


def _items(file: str) -> SideTable:
    rows = read_fields(file, b",", 6, header=True)  # a row number, item_id, four features
    columns = {name: [row[position] for row in rows] for position, name in enumerate(_ITEM_COLUMNS, start=2)}
    return SideTable("item_id", [row[1] for row in rows], columns)
