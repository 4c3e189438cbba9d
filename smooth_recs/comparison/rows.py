"""The rows of two sides, each row of the one beside its like of the other.

The part of the rows that one process predicted, as a file beside the output; and all parts together again.
"""

from __future__ import annotations

import dataclasses
import glob
import json
import os
import re
import zipfile
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from smooth_recs._files import whole_file
from smooth_recs.artifacts import exports
from smooth_recs.artifacts.exports import PREDICTIONS, Artifact
from smooth_recs.comparison.settings import KEY, Columns, Settings, Shard, Side
from smooth_recs.errors import InputError

Keys = npt.NDArray[Any]
_SEPARATOR = b"\x1f"


@dataclasses.dataclass(frozen=True)
class Matched:
    """Rows that are on both sides, in the order of a.

    Attributes:
      columns: `prediction` [n, 2] and the others, by role (see `sides.Side`): those of a, else those of b.
      only_in_a, only_in_b: how many rows have no like.
    """

    columns: Columns
    only_in_a: int
    only_in_b: int

    def group(self, prefix: str) -> Columns:
        """The columns whose role begins so, by the rest of it."""
        return {role.removeprefix(prefix): c for role, c in self.columns.items() if role.startswith(prefix)}


def match(a: Side, b: Side) -> Matched:
    """Rows with equal keys or, where the sides have none, rows with equal numbers.

    Raises:
      InputError: a key is twice on one side; no key is on both; a matched row has another label, weight, query id or
        multiplier on either side.
    """
    rows_a, rows_b = _by_key(a, b) if a.keys else (np.arange(a.row.size), np.arange(b.row.size))
    of_a = {role: column[rows_a] for role, column in a.columns.items()}
    of_b = {role: column[rows_b] for role, column in b.columns.items()}
    _check_agreement(a, b, of_a, of_b)
    merged = {role: column for role, column in (of_b | of_a).items() if not role.startswith(KEY)}
    merged["prediction"] = np.stack([of_a["prediction"], of_b["prediction"]], axis=1)
    return Matched(merged, a.row.size - rows_a.size, b.row.size - rows_b.size)


def _by_key(a: Side, b: Side) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    pairs = [_comparable(*pair) for pair in zip(a.keys, b.keys, strict=True)]
    of_a, of_b = (_joined([pair[side] for pair in pairs]) for side in (0, 1))
    for side, keys in ((a, of_a), (b, of_b)):
        _check_unique(side, keys)
    _, rows_a, rows_b = np.intersect1d(of_a, of_b, assume_unique=True, return_indices=True)
    if not rows_a.size:
        examples = f"{_shown(of_a[0])} and {_shown(of_b[0])}"
        raise InputError(f"--key: no row of --a has the key of a row of --b; the first ones are {examples}")
    order = np.argsort(rows_a)
    return rows_a[order], rows_b[order]


def _comparable(one: Keys, other: Keys) -> tuple[Keys, Keys]:
    """Integers or texts on both sides stay so; else both become texts, "7" of 7, of 7.0 and of "7.0"."""
    if all(column.dtype.kind in "iu" for column in (one, other)) or one.dtype.kind == other.dtype.kind == "S":
        return one, other
    return _texts(one), _texts(other)


def _joined(columns: list[Keys]) -> Keys:
    if len(columns) == 1:
        return columns[0]
    parts = [_bytes(column).tolist() for column in columns]
    return np.array([_SEPARATOR.join(cells) for cells in zip(*parts, strict=True)], "S")


def _texts(column: Keys) -> Keys:
    """The shortest texts of numbers, alone or as texts."""
    return np.array([text.removesuffix(b".0") for text in _bytes(column).tolist()], "S")


def _bytes(column: Keys) -> Keys:
    return column if column.dtype.kind == "S" else column.astype("U").astype("S")


def _check_unique(side: Side, keys: Keys) -> None:
    order = np.argsort(keys, kind="stable")
    again = np.flatnonzero(keys[order][1:] == keys[order][:-1])
    if again.size:
        first, second = side.row[order[again[0] : again[0] + 2]]
        raise InputError(
            f"{side.artifact.flag}: --key must tell rows apart, got {_shown(keys[order[again[0]]])} in rows {first} "
            f"and {second}"
        )


def _check_agreement(a: Side, b: Side, of_a: Columns, of_b: Columns) -> None:
    from_files = a.artifact.kind == b.artifact.kind == PREDICTIONS  # the data of a model make numbers of query ids
    for role in ("label", "weight", "multiplier", *(["query_id"] if from_files else [])):
        if role not in of_a or role not in of_b:
            continue
        one, other = of_a[role], of_b[role]
        if role == "query_id":
            one, other = _comparable(one, other)
            differ = one != other
        else:
            differ = ~np.isclose(one, other, rtol=1e-6, atol=0.0, equal_nan=True)
        if differ.any():
            row = int(np.argmax(differ))
            raise InputError(
                f"{role} must be the same in --a and --b, got {_shown(one[row])} and {_shown(other[row])} in row {row} "
                "of those that match"
            )


def _shown(value: Any) -> str:
    if isinstance(value, bytes):
        return repr(value.replace(_SEPARATOR, b",").decode("utf-8", "backslashreplace"))
    return f"{value:g}" if isinstance(value, float) else str(value)


_FORMAT = 1


def path(settings: Settings, shard: Shard) -> str:
    return f"{settings.stem}.shard-{shard.number}-of-{shard.count}.npz"


def save(settings: Settings, shard: Shard, a: Side, b: Side, data: dict[str, Any] | None) -> str:
    """Writes a shard, whole or not at all; returns its path.

    Args:
      settings, shard: of this process.
      a, b: the shard's rows.
      data: what the comparison says of the rows' origin.
    """
    sides = (a, b)
    about = _about(settings, [side.artifact for side in sides]) | {
        "data": data,
        "totals": [side.total for side in sides],
        "columns": [list(side.columns) for side in sides],
    }
    stored: dict[str, Any] = {
        f"{s}/{c}": column for s, side in enumerate(sides) for c, column in enumerate(side.columns.values())
    }
    stored |= {f"{s}/row": side.row for s, side in enumerate(sides)}
    target = path(settings, shard)
    with whole_file(target) as beside:
        np.savez_compressed(beside, about=np.array(json.dumps(about)), **stored)
    return target


def load(settings: Settings, both: Sequence[Artifact]) -> tuple[Side, Side, dict[str, Any] | None]:
    """Both sides with the rows of all shards in their order, and the origin of the rows.

    Raises:
      InputError: a shard is missing or damaged, or is of other models, data or settings.
    """
    paths = _all(settings)
    wanted = _about(settings, both)
    found: list[tuple[dict[str, Any], list[Side]]] = []
    for file in paths:
        about, sides = _read(file, both)
        for part, value in wanted.items():
            if about[part] != value:
                raise InputError(f"--merge: {file} is of other {part} than --a, --b and the flags now say")
        if _data_of(about) != _data_of(found[0][0] if found else about):
            raise InputError(f"--merge: {file} is of other data than {paths[0]}")
        found.append((about, sides))
    a, b = (_joined_shards([sides[number] for _, sides in found]) for number in (0, 1))
    return a, b, found[0][0]["data"]


def _about(settings: Settings, both: Sequence[Artifact]) -> dict[str, Any]:
    """What all shards of a comparison have in common, as JSON gives it back."""
    models = [exports.fingerprint(artifact) for artifact in both]
    return json.loads(json.dumps({"format": _FORMAT, "models": models, "settings": settings.identity()}))


def _data_of(about: dict[str, Any]) -> tuple[Any, Any]:
    return about["data"] and about["data"]["fingerprint"], about["totals"]


def _all(settings: Settings) -> list[str]:
    """The paths of all shards, from the first to the last."""
    pattern = re.compile(re.escape(os.path.basename(settings.stem)) + r"\.shard-(\d+)-of-(\d+)\.npz")
    names = map(os.path.basename, glob.glob(f"{glob.escape(settings.stem)}.shard-*.npz"))
    shards = [Shard(int(match[1]), int(match[2])) for match in map(pattern.fullmatch, names) if match]
    counts = sorted({shard.count for shard in shards})
    if not counts:
        raise InputError(f"--merge: there is no shard {path(settings, Shard()).replace('1-of-1', '*')}")
    if len(counts) > 1:
        raise InputError(f"--merge: there are shards of {' and of '.join(map(str, counts))}: remove those of one kind")
    wanted = [Shard(number, counts[0]) for number in range(1, counts[0] + 1)]
    missing = [path(settings, shard) for shard in wanted if shard not in shards]
    if missing:
        raise InputError(f"--merge needs all {counts[0]} shards, missing: {', '.join(missing)}")
    return [path(settings, shard) for shard in wanted]


def _read(file: str, both: Sequence[Artifact]) -> tuple[dict[str, Any], list[Side]]:
    try:
        with open(file, "rb") as stream, np.load(stream) as stored:
            about = json.loads(str(stored["about"]))
            sides = [
                Side(artifact, total, stored[f"{s}/row"], {role: stored[f"{s}/{c}"] for c, role in enumerate(roles)})
                for s, (artifact, total, roles) in enumerate(zip(both, about["totals"], about["columns"], strict=True))
            ]
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(f"--merge: {file} is no shard: {error}") from error
    return about, sides


def _joined_shards(parts: Sequence[Side]) -> Side:
    parts = [part for part in parts if part.row.size]
    row = np.concatenate([part.row for part in parts])
    order = np.argsort(row)
    first = parts[0]
    columns = {role: np.concatenate([part.columns[role] for part in parts])[order] for role in first.columns}
    return Side(first.artifact, first.total, row[order], columns)
