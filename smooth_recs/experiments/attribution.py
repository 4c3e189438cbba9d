"""Attribution of PD to its causes: a pair of siblings for each cause alone, over several seeds and activations.

Section 5.1 of the paper says where smoothness stops helping: where initialisations are very different, and where the
examples are shuffled too aggressively. This measures both, and the chance of the hardware. The report has PD by cause,
the activations beside each other, with intervals over seeds.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

from smooth_recs import _files, extras
from smooth_recs.config import Config
from smooth_recs.errors import Diverged, InputError
from smooth_recs.experiments import variants
from smooth_recs.experiments.cells import Cell, Folder
from smooth_recs.experiments.sweeps import Variant, paired
from smooth_recs.measures import catalogue
from smooth_recs.reports import formats, page
from smooth_recs.reports.charts import INK, MUTED, SERIES, STYLE, colour_index, percent_ticks, svg
from smooth_recs.reports.formats import Table, TableCell, markdown, number, percent
from smooth_recs.workdir.manifest import command

with extras.needed("report"):
    import matplotlib
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# How much smaller the small windows are.
_SMALLER = 10
# In rows: how long a log is may not be known before it is read, and a window longer than the log holds all of it.
_WHOLE_LOG = 2**31 - 1

DIFFERENCES = [measure for measure in catalogue.swept("difference") if measure is not catalogue.PD]
"""The measures of the difference besides PD."""

Cause = Variant
"""What differs between the two siblings of a pair, as `fields` of the configuration."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """The pairs of siblings to train: every cause for every activation and seed.

    Attributes:
      config: what all pairs have in common; its seed is the first one.
      activations: names, `name:beta` or dictionaries of layers, all different; the others are compared with the first.
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
        differ, rows, deterministic = "siblings.differ", "data.shuffle_window", "train.deterministic"
        of_window, of_small = (
            f"Example order (windows of {window:,} rows)",
            f"Example order (windows of {small:,} rows)",
        )
        of_whole, ops = "Example order (the whole log)", "Hardware chance, deterministic ops"
        return [
            Cause("everything", f"Everything (windows of {window:,} rows)", {differ: "both"}),
            Cause("initialisation", "Initialisation", {differ: "init"}),
            Cause("order", of_window, {differ: "order", rows: window}),
            Cause("order_in_small_windows", of_small, {differ: "order", rows: small}),
            Cause("order_of_whole_log", of_whole, {differ: "order", rows: whole}),
            Cause("hardware", "Hardware chance", {differ: "nothing", deterministic: False}),
            Cause("hardware_deterministic", ops, {differ: "nothing", deterministic: True}),
        ]

    @property
    def seeds(self) -> range:
        return range(self.config.seed, self.config.seed + self.pairs)

    def cell(self, cause: Cause, activation: str, seed: int) -> Cell:
        """The run of one pair of siblings."""
        fields = {"seed": seed, **variants.of_activation(activation), "data.shuffle_window": _window(self.config)}
        config = variants.with_fields(self.config, {**fields, **cause.fields})
        return Cell(f"{self.label(activation)}, {_inside(cause.label)}, seed {seed}", config)

    def cells(self) -> list[Cell]:
        """All pairs, seed by seed, so that the finished ones soon make a table."""
        return [
            self.cell(cause, activation, seed)
            for seed in self.seeds
            for cause in self.causes
            for activation in self.activations
        ]

    def label(self, activation: str) -> str:
        return variants.label(activation, self.config)


def _window(config: Config) -> int:
    """Rows that are shuffled together: not more than there are, where that is known, so that equal runs are one."""
    rows = config.data.examples
    return min(config.data.shuffle_window, rows) if rows else config.data.shuffle_window


def table(plan: Plan, folder: Folder) -> dict[str, Any]:
    """What the finished cells of `plan` say, as it goes into `causes.json`.

    Intervals are over seeds (`prediction_difference.interval_over_seeds`), None for a single pair. A change is from the
    first activation, seed by seed, of PD relative to it; None where that has no PD.

    Raises:
      Diverged: a cell's training diverged.
    """
    manifest = _files.read_json(f"{folder.workdir(plan.cells()[0])}/manifest.json")
    found = []
    for cause in plan.causes:
        pairs: list[dict[str, Any]] = []
        changes = []
        for activation in plan.activations:
            cells = [plan.cell(cause, activation, seed) for seed in plan.seeds]
            metrics = [folder.metrics(cell) for cell in cells]
            for cell, each in zip(cells, metrics, strict=True):
                if each.get("diverged"):
                    raise Diverged(
                        f"{cell.label} diverged, so that causes cannot be compared: lower the learning rates"
                    )
            of_seeds = [each["pd"]["relative"] for each in metrics]
            replicas = [replica for each in metrics for replica in each["replicas"]]
            pair = {
                "activation": plan.label(activation),
                "pd": paired.measured(of_seeds),
                "pd_of_seeds": of_seeds,
                **{measure.name: paired.mean([measure.read(each) for each in metrics]) for measure in DIFFERENCES},
                **{
                    each.name: paired.mean([replica[each.name] for replica in replicas]) for each in catalogue.leading()
                },
                "cells": [cell.key for cell in cells],
            }
            pairs.append(pair)
            if len(pairs) > 1:
                shares = paired.ratios(of_seeds, pairs[0]["pd_of_seeds"])
                change = {"value": paired.mean(shares), "interval": paired.interval(shares)}
                changes.append(None if None in shares else {"activation": pair["activation"], **change})
        described = {"name": cause.name, "label": cause.label, "fields": dict(cause.fields)}
        found.append({**described, "pairs": pairs, "changes": changes})
    return {
        "activations": [plan.label(activation) for activation in plan.activations],
        "seeds": list(plan.seeds),
        "causes": found,
        "config": plan.config.to_dict(),
        "data": manifest["data"],
        "versions": manifest["versions"],
        "command": command(),
    }


def write(table: Mapping[str, Any], folder: str) -> str:
    """Writes `causes.json`, `causes.md`, `causes.html` and `causes.png` into `folder`; returns what to print.

    Args:
      table: what the function `table` returned.
      folder: exists.
    """
    json_path, markdown_path, html_path, png_path = (
        os.path.join(folder, f"causes.{ending}") for ending in ("json", "md", "html", "png")
    )
    activations, said = table["activations"], sentences(table)
    for_terminal = "\n".join([markdown(difference(table)), "", *(f"- {sentence}" for sentence in said)])
    _files.write_json(json_path, table)
    _files.write_text(markdown_path, f"{for_terminal}\n\n{markdown(accuracy(table))}\n")
    title = "Prediction difference by cause"
    height = 0.5 + len(table["causes"]) * (0.16 + 0.24 * len(activations))
    contents = {
        "verdict": verdict(table),
        "activations": activations,
        "colours": [colour_index(k, len(activations)) for k in range(len(activations))],
        "pairs": len(table["seeds"]),
        "chart": svg("causes", title, (6.4, height), lambda axes: _draw(axes, table)),
        "sentences": said,
        "difference": difference(table),
        "accuracy": accuracy(table),
        "settings": formats.settings_table(table["config"]),
        "command": table["command"],
    }
    page.write("causes.html.j2", contents, html_path)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.2, height + 0.5), layout="constrained")
        axes = figure.add_subplot()
        _draw(axes, table)
        axes.set_title(f"{title} (lower is better)", loc="left", pad=9)
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower left", ncols=4, frameon=False, fontsize=9)
        figure.savefig(png_path, dpi=200, facecolor="white", metadata={"Software": None})
    return f"{for_terminal}\n\nreport   {html_path}\npicture  {png_path}"


def _draw(axes: Axes, table: Mapping[str, Any]) -> None:
    causes, activations = table["causes"], table["activations"]
    # As a share of the height of a row; the rest is between rows.
    group = 0.78
    height, furthest = group / len(activations), 0.0
    for index, activation in enumerate(activations):
        colour = SERIES[colour_index(index, len(activations))][0]
        for row, cause in enumerate(causes):
            value, interval = cause["pairs"][index]["pd"].values()
            low, high = interval or (value, value)
            place = row - group / 2 + (index + 0.5) * height
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


def difference(table: Mapping[str, Any]) -> Table:
    """PD by cause with its interval, an activation a column, and the changes from the first."""
    activations = table["activations"]
    rows = {
        cause["label"]: [
            *(_with_interval(pair["pd"], formats.percent) for pair in cause["pairs"]),
            *(_with_interval(change, _change_text) for change in cause["changes"]),
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


def verdict(table: Mapping[str, Any]) -> str:
    """The title of the page: the largest cause, and under how many causes others are shown to differ less."""
    first, *others = table["activations"]
    largest, pairs = _largest(table), len(table["seeds"])
    most = formats.percent(largest["pairs"][0]["pd"]["value"])
    found = f"{first} differs most by {_inside(largest['label'])}: PD {most}"
    if pairs == 1:
        return f"{found}, in one pair, which shows little"
    changes = [[cause["changes"][k] for cause in table["causes"]] for k in range(len(others))]
    less = [sum(1 for change in of_all if change and change["interval"][1] < 0) for of_all in changes]
    of = f"of {len(table['causes'])} causes"
    shown = [f"{name} is shown to differ less under {count} {of}" for name, count in zip(others, less, strict=True)]
    return "; ".join([found, *shown])


def _largest(table: Mapping[str, Any]) -> Mapping[str, Any]:
    """The single cause under which the first activation differs most."""
    single: list[Mapping[str, Any]] = [cause for cause in table["causes"] if cause["name"] != "everything"]
    return max(single, key=lambda cause: float(cause["pairs"][0]["pd"]["value"]))


def sentences(table: Mapping[str, Any]) -> list[str]:
    """What the numbers say, and what so many pairs cannot say."""
    first, *others = table["activations"]
    largest = _largest(table)
    found = [
        f"{first}: the largest single cause is {_inside(largest['label'])}, with a PD of "
        f"{formats.percent(largest['pairs'][0]['pd']['value'])}. Causes do not add up: each alone can send two "
        "trainings apart."
    ]
    pairs = len(table["seeds"])
    if pairs == 1:
        found.append("One pair of each is no ground to conclude on: take several.")
    for k, activation in enumerate(others if pairs > 1 else ()):
        # By sign: -1 or 1 where the interval of the change lies below or above 0, else 0.
        of_sign: dict[int, list[str]] = {-1: [], 1: [], 0: []}
        for cause in table["causes"]:
            if change := cause["changes"][k]:
                low, high = change["interval"]
                sign = int(low > 0) - int(high < 0)
                name = _inside(cause["label"])
                of_sign[sign].append(f"{name} ({_change_text(change['value'])})" if sign else name)
        for sign, said in (
            (-1, f"{activation} differs less than {first} under"),
            (1, f"{activation} differs more than {first} under"),
            (0, f"{pairs} pairs show no change of {activation} from {first} for"),
        ):
            if of_sign[sign]:
                found.append(f"{said}: {'; '.join(of_sign[sign])}.")
    same = [cause for cause in table["causes"] if not any(any(pair["pd_of_seeds"]) for pair in cause["pairs"])]
    if same:
        names = "; ".join(_inside(cause["label"]) for cause in same)
        found.append(f"The siblings of every pair predict the same under: {names}.")
    return found


def _with_interval(measured: Mapping[str, Any] | None, text: formats.Format) -> TableCell:
    """A value and its interval: `8.53% (8.32% to 8.71%)`."""
    if measured is None:
        return TableCell()
    value, interval = measured["value"], measured["interval"]
    said = text(value) + (f" ({text(interval[0])} to {text(interval[1])})" if interval and any(interval) else "")
    return TableCell((said,), (value,))


def _change_text(value: float) -> str:
    return formats.signed(f"{abs(value):.0%}", value)


def _inside(label: str) -> str:
    """A cause's label as it stands inside a sentence."""
    return f"{label[:1].lower()}{label[1:]}"
