"""Identifiers of rows: read without loss from a column of any type, and brought to one form on both sides.

An identifier is exact, or it is refused: a float of 2^53 may stand for several. Integers stay integers, whatever type
or text a file has them in; larger ones, decimals and times are texts of one form.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from smooth_recs import extras
from smooth_recs.data import values
from smooth_recs.data.readers import parquet
from smooth_recs.errors import InputError

with extras.needed("parquet"):
    import pyarrow as pa

Keys = npt.NDArray[Any]
"""Identifiers [n]: int64; float64 where some have fractions; bytes, b"" for an unknown one; datetime64; or, as a text
of its shortest digits (`U`), a number that is none of these."""

# Texts that an int64 would be written as: "007" stays a text, and so do all of 19 digits, some of which are too large.
_INTEGER = re.compile(rb"0|-?[1-9]\d{0,17}")
_DECIMAL = re.compile(rb"(-?\d+)(?:\.(\d*?)0*)?")
_ZONE = rb"(?: ?(?:Z|UTC|GMT|([-+])(\d\d):?(\d\d)?(?: UTC)?))?"
_TIME = re.compile(rb"\s*(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d)(?::(\d\d)(\.\d{1,9})?)?" + _ZONE + rb")?\s*")


def absent(column: Any) -> npt.NDArray[np.bool_]:
    """Where an Arrow array has no value: a null, NaN, or a text that stands for none."""
    kind, there = parquet.kind_of(column.type), column.is_valid().to_numpy(zero_copy_only=False)
    if kind == parquet.TEXT:
        return values.is_missing(tf.constant(column.fill_null(b"").to_pylist(), tf.string)).numpy() | ~there
    if kind in (parquet.FLOAT, parquet.DOUBLE):
        return np.isnan(column.cast(pa.float64()).to_numpy(zero_copy_only=False)) | ~there
    return ~there


def identifiers(what: str, column: Any, unknown: npt.NDArray[np.bool_]) -> Keys:
    """The identifiers of an Arrow array.

    Args:
      what: begins error messages.
      column: of any type that a file may have.
      unknown: where there is none; these become b"", and the others texts too.

    Raises:
      InputError: a float is so large that it may stand for several integers.
    """
    kind = parquet.kind_of(column.type)
    if kind == parquet.TIME and not unknown.any():
        return np.asarray(column.to_numpy(zero_copy_only=False))
    if kind == parquet.INTEGER and not unknown.any():
        return np.asarray(parquet.natural(column).to_numpy(zero_copy_only=False))
    if kind in (parquet.FLOAT, parquet.DOUBLE):
        found = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
        wrong = parquet.inexact(column)
        if wrong.any():
            row = int(np.argmax(wrong))
            raise InputError(
                f"{what} must be exact, got the {column.type} {found[row]:.0f} in row {row}, which several integers "
                "are rounded to"
            )
        if not unknown.any():
            return found.astype(np.int64) if (found == np.floor(found)).all() else found
    if kind == parquet.TIME:
        return _in_text(np.array([_of_time(text) for text in _texts(column)], "S"), unknown)
    if kind == parquet.TEXT:
        # As a feature of texts reads them: `12.0`, which pandas writes where another row has no value, is 12.
        texts = tf.constant(column.fill_null(b"").to_pylist(), tf.string)
        found = np.array(values.to_string(texts, None)[0].numpy().tolist(), "S")
    else:
        found = np.array([_shortest(text) for text in _texts(column)], "S")
    known = found[~unknown].tolist()
    if not unknown.any() and all(_INTEGER.fullmatch(text) for text in known):
        return found.astype(np.int64)
    fractions = kind == parquet.NUMBER and any(b"." in text for text in known)
    return found.astype("U") if fractions and not unknown.any() else _in_text(found, unknown)


def comparable(one: Keys, other: Keys) -> tuple[Keys, Keys]:
    """Both sides in one form, so that equal identifiers are equal: "7" is 7, 7.0 and "7.0"; a time is an instant.

    Raises:
      InputError: one side holds times, the other something else.
    """
    kinds = {one.dtype.kind, other.dtype.kind}
    if len(kinds) == 1 and kinds <= {"i", "S", "U"}:
        return one, other
    if kinds == {"f"}:
        return one.astype(np.float64), other.astype(np.float64)
    if "M" in kinds:
        return _times(one), _times(other)
    first, second = (
        np.array([_shortest(text) for text in column.astype("S").tolist()], "S") for column in (one, other)
    )
    return first, second


def _texts(column: Any) -> list[bytes]:
    return [b"" if text is None else text for text in parquet.exact_texts(column).to_pylist()]


def _in_text(found: Keys, unknown: npt.NDArray[np.bool_]) -> Keys:
    return np.where(unknown, b"", found)


def _shortest(text: bytes) -> bytes:
    """A decimal number without zeros at its end; any other text as it is."""
    parts = _DECIMAL.fullmatch(text)
    return text if parts is None else parts[1] + (b"." + parts[2] if parts[2] else b"")


def _times(column: Keys) -> Keys:
    if column.dtype.kind == "M":
        column = np.datetime_as_string(column, timezone="UTC").astype("S")
    elif column.dtype.kind != "S":
        raise InputError(f"--key: times on one side must have times on the other, got {column[0]}")
    return np.array([_of_time(text) for text in column.tolist()], "S")


def _of_time(text: bytes) -> bytes:
    """A time as ISO 8601 in UTC, as short as it can be: `2024-01-31`, `2024-01-31T12:00:00.5`."""
    parts = _TIME.fullmatch(text)
    if not text:
        return text
    try:
        assert parts is not None
        date, clock, second, fraction, sign, hours, minutes = (part and part.decode() for part in parts.groups())
        offset = np.timedelta64((int(hours or 0) * 60 + int(minutes or 0)) * (-1 if sign == "-" else 1), "m")
        instant = np.datetime64(f"{date}T{clock or '00:00'}:{second or '00'}", "s") - offset
    except (AssertionError, ValueError):
        shown = text.decode("utf-8", "backslashreplace")
        raise InputError(f"--key: times on one side must have times on the other, got {shown!r}") from None
    digits = (fraction or "").rstrip("0").rstrip(".")
    return f"{instant}{digits}".removesuffix("T00:00:00").encode()
