"""The part of the rows that one process predicted, as a file beside the output; and all parts together again."""

from __future__ import annotations

import glob
import json
import os
import re
import zipfile
from collections.abc import Sequence
from typing import Any

import numpy as np

from smooth_recs._files import whole_file
from smooth_recs.comparison import artifacts
from smooth_recs.comparison.artifacts import Artifact
from smooth_recs.comparison.settings import Settings, Shard
from smooth_recs.comparison.sides import Side
from smooth_recs.errors import InputError

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
    a, b = (_joined([sides[number] for _, sides in found]) for number in (0, 1))
    return a, b, found[0][0]["data"]


def _about(settings: Settings, both: Sequence[Artifact]) -> dict[str, Any]:
    """What all shards of a comparison have in common, as JSON gives it back."""
    models = [artifacts.fingerprint(artifact) for artifact in both]
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


def _joined(parts: Sequence[Side]) -> Side:
    parts = [part for part in parts if part.row.size]
    row = np.concatenate([part.row for part in parts])
    order = np.argsort(row)
    first = parts[0]
    columns = {role: np.concatenate([part.columns[role] for part in parts])[order] for role in first.columns}
    return Side(first.artifact, first.total, row[order], columns)
