"""Which rows of two runs' embedding tables stand for the same value."""

from __future__ import annotations

import dataclasses
import itertools
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from smooth_recs.data.encoding import Encoding
from smooth_recs.schema import Categorical

Index = npt.NDArray[np.int64]


class Pairs(NamedTuple):
    """Row `there[i]` and row `here[i]` stand for the same."""

    there: Index
    here: Index


@dataclasses.dataclass(frozen=True)
class Matching:
    """What two stacked tables, with the rows of one feature after those of another, have in common.

    Attributes:
      equal: every row of the one stands for the same as that row of the other; `rows` and `features` are empty then,
        because a table may have more rows than memory has room for numbers of them.
      rows: of the tables.
      features: of what has one row a feature.
      words: for each categorical feature here, how many of its values have a row there, or why none has.
    """

    equal: bool
    rows: Pairs
    features: Pairs
    words: dict[str, str]


def matching(there: Encoding, here: Encoding) -> Matching:
    """Pairs rows of the same feature and value: by value in vocabularies, by number otherwise.

    Rows of values out of vocabulary, and those of missing ones, are each other's. A feature that is encoded in another
    way, or hashed into another number of buckets, has nothing in common with the one there.
    """
    others = {feature.name: feature for feature in there.schema.categorical}
    found = {f.name: _values(there, others.get(f.name), here, f) for f in here.schema.categorical}
    words = {name: one if isinstance(one, str) else one.words for name, one in found.items()}
    common = {name: one for name, one in found.items() if not isinstance(one, str)}
    if list(others) == list(found) and len(common) == len(found) and all(one.equal for one in common.values()):
        return Matching(True, _joined([]), _joined([]), words)
    starts = [_starts(encoding) for encoding in (there, here)]
    rows = [
        Pairs(*(part + start[name] for part, start in zip(one.pairs(), starts, strict=True)))
        for name, one in common.items()
    ]
    positions = [_numbers([list(start).index(name) for name in common]) for start in starts]
    return Matching(False, _joined(rows), Pairs(*positions), words)


@dataclasses.dataclass(frozen=True)
class _Values:
    """What one feature's known values have in common; `common` is None where they are the first values of both."""

    known_there: int
    known_here: int
    equal: bool
    common: Pairs | None = None

    @property
    def words(self) -> str:
        shared = min(self.known_there, self.known_here) if self.common is None else self.common.here.size
        return f"{shared:,} of {self.known_here:,} values"

    def pairs(self) -> Pairs:
        """With the two rows that come after those of the known values."""
        first = np.arange(min(self.known_there, self.known_here))
        common = Pairs(first, first) if self.common is None else self.common
        special = np.arange(2)  # out of vocabulary, missing
        return _joined([common, Pairs(self.known_there + special, self.known_here + special)])


def _values(there: Encoding, other: Categorical | None, here: Encoding, feature: Categorical) -> _Values | str:
    """Or why there are none."""
    if other is None:
        return "not in that run"
    if (other.encoding, other.dtype) != (feature.encoding, feature.dtype):
        return f"{other.encoding} of {other.dtype} there, {feature.encoding} of {feature.dtype} here"
    sizes = there.known_values(other), here.known_values(feature)
    if feature.encoding == "hash" and sizes[0] != sizes[1]:
        return f"{sizes[0]:,} buckets there, {sizes[1]:,} here"
    if feature.encoding != "vocabulary":
        return _Values(*sizes, equal=sizes[0] == sizes[1])
    values = [encoding.statistics.vocabularies[feature.name] for encoding in (there, here)]
    if values[0] == values[1]:
        return _Values(*sizes, equal=True)
    row_there = {value: row for row, value in enumerate(values[0])}
    shared = [(row_there[value], row) for row, value in enumerate(values[1]) if value in row_there]
    return _Values(
        *sizes, equal=False, common=Pairs(_numbers(pair[0] for pair in shared), _numbers(pair[1] for pair in shared))
    )


def _starts(encoding: Encoding) -> dict[str, int]:
    """The first row of each feature in the stacked table."""
    features = encoding.schema.categorical
    starts = itertools.accumulate((encoding.table_rows(feature) for feature in features), initial=0)
    return {feature.name: start for feature, start in zip(features, starts, strict=False)}


def _joined(pairs: list[Pairs]) -> Pairs:
    empty = Pairs(_numbers([]), _numbers([]))
    return Pairs(*(np.concatenate(parts) for parts in zip(empty, *pairs, strict=True)))


def _numbers(values: object) -> Index:
    return np.fromiter(values, np.int64)  # type: ignore[call-overload]
