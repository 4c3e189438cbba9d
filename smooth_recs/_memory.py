"""How much memory this process may still take: Linux kills one that takes more, without a word."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from smooth_recs.errors import InputError

VARIABLE = "SMOOTH_RECS_MEMORY_GIB"
_UNLIMITED = 1 << 60  # what cgroups of version 1 say where there is no limit is above it


def available(root: Path = Path("/")) -> int | None:
    """Bytes that this process may still take, as far as the machine says; None where it says nothing.

    The least of what Linux has for new processes (`MemAvailable`, with free swap) and of what each control group that
    this process is in leaves, where pages of files count as free. The environment variable SMOOTH_RECS_MEMORY_GIB, in
    GiB, overrides both.

    Args:
      root: where `proc` and `sys` lie.

    Raises:
      InputError: the environment variable is not a number of at least 0.
    """
    told = os.environ.get(VARIABLE)
    if told:
        return _told(told)
    found = dict(re.findall(r"^(\w+):\s+(\d+) kB$", _text(root / "proc/meminfo"), re.MULTILINE))
    if "MemAvailable" not in found:
        return None
    swap = int(found.get("SwapFree", 0)) * 1024
    return min([int(found["MemAvailable"]) * 1024, *_left_by_groups(root)]) + swap


def _told(text: str) -> int:
    try:
        gib = float(text)
    except ValueError:
        gib = -1.0
    if not gib >= 0:
        raise InputError(f"{VARIABLE} must be a number of GiB of at least 0, got {text!r}")
    return int(min(gib, 1e12) * 2**30)  # also where it is infinite


def _left_by_groups(root: Path) -> Iterator[int]:
    """What the limits of the control groups leave, of versions 1 and 2, for each that has a limit."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        old = bool(controllers)
        top = root / ("sys/fs/cgroup/memory" if old else "sys/fs/cgroup")
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes") if old else ("memory.max", "memory.current")
        group = top / path.strip("/")
        # In a container the path may be that of the machine, where this process sees its own group as the top.
        for folder in (group, *(each for each in group.parents if each.is_relative_to(top))):
            limit, used = (_text(folder / name).strip() for name in names)
            if not (limit.isdecimal() and used.isdecimal()) or int(limit) >= _UNLIMITED:
                continue
            pages = dict(re.findall(r"^(\w+) (\d+)$", _text(folder / "memory.stat"), re.MULTILINE))
            prefix = "total_" if old else ""
            of_files = sum(int(pages.get(f"{prefix}{name}_file", 0)) for name in ("active", "inactive"))
            yield max(int(limit) - int(used) + of_files, 0)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
