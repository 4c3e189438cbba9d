"""Matching rows of two runs' embedding tables: those that stand for the same value."""

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
    """The rows that two stacked tables, with the rows of one feature after those of another, have in common.

    Attributes:
      equal: every row of one table stands for the same as that row of the other; `rows` and `features` are empty then,
        because a table may have more rows than memory has room for numbers of them.
      rows: pairs of rows of the tables.
      features: pairs of positions among the categorical features, for variables with one row per feature.
      words: for each categorical feature here, how many of its values have a row there, or why none has.
    """

    equal: bool
    rows: Pairs
    features: Pairs
    words: dict[str, str]


def matching(there: Encoding, here: Encoding) -> Matching:
    """Pairs rows of the same feature and value: by value in vocabularies, by number otherwise.

    The rows of values out of vocabulary are paired with each other, and so are those of missing values. A feature that
    is encoded in another way, or hashed into another number of buckets, has nothing in common with the one there.
    """
    others = {feature.name: feature for feature in there.schema.categorical}
    found = {f.name: _common_values(there, others.get(f.name), here, f) for f in here.schema.categorical}
    words = {name: one if isinstance(one, str) else one.words for name, one in found.items()}
    common = {name: one for name, one in found.items() if not isinstance(one, str)}
    if list(others) == list(found) and len(common) == len(found) and all(one.equal for one in common.values()):
        return Matching(True, _joined([]), _joined([]), words)
    starts = []  # the first row of each feature in either stacked table
    for encoding in (there, here):
        features = encoding.schema.categorical
        firsts = itertools.accumulate((encoding.table_rows(feature) for feature in features), initial=0)
        starts.append({feature.name: first for feature, first in zip(features, firsts, strict=False)})
    rows = [
        Pairs(*(part + start[name] for part, start in zip(one.pairs(), starts, strict=True)))
        for name, one in common.items()
    ]
    positions = [np.array([list(start).index(name) for name in common], np.int64) for start in starts]
    return Matching(False, _joined(rows), Pairs(*positions), words)


@dataclasses.dataclass(frozen=True)
class _CommonValues:
    """The known values that one feature has on both sides; `common` is None where they are the first ones of both."""

    known_there: int
    known_here: int
    equal: bool
    common: Pairs | None = None

    @property
    def words(self) -> str:
        shared = min(self.known_there, self.known_here) if self.common is None else self.common.here.size
        return f"{shared:,} of {self.known_here:,} values"

    def pairs(self) -> Pairs:
        """The pairs of known values, and those of the two rows that follow them."""
        first = np.arange(min(self.known_there, self.known_here))
        common = Pairs(first, first) if self.common is None else self.common
        special = np.arange(2)  # out of vocabulary, missing
        return _joined([common, Pairs(self.known_there + special, self.known_here + special)])


def _common_values(
    there: Encoding, other: Categorical | None, here: Encoding, feature: Categorical
) -> _CommonValues | str:
    """The values that a feature has in common with the one there, or the reason why there are none."""
    if other is None:
        return "not in that run"
    if (other.encoding, other.dtype) != (feature.encoding, feature.dtype):
        return f"{other.encoding} of {other.dtype} there, {feature.encoding} of {feature.dtype} here"
    sizes = there.known_values(other), here.known_values(feature)
    if feature.encoding == "hash" and sizes[0] != sizes[1]:
        return f"{sizes[0]:,} buckets there, {sizes[1]:,} here"
    if feature.encoding != "vocabulary":
        return _CommonValues(*sizes, equal=sizes[0] == sizes[1])
    values = [encoding.statistics.vocabularies[feature.name] for encoding in (there, here)]
    if values[0] == values[1]:
        return _CommonValues(*sizes, equal=True)
    row_there = {value: row for row, value in enumerate(values[0])}
    shared = [(row_there[value], row) for row, value in enumerate(values[1]) if value in row_there]
    return _CommonValues(*sizes, equal=False, common=Pairs(*np.array(shared, np.int64).reshape(-1, 2).T))


def _joined(pairs: list[Pairs]) -> Pairs:
    empty = Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64))
    return Pairs(*(np.concatenate(parts) for parts in zip(empty, *pairs, strict=True)))
