"""What the numbers of one run, or of several beside each other, say in plain words, and what they do not say."""

from __future__ import annotations

from collections.abc import Sequence

from smooth_recs.reports.formats import count, decimal, percent
from smooth_recs.reports.slice_tables import highest
from smooth_recs.workdir.finished_runs import Run, differing, flatten, is_number

_CAVEAT = (
    "The interval is over held-out requests: it tells how far PD would move with other requests, for these very "
    "models. It says nothing about another training run. A claim about an activation needs several pairs, each with a "
    "seed of its own."
)
_OVER_REPLICAS = (
    " The interval over replicas tells how far PD would move with other replicas of the same run: the same data and "
    "settings, and whatever else the replicas share."
)
DIFFER = {
    "order": "on the same rows, each in an order of its own",
    "init": "on the same rows in the same order, each from initial weights of its own",
    "both": "on the same rows, each in an order and from initial weights of its own",
    "nothing": "on the same rows, in the same order, from the same initial weights",
}


def sentences(runs: Sequence[Run]) -> list[str]:
    """Paragraphs on what is measured; of several runs the first is the baseline."""
    if len(runs) == 1:
        found = [*_disagreement(runs[0]), *_accuracy(runs[0])]
    else:
        found = [" ".join([*_pd_against(runs[0], run), *_accuracy_against(runs[0], run)]) for run in runs[1:]]
    return found


def where(runs: Sequence[Run]) -> list[str]:
    """Which slice of each run has the highest PD, and how much of the whole difference it carries."""
    found = []
    for run in runs:
        for title, name, each in highest(run)[:1]:
            text = f"{_of(run, runs)}the PD is highest where {title} is {name}: {percent(each['pd'])}"
            text += ends(each.get("interval"))
            if is_number(each.get("weight_share")) and is_number(each.get("pd_share")):
                text += f". These are {percent(each['weight_share'])} of the examples"
                text += f" and {percent(each['pd_share'])} of the whole difference"
            found.append(_sentence(text))
    return found


def recommendations(runs: Sequence[Run]) -> list[str]:
    """What a retraining does to the lists of each run."""
    found = []
    for run in runs:
        lists = run.metrics.get("recommendations") or {}
        if is_number(lists.get("swap_rate")):
            text = f"{_of(run, runs)}{percent(lists['swap_rate'])} of the requests"
            text += f" have another ordered top {lists.get('k')} by one model than by another"
            found.append(_sentence(text + ends(lists.get("swap_rate_interval"))))
    return found


def caveat(runs: Sequence[Run]) -> str:
    """What the intervals do not cover; nothing where there is none."""
    if not any(run.pd.get("interval") for run in runs):
        return ""
    return _CAVEAT + (_OVER_REPLICAS if any(run.pd.get("interval_over_replicas") for run in runs) else "")


def warnings(runs: Sequence[Run]) -> list[str]:
    """Why the runs cannot be compared like for like, if so."""
    settings = [flatten(run.config.get("data") or {}, "data") for run in runs]
    keys = [key for key in differing(settings) if key != "data.shuffle_window"]
    fingerprints = {str((run.manifest.get("data") or {}).get("fingerprint")) for run in runs}
    measured = list(dict.fromkeys(run.metrics.get("eval_examples") for run in runs))
    found = []
    if keys or len(fingerprints) > 1:
        reason = f"{', '.join(keys)} differ" if keys else "their fingerprints differ"
        found.append(f"These runs did not see the same data ({reason}): part of what separates them can be the data.")
    elif len(measured) > 1:  # train.patience leaves out the rows that it chose by
        found.append(f"These runs were not measured on the same held-out rows ({', '.join(map(count, measured))}).")
    return found


def ends(interval: Sequence[float] | None, say: str = "95% interval ") -> str:
    """An interval of shares in brackets, to follow a value; nothing for none."""
    return f" ({say}{percent(interval[0])} to {percent(interval[1])})" if interval else ""


def _disagreement(run: Run) -> list[str]:
    if not is_number(run.pd.get("relative")):
        return [
            "One replica was trained, so there is nothing to compare it with: no prediction difference is measured."
        ]
    how = DIFFER.get((run.config.get("siblings") or {}).get("differ", ""), "on the same rows")
    first = (
        f"{len(run.replicas)} replicas of this model were trained {how}. Their predictions for the same held-out "
        f"example differ by {percent(run.pd['relative'])} on average{_interval(run)}."
    )
    matched = run.pd.get("after_matching_means")
    if is_number(matched):
        first += f" Scaled to the same mean prediction, they differ by {percent(matched)}"
        shared = matched < run.pd["relative"]
        first += "; what is missing is a shift that all predictions of a replica share." if shared else "."
    return [first]


def _accuracy(run: Run) -> list[str]:
    auc = run.mean("auc")
    if auc is None:
        return []
    text = f"The mean AUC of the replicas is {decimal(auc)}."
    best = (run.metrics.get("best_possible") or {}).get("auc")
    if is_number(best):
        text += f" The log is synthetic, so its true probabilities are known: they score {decimal(best)}."
    return [text]


def _pd_against(baseline: Run, run: Run) -> list[str]:
    ours, theirs = run.pd.get("relative"), baseline.pd.get("relative")
    if ours is None or theirs is None:
        return [f"{run.label} cannot be compared in PD with {baseline.label}: it takes two replicas of each."]
    text = f"The PD of {run.label} is {percent(ours)}{_interval(run)}, that of {baseline.label} {percent(theirs)}"
    text += _interval(baseline, say="")
    text += f": {_relative(ours, theirs)}." if theirs and ours != theirs else "."
    if not (run.pd.get("interval") and baseline.pd.get("interval")):
        return [text]
    (low, high), (base_low, base_high) = run.pd["interval"], baseline.pd["interval"]
    apart = high < base_low or low > base_high
    return [text, "The two intervals do not overlap." if apart else "The two intervals overlap."]


def _accuracy_against(baseline: Run, run: Run) -> list[str]:
    """The change of AUC loss beside the spread among siblings: the only yardstick that one pair of runs has."""
    ours, theirs = run.mean("auc_loss"), baseline.mean("auc_loss")
    if ours is None or theirs is None:
        return []
    size = decimal(abs(ours - theirs))
    how = "lower" if ours < theirs else "higher"
    text = f"Its AUC loss is {decimal(ours)} against {decimal(theirs)}, "
    text += "the same to four decimals" if float(size) == 0 else f"which is {size} {how}"
    spreads = [max(each.values("auc_loss")) - min(each.values("auc_loss")) for each in (baseline, run)]
    if min(len(baseline.replicas), len(run.replicas)) > 1:
        text += f"; replicas of one and the same run differ by up to {decimal(max(spreads))}"
    return [text + "."]


def _of(run: Run, runs: Sequence[Run]) -> str:
    return f"of {run.label}, " if len(runs) > 1 else ""


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _interval(run: Run, say: str = "95% interval ") -> str:
    return ends(run.pd.get("interval"), say)


def _relative(value: float, baseline: float) -> str:
    return f"{abs(value / baseline - 1):.0%} {'lower' if value < baseline else 'higher'}"
