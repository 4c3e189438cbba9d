"""The head of a report on runs: its title, which is the verdict with its certainty, what it rests on, and the cards."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from smooth_recs.measures import catalogue
from smooth_recs.measures.measure import ACCURACY, Measure
from smooth_recs.reports import formats
from smooth_recs.reports.formats import count, decimal, percent, signed_decimal
from smooth_recs.workdir.finished_runs import Run, is_number

TYPICAL = (0.03, 0.20)
"""Most PDs between two trainings of one configuration; docs/measuring.md has those of the paper and of this package."""


@dataclasses.dataclass(frozen=True)
class Card:
    """A number at the head of a page: its name, the number as a text, and lines that say what it means."""

    name: str
    value: str
    notes: Sequence[str] = ()


def title(runs: Sequence[Run]) -> str:
    """The verdict on one run, or on the run with the lowest PD against the first one, the baseline.

    ```python
    headline.title(runs)  # "39% less prediction difference; AUC −0.0010, within what replicas differ"
    ```
    """
    baseline = runs[0]
    if len(runs) == 1:
        return _of_one(baseline)
    best = lowest(runs)
    change = pd_change(baseline, best)
    found = "; ".join([change, *_auc_change(baseline, best)])
    if len(runs) == 2:
        return found
    ours, theirs = best.pd.get("relative"), baseline.pd.get("relative")
    if is_number(ours) and is_number(theirs) and ours >= theirs:
        return f"No run has less prediction difference than {baseline.label}"
    return f"{best.label}: {found}"


def lowest(runs: Sequence[Run]) -> Run:
    """The run with the lowest PD besides the baseline; of runs without a PD the first."""
    measured = [run for run in runs[1:] if is_number(run.pd.get("relative"))]
    return min(measured, key=lambda run: float(run.pd["relative"])) if measured else runs[1]


def _of_one(run: Run) -> str:
    relative, auc = run.pd.get("relative"), run.mean("auc")
    for key, what in (("diverged", "diverged"), ("collapsed", "learned nothing")):
        # `diverged` has numbers of replicas, `collapsed` also the reason of each.
        which = [str(each["replica"] if isinstance(each, dict) else each) for each in run.metrics.get(key) or ()]
        if which:
            return f"{'Replica' if len(which) == 1 else 'Replicas'} {' and '.join(which)} {what}: this PD says nothing"
    if not is_number(relative):
        ranks = f"AUC {decimal(auc)}; " if auc is not None else ""
        return f"{ranks}one replica, so no prediction difference"
    interval = run.pd.get("interval")
    over = f" ({percent(interval[0])} to {percent(interval[1])} over requests)" if interval else " (no interval)"
    return f"Prediction difference {percent(relative)}{over}, {_beside_typical(relative)}"


def _beside_typical(relative: float) -> str:
    low, high = TYPICAL
    where = "below" if relative < low else "above" if relative > high else "within"
    return f"{where} the typical {low:.0%} to {high:.0%}"


def pd_change(baseline: Run, run: Run) -> str:
    """How PD of a run compares with that of the baseline, and whether the two intervals over requests are apart."""
    ours, theirs = run.pd.get("relative"), baseline.pd.get("relative")
    if not is_number(ours) or not is_number(theirs):
        return "Prediction difference not compared: it takes two replicas of each run"
    if ours == theirs:
        return "The same prediction difference"
    if not theirs:
        return f"Prediction difference {percent(ours)} against 0%"
    share = abs(ours / theirs - 1)
    said = f"{share:.0%}" if share >= 0.01 else f"{share:.1%}"
    less = "less" if ours < theirs else "more"
    apart = are_apart(baseline, run)
    if apart is None:
        return f"{said} {less} prediction difference, without an interval"
    if not apart:
        return f"No change of the prediction difference is shown ({said} {less}; the intervals overlap)"
    return f"{said} {less} prediction difference"


def are_apart(a: Run, b: Run) -> bool | None:
    """Whether the intervals of two runs' PD over requests do not overlap; None where one has none."""
    one, other = a.pd.get("interval"), b.pd.get("interval")
    return (one[1] < other[0] or one[0] > other[1]) if one and other else None


def replica_spread(runs: Sequence[Run], measure: str) -> float | None:
    """The most by which replicas of one run differ in a measure; None where a run has a single replica."""
    # The differences between replicas of one run are the only yardstick that one pair of runs has.
    values = [run.values(measure) for run in runs]
    return max(max(each) - min(each) for each in values) if all(len(each) > 1 for each in values) else None


def visible(spread: float, at_most: str = "") -> str:
    """A spread that is not written as 0 where it is only too small for the decimals that are shown.

    >>> visible(0.00003, "up to ")
    'less than 0.0001'
    """
    return f"{at_most}{decimal(spread)}" if not spread or float(decimal(spread)) else f"less than {decimal(0.0001)}"


def _auc_change(baseline: Run, run: Run) -> list[str]:
    """The change of AUC beside what replicas of one run differ by; nothing where it was not measured."""
    ours, theirs = run.mean("auc"), baseline.mean("auc")
    if ours is None or theirs is None:
        return []
    change, spread = ours - theirs, replica_spread((baseline, run), "auc")
    said = signed_decimal(change)
    if float(decimal(abs(change))) == 0:
        return ["AUC the same to four decimals"]
    if spread is None:
        return [f"AUC {said}; one replica cannot say whether that is chance"]
    return [f"AUC {said}, {'within what' if abs(change) <= spread else 'more than'} replicas differ"]


def certainty(runs: Sequence[Run]) -> str:
    """What the title rests on, and what it does not show."""
    if len(runs) == 1:
        return ""
    best = lowest(runs)
    apart = are_apart(runs[0], best)
    if apart is None:
        return "Nothing here says how much of this is chance: several runs of each, with seeds of their own, would."
    return (
        "This is about these very models: other trainings can come out differently. Whether one setting is better than "
        "another takes several runs of each, with seeds of their own (a sweep)."
    )


def cards(runs: Sequence[Run]) -> list[Card]:
    """PD, the lists and the accuracies: of one run, or of the baseline and the run that the title is about."""
    return _cards_of_one(runs[0]) if len(runs) == 1 else _cards_of_two(runs[0], lowest(runs))


def _cards_of_one(run: Run) -> list[Card]:
    found = []
    raw = run.metrics.get("raw")
    relative = run.pd.get("relative")
    if is_number(relative):
        notes = [_beside_typical(relative)]
        if interval := run.pd.get("interval"):
            notes.insert(0, f"{percent(interval[0])} to {percent(interval[1])} over requests (95%)")
        if 0 < relative < 1:
            # Two predictions whose mean is 10% and whose distance is `relative` times that.
            one, other = 0.1 * (1 - relative / 2), 0.1 * (1 + relative / 2)
            notes.append(f"where one model says {percent(one)}, another says {percent(other)}")
        found.append(Card("Prediction difference (PD)", percent(relative), [*notes, *_raw_note(raw, catalogue.PD)]))
    live = run.metrics.get("pd_live") or {}
    if is_number(live.get("relative")):
        ends = live.get("interval")
        notes = [f"{percent(ends[0])} to {percent(ends[1])} over requests (95%)"] if ends else []
        found.append(Card("PD to the live model", percent(live["relative"]), notes))
    lists = run.metrics.get("recommendations") or {}
    if is_number(lists.get("swap_rate")):
        found.append(
            Card("Swap rate", percent(lists["swap_rate"]), [f"requests with a different top {lists.get('k')}"])
        )
    for measure in catalogue.of(*ACCURACY):
        if measure.card:
            notes = [measure.card, *_raw_note(raw, measure)]
            spread = replica_spread([run], measure.name)
            if spread is not None:
                notes.insert(1, f"replicas differ by {visible(spread)}")
            found.append(Card(measure.label, formats.of(measure)(run.mean(measure.name)), notes))
    return found


def _raw_note(raw: object, measure: Measure) -> list[str]:
    """A measure of the weights as they were trained, where the run is about their averages (`train.average`)."""
    value = measure.read(raw) if isinstance(raw, dict) else None
    return [f"of the averaged weights; raw weights: {formats.of(measure)(value)}"] if is_number(value) else []


def _cards_of_two(baseline: Run, run: Run) -> list[Card]:
    low, high = TYPICAL
    found = []
    ours, theirs = run.pd.get("relative"), baseline.pd.get("relative")
    if is_number(ours) and is_number(theirs):
        meaning = f"lower is better; typical: {low:.0%} to {high:.0%}"
        found.append(Card("Prediction difference (PD)", f"{percent(theirs)} → {percent(ours)}", [meaning]))
    lists = [each.metrics.get("recommendations") or {} for each in (baseline, run)]
    rates = [each.get("swap_rate") for each in lists]
    if all(map(is_number, rates)):
        note = f"requests with a different top {lists[1].get('k')}; lower is better"
        found.append(Card("Swap rate", " → ".join(map(percent, rates)), [note]))
    for measure in catalogue.of(*ACCURACY):
        values = [each.mean(measure.name) for each in (baseline, run)]
        if measure.card and all(map(is_number, values)):
            notes = [measure.card]
            spread = replica_spread((baseline, run), measure.name)
            if spread is not None:
                notes.append(f"replicas of one run differ by {visible(spread, 'up to ')}")
            found.append(Card(measure.label, " → ".join(map(formats.of(measure), values)), notes))
    return found


def measured_on(run: Run) -> str:
    """How much data a run was measured on and trained on, as a clause."""
    rows, examples = run.metrics.get("eval_examples"), run.metrics.get("examples")
    found = f"Measured on {count(rows)} held-out rows" if is_number(rows) else "Measured on held-out rows"
    many = len(run.replicas)
    found += f", {many} {'replicas' if many > 1 else 'replica'}"
    return found + (f" of {count(examples)} training examples each." if is_number(examples) else ".")
