"""What a run leaves once it has trained: measurements on the held-out rows, exports, models that can be read back."""

from __future__ import annotations

import dataclasses
import functools
import os
from typing import TYPE_CHECKING, Any

from smooth_recs import _files, activations
from smooth_recs.config import Config
from smooth_recs.data import stream
from smooth_recs.data.sources import Source
from smooth_recs.errors import InputError
from smooth_recs.models import cost
from smooth_recs.models.siblings import SiblingModel
from smooth_recs.serving import assets, saved_model
from smooth_recs.training import capacity, evaluation, loop, monitoring, pd_estimate
from smooth_recs.training.evaluation import HeldOut
from smooth_recs.training.loop import Fitted
from smooth_recs.workdir import manifest

if TYPE_CHECKING:
    from smooth_recs.training.live_model import LiveModel  # needs [parquet]

_LARGEST = 1e18  # its square still is a number of float32
_FEW_STEPS = 100  # fewer than any run whose numbers mean something


def measure(
    config: Config, source: Source, siblings: SiblingModel, fitted: Fitted, live: LiveModel | None = None
) -> dict[str, Any]:
    """The content of `metrics.json`, but for the exports.

    Args:
      config, source: of the run.
      siblings: on this machine alone.
      fitted: how they were trained.
      live: what they are compared with besides each other.
    """
    costs = {"cost": cost.cost(config, source.encoder).to_dict()}
    if config.ensemble.equal_cost != "none":
        costs["single_cost"] = cost.cost(cost.single(config), source.encoder).to_dict()
    measured = _on_held_out_rows(config, source, siblings.deployed_model(), live)
    return {
        "warnings": warnings(measured, steps=-(-fitted.examples // config.train.batch_size)),
        **measured,
        **_of_raw_weights(config, source, siblings),
        "examples": fitted.examples,
        "examples_per_second": fitted.examples_per_second,
        **costs,
        "history": fitted.history,
    }


def warnings(measured: dict[str, Any], steps: int) -> list[str]:
    """What a reader must know before the numbers: `warnings` in `metrics.json`, the terminal and the report.

    Each is a line without a full stop at its end.

    Args:
      measured: on the held-out rows.
      steps: how many each sibling was trained for.
    """
    pd = (measured.get("pd") or {}).get("relative")
    alike = ["PD is exactly 0: the siblings predict the same for every row, so nothing differed in their trainings"]
    few = [f"only {steps:,} training steps: the models may still be close to their initialisation"]
    found = []
    for label, part in {"": measured, **measured.get("tasks", {})}.items():
        of = f"{label}: " if label else ""
        found += [f"{of}replica {k} predicts values that are not numbers" for k in part["diverged"]]
        found += [f"{of}replica {each['replica']} {each['reason']}" for each in part["collapsed"]]
        if label and all(replica["auc"] is None for replica in part["replicas"]) and not part["diverged"]:
            found.append(f"{of}all held-out rows have the same label: there is no AUC")
    widths = [layer["warning"] for layer in measured["layers"] if layer["warning"]]
    return found + alike * (pd == 0 and not measured["collapsed"]) + few * (steps < _FEW_STEPS) + widths


def _on_held_out_rows(config: Config, source: Source, siblings: SiblingModel, live: LiveModel | None) -> dict[str, Any]:
    """What is measured on the held-out rows, without those that chose when to stop."""
    held_out, chose = _final_rows(config, source, siblings, live)
    rows = source.holdout().rebatch(chose).skip(1) if chose else source.holdout()
    measured = evaluation.metrics(held_out, source, config.evaluation)
    if tasks := evaluation.task_metrics(held_out, source, config.evaluation):
        measured["tasks"] = tasks
    if live and measured["pd_live"]:
        measured["pd_live"]["model"] = live.about()
    first, some = siblings.replicas[0], next(iter(source.holdout().rebatch(4096)))
    # The scale of the pre-activations on some rows tells what the activation's width means.
    layers: list[dict[str, Any]] = [
        {
            "name": layer.name,
            "pre_activation_rms": layer.rms,
            "half_width": layer.half_width,
            "transition_share": layer.transition_share,
            "warning": layer.warning,
        }
        for layer in activations.probe(first, some["features"])
    ]
    in_range = not measured["diverged"] and all(layer["pre_activation_rms"] < _LARGEST for layer in layers)
    estimated = config.evaluation.estimate and in_range
    return {
        **measured,
        "pd_estimate": pd_estimate.pd_estimate(first, rows, held_out.columns) if estimated else None,
        "layers": layers,
    }


def _final_rows(
    config: Config, source: Source, siblings: SiblingModel, live: LiveModel | None = None
) -> tuple[HeldOut, int]:
    """The held-out rows without the first ones that chose when to stop, and how many these are."""
    held_out = evaluation.collect(siblings, source, config.evaluation)
    if live:
        held_out.columns["live"] = live.prediction
    chose = held_out.whole_requests(monitoring.measured_rows(config, source)) if config.train.patience else 0
    return held_out.without_first(chose), chose


def _of_raw_weights(config: Config, source: Source, siblings: SiblingModel) -> dict[str, Any]:
    """Accuracies and PD of the weights that were trained, as `raw`, where their averages are what is measured."""
    if siblings.deployed_model() is siblings:
        return {}
    without_slices = dataclasses.replace(config.evaluation, slices=())
    measured = evaluation.metrics(_final_rows(config, source, siblings)[0], source, without_slices)
    return {"raw": {name: measured[name] for name in ("replicas", "pd")}}


def export_all(
    config: Config, workdir: str, source: Source, siblings: SiblingModel, metrics: dict[str, Any]
) -> list[str]:
    """Exports each sibling as the next version of its own, with what belongs to it, but for those that have diverged.

    Returns the paths within the workdir.
    """
    begun = _files.read_json(os.path.join(workdir, "manifest.json"))
    write_assets = assets.asset_writer(source, manifest.Finished(config.to_dict(), begun, metrics))
    bases = {
        k: os.path.join(workdir, "export", f"replica_{k}")
        for k in range(len(siblings.replicas))
        if k not in metrics["diverged"]
    }
    saved_model.take_back([*bases.values()])
    paths = []
    for k, base in bases.items():
        replica = siblings.deployed_model().replicas[k]
        path = saved_model.save(replica, source.encoder, base, functools.partial(write_assets, replica, k))
        paths.append(os.path.relpath(path, workdir))
    return paths


@dataclasses.dataclass(frozen=True)
class Trained:
    """What `load` returns: a run's configuration, its data, and its siblings as they were when training ended.

    Where the run kept averages of the weights (`train.average`), the siblings are these.
    """

    config: Config
    source: Source
    siblings: SiblingModel


def load(workdir: str) -> Trained:
    """The models of a finished run, from its newest checkpoint; what was found out about its data is not done again.

    Raises:
      InputError: `workdir` holds no finished run, its data have changed since, or its checkpoint is lost.

    ```python
    run = load("runs/demo")
    run.siblings(next(iter(run.source.holdout()))["features"])  # [rows, replicas]
    ```
    """
    found = manifest.read_finished(workdir)
    try:
        config = Config.from_dict(found.config)
    except InputError as error:
        raise InputError(f"workdir {workdir} is of another version: {error}") from error
    source = stream.open_run(config.data, workdir)
    if source.fingerprint != manifest.fingerprint(workdir):
        data = config.data
        place = f"data.path {data.path!r}" if data.path else f"data.source {data.source!r}"
        raise InputError(f"workdir {workdir} holds a run on other data: those at {place} have changed since")
    capacity.check_memory(config, source.encoder, trains=False)
    return Trained(config, source, loop.restored(config, workdir, source).deployed_model())
