"""What the results of a sweep, and the choice made by them, say in plain words, and what they cannot say.

The results of a sweep for people: on the terminal, as Markdown, as a page, as figure 4 of the paper.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from smooth_recs._files import whole_file
from smooth_recs.experiments.sweeps import choice as choices
from smooth_recs.experiments.sweeps import paired as paired_lib
from smooth_recs.experiments.sweeps import sweep_charts, sweep_tables
from smooth_recs.experiments.sweeps.paired import Front, Paired
from smooth_recs.experiments.sweeps.sweep_tables import probability, signed_percent, wanted, with_interval
from smooth_recs.measures.catalogue import BY_NAME
from smooth_recs.reports import formats, page
from smooth_recs.reports.formats import markdown, percent


def sentences(results: Mapping[str, Any], front: Front) -> list[str]:
    """Paragraphs on PD, accuracy and the front."""
    paired = Paired(results)
    axes = paired.axes
    others = [variant for variant in results["variants"] if variant["name"] != results["baseline"]]
    found = [_baseline(results)]
    if not others:
        return found
    if len(results["seeds"]) > 1:
        found += [_shown(others, axis, axis_words) for axis, axis_words in zip(axes, _WORDS, strict=True)]
    return [*found, _front(front, paired)] if front.names else found


def warnings(results: Mapping[str, Any]) -> list[str]:
    """What keeps the numbers from being conclusive."""
    paired = Paired(results)
    found = []
    if len(results["seeds"]) == 1:
        found.append("One pair of each variant is no ground to conclude on: pairs vary by several points of PD.")
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
        f"{said}, and these are {others} variants: the best of many looks better than it is. A choice is measured "
        "fairly only on pairs that did not choose it."
    )


_WORDS = (("more reproducible", "less reproducible"), ("more accurate", "less accurate"))


def _baseline(results: Mapping[str, Any]) -> str:
    baseline = next(variant for variant in results["variants"] if variant["name"] == results["baseline"])
    pd = baseline["measures"]["pd"]
    if pd["value"] is None:
        return f"{baseline['label']}, the baseline, has no PD: not all of its predictions are numbers."
    interval = pd["interval"]
    said = f" (95% interval {percent(interval[0])} to {percent(interval[1])})" if interval else ""
    return (
        f"Two trainings of {baseline['label']}, the baseline, differ in their predictions for a held-out example by "
        f"{percent(pd['value'])} on average{said}."
    )


def _shown(others: Sequence[Mapping[str, Any]], axis: str, words: tuple[str, str]) -> str:
    """How many variants changed a measure beyond doubt, and the one that lowered it most."""
    known = [variant for variant in others if (variant["changes"].get(axis) or {}).get("percent_interval")]
    less = [variant for variant in known if variant["changes"][axis]["percent_interval"][1] < 0]
    more = [variant for variant in known if variant["changes"][axis]["percent_interval"][0] > 0]
    said = f"{_count(less, others)} shown to be {words[0]} than the baseline, {len(more)} to be {words[1]}"
    unknown = len(others) - len(less) - len(more)
    said += f"; of {unknown} the pairs do not tell." if unknown else "."
    if not less:
        return said
    best = min(less, key=lambda variant: variant["changes"][axis]["percent"])
    found = best["changes"][axis]
    return f"{said} The largest improvement of {BY_NAME[axis].inside} is that of {best['label']}: {_change(found)}."


def _count(some: Sequence[Any], every: Sequence[Any]) -> str:
    return f"{len(some)} of {len(every)} variants {'is' if len(some) == 1 else 'are'}"


def _change(found: Mapping[str, Any]) -> str:
    low, high = found["percent_interval"]
    return f"{signed_percent(found['percent'])} ({signed_percent(low)} to {signed_percent(high)})"


def _front(front: Front, paired: Paired) -> str:
    names = "; ".join(paired.label(name) for name in front.names)
    said = f"No other variant is better in both than these, the Pareto front of the means: {names}."
    if front.near:
        near = "; ".join(paired.label(name) for name in front.near)
        said += f" The pairs do not tell these from a variant on the front: {near}."
    return said


def of_choice(choice: Mapping[str, Any], *, claims: bool = True) -> list[str]:
    """What was chosen, whether it is really better, and how that is known; without `claims` not what was measured."""
    baseline = choice["baseline_label"]
    if choice["chosen"] is None:
        return [f"Nothing meets the goal: no variant keeps its bounds. Stay with {baseline}, or loosen the bounds."]
    if choice["verdict"] == "nothing":
        return [f"Nothing beats the baseline: of all variants that keep the bounds, {baseline} is the best."]
    said = [f"Chosen: {choice['label']}.{_agreement(choice)}"]
    if choice["verdict"] == "not measured":
        return [*said, _not_measured(choice)]
    said += [_claim(claim) for claim in choice["claims"] if claims]
    if not choice["baseline_meets"]:
        said.append(f"{baseline} does not keep the bounds, so what counts is that {choice['label']} does.")
    return [*said, _conclusion(choice), _method(choice)]


def _agreement(choice: Mapping[str, Any]) -> str:
    """How much the choice depends on single pairs."""
    if not choice["folds"]:
        return ""
    same = choices.agreement(choice).get(choice["chosen"], 0)
    return (
        f" Without one of the {len(choice['folds'])} pairs, the choice is the same in {same} of {len(choice['folds'])}."
    )


def _not_measured(choice: Mapping[str, Any]) -> str:
    return (
        f"Whether it is really better than {choice['baseline_label']} is not known: every pair helped to choose it. "
        "--confirm=5 trains new pairs of both."
    )


def _claim(claim: Mapping[str, Any]) -> str:
    text = formats.of(BY_NAME[claim["measure"]])
    value = " ".join(with_interval(claim["value"], claim["interval"], text).texts)
    said = f"{wanted(claim)}, with a probability of {probability(claim['probability'])}: {value}"
    if claim["percent_interval"]:
        said += f", {_change(claim)} from {claim['than_label']}'s"
    return f"{said}."


def _conclusion(choice: Mapping[str, Any]) -> str:
    better = f"{choice['label']} is better than {choice['baseline_label']}"
    sure = choice["probability"]
    at_least = "more than 99.9%" if sure > 0.999 else f"at least {100 * sure:.1f}%"
    if choice["verdict"] == "better":
        return f"So {better} for this goal, with a probability of {at_least}."
    return f"That {better} for this goal is not shown: the probability is {at_least}, and 95% is asked for."


def _method(choice: Mapping[str, Any]) -> str:
    if choice["method"] == choices.FRESH:
        return f"Measured on {len(choice['seeds'])} fresh pairs of each, which did not choose it."
    return (
        "Measured by leaving out one pair after the other: the choice is made by the others, and measured on the one "
        "left out. That judges the way of choosing, with one pair fewer; --confirm=5 measures the chosen variant "
        "itself on fresh pairs."
    )


PICTURES = ("figure4.png", "figure4.svg")


def write(results: Mapping[str, Any], folder: str, choice: Mapping[str, Any] | None = None) -> str:
    """Writes `report.html`, `results.md`, `figure4.png` and `figure4.svg` into `folder`; returns what to print.

    Args:
      results: the content of `results.json`.
      folder: exists.
      choice: of `choice.choose` or `choice.confirmed`, and `config_file`, where it was written; None for none.

    ```python
    print(sweep_report.write(workdir.read_json("runs/sweep/results.json"), "runs/sweep"))
    ```
    """
    contents = _contents(results, choice)
    page.write("sweep.html.j2", contents, str(Path(folder, "report.html")))
    plane = contents.pop("plane")
    if plane is not None:
        sweep_charts.pictures(plane, [str(Path(folder, name)) for name in PICTURES])
    said = _said(contents)
    with whole_file(str(Path(folder, "results.md"))) as beside:
        Path(beside).write_text(_markdown(contents), encoding="utf-8")
    return f"{said}\n\nreport   {Path(folder, 'report.html')}"


def _contents(results: Mapping[str, Any], choice: Mapping[str, Any] | None) -> dict[str, Any]:
    paired = Paired(results)
    axes, variants = paired.axes, results["variants"]
    front = paired_lib.front(paired, axes)
    plane = sweep_charts.plane(results, axes)
    drawn = len(plane.points) > 1
    fresh = (choice or {}).get("confirmation")
    return {
        "title": f"{_others(paired)} against {paired.label(paired.baseline)}",
        "variants": len(variants),
        "pairs": len(results["seeds"]),
        "baseline": paired.label(paired.baseline),
        "loss": BY_NAME[axes[1]].inside,
        "warnings": warnings(results),
        "lines": plane.lines,
        "colours": [sweep_charts.line_colour(plane, line) for line in plane.lines],
        "plane": plane if drawn else None,
        "chart": sweep_charts.whole(plane) if drawn else "",
        "closer": sweep_charts.closer(plane) if drawn else "",
        "choice": choice,
        "choice_sentences": of_choice(choice, claims=False) if choice else [],
        "claims": sweep_tables.claims(choice) if choice else None,
        "confirmation": sweep_tables.trade_offs(fresh["variants"], axes, None) if fresh else None,
        "config_file": (choice or {}).get("config_file"),
        "sentences": sentences(results, front),
        "caveat": caveat(results),
        "trade_offs": sweep_tables.trade_offs(variants, axes, front),
        "every_pair": sweep_tables.every_pair(variants, results["seeds"], axes),
        "by_line": sweep_tables.lines(plane) if drawn else None,
        "others": sweep_tables.others(variants, axes),
        "costs": sweep_tables.costs(variants),
        "fields": sweep_tables.fields(variants),
        "data": sweep_tables.settings(results["data"]),
        "settings": sweep_tables.settings(results["config"]),
        "versions": sweep_tables.settings(results["versions"]),
        "command": results["command"],
    }


def _others(paired: Paired) -> str:
    others = [name for name in paired.names if name != paired.baseline]
    return paired.label(others[0]) if len(others) == 1 else f"{len(others)} variants"


def _said(contents: Mapping[str, Any]) -> str:
    """What fits a terminal: the table, and what it says."""
    said = [markdown(contents["trade_offs"]), ""]
    said += [f"- {sentence}" for sentence in (*contents["warnings"], *contents["sentences"])]
    if contents["choice"]:
        said += ["", f"Goal: {contents['choice']['goal']}", ""]
        said += [f"- {sentence}" for sentence in of_choice(contents["choice"])]
        if contents["config_file"]:
            said += ["", f"config   {contents['config_file']}"]
    return "\n".join(said)


def _markdown(contents: Mapping[str, Any]) -> str:
    tables = [contents[name] for name in ("claims", "confirmation", "by_line", "others", "costs")]
    parts = [_said(contents), *(markdown(table) for table in tables if table and table.rows)]
    return "\n\n".join([*parts, contents["caveat"]]).strip() + "\n"
