"""The variant of a sweep that serves a goal best, how sure its claims are, and the search that spends pairs on few.

The best of many looks better than it is, because it was also the luckiest. So the pairs that choose never estimate:

- Leaving one out: for every seed, the choice is made again without that seed's pairs, and what it chose is measured on
  them. The mean is unbiased for the true measures of what was chosen, with one pair fewer. Any two of the choices share
  most of their pairs, which makes their mean vary more than that of independent values: its variance is taken as
  1 / n + 1 / (n - 1) times that of one value (Nadeau and Bengio 2003). With that, fewer than 5% of the sweeps of equal
  variants are said to hold a better one with a probability of 95% (the tests simulate it).
- Fresh seeds: the chosen variant and the baseline are trained with new seeds. That is about this variant, and exact.

Successive halving spends pairs where they matter: all variants get a first pair, the half of them that lies nearest the
Pareto front a second one, the half of that a third one, and so on; where there is a goal, what is best for it and what
is nearest the front take turns. The baseline, which the others are compared with, gets all. With 24 variants and 3
pairs these are 24 + 12 + 6 pairs (and two more of the baseline) instead of 72. Every pair helps to choose, so that only
fresh seeds estimate anything afterwards. Which variants go on depends on finished pairs alone: a search that was
killed, or that several processes share, comes to the same ones.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from smooth_recs.experiments.sweeps import paired as paired_lib
from smooth_recs.experiments.sweeps.paired import Estimate, Paired, estimate
from smooth_recs.experiments.sweeps.sweep_plan import Bound, Goal

# Sums of the same numbers in another order differ by less.
ROUNDING = 1e-9
# The least probability at which a variant counts as shown to be better.
SHOWN = 0.95

LEFT_OUT, FRESH, NONE = "pairs left out", "fresh seeds", "none"


class Measured:
    """The measures of one variant a seed, which that seed's pairs did not choose.

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
        self.seeds = []
        for seed, name in of_seed.items():
            needed = [(each, measure) for each in (name, paired.baseline) for measure in goal.measures]
            needed += [(bound.than, bound.measure) for bound in goal.bounds if bound.than]
            if all(seed in paired.values(each, measure) for each, measure in needed):
                self.seeds.append(seed)

    def values(self, measure: str) -> list[float]:
        return [self.paired.values(self.of_seed[seed], measure)[seed] for seed in self.seeds]

    def changes(self, than: str, measure: str, share: float = 1.0) -> list[float]:
        found = [self.paired.changes(self.of_seed[seed], than, measure, [seed], share=share) for seed in self.seeds]
        return [each[0] for each in found]

    def estimate(self, values: Sequence[float]) -> Estimate | None:
        return estimate(values, variance_factor=self._variance_factor)


def claims(goal: Goal, measured: Measured) -> list[dict[str, Any]]:
    """What is claimed of a chosen variant, for the goal's measure and for each bound, and how sure each claim is.

    Returns:
      The goal's `measure` against the baseline, then each bound; nothing where fewer than two pairs measure them.
      `than` is the variant that it is compared with, None for a number. `value` and `interval` are those of the measure
      itself; `percent` and `percent_interval` the change from `than` as a share of it (0.01 is 1%), None for a number.
      `probability` says how likely the true measure is on the side that `sign` asks for: 1 for less, -1 for more.
      `bound` is a bound's text, and `limit` the number, or the share of `than`.
    """
    paired = measured.paired
    if len(measured.seeds) < 2:
        return []
    objective = Bound(text="", measure=goal.measure, sign=goal.sign, limit=1.0, than=paired.baseline)
    found = []
    for bound in (objective, *goal.bounds):
        if bound.than:
            over = measured.changes(bound.than, bound.measure, bound.limit)
        else:
            over = [value - bound.limit for value in measured.values(bound.measure)]
        value, side = measured.estimate(measured.values(bound.measure)), measured.estimate(over)
        assert value is not None
        assert side is not None
        relative = bool(bound.than) and paired.is_relative(bound.than, bound.measure)
        percent = measured.estimate(measured.changes(bound.than, bound.measure)) if relative else None
        # Exactly as many parameters as are allowed, say: there, Student's t gives "at most" no probability.
        exactly = bound is not objective and all(abs(each) <= ROUNDING for each in over)
        found.append(
            {
                "measure": bound.measure,
                "than": bound.than or None,
                "than_label": paired.label(bound.than) if bound.than else None,
                "sign": bound.sign,
                "value": value.value,
                "interval": [max(end, 0.0) for end in value.interval],
                "percent": percent and percent.value,
                "percent_interval": percent and [max(end, -1.0) for end in percent.interval],
                "probability": 1.0 if exactly else side.below_zero if bound.sign > 0 else side.above_zero,
                "bound": None if bound is objective else bound.text,
                "limit": None if bound is objective else bound.limit,
            }
        )
    return found


def choose(results: Mapping[str, Any], goal: Goal) -> dict[str, Any]:
    """The best variant by all pairs, measured by leaving out one pair after the other.

    Args:
      results: the content of `results.json`.
      goal: of `parse_goal`.

    Returns:
      `goal`; `chosen`, the variant's name, or None where nothing meets the goal; `label`; `verdict`: `better` (shown
      with a probability of 95% or more), `not shown`, `not measured` (no pair is left to measure on) or `nothing`
      (nothing beats the baseline, or meets the goal); `method`; `seeds` that measured; `folds`, what each seed without
      its pairs chose; `claims`, of the function `claims`;
      `baseline_meets`, whether the baseline keeps the bounds; `probability` that all holds, a lower bound.

    Raises:
      InputError: a measure of the goal was not measured.

    ```python
    choose(results, parse_goal("min pd", ["pd"], ["relu"]))["chosen"]  # "smelu:0.1"
    ```
    """
    paired = Paired(results)
    for measure in goal.measures:
        paired.check(measure)
    seeds = [seed for seed in paired.seeds if all(seed in paired.values(paired.baseline, m) for m in goal.measures)]
    chosen = best(paired, goal, seeds)
    can_leave_out = paired.complete and len(seeds) > 1
    folds = {seed: best(paired, goal, [each for each in seeds if each != seed]) for seed in seeds if can_leave_out}
    # Who finds nothing that keeps the bounds stays with the baseline, and that is what they get.
    of_fold = {seed: name or paired.baseline for seed, name in folds.items()}
    measured = Measured(paired, goal, of_fold, 1 / len(seeds) + 1 / (len(seeds) - 1)) if can_leave_out else None
    found = _found(paired, goal, chosen, measured, LEFT_OUT if can_leave_out else NONE)
    return {**found, "chose": seeds, "folds": [{"seed": seed, "chosen": name} for seed, name in folds.items()]}


def confirmed(choice: Mapping[str, Any], goal: Goal, fresh: Mapping[str, Any]) -> dict[str, Any]:
    """The choice, measured on pairs of its own.

    Args:
      choice: what `choose` returned.
      goal: the same.
      fresh: as `results.json`, with the chosen variant, the baseline and the variants that bounds name, over seeds that
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
    seeds = paired.trained(paired.baseline)
    baseline_meets = all(_keeps(paired, bound, paired.baseline, seeds) for bound in goal.bounds)
    nothing = chosen is None or chosen == paired.baseline
    found = claims(goal, measured) if measured and not nothing else []
    # A baseline that breaks the bounds need not be beaten. All claims hold at least with 1 less all that can fail.
    needed = found if baseline_meets else found[1:]
    probability = max(0.0, 1 - math.fsum(1 - claim["probability"] for claim in needed)) if found else None
    if nothing:
        verdict = "nothing"
    elif probability is None:
        verdict = "not measured"
    else:
        verdict = "better" if probability >= SHOWN else "not shown"
    return {
        "goal": goal.text,
        "chosen": chosen,
        "label": chosen and paired.label(chosen),
        "baseline": paired.baseline,
        "baseline_label": paired.label(paired.baseline),
        "baseline_meets": baseline_meets,
        "verdict": verdict,
        "method": NONE if nothing else method,
        "seeds": measured.seeds if measured and found else [],
        "claims": found,
        "probability": probability,
    }


def _keeps(paired: Paired, bound: Bound, name: str, seeds: Sequence[int]) -> bool:
    """Whether the means over `seeds` keep a bound."""
    if bound.than:
        over = paired.changes(name, bound.than, bound.measure, seeds, share=bound.limit)
    else:
        values = paired.values(name, bound.measure)
        over = [values[seed] - bound.limit for seed in seeds if seed in values]
    return bool(over) and bound.sign * statistics.fmean(over) <= ROUNDING


Train = Callable[[Collection[str], Sequence[int]], Mapping[str, Any]]


def halving_search(train: Train, names: Sequence[str], seeds: Sequence[int], goal: Goal | None = None) -> None:
    """Trains a round for each seed, with half as many variants as the one before.

    Args:
      train: gets names of variants, and the seeds of all rounds so far. It trains these variants with the last of the
        seeds, where that is not done, and returns the results of all finished pairs with these seeds, as
        `results.json`.
      names: all variants.
      seeds: one a round.
      goal: what is wanted in the end.
    """
    kept: Sequence[str] = names
    for done in range(1, len(seeds) + 1):
        paired = Paired(train(kept, seeds[:done]))
        kept = survivors(paired, kept, ranked(paired, goal, seeds[:done]) if goal else ())


def round_sizes(variants: int, rounds: int) -> list[int]:
    """How many variants each round trains, the baseline among them.

    >>> round_sizes(25, 3)
    [25, 13, 7]
    """
    found = [variants]
    while len(found) < rounds:
        found.append(1 + math.ceil((found[-1] - 1) / 2))
    return found


def survivors(paired: Paired, names: Sequence[str], wanted: Sequence[str] = ()) -> list[str]:
    """The better half of `names`, rounded up and in their order, and the baseline.

    The best of `wanted`, which are in the order of a goal, and the variants nearest the front take turns. Variants
    without PD or loss, as with predictions that are no numbers, drop out first.

    Raises:
      InputError: the baseline has none of one of these.
    """
    for measure in paired.axes:
        paired.check(measure)
    nearest = paired_lib.nearest_first(paired_lib.points(paired, paired.axes))
    turns = [name for pair in itertools.zip_longest(wanted, nearest) for name in pair]
    order = [name for name in dict.fromkeys(turns) if name in names and name != paired.baseline]
    kept = order[: round_sizes(len(names), 2)[1] - 1]
    return [name for name in names if name in kept or name == paired.baseline]
