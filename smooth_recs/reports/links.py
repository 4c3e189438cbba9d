"""Links of a page to the files and folders that it names, relative to where the page lies."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from urllib.parse import quote

from smooth_recs import _files, _paths
from smooth_recs.workdir.finished_runs import Run

Link = tuple[str, str]
"""A text and a relative address."""

_OF_RUN = ("report.html", "metrics.json", "config.json", "manifest.json")


def address(target: str, page: str) -> str | None:
    """The address of a file or folder in a page, both given as paths; None where nothing is there.

    ```python
    links.address("runs/demo/relu/report.html", "runs/demo/report.html")  # "./relu/report.html"
    ```
    """
    if _paths.is_url(target) != _paths.is_url(page) or not _files.exists(target):
        return None
    path = os.path.relpath(_paths.absolute(target), _paths.parent(_paths.absolute(page)))
    # A folder of a user may be named "javascript:x": quoted, and with the dot, it is a path all the same.
    relative = path if path.startswith("../") else f"./{path}"
    return quote(relative) + ("/" if _files.isdir(target) else "")


def existing(targets: Iterable[Link], page: str) -> list[Link]:
    """The texts and addresses of (text, path) that are there, without the page itself."""
    found = [(text, address(path, page)) for text, path in targets if _paths.absolute(path) != _paths.absolute(page)]
    return [(text, each) for text, each in found if each is not None]


def of_runs(runs: Sequence[Run], page: str) -> list[Link]:
    """The report, the files and the exports of each run that are there."""
    targets = []
    for run in runs:
        beside = f"{run.label}: " if len(runs) > 1 else ""
        names = [*_OF_RUN, *map(str, run.metrics.get("exports") or ())]
        targets += [(beside + name, os.path.join(run.workdir, name)) for name in names]
    return existing(targets, page)


def of_model(name: str, path: str) -> list[Link]:
    """A model or a file of predictions, and the report of the run that it belongs to, as texts and paths."""
    found = [(f"{name}: {os.path.basename(_paths.normalized(path))}", path)]
    folder = _paths.absolute(path)
    for _ in range(3):  # WORKDIR/export/replica_0/1
        folder = _paths.parent(folder)
        if _files.exists(os.path.join(folder, "metrics.json")):
            found.append((f"{name}: the report of its run", os.path.join(folder, "report.html")))
            break
    return found
