"""The results of a sweep, seed by seed: what pairs of siblings with equal seeds say about two variants."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from smooth_recs.errors import InputError
from smooth_recs.prediction_difference.intervals import student_interval
from smooth_recs.workdir.finished_runs import is_number


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


class Paired:
    """Reads the content of `results.json`; variants go by their names.

    ```python
    paired = Paired(workdir.read_json("runs/sweep/results.json"))
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
        return all(self.trained(name) == self.trained(self.baseline) for name in self.names)

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
        measured = self._variants[name]["measures"].get(measure) or {}
        of_seeds = measured.get("of_seeds") or []
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
        """Mean change from the baseline, by which variants with different seeds can be told apart fairly.

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
            raise InputError(
                f"measure {measure} must be one that was measured ({', '.join(known)}), got none of {self.baseline}"
            )


def estimate(values: Sequence[float], *, variance_factor: float | None = None) -> Estimate | None:
    """Mean, interval and probability from independent values; None from fewer than two.

    Args:
      values: one a pair.
      variance_factor: variance of the mean over that of one value; None: 1 / n, as for independent values.

    >>> estimate([-2.0, -4.0, -6.0])  # Student's t with 2 degrees of freedom, standard error 2 / sqrt(3)
    Estimate(value=-4.0, interval=(-8.96..., 0.96...), below_zero=0.962..., above_zero=0.037...)
    """
    from scipy.special import stdtr  # the distribution function of Student's t

    count = len(values)
    if count < 2:
        return None
    mean = statistics.fmean(values)
    error = statistics.stdev(values) * math.sqrt(1 / count if variance_factor is None else variance_factor)
    if not error:
        return Estimate(mean, (mean, mean), float(mean < 0), float(mean > 0))
    below = float(stdtr(count - 1, -mean / error))
    return Estimate(mean, student_interval(mean, error, count - 1), below, 1 - below)
