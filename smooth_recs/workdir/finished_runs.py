"""A finished run, read back from its workdir, and the name by which a reader tells it from others."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeGuard

from smooth_recs.errors import InputError
from smooth_recs.workdir import manifest


@dataclasses.dataclass(frozen=True)
class Run:
    """What `config.json`, `manifest.json` and `metrics.json` of one workdir say; `label` is its name in a report."""

    workdir: str
    label: str
    config: Mapping[str, Any]
    manifest: Mapping[str, Any]
    metrics: Mapping[str, Any]

    @property
    def replicas(self) -> list[Mapping[str, Any]]:
        return [replica or {} for replica in self.metrics["replicas"]]

    @property
    def pd(self) -> Mapping[str, Any]:
        """The `pd` object of metrics.json; empty where one replica was trained."""
        return self.metrics.get("pd") or {}

    @property
    def history(self) -> list[Mapping[str, Any]]:
        return list(self.metrics.get("history") or ())

    @property
    def slices(self) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        """By title, the slices of the held-out rows, the one of the highest PD first."""
        return self.metrics.get("slices") or {}

    def mean(self, metric: str) -> float | None:
        """Mean of a metric over the replicas, or None where a replica has none."""
        values = self.values(metric)
        return math.fsum(values) / len(values) if len(values) == len(self.replicas) else None

    def values(self, metric: str) -> list[float]:
        """The metric of each replica that has it."""
        return [replica[metric] for replica in self.replicas if is_number(replica.get(metric))]


def load(workdirs: Sequence[str]) -> list[Run]:
    """Reads finished runs; the labels differ from each other wherever the settings do.

    Raises:
      InputError: no workdir is given, or one does not hold the files of a finished run.
    """
    if not workdirs:
        raise InputError("workdirs: must name at least one workdir, got none")
    runs = [_read(str(workdir)) for workdir in workdirs]
    return [dataclasses.replace(run, label=label) for run, label in zip(runs, _labels(runs), strict=True)]


def flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    """Nested settings as {"model.beta": 0.1, ...}; a list of plain values stays one value."""
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
    """Whether a value of a JSON file is a finite number (a metric that is not defined is null or NaN)."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _read(workdir: str) -> Run:
    found = manifest.read_finished(workdir)
    if not found.metrics.get("replicas"):
        raise InputError(f"workdir {workdir} must hold a replica or more in metrics.json, got none")
    return Run(workdir, activation_label(found.config) or Path(workdir).name, *found)


def activation_label(config: Mapping[str, Any]) -> str:
    """`SmeLU 0.1`, or `SmeLU 0.4 to 0.05` where the width parameter is a schedule over the layers."""
    from smooth_recs.activations import registry  # here, so that flags are read without TensorFlow

    model = config.get("model") or {}
    name = model.get("activation") or ""
    name = str(name.get("class_name") if isinstance(name, dict) else name)
    beta = model.get("beta")
    widths = [beta[0], beta[-1]] if isinstance(beta, list | tuple) and beta else [] if beta is None else [beta]
    return f"{registry.label(name)} {' to '.join(map(str, widths))}".strip()


def _labels(runs: Sequence[Run]) -> list[str]:
    labels = [run.label for run in runs]
    if len(set(labels)) == len(runs):
        return labels
    settings = [flatten(run.config) for run in runs]
    keys = [key for key in differing(settings) if key not in ("model.activation", "model.beta")]
    if 0 < len(keys) <= 3:
        details = [", ".join(f"{key.rpartition('.')[2]} {mapping.get(key)}" for key in keys) for mapping in settings]
        detailed = [f"{label} ({detail})" for label, detail in zip(labels, details, strict=True)]
        if len(set(detailed)) == len(runs):
            return detailed
    return [f"{run.label} ({run.workdir})" for run in runs]
