"""The rows of two sides: matched with each other, and stored for each shard until all shards are there.

`match` joins rows with equal keys. Where several processes share the predicting, each leaves the rows of its shard in a
file beside the output (`save_shard`), and a last one puts them together again (`load_shards`).
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import zipfile
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from smooth_recs import _files, _paths
from smooth_recs.artifacts import exports
from smooth_recs.artifacts.exports import PREDICTIONS, Artifact, Columns
from smooth_recs.artifacts.keys import Keys, comparable
from smooth_recs.artifacts.prediction_files import KEY
from smooth_recs.comparison.settings import Settings, Shard, Side
from smooth_recs.errors import InputError

_SEPARATOR = b"\x1f"  # between the columns of a key: ASCII's own, the unit separator, which no text has
_FORMAT = 1


@dataclasses.dataclass(frozen=True)
class Matched:
    """Rows that are on both sides, in the order of a.

    Attributes:
      columns: `prediction` [n, 2] and the others, by role (see `settings.Side`): those of a, else those of b.
      only_in_a, only_in_b: how many rows have no counterpart.
    """

    columns: Columns
    only_in_a: int
    only_in_b: int

    def group(self, prefix: str) -> Columns:
        """The columns whose role begins with `prefix`, by the rest of it."""
        return {role.removeprefix(prefix): c for role, c in self.columns.items() if role.startswith(prefix)}


def match(a: Side, b: Side) -> Matched:
    """Rows with equal keys or, where the sides have none, rows with equal numbers.

    Raises:
      InputError: a key is twice on one side; no key is on both; a matched row has another label, weight, query id or
        multiplier on either side.
    """
    rows_a, rows_b = _rows_of_equal_keys(a, b) if a.keys else (np.arange(a.row.size), np.arange(b.row.size))
    in_a = {role: column[rows_a] for role, column in a.columns.items()}
    in_b = {role: column[rows_b] for role, column in b.columns.items()}
    # Query ids must agree only between two files: of those in a log, a model's side has numbers made by hashing.
    roles = ["label", "weight", "multiplier"] + ["query_id"] * (a.artifact.kind == b.artifact.kind == PREDICTIONS)
    for role in roles:
        if role in in_a and role in in_b:
            one, other = in_a[role], in_b[role]
            if role == "query_id":
                one, other = comparable(one, other)
                differ = one != other
            else:  # float32 on one side, as in TFRecord files, and its decimal text on the other
                differ = ~np.isclose(one, other, rtol=1e-6, atol=0.0, equal_nan=True)
            if differ.any():
                row = int(np.argmax(differ))
                raise InputError(
                    f"{role} must be the same in --a and --b, got {_shown(one[row])} and {_shown(other[row])} in row "
                    f"{row} of those that match"
                )
    merged = {role: column for role, column in (in_b | in_a).items() if not role.startswith(KEY)}
    merged["prediction"] = np.stack([in_a["prediction"], in_b["prediction"]], axis=1)
    return Matched(merged, a.row.size - rows_a.size, b.row.size - rows_b.size)


def _rows_of_equal_keys(a: Side, b: Side) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Positions in a, ascending, and in b, of rows whose keys are equal in every column."""
    pairs = [comparable(*pair) for pair in zip(a.keys, b.keys, strict=True)]
    joined: list[Keys] = []
    for number, side in enumerate((a, b)):
        columns = [pair[number] for pair in pairs]
        keys = columns[0]
        if len(columns) > 1:
            parts = [column.astype("S").tolist() for column in columns]
            keys = np.array([_SEPARATOR.join(cells) for cells in zip(*parts, strict=True)], "S")
        order = np.argsort(keys, kind="stable")  # stable: of equal keys the first two rows are named
        again = np.flatnonzero(keys[order][1:] == keys[order][:-1])
        if again.size:
            first, second = side.row[order[again[0] : again[0] + 2]]
            raise InputError(
                f"{side.artifact.flag}: --key must tell rows apart, got {_shown(keys[order[again[0]]])} in rows "
                f"{first} and {second}"
            )
        joined.append(keys)
    _, rows_a, rows_b = np.intersect1d(joined[0], joined[1], assume_unique=True, return_indices=True)
    if not rows_a.size:
        examples = " and ".join(_shown(keys[0]) for keys in joined)
        raise InputError(f"--key: no row of --a has the key of a row of --b; the first ones are {examples}")
    order = np.argsort(rows_a)  # intersect1d orders by key
    return rows_a[order], rows_b[order]


def _shown(value: Any) -> str:
    if isinstance(value, bytes):
        return repr(value.replace(_SEPARATOR, b",").decode("utf-8", "backslashreplace"))
    return f"{value:g}" if isinstance(value, float) else str(value)


# Shards: the rows that one process predicted, in a file beside the output.


def shard_path(settings: Settings, shard: Shard) -> str:
    """The file of a shard."""
    return f"{settings.stem}.shard-{shard.number}-of-{shard.count}.npz"


def save_shard(settings: Settings, shard: Shard, a: Side, b: Side, data: dict[str, Any] | None) -> str:
    """Writes a shard, whole or not at all; returns its path.

    Args:
      settings, shard: those of this process.
      a, b: the shard's rows.
      data: what the comparison says of the rows' origin.
    """
    sides = (a, b)
    about = _common(settings, [side.artifact for side in sides]) | {
        "data": data,
        "totals": [side.total for side in sides],
        "columns": [list(side.columns) for side in sides],
    }
    # Columns by their number: a name within the archive would become that of a file, and theirs may be any text.
    stored: dict[str, Any] = {
        f"{s}/{c}": column for s, side in enumerate(sides) for c, column in enumerate(side.columns.values())
    }
    stored |= {f"{s}/row": side.row for s, side in enumerate(sides)}
    target = shard_path(settings, shard)
    with _files.whole_file(target) as beside:
        np.savez_compressed(beside, about=np.array(json.dumps(about)), **stored)
    return target


def load_shards(settings: Settings, both: Sequence[Artifact]) -> tuple[Side, Side, dict[str, Any] | None]:
    """Both sides with the rows of all shards in their order, and the origin of the rows.

    Raises:
      InputError: a shard is missing or damaged, or is of other models, data or settings.
    """

    def origin(about: dict[str, Any]) -> tuple[Any, Any]:
        return about["data"] and about["data"]["fingerprint"], about["totals"]

    paths = _shard_paths(settings)
    wanted = _common(settings, both)
    found: list[tuple[dict[str, Any], list[Side]]] = []
    for file in paths:
        try:
            with _files.reading(file) as stream, np.load(stream) as stored:
                about = json.loads(str(stored["about"]))
                described = enumerate(zip(both, about["totals"], about["columns"], strict=True))
                sides = [
                    Side(each, total, stored[f"{s}/row"], {role: stored[f"{s}/{c}"] for c, role in enumerate(roles)})
                    for s, (each, total, roles) in described
                ]
        except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
            raise InputError(f"--merge: {file} is no shard: {error}") from error
        for part, value in wanted.items():
            if about[part] != value:
                raise InputError(f"--merge: {file} is of other {part} than --a, --b and the flags now say")
        if origin(about) != origin(found[0][0] if found else about):
            raise InputError(f"--merge: {file} is of other data than {paths[0]}")
        found.append((about, sides))
    whole = []
    for number in (0, 1):
        # Where there are more shards than batches, one without rows has columns only from files of predictions.
        parts = [sides[number] for _, sides in found if sides[number].row.size]
        row = np.concatenate([part.row for part in parts])
        order = np.argsort(row)
        columns = {role: np.concatenate([each.columns[role] for each in parts])[order] for role in parts[0].columns}
        whole.append(Side(parts[0].artifact, parts[0].total, row[order], columns))
    return whole[0], whole[1], found[0][0]["data"]


def _common(settings: Settings, both: Sequence[Artifact]) -> dict[str, Any]:
    """What all shards of a comparison have in common."""
    models = [exports.fingerprint(artifact) for artifact in both]
    # There and back: JSON makes lists of tuples, and what was read from a shard is compared with this.
    return json.loads(json.dumps({"format": _FORMAT, "models": models, "settings": settings.identity()}))


def _shard_paths(settings: Settings) -> list[str]:
    """The paths of all shards, from the first to the last; raises InputError where they are not all there."""
    pattern = re.compile(re.escape(os.path.basename(settings.stem)) + r"\.shard-(\d+)-of-(\d+)\.npz")
    folder = _paths.parent(settings.stem)
    names = _files.listdir(folder) if _files.isdir(folder) else []
    shards = [Shard(int(found[1]), int(found[2])) for found in map(pattern.fullmatch, names) if found]
    counts = sorted({shard.count for shard in shards})
    if not counts:
        raise InputError(f"--merge: there is no shard {shard_path(settings, Shard()).replace('1-of-1', '*')}")
    if len(counts) > 1:
        raise InputError(f"--merge: there are shards of {' and of '.join(map(str, counts))}: remove those of one kind")
    wanted = [Shard(number, counts[0]) for number in range(1, counts[0] + 1)]
    missing = [shard_path(settings, shard) for shard in wanted if shard not in shards]
    if missing:
        raise InputError(f"--merge needs all {counts[0]} shards, missing: {', '.join(missing)}")
    return [shard_path(settings, shard) for shard in wanted]
