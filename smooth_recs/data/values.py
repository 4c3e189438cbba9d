r"""Values of files in the types of a schema: the one place that says what a text means, whatever file it is in.

`to_float`, `to_int64`, `to_string` and `to_time` take `values` as a file holds them and `present`, a mask of the same
shape that is true where there is a value, or None where there is one everywhere. They return the converted tensor and a
mask of the values that are there but cannot be converted, or None where no value can be wrong. `split_values` makes
several values of one text. docs/data.md has the rules as a table.

A text is missing if it is empty or one of `missing`, white space around it aside. `missing=None` says that the texts
are plain: none is missing but the empty one, and each stands for itself. Text is matched byte by byte against ASCII
patterns, so bytes that are not UTF-8 do no harm.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from smooth_recs.config import MISSING

_LARGEST_INTEGER = "9223372036854775807"
# TensorFlow's parser of numbers fails the whole batch on an integer beyond int64 (TensorFlow 2.21), so the pattern
# matches exactly what int64 holds: at most 18 digits, or 19 digits of which the first that differs from the largest
# integer is smaller, or the largest integer itself, or the smallest one.
INTEGER = (
    r"\s*(?:-?0*(?:\d{1,18}|"
    + "".join(
        rf"{_LARGEST_INTEGER[:place]}[0-{int(digit) - 1}]\d{{{len(_LARGEST_INTEGER) - place - 1}}}|"
        for place, digit in enumerate(_LARGEST_INTEGER)
        if digit != "0"
    )
    + rf"{_LARGEST_INTEGER})|-0*9223372036854775808)\s*"
)
_DECIMAL = r"([-+]?)(\d*)\.?(\d*)(?:[eE]([-+]?\d{1,9}))?"
NUMBER = r"\s*[-+]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{1,9})?|(?i:inf(?:inity)?))\s*"
TRUE, FALSE = r"\s*(?:True|true|TRUE)\s*", r"\s*(?:False|false|FALSE)\s*"
_DATE = r"(\d{4})-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])"
_CLOCK = r"([01]\d|2[0-3]):([0-5]\d)(?::([0-5]\d(?:\.\d{1,9})?))?"
_ZONE = r" ?(?:Z|UTC|GMT|([-+])([01]\d|2[0-3])(?::?([0-5]\d))?(?: UTC)?)?"
ISO_8601 = rf"\s*{_DATE}(?:[T ]{_CLOCK}{_ZONE})?\s*"
_ITEM = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[^\s,'"\[\]][^,'"\[\]]*"""
LIST = rf"(?s)\s*\[\s*(?:(?:{_ITEM})(?:(?:\s*,\s*|\s+)(?:{_ITEM}))*\s*,?)?\s*\]\s*"
_LIST_OF_NUMBERS = r"\s*\[\s*[-+.\deE]+(?:\s+[-+.\deE]+)*\s*\]\s*"
_ONE_ITEM = r"""\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|([^\s,'"](?:[^,'"]*[^\s,'"])?))\s*,?\s*"""
_BETWEEN_ITEMS = "\x1f"  # the control character that is meant to separate values


def to_float(
    values: Any, present: Any, dtype: tf.DType = tf.float32, missing: Sequence[str] | None = MISSING
) -> tuple[Any, Any]:
    """Numbers, `true` and `false` as 1 and 0; NaN where missing."""
    if values.dtype != tf.string:
        return _where(present, tf.cast(values, dtype), tf.constant(float("nan"), dtype)), None
    present = _and(present, ~is_missing(values, missing))
    good = present & tf.strings.regex_full_match(values, NUMBER)
    numbers = tf.strings.to_number(tf.where(good, values, "nan"), dtype)
    true, false = _booleans(tf.where(good, "", values))
    return tf.where(true, 1.0, tf.where(false, 0.0, numbers)), present & ~(good | true | false)


def to_int64(values: Any, present: Any, missing: Sequence[str] | None = MISSING) -> tuple[Any, Any]:
    """Integers, `true` and `false` as 1 and 0; -1 where missing.

    A number with a point or an exponent counts if it is whole. As a text it is exact; as a float it counts only where
    the type holds every integer of its size, because a larger one may have been rounded.
    """
    if values.dtype == tf.string:
        present = _and(present, ~is_missing(values, missing))
        good = present & tf.strings.regex_full_match(values, INTEGER)
        bad = present & ~good
        integers = tf.strings.to_number(tf.where(good, values, "-1"), tf.int64)

        def with_others() -> tuple[Any, Any]:
            whole, exact = _whole(tf.where(bad, values, "0"))
            true, false = _booleans(values)
            found = tf.where(true, tf.ones_like(integers), tf.where(false, tf.zeros_like(integers), integers))
            return tf.where(bad & exact, whole, found), bad & ~(exact | true | false)

        return tf.cond(tf.reduce_any(bad), with_others, lambda: (integers, bad))
    if not values.dtype.is_floating:
        return _where(present, tf.cast(values, tf.int64), -1), None
    present = _and(present, ~tf.math.is_nan(values))
    good = present & _exact(values)
    return tf.cast(tf.where(good, values, -1.0), tf.int64), present & ~good


def to_string(values: Any, present: Any, missing: Sequence[str] | None = MISSING) -> tuple[Any, Any]:
    """Bytes; "" where missing. Numbers become their shortest text, so that 7, 7.0, "7" and "7.0" agree.

    Tools without integers with gaps, as pandas, write 7 as "7.0" where another row has none.
    """
    if values.dtype == tf.string:
        if missing is not None:
            (values,) = plain_texts([values], missing, whole=True)
        return _where(present, values, ""), None
    if not values.dtype.is_floating:
        return _where(present, tf.strings.as_string(values), ""), None
    present = _and(present, ~tf.math.is_nan(values))
    exact, fraction = _exact(values), ~tf.equal(values, tf.floor(values)) & ~is_subnormal(values)
    digits = tf.strings.as_string(tf.cast(tf.where(exact, values, 0.0), tf.int64))
    text = tf.where(exact, digits, float_text(values))
    good = present & (exact | fraction)
    return tf.where(good, text, ""), present & ~good


def float_text(values: Any) -> Any:
    """The shortest text of each float that no other float of its type has."""
    # as_string's own `shortest` stops at six digits, and so makes one text of several floats (TensorFlow 2.21).
    text, exact = None, values
    if values.dtype == tf.float32:  # a thread that calculates with 0 in place of the smallest ones would write "0"
        bits = tf.bitcast(values, tf.int32)
        small = tf.cast(tf.bitwise.bitwise_and(bits, tf.int32.max), tf.float64) * 2.0**-149
        exact = tf.where(is_subnormal(values), tf.where(bits < 0, -small, small), tf.cast(values, tf.float64))
    for digits in {tf.float64: (17, 16, 15), tf.float32: (9, 8, 7, 6)}.get(values.dtype, (5, 4, 3)):
        fewer = tf.strings.as_string(exact, precision=digits, shortest=True)
        if text is None:
            text = fewer
        else:
            same = tf.equal(tf.cast(tf.strings.to_number(fewer, tf.float64), values.dtype), values)
            text = tf.where(same, fewer, text)
    return text


def to_time(values: Any, present: Any, missing: Sequence[str] | None = MISSING) -> tuple[Any, Any]:
    """Times as float64: numbers as they are; ISO 8601 dates or times as seconds since 1970, in UTC without a zone."""
    if values.dtype != tf.string:
        return to_float(values, present, tf.float64)
    present = _and(present, ~is_missing(values, missing))
    iso = present & tf.strings.regex_full_match(values, ISO_8601)
    good = present & ~iso & tf.strings.regex_full_match(values, NUMBER)
    numbers, bad = tf.strings.to_number(tf.where(good, values, "nan"), tf.float64), present & ~(iso | good)

    def with_dates() -> tuple[Any, Any]:
        seconds, exists = _seconds_since_1970(tf.where(iso, values, "1970-01-01"))
        return tf.where(iso & exists, seconds, numbers), bad | (iso & ~exists)

    # Taking a date apart costs nine regular expressions: columns of plain numbers go without them.
    return tf.cond(tf.reduce_any(iso), with_dates, lambda: (numbers, bad))


def split_values(texts: Any, separator: str, width: int) -> Any:
    """The first `width` values of every text [n], [n, width]; "" where there are fewer.

    A text is cut at the separator, unless it is a list as Python or JSON write it, such as `['a', "b"]` or `[1 2]`.
    """

    def cut(texts: Any, separator: str) -> Any:
        return tf.strings.split(texts, separator).to_tensor("", shape=[None, width])

    listed = tf.strings.regex_full_match(texts, LIST)

    def with_lists() -> Any:
        lists = tf.where(listed, texts, "[]")
        numbers = tf.strings.regex_full_match(lists, _LIST_OF_NUMBERS)
        inside = tf.strings.regex_replace(lists, r"(?s)^\s*\[\s*(.*?)\s*\]\s*$", r"\1")
        inside = tf.where(numbers, tf.strings.regex_replace(inside, r"\s+", ","), inside)
        marked = tf.strings.regex_replace(inside, _ONE_ITEM, rf"\1\2\3{_BETWEEN_ITEMS}")
        items = cut(tf.strings.regex_replace(marked, f"{_BETWEEN_ITEMS}$", ""), _BETWEEN_ITEMS)
        return tf.where(
            listed[:, tf.newaxis], tf.strings.regex_replace(items, r"\\([\\'\"])", r"\1"), cut(texts, separator)
        )

    return tf.cond(tf.reduce_any(listed), with_lists, lambda: cut(texts, separator))


def is_missing(texts: Any, missing: Sequence[str] | None = MISSING) -> Any:
    """True for the texts that mean that there is no value."""
    return tf.equal(texts, "") if missing is None else tf.strings.regex_full_match(texts, _missing(missing))


def _missing(missing: Sequence[str]) -> str:
    return rf"\s*(?:{'|'.join(map(re.escape, missing))})?\s*"


def are_plain(columns: Iterable[Any], missing: Sequence[str]) -> Any:
    """Whether all texts of some columns are plain, as nearly always: looked at in one go, which costs little."""
    texts = [tf.reshape(column, [-1]) for column in columns if column.dtype == tf.string]
    if not texts:
        return tf.constant(True)
    joined = tf.strings.reduce_join(tf.concat(texts, 0), separator=_BETWEEN_ITEMS)
    # \C is any byte, of texts that are not UTF-8 too.
    named = "".join(f"{re.escape(each)}|" for each in missing)
    odd = rf"\s+|\s*(?:{named}-?(?:0|[1-9]\d*)\.0)\s*"
    return ~tf.strings.regex_full_match(joined, rf"(?:\C*{_BETWEEN_ITEMS})?(?:{odd})(?:{_BETWEEN_ITEMS}\C*)?")


def plain_texts(columns: Sequence[Any], missing: Sequence[str], *, whole: bool) -> list[Any]:
    """Columns whose texts are plain: a missing one is empty and, where `whole` is true, an integer has no `.0`.

    Columns have far fewer different texts than rows, so the pattern, which costs most, looks at each text once; and all
    columns go through the same few operations, because making a graph takes time for each of its operations.
    """
    flat = [column if column.shape.rank == 1 else tf.reshape(column, [-1]) for column in columns]
    once, place = tf.unique(tf.concat(flat, 0))
    integer = r"|-?(0)\.0|(-?[1-9]\d*)\.0" if whole else ""
    once = tf.strings.regex_replace(once, rf"^(?:{_missing(missing)}{integer})$", r"\1\2" if whole else "")
    texts = tf.split(tf.gather(once, place), [tf.size(column) for column in flat])
    return [
        text if column.shape.rank == 1 else tf.reshape(text, tf.shape(column))
        for text, column in zip(texts, columns, strict=True)
    ]


def _and(present: Any, mask: Any) -> Any:
    return mask if present is None else present & mask


def _where(present: Any, values: Any, missing: Any) -> Any:
    return values if present is None else tf.where(present, values, missing)


def _booleans(texts: Any) -> tuple[Any, Any]:
    """Which texts say true, and which say false."""
    return tf.strings.regex_full_match(texts, TRUE), tf.strings.regex_full_match(texts, FALSE)


def _exact(values: Any) -> Any:
    """True for the whole floats so small that their type holds all integers of that size."""
    digits = {tf.float16: 11, tf.float32: 24}.get(values.dtype, 53)
    return tf.equal(values, tf.floor(values)) & (tf.abs(values) < 2.0**digits) & ~is_subnormal(values)


def is_subnormal(values: Any) -> Any:
    """True for the floats next to 0 whose digits do not all count; TensorFlow's threads calculate with 0 instead."""
    # Seen by their bits: to a comparison in such a thread they are 0 (TensorFlow 2.21).
    integer = {2: tf.int16, 4: tf.int32, 8: tf.int64}[values.dtype.size]
    size = tf.bitwise.bitwise_and(tf.bitcast(values, integer), integer.max)
    return (size > 0) & (size < 2 ** np.finfo(values.dtype.as_numpy_dtype).nmant)


def _whole(texts: Any) -> tuple[Any, Any]:
    """The integers that decimal numbers are, such as `12.0`, `+7` and `1.5e3`, and which of the texts are integers.

    The digits are moved, so that all of them count, as they would not in a float.
    """
    pattern = rf"^\s*{_DECIMAL}\s*$"

    def group(number: int) -> Any:
        return tf.strings.regex_replace(texts, pattern, rf"\{number}")

    decimal = tf.strings.regex_full_match(texts, NUMBER) & ~tf.strings.regex_full_match(texts, r"\s*[-+]?[iI].*")
    sign, whole, fraction, exponent = (tf.where(decimal, group(number), "") for number in range(1, 5))
    digits = tf.strings.regex_replace(whole + fraction, "^0+", "")
    cut_off = tf.strings.length(whole + fraction) - tf.strings.length(digits)
    exponent = tf.strings.to_number(tf.where(tf.equal(exponent, ""), "0", exponent), tf.float32)
    point = tf.strings.length(whole) - cut_off + tf.cast(tf.clip_by_value(exponent, -1e6, 1e6), tf.int32)
    # 20 digits are beyond int64 in any case.
    point = tf.clip_by_value(point, 0, tf.strings.length(digits) + 20)
    padded = digits + "0" * 20
    integer = tf.strings.substr(padded, tf.zeros_like(point), point)
    rest = tf.strings.substr(padded, point, tf.strings.length(padded))
    integer = tf.where(tf.equal(sign, "-"), "-0", "0") + integer
    exact = decimal & tf.strings.regex_full_match(rest, "0*") & tf.strings.regex_full_match(integer, INTEGER)
    return tf.strings.to_number(tf.where(exact, integer, "0"), tf.int64), exact


def _seconds_since_1970(text: Any) -> tuple[Any, Any]:
    """Seconds from 1970-01-01 UTC to each ISO 8601 text, float64, and whether the month has that day."""

    def group(rewrite: str) -> Any:
        return tf.strings.to_number(tf.strings.regex_replace(text, f"^{ISO_8601}$", rewrite), tf.float64)

    # A group that is not in the text is empty: the digit before or after it makes it 0, or a sign of +1.
    year, month, day, hour, minute, second = (group(rf"0\{number}") for number in range(1, 7))
    offset = group(r"\71") * (3600.0 * group(r"0\8") + 60.0 * group(r"0\9"))
    # Years are counted from March, so that the leap day is the last day of its year: then the days of the months before
    # month m (0 = March) are floor((153 m + 2) / 5), and 719,468 days lie between 0000-03-01 and 1970-01-01.
    leap = tf.equal(year % 4, 0) & (tf.not_equal(year % 100, 0) | tf.equal(year % 400, 0))
    from_march = tf.math.floormod(month + 9, tf.constant(12, tf.float64))
    length = tf.where(tf.equal(month, 2), tf.where(leap, 29.0, 28.0), tf.where(from_march % 5 % 2 == 1, 30.0, 31.0))
    exists = day <= tf.cast(length, tf.float64)
    year = tf.where(month <= 2, year - 1, year)
    day_of_year = tf.floor((153 * from_march + 2) / 5) + day - 1
    days = 365 * year + tf.floor(year / 4) - tf.floor(year / 100) + tf.floor(year / 400) + day_of_year - 719468
    return 86400.0 * days + 3600.0 * hour + 60.0 * minute + second - offset, exists
