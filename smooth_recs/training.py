"""The main job: train siblings on a log, measure how much they differ, export them."""

from __future__ import annotations

import contextlib
import functools
import os
from typing import Any

import tensorflow as tf

from smooth_recs import distribution, keras_generation, validation
from smooth_recs.callbacks.checkpoints import newest_first
from smooth_recs.cluster import Task
from smooth_recs.config import Config
from smooth_recs.data import encoder_file, following
from smooth_recs.data.following import FollowedSource
from smooth_recs.data.presets import open_source
from smooth_recs.data.source import Source
from smooth_recs.errors import Diverged
from smooth_recs.measures import registry
from smooth_recs.models import cost, from_config
from smooth_recs.models.siblings import SiblingModel
from smooth_recs.reports import run_report
from smooth_recs.run import capacity, evaluation, finishing, fitting, stretches, taking_part, warm_start
from smooth_recs.run import workdir as workdirs
from smooth_recs.run.stored_siblings import StoredSiblings
from smooth_recs.run.taking_part import Part
from smooth_recs.run.teachers import Teachers, open_teachers
from smooth_recs.run.warm_start import WarmStart

keras_generation.require_legacy("training (TensorFlow Recommenders)")


def train_and_evaluate(config: Config, workdir: str) -> dict[str, Any]:
    """Trains the siblings of `config`, measures them on the held-out rows and exports each.

    The same call on the same `workdir` resumes a killed run, and returns the metrics of a finished one at once.

    Args:
      config: the run.
      workdir: receives `config.json`, `manifest.json`, `cache/`, `checkpoints/`, `history.json`, `tensorboard/`,
        `metrics.json`, `report.html` and `export/replica_K/VERSION/`.

    Returns:
      The content of `metrics.json`; {} in the processes of a cluster that are not its chief.

    Raises:
      InputError: a wrong configuration or wrong data, before training starts.
      Diverged: the predictions of a sibling are no numbers. The files are written; that sibling has no export.

    ```python
    from smooth_recs import config, training

    metrics = training.train_and_evaluate(config.Config(data=config.Data(examples=100_000)), "runs/first")
    metrics["pd"]["relative"], metrics["replicas"][0]["auc"]
    ```
    """
    task = Task.from_environment()
    config = _resolved(config, task)
    if task is not None and task.serves(config.distribution.strategy):
        distribution.serve(task, config.distribution.chief_seconds)
        return {}
    metrics = workdirs.open_run(config, workdir)
    if metrics is None:
        metrics = _run(config, workdir, task)
    else:
        print(f"{workdir} holds this run, finished:")
        taking_part.release(config.distribution, task)
    if metrics:
        _report(workdir)
        print(summary(metrics, workdir))
        _refuse_diverged(metrics)
    return metrics


def _refuse_diverged(metrics: dict[str, Any]) -> None:
    if metrics.get("diverged"):  # a run of an earlier version does not say
        which = ", ".join(map(str, metrics["diverged"]))
        raise Diverged(
            f"the training diverged: not all predictions of replica {which} are numbers; lower "
            "train.dense_learning_rate or train.embedding_learning_rate"
        )


def plan(config: Config, workdir: str) -> str:
    """What a run of `config` would need, as text; `workdir/cache` keeps a first pass over files, nothing is trained.

    Raises:
      InputError: a wrong configuration or wrong data.
    """
    config = _resolved(config, Task.from_environment())
    source = open_source(config.data, os.path.join(workdir, "cache"))
    steps = fitting.steps_of_epoch(config, source) * config.train.epochs
    needed = capacity.lines(capacity.capacity(config, source.encoder, **_processes(config)))
    if config.ensemble.equal_cost != "none":
        needed = [cost.equal_cost_line(config, source.encoder), *needed]
    return "\n".join([f"training          {source.train_rows:,} rows, {steps:,} steps", *needed])


def _resolved(config: Config, task: Task | None) -> Config:
    """The configuration that is trained; InputError for what is wrong with it, before anything is written."""
    validation.validate(config)
    config = from_config.resolved(config)
    from_config.layer_activations(config.model)
    if config.data.follow_seconds:
        stretches.check(config, distribution.resolve(config.distribution.strategy, task))
    return config


def _processes(config: Config) -> dict[str, int]:
    """How many devices share a batch, and how many servers hold the tables; other processes are not waited for."""
    task = Task.from_environment()
    kind = distribution.resolve(config.distribution.strategy, task)
    if task is None or kind not in ("multi_worker_mirrored", "parameter_server"):
        return {"devices": distribution.strategy(config.distribution.strategy).num_replicas_in_sync}
    servers = len(task.cluster.get("ps", ()))
    return {"devices": len(task.members) - servers - (servers > 0), "servers": servers}


def summary(metrics: dict[str, Any], workdir: str) -> str:
    """What a person wants to know of a finished run, and where its files are."""
    replicas, difference = metrics["replicas"], metrics["pd"]
    lines = []
    if difference:
        low, high = difference["interval"]
        lines.append(f"relative PD  {difference['relative']:.2%} (95% over held-out requests: {low:.2%} to {high:.2%})")
    for name, label in ((measure.name, measure.inside) for measure in registry.leading()):
        values = "  ".join("undefined" if r[name] is None else f"{r[name]:.4f}" for r in replicas)
        best = metrics["best_possible"]
        known = best is not None and best[name] is not None
        lines.append(f"{label:11}  {values}" + (f"  (true probabilities: {best[name]:.4f})" if known else ""))
    progressive = [entry["progressive_pd"] for entry in metrics["history"] if "progressive_pd" in entry]
    if progressive:
        lines.append(f"progressive  PD {progressive[-1]:.2%} in the last of {len(progressive)} windows of new rows")
    lines.append(f"speed        {metrics['examples_per_second']:,.0f} examples a second")
    lines.append(f"report       {os.path.join(workdir, 'report.html')}")
    lines += [f"export       {os.path.join(workdir, path)}" for path in metrics["exports"]]
    return "\n".join(lines)


def _run(config: Config, workdir: str, task: Task | None) -> dict[str, Any]:
    _set_up(config)
    with taking_part.taking_part(config.distribution, task) as (part, strategy):
        reopen = functools.partial(following.open_run, config.data, workdir)
        source = reopen()
        teachers = _checked(config, workdir, source, part)
        with strategy.scope():
            siblings = fitting.build(config, source, part.most_steps, teachers.distillation(source))
            begun = _warm_start(config, workdir, source, siblings)
        if part.is_chief:
            _take(config, workdir, source, teachers, begun)
        taught = functools.partial(teachers.source, elsewhere=part.commands)
        fitted = fitting.fit(config, workdir, taught(source), siblings, part, lambda: taught(reopen()))
    if task is not None and not part.is_chief:
        taking_part.stay(task)
        return {}
    if task is not None:
        siblings = fitting.restored(config, workdir, source)  # on this machine alone
    if isinstance(source, FollowedSource):
        _claim(config, workdir, source)  # now that it has ended, the manifest names all its files
    return finishing.finish(config, workdir, source, siblings, fitted)


def _warm_start(config: Config, workdir: str, source: Source, siblings: SiblingModel) -> WarmStart | None:
    """Only where this run has no checkpoint of its own yet; one that has brings its anchor back from there."""
    begun = None
    if config.train.warm_start and not _has_checkpoints(workdir):
        begun = warm_start.initialise(siblings, config.train.warm_start, source.encoder)
    for replica in siblings.replicas if config.train.anchor else ():
        replica.set_anchor(config.train.anchor)
    return begun


def _has_checkpoints(workdir: str) -> bool:
    return bool(newest_first(fitting.folder(workdir)))


def _checked(config: Config, workdir: str, source: Source, part: Part) -> Teachers:
    """The teachers; InputError for what is wrong with the data, or does not go with them."""
    evaluation.check(source, config.evaluation)
    fitting.check(config, source, part)
    cost.narrowed(config, source.encoder)
    if config.train.warm_start and not _has_checkpoints(workdir):
        StoredSiblings(config.train.warm_start)
    return open_teachers(config, workdir, source)


def _take(config: Config, workdir: str, source: Source, teachers: Teachers, begun: WarmStart | None) -> None:
    """From now on the workdir is this run's: whatever could be wrong with its settings and data is known not to be."""
    _claim(config, workdir, source)
    encoder_file.save(source.encoder, os.path.join(workdir, encoder_file.NAME))
    teachers.save(workdir)
    if begun:
        print(begun.summary())
        workdirs.write_json(os.path.join(workdir, "warm_start.json"), begun.to_dict())
    if config.ensemble.equal_cost != "none":
        print(cost.equal_cost_line(config, source.encoder))
    if source.summary["malformed"]:
        places = "; ".join(source.summary["first_malformed"])
        print(f"{source.summary['malformed']:,} malformed rows are left out: {places}")


def _claim(config: Config, workdir: str, source: Source) -> None:
    """Takes the workdir for this run; a stream may have grown since it did so before."""
    earlier = source.earlier_fingerprints if isinstance(source, FollowedSource) else ()
    workdirs.claim(config, workdir, workdirs.manifest(config, source.fingerprint, source.summary), earlier)


def _report(workdir: str) -> None:
    """Writes the report where there is none: a run is finished before, and may have been killed in between."""
    path = os.path.join(workdir, "report.html")
    if not os.path.exists(path):
        run_report.write([workdir], path)


def _set_up(config: Config) -> None:
    """Seeds, and determinism where asked for."""
    if config.train.deterministic:
        threads = config.train.threads or os.cpu_count() or 1
        with contextlib.suppress(RuntimeError):  # TensorFlow runs already: its number of threads is fixed
            tf.config.threading.set_intra_op_parallelism_threads(threads)
            tf.config.threading.set_inter_op_parallelism_threads(threads)
        tf.config.experimental.enable_op_determinism()
    tf.keras.utils.set_random_seed(config.seed)
