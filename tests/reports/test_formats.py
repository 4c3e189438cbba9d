"""Numbers, settings and tables as texts."""

from __future__ import annotations

import math

import pytest

from smooth_recs.reports import formats
from smooth_recs.reports.formats import MINUS, MISSING, Table, TableCell


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        (formats.percent, 0.144, "14.4%"),
        (formats.percent, 0.1, "10.0%"),
        (formats.percent, 1.0, "100%"),
        (formats.percent, 0.00012, "0.0120%"),
        (formats.percent, 0, "0%"),
        (formats.points, 0.0123, "1.23 points"),
        (formats.decimal, 0.77123, "0.7712"),
        (formats.decimal, -0.00001, "0.0000"),
        (formats.count, -0.2, "0"),
        (formats.short, -0.0, "0.00"),
        (formats.count, 1_000_000, "1,000,000"),
        (formats.short, 0.62, "0.620"),
        (formats.unbounded, math.inf, "infinite"),
        (formats.unbounded, 0.5, "0.500"),
        (formats.signed_decimal, 0.00123, "+0.0012"),
        (formats.signed_decimal, -0.00123, f"{MINUS}0.0012"),
        (formats.signed_decimal, -0.00001, "0.0000"),
        (formats.signed_short, -0.00123, f"{MINUS}0.00123"),
    ],
)
def test_numbers(text: formats.Format, value: float, expected: str) -> None:
    assert text(value) == expected
    for nothing in (None, math.nan, True, "0.5"):
        assert text(nothing) == MISSING


def test_settings_are_as_a_user_types_them() -> None:
    assert [formats.setting(value) for value in (None, [], [1, None], "", "smelu", 0.1)] == [
        "none",
        "none",
        "1, none",
        "(empty)",
        "smelu",
        "0.1",
    ]


def test_a_cell_keeps_the_exact_number() -> None:
    assert formats.number(0.0853123, formats.percent) == TableCell(("8.53%",), (0.0853123,))
    assert formats.number(None, formats.percent) == TableCell()
    assert formats.interval([0.1, math.nan]).values == [0.1, None]
    assert formats.interval(None) == TableCell()


def test_rows_that_say_nothing_are_left_out() -> None:
    said = [TableCell(), formats.number(0.5, formats.percent)]
    assert formats.measured({"a": [TableCell(), TableCell(("",))], "b": said}) == {"b": said}


def test_markdown_has_notes_in_brackets_and_no_stray_bars() -> None:
    table = Table(("", "A"), {"a|b": [formats.interval([0.1, 0.2])], "c": [TableCell(("x",))]}, notes={"c": "why"})
    lines = ["|  | A |", "| --- | ---: |", r"| a\|b | 10.0% 20.0% |", "| c (why) | x |"]
    assert formats.markdown(table).splitlines() == lines
