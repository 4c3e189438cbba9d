"""Versions of an export, as TF Serving has them: folders whose names are numbers; the highest is the newest."""

from __future__ import annotations

import os

SAVED_MODEL = "saved_model.pb"


def versions(base: str) -> list[int]:
    """Numbers of the exports under `base`, oldest first; none where there is no such folder."""
    return sorted(int(name) for name in (os.listdir(base) if os.path.isdir(base) else ()) if name.isdecimal())


def following(base: str) -> str:
    """The path of the version that comes next."""
    return os.path.join(base, str(max(versions(base), default=0) + 1))


def is_export(path: str) -> bool:
    return os.path.exists(os.path.join(path, SAVED_MODEL))


def newest(path: str) -> str | None:
    """`path` itself where it is an export, else the newest version under it that is one; None where none is."""
    numbered = [os.path.join(path, str(version)) for version in reversed(versions(path))]
    return next(filter(is_export, [path, *numbered]), None)
