"""A feature that is computed from the raw ones: the same numbers from wherever a run resumes, once a row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from smooth_recs import config
from smooth_recs.data import sources
from smooth_recs.data.synthetic import SyntheticSource

ROWS = 1000


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "BATCH", 64)


@pytest.fixture
def log() -> SyntheticSource:
    return SyntheticSource(config.Data(examples=ROWS, eval_examples=50))


def gathered(chunks: Any) -> Any:
    pieces = list(chunks.as_numpy_iterator())
    return tf.nest.map_structure(lambda *parts: np.concatenate(parts), *pieces)


def mean_of_batch(raw: Any) -> tf.Tensor:
    """Depends on which rows are computed together."""
    return tf.cast(raw["user"], tf.float32) + tf.reduce_mean(tf.cast(raw["item"], tf.float32))


def test_training_rows_are_those_of_the_source_and_the_feature(log: SyntheticSource) -> None:
    source = sources.AddedFeature(log, "twice", lambda raw: 2.0 * tf.cast(raw["user"], tf.float32))
    rows, raw = gathered(source.train()), gathered(log.train(raw=True))["raw"]
    np.testing.assert_array_equal(rows["features"].pop("twice"), 2.0 * raw["user"])
    tf.nest.map_structure(np.testing.assert_array_equal, rows, gathered(log.train()))
    tf.nest.map_structure(np.testing.assert_array_equal, gathered(source.train(raw=True))["raw"], raw)


def test_held_out_rows_do_not_have_it(log: SyntheticSource) -> None:
    source = sources.AddedFeature(log, "twice", lambda raw: raw["user"])
    for raw in (False, True):
        assert source.holdout(raw=raw).element_spec == log.holdout(raw=raw).element_spec
    assert (source.train_rows, source.eval_rows, source.fingerprint) == (ROWS, 50, log.fingerprint)
    assert (source.schema, source.encoder, source.summary) == (log.schema, log.encoder, log.summary)


@pytest.mark.parametrize("start", [1, 63, 64, 65, 500, 999, 1000, 1030])
def test_from_any_row_on_it_is_the_same_to_the_bit(log: SyntheticSource, start: int) -> None:
    source = sources.AddedFeature(log, "mean", mean_of_batch)
    whole, rest = gathered(source.train()), list(source.train(start).as_numpy_iterator())
    assert sum(len(chunk["label"]) for chunk in rest) == max(ROWS - start, 0)
    if start < ROWS:
        found = tf.nest.map_structure(lambda *parts: np.concatenate(parts), *rest)
        tf.nest.map_structure(lambda a, b: np.testing.assert_array_equal(a, b[start:]), found, whole)


def test_every_row_is_computed_once(log: SyntheticSource) -> None:
    asked: list[int] = []

    def counting(raw: Any) -> tf.Tensor:
        def count(users: Any) -> Any:
            asked.append(len(users))
            return users

        return tf.numpy_function(count, [raw["user"]], tf.int64)

    for _ in sources.AddedFeature(log, "user_again", counting).train():
        pass
    assert sorted(asked) == [ROWS % 64, *[64] * (ROWS // 64)]
