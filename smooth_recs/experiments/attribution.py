"""What makes two trainings of one model differ: a pair of siblings for each cause alone, over several seeds.

Section 5.1 says where smoothness stops helping: where initialisations are very different, and where the examples are
shuffled too aggressively. This measures both, and the chance of the hardware, for several activations.

PD by cause, the activations beside each other, with intervals over seeds.

The table of PD by cause for people: on the terminal, as Markdown, as a page, as a picture.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from smooth_recs._files import read_json, write_json
from smooth_recs.config import Config
from smooth_recs.errors import Diverged, InputError
from smooth_recs.experiments import variants
from smooth_recs.experiments.cells import Cell, Folder
from smooth_recs.experiments.sweeps import Variant
from smooth_recs.measures import catalogue
from smooth_recs.reports import charts, formats, page
from smooth_recs.reports.charts import INK, MUTED, SERIES, STYLE, colour_index, percent_ticks, svg
from smooth_recs.reports.formats import Table, TableCell, markdown, number, percent
from smooth_recs.workdir.finished_runs import flatten
from smooth_recs.workdir.manifest import command

_SMALLER = 10  # how much smaller the small windows are
_WHOLE_LOG = 2**31 - 1  # rows; a window that is longer than the log holds all of it

DIFFERENCES = [measure for measure in catalogue.swept("difference") if measure is not catalogue.PD]
"""What is measured of the difference besides PD."""

Cause = Variant
"""What differs between the two siblings of a pair, as `fields` of the configuration."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """The pairs of siblings to train: every cause for every activation and seed.

    Attributes:
      config: what all pairs have in common; its seed is the first one.
      activations: names, `name:beta` or dictionaries of layers; the others are compared with the first.
      pairs: how many seeds, counted on from `config.seed`; 2 or more for intervals.

    Raises:
      InputError: no such activation, the same one twice, no pairs, a single sibling, windows too small to make a tenth
        of them, or progressive validation, which needs rows ahead of the window that is trained on.
    """

    config: Config
    activations: Sequence[str]
    pairs: int

    def __post_init__(self) -> None:
        if not self.activations or len(set(self.activations)) < len(self.activations):
            raise InputError(
                f"activations must be one or more that differ, got {', '.join(self.activations) or 'none'}"
            )
        if self.pairs < 1:
            raise InputError(f"pairs must be at least 1, got {self.pairs}")
        if self.config.siblings.replicas < 2:
            raise InputError(f"siblings.replicas must be at least 2, got {self.config.siblings.replicas}")
        if _window(self.config) < 2 * _SMALLER:
            raise InputError(
                f"data.shuffle_window and data.examples must be at least {2 * _SMALLER} to tell windows apart, got "
                f"{_window(self.config)}"
            )
        if self.config.train.progressive:
            raise InputError(
                "train.progressive must be false, as a window of the whole log has nothing ahead, got true"
            )
        for activation in self.activations:
            variants.of_activation(activation)

    @property
    def causes(self) -> list[Cause]:
        """Everything at once, then each cause alone."""
        window = _window(self.config)
        small, whole = window // _SMALLER, self.config.data.examples or _WHOLE_LOG

        def order(rows: int) -> dict[str, Any]:
            return {"siblings.differ": "order", "data.shuffle_window": rows}

        def chance(deterministic: bool) -> dict[str, Any]:
            return {"siblings.differ": "nothing", "train.deterministic": deterministic}

        return [
            Cause("everything", f"Everything (windows of {window:,} rows)", {"siblings.differ": "both"}),
            Cause("initialisation", "Initialisation", {"siblings.differ": "init"}),
            Cause("order", f"Example order (windows of {window:,} rows)", order(window)),
            Cause("order_in_small_windows", f"Example order (windows of {small:,} rows)", order(small)),
            Cause("order_of_whole_log", "Example order (the whole log)", order(whole)),
            Cause("hardware", "Hardware chance", chance(False)),
            Cause("hardware_deterministic", "Hardware chance, deterministic ops", chance(True)),
        ]

    @property
    def seeds(self) -> range:
        return range(self.config.seed, self.config.seed + self.pairs)

    def cell(self, cause: Cause, activation: str, seed: int) -> Cell:
        fields = {"seed": seed, **variants.of_activation(activation), "data.shuffle_window": _window(self.config)}
        config = variants.with_fields(self.config, {**fields, **cause.fields})
        return Cell(f"{self.label(activation)}, {cause.label[:1].lower()}{cause.label[1:]}, seed {seed}", config)

    def cells(self) -> list[Cell]:
        """Seed by seed, so that what is finished is soon a table."""
        return [
            self.cell(cause, activation, seed)
            for seed in self.seeds
            for cause in self.causes
            for activation in self.activations
        ]

    def label(self, activation: str) -> str:
        return variants.label(activation, self.config)


def table(plan: Plan, folder: Folder) -> dict[str, Any]:
    """What the finished cells of `plan` say, as it goes into `causes.json`.

    Intervals are over seeds (`prediction_difference.interval_over_seeds`), None for a single pair. A change is from the
    first activation, seed by seed, of PD relative to it.
    """
    first = folder.workdir(plan.cells()[0])
    manifest = read_json(f"{first}/manifest.json")
    return {
        "activations": [plan.label(activation) for activation in plan.activations],
        "seeds": list(plan.seeds),
        "causes": [
            {
                "name": cause.name,
                "label": cause.label,
                "fields": dict(cause.fields),
                "pairs": [_measured(plan, folder, cause, activation) for activation in plan.activations],
                "changes": [_change(plan, folder, cause, activation) for activation in plan.activations[1:]],
            }
            for cause in plan.causes
        ],
        "config": plan.config.to_dict(),
        "data": manifest["data"],
        "versions": manifest["versions"],
        "command": command(),
    }


def _measured(plan: Plan, folder: Folder, cause: Cause, activation: str) -> dict[str, Any]:
    """PD, and the mean losses, of an activation's pairs."""
    cells = [plan.cell(cause, activation, seed) for seed in plan.seeds]
    metrics = [folder.metrics(cell) for cell in cells]
    for cell, each in zip(cells, metrics, strict=True):
        if each.get("diverged"):
            raise Diverged(f"{cell.label} diverged, so that causes cannot be compared: lower the learning rates")
    found = [each["pd"]["relative"] for each in metrics]
    return {
        "activation": plan.label(activation),
        "pd": variants.measured(found),
        "pd_of_seeds": found,
        **{measure.name: variants.mean([measure.read(each) for each in metrics]) for measure in DIFFERENCES},
        **{
            measure.name: variants.mean([replica[measure.name] for each in metrics for replica in each["replicas"]])
            for measure in catalogue.leading()
        },
        "cells": [cell.key for cell in cells],
    }


def _change(plan: Plan, folder: Folder, cause: Cause, activation: str) -> dict[str, Any] | None:
    """How much lower or higher the PD is than the first activation's, or None where that has none."""
    baseline, ours = (
        [folder.metrics(plan.cell(cause, name, seed))["pd"]["relative"] for seed in plan.seeds]
        for name in (plan.activations[0], activation)
    )
    changes = variants.ratios(ours, baseline)
    if None in changes:
        return None
    return {
        "activation": plan.label(activation),
        "value": variants.mean(changes),
        "interval": variants.interval(changes),
    }


def _window(config: Config) -> int:
    """Rows that are shuffled together: not more than there are, where that is known, so that equal runs are one."""
    rows = config.data.examples
    return min(config.data.shuffle_window, rows) if rows else config.data.shuffle_window


_GROUP = 0.78  # of a row, the rest is between rows


def inline(table: Mapping[str, Any]) -> str:
    """The chart as SVG inside a page; `table` is the content of causes.json."""
    return svg("causes", "Prediction difference by cause", (6.4, _height(table)), lambda axes: _draw(axes, table))


def picture(table: Mapping[str, Any], output_png: str) -> None:
    """The chart as PNG on white, with a legend."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.2, _height(table) + 0.5), layout="constrained")
        axes = figure.add_subplot()
        _draw(axes, table)
        axes.set_title("Prediction difference by cause (lower is better)", loc="left", pad=9)
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower left", ncols=4, frameon=False, fontsize=9)
        figure.savefig(output_png, dpi=200, facecolor="white", metadata={"Software": None})


def _height(table: Mapping[str, Any]) -> float:
    return 0.5 + len(table["causes"]) * (0.16 + 0.24 * len(table["activations"]))


def _draw(axes: Axes, table: Mapping[str, Any]) -> None:
    causes, activations = table["causes"], table["activations"]
    height, furthest = _GROUP / len(activations), 0.0
    for index, activation in enumerate(activations):
        colour = SERIES[colour_index(index, len(activations))][0]
        for row, cause in enumerate(causes):
            value, interval = cause["pairs"][index]["pd"].values()
            low, high = interval or (value, value)
            place = row - _GROUP / 2 + (index + 0.5) * height
            label = activation if row == 0 else None
            axes.barh(place, value, height=0.88 * height, color=colour, label=label)
            if interval:
                axes.plot([low, high], [place, place], color=INK, linewidth=1.1, marker="|", markersize=4)
            at = (max(value, high), place)
            axes.annotate(percent(value), at, (6, 0), textcoords="offset points", va="center_baseline", fontsize=8)
            furthest = max(furthest, value, high)
    axes.set_yticks(range(len(causes)), [cause["label"].replace(" (", "\n(") for cause in causes])
    axes.set_ylim(len(causes) - 0.5, -0.5)
    axes.set_xlim(0, 1.15 * furthest or 1)
    percent_ticks(axes.xaxis, 6)
    axes.tick_params(length=0)
    axes.tick_params(axis="x", labelcolor=MUTED)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")


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
    picture(table, str(Path(folder, "causes.png")))
    return f"{said}\n\nreport   {Path(folder, 'causes.html')}\npicture  {Path(folder, 'causes.png')}"


def difference(table: Mapping[str, Any]) -> Table:
    """PD by cause with its interval, an activation a column, and the changes from the first."""
    activations = table["activations"]
    rows = {
        cause["label"]: [
            *(_with_interval(pair["pd"], formats.percent) for pair in cause["pairs"]),
            *(_with_interval(change, _change_cell) for change in cause["changes"]),
        ]
        for cause in table["causes"]
    }
    changes = [f"{activation} against {activations[0]}" for activation in activations[1:]]
    return Table(("What differs", *activations, *changes), rows)


def accuracy(table: Mapping[str, Any]) -> Table:
    """What stands beside PD: how much of it is no shared shift, and how good the models are."""
    measures = [*DIFFERENCES, *catalogue.leading()]
    rows = {
        cause["label"]: [number(pair[each.name], formats.of(each)) for each in measures for pair in cause["pairs"]]
        for cause in table["causes"]
    }
    columns = [f"{each.inside}, {activation}" for each in measures for activation in table["activations"]]
    return Table(("What differs", *columns), rows)


def settings(table: Mapping[str, Any]) -> Table:
    """What all pairs have in common."""
    common = {name: [TableCell((formats.setting(value),))] for name, value in flatten(table["config"]).items()}
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
    return "; ".join(
        [f"{name} ({_change_cell(each['value'])})" for name, each in zip(said, changes, strict=False)] or said
    )


def _contents(table: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "activations": table["activations"],
        "colours": [charts.colour_index(k, len(table["activations"])) for k in range(len(table["activations"]))],
        "pairs": len(table["seeds"]),
        "chart": inline(table),
        "sentences": sentences(table),
        "difference": difference(table),
        "accuracy": accuracy(table),
        "settings": settings(table),
        "command": table["command"],
    }


def _with_interval(measured: Mapping[str, Any] | None, form: Any) -> TableCell:
    """`8.53% (8.32% to 8.71%)`."""
    if measured is None:
        return TableCell()
    value, interval = measured["value"], measured["interval"]
    said = form(value) + (f" ({form(interval[0])} to {form(interval[1])})" if interval and any(interval) else "")
    return TableCell((said,), (value,))


def _change_cell(value: float) -> str:
    return formats.signed(f"{abs(value):.0%}", value)


def _sign(change: Mapping[str, Any]) -> int:
    """-1 or 1 where the interval of a change lies below or above 0, else 0."""
    low, high = change["interval"]
    return int(low > 0) - int(high < 0)


def _inside(cause: Mapping[str, Any]) -> str:
    """The label as it stands inside a sentence."""
    return f"{cause['label'][:1].lower()}{cause['label'][1:]}"
