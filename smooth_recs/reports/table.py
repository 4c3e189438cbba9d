"""What a table of a report is made of. A cell keeps the exact number beside the text that a reader sees."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from smooth_recs.reports.formats import MISSING, percent
from smooth_recs.workdir.finished_runs import is_number

Format = Callable[[Any], str]


@dataclasses.dataclass(frozen=True)
class Cell:
    """`values` are what `texts` say, exactly; None where a text is no number."""

    texts: Sequence[str] = (MISSING,)
    values: Sequence[Any] = (None,)


@dataclasses.dataclass(frozen=True)
class Table:
    """`rows` maps the first column to the cells of the others; `notes` explains some of its names in smaller print."""

    columns: Sequence[str]
    rows: Mapping[str, Sequence[Cell]]
    title: str = ""
    numeric: bool = True
    notes: Mapping[str, str] = dataclasses.field(default_factory=dict)


def number(value: Any, text: Format) -> Cell:
    """A number as `text` formats it; a dash where there is none."""
    return Cell((text(value),), (value if is_number(value) else None,))


def interval(ends: Any, text: Format = percent) -> Cell:
    """Both ends of an interval; a dash for none."""
    return Cell([text(end) for end in ends], [end if is_number(end) else None for end in ends]) if ends else Cell()


def measured(rows: Mapping[str, Sequence[Cell]]) -> dict[str, Sequence[Cell]]:
    """Without the rows that say nothing."""
    return {
        name: cells
        for name, cells in rows.items()
        if any(text not in (MISSING, "") for cell in cells for text in cell.texts)
    }


def markdown(table: Table) -> str:
    """A table as Markdown, a note in brackets; numbers to the right."""
    lines = [table.columns, ["---", *["---:"] * (len(table.columns) - 1)]]
    names = {name: f"{name} ({table.notes[name]})" if name in table.notes else name for name in table.rows}
    lines += [[names[name], *(" ".join(cell.texts) for cell in cells)] for name, cells in table.rows.items()]
    rows = [[text.replace("|", r"\|") for text in line] for line in lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
