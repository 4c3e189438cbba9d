"""Networks from where a user has them: a finished run, or two exports."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from smooth_recs.comparison import artifacts, inputs
from smooth_recs.comparison.saved_models import SavedModel
from smooth_recs.config import Config
from smooth_recs.data.presets import open_source
from smooth_recs.data.source import Source
from smooth_recs.errors import InputError
from smooth_recs.experiments.landscape.network import Network, Rows, Sibling
from smooth_recs.statistics.arrays import Array
from smooth_recs.statistics.bootstrap import row_keys
from smooth_recs.training import results

BATCH_SIZE = 4096


def of_run(workdir: str, label: str, rows: int) -> Network:
    """The siblings of a finished run, on its first `rows` held-out rows.

    Raises:
      InputError: there is no finished run, or its data have changed.
    """
    run = results.load(workdir)
    chunks, known = _held_out(run.source, rows, "features")
    siblings = [_replica(f"replica {k}", replica, chunks) for k, replica in enumerate(run.siblings.replicas)]
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
        found = artifacts.identify(flag, path)
        if found.kind != artifacts.EXPORT:
            raise InputError(f"{flag} must be a SavedModel, got {path}")
        models[flag] = SavedModel(flag, found.path)
    source = open_source(config.data, cache)
    for flag, model in models.items():
        inputs.check(flag, model.inputs, source.encoder.raw_signature())
    chunks, known = _held_out(source, rows, "raw")
    siblings = [_export(flag, model, chunks) for flag, model in models.items()]
    return Network(f"{os.path.normpath(a)} and {os.path.normpath(b)}", siblings, known)


def _replica(name: str, replica: Any, chunks: Sequence[Any]) -> Sibling:
    @tf.function
    def traced(features: Any) -> tf.Tensor:
        return tf.reshape(tf.cast(replica(features, training=False), tf.float32), [-1])

    # One graph for the chunks of all sizes; a tf.function that is called would warn of retracing for every sibling.
    any_rows = tf.nest.map_structure(lambda column: tf.TensorSpec([None, *column.shape[1:]], column.dtype), chunks[0])
    predict = traced.get_concrete_function(any_rows)
    tables = {variable.ref() for variable in replica.embedding_variables}
    variables = [variable for variable in replica.variables if variable.dtype.is_floating]
    is_table = [variable.ref() in tables for variable in variables]
    return Sibling(name, replica, variables, is_table, _of_all(lambda features: predict(features).numpy(), chunks))


def _export(flag: str, model: SavedModel, chunks: Sequence[Any]) -> Sibling:
    fed = [inputs.feed(flag, model.inputs, chunk) for chunk in chunks]
    variables = [variable for variable in model.variables if variable.dtype.is_floating]
    is_table = ["embedding" in variable.name for variable in variables]  # an export tells no more than names
    return Sibling(flag, model, variables, is_table, _of_all(model.predict, fed))


def _of_all(predict: Callable[[Any], Any], chunks: Sequence[Any]) -> Callable[[], Array]:
    return lambda: np.concatenate([np.reshape(predict(chunk), [-1]) for chunk in chunks]).astype(np.float64)


def _held_out(source: Source, rows: int, part: str) -> tuple[list[Any], Rows]:
    """`features` (tensors) or `raw` (arrays) in chunks, and what else is known of the same rows."""
    chunks, known = [], []
    for chunk in source.holdout(raw=part == "raw").rebatch(rows).take(1).rebatch(BATCH_SIZE):
        chunks.append({name: v.numpy() for name, v in chunk[part].items()} if part == "raw" else chunk[part])
        known.append({name: chunk[name].numpy() for name in ("label", "weight", "query_id") if name in chunk})
    columns = {name: np.concatenate([each[name] for each in known]) for name in known[0]}
    label, weight = columns["label"].astype(np.float64), columns["weight"].astype(np.float64)
    return chunks, Rows(label, weight, row_keys(columns.get("query_id"), label.size))
