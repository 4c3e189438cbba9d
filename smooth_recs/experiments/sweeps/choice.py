"""What is claimed of a chosen variant, for the goal's measure and for each bound, and how sure each claim is.

The variant of a sweep that serves a goal best, and how far it is really better: on pairs that did not choose it.

The best of many looks better than it is, because it was also the luckiest. So the pairs that choose never estimate:

- Leaving one out: for every seed, the choice is made again without that seed's pairs, and what it chose is measured on
  them. The mean is unbiased for the true measures of what was chosen, with one pair fewer. Any two of the choices share
  most of their pairs, which makes their mean vary more than that of independent values: its variance is taken as
  1 / n + 1 / (n - 1) times that of one value (Nadeau and Bengio 2003). With that, fewer than 5% of the sweeps of equal
  variants are said to hold a better one with a probability of 95% (the tests simulate it).
- Fresh seeds: the chosen variant and the baseline are trained with new seeds. That is about this variant, and exact.

Successive halving uses every pair to choose, so after it only fresh seeds estimate anything.
"""

from __future__ import annotations

import collections
import math
import statistics
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


SHOWN = 0.95  # the least probability at which a variant counts as shown to be better

LEFT_OUT, FRESH, NONE = "pairs left out", "fresh seeds", "none"


def choose(results: Mapping[str, Any], goal: Goal) -> dict[str, Any]:
    """The best variant by all pairs, measured by leaving out one pair after the other.

    Args:
      results: the content of `results.json`.
      goal: of `goals.parse`.

    Returns:
      `goal`; `chosen`, the variant's name, or None where nothing meets the goal; `label`; `verdict`: `better` (shown
      with a probability of 95% or more), `not shown`, `not measured` (no pair is left to measure on) or `nothing`
      (nothing beats the baseline, or meets the goal); `method`; `seeds` that measured; `folds`, what each seed without
      its pairs chose; `claims`, of `claims.of_choice`; `baseline_meets`,
      whether the baseline keeps the bounds; `probability` that all holds, a lower bound.

    Raises:
      InputError: a measure of the goal was not measured.

    ```python
    choose(results, goals.parse("min pd", ["pd"], ["relu"]))["chosen"]  # "smelu:0.1"
    ```
    """
    paired = Paired(results)
    for measure in goal.measures:
        paired.check(measure)
    seeds = [seed for seed in paired.seeds if all(seed in paired.values(paired.baseline, m) for m in goal.measures)]
    chosen = best(paired, goal, seeds)
    can_leave_out = paired.complete and len(seeds) > 1
    folds = {seed: best(paired, goal, [each for each in seeds if each != seed]) for seed in seeds if can_leave_out}
    of_fold = {seed: name or paired.baseline for seed, name in folds.items()}  # who finds nothing keeps the baseline
    measured = Measured(paired, goal, of_fold, 1 / len(seeds) + 1 / (len(seeds) - 1)) if can_leave_out else None
    found = _found(paired, goal, chosen, measured, LEFT_OUT if can_leave_out else NONE)
    return {**found, "chose": seeds, "folds": [{"seed": seed, "chosen": name} for seed, name in folds.items()]}


def confirmed(choice: Mapping[str, Any], goal: Goal, fresh: Mapping[str, Any]) -> dict[str, Any]:
    """The choice, measured on pairs of its own.

    Args:
      choice: of `choose`.
      goal: the same.
      fresh: as `results.json`, of the chosen variant, the baseline and the variants that bounds name, over seeds that
        are not those of the sweep.

    ```python
    confirmed(choose(results, goal), goal, fresh)["claims"][0]["percent_interval"]  # [-0.41, -0.22]
    ```
    """
    paired, name = Paired(fresh), choice["chosen"]
    seeds = paired.trained(paired.baseline)
    measured = Measured(paired, goal, dict.fromkeys(seeds, name)) if name and len(seeds) > 1 else None
    found = _found(paired, goal, name, measured, FRESH)
    return {**choice, **found, "folds": []}


def to_confirm(choice: Mapping[str, Any], goal: Goal, baseline: str) -> list[str]:
    """The variants that fresh seeds have to be trained for, each once; none where nothing was chosen."""
    if choice["verdict"] == "nothing":
        return []
    return list(dict.fromkeys([baseline, choice["chosen"], *(bound.than for bound in goal.bounds if bound.than)]))


def best(paired: Paired, goal: Goal, seeds: Sequence[int]) -> str | None:
    """The variant that is best for the goal by the means over `seeds`; None where none keeps the bounds."""
    return next(iter(ranked(paired, goal, seeds)), None)


def ranked(paired: Paired, goal: Goal, seeds: Sequence[int]) -> list[str]:
    """The variants that keep the bounds by the means over `seeds`, the best first.

    Of equal ones the earlier is first, the baseline before all: a change has to pay. Variants that were not trained
    with as many seeds as the baseline, or lack a measure for one of them, are left out.
    """
    known = [name for name in paired.finalists if not any(paired.lacks(name, measure) for measure in goal.measures)]
    names = sorted(known, key=lambda name: name != paired.baseline)
    scores = {
        name: goal.sign * change
        for name in names
        if (change := paired.change(name, goal.measure, seeds)) is not None
        and all(_keeps(paired, bound, name, seeds) for bound in goal.bounds)
    }
    return sorted(scores, key=scores.__getitem__)


def _found(paired: Paired, goal: Goal, chosen: str | None, measured: Measured | None, method: str) -> dict[str, Any]:
    baseline_meets = all(
        _keeps(paired, bound, paired.baseline, paired.trained(paired.baseline)) for bound in goal.bounds
    )
    nothing = chosen is None or chosen == paired.baseline
    found = of_choice(goal, measured) if measured and not nothing else []
    needed = found if baseline_meets else found[1:]
    probability = max(0.0, 1 - math.fsum(1 - claim["probability"] for claim in needed)) if found else None
    return {
        "goal": goal.text,
        "chosen": chosen,
        "label": chosen and paired.label(chosen),
        "baseline": paired.baseline,
        "baseline_label": paired.label(paired.baseline),
        "baseline_meets": baseline_meets,
        "verdict": "nothing" if nothing else _verdict(probability),
        "method": NONE if nothing else method,
        "seeds": measured.seeds if measured and found else [],
        "claims": found,
        "probability": probability,
    }


def _verdict(probability: float | None) -> str:
    if probability is None:
        return "not measured"
    return "better" if probability >= SHOWN else "not shown"


def _keeps(paired: Paired, bound: Bound, name: str, seeds: Sequence[int]) -> bool:
    """Whether the means over `seeds` keep a bound."""
    if bound.than:
        over = paired.changes(name, bound.than, bound.measure, seeds, share=bound.limit)
    else:
        values = paired.values(name, bound.measure)
        over = [values[seed] - bound.limit for seed in seeds if seed in values]
    return bool(over) and bound.sign * statistics.fmean(over) <= ROUNDING


def agreement(choice: Mapping[str, Any]) -> dict[str | None, int]:
    """How often each variant was chosen with one pair left out, the most frequent first."""
    return dict(collections.Counter(fold["chosen"] for fold in choice["folds"]).most_common())
