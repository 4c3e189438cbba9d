"""Which rows are trained on."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from smooth_recs.data import splits


def members(part, rows):
    return np.flatnonzero(part.contains(tf.range(rows, dtype=tf.int64)))


def assert_located(part, numbers):
    assert part.rows == len(numbers)
    for position in {0, len(numbers) // 2, len(numbers) - 1} & set(range(len(numbers))):
        assert part.number_of(position) == numbers[position]
    assert part.number_of(len(numbers)) == part.stop


def test_the_tail_is_held_out():
    training, held_out = splits.tail(10, 0.75, 0, 0)
    assert members(training, 10).tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
    assert members(held_out, 10).tolist() == [8, 9]


def test_a_limit_takes_the_first_rows_of_each_part():
    training, held_out = splits.tail(100, 0.64, 5, 16)
    assert members(training, 100).tolist() == [0, 1, 2, 3, 4]
    assert members(held_out, 100).tolist() == list(range(64, 80))


def test_a_share_is_rounded_not_cut():
    assert splits.tail(100, 0.29, 0, 0)[0].rows == 29  # 0.29 * 100 is 28.999999999999996


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 300), st.floats(0.05, 0.95), st.integers(0, 2**31 - 1), st.integers(0, 50))
def test_a_random_split_is_disjoint_complete_and_limited(rows, fraction, seed, limit):
    training, held_out = splits.random(rows, fraction, seed, 0, 0)
    trained, evaluated = members(training, rows), members(held_out, rows)
    assert sorted([*trained, *evaluated]) == list(range(rows))
    assert_located(training, trained)
    assert_located(held_out, evaluated)
    first = splits.random(rows, fraction, seed, limit, limit)
    assert members(first[0], rows).tolist() == trained[: limit or None].tolist()
    assert members(first[1], rows).tolist() == evaluated[: limit or None].tolist()
    assert_located(first[0], trained[: limit or None])


def test_a_random_split_has_its_share_depends_on_the_seed_and_not_on_the_number_of_rows():
    one, other = splits.random(20_000, 0.8, 1, 0, 0)[0], splits.random(20_000, 0.8, 2, 0, 0)[0]
    assert one.rows == pytest.approx(16_000, abs=5 * np.sqrt(20_000 * 0.8 * 0.2))
    both = np.intersect1d(members(one, 20_000), members(other, 20_000)).size
    assert both == pytest.approx(0.64 * 20_000, abs=5 * np.sqrt(20_000 * 0.64 * 0.36))
    fewer = splits.random(100, 0.8, 1, 0, 0)[0]
    assert members(fewer, 100).tolist() == members(one, 100).tolist()


def test_a_part_is_divided_by_position_or_by_a_hash_of_its_own():
    first, second = splits.divided(splits.Part(10, 5, 15), 0.75, None)
    assert (first, second) == (splits.Part(8, 5, 13), splits.Part(2, 13, 15))  # 7.5 is rounded to the even number
    numbers = np.arange(20_000)
    training, _ = splits.random(20_000, 0.5, 3, 0, 0)
    kept, apart = splits.divided(training, 0.75, 3)
    inside, there, away = (np.asarray(part.contains(numbers)) for part in (training, kept, apart))
    np.testing.assert_array_equal(there | away, inside)
    assert not (there & away).any()
    assert (kept.rows, apart.rows) == (there.sum(), away.sum())
    assert kept.rows / training.rows == pytest.approx(0.75, abs=0.02)  # four standard deviations: 0.017


def test_rows_beyond_a_block_are_found(monkeypatch):
    monkeypatch.setattr(splits, "_BLOCK", 10)
    training, _ = splits.random(105, 0.5, 3, 0, 0)
    assert_located(training, members(training, 105))


def test_by_time_the_latest_are_held_out_and_ties_keep_their_order():
    training, held_out = splits.by_time(np.array([5.0, 1.0, 3.0, 1.0, 9.0]), 0.6, 0, 0)
    assert training.tolist() == [1, 3, 2]
    assert held_out.tolist() == [0, 4]
    assert splits.by_time(np.array([5.0, 1.0, 3.0, 1.0, 9.0]), 0.6, 2, 1)[1].tolist() == [0]


def test_by_user_time_each_users_latest_are_held_out():
    user = np.array([7, 7, 9, 7, 9, 7, 8])
    time = np.array([4.0, 1.0, 2.0, 3.0, 1.0, 2.0, 0.0])
    training, held_out = splits.by_user_time(time, user, 0.5, 0, 0)
    # user 7 in time order: 1, 5 | 3, 0; user 9: 4 | 2; user 8 has half a row to train on, which rounds to none
    assert training.tolist() == [1, 4, 5]
    assert held_out.tolist() == [6, 2, 3, 0]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=60), st.floats(0.1, 0.9))
def test_by_user_time_against_a_loop_over_users(rows, fraction):
    user, time = np.array([r[0] for r in rows], np.int64), np.array([r[1] for r in rows], np.float64)
    training, held_out = splits.by_user_time(time, user, fraction, 0, 0)
    expected = set()
    for one in set(user.tolist()):
        own = sorted(np.flatnonzero(user == one), key=lambda row: (time[row], row))
        expected.update(own[: round(len(own) * fraction)])
    assert set(training.tolist()) == expected
    assert sorted([*training, *held_out]) == list(range(len(rows)))
    for part in (training, held_out):
        assert part.tolist() == sorted(part, key=lambda row: (time[row], row))
