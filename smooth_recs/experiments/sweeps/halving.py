"""Successive halving: pairs are spent where they matter, on the variants nearest the front, and nearest the goal.

All variants get a first pair, the half of them that lies nearest the Pareto front a second one, the half of that a
third one, and so on; where there is a goal, what is best for it and what is nearest the front take turns. The baseline,
which the others are compared with, gets all. With 24 variants and 3 pairs these are 24 + 12 + 6 pairs (and two more of
the baseline) instead of 72.

Which variants go on depends on finished pairs alone: a search that was killed, or that several processes share, comes
to the same ones.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from smooth_recs.experiments.sweeps import choice, pareto
from smooth_recs.experiments.sweeps.goals import Goal
from smooth_recs.experiments.sweeps.paired import Paired

Train = Callable[[Collection[str], Sequence[int]], Mapping[str, Any]]


def search(train: Train, names: Sequence[str], seeds: Sequence[int], goal: Goal | None = None) -> None:
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
        kept = survivors(paired, kept, choice.ranked(paired, goal, seeds[:done]) if goal else ())


def sizes(variants: int, rounds: int) -> list[int]:
    """How many variants each round trains, the baseline among them.

    >>> sizes(25, 3)
    [25, 13, 7]
    """
    found = [variants]
    while len(found) < rounds:
        found.append(1 + math.ceil((found[-1] - 1) / 2))
    return found


def outline(variants: int, rounds: int) -> str:
    """How many cells a search trains, variants that others need not counted.

    >>> outline(25, 3)
    '25 + 13 + 7 cells'
    """
    return f"{' + '.join(map(str, sizes(variants, rounds)))} cells"


def survivors(paired: Paired, names: Sequence[str], wanted: Sequence[str] = ()) -> list[str]:
    """The better half of `names`, rounded up and in their order, and the baseline.

    The best of `wanted`, which are in the order of a goal, and the variants nearest the front take turns. Variants
    without PD or loss, as with predictions that are no numbers, go first.

    Raises:
      InputError: the baseline has none of one of these.
    """
    for measure in paired.axes:
        paired.check(measure)
    nearest = pareto.nearest_first(pareto.points(paired, paired.axes))
    turns = [name for pair in itertools.zip_longest(wanted, nearest) for name in pair]
    order = [name for name in dict.fromkeys(turns) if name in names and name != paired.baseline]
    kept = order[: sizes(len(names), 2)[1] - 1]
    return [name for name in names if name in kept or name == paired.baseline]
