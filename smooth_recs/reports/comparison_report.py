"""Report of two models that predicted the same rows, as one HTML file."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from smooth_recs import _paths
from smooth_recs.measures import catalogue, gates
from smooth_recs.measures.measure import ACCURACY
from smooth_recs.reports import charts, formats, links, page, slice_charts, tables, verdict
from smooth_recs.reports.formats import (
    Format,
    Table,
    TableCell,
    count,
    decimal,
    interval,
    measured,
    number,
    percent,
    points,
    short,
    signed_decimal,
    signed_short,
)
from smooth_recs.reports.headline import Card
from smooth_recs.workdir.finished_runs import Run, is_number

Comparison = Mapping[str, Any]


def write(comparison: Comparison, output_html: str) -> None:
    """Writes the report of a comparison: its gates first, then everything measured; `a` is the baseline.

    Args:
      comparison: the content of the JSON file of `smooth_recs.bin.compare`.
      output_html: path of the HTML file; its folder is made where it does not exist.

    ```python
    comparison_report.write(json.loads(Path("comparison.json").read_text()), "comparison.html")
    ```
    """
    a, b = comparison["a"], comparison["b"]
    # A comparison has what a run has: PD, slices and recommendations between two models.
    manifest = {key: comparison.get(key) for key in ("data", "versions", "command")}
    runs = [Run("", "B against A", comparison.get("settings") or {}, manifest, comparison)]

    lists, increases = comparison.get("recommendations") or {}, comparison.get("increase") or {}
    cards = [
        Card(f"{each.label}, B − A", signed_decimal(increases[each.name]["value"]), ["lower is better"])
        for each in catalogue.leading()
        if increases.get(each.name)
    ]
    if lists:
        different = f"requests with a different top {lists.get('k')}"
        cards.insert(0, Card("Swap rate", percent(lists.get("swap_rate")), [different]))

    interval_of_pd = comparison["pd"].get("interval")
    over = ["of B from A", *([f"{' to '.join(map(percent, interval_of_pd))} over requests"] if interval_of_pd else [])]
    cards.insert(0, Card("Prediction difference (PD)", percent(comparison["pd"]["relative"]), over))

    # The baseline is to this page what the live model is to a run.
    directions = {each: (comparison.get("directional_flips") or {}).get(each.name) for each in catalogue.of("live")}
    cards += [
        Card(each.label, formats.of(each)(share), [each.note])
        for each, share in directions.items()
        if share is not None
    ]

    warnings = [f"{'AB'[each['replica']]} {each['reason']}." for each in comparison.get("collapsed") or ()]
    alone = [(count(comparison.get(f"only_in_{name}")), name) for name in "ab" if comparison.get(f"only_in_{name}")]
    if alone:
        where = " and ".join(f"{rows} only in {name.upper()}" for rows, name in alone)
        warnings += [f"Not all rows have a counterpart: {where}. They are left out of everything on this page."]

    models = {key: [TableCell((str(each.get(key)),)) for each in (a, b)] for key in ("path", "kind")}
    models["rows"] = [number(each.get("rows"), count) for each in (a, b)]
    contents = {
        "title": _title(str(a["path"]), str(b["path"])),
        "verdict": _verdict(comparison),
        "runs": runs,
        "links": links.existing(
            [
                ("all numbers as JSON", f"{output_html.removesuffix('.html')}.json"),
                *(target for name, each in (("A", a), ("B", b)) for target in links.of_model(name, str(each["path"]))),
            ],
            output_html,
        ),
        "gates": [_gate(gate) for gate in comparison.get("gates") or ()],
        "cards": cards,
        "warnings": warnings,
        "sentences": _sentences(comparison),
        "caveat": verdict.caveat(runs),
        "accuracy": _accuracy(comparison),
        "models": Table(("", "A", "B"), models, numeric=False),
        "histogram": charts.pd_histogram(runs) if tables.histogram(runs) else "",
        "slice_charts": slice_charts.draw(runs),
        "where_sentences": verdict.where(runs),
        "recommendation_sentences": verdict.recommendations(runs),
    }
    page.write("comparison.html.j2", contents, output_html)


def _title(a: str, b: str) -> str:
    """The parts in which two paths differ: `smelu against relu` for runs/relu/export and runs/smelu/export."""
    one, other = _paths.normalized(a).split("/"), _paths.normalized(b).split("/")
    for end in (0, -1):
        while one and other and one[end] == other[end]:
            one.pop(end)
            other.pop(end)
    return f"{'/'.join(other) or 'B'} against {'/'.join(one) or 'A'}"


def _verdict(comparison: Comparison) -> str:
    """Whether the gates are met, how far the models differ, and whether B is more or less accurate."""
    gates_given = comparison.get("gates") or ()
    missed = sum(not gate["met"] for gate in gates_given)
    parts = []
    if missed:
        parts.append(f"{missed} of {len(gates_given)} {'gates' if len(gates_given) > 1 else 'gate'} not met")
    elif gates_given:
        parts.append("All gates met" if len(gates_given) > 1 else "Gate met")
    parts.append(f"{'a' if parts else 'A'} prediction difference of {percent(comparison['pd']['relative'])}")
    increase = (comparison.get("increase") or {}).get("auc_loss")
    if increase:
        low, high = increase["interval"] or (0, 0)
        shown = "inconclusive" if low <= 0 <= high else "shown to be less accurate" if low > 0 else "shown to be better"
        parts.append(f"AUC loss of B {signed_decimal(increase['value'])}, {shown}")
    return "; ".join(parts)


def _gate(gate: Mapping[str, Any]) -> dict[str, Any]:
    """A gate in words: its name, the value, the limit, and the distance between the two."""
    name: str = gate["name"]
    text: Format = short
    # A gate of another version, which this one does not know, keeps its name.
    with contextlib.suppress(KeyError):
        measure, increase = gates.limited(name)
        text = signed_short if increase else formats.of(measure)
        name = f"Increase of the {measure.inside}" if increase else measure.label
    distance = abs(gate["value"] - gate["limit"])
    size = points(distance) if text is percent else short(distance)
    return {
        "name": name,
        "met": gate["met"],
        "value": text(gate["value"]),
        "limit": text(gate["limit"]),
        "distance": f"{size} {'below' if gate['value'] <= gate['limit'] else 'above'} the limit",
    }


def _sentences(comparison: Comparison) -> list[str]:
    """Paragraphs on PD and on the increase of the AUC loss."""
    pd = comparison["pd"]
    text = f"The predictions of B for the same example differ from those of A by {percent(pd['relative'])} on average"
    text += f"{verdict.ends(pd.get('interval'))}."
    matched = pd.get("after_matching_means")
    if is_number(matched):
        text += f" Scaled to the same mean prediction, they differ by {percent(matched)}."
    found = [text]
    increase = (comparison.get("increase") or {}).get("auc_loss")
    if increase:
        how = "lower" if increase["value"] < 0 else "higher"
        text = f"The AUC loss of B is {decimal(abs(increase['value']))} {how} than that of A; "
        if increase["interval"]:
            low, high = increase["interval"]
            includes = "includes 0, so the difference is inconclusive" if low <= 0 <= high else "does not include 0"
            text += f"the 95% interval of the increase is {signed_decimal(low)} to {signed_decimal(high)}, "
            found.append(f"{text}which {includes}.")
        else:
            found.append(f"{text}all rows are of one request, so the difference is inconclusive.")
    best = (comparison.get("best_possible") or {}).get("auc_loss")
    if is_number(best):
        found.append(f"The log is synthetic, so its true probabilities are known: their AUC loss is {decimal(best)}.")
    return found


def _accuracy(comparison: Comparison) -> Table:
    """Accuracies of A and B and their increase from A to B, with its interval where it is measured."""
    a, b = (replica or {} for replica in comparison["replicas"])
    increases = comparison.get("increase") or {}
    rows = {}
    for measure in catalogue.of(*ACCURACY):
        values = a.get(measure.name), b.get(measure.name)
        change = values[1] - values[0] if is_number(values[0]) and is_number(values[1]) else None
        of_change = (increases.get(measure.name) or {}).get("interval")
        cells = [number(value, formats.of(measure)) for value in values]
        rows[measure.label] = [*cells, number(change, signed_decimal), interval(of_change, signed_decimal)]
    return Table(("", "A", "B", "B − A", "95% interval"), measured(rows))
