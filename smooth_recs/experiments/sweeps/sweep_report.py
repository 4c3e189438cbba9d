"""The report of a sweep and of the choice made by it: for the terminal, as Markdown, as a page, as figure 4.

The sentences say what the pairs show, and what they cannot show.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from smooth_recs import _files
from smooth_recs.experiments.sweeps import choice as choices
from smooth_recs.experiments.sweeps import paired as paired_lib
from smooth_recs.experiments.sweeps import sweep_charts, sweep_tables, sweep_verdict
from smooth_recs.experiments.sweeps.paired import Front, Paired
from smooth_recs.experiments.sweeps.sweep_tables import probability, signed_percent, wanted, with_interval
from smooth_recs.measures.catalogue import BY_NAME
from smooth_recs.reports import formats, links, page
from smooth_recs.reports.formats import markdown, percent

PICTURES = ("figure4.png", "figure4.svg")
_FILES = ("chosen.py", "choice.json", "results.json", "results.csv", "results.md", *PICTURES)


def write(results: Mapping[str, Any], folder: str, choice: Mapping[str, Any] | None = None) -> str:
    """Writes `report.html`, `results.md`, `figure4.png` and `figure4.svg` into `folder`; returns what to print.

    Args:
      results: the content of `results.json`.
      folder: exists.
      choice: what `choice.choose` or `choice.confirmed` returned, and `config_file`, where it was written; None for
        none.

    ```python
    print(write(read_json("runs/sweep/results.json"), "runs/sweep"))
    ```
    """
    paired = Paired(results)
    axes, variants = paired.axes, results["variants"]
    front = paired_lib.front(paired, axes)
    plane = sweep_charts.plane(results, axes)
    drawn = len(plane.points) > 1
    others = [name for name in paired.names if name != paired.baseline]
    on_cards = sweep_verdict.card_variant(results, choice)
    fresh = (choice or {}).get("confirmation")
    warned, said = warnings(results), sentences(results, front)
    trade_offs = sweep_tables.trade_offs(variants, axes, front)
    tables = {
        "claims": sweep_tables.claims(choice) if choice else None,
        "confirmation": sweep_tables.trade_offs(fresh["variants"], axes, None) if fresh else None,
        "by_line": sweep_tables.lines(plane) if drawn else None,
        "tuned": sweep_tables.tuned(results.get("tuned") or []),  # results of an earlier version have none
        "others": sweep_tables.others(variants, axes),
        "costs": sweep_tables.costs(variants),
    }
    contents = {
        **tables,
        "title": f"{paired.label(others[0]) if len(others) == 1 else f'{len(others)} variants'} against "
        f"{paired.label(paired.baseline)}",
        "verdict": sweep_verdict.title(results, choice),
        "cards": sweep_verdict.cards(results, choice),
        "on_cards": paired.label(on_cards) if on_cards else "",
        "variants": len(variants),
        "pairs": len(results["seeds"]),
        "chosen_by_these": on_cards is not None and choice is not None and choice["chosen"] == on_cards,
        "baseline": paired.label(paired.baseline),
        "loss": BY_NAME[axes[1]].inside,
        "warnings": warned,
        "lines": plane.lines,
        "colours": [sweep_charts.line_colour(plane, line) for line in plane.lines],
        "chart": sweep_charts.whole(plane) if drawn else "",
        "closer": sweep_charts.closer(plane) if drawn else "",
        "choice": choice,
        "choice_sentences": choice_sentences(choice, claims=False) if choice else [],
        "config_file": (choice or {}).get("config_file"),
        "sentences": said,
        "caveat": caveat(results),
        "trade_offs": trade_offs,
        "every_pair": sweep_tables.every_pair(variants, results["seeds"], axes),
        "fields": sweep_tables.fields(variants),
        "data": formats.settings_table(results["data"]),
        "settings": formats.settings_table(results["config"]),
        "versions": formats.settings_table(results["versions"]),
        "command": results["command"],
    }
    if drawn:
        sweep_charts.pictures(plane, [os.path.join(folder, name) for name in PICTURES])
    lines = [markdown(trade_offs), "", *(f"- {sentence}" for sentence in (*warned, *said))]
    if choice:
        lines += ["", f"Goal: {choice['goal']}", "", *(f"- {sentence}" for sentence in choice_sentences(choice))]
        if contents["config_file"]:
            lines += ["", f"config   {contents['config_file']}"]
    for_terminal = "\n".join(lines)
    parts = [for_terminal, *(markdown(table) for table in tables.values() if table and table.rows), caveat(results)]
    _files.write_text(os.path.join(folder, "results.md"), "\n\n".join(parts).strip() + "\n")
    # After all that it links.
    output = os.path.join(folder, "report.html")
    contents["links"] = links.existing([(name, os.path.join(folder, name)) for name in _FILES], output)
    contents["runs"] = sweep_tables.runs(variants, results["seeds"], folder, output)
    page.write("sweep.html.j2", contents, output)
    return f"{for_terminal}\n\nreport   {output}"


def warnings(results: Mapping[str, Any]) -> list[str]:
    """What keeps the numbers from being conclusive."""
    paired = Paired(results)
    found = [
        f"{variant['label']}, seed {seed}: {'; '.join(reasons)}."
        for variant in results["variants"]
        for seed, reasons in (variant.get("collapsed") or {}).items()  # results of an earlier version have none
    ]
    if len(results["seeds"]) == 1:
        found.append("One pair of each variant is no ground to conclude on: pairs vary by several points of PD.")
    if len(results["seeds"]) == 2:
        # The 97.5th percentile of Student's t with one degree of freedom.
        found.append(
            "Two pairs of each variant show hardly anything: their 95% intervals reach 12.7 standard errors to either "
            "side. Five or more pairs are better."
        )
    if not paired.complete:
        few = len(paired.names) - len(paired.finalists)
        found.append(
            f"{few} of {len(paired.names)} variants were not trained with all seeds. All are compared with the "
            "baseline over the seeds that they have."
        )
    return found


def caveat(results: Mapping[str, Any]) -> str:
    """What the intervals are, and how many of them miss."""
    if len(results["seeds"]) == 1:
        return ""
    said = (
        "In parentheses: 95% intervals over training runs with seeds of their own (Student's t), changes seed by seed. "
        "One interval in twenty misses by chance"
    )
    others = len(results["variants"]) - 1
    if others < 2:
        return f"{said}."
    return (
        f"{said}. These are {others} variants: what is called shown has to hold for all of them together (Bonferroni). "
        "The best of many looks better than it is, so a choice is measured fairly only on pairs that did not choose it."
    )


def sentences(results: Mapping[str, Any], front: Front) -> list[str]:
    """Paragraphs on the PD of the baseline, on what changed PD and accuracy, and on the Pareto front."""
    paired = Paired(results)
    baseline = next(variant for variant in results["variants"] if variant["name"] == results["baseline"])
    others = [variant for variant in results["variants"] if variant is not baseline]
    pd = baseline["measures"]["pd"]
    if pd["value"] is None:
        found = [f"{baseline['label']}, the baseline, has no PD: not all of its predictions are numbers."]
    else:
        low, high = pd["interval"] or (None, None)
        interval = f" (95% interval {percent(low)} to {percent(high)})" if pd["interval"] else ""
        found = [
            f"Two trainings of {baseline['label']}, the baseline, differ in their predictions for a held-out example "
            f"by {percent(pd['value'])} on average{interval}."
        ]
    if not others:
        return found
    for axis, better in zip(paired.axes, ("reproducible", "accurate"), strict=True):
        if len(results["seeds"]) == 1:
            break
        shown = sweep_verdict.shown(paired, axis)
        changes = {variant["label"]: variant["changes"].get(axis) or {} for variant in others}
        signs = {variant["label"]: shown[variant["name"]] for variant in others}
        less = {label: changes[label] for label, sign in signs.items() if sign < 0}
        more = [label for label, sign in signs.items() if sign > 0]
        unknown = len(others) - len(less) - len(more)
        if unknown == len(others):
            whether = (
                f"whether {others[0]['label']} is" if len(others) == 1 else f"whether any of the {unknown} variants is"
            )
            said = f"The pairs do not show {whether} more or less {better} than the baseline."
        else:
            said = (
                f"{len(less)} of {len(others)} variants {'is' if len(less) == 1 else 'are'} shown to be more {better} "
                f"than the baseline, {len(more)} to be less {better}"
            )
            said += f"; for {unknown} the pairs are inconclusive." if unknown else "."
        less = {label: each for label, each in less.items() if each.get("percent_interval")}
        if less:
            best = min(less, key=lambda label: float(less[label]["percent"]))
            said += f" The largest improvement of {BY_NAME[axis].inside} is that of {best}: {_change(less[best])}."
        found.append(said)
    if front.names:
        names, near = ("; ".join(map(paired.label, each)) for each in (front.names, front.near))
        said = f"No other variant is better in both than these, the Pareto front of the means: {names}."
        if near:
            said += f" For these the pairs do not show that a variant on the front is better: {near}."
        found.append(said)
    return found


def choice_sentences(choice: Mapping[str, Any], *, claims: bool = True) -> list[str]:
    """What was chosen, whether it is really better, and how that is known; without `claims` not what was measured."""
    baseline, label = choice["baseline_label"], choice["label"]
    if choice["chosen"] is None:
        return [f"Nothing meets the goal: no variant keeps its bounds. Stay with {baseline}, or loosen the bounds."]
    if choice["verdict"] == "nothing":
        return [f"Nothing beats the baseline: of all variants that keep the bounds, {baseline} is the best."]
    if choice["verdict"] == "not measured":
        return [f"{sweep_verdict.of_choice(choice)}. --confirm=5 trains new pairs of both."]
    found = [f"Chosen: {label}." if choice["verdict"] == "better" else f"{sweep_verdict.of_choice(choice)}."]
    folds = choice["folds"]
    if folds:
        same = sum(fold["chosen"] == choice["chosen"] for fold in folds)
        found[0] += f" Without one of the {len(folds)} pairs, the choice is the same in {same} of {len(folds)}."
    for claim in choice["claims"] if claims else ():
        value = " ".join(with_interval(claim["value"], claim["interval"], formats.of(BY_NAME[claim["measure"]])).texts)
        said = f"{wanted(claim)}, with a probability of {probability(claim['probability'])}: {value}"
        if claim["percent_interval"]:
            said += f", {_change(claim)} from {claim['than_label']}'s"
        found.append(f"{said}.")
    if not choice["baseline_meets"]:
        found.append(f"{baseline} does not keep the bounds, so what counts is that {label} does.")
    if choice["verdict"] == "better":
        sure = sweep_verdict.at_least(choice)
        found.append(f"So {label} is better than {baseline} for this goal, with a probability of {sure}.")
    if choice["method"] == choices.FRESH:
        return [*found, f"Measured on {len(choice['seeds'])} fresh pairs of each, which did not choose it."]
    return [
        *found,
        "Measured by leaving out one pair after the other: the choice is made by the others, and measured on the one "
        "left out. That judges the way of choosing, with one pair fewer; --confirm=5 measures the chosen variant "
        "itself on fresh pairs.",
    ]


def _change(found: Mapping[str, Any]) -> str:
    low, high = found["percent_interval"]
    return f"{signed_percent(found['percent'])} ({signed_percent(low)} to {signed_percent(high)})"
