"""Texts of numbers and settings for people, and the tables that hold them.

A cell of a table keeps the exact number beside the text that a reader sees.
"""

from __future__ import annotations

import dataclasses
import html
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from smooth_recs.measures.measure import Form, Measure
from smooth_recs.workdir.finished_runs import flatten, is_number

Format = Callable[[Any], str]
"""Writes a value for people; a dash for what is not a finite number."""

MISSING, MINUS = "\N{EN DASH}", "\N{MINUS SIGN}"


def percent(value: Any) -> str:
    """A share with three digits: 14.4%, 8.50%, 0.0120%."""
    if not is_number(value):
        return MISSING
    # The "#" keeps zeros at the end, which are digits that are known: 10.0%, not 10%.
    return f"{100 * value:#.3g}".rstrip(".") + "%" if value else "0%"


def points(value: Any) -> str:
    """A difference of two shares in percentage points, with three digits: 1.23 points."""
    return percent(value).replace("%", " points")


def decimal(value: Any) -> str:
    """An accuracy with four decimals: 0.7712."""
    # Rounded before it is written, and + 0.0, so that a change of -0.00001 is 0.0000, not -0.0000.
    return f"{round(value, 4) + 0.0:.4f}" if is_number(value) else MISSING


def count(value: Any) -> str:
    """A whole number with separators: 1,000,000."""
    return f"{round(value):,}" if is_number(value) else MISSING


def short(value: Any) -> str:
    """A number with three digits: 0.620, 14.4."""
    return f"{value + 0.0:#.3g}".rstrip(".") if is_number(value) else MISSING


def unbounded(value: Any) -> str:
    """A number with three digits, or the word `infinite`."""
    return "infinite" if value == math.inf else short(value)


_FORMS: dict[Form, Format] = {
    "percent": percent,
    "points": points,
    "decimal": decimal,
    "count": count,
    "short": short,
    "unbounded": unbounded,
}


def of(measure: Measure) -> Format:
    """The function that writes the values of a measure."""
    return _FORMS[measure.form]


def signed(size: str, value: float) -> str:
    """The text of an absolute value with the sign of `value`; a text that shows zero has no sign."""
    if size.strip("0.%") == "":
        return size
    return ("+" if value > 0 else MINUS) + size


def signed_decimal(value: Any) -> str:
    """A change with four decimals and its sign: +0.0012."""
    return signed(decimal(abs(value)), value) if is_number(value) else MISSING


def signed_short(value: Any) -> str:
    """A change with three digits and its sign: +0.00123."""
    return signed(short(abs(value)), value) if is_number(value) else MISSING


def setting(value: Any) -> str:
    """A setting as a user would type it."""
    if value is None:
        return "none"
    if isinstance(value, list):
        return ", ".join(setting(item) for item in value) or "none"
    return str(value) if value != "" else "(empty)"


@dataclasses.dataclass(frozen=True)
class TableCell:
    """One or more texts, and the exact number that each stands for; None for a text that is no number.

    `links` are relative addresses, one for each text; empty: none is a link.
    """

    texts: Sequence[str] = (MISSING,)
    values: Sequence[Any] = (None,)
    links: Sequence[str] = ()


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of a report.

    Attributes:
      columns: heads, that of the first column included.
      rows: the cells of the other columns, by the text in the first column.
      title: the caption, where there are several such tables.
      numeric: whether cells are numbers, which stand on the right.
      notes: explanations in smaller print, by the text in the first column.
    """

    columns: Sequence[str]
    rows: Mapping[str, Sequence[TableCell]]
    title: str = ""
    numeric: bool = True
    notes: Mapping[str, str] = dataclasses.field(default_factory=dict)


def number(value: Any, text: Format) -> TableCell:
    """A cell with one number; a dash where there is none."""
    return TableCell((text(value),), (value if is_number(value) else None,))


def interval(ends: Any, text: Format = percent) -> TableCell:
    """A cell with both ends of an interval; a dash where there is none."""
    return (
        TableCell([text(end) for end in ends], [end if is_number(end) else None for end in ends])
        if ends
        else TableCell()
    )


def settings_table(values: Mapping[str, Any], title: str = "") -> Table:
    """Nested settings, one a row under its path: `model.beta`."""
    rows = {name: [TableCell((setting(value),))] for name, value in flatten(values).items()}
    return Table((title, "Value"), rows, numeric=False)


def measured(rows: Mapping[str, Sequence[TableCell]]) -> dict[str, Sequence[TableCell]]:
    """The rows that have any text: what was not measured has no row."""
    return {
        name: cells
        for name, cells in rows.items()
        if any(text not in (MISSING, "") for cell in cells for text in cell.texts)
    }


_ACTIVE = re.compile(r"[\\`*\[\]|]")


def in_markdown(text: str) -> str:
    r"""A text of users, such as a category, as Markdown shows it: in one line, and neither HTML nor marks of Markdown.

    >>> in_markdown("a|b\n# <img src=x>")
    'a\\|b # &lt;img src=x&gt;'
    """
    line = html.escape(_in_one_line(text), quote=False)
    return _ACTIVE.sub(lambda mark: f"\\{mark[0]}", line)


def _in_one_line(text: str) -> str:
    return re.sub(r"\s*[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]\s*", " ", text)


def code_in_markdown(text: str) -> str:
    """A text of users as code, which ends only at as many backticks as it begins with: at more than it holds itself.

    >>> code_in_markdown("a `b`")
    '`` a `b` ``'
    """
    line = _in_one_line(text)
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", line)), default=0))
    space = " " * (len(fence) > 1)
    return f"{fence}{space}{line}{space}{fence}"


def markdown(table: Table) -> str:
    """A table as Markdown, with notes in brackets and numbers on the right."""
    lines = [table.columns, ["---", *["---:"] * (len(table.columns) - 1)]]
    names = {name: f"{name} ({table.notes[name]})" if name in table.notes else name for name in table.rows}
    lines += [[names[name], *(" ".join(cell.texts) for cell in cells)] for name, cells in table.rows.items()]
    rows = [[in_markdown(text) for text in line] for line in lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
