"""A small export with every kind of feature, for the tests of what lies beside it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest

from smooth_recs import config
from smooth_recs.data import feature_statistics
from smooth_recs.data.encoding import Encoder
from smooth_recs.schema import Categorical, Numeric, Schema

SCHEMA = Schema((
    Categorical("user", "identity", 20, "int64"),
    Categorical("query", "hash", 50),
    Categorical("tags", "vocabulary", dtype="int64", max_values=4),
    Categorical("words", "hash", 30, max_values=3),
    Numeric("price", "log_standardize", "indicator"),
))  # fmt: skip


class Exported(NamedTuple):
    """`path` of the export, the model and encoder that it was made of, and raw rows for it."""

    path: str
    model: Any
    encoder: Encoder
    rows: dict[str, Any]


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    from smooth_recs.models import from_config  # not before: this file is read under Keras 3 too
    from smooth_recs.serving import saved_model

    random = np.random.default_rng(3)
    rows = {
        "user": np.append(random.integers(-1, 22, 39), 2**40),
        "query": random.choice(np.array(["schöne Bücher".encode(), b"", b"\xff\xfe"], object), 40),
        "tags": random.integers(-1, 9, (40, 4)),
        "words": random.choice(np.array([b"one", b"two", b""], object), (40, 3)),
        "price": random.choice([np.nan, 0.0, 3.5, -2.0, np.inf], 40).astype(np.float32),
    }
    encoder = Encoder(SCHEMA, feature_statistics.collect(SCHEMA, iter([rows])))
    settings = config.Model(hidden_units=(8, 4), embedding_dim=4, beta=(0.5, 0.25))
    model = from_config.ranking_model(settings, encoder)
    model(encoder(rows))
    path = saved_model.save(model, encoder, str(tmp_path_factory.mktemp("exported")))
    return Exported(path, model, encoder, rows)
