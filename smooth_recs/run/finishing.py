"""What a run leaves once it has trained: measurements on the held-out rows, and exports."""

from __future__ import annotations

import functools
import os
from typing import Any

from smooth_recs import activations, keras_generation
from smooth_recs.config import Config
from smooth_recs.data.source import Source
from smooth_recs.models import cost
from smooth_recs.models.siblings import SiblingModel
from smooth_recs.run import estimate, evaluation, fitting, monitoring
from smooth_recs.run import workdir as workdirs
from smooth_recs.run.fitting import Fitted
from smooth_recs.serving import assets, saved_model

_LARGEST = 1e18  # its square still is a number of float32

keras_generation.require_legacy("training (TensorFlow Recommenders)")


def finish(config: Config, workdir: str, source: Source, siblings: SiblingModel, fitted: Fitted) -> dict[str, Any]:
    """Measures and exports the siblings of a run, and writes `metrics.json`, which makes it a finished one.

    Args:
      config, workdir, source: of the run.
      siblings: on this machine alone.
      fitted: how they were trained.

    Returns:
      The content of `metrics.json`.
    """
    metrics = {
        **_measured(config, source, siblings),
        "examples": _examples(config, source, fitted.steps),
        "examples_per_second": fitted.examples_per_second,
        **_costs(config, source),
        "history": fitted.history,
    }
    metrics["exports"] = _exported(config, workdir, source, siblings, metrics)
    workdirs.write_json(os.path.join(workdir, "metrics.json"), metrics)
    return metrics


def _measured(config: Config, source: Source, siblings: SiblingModel) -> dict[str, Any]:
    """On the held-out rows, but for those that chose when to stop."""
    held_out, rows = evaluation.collect(siblings, source, config.evaluation), source.holdout()
    if config.train.patience:
        chose = held_out.whole_requests(monitoring.measured_rows(config))
        held_out, rows = held_out.without_first(chose), rows.rebatch(chose).skip(1)
    measured = evaluation.metrics(held_out, source, config.evaluation)
    first = siblings.replicas[0]
    layers = _pre_activations(first, source)
    in_range = not measured["diverged"] and all(layer["pre_activation_rms"] < _LARGEST for layer in layers)
    estimated = config.evaluation.estimate and in_range
    return {
        **measured,
        "pd_estimate": estimate.pd_estimate(first, rows, held_out.columns) if estimated else None,
        "layers": layers,
    }


def _examples(config: Config, source: Source, steps: int) -> int:
    """Rows that a sibling was trained on; the last batch of an epoch may be smaller."""
    epochs, rest = divmod(steps, fitting.steps_of_epoch(config, source))
    return epochs * source.train_rows + rest * config.train.batch_size


def _costs(config: Config, source: Source) -> dict[str, Any]:
    """Of the model that was trained and, where an ensemble was to cost as much, of the single network."""
    costs = {"cost": cost.cost(config, source.encoder).to_dict()}
    if config.ensemble.equal_cost != "none":
        costs["single_cost"] = cost.cost(cost.single(config), source.encoder).to_dict()
    return costs


def _pre_activations(model: Any, source: Source) -> list[dict[str, Any]]:
    """The scale of the pre-activations on some held-out rows, which tells what the activation's width means."""
    rows = next(iter(source.holdout().rebatch(4096)))
    return [
        {"name": layer.name, "pre_activation_rms": layer.rms, "transition_share": layer.transition_share}
        for layer in activations.probe(model, rows["features"])
    ]


def _exported(
    config: Config, workdir: str, source: Source, siblings: SiblingModel, metrics: dict[str, Any]
) -> list[str]:
    """Each sibling as the next version of its own, with what belongs to it, but for those that have diverged.

    Returns the paths within the workdir.
    """
    manifest = workdirs.read_json(os.path.join(workdir, "manifest.json"))
    write_assets = assets.asset_writer(source, workdirs.Finished(config.to_dict(), manifest, metrics))
    paths = []
    for k, replica in enumerate(siblings.replicas):
        if k in metrics["diverged"]:
            continue
        base = os.path.join(workdir, "export", f"replica_{k}")
        path = saved_model.save(replica, source.encoder, base, functools.partial(write_assets, replica, k))
        paths.append(os.path.relpath(path, workdir))
    return paths
