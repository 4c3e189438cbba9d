"""The main job: train siblings on a log, measure how much they differ, export them."""

from __future__ import annotations

import contextlib
import os
from typing import Any

import tensorflow as tf

from smooth_recs import _files, _memory, extras, validation
from smooth_recs._status import STATUS
from smooth_recs.config import Config
from smooth_recs.data import encoding, stream, survey
from smooth_recs.data.presets import open_source
from smooth_recs.data.sources import Source
from smooth_recs.data.stream import FollowedSource
from smooth_recs.errors import Diverged
from smooth_recs.measures import catalogue
from smooth_recs.models import cost, from_config
from smooth_recs.training import capacity, evaluation, loop, results, warm_start
from smooth_recs.training.batches import Batches, check_average, check_stream
from smooth_recs.training.role import Role
from smooth_recs.training.teachers import Teachers, open_teachers
from smooth_recs.training.warm_start import WarmStart
from smooth_recs.workdir import finished_runs, manifest
from smooth_recs.workdir.checkpoint_reader import CheckpointReader


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
    role = Role.of_this_process(config.distribution)
    config = _resolved(config, role)
    if role.serves:
        role.serve()
        return {}
    finished = _files.exists(os.path.join(workdir, "metrics.json"))
    if role.task is None and config.distribution.strategy != "tpu" and not finished:
        capacity.check_memory_before_reading(config)
    # What the other processes of a cluster write lies apart, and is of no use afterwards.
    with manifest.owned(workdir) if role.is_chief else contextlib.nullcontext(), STATUS.clock():
        return _run(config, workdir, role)


def _run(config: Config, workdir: str, role: Role) -> dict[str, Any]:
    """`train_and_evaluate` in the process that owns the workdir, and in those that train in step with it."""
    metrics = manifest.open_run(config, workdir)
    if metrics is not None:
        print(f"{workdir} holds this run, finished:")
        role.dismiss_servers()
        return _reported(metrics, workdir)

    _seed(config)
    with role:  # from here on the other processes are there, and watched
        STATUS.begin("reading", config.data.path or f"the {config.data.source} log")
        source = stream.open_run(config.data, workdir)
        _check(config, workdir, source, role)
        rows = f"{source.train_rows:,} rows to train on, {source.eval_rows:,} held out"
        STATUS.begin("building", f"models: {config.siblings.replicas}, for {rows}")
        teachers = open_teachers(config, workdir, source)
        live = None
        if role.is_chief and config.evaluation.live:
            from smooth_recs.training.live_model import open_live  # reads files of predictions: needs [parquet]

            live = open_live(config.evaluation.live, workdir, source)
        batches = Batches(config, workdir, source, role, teachers)
        with role.strategy.scope():
            siblings = loop.build(batches)
            begun = warm_start.begin(siblings, config, workdir, source.encoder)
        if role.is_chief:
            _claim(config, workdir, source)  # nothing can be wrong any more: the workdir is this run's
            _record(config, workdir, source, teachers, begun)
            if live:
                live.save(workdir)
        fitted = loop.fit(batches, siblings)  # from the newest checkpoint on
    if not role.is_chief:
        role.stay_with_chief()
        return {}

    if role.task is not None:
        siblings = loop.restored(config, workdir, source)  # on this machine alone
    if isinstance(source, FollowedSource):
        _claim(config, workdir, source)  # it has ended: now the manifest names all its files
    STATUS.begin("measuring", f"{source.eval_rows:,} held-out rows")
    metrics = results.measure(config, source, siblings, fitted, live)
    STATUS.begin("exporting")
    metrics["exports"] = results.export_all(config, workdir, source, siblings, metrics)
    _files.write_json(os.path.join(workdir, "metrics.json"), metrics)  # from now on the run is a finished one
    return _reported(metrics, workdir)


def plan(config: Config, workdir: str) -> str:
    """What a run of `config` would need, as text; `workdir/cache` keeps a first pass over files, nothing is trained.

    Raises:
      InputError: a wrong configuration or wrong data.
    """
    role = Role.of_this_process(config.distribution)
    config = _resolved(config, role)
    source = open_source(config.data, os.path.join(workdir, "cache"))
    check_average(config, source)
    batches = Batches(config, workdir, source, role)
    needed = capacity.capacity(config, source.encoder, devices=role.devices, servers=role.servers)
    lines = [f"training          {source.train_rows:,} rows, {batches.total_steps:,} steps"]
    if config.ensemble.equal_cost != "none":
        lines.append(cost.equal_cost_line(config, source.encoder))
    if batches.half_life:
        by_row = batches.average_by_row
        extra = needed.cost.parameters * capacity.FLOAT + by_row * needed.table_rows * capacity.COUNT
        form = "tables by row, all others in " if by_row else ""
        lines.append(
            f"averaged weights  half-life {batches.half_life:,} steps, {form}a pass every "
            f"{batches.steps_between_passes:,}: {capacity.size(needed.replicas * extra)} more"
        )
    found = [f"warning           {warning}" for warning in source.summary.get("warnings", ())]
    if (room := _memory.available()) is not None:
        found.insert(0, f"memory here       {capacity.size(room)} that this process may take")
    return "\n".join([*lines, *capacity.lines(needed), *found])


def summary(metrics: dict[str, Any], workdir: str) -> str:
    """What a person wants to know of a finished run, and where its files are."""
    replicas, difference = metrics["replicas"], metrics["pd"]
    lines = [f"warning      {text}" for text in metrics.get("warnings") or ()]
    if difference:
        ends = difference["interval"]  # None where all held-out rows are of one request
        over = f"(95% over held-out requests: {ends[0]:.2%} to {ends[1]:.2%})" if ends else "(of one held-out request)"
        lines.append(f"relative PD  {difference['relative']:.2%} {over}")
    raw = metrics.get("raw")
    if raw and raw["pd"]:
        lines.append(f"raw PD       {raw['pd']['relative']:.2%} of the weights whose averages everything else is of")
    if live := metrics.get("pd_live"):
        ends = live["interval"]
        over = f" (95%: {ends[0]:.2%} to {ends[1]:.2%})" if ends else ""
        lines.append(f"PD to live   {live['relative']:.2%}{over}")
    for name, label in ((measure.name, measure.inside) for measure in catalogue.leading()):
        values = "  ".join("undefined" if r[name] is None else f"{r[name]:.4f}" for r in replicas)
        best = metrics["best_possible"]
        known = best is not None and best[name] is not None
        lines.append(f"{label:11}  {values}" + (f"  (true probabilities: {best[name]:.4f})" if known else ""))
    for name, found in (metrics.get("tasks") or {}).items():
        parts = [f"PD {found['pd']['relative']:.2%}"] if found["pd"] else []
        for measure in catalogue.leading():
            each = (replica[measure.name] for replica in found["replicas"])
            texts = ("undefined" if value is None else f"{value:.4f}" for value in each)
            parts.append(f"{measure.inside} {'  '.join(texts)}")
        lines.append(f"{name:11}  {', '.join(parts)}")
    progressive = [entry["progressive_pd"] for entry in metrics["history"] if "progressive_pd" in entry]
    if progressive:
        lines.append(f"progressive  PD {progressive[-1]:.2%} in the last of {len(progressive)} windows of new rows")
    speed = metrics["examples_per_second"]
    lines.append(f"speed        {'not measured' if speed is None else f'{speed:,.0f} examples a second'}")
    report = os.path.join(workdir, "report.html")
    lines.append(f"report       {report if extras.installed('report') else 'none: ' + extras.remedy('report')}")
    lines += [f"export       {os.path.join(workdir, path)}" for path in metrics["exports"]]
    if not extras.installed("serving"):
        lines.append(f"warm-up      none in the exports: {extras.remedy('serving')}")
    return "\n".join(lines)


def _resolved(config: Config, role: Role) -> Config:
    """The configuration that is trained; InputError for what is wrong with it, before anything is written."""
    validation.validate(config)
    config = from_config.resolved(config)
    from_config.layer_activations(config.model)
    if config.data.follow_seconds:
        check_stream(config, role.strategy_name)
    return config


def _seed(config: Config) -> None:
    """Sets the seeds, and makes TensorFlow deterministic where the configuration asks for it."""
    if config.train.deterministic:
        threads = config.train.threads or os.cpu_count() or 1
        with contextlib.suppress(RuntimeError):  # TensorFlow runs already: its number of threads is fixed
            tf.config.threading.set_intra_op_parallelism_threads(threads)
            tf.config.threading.set_inter_op_parallelism_threads(threads)
        tf.config.experimental.enable_op_determinism()
    tf.keras.utils.set_random_seed(config.seed)


def _check(config: Config, workdir: str, source: Source, role: Role) -> None:
    """Raises InputError for what is wrong with the data, or does not go with them."""
    evaluation.check(source, config.evaluation)
    loop.check(config, source, role)
    cost.narrowed(config, source.encoder)
    if role.strategy_name != "tpu":  # whose memory is not this machine's
        copies = role.devices if role.task is None else 1
        capacity.check_memory(config, source.encoder, copies=copies, servers=role.servers)
    if warm_start.is_due(config, workdir):
        CheckpointReader(config.train.warm_start)


def _claim(config: Config, workdir: str, source: Source) -> None:
    """Takes the workdir for this run; a stream may have grown since it did so before."""
    earlier = source.earlier_fingerprints if isinstance(source, FollowedSource) else ()
    manifest.claim(config, workdir, source.fingerprint, source.summary, earlier)


def _record(config: Config, workdir: str, source: Source, teachers: Teachers, begun: WarmStart | None) -> None:
    """Leaves, and says, what the run begins with."""
    encoding.save(source.encoder, os.path.join(workdir, encoding.NAME))
    teachers.save(workdir)
    if begun:
        print(begun.summary())
        _files.write_json(os.path.join(workdir, "warm_start.json"), begun.to_dict())
    if config.ensemble.equal_cost != "none":
        print(cost.equal_cost_line(config, source.encoder))
    if source.summary["malformed"]:
        print(survey.left_out(source.summary["malformed"], source.summary["first_malformed"]))
    for warning in source.summary.get("warnings", ()):
        print(f"warning: {warning}", flush=True)


def _reported(metrics: dict[str, Any], workdir: str) -> dict[str, Any]:
    """The metrics of a finished run, once its report is written and its summary is printed.

    Raises:
      Diverged: the predictions of a sibling are no numbers.
    """
    report = os.path.join(workdir, "report.html")
    # A run is finished before, and may have been killed in between.
    if not _files.exists(report) and extras.installed("report"):
        from smooth_recs.reports import run_report

        run_report.write([workdir], report)
    print(summary(metrics, workdir))
    if metrics.get("diverged"):  # a run of an earlier version does not say
        which = ", ".join(map(str, metrics["diverged"]))
        raise Diverged(f"the training diverged: not all predictions of replica {which} are numbers; {_cause(metrics)}")
    return metrics


def _cause(metrics: dict[str, Any]) -> str:
    """What can be changed so that a training does not diverge, as far as its first measurements tell."""
    rates = "train.dense_learning_rate or train.embedding_learning_rate"
    finite = [entry for entry in metrics.get("history") or () if finished_runs.is_number(entry.get("log_loss"))]
    if finite:
        return f"they were at step {finite[-1]['step']:g}: lower {rates}"
    return f"lower {rates}, or change the activation's hyperparameters if they are extreme"
