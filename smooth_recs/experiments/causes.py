"""What makes two trainings of one model differ: a pair of siblings for each cause alone, over several seeds.

Section 5.1 says where smoothness stops helping: where initialisations are very different, and where the examples are
shuffled too aggressively. This measures both, and the chance of the hardware, for several activations.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from smooth_recs._files import read_json
from smooth_recs.config import Config
from smooth_recs.errors import Diverged, InputError
from smooth_recs.experiments import over_seeds, variants
from smooth_recs.experiments.cells import Cell, Folder
from smooth_recs.experiments.sweeps import Variant
from smooth_recs.measures import registry
from smooth_recs.workdir.manifest import command

_SMALLER = 10  # how much smaller the small windows are
_WHOLE_LOG = 2**31 - 1  # rows; a window that is longer than the log holds all of it

DIFFERENCES = [measure for measure in registry.swept("difference") if measure is not registry.PD]
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
        "pd": over_seeds.measured(found),
        "pd_of_seeds": found,
        **{measure.name: over_seeds.mean([measure.read(each) for each in metrics]) for measure in DIFFERENCES},
        **{
            measure.name: over_seeds.mean([replica[measure.name] for each in metrics for replica in each["replicas"]])
            for measure in registry.leading()
        },
        "cells": [cell.key for cell in cells],
    }


def _change(plan: Plan, folder: Folder, cause: Cause, activation: str) -> dict[str, Any] | None:
    """How much lower or higher the PD is than the first activation's, or None where that has none."""
    baseline, ours = (
        [folder.metrics(plan.cell(cause, name, seed))["pd"]["relative"] for seed in plan.seeds]
        for name in (plan.activations[0], activation)
    )
    changes = over_seeds.ratios(ours, baseline)
    if None in changes:
        return None
    return {
        "activation": plan.label(activation),
        "value": over_seeds.mean(changes),
        "interval": over_seeds.interval(changes),
    }


def _window(config: Config) -> int:
    """Rows that are shuffled together: not more than there are, where that is known, so that equal runs are one."""
    rows = config.data.examples
    return min(config.data.shuffle_window, rows) if rows else config.data.shuffle_window
