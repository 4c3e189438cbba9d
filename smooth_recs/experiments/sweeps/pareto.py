"""Which variants trade one measure against another best, and which ones the pairs cannot tell from those."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Mapping, Sequence

from smooth_recs.experiments.sweeps.paired import Paired, estimate

Point = tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class Front:
    """The Pareto front of the means.

    Attributes:
      names: variants that no other one beats in one measure without losing in the other, in order of the first one.
      near: the other variants that no variant of the front beats beyond doubt, each with one that it cannot be told
        from: the 95% intervals of both differences, pair by pair, hold 0. Empty for single pairs.
    """

    names: Sequence[str]
    near: Mapping[str, str]


def front(paired: Paired, measures: Sequence[str]) -> Front:
    """The front of the least `measures`, of the variants that have them all for every seed that they were trained with.

    ```python
    front(paired, ["pd", "auc_loss"]).names  # ["smelu:0.2", "smelu:0.1", "swish:10"]
    ```
    """
    of_variant = points(paired, measures)
    on = [name for name in of_variant if not any(dominates(other, of_variant[name]) for other in of_variant.values())]
    near = {}
    for name in of_variant:
        beaten_by = [each for each in on if dominates(of_variant[each], of_variant[name])]
        if beaten_by and all(_overlap(paired, name, each, measures) for each in beaten_by):
            near[name] = min(beaten_by, key=lambda each: _distance(of_variant[each], of_variant[name]))
    return Front(sorted(on, key=of_variant.__getitem__), near)


def points(paired: Paired, measures: Sequence[str]) -> dict[str, Point]:
    """The mean changes from the baseline of every variant that has all the measures."""
    found = {}
    for name in paired.names:
        changes = [paired.change(name, measure) for measure in measures]
        known = tuple(change for change in changes if change is not None)
        if len(known) == len(measures):
            found[name] = known
    return found


def dominates(a: Point, b: Point) -> bool:
    """Whether `a` is nowhere more than `b`, and somewhere less.

    >>> dominates((1.0, 2.0), (1.0, 3.0)), dominates((1.0, 2.0), (2.0, 1.0)), dominates((1.0, 2.0), (1.0, 2.0))
    (True, False, False)
    """
    return all(x <= y for x, y in zip(a, b, strict=True)) and a != b


def nearest_first(of_variant: Mapping[str, Point]) -> list[str]:
    """The variants in the order in which they are worth another pair: those of the front first, then by their distance.

    The distance is how much less in every measure a variant would have to be so that no other one beats it (its
    additive epsilon), each measure in units of its interquartile range over the variants. On the front it is negative,
    and the less the more a point stands alone.
    """
    scales = [_scale([point[k] for point in of_variant.values()]) for k in range(len(next(iter(of_variant.values()))))]

    def distance(name: str) -> float:
        others = [point for each, point in of_variant.items() if each != name]
        return max(
            (
                min((mine - other) / scale for mine, other, scale in zip(of_variant[name], point, scales, strict=True))
                for point in others
            ),
            default=0.0,
        )

    return sorted(of_variant, key=distance)


def _scale(values: Sequence[float]) -> float:
    if len(values) < 2:
        return 1.0
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return (high - low) or (max(values) - min(values)) or 1.0


def _overlap(paired: Paired, name: str, other: str, measures: Sequence[str]) -> bool:
    """Whether the pairs leave it open, in every measure, which of two variants is less."""
    found = [estimate(paired.changes(name, other, measure)) for measure in measures]
    return all(each is not None and each.interval[0] <= 0 <= each.interval[1] for each in found)


def _distance(a: Point, b: Point) -> float:
    return max(y - x for x, y in zip(a, b, strict=True))
