"""From what a file holds (text, integers, floats, absent values) to the types a schema asks for, in TensorFlow ops.

Every function takes `values` and `present`, a mask of the same shape, and returns the converted tensor and the mask of
values that are there but cannot be converted. An empty text is not there, whatever the mask says. Where everything is
there, `present` may be None; so is then the mask that is returned where nothing can go wrong. Text is matched byte by
byte against patterns of ASCII, so bytes that are no UTF-8 do no harm.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

_LARGEST_INTEGER = "9223372036854775807"


def _integer_pattern() -> str:
    """Matches exactly the integers that int64 holds, the smallest one aside: beyond them TensorFlow's parser fails."""
    bounded = [r"\d{1,18}", _LARGEST_INTEGER]
    for position, digit in enumerate(_LARGEST_INTEGER):
        if digit != "0":
            rest = len(_LARGEST_INTEGER) - position - 1
            bounded.append(rf"{_LARGEST_INTEGER[:position]}[0-{int(digit) - 1}]\d{{{rest}}}")
    return rf"\s*-?0*(?:{'|'.join(bounded)})\s*"


INTEGER = _integer_pattern()
NUMBER = r"\s*[-+]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{1,9})?|(?i:inf(?:inity)?|nan))\s*"
_DATE = r"(\d{4})-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])"
_CLOCK = r"([01]\d|2[0-3]):([0-5]\d)(?::([0-5]\d(?:\.\d{1,9})?))?"
_ZONE = r"(?:Z|([-+])(\d{2}):?(\d{2}))?"
ISO_8601 = rf"{_DATE}(?:[T ]{_CLOCK}{_ZONE})?"


def to_float(values: Any, present: Any, dtype: tf.DType = tf.float32) -> tuple[Any, Any]:
    """Numbers; NaN where absent."""
    if values.dtype != tf.string:
        return _where(present, tf.cast(values, dtype), tf.constant(float("nan"), dtype)), _none_wrong(present)
    present = _not_empty(values, present)
    good = present & tf.strings.regex_full_match(values, NUMBER)
    return tf.strings.to_number(tf.where(good, values, "nan"), dtype), present & ~good


def to_int64(values: Any, present: Any) -> tuple[Any, Any]:
    """Integers; -1 where absent. A float counts if it is whole (a column of integers with gaps, written by pandas)."""
    if values.dtype == tf.string:
        present = _not_empty(values, present)
        good = present & tf.strings.regex_full_match(values, INTEGER)
        return tf.strings.to_number(tf.where(good, values, "-1"), tf.int64), present & ~good
    if not values.dtype.is_floating:
        return _where(present, tf.cast(values, tf.int64), -1), _none_wrong(present)
    present = _and(present, ~tf.math.is_nan(values))
    good = present & tf.equal(values, tf.floor(values)) & (tf.abs(values) < 2.0**63)
    return tf.cast(tf.where(good, values, -1.0), tf.int64), present & ~good


def to_string(values: Any, present: Any) -> tuple[Any, Any]:
    """Bytes; "" where absent. Numbers become their shortest text, so that 7, 7.0 and "7" agree."""
    if values.dtype == tf.string:
        text = values
    elif values.dtype.is_floating:
        present = _and(present, ~tf.math.is_nan(values))
        whole = tf.equal(values, tf.floor(values)) & (tf.abs(values) < 2.0**63)
        digits = tf.strings.as_string(tf.cast(tf.where(whole, values, 0.0), tf.int64))
        text = tf.where(whole, digits, tf.strings.as_string(values, shortest=True))
    else:
        text = tf.strings.as_string(values)
    return _where(present, text, ""), _none_wrong(present)


def to_time(values: Any, present: Any) -> tuple[Any, Any]:
    """float64: a number as it stands, an ISO 8601 date or date and time as seconds since 1970 (UTC without a zone)."""
    if values.dtype != tf.string:
        return to_float(values, present, tf.float64)
    present = _not_empty(values, present)
    iso = present & tf.strings.regex_full_match(values, ISO_8601)
    numbers, bad = to_float(values, present & ~iso, tf.float64)
    return tf.cond(tf.reduce_any(iso), lambda: tf.where(iso, _seconds(values, iso), numbers), lambda: numbers), bad


def _and(present: Any, mask: Any) -> Any:
    return mask if present is None else present & mask


def _not_empty(text: Any, present: Any) -> Any:
    return _and(present, tf.not_equal(text, ""))


def _where(present: Any, values: Any, absent: Any) -> Any:
    return values if present is None else tf.where(present, values, absent)


def _none_wrong(present: Any) -> Any:
    return None if present is None else tf.zeros_like(present)


def _seconds(text: Any, iso: Any) -> Any:
    """Seconds since 1970-01-01 UTC where `iso`."""
    text = tf.where(iso, text, "1970-01-01")

    def group(rewrite: str) -> Any:
        return tf.strings.to_number(tf.strings.regex_replace(text, f"^{ISO_8601}$", rewrite), tf.float64)

    # A group that is not there is empty: the digit before or after it makes it 0, or a sign of +1.
    year, month, day, hour, minute, second = (group(rf"0\{number}") for number in range(1, 7))
    offset = group(r"\71") * (3600.0 * group(r"0\8") + 60.0 * group(r"0\9"))
    return 86400.0 * _days(year, month, day) + 3600.0 * hour + 60.0 * minute + second - offset


def _days(year: Any, month: Any, day: Any) -> Any:
    """Days since 1970-01-01 in the Gregorian calendar, with years that start in March, after the leap day."""
    year = tf.where(month <= 2, year - 1, year)
    day_of_year = tf.floor((153 * tf.math.floormod(month + 9, tf.constant(12, tf.float64)) + 2) / 5) + day - 1
    return 365 * year + tf.floor(year / 4) - tf.floor(year / 100) + tf.floor(year / 400) + day_of_year - 719468
