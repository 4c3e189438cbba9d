"""Sentences of a report in plain words: what the numbers of one run, or of several, say and what they do not say.

A difference that chance can explain is called inconclusive.
"""

from __future__ import annotations

from collections.abc import Sequence

from smooth_recs.reports import headline
from smooth_recs.reports.formats import count, decimal, percent
from smooth_recs.reports.slice_tables import highest
from smooth_recs.workdir.finished_runs import Run, differing, flatten, is_number

_CAVEAT = (
    "The interval is over held-out requests: it shows how much PD would vary with other requests, for these very "
    "models. It says nothing about another training run. A claim about an activation needs an interval over several "
    "pairs, each with a seed of its own."
)
_OVER_REPLICAS = (
    " The interval over replicas shows how much PD would vary with other replicas of the same run: the same data and "
    "settings, and whatever else the replicas share."
)
DIFFER = {
    "order": "on the same rows, each in its own order",
    "init": "on the same rows in the same order, each from its own initial weights",
    "both": "on the same rows, each in its own order and from its own initial weights",
    "nothing": "on the same rows, in the same order, from the same initial weights",
}
"""What the replicas of a run have in common, by the values of `siblings.differ`."""


def sentences(runs: Sequence[Run]) -> list[str]:
    """Paragraphs on PD and accuracy: of one run, or of each further run against the first, the baseline."""
    return _on_one_run(runs[0]) if len(runs) == 1 else [_against(runs[0], run) for run in runs[1:]]


def _on_one_run(run: Run) -> list[str]:
    """What PD and AUC of a run are."""
    relative, matched = run.pd.get("relative"), run.pd.get("after_matching_means")
    if is_number(relative):
        how = DIFFER.get((run.config.get("siblings") or {}).get("differ", ""), "on the same rows")
        text = (
            f"{len(run.replicas)} replicas of this model were trained {how}. Their predictions for the same held-out "
            f"example differ by {percent(relative)} on average{ends(run.pd.get('interval'))}."
        )
        if is_number(matched):
            text += f" Scaled to the same mean prediction, they differ by {percent(matched)}"
            text += "; the rest is a shift that all predictions of a replica share." if matched < relative else "."
    else:
        text = "One replica was trained, so there is nothing to compare it with: no prediction difference is measured."
    found, auc = [text], run.mean("auc")
    if auc is not None:
        text = f"The mean AUC of the replicas is {decimal(auc)}."
        best = (run.metrics.get("best_possible") or {}).get("auc")
        if is_number(best):
            text += f" The log is synthetic, so its true probabilities are known: their AUC is {decimal(best)}."
        found.append(text)
    return found


def _against(baseline: Run, run: Run) -> str:
    """How PD and AUC loss of a run compare with those of the baseline."""
    ours, theirs = run.pd.get("relative"), baseline.pd.get("relative")
    if ours is None or theirs is None:
        text = f"{run.label} cannot be compared in PD with {baseline.label}: it takes two replicas of each."
    else:
        text = f"The PD of {run.label} is {percent(ours)}{ends(run.pd.get('interval'))}, that of {baseline.label} "
        text += f"{percent(theirs)}{ends(baseline.pd.get('interval'), say='')}"
        if theirs and ours != theirs:
            text += f": {abs(ours / theirs - 1):.0%} {'lower' if ours < theirs else 'higher'}"
        text += "."
        apart = headline.are_apart(baseline, run)
        if apart is not None:
            text += f" The two intervals {'do not overlap' if apart else 'overlap, so the difference is inconclusive'}."

    ours, theirs = run.mean("auc_loss"), baseline.mean("auc_loss")
    if ours is None or theirs is None:
        return text
    text += f" Its AUC loss is {decimal(ours)} against {decimal(theirs)}, "
    distance = abs(ours - theirs)
    same = float(decimal(distance)) == 0
    text += "the same to four decimals" if same else f"{decimal(distance)} {'lower' if ours < theirs else 'higher'}"
    spread = headline.replica_spread((baseline, run), "auc_loss")
    if spread is not None:
        text += f"; replicas of the same run differ by {headline.visible(spread, 'up to ')}"
        text += ", so this is inconclusive" if not same and distance <= spread else ""
    return text + "."


def where(runs: Sequence[Run]) -> list[str]:
    """The slice with the highest PD of each run, and its share of the whole difference."""
    found = []
    for run in runs:
        for title, name, each in highest(run)[:1]:
            text = f"the PD is highest where {title} is {name}: {percent(each['pd'])}{ends(each.get('interval'))}"
            if is_number(each.get("weight_share")) and is_number(each.get("pd_share")):
                text += f". These are {percent(each['weight_share'])} of the examples"
                text += f" and {percent(each['pd_share'])} of the whole difference"
            found.append(_sentence(text, run, runs))
    return found


def recommendations(runs: Sequence[Run]) -> list[str]:
    """How often two models of each run recommend different lists."""
    found = []
    for run in runs:
        lists = run.metrics.get("recommendations") or {}
        if is_number(lists.get("swap_rate")):
            text = f"two models have a different ordered top {lists.get('k')} in {percent(lists['swap_rate'])} of the"
            found.append(_sentence(f"{text} requests{ends(lists.get('swap_rate_interval'))}", run, runs))
    return found


def live(runs: Sequence[Run]) -> list[str]:
    """How far the replicas of each run that has a live model are from it."""
    found = []
    for run in runs:
        measured = run.metrics.get("pd_live") or {}
        if is_number(measured.get("relative")):
            text = f"the predictions differ from those of the live model by {percent(measured['relative'])} on average"
            text += ends(measured.get("interval"))
            lists = measured.get("recommendations") or {}
            if is_number(lists.get("swap_rate")):
                text += f", and {percent(lists['swap_rate'])} of the requests have a different ordered top {lists['k']}"
            path = (measured.get("model") or {}).get("path")
            found.append(_sentence(f"{text} (live: {path})" if path else text, run, runs))
    return found


def _sentence(text: str, run: Run, runs: Sequence[Run]) -> str:
    """A whole sentence, which names the run where there are several."""
    return f"For {run.label}, {text}." if len(runs) > 1 else f"{text[:1].upper()}{text[1:]}."


def caveat(runs: Sequence[Run]) -> str:
    """What the intervals do not cover; empty where there is no interval."""
    if not any(run.pd.get("interval") for run in runs):
        return ""
    if any(run.pd.get("interval_over_replicas") for run in runs):
        few = any(len(run.replicas) == 3 for run in runs)
        return _CAVEAT + _OVER_REPLICAS + (" With three replicas it is very wide." if few else "")
    one_pair = any(run.workdir and len(run.replicas) == 2 for run in runs)  # two models that are compared have none
    return _CAVEAT + (" Two replicas are one pair, and one pair has no interval over replicas." if one_pair else "")


def warnings(runs: Sequence[Run]) -> list[str]:
    """What is likely to be wrong with the runs, or with a comparison of them; mostly nothing."""
    own: dict[str, list[str]] = {}
    for run in runs:
        for text in run.warnings:
            own.setdefault(text, []).append(run.label)
    said = []
    for text, labels in own.items():
        which = "" if len(labels) == len(runs) else f" ({', '.join(labels)})"  # what all runs share goes without names
        said.append(f"{text[:1].upper()}{text[1:]}{which}.")
    return said + _unlike(runs)


def _unlike(runs: Sequence[Run]) -> list[str]:
    """Reasons why the runs cannot be compared like for like."""
    settings = [flatten(run.config.get("data") or {}, "data") for run in runs]
    # The window of the shuffle changes the order of the rows, not the rows.
    keys = [key for key in differing(settings) if key != "data.shuffle_window"]
    fingerprints = {str((run.manifest.get("data") or {}).get("fingerprint")) for run in runs}
    measured = list(dict.fromkeys(run.metrics.get("eval_examples") for run in runs))
    if keys or len(fingerprints) > 1:
        reason = f"{', '.join(keys)} differ" if keys else "their fingerprints differ"
        return [
            f"These runs did not see the same data ({reason}): part of the difference between them can be the data."
        ]
    # A run with `train.patience` chooses its best weights on the first held-out rows, and leaves those out.
    if len(measured) > 1:
        return [f"These runs were not measured on the same held-out rows ({', '.join(map(count, measured))})."]
    return []


def ends(interval: Sequence[float] | None, say: str = "95% interval ") -> str:
    """An interval of shares in brackets, to follow a value; empty where there is none."""
    return f" ({say}{percent(interval[0])} to {percent(interval[1])})" if interval else ""
