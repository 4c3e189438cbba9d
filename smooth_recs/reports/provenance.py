"""Where the numbers of a report come from: settings, data, versions and commands, one column a run."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from smooth_recs.reports.formats import Table, TableCell, setting
from smooth_recs.workdir.finished_runs import Run, differing, flatten, is_number

_TOLD_ELSEWHERE = ("versions", "data", "command")


def data(runs: Sequence[Run]) -> Table:
    return _side_by_side(runs, [flatten(run.manifest.get("data") or {}) for run in runs])


def settings(runs: Sequence[Run]) -> Table:
    return _side_by_side(runs, [flatten(run.config) for run in runs])


def changed_settings(runs: Sequence[Run]) -> Table:
    """Only the settings that are not the same in all runs."""
    flat = [flatten(run.config) for run in runs]
    keys = differing(flat)
    return _side_by_side(runs, [{key: mapping[key] for key in keys if key in mapping} for mapping in flat])


def versions(runs: Sequence[Run]) -> Table:
    return _side_by_side(runs, [flatten(run.manifest.get("versions") or {}) for run in runs])


def provenance(runs: Sequence[Run]) -> Table:
    """Where a run lies, what it exported, and the rest of its manifest, whatever that holds."""
    known = [{"workdir": run.workdir, "exports": list(run.metrics.get("exports") or ())} for run in runs]
    others = [{key: value for key, value in run.manifest.items() if key not in _TOLD_ELSEWHERE} for run in runs]
    return _side_by_side(runs, [{**first, **flatten(rest)} for first, rest in zip(known, others, strict=True)])


def commands(runs: Sequence[Run]) -> list[tuple[str, str]]:
    """Label and command line of each run that recorded one."""
    recorded = [(run.label, run.manifest.get("command")) for run in runs]
    return [
        (label, shlex.join(map(str, command)) if isinstance(command, list) else str(command))
        for label, command in recorded
        if command
    ]


def _side_by_side(runs: Sequence[Run], flat: Sequence[Mapping[str, Any]]) -> Table:
    """Keys as rows; one column of values where all runs agree, else one a run."""
    keys = dict.fromkeys(key for mapping in flat for key in mapping)
    same = not differing(flat)
    rows = {key: [_cell(mapping, key) for mapping in (flat[:1] if same else flat)] for key in keys}
    names = ["Value" if len(runs) == 1 else "All runs"] if same else [run.label for run in runs]
    return Table(("", *names), rows, numeric=False)


def _cell(mapping: Mapping[str, Any], key: str) -> TableCell:
    if key not in mapping:
        return TableCell()
    value = mapping[key]
    if isinstance(value, list) and any(isinstance(item, str) for item in value):
        return TableCell([setting(item) for item in value], [None] * len(value))
    return TableCell((setting(value),), (value if is_number(value) else None,))
