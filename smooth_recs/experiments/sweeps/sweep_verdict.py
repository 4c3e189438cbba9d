"""The head of a sweep's report: whether any variant is shown to be better than the baseline, and its cards.

A change counts as shown where its 95% interval over the pairs does not hold 0. One interval in twenty misses, so the
more variants there are, the wider each interval is made (Bonferroni): for each of the two measures, all that is called
shown is right with a probability of 95%.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from smooth_recs.experiments.sweeps.paired import Paired, estimate
from smooth_recs.experiments.sweeps.sweep_tables import probability, signed_percent, wanted
from smooth_recs.measures.catalogue import BY_NAME
from smooth_recs.reports import formats
from smooth_recs.reports.headline import Card

_MISSES = 0.05
_ENOUGH_PAIRS = 5
_SIGNS = {-1: "shown to be better", 0: "inconclusive", 1: "shown to be worse"}


def shown(paired: Paired, measure: str) -> dict[str, int]:
    """The sign of the change of a measure from the baseline, by variant: 0 where the pairs do not show any.

    ```python
    shown(Paired(read_json("runs/sweep/results.json")), "pd")  # {"smelu:0.1": -1, "swish:3": 0}
    ```
    """
    others = [name for name in paired.names if name != paired.baseline]
    found = {}
    for name in others:
        change = None if paired.lacks(name, measure) else estimate(paired.changes(name, paired.baseline, measure))
        # Each side misses half of the time.
        level = _MISSES / 2 / len(others)
        below = change is not None and change.value < 0 and change.above_zero <= level
        above = change is not None and change.value > 0 and change.below_zero <= level
        found[name] = int(above) - int(below)
    return found


def title(results: Mapping[str, Any], choice: Mapping[str, Any] | None = None) -> str:
    """The verdict on a sweep, or on the choice made by it.

    ```python
    title(results)  # "SmeLU 0.1 is shown to be better than ReLU: PD −30.0%, AUC loss −0.40%"
    ```
    """
    if choice:
        return of_choice(choice)
    paired = Paired(results)
    pd, loss = paired.axes
    baseline = paired.label(paired.baseline)
    if len(paired.names) == 1:
        return f"{baseline} alone: there is nothing to compare it with"
    if len(paired.seeds) == 1:
        return "One pair of each variant: nothing can be shown to be better"
    of_loss = shown(paired, loss)
    harmless, less, accurate = _shown_better(paired)

    def change(name: str, measure: str) -> str:
        return f"{BY_NAME[measure].inside} {signed_percent(paired.change(name, measure))}"

    if harmless:
        best = harmless[0]
        if of_loss[best] < 0:
            found = f"{paired.label(best)} is shown to be better than {baseline} in both: "
            return f"{found}{change(best, pd)}, {change(best, loss)}"
        found = f"{paired.label(best)} is shown to have less prediction difference than {baseline}: {change(best, pd)}"
        return f"{found}; its {change(best, loss)} is inconclusive"
    if less:
        found = "Less prediction difference is shown only together with less accuracy: "
        return f"{found}{paired.label(less[0])} has {change(less[0], pd)}, {change(less[0], loss)}"
    none = f"No variant is shown to have less prediction difference than {baseline}"
    if accurate:
        return f"{none}; {paired.label(accurate[0])} is shown to be more accurate: {change(accurate[0], loss)}"
    return f"No variant is shown to be better than {baseline}"


def _shown_better(paired: Paired) -> tuple[list[str], list[str], list[str]]:
    """Variants with less PD that lose no accuracy, with less PD, and that are more accurate; the best of each first."""
    pd, loss = paired.axes
    of_pd, of_loss = shown(paired, pd), shown(paired, loss)
    less = sorted((name for name, sign in of_pd.items() if sign < 0), key=lambda name: paired.change(name, pd) or 0.0)
    accurate = [name for name, sign in of_loss.items() if sign < 0 and of_pd[name] <= 0]
    accurate.sort(key=lambda name: paired.change(name, loss) or 0.0)
    return [name for name in less if of_loss[name] <= 0], less, accurate


def card_variant(results: Mapping[str, Any], choice: Mapping[str, Any] | None = None) -> str | None:
    """The variant that the cards are about: that of the title, or else the one with the lowest PD; None for none."""
    paired = Paired(results)
    if choice and choice["chosen"] not in (None, paired.baseline):
        return str(choice["chosen"])
    several = len(paired.seeds) > 1
    better = [name for names in (_shown_better(paired) if several else ()) for name in names]
    measured = {name: paired.change(name, paired.axes[0]) for name in paired.names if name != paired.baseline}
    known = {name: change for name, change in measured.items() if change is not None}
    return next(iter([*better, *sorted(known, key=lambda name: known[name])]), None)


def cards(results: Mapping[str, Any], choice: Mapping[str, Any] | None = None) -> list[Card]:
    """PD and loss, from the baseline to `card_variant`, each with what is shown of the change; and the pairs.

    Of a choice they say how probable each part of its goal is, and they are of its fresh pairs, where it has any: those
    that chose it make it look better than it is.
    """
    name = card_variant(results, choice)
    fresh = (choice or {}).get("confirmation")
    claims = (choice or {}).get("claims", ()) if name and (choice or {}).get("chosen") == name else None
    results = {**results, **fresh} if fresh else results
    paired = Paired(results)
    variants = {variant["name"]: variant for variant in results["variants"]}
    found = []
    for axis in paired.axes:
        measure = BY_NAME[axis]
        text = formats.of(measure)
        values = [text(variants[each]["measures"][axis]["value"]) for each in (paired.baseline, name) if each]
        notes = []
        if name and (change := variants[name]["changes"].get(axis)):
            ends = change.get("percent_interval")
            over = f" ({signed_percent(ends[0])} to {signed_percent(ends[1])})" if ends else ", one pair"
            notes.append(f"{signed_percent(change.get('percent'))}{over}")
            if claims is not None:
                of_axis = (claim for claim in claims if claim["measure"] == axis)
                notes += [f"{wanted(claim)}: probability {probability(claim['probability'])}" for claim in of_axis]
            elif len(paired.seeds) > 1:
                notes.append(_SIGNS[shown(paired, axis)[name]])
        found.append(Card(measure.label, " → ".join(values), notes))
    pairs = len(results["seeds"])
    notes = ["fresh ones, which did not choose it"] if fresh else []
    notes += ["two models each, with a seed of its own"]
    if pairs < _ENOUGH_PAIRS:
        notes.append("five or more show more")
    return [*found, Card("Pairs of each variant", str(pairs), notes)]


def of_choice(choice: Mapping[str, Any]) -> str:
    """The verdict on a choice; what did best is not called better where that is not shown."""
    label, baseline = choice["label"], choice["baseline_label"]
    if choice["chosen"] is None:
        return "No variant meets the goal"
    if choice["verdict"] == "nothing":
        return f"No variant does better than {baseline} for this goal"
    if choice["verdict"] == "not measured":
        return (
            f"{label} did best, but whether it is better than {baseline} is not known: every pair helped to choose it"
        )
    if choice["verdict"] == "better":
        return f"{label} is shown to be better than {baseline} for this goal, with a probability of {at_least(choice)}"
    return (
        f"{label} did best, but is not shown to be better than {baseline}: the probability is {at_least(choice)}, and "
        "95% is asked for"
    )


def at_least(choice: Mapping[str, Any]) -> str:
    """The probability that a choice keeps all that is claimed of it, which is a lower bound."""
    sure = choice["probability"]
    return probability(sure) if sure > 0.999 or sure < 0.001 else f"at least {probability(sure)}"
