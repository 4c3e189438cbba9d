"""Frequency admission against counting ids one by one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from smooth_recs.layers import EmbeddedFeature, StackedEmbedding, embedding_report
from smooth_recs.layers.admission import Admission

pytestmark = pytest.mark.both_generations

# Rows of the table: user 0-4 own, 5 out of vocabulary, 6 missing; tags 7-9 own, 10 out of vocabulary, 11 missing.
FEATURES = [EmbeddedFeature("user", 7), EmbeddedFeature("tags", 5, max_values=3, combiner="sum")]


def built(admission: int) -> StackedEmbedding:
    """Row r of the table is [2^r]: the sum of several rows tells which they are."""
    layer = StackedEmbedding(FEATURES, 1, admission=admission)
    layer(batch([0], [[0, 0, 0]]))
    layer.embeddings.assign(2.0 ** np.arange(12)[:, None])
    return layer


def batch(user: Any, tags: Any) -> dict[str, tf.Tensor]:
    return {"user": tf.constant(user, tf.int64), "tags": tf.constant(tags, tf.int64)}


def rows(layer: StackedEmbedding, inputs: dict[str, tf.Tensor], training: bool) -> list[list[float]]:
    """Base-2 logarithms of the vectors of each example: [user, tags]."""
    return np.log2(layer(inputs, training=training)[:, :, 0]).tolist()


def test_an_id_gets_its_row_after_so_many_sightings() -> None:
    layer = built(2)
    user_3 = batch([3], [[2, -1, -1]])
    assert rows(layer, user_3, training=True) == [[5, 10]]
    assert rows(layer, user_3, training=True) == [[5, 10]]
    assert rows(layer, user_3, training=True) == [[3, 9]]
    assert rows(layer, batch([4], [[1, -1, -1]]), training=True) == [[5, 10]], "other ids have been seen 0 times"


def test_what_a_batch_uses_is_decided_before_it() -> None:
    layer = built(2)
    twice = batch([1, 1, 2], [[-1, -1, 0], [0, -1, -1], [1, -1, -1]])
    assert rows(layer, twice, training=True) == [[5, 10]] * 3
    assert rows(layer, twice, training=True) == [[1, 7], [1, 7], [5, 10]]


def test_out_of_vocabulary_and_missing_have_their_rows_at_once() -> None:
    assert rows(built(9), batch([5, 6], [[3, -1, -1], [4, -1, -1]]), training=True) == [[5, 10], [6, 11]]


def test_only_training_counts() -> None:
    layer = built(1)
    seen = batch([3], [[0, -1, -1]])
    for _ in range(3):
        assert rows(layer, seen, training=False) == [[5, 10]]
    layer(seen, training=True)
    assert rows(layer, seen, training=False) == [[3, 7]]
    np.testing.assert_array_equal(np.flatnonzero(layer.admitted.counts), [3, 7])


def test_padding_is_not_counted() -> None:
    layer = built(1)
    layer(batch([4], [[-1, -1, -1]]), training=True)
    np.testing.assert_array_equal(np.flatnonzero(layer.admitted.counts), [4])
    np.testing.assert_array_equal(layer.admitted.lookups, [[1, 1], [0, 0]])


def test_a_layer_without_admission_has_no_counts() -> None:
    layer = StackedEmbedding(FEATURES, 1)
    layer(batch([0], [[0, 0, 0]]), training=True)
    assert len(layer.weights) == 1


def stream(steps: int, examples: int) -> Iterator[np.ndarray]:
    """Rows of the table with frequent and rare ones, -1 for padding."""
    random = np.random.default_rng(5)
    for _ in range(steps):
        yield np.minimum(random.geometric(0.2, examples) - 2, 11)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("sightings", [1, 4])
def test_agrees_with_counting_one_by_one(sightings: int, compiled: bool) -> None:
    layer = Admission(sightings, [7, 5])
    layer(tf.constant([0], tf.int64))
    call = tf.function(layer, autograph=False) if compiled else layer
    counts: Counter[int] = Counter()
    last_seen = np.zeros(12)
    lookups = np.zeros([2, 2])
    for step, ids in enumerate(stream(12, 40), start=1):
        used = np.array(call(tf.constant(ids), training=True))
        for row, got in zip(ids, used, strict=True):
            special = 5 if row < 7 else 10
            own = row < 0 or row >= special or counts[row] >= sightings
            assert got == (row if own else special)
            if row >= 0:
                lookups[int(row >= 7)] += [1, got == special]
        counts.update(int(row) for row in ids if row >= 0)
        last_seen[ids[ids >= 0]] = step
    np.testing.assert_array_equal(layer.counts, [counts[row] for row in range(12)])
    np.testing.assert_array_equal(layer.last_seen, last_seen)
    np.testing.assert_array_equal(layer.lookups, lookups)
    assert int(layer.steps) == 12
    assert 0 < lookups[0, 1] < lookups[0, 0]


def test_before_admission_the_out_of_vocabulary_row_learns() -> None:
    layer = built(1)
    for expected in ({5, 10}, {2, 8}):
        with tf.GradientTape() as tape:
            y = layer(batch([2], [[1, -1, -1]]), training=True)
        dense = tf.convert_to_tensor(tape.gradient(y, layer.trainable_variables)[0])
        assert set(np.flatnonzero(np.any(dense, axis=1))) == expected


def test_counts_of_very_frequent_ids_do_not_overflow() -> None:
    layer = Admission(3, [5])
    ids = tf.constant([1, 1, 2], tf.int64)
    layer(ids)
    layer.counts.assign([0, 2**30 - 1, 2**30, 0, 0])
    for _ in range(4):
        np.testing.assert_array_equal(layer(ids, training=True), [1, 1, 2])
    np.testing.assert_array_equal(layer.counts, [0, 2**30 + 1, 2**30, 0, 0])


def test_counts_are_in_checkpoints(tmp_path: Path) -> None:
    layer = built(2)
    seen = batch([3], [[2, -1, -1]])
    layer(seen, training=True)
    path = tf.train.Checkpoint(layer=layer).write(str(tmp_path / "checkpoint"))
    again = built(2)
    tf.train.Checkpoint(layer=again).read(path).assert_consumed()
    assert rows(again, seen, training=True) == [[5, 10]]
    assert rows(again, seen, training=True) == [[3, 9]]
    assert int(again.admitted.steps) == 3


def test_every_copy_and_export_uses_the_rows_admitted_so_far(reload_every_way: Any) -> None:
    symbolic = {name: tf.keras.Input(shape, dtype="int64", name=name) for name, shape in (("user", ()), ("tags", (3,)))}
    layer = StackedEmbedding(FEATURES, 1, admission=1)
    model = tf.keras.Model(symbolic, layer(symbolic))
    layer.embeddings.assign(2.0 ** np.arange(12)[:, None])
    model(batch([3, 3], [[2, -1, -1], [2, 2, -1]]), training=True)
    inputs = batch([3, 4], [[2, -1, -1], [1, -1, -1]])
    for way, outputs in reload_every_way(model, inputs).items():
        assert np.log2(outputs[:, :, 0]).tolist() == [[3, 9], [5, 10]], way


def test_report_by_hand() -> None:
    """Users 0 (twice), 1 and out of vocabulary; tags 0 in both steps, missing in one."""
    layer = built(2)
    layer(batch([0, 1], [[0, -1, -1], [-1, -1, -1]]), training=True)
    layer(batch([0, 5], [[0, 4, -1], [-1, -1, -1]]), training=True)
    users, tags = embedding_report(layer, steps=1)
    assert (users.name, users.rows, users.seen, users.admitted, users.expired) == ("user", 5, 2, 1, 1)
    assert (tags.name, tags.rows, tags.seen, tags.admitted, tags.expired) == ("tags", 3, 1, 1, 0)
    assert users.out_of_vocabulary_share == 1.0
    assert tags.out_of_vocabulary_share == pytest.approx(2 / 3)
    layer(batch([0], [[0, -1, -1]]), training=True)
    assert embedding_report(layer, steps=1)[0].out_of_vocabulary_share == pytest.approx(4 / 5)
    assert [feature.expired for feature in embedding_report(layer, steps=2)] == [1, 0]
    assert [feature.expired for feature in embedding_report(layer, steps=3)] == [0, 0]


def test_report_of_an_untrained_layer() -> None:
    for feature in embedding_report(built(1), steps=10):
        assert (feature.seen, feature.admitted, feature.expired, feature.out_of_vocabulary_share) == (0, 0, 0, 0.0)


def test_bad_settings_are_named() -> None:
    with pytest.raises(ValueError, match="admission must be at least 0, got -1"):
        StackedEmbedding(FEATURES, 1, admission=-1)
    with pytest.raises(ValueError, match="rows of 'item' must be at least 3 with admission, got 2"):
        StackedEmbedding([EmbeddedFeature("item", 2)], 1, admission=1)
    with pytest.raises(ValueError, match="layer must have admission above 0 to count rows, got 0"):
        embedding_report(StackedEmbedding(FEATURES, 1), steps=1)
    with pytest.raises(ValueError, match="steps must be at least 0, got -2"):
        embedding_report(built(1), steps=-2)
