"""Raw features of every kind, and what a model predicts for them."""

from __future__ import annotations

from typing import Any

import numpy as np

from smooth_recs.artifacts import exports
from smooth_recs.data.encoding import Encoder
from smooth_recs.schema import Categorical, Numeric, Schema

SCHEMA = Schema((
    Categorical("zone", "identity", 20, "int64"),
    Categorical("query", "hash", 50),
    Categorical("tags", "identity", 9, "int64", max_values=3),
    Numeric("age", "identity"),
))  # fmt: skip

SIGNATURE = Encoder(SCHEMA).raw_signature()


def features(rows: int = 50) -> exports.Columns:
    random = np.random.default_rng(rows)
    return {
        "zone": random.integers(-1, 20, rows),
        "query": random.choice(np.array([b"red shoes", "schön".encode(), b""], object), rows),
        "tags": random.integers(-1, 9, (rows, 3)),
        "age": random.uniform(size=rows).astype(np.float32),
    }


def predicted(model: Any, given: exports.Columns | None = None) -> Any:
    given = features() if given is None else given
    exports.check_inputs("--a", model.inputs, SIGNATURE)
    return np.reshape(model.predict(exports.as_inputs("--a", model.inputs, given)), -1)
