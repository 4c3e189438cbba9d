"""Statistics over pairs of siblings: a pair for each seed, and two variants compared between pairs of equal seeds.

Means and intervals over seeds; the results of a sweep, read seed by seed; and the Pareto front of its variants, with
those that the pairs cannot tell from the front.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from smooth_recs import prediction_difference
from smooth_recs.errors import InputError
from smooth_recs.prediction_difference.intervals import student_interval
from smooth_recs.workdir.finished_runs import is_number


def mean(values: Sequence[float | None]) -> float | None:
    """The mean of one value a seed; None where there is no value, or one is unknown."""
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known and len(known) == len(values) else None


def interval(values: Sequence[float | None], *, least: float = -math.inf) -> list[float] | None:
    """95% interval of the mean, whose ends are at least `least`; None for a single run, or where a value is unknown."""
    known = [value for value in values if value is not None]
    if len(known) < 2 or len(known) < len(values):
        return None
    return [max(end, least) for end in prediction_difference.interval_over_seeds(known)]


def measured(values: Sequence[float | None]) -> dict[str, Any]:
    """The `value` and `interval` of a measure that is at least 0.

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


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A mean over independent pairs.

    Attributes:
      value: the mean.
      interval: 95%, by Student's t with n - 1 degrees of freedom.
      below_zero, above_zero: probabilities that the true mean is there, of the same t (a flat prior on mean and log
        scale).
    """

    value: float
    interval: tuple[float, float]
    below_zero: float
    above_zero: float


def estimate(values: Sequence[float], *, variance_factor: float | None = None) -> Estimate | None:
    """Mean, interval and probability from independent values; None from fewer than two.

    Args:
      values: one a pair.
      variance_factor: variance of the mean over that of one value; None: 1 / n, as for independent values.

    >>> estimate([-2.0, -4.0, -6.0])  # Student's t with 2 degrees of freedom, standard error 2 / sqrt(3)
    Estimate(value=-4.0, interval=(-8.96..., 0.96...), below_zero=0.962..., above_zero=0.037...)
    """
    from scipy.special import stdtr  # the distribution function of Student's t; scipy.stats takes a second to import

    count = len(values)
    if count < 2:
        return None
    middle = statistics.fmean(values)
    error = statistics.stdev(values) * math.sqrt(1 / count if variance_factor is None else variance_factor)
    # Where all values are equal t is not defined: they are certain.
    if not error:
        return Estimate(middle, (middle, middle), float(middle < 0), float(middle > 0))
    below = float(stdtr(count - 1, -middle / error))
    return Estimate(middle, student_interval(middle, error, count - 1), below, 1 - below)


class Paired:
    """The content of `results.json`, read seed by seed; variants go by their names.

    ```python
    paired = Paired(read_json("runs/sweep/results.json"))
    paired.changes("smelu:0.1", "relu", "pd")  # [-0.31, -0.42, -0.35]
    ```
    """

    def __init__(self, results: Mapping[str, Any]) -> None:
        self.baseline: str = results["baseline"]
        self.seeds: list[int] = list(results["seeds"])
        self._variants = {variant["name"]: variant for variant in results["variants"]}

    @property
    def names(self) -> list[str]:
        return list(self._variants)

    @property
    def complete(self) -> bool:
        """Whether every variant was trained with every seed."""
        return len(self.finalists) == len(self.names)

    @property
    def finalists(self) -> list[str]:
        """The variants that were trained with as many seeds as the baseline."""
        return [name for name in self.names if self.trained(name) == self.trained(self.baseline)]

    @property
    def axes(self) -> tuple[str, str]:
        """PD and the loss that it is traded against: per query, as in the paper's figure 4, where there are queries."""
        return "pd", "per_query_auc_loss" if self.values(self.baseline, "per_query_auc_loss") else "auc_loss"

    def label(self, name: str) -> str:
        return str(self._variants[name]["label"])

    def trained(self, name: str) -> list[int]:
        """The seeds for which there is any measure of a variant."""
        measures = self._variants[name]["measures"]
        return [seed for seed in self.seeds if any(seed in self.values(name, measure) for measure in measures)]

    def values(self, name: str, measure: str) -> dict[int, float]:
        """A measure of a variant by seed; seeds that have none are left out."""
        of_seeds = (self._variants[name]["measures"].get(measure) or {}).get("of_seeds") or []
        return {seed: value for seed, value in zip(self.seeds, of_seeds, strict=False) if is_number(value)}

    def differences(self, name: str, than: str, measure: str) -> list[float]:
        """`measure` of a variant less that of another, for every seed that both have."""
        own, other = self.values(name, measure), self.values(than, measure)
        return [own[seed] - other[seed] for seed in self.seeds if seed in own and seed in other]

    def is_relative(self, than: str, measure: str) -> bool:
        """Whether changes from a variant are shares of its measure: they are unless that is 0 for any seed."""
        return all(self.values(than, measure).values())

    def changes(
        self, name: str, than: str, measure: str, seeds: Collection[int] | None = None, *, share: float = 1.0
    ) -> list[float]:
        """How far `measure` of a variant lies above `share` of another's, for every seed (of `seeds`) that both have.

        In units of the other's measure, as far as that is not 0.
        """
        own, other = self.values(name, measure), self.values(than, measure)
        both = [seed for seed in (self.seeds if seeds is None else seeds) if seed in own and seed in other]
        if self.is_relative(than, measure):
            return [own[seed] / other[seed] - share for seed in both]
        return [own[seed] - share * other[seed] for seed in both]

    def change(self, name: str, measure: str, seeds: Collection[int] | None = None) -> float | None:
        """Mean change from the baseline, by which variants with different seeds can be compared fairly.

        None for a variant that lacks the measure for any seed, as where a training diverged: those that went well say
        too little of it.
        """
        found = self.changes(name, self.baseline, measure, seeds)
        return None if self.lacks(name, measure) or not found else statistics.fmean(found)

    def lacks(self, name: str, measure: str) -> bool:
        """Whether a variant has no such measure for a seed that it was trained with and for which the baseline has."""
        own, other = self.values(name, measure), self.values(self.baseline, measure)
        return any(seed in other and seed not in own for seed in self.trained(name))

    def check(self, measure: str) -> None:
        """Raises InputError where the baseline has no such measure."""
        if not self.values(self.baseline, measure):
            measures = self._variants[self.baseline]["measures"]
            known = [each for each in measures if self.values(self.baseline, each)]
            for reasons in (self._variants[self.baseline].get("collapsed") or {}).values():
                raise InputError(
                    f"measure {measure} must be one of a model that has learned something, but {self.baseline}'s "
                    f"{reasons[0]} (--allow_collapsed counts such runs)"
                )
            raise InputError(
                f"measure {measure} must be one that was measured ({', '.join(known)}), got none of {self.baseline}"
            )


Point = tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class Front:
    """The Pareto front of the means.

    Attributes:
      names: variants that no other one beats in one measure without losing in the other, in order of the first one.
      near: the other variants that no variant of the front beats beyond doubt, each with one that it may equal: the
        95% intervals of both differences, pair by pair, hold 0. Empty for single pairs.
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
    for name, point in of_variant.items():
        beaten_by = [each for each in on if dominates(of_variant[each], point)]
        changes = [estimate(paired.changes(name, each, measure)) for each in beaten_by for measure in measures]
        if beaten_by and all(each is not None and each.interval[0] <= 0 <= each.interval[1] for each in changes):
            # Of those that beat it, the one that it lags behind least.
            near[name] = min(
                beaten_by, key=lambda each: max(y - x for x, y in zip(of_variant[each], point, strict=True))
            )
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
    scales = []
    for values in zip(*of_variant.values(), strict=True):
        low, _, high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else (0.0, 0.5, 1.0)
        scales.append((high - low) or (max(values) - min(values)) or 1.0)  # many variants may share one value

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
