"""The landscape of finished runs, or between two exports: from what a user names to the files that are left."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from smooth_recs import _files, _paths
from smooth_recs.artifacts import exports
from smooth_recs.artifacts.exports import SavedModel
from smooth_recs.config import Config
from smooth_recs.data.presets import open_source
from smooth_recs.data.sources import Source
from smooth_recs.errors import InputError
from smooth_recs.experiments.drawing_settings import Plan
from smooth_recs.experiments.landscape import landscape_report, weight_losses
from smooth_recs.experiments.landscape.movable_network import Network, Rows, Sibling
from smooth_recs.statistics.arrays import Array
from smooth_recs.statistics.bootstrap import row_keys
from smooth_recs.training import results
from smooth_recs.workdir import finished_runs, manifest

BATCH_SIZE = 4096


def of_run(workdir: str, label: str, rows: int) -> Network:
    """The siblings of a finished run, on its first `rows` held-out rows.

    Raises:
      InputError: there is no finished run, or its data have changed.
    """
    run = results.load(workdir)
    chunks, known = _held_out(run.source, rows, "features")
    siblings = []
    for number, replica in enumerate(run.siblings.replicas):
        tables = {id(variable) for variable in replica.embedding_variables}
        variables = [variable for variable in replica.variables if tf.as_dtype(variable.dtype).is_floating]
        is_table = [id(variable) in tables for variable in variables]
        siblings.append(Sibling(f"replica {number}", replica, variables, is_table, _predict_all(replica, chunks)))
    return Network(label, siblings, known)


def of_exports(a: str, b: str, config: Config, rows: int, cache: str) -> Network:
    """Two SavedModels of one network, on the first `rows` held-out rows of `config`.

    Args:
      a, b: folders, or folders of versions, of which the newest counts.
      config: of the data.
      rows: how many at most.
      cache: folder for what a first pass over the data finds.

    Raises:
      InputError: one is no SavedModel, takes what the data do not have, or they differ in more than their weights.
    """
    models = {}
    for flag, path in (("--export_a", a), ("--export_b", b)):
        found = exports.identify(flag, path)
        if found.kind != exports.EXPORT:
            raise InputError(f"{flag} must be a SavedModel, got {path}")
        models[flag] = SavedModel(flag, found.path)
    source = open_source(config.data, cache)
    for flag, model in models.items():
        exports.check_inputs(flag, model.inputs, source.encoder.raw_signature())
    chunks, known = _held_out(source, rows, "raw")
    siblings = []
    for flag, model in models.items():
        fed = [exports.as_inputs(flag, model.inputs, chunk) for chunk in chunks]
        variables = [variable for variable in model.variables if tf.as_dtype(variable.dtype).is_floating]
        # An export tells no more of its variables than their names (TensorFlow 2.21).
        is_table = ["embedding" in variable.name for variable in variables]
        siblings.append(Sibling(flag, model, variables, is_table, functools.partial(_joined, model.predict, fed)))
    return Network(f"{_paths.normalized(a)} and {_paths.normalized(b)}", siblings, known)


def _predict_all(replica: Any, chunks: Sequence[Any]) -> Callable[[], Array]:
    """What predicts all `chunks` with the weights that `replica` has at that moment."""

    @tf.function
    def traced(features: Any) -> tf.Tensor:
        return tf.reshape(tf.cast(replica(features, training=False), tf.float32), [-1])

    # One graph for the chunks of all sizes: a tf.function that is called would warn of retracing for every sibling
    # (TensorFlow 2.21).
    any_rows = tf.nest.map_structure(lambda column: tf.TensorSpec([None, *column.shape[1:]], column.dtype), chunks[0])
    return functools.partial(_joined, traced.get_concrete_function(any_rows), chunks)


def _joined(predict: Callable[[Any], Any], chunks: Sequence[Any]) -> Array:
    return np.concatenate([np.asarray(predict(chunk)).reshape(-1) for chunk in chunks]).astype(np.float64)


def _held_out(source: Source, rows: int, part: str) -> tuple[list[Any], Rows]:
    """The `features` (tensors) or `raw` (arrays) of the first rows in chunks, and what else is known of them."""
    # Cut to the rows first, then to chunks that fit into memory with the largest layer.
    chunks, known = [], []
    for chunk in source.holdout(raw=part == "raw").rebatch(rows).take(1).rebatch(BATCH_SIZE):
        chunks.append({name: v.numpy() for name, v in chunk[part].items()} if part == "raw" else chunk[part])
        known.append({name: chunk[name].numpy() for name in ("label", "weight", "query_id") if name in chunk})
    columns = {name: np.concatenate([each[name] for each in known]) for name in known[0]}
    label, weight = columns["label"].astype(np.float64), columns["weight"].astype(np.float64)
    return chunks, Rows(label, weight, row_keys(columns.get("query_id"), label.size))


def at_runs(named: Sequence[str], folder: str, plan: Plan) -> str:
    """The landscape of finished runs beside each other: between their siblings, and around the first of each.

    Args:
      named: workdirs.
      folder: receives the files; it is made where it does not exist.
      plan: what is measured.

    Returns:
      What to print.

    Raises:
      InputError: there is no finished run, its data have changed, or the runs do not have the same held-out rows.

    ```python
    print(at_runs(["runs/demo/relu", "runs/demo/smelu"], "runs/landscape", Plan()))
    ```
    """
    _files.check_output("--workdir", os.path.join(folder, "landscape.html"))
    networks = [of_run(run.workdir, run.label, plan.rows) for run in finished_runs.load(named)]
    for workdir, network in zip(named, networks, strict=True):
        if not networks[0].rows.equal(network.rows):
            raise InputError(f"runs must have the same held-out rows, got {named[0]} and {workdir}")
    found = [weight_losses.measure(network, plan) for network in networks]
    return _written(found, {"runs": list(named)}, folder, plan)


def at_exports(a: str, b: str, config: Config, folder: str, plan: Plan) -> str:
    """The landscape between two SavedModels of one network, and around the first.

    Args:
      a, b: folders, or folders of versions, of which the newest counts.
      config: of the held-out rows.
      folder, plan: as of `at_runs`.

    Returns:
      What to print.

    Raises:
      InputError: one is no SavedModel, takes what the data do not have, or they differ in more than their weights.

    ```python
    a, b = (f"runs/demo/smelu/export/replica_{replica}" for replica in (0, 1))
    print(at_exports(a, b, Config(), "runs/landscape", Plan()))
    ```
    """
    _files.check_output("--workdir", os.path.join(folder, "landscape.html"))
    network = of_exports(a, b, config, plan.rows, os.path.join(folder, "cache"))
    return _written([weight_losses.measure(network, plan)], {"export_a": a, "export_b": b}, folder, plan)


def _written(found: Sequence[Any], named: dict[str, Any], folder: str, plan: Plan) -> str:
    content = {
        "networks": found,
        "settings": {**named, **dataclasses.asdict(plan)},
        "versions": manifest.versions(),
        "command": manifest.command(),
    }
    return landscape_report.write(content, folder)
