"""Measures of several training runs of one configuration, a seed each: their mean, and its interval."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

from smooth_recs import prediction_difference


def mean(values: Sequence[float | None]) -> float | None:
    """None where there is no value, or where one is not known."""
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known and len(known) == len(values) else None


def interval(values: Sequence[float | None], *, least: float = -math.inf) -> list[float] | None:
    """95% interval of the mean, whose ends are at least `least`; None for a single run, or where a value is unknown."""
    known = [value for value in values if value is not None]
    if len(known) < 2 or len(known) < len(values):
        return None
    return [max(end, least) for end in prediction_difference.interval_over_seeds(known)]


def measured(values: Sequence[float | None]) -> dict[str, Any]:
    """`value` and `interval` of a measure that is at least 0.

    >>> measured([0.5])
    {'value': 0.5, 'interval': None}
    """
    return {"value": mean(values), "interval": interval(values, least=0.0)}


def ratios(values: Sequence[float | None], baseline: Sequence[float | None]) -> list[float | None]:
    """The share by which each value lies above the baseline's of the same seed; None where there is no such share.

    >>> ratios([0.5, 2.0], [1.0, 1.0])
    [-0.5, 1.0]
    """
    pairs = zip(values, baseline, strict=True)
    return [None if value is None or not base else value / base - 1 for value, base in pairs]


def differences(values: Sequence[float | None], baseline: Sequence[float | None]) -> list[float | None]:
    """How far each value lies above the baseline's of the same seed; None where one of them is unknown."""
    pairs = zip(values, baseline, strict=True)
    return [None if value is None or base is None else value - base for value, base in pairs]
