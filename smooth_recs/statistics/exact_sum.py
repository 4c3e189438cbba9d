"""Sums of float64 without rounding, so that no order and no partition of the terms changes the last bit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

_EXPONENTS = 2098  # frexp of a finite float64 gives exponents -1073 .. 1024
_LEAST = 1073
_CHUNK = 1 << 25  # that many 27-bit integers add up to less than 2^53


class ExactSum:
    """A sum in units of 2^-1126, the last bit of the smallest float64, kept as one Python integer.

    Attributes:
      units: the integer. The quotient of two of them, `a.units / b.units`, is correctly rounded.

    ```python
    total = ExactSum()
    total.add(np.array([1e100, 1.0, -1e100]))
    total.value()  # 1.0
    ```
    """

    def __init__(self) -> None:
        self.units = 0

    def add(self, values: npt.NDArray[np.float64]) -> None:
        """Adds finite numbers, an array of any shape."""
        flat = values.ravel()
        for start in range(0, flat.size, _CHUNK):
            self.units += _units(flat[start : start + _CHUNK])

    def merge(self, other: ExactSum) -> None:
        self.units += other.units

    def value(self) -> float:
        """The sum, rounded once."""
        return self.units / (1 << (_LEAST + 53))

    def state(self) -> str:
        """The integer for JSON: "MpE" is M times 2^E, both hexadecimal, M odd."""
        zeros = max((self.units & -self.units).bit_length() - 1, 0)
        return f"{self.units >> zeros:x}p{zeros:x}"

    def add_state(self, state: str) -> None:
        """Adds the sum that `state` described."""
        digits, zeros = state.split("p")
        self.units += int(digits, 16) << int(zeros, 16)


class ExactSums:
    """Sums of groups: `ExactSum` of each group that has a term.

    ```python
    totals = ExactSums()
    totals.add(np.array([1.0, 0.5, 2.0]), np.array([7, 0, 7]))
    totals.groups[7].value()  # 3.0
    ```
    """

    def __init__(self) -> None:
        self.groups: dict[int, ExactSum] = {}

    def add(self, values: npt.NDArray[np.float64], group: npt.NDArray[np.int64]) -> None:
        """Adds finite numbers, [n], each to its group, [n] at or above 0."""
        for start in range(0, values.size, _CHUNK):
            part = slice(start, start + _CHUNK)
            high, low, exponent = _halves(values[part])
            cells, cell = np.unique(group[part] * _EXPONENTS + exponent, return_inverse=True)
            highs, lows = (np.bincount(cell, weights=half) for half in (high, low))
            for number, units in zip(cells.tolist(), _joined(highs, lows), strict=True):
                self._sum_of(number // _EXPONENTS).units += units << (number % _EXPONENTS)

    def merge(self, other: ExactSums) -> None:
        for group, total in other.groups.items():
            self._sum_of(group).merge(total)

    def state(self) -> dict[str, str]:
        """The sums for JSON, by group."""
        return {str(group): total.state() for group, total in sorted(self.groups.items())}

    def add_state(self, state: Mapping[str, str]) -> None:
        """Adds the sums that `state` described."""
        for group, total in state.items():
            self._sum_of(int(group)).add_state(total)

    def _sum_of(self, group: int) -> ExactSum:
        return self.groups.setdefault(group, ExactSum())


def _units(values: npt.NDArray[np.float64]) -> int:
    high, low, exponent = _halves(values)
    highs, lows = (np.bincount(exponent, weights=half, minlength=_EXPONENTS) for half in (high, low))
    used = np.flatnonzero((highs != 0) | (lows != 0))
    joined = _joined(highs[used], lows[used])
    return sum(units << e for e, units in zip(used.tolist(), joined, strict=True))


def _halves(values: npt.NDArray[np.float64]) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
    # Each value is an integer of 53 bits times a power of 2. The halves of those integers are summed per exponent, in
    # float64, where sums below 2^53 are exact.
    fraction, exponent = np.frexp(values)
    high = np.floor(fraction * (1 << 27))
    low = (fraction * (1 << 27) - high) * (1 << 26)
    return high, low, exponent + _LEAST


def _joined(highs: npt.NDArray[Any], lows: npt.NDArray[Any]) -> list[int]:
    return [(int(high) << 26) + int(low) for high, low in zip(highs, lows, strict=True)]
