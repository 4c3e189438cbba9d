"""Finished runs, read back from their workdirs, each with a label that tells it from the others."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

from smooth_recs import _paths
from smooth_recs.errors import InputError
from smooth_recs.workdir import manifest


@dataclasses.dataclass(frozen=True)
class Run:
    """The content of `config.json`, `manifest.json` and `metrics.json` of a workdir; `label` is its name in reports."""

    workdir: str
    label: str
    config: Mapping[str, Any]
    manifest: Mapping[str, Any]
    metrics: Mapping[str, Any]

    @property
    def replicas(self) -> list[Mapping[str, Any]]:
        """Accuracies of each replica."""
        return [replica or {} for replica in self.metrics["replicas"]]

    @property
    def pd(self) -> Mapping[str, Any]:
        """The `pd` section of metrics.json; empty where one replica was trained."""
        return self.metrics.get("pd") or {}

    @property
    def history(self) -> list[Mapping[str, Any]]:
        """Measures that were taken while training, each entry with its `step`."""
        return list(self.metrics.get("history") or ())

    @property
    def slices(self) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        """Slices of the held-out rows by title, those with the highest PD first."""
        return self.metrics.get("slices") or {}

    @property
    def warnings(self) -> list[str]:
        """What is likely to be wrong with the run: with its data, as the manifest says, or with what was measured."""
        data: Mapping[str, Any] = self.manifest.get("data") or {}
        return [*(data.get("warnings") or ()), *(self.metrics.get("warnings") or ())]

    def mean(self, metric: str) -> float | None:
        """Mean of a metric over the replicas; None where a replica does not have it."""
        values = self.values(metric)
        return math.fsum(values) / len(values) if len(values) == len(self.replicas) else None

    def values(self, metric: str) -> list[float]:
        """Values of a metric, of the replicas that have it."""
        return [replica[metric] for replica in self.replicas if is_number(replica.get(metric))]


def load(workdirs: Sequence[str]) -> list[Run]:
    """Reads finished runs, and labels them by activation or, where that is not enough, by what differs between them.

    Raises:
      InputError: no workdir is given, or one does not hold the files of a finished run.
    """
    if not workdirs:
        raise InputError("workdirs: must name at least one workdir, got none")
    runs = []
    for workdir in map(str, workdirs):
        found = manifest.read_finished(workdir)
        runs.append(
            Run(workdir, activation_label(found.config) or os.path.basename(_paths.normalized(workdir)), *found)
        )
    return [dataclasses.replace(run, label=label) for run, label in zip(runs, _different_labels(runs), strict=True)]


def flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    """Nested settings as a flat dictionary {"model.beta": 0.1, ...}; a list of plain values stays one value."""
    if isinstance(value, Mapping) and value:
        children = [(f"{prefix}.{key}" if prefix else str(key), child) for key, child in value.items()]
    elif isinstance(value, list) and any(isinstance(child, Mapping) for child in value):
        children = [(f"{prefix}[{index}]", child) for index, child in enumerate(value)]
    else:
        return {prefix: value} if prefix else {}
    return {name: leaf for path, child in children for name, leaf in flatten(child, path).items()}


def differing(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """The keys of flat settings, in order, whose values are not the same everywhere."""
    keys = dict.fromkeys(key for mapping in settings for key in mapping)
    return [key for key in keys if any(mapping.get(key) != settings[0].get(key) for mapping in settings)]


def is_number(value: Any) -> TypeGuard[float]:
    """Whether a value from a JSON file is a finite number; a metric that is not defined is null or NaN."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def activation_label(config: Mapping[str, Any]) -> str:
    """Name and width of a configuration's activation: `SmeLU 0.1`, `SmeLU 0.4 to 0.05` for a schedule, `SmeLU 0.3 rms`.

    The last one is relative to the pre-activations.
    """
    # Imported here, so that binaries read their flags without TensorFlow.
    from smooth_recs.activations import registry

    model = config.get("model") or {}
    name = model.get("activation") or ""
    name = str(name.get("class_name") if isinstance(name, dict) else name)
    parts = [registry.label(name)]
    for width, unit in ((model.get("beta"), ""), (model.get("relative_beta"), f" {registry.RELATIVE}")):
        ends = [width[0], width[-1]] if isinstance(width, list | tuple) and width else [width]
        parts += [] if width is None else [" to ".join(map(str, ends)) + unit]
    return " ".join(parts).strip()


def _different_labels(runs: Sequence[Run]) -> list[str]:
    """The runs' labels, with up to three settings, or else their workdirs, where two labels are the same."""
    labels = [run.label for run in runs]
    if len(set(labels)) == len(runs):
        return labels
    settings = [flatten(run.config) for run in runs]
    # The label already has the activation and its width.
    keys = [key for key in differing(settings) if key not in ("model.activation", "model.beta", "model.relative_beta")]
    if 0 < len(keys) <= 3:
        details = [", ".join(f"{key.rpartition('.')[2]} {mapping.get(key)}" for key in keys) for mapping in settings]
        detailed = [f"{label} ({detail})" for label, detail in zip(labels, details, strict=True)]
        if len(set(detailed)) == len(runs):
            return detailed
    return [f"{run.label} ({run.workdir})" for run in runs]
