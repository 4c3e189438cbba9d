"""The tables of a sweep's report, and how its changes, intervals, probabilities and claims are written."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from smooth_recs.experiments.sweeps.paired import Front
from smooth_recs.experiments.sweeps.sweep_charts import Plane, Point
from smooth_recs.measures import catalogue
from smooth_recs.measures.catalogue import BY_NAME
from smooth_recs.measures.measure import ACCURACY, Measure
from smooth_recs.reports import formats, links
from smooth_recs.reports.formats import MINUS, Table, TableCell, measured, number, percent, setting, signed
from smooth_recs.workdir.finished_runs import is_number

SPACE = "\N{NO-BREAK SPACE}"
Variants = Sequence[Mapping[str, Any]]


def trade_offs(variants: Variants, axes: tuple[str, str], front: Front | None) -> Table:
    """PD and the loss, each with its change from the baseline, and which variants are on the Pareto front."""
    pd, loss = (BY_NAME[axis] for axis in axes)
    rows = {}
    for variant in variants:
        found = variant["measures"].get(pd.name) or {}
        rows[variant["label"]] = [
            with_interval(found.get("value"), found.get("interval"), formats.of(pd)),
            change(variant, pd.name),
            _mean(variant, loss),
            change(variant, loss.name),
        ]
    notes = {}
    if front:
        labels = {variant["name"]: variant["label"] for variant in variants}
        notes = {labels[name]: "on the Pareto front" for name in front.names}
        notes |= {labels[name]: f"not distinguishable from {labels[other]}" for name, other in front.near.items()}
    return Table(("Variant", pd.short, "Change", loss.short, "Change"), rows, notes=notes)


def others(variants: Variants, axes: tuple[str, str]) -> Table:
    """Means of the other measures of difference and accuracy, each with its mean change from the baseline."""
    swept = catalogue.swept("difference", "live", "recommendations", *ACCURACY)
    measures = [each for each in swept if each.name not in axes and _is_known(variants, each)]
    rows: dict[str, list[TableCell]] = {variant["label"]: [] for variant in variants}
    for variant in variants:
        for measure in measures:
            whole = change(variant, measure.name)
            without_interval = TableCell(whole.texts[:1], whole.values[:1])
            rows[variant["label"]] += [_mean(variant, measure), without_interval]
    return Table(("Variant", *(each for measure in measures for each in (measure.short, "Change"))), measured(rows))


def tuned(found: Sequence[Mapping[str, Any]]) -> Table:
    """The values that are best for each activation, of how many, and the validation rows' verdict on both ends.

    `found` is `tuned` of `results.json`; the table is empty where each had the same values from the start.
    """
    paths = list(found[0]["fields"]) if found else []
    rows, notes = {}, {}
    for each in found:
        values = [one["value"] for one in each["tried"] if one["value"] is not None]
        best, worst = (max(values), min(values)) if each["measure"] == "auc" else (min(values), max(values))
        rows[each["label"]] = [
            *(TableCell((setting(each["fields"][path]),)) for path in paths),
            TableCell((f"{best:.4f}",), (best,)),
            TableCell((f"{worst:.4f}",), (worst,)),
            TableCell((str(len(each["tried"])),)),
        ]
        if each["edges"]:
            names = " and ".join(path.rpartition(".")[2] for path in each["edges"])
            notes[each["label"]] = f"nothing was tried beyond the best {names}"
    measure = "AUC" if found and found[0]["measure"] == "auc" else "log loss"
    columns = ("Activation", *(path.rpartition(".")[2] for path in paths), f"Best {measure}", "Worst", "Tried")
    return Table(columns, rows, notes=notes)


def costs(variants: Variants) -> Table:
    """What the variants cost, as far as that is known."""
    measures = [each for each in catalogue.swept("size", "training", "serving") if _is_known(variants, each)]
    rows = {variant["label"]: [_mean(variant, measure) for measure in measures] for variant in variants}
    return Table(("Variant", *(measure.short for measure in measures)), measured(rows))


def lines(plane: Plane) -> Table:
    """What each activation offers over its widths; empty where there are no lines."""
    rows = {}
    for line in plane.lines:
        points = plane.line(line)
        no_worse = [point for point in points if point.x <= 0]
        rows[line] = [
            TableCell((", ".join(f"{point.width:g}" for point in points),)),
            _offer(min(points, key=lambda point: point.y)),
            _offer(min(no_worse, key=lambda point: point.y)) if no_worse else TableCell(("none",)),
            _offer(min(points, key=lambda point: point.x)),
        ]
    return Table(("Activation", "Widths", "Lowest PD", "Lowest PD, no less accurate", "Most accurate"), rows)


def every_pair(variants: Variants, seeds: Sequence[int], axes: tuple[str, str]) -> Table:
    """PD and loss of every pair of siblings."""
    measures = [BY_NAME[axis] for axis in axes]
    rows = {
        variant["label"]: [
            number(value, formats.of(measure))
            for measure in measures
            for value in variant["measures"][measure.name]["of_seeds"]
        ]
        for variant in variants
    }
    return Table(("Variant", *(f"{measure.short}, seed {seed}" for measure in measures for seed in seeds)), rows)


def runs(variants: Variants, seeds: Sequence[int], folder: str, page: str) -> Table:
    """The seeds of each variant, as links to the reports of their runs; empty where `page` finds none in `folder`."""
    rows = {}
    for variant in variants:
        workdirs = variant.get("workdirs") or [None] * len(seeds)  # results of an earlier version have none
        found = [
            (f"seed {seed}", address)
            for seed, workdir in zip(seeds, workdirs, strict=True)
            if workdir and (address := links.address(os.path.join(folder, workdir, "report.html"), page))
        ]
        if found:
            texts, addresses = zip(*found, strict=True)
            rows[variant["label"]] = [TableCell(texts, [None] * len(texts), addresses)]
    return Table(("Variant", "Reports of its runs"), rows)


def fields(variants: Variants) -> Table:
    """The fields in which the variants differ."""
    rows = {
        variant["name"]: [
            TableCell(["\n".join(f"{path} = {setting(value)}" for path, value in variant["fields"].items())])
        ]
        for variant in variants
    }
    return Table(("Name", "Fields"), measured(rows), numeric=False)


def claims(choice: Mapping[str, Any]) -> Table:
    """What was measured of the choice on pairs that did not choose it."""
    rows = {}
    for claim in choice["claims"]:
        rows[wanted(claim)] = [
            with_interval(claim["value"], claim["interval"], formats.of(BY_NAME[claim["measure"]])),
            with_interval(claim["percent"], claim["percent_interval"], signed_percent),
            number(claim["probability"], probability),
        ]
    return Table(("Wanted", "Measured", "Change", "Probability that it holds"), rows)


def wanted(claim: Mapping[str, Any]) -> str:
    """What a claim says: `PD lower than ReLU's`, `AUC loss at most ReLU's + 0.5%`, `PD at most 8.00%`."""
    measure = BY_NAME[claim["measure"]]
    if not claim["bound"]:
        return f"{measure.short} {'lower' if claim['sign'] > 0 else 'higher'} than {claim['than_label']}'s"
    limit = f"at {'most' if claim['sign'] > 0 else 'least'}"
    if not claim["than"]:
        return f"{measure.short} {limit} {formats.of(measure)(claim['limit'])}"
    # Rounded, as 1.005 - 1 is 0.00499999999999989.
    slack = round(100 * (claim["limit"] - 1), 6)
    more = f" {'+' if slack > 0 else MINUS} {abs(slack):g}%" if slack else ""
    return f"{measure.short} {limit} {claim['than_label']}'s{more}"


def probability(value: float) -> str:
    """A probability with one decimal; what would round to 0 or 1 is said to be near it."""
    return "more than 99.9%" if value > 0.999 else "less than 0.1%" if value < 0.001 else f"{100 * value:.1f}%"


def change(variant: Mapping[str, Any], measure: str) -> TableCell:
    """The change from the baseline: `−38.5% (−45.0% to −32.1%)`; a dash for the baseline."""
    found = variant["changes"].get(measure) or {}
    if not found.get("percent") and not any(found.get("percent_interval") or ()):
        return TableCell()
    return with_interval(found["percent"], found["percent_interval"], signed_percent)


def signed_percent(value: Any) -> str:
    """A share as a number of percent with its sign, two decimals below 10.

    >>> signed_percent(-0.385), signed_percent(0.0025)
    ('−38.5%', '+0.25%')
    """
    if not is_number(value):
        return percent(None)
    size = abs(100 * value)
    return signed(f"{size:.{1 if size >= 10 else 2}f}%", value)


def with_interval(value: Any, interval: Any, text: formats.Format) -> TableCell:
    """A value and its interval, `8.53% (8.32% to 8.71%)`, which a narrow column breaks before the bracket."""
    if not is_number(value):
        return TableCell()
    if not interval or not any(interval):
        return number(value, text)
    return TableCell((text(value), f"({text(interval[0])}{SPACE}to{SPACE}{text(interval[1])})"), (value, None))


def _offer(point: Point) -> TableCell:
    return TableCell((f"{signed_percent(point.pd_change)},{SPACE}{signed_percent(point.x)} at{SPACE}{point.width:g}",))


def _mean(variant: Mapping[str, Any], measure: Measure) -> TableCell:
    found = variant["measures"].get(measure.name) or {}
    return number(found.get("value"), formats.of(measure))


def _is_known(variants: Variants, measure: Measure) -> bool:
    """Whether any variant has a value of the measure."""
    return any(is_number((variant["measures"].get(measure.name) or {}).get("value")) for variant in variants)
