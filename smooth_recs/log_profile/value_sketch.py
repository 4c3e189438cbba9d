"""How many different values a column has, in memory that does not grow with them.

The sketch keeps the k smallest hashes of the values (k minimum values; Bar-Yossef et al. 2002, "Counting distinct
elements in a data stream"). Up to k values it is exact. Beyond, if the largest of them is the share h of the range of
hashes, there are about (k - 1) / h values, with a standard error of 1 / sqrt(k - 2): 0.8% for k = 16,384.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

KEPT = 1 << 14
RANGE = 2**63 - 1  # of the hashes, from 0

Integers = npt.NDArray[np.int64]


class ValueSketch:
    """Counts different values by their hashes, and says how many of the late ones were met early.

    Args:
      kept: k, see the top of this module.

    ```python
    import numpy as np

    from smooth_recs.log_profile.value_sketch import ValueSketch

    sketch = ValueSketch()
    sketch.add(np.array([7, 9, 7]), rows=np.array([0, 1, 2]))
    assert (sketch.values, sketch.exact) == (2, True)
    ```
    """

    def __init__(self, kept: int = KEPT) -> None:
        self._kept, self._cut = kept, False
        self._hashes = np.zeros(0, np.int64)
        self._first, self._last = np.zeros(0, np.int64), np.zeros(0, np.int64)  # rows that have each of them

    def add(self, hashes: Integers, rows: Integers) -> None:
        """Takes in the hashes, from 0 to `RANGE`, of the values in these rows."""
        if self._cut:
            small = hashes <= self._hashes[-1]
            hashes, rows = hashes[small], rows[small]
        merged = np.concatenate([self._hashes, hashes])
        if not merged.size:
            return
        order = np.argsort(merged, kind="stable")
        merged = merged[order]
        starts = np.flatnonzero(np.concatenate([[True], merged[1:] != merged[:-1]]))

        def reduced(ufunc: np.ufunc, before: Integers, new: Integers) -> Integers:
            return ufunc.reduceat(np.concatenate([before, new])[order], starts)[: self._kept]

        self._first = reduced(np.minimum, self._first, rows)
        self._last = reduced(np.maximum, self._last, rows)
        self._cut = self._cut or starts.size > self._kept
        self._hashes = merged[starts][: self._kept]

    @property
    def exact(self) -> bool:
        return not self._cut

    @property
    def values(self) -> int:
        """How many different values there were, estimated where it is not `exact`."""
        if self.exact:
            return int(self._hashes.size)
        return round((self._kept - 1) / (float(self._hashes[-1]) / RANGE))

    def met_before(self, row: int) -> float:
        """The share of the values in the rows from `row` on that the rows before have as well; NaN for none."""
        late = self._last >= row
        return float(np.mean(self._first[late] < row)) if late.any() else float("nan")
