"""How long exports take to answer, one beside the other in one process, so that what else runs here slows all alike."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from smooth_recs.comparison.saved_models import SavedModel
from smooth_recs.config import Data
from smooth_recs.data.presets import open_source
from smooth_recs.measures import registry

BATCHES = tuple(int(measure.key) for measure in registry.of("serving"))  # rows a request
_ROUNDS = 40
_CALLS = {1: 10, 1000: 2}  # of a model in a round

Rows = Mapping[str, Any]


def measure(exports: Mapping[str, str], rows: Mapping[str, Rows]) -> dict[str, dict[str, dict[str, float]]]:
    """Milliseconds of a call, by the exports' names and the number of rows.

    Every round calls each export in turn, each time beginning with another one. The clock is around the signature as
    Python calls it, answer included: some tenths of a millisecond of each number are Python's.

    Args:
      exports: folders of SavedModels by name.
      rows: for each of them raw features by name, tensors of at least 1,000 rows, or fewer where there are no more.

    Returns:
      For each name and number of rows, as a text, `median`, and `low` and `high`, between which nine tenths of the
      calls took.

    ```python
    rows = serving_cost.some_rows(config.data, "runs/cache")
    measure({"relu": "runs/relu/export/replica_0/1"}, {"relu": rows})["relu"]["1"]
    ```
    """
    models = [SavedModel(name, path) for name, path in exports.items()]
    given = [rows[name] for name in exports]
    took: list[dict[int, list[float]]] = [{batch: [] for batch in BATCHES} for _ in models]
    for turn in range(_ROUNDS + 1):
        for batch in BATCHES:
            for k in _from(turn, len(models)):
                seconds = [_call(models[k], given[k], batch, turn + call) for call in range(_CALLS[batch])]
                if turn:  # the first one traces, and fills caches
                    took[k][batch] += seconds
    for model in models:
        model.close()
    return {
        name: {str(batch): _milliseconds(seconds) for batch, seconds in of_model.items()}
        for name, of_model in zip(exports, took, strict=True)
    }


def some_rows(data: Data, cache: str) -> Rows:
    """The first held-out rows, raw, as many as the largest batch has."""
    source = open_source(data, cache)
    rows: Rows = next(iter(source.holdout(raw=True).rebatch(max(BATCHES))))["raw"]
    return rows


def of_run(workdir: str, metrics: Mapping[str, Any]) -> str | None:
    """The export of a finished run's first sibling; None where it is not there any more."""
    paths = [os.path.join(workdir, path) for path in metrics["exports"][:1]]
    return next((path for path in paths if os.path.isdir(path)), None)


def _from(turn: int, models: int) -> Sequence[int]:
    return [(turn + k) % models for k in range(models)]


def _call(model: SavedModel, rows: Rows, batch: int, number: int) -> float:
    """Seconds of one answer; of single rows another one each time."""
    assert model.inputs is not None
    start = number % max(1, len(next(iter(rows.values()))) - batch + 1)
    features = {name: tf.identity(rows[name][start : start + batch]) for name in model.inputs}
    begin = time.perf_counter()
    np.asarray(model(features))
    return time.perf_counter() - begin


def _milliseconds(seconds: Sequence[float]) -> dict[str, float]:
    low, median, high = np.quantile(seconds, (0.05, 0.5, 0.95)) * 1000
    return {"median": float(median), "low": float(low), "high": float(high)}
