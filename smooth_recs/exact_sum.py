"""Sums of float64 without rounding, so that no order and no partition of the terms changes the last bit."""

from __future__ import annotations

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


def _units(values: npt.NDArray[np.float64]) -> int:
    # Each value is an integer of 53 bits times 2^(exponent - 53). The halves of those integers are summed per exponent,
    # in float64, where sums below 2^53 are exact.
    fraction, exponent = np.frexp(values)
    high = np.floor(fraction * (1 << 27))
    low = (fraction * (1 << 27) - high) * (1 << 26)
    highs = np.bincount(exponent + _LEAST, weights=high, minlength=_EXPONENTS)
    lows = np.bincount(exponent + _LEAST, weights=low, minlength=_EXPONENTS)
    used = np.flatnonzero((highs != 0) | (lows != 0))
    return sum(((int(highs[e]) << 26) + int(lows[e])) << int(e) for e in used)
