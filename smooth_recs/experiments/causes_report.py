"""The table of PD by cause for people: on the terminal, as Markdown, as a page, as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from smooth_recs._files import write_json
from smooth_recs.experiments import causes_chart
from smooth_recs.experiments.causes import DIFFERENCES
from smooth_recs.measures import registry
from smooth_recs.reports import chart_style, formats, page
from smooth_recs.reports.table import Cell, Table, markdown, number
from smooth_recs.workdir.finished_runs import flatten


def write(table: Mapping[str, Any], folder: str) -> str:
    """Writes `causes.json`, `causes.md`, `causes.html` and `causes.png` into `folder`; returns what to print.

    Args:
      table: of `causes.table`.
      folder: exists.
    """
    write_json(str(Path(folder, "causes.json")), table)
    said = "\n".join([markdown(difference(table)), "", *(f"- {sentence}" for sentence in sentences(table))])
    Path(folder, "causes.md").write_text(f"{said}\n\n{markdown(accuracy(table))}\n", encoding="utf-8")
    page.write("causes.html.j2", _contents(table), str(Path(folder, "causes.html")))
    causes_chart.picture(table, str(Path(folder, "causes.png")))
    return f"{said}\n\nreport   {Path(folder, 'causes.html')}\npicture  {Path(folder, 'causes.png')}"


def difference(table: Mapping[str, Any]) -> Table:
    """PD by cause with its interval, an activation a column, and the changes from the first."""
    activations = table["activations"]
    rows = {
        cause["label"]: [
            *(_with_interval(pair["pd"], formats.percent) for pair in cause["pairs"]),
            *(_with_interval(change, _change) for change in cause["changes"]),
        ]
        for cause in table["causes"]
    }
    changes = [f"{activation} against {activations[0]}" for activation in activations[1:]]
    return Table(("What differs", *activations, *changes), rows)


def accuracy(table: Mapping[str, Any]) -> Table:
    """What stands beside PD: how much of it is no shared shift, and how good the models are."""
    measures = [*DIFFERENCES, *registry.leading()]
    rows = {
        cause["label"]: [number(pair[each.name], formats.of(each)) for each in measures for pair in cause["pairs"]]
        for cause in table["causes"]
    }
    columns = [f"{each.inside}, {activation}" for each in measures for activation in table["activations"]]
    return Table(("What differs", *columns), rows)


def settings(table: Mapping[str, Any]) -> Table:
    """What all pairs have in common."""
    common = {name: [Cell((formats.setting(value),))] for name, value in flatten(table["config"]).items()}
    return Table(("", "Value"), common, numeric=False)


def sentences(table: Mapping[str, Any]) -> list[str]:
    """What the numbers say, and what so many pairs cannot say."""
    first, *others = table["activations"]
    largest = max(
        (cause for cause in table["causes"] if cause["name"] != "everything"),
        key=lambda cause: cause["pairs"][0]["pd"]["value"],
    )
    found = [
        f"{first}: the largest single cause is {_inside(largest)}, with a PD of "
        f"{formats.percent(largest['pairs'][0]['pd']['value'])}. Causes do not add up: each alone can send two "
        "trainings apart."
    ]
    if len(table["seeds"]) == 1:
        found.append("One pair of each is no ground to conclude on: take several.")
    else:
        found += [sentence for k in range(len(others)) for sentence in _changes(table, k)]
    same = [cause for cause in table["causes"] if not any(any(pair["pd_of_seeds"]) for pair in cause["pairs"])]
    return [*found, f"The siblings of every pair predict the same under: {_named(same)}."] if same else found


def _changes(table: Mapping[str, Any], index: int) -> list[str]:
    """How an activation changes PD from the first one, by cause: less, more, or neither shown."""
    first, activation = table["activations"][0], table["activations"][index + 1]
    signs = {cause["name"]: _sign(cause["changes"][index]) for cause in table["causes"] if cause["changes"][index]}
    found = []
    for sign, said in (
        (-1, f"{activation} differs less than {first} under"),
        (1, f"{activation} differs more than {first} under"),
        (0, f"{len(table['seeds'])} pairs show no change of {activation} from {first} for"),
    ):
        causes = [cause for cause in table["causes"] if signs.get(cause["name"]) == sign]
        if causes:
            found.append(f"{said}: {_named(causes, [cause['changes'][index] for cause in causes] if sign else ())}.")
    return found


def _named(causes: Sequence[Mapping[str, Any]], changes: Sequence[Mapping[str, Any]] = ()) -> str:
    said = [_inside(cause) for cause in causes]
    return "; ".join([f"{name} ({_change(each['value'])})" for name, each in zip(said, changes, strict=False)] or said)


def _contents(table: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "activations": table["activations"],
        "colours": [chart_style.colour_index(k, len(table["activations"])) for k in range(len(table["activations"]))],
        "pairs": len(table["seeds"]),
        "chart": causes_chart.inline(table),
        "sentences": sentences(table),
        "difference": difference(table),
        "accuracy": accuracy(table),
        "settings": settings(table),
        "command": table["command"],
    }


def _with_interval(measured: Mapping[str, Any] | None, form: Any) -> Cell:
    """`8.53% (8.32% to 8.71%)`."""
    if measured is None:
        return Cell()
    value, interval = measured["value"], measured["interval"]
    said = form(value) + (f" ({form(interval[0])} to {form(interval[1])})" if interval and any(interval) else "")
    return Cell((said,), (value,))


def _change(value: float) -> str:
    return formats.signed(f"{abs(value):.0%}", value)


def _sign(change: Mapping[str, Any]) -> int:
    """-1 or 1 where the interval of a change lies below or above 0, else 0."""
    low, high = change["interval"]
    return int(low > 0) - int(high < 0)


def _inside(cause: Mapping[str, Any]) -> str:
    """The label as it stands inside a sentence."""
    return f"{cause['label'][:1].lower()}{cause['label'][1:]}"
