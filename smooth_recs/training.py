"""The main job: train siblings on a log, measure how much they differ, export them."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
from typing import Any

import tensorflow as tf

from smooth_recs import activations, distribution, evaluation, keras_generation, monitoring, validation
from smooth_recs import workdir as workdirs
from smooth_recs.callbacks.checkpoints import Checkpoints
from smooth_recs.config import Config
from smooth_recs.data import windows
from smooth_recs.data.presets import open_source
from smooth_recs.data.source import Source
from smooth_recs.experiments import report
from smooth_recs.models import from_config
from smooth_recs.models.siblings import SiblingModel
from smooth_recs.serving import export

keras_generation.require_legacy("training (TensorFlow Recommenders)")


def train_and_evaluate(config: Config, workdir: str) -> dict[str, Any]:
    """Trains the siblings of `config`, measures them on the held-out rows and exports each.

    The same call on the same `workdir` resumes a killed run, and returns the metrics of a finished one at once.

    Args:
      config: the run.
      workdir: receives `config.json`, `manifest.json`, `cache/`, `checkpoints/`, `history.json`, `tensorboard/`,
        `metrics.json`, `report.html` and `export/replica_K/VERSION/`.

    Returns:
      The content of `metrics.json`.

    Raises:
      InputError: a wrong configuration or wrong data, before training starts.

    ```python
    from smooth_recs import config, training

    metrics = training.train_and_evaluate(config.Config(data=config.Data(examples=100_000)), "runs/first")
    metrics["pd"]["relative"], metrics["replicas"][0]["auc"]
    ```
    """
    validation.validate(config)
    config = _resolved(config)
    from_config.layer_activations(config.model)  # an unknown activation is an error before anything is written
    metrics = workdirs.open_run(config, workdir)
    if metrics is None:
        metrics = _run(config, workdir)
    else:
        print(f"{workdir} holds this run, finished:")
    print(summary(metrics, workdir))
    return metrics


def summary(metrics: dict[str, Any], workdir: str) -> str:
    """What a person wants to know of a finished run, and where its files are."""
    replicas, difference = metrics["replicas"], metrics["pd"]
    lines = []
    if difference:
        low, high = difference["interval"]
        lines.append(f"relative PD  {difference['relative']:.2%} (95% over held-out requests: {low:.2%} to {high:.2%})")
    for name, label in (("auc_loss", "AUC loss"), ("log_loss", "log loss")):
        values = "  ".join("undefined" if r[name] is None else f"{r[name]:.4f}" for r in replicas)
        best = metrics["best_possible"]
        lines.append(f"{label:11}  {values}" + (f"  (true probabilities: {best[name]:.4f})" if best else ""))
    lines.append(f"speed        {metrics['examples_per_second']:,.0f} examples a second")
    lines.append(f"report       {os.path.join(workdir, 'report.html')}")
    lines += [f"export       {os.path.join(workdir, path)}" for path in metrics["exports"]]
    return "\n".join(lines)


def _run(config: Config, workdir: str) -> dict[str, Any]:
    _set_up(config)
    source = open_source(config.data, os.path.join(workdir, "cache"))
    workdirs.claim(config, workdir, workdirs.manifest(config, source.fingerprint, source.summary))
    if source.summary["malformed"]:
        places = "; ".join(source.summary["first_malformed"])
        print(f"{source.summary['malformed']:,} malformed rows are left out: {places}")
    strategy = distribution.strategy(config.distribution.strategy)
    with strategy.scope():
        siblings = _build(config, source)
    examples_per_second, history = _train(config, workdir, source, siblings)
    columns = evaluation.collect(siblings, source.holdout())
    metrics = {
        **evaluation.metrics(columns),
        "examples": source.train_rows * config.train.epochs,
        "examples_per_second": examples_per_second,
        "history": history,
        "layers": _pre_activations(siblings.replicas[0], source),
        "exports": [
            os.path.relpath(
                export.save(replica, source.encoder, os.path.join(workdir, "export", f"replica_{k}")), workdir
            )
            for k, replica in enumerate(siblings.replicas)
        ],
    }
    workdirs.write_json(os.path.join(workdir, "metrics.json"), metrics)
    report.write([workdir], os.path.join(workdir, "report.html"))
    return metrics


def _resolved(config: Config) -> Config:
    """The configuration with what follows from it: an activation without a width has none."""
    name = config.model.activation
    beta = config.model.beta if isinstance(name, str) and activations.takes_beta(name) else None
    return dataclasses.replace(config, model=dataclasses.replace(config.model, beta=beta))


def _set_up(config: Config) -> None:
    """Seeds, and determinism where asked for."""
    if config.train.deterministic:
        threads = config.train.threads or os.cpu_count() or 1
        with contextlib.suppress(RuntimeError):  # TensorFlow runs already: its number of threads is fixed
            tf.config.threading.set_intra_op_parallelism_threads(threads)
            tf.config.threading.set_inter_op_parallelism_threads(threads)
        tf.config.experimental.enable_op_determinism()
    tf.keras.utils.set_random_seed(config.seed)


def _pre_activations(model: Any, source: Source) -> list[dict[str, Any]]:
    """The scale of the pre-activations on some held-out rows, which tells what the activation's width means."""
    rows = next(iter(source.holdout().rebatch(4096)))
    return [
        {"name": layer.name, "pre_activation_rms": layer.rms, "transition_share": layer.transition_share}
        for layer in activations.probe(model, rows["features"])
    ]


def _steps(config: Config, source: Source) -> int:
    """Steps of an epoch."""
    return -(-source.train_rows // config.train.batch_size)


def _build(config: Config, source: Source) -> SiblingModel:
    total_steps = _steps(config, source) * config.train.epochs

    def build_fn() -> Any:
        model = from_config.ranking_model(config.model, source.encoder)
        model.compile(optimizer=from_config.optimizer(model, config.train, total_steps))
        return model

    siblings = SiblingModel(build_fn, config.siblings.replicas, config.siblings.differ)
    siblings.compile(steps_per_execution=min(config.train.steps_per_execution, _steps(config, source)))
    siblings.build_replicas(_example(source.train().element_spec))
    return siblings


def _example(rows: Any) -> tuple[Any, Any, Any]:
    """What Keras trains on, of a row of the source."""
    return rows["features"], rows["label"], rows["weight"]


def _train(config: Config, workdir: str, source: Source, siblings: SiblingModel) -> tuple[float, list[Any]]:
    """Trains from the newest checkpoint on; returns examples per second and the curve of held-out measurements."""
    steps, batch_size, window = _steps(config, source), config.train.batch_size, config.data.shuffle_window
    differs = config.siblings.differ in ("order", "both")
    seeds = [config.seed * 1000 + (k if differs else 0) for k in range(config.siblings.replicas)]
    curve, speed = monitoring.Curve(os.path.join(workdir, "history.json")), monitoring.Speed()
    folder = os.path.join(workdir, "checkpoints")
    checkpoints = Checkpoints(siblings, folder, config.train.checkpoint_seconds, on_save=lambda _: curve.save())
    first = checkpoints.restore()
    logs, held_out = os.path.join(workdir, "tensorboard"), source.holdout().map(_example)
    measuring = monitoring.callbacks(config, logs, held_out, steps, curve.restore(first))
    callbacks = [speed, *measuring, checkpoints]
    for epoch in range(first // steps, config.train.epochs):
        start = max(first - epoch * steps, 0)
        batches = windows.shuffled(
            lambda row: source.train(row).map(_example),
            window=window,
            batch_size=batch_size,
            seeds=seeds,
            start=start * batch_size,
            first_window=epoch * windows.windows_in(source.train_rows, window=window, batch_size=batch_size),
        )
        siblings.fit(
            batches,
            initial_epoch=epoch,
            epochs=epoch + 1,
            steps_per_epoch=steps - start,
            callbacks=callbacks,
            verbose=1 if sys.stdout.isatty() else 2,
        )
    return speed.steps_per_second * batch_size, curve.measured
