"""The rules of docs/data.md on what a text means, in plain Python, for tests that compare readers with them."""

from __future__ import annotations

import ast
import datetime
import decimal
import json
import math
import re
from typing import Any

import numpy as np

from smooth_recs.config import MISSING

BAD = object()
NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d{1,9})?|[-+]?(?i:inf|infinity)", re.ASCII)
SPACE = " \t\n\v\f\r"
_ZONE = r" ?(?:Z|UTC|GMT|([-+])([01]\d|2[0-3]):?([0-5]\d)?(?: UTC)?)?"
TIME = re.compile(
    rf"(\d{{4}})-(\d\d)-(\d\d)(?:[T ]([01]\d|2[0-3]):([0-5]\d)(?::([0-5]\d(?:\.\d{{1,9}})?))?(?:{_ZONE}))?", re.ASCII
)


def missing(text: str) -> bool:
    return text.strip(SPACE) == "" or text.strip(SPACE) in MISSING


def number(text: str, as_float: Any = np.float32) -> Any:
    """A float; None for a missing one."""
    plain = text.strip(SPACE)
    if missing(text):
        return None
    if plain in ("True", "true", "TRUE", "False", "false", "FALSE"):
        return float(plain.lower() == "true")
    return rounded(float(plain), as_float) if NUMBER.fullmatch(plain) else BAD


def rounded(value: float, as_float: Any = np.float32) -> float:
    with np.errstate(over="ignore"):
        return float(as_float(value))


def integer(text: str) -> Any:
    found, plain = number(text), text.strip(SPACE)
    if found is None or found is BAD or (math.isinf(found) and "n" in plain.lower()):
        return None if found is None else BAD
    if plain.lower() in ("true", "false"):
        return int(found)
    sign, digits, exponent = decimal.Decimal(plain).as_tuple()
    if not any(digits):
        return 0
    while digits[-1] == 0:
        digits, exponent = digits[:-1], exponent + 1  # type: ignore[operator]
    if exponent < 0 or len(digits) + exponent > 19:  # type: ignore[operator]
        return BAD
    whole = int("".join(map(str, digits))) * 10**exponent * (-1 if sign else 1)  # type: ignore[operator]
    return whole if -(2**63) <= whole < 2**63 else BAD


def word(text: str) -> Any:
    """A text, without the `.0` of an integer; None for a missing one."""
    if missing(text):
        return None
    if text in ("0.0", "-0.0"):
        return "0"
    return text[:-2] if re.fullmatch(r"-?[1-9]\d*\.0", text, re.ASCII) else text


def moment(text: str) -> Any:
    """Seconds since 1970, or a number; None for a missing one."""
    plain = text.strip(SPACE)
    found = TIME.fullmatch(plain)
    if not found:
        return BAD if plain.lower() in ("true", "false") else number(text, np.float64)
    year, month, day, hour, minute, second, sign, hours, minutes = found.groups()
    try:
        date = datetime.datetime(int(year), int(month), int(day), int(hour or 0), int(minute or 0))
    except ValueError:
        return BAD
    offset = (3600 * int(hours or 0) + 60 * int(minutes or 0)) * (-1 if sign == "-" else 1)
    return (date - datetime.datetime(1970, 1, 1)).total_seconds() + float(second or 0) - offset


def parts(text: str, separator: str, width: int) -> list[str]:
    """The first values of a text with several: of a list as Python or JSON write it, or what the separator cuts."""
    if text.strip(SPACE).startswith("["):
        for read in (ast.literal_eval, json.loads):
            try:
                found = read(text.strip(SPACE))
            except (SyntaxError, ValueError):
                continue
            if isinstance(found, list) and not any(isinstance(each, list) for each in found):
                return [each if isinstance(each, str) else str(each) for each in found][:width]
    return text.split(separator)[:width]


def fields(line: str, delimiter: str) -> list[str] | None:
    """The fields of a line, or None where a quote stands where it must not; a tab knows no quotes."""
    if delimiter == "\t":
        return line.split("\t")
    found, rest = [], line
    while True:
        field = re.match(rf'"((?:[^"]|"")*)"|[^"{re.escape(delimiter)}]*', rest, re.DOTALL)
        assert field  # an empty one at least
        found.append(field[0] if field[1] is None else field[1].replace('""', '"'))
        rest = rest[field.end() :]
        if not rest:
            return found
        if rest[0] != delimiter:
            return None
        rest = rest[1:]
