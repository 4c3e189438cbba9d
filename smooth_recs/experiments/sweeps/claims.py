"""What is claimed of a chosen variant, for the goal's measure and for each bound, and how sure each claim is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from smooth_recs.experiments.sweeps.goals import Bound, Goal
from smooth_recs.experiments.sweeps.paired import Estimate, Paired, estimate

ROUNDING = 1e-9  # of sums of the same numbers in another order


class Measured:
    """What one variant a seed, not chosen by that seed's pairs, measures there.

    Args:
      paired: the results.
      goal: its measures are needed; seeds that lack one are left out.
      of_seed: the variant of each seed.
      variance_factor: of `paired.estimate`.
    """

    def __init__(
        self, paired: Paired, goal: Goal, of_seed: Mapping[int, str], variance_factor: float | None = None
    ) -> None:
        self.paired, self.of_seed = paired, of_seed
        self._variance_factor = variance_factor
        self.seeds = [seed for seed, name in of_seed.items() if self._has_all(seed, name, goal)]

    def values(self, measure: str) -> list[float]:
        return [self.paired.values(self.of_seed[seed], measure)[seed] for seed in self.seeds]

    def changes(self, than: str, measure: str, share: float = 1.0) -> list[float]:
        found = [self.paired.changes(self.of_seed[seed], than, measure, [seed], share=share) for seed in self.seeds]
        return [each[0] for each in found]

    def estimate(self, values: Sequence[float]) -> Estimate | None:
        return estimate(values, variance_factor=self._variance_factor)

    def _has_all(self, seed: int, name: str, goal: Goal) -> bool:
        needed = [(each, measure) for each in (name, self.paired.baseline) for measure in goal.measures]
        needed += [(bound.than, bound.measure) for bound in goal.bounds if bound.than]
        return all(seed in self.paired.values(each, measure) for each, measure in needed)


def of_choice(goal: Goal, measured: Measured) -> list[dict[str, Any]]:
    """The goal's measure against the baseline, then each bound; none where fewer than two pairs measure them."""
    if len(measured.seeds) < 2:
        return []
    baseline = measured.paired.baseline
    objective = _claim(measured, goal.measure, baseline, measured.changes(baseline, goal.measure), goal.sign)
    return [{**objective, "bound": None, "limit": None}, *(_bound_claim(measured, bound) for bound in goal.bounds)]


def _bound_claim(measured: Measured, bound: Bound) -> dict[str, Any]:
    if bound.than:
        over = measured.changes(bound.than, bound.measure, bound.limit)
    else:
        over = [value - bound.limit for value in measured.values(bound.measure)]
    found = {**_claim(measured, bound.measure, bound.than, over, bound.sign), "bound": bound.text, "limit": bound.limit}
    exactly = all(abs(each) <= ROUNDING for each in over)  # as many parameters as are allowed, say
    return {**found, "probability": 1.0} if exactly else found


def _claim(measured: Measured, measure: str, than: str, over: Sequence[float], sign: int) -> dict[str, Any]:
    """How a measure compares with that of the variant `than` (empty: with a number), all over the seeds that measure.

    `value` and `interval` are those of the measure itself; `percent` and `percent_interval` the change from `than` as a
    share of it (0.01 is 1%), None for a number. `probability`: that the true mean of `over` is on the side of 0 that
    `sign` asks for. Of a bound, `bound` is its text, and `limit` the number, or the share of `than`.
    """
    value, side = measured.estimate(measured.values(measure)), measured.estimate(over)
    assert value is not None
    assert side is not None
    relative = bool(than) and measured.paired.is_relative(than, measure)
    percent = measured.estimate(measured.changes(than, measure)) if relative else None
    return {
        "measure": measure,
        "than": than or None,
        "than_label": measured.paired.label(than) if than else None,
        "sign": sign,
        "value": value.value,
        "interval": [max(end, 0.0) for end in value.interval],
        "percent": percent and percent.value,
        "percent_interval": percent and [max(end, -1.0) for end in percent.interval],
        "probability": side.below_zero if sign > 0 else side.above_zero,
    }
