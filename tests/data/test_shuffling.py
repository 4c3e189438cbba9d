"""Orders of rows within windows: permutations that depend on seed and window alone, from any row on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from smooth_recs.data.shuffling import SiblingBatches, shuffled, windows_in


def reader(rows: int, chunk: int = 7) -> Callable[[int], tf.data.Dataset]:
    """Rows 0, 1, 2, ... from any position on, as a nested structure, in chunks that divide nothing."""

    def open_rows(start: int) -> tf.data.Dataset:
        numbers = tf.data.Dataset.range(min(start, rows), rows).batch(chunk)
        return numbers.map(lambda n: ({"id": n, "pair": tf.stack([n, -n], axis=1)}, tf.cast(n, tf.float32)))

    return open_rows


def batches(rows: int, seeds: list[int], **settings: Any) -> list[list[np.ndarray]]:
    """Row numbers of every batch, for every sibling; checks that the columns of a row stay together."""
    siblings: list[list[np.ndarray]] = [[] for _ in seeds]
    for element in shuffled(reader(rows, settings.pop("chunk", 7)), seeds=seeds, **settings):
        plain = not isinstance(element, SiblingBatches)
        for sibling, (x, y) in zip(siblings, [element] * len(seeds) if plain else element.batches, strict=True):
            numbers = x["id"].numpy()
            np.testing.assert_array_equal(x["pair"], np.stack([numbers, -numbers], axis=1))
            np.testing.assert_array_equal(y, numbers)
            sibling.append(numbers)
    return siblings


def orders(rows: int, seeds: list[int], **settings: Any) -> list[list[int]]:
    """Row numbers in the order in which each sibling sees them."""
    return [np.concatenate([[], *sibling]).astype(int).tolist() for sibling in batches(rows, seeds, **settings)]


def test_each_window_is_a_permutation_of_the_same_rows_for_every_sibling() -> None:
    found = orders(100, [1, 2, 3], window=30, batch_size=10)
    for order in found:
        for start in range(0, 100, 30):
            assert sorted(order[start : start + 30]) == list(range(start, min(start + 30, 100)))
    assert found[0] != found[1] != found[2] != found[0]
    assert all(order != list(range(100)) for order in found)


def test_windows_are_permuted_in_different_ways() -> None:
    (order,) = orders(90, [1], window=30, batch_size=10)
    inside = [np.array(order[start : start + 30]) - start for start in (0, 30, 60)]
    assert not np.array_equal(inside[0], inside[1])
    assert not np.array_equal(inside[1], inside[2])


def test_permutations_are_uniform() -> None:
    """Over 600 windows of three rows, each of the six orders comes up 100 times, give or take five deviations."""
    (order,) = orders(1800, [5], window=3, batch_size=60, chunk=100)
    patterns, counts = np.unique(np.array(order).reshape(-1, 3) % 3, axis=0, return_counts=True)
    assert len(patterns) == 6
    assert np.abs(counts - 100).max() < 5 * np.sqrt(600 * (1 / 6) * (5 / 6))


def test_siblings_are_independent() -> None:
    """Two random orders of a window of 100 agree at one place on average."""
    one, other = np.array(orders(2000, [1, 2], window=100, batch_size=50, chunk=100))
    assert abs((one == other).sum() - 20) < 5 * np.sqrt(20)


def test_equal_seeds_give_plain_batches() -> None:
    element = next(iter(shuffled(reader(10), window=5, batch_size=2, seeds=[3, 3, 3])))
    assert not isinstance(element, SiblingBatches)
    assert element[1].shape == (2,)
    assert orders(50, [3, 3], window=20, batch_size=7)[0] == orders(50, [3], window=20, batch_size=7)[0]


def test_an_order_depends_on_its_seed_alone() -> None:
    alone = orders(50, [7], window=20, batch_size=8)[0]
    assert orders(50, [7, 8], window=20, batch_size=8)[0] == alone
    assert orders(50, [8, 9, 7], window=20, batch_size=8)[2] == alone


@given(
    rows=st.integers(1, 60),
    window=st.integers(1, 25),
    batch_size=st.integers(1, 12),
    chunk=st.integers(1, 70),
    data=st.data(),
)
@settings(max_examples=25, deadline=None)
def test_resuming_is_skipping(rows: int, window: int, batch_size: int, chunk: int, data: st.DataObject) -> None:
    seeds = [1, 2]
    start = data.draw(st.integers(0, rows), label="start")
    first_window = data.draw(st.integers(0, 3), label="first_window")
    settings = {"window": window, "batch_size": batch_size, "first_window": first_window}
    whole = orders(rows, seeds, chunk=7, **settings)
    assert all(sorted(order) == list(range(rows)) for order in whole)  # no row lost or doubled
    resumed = orders(rows, seeds, chunk=chunk, start=start, **settings)
    assert resumed == [order[start:] for order in whole]


@pytest.mark.parametrize("start", [0, 20, 40, 64])
def test_resuming_at_a_batch_repeats_the_batches(start: int) -> None:
    """Batches, too, are the same where the position is a multiple of their size, inside a window or at its end."""
    whole = batches(65, [1, 2], window=30, batch_size=4)
    resumed = batches(65, [1, 2], window=30, batch_size=4, start=start)
    for sibling, again in zip(whole, resumed, strict=True):
        assert [b.tolist() for b in sibling[start // 4 :]] == [b.tolist() for b in again]


def test_batches_run_across_windows_and_only_the_last_is_smaller() -> None:
    for sibling in batches(50, [1, 2], window=15, batch_size=8):
        assert [len(batch) for batch in sibling] == [8] * 6 + [2]


@pytest.mark.parametrize("rows", [1, 5, 29, 30, 31])
def test_a_log_shorter_than_the_window_or_the_batch(rows: int) -> None:
    for order in orders(rows, [1, 2], window=30, batch_size=100):
        assert sorted(order) == list(range(rows))


def test_a_window_of_one_row_keeps_the_order() -> None:
    for start in (0, 1, 8, 11, 30):
        found = orders(30, [1, 2], window=1, batch_size=8, start=start)
        assert found == [list(range(start, 30))] * 2


def test_epochs_have_orders_of_their_own() -> None:
    per_epoch = windows_in(50, window=20, batch_size=8)
    assert per_epoch == 3
    epochs = [orders(50, [1, 2], window=20, batch_size=8, first_window=e * per_epoch) for e in range(3)]
    firsts = [epoch[0] for epoch in epochs]
    assert firsts[0] != firsts[1] != firsts[2] != firsts[0]
    # Counting windows on, no window of one epoch has the permutation of any window of another.
    permutations = [tuple(np.array(f[s : s + 20]) - s) for f in firsts for s in (0, 20)]
    assert len(set(permutations)) == 6
    again = orders(50, [1, 2], window=20, batch_size=8, first_window=per_epoch)
    assert again == epochs[1]


@pytest.mark.parametrize(
    ("rows", "window", "batch_size", "expected"),
    [(100, 25, 10, 4), (101, 25, 10, 5), (1, 25, 10, 1), (0, 25, 10, 0), (30, 1, 8, 4)],
)
def test_windows_in_an_epoch(rows: int, window: int, batch_size: int, expected: int) -> None:
    assert windows_in(rows, window=window, batch_size=batch_size) == expected


def test_rows_are_read_once_for_all_siblings() -> None:
    read = []

    def open_rows(start: int) -> tf.data.Dataset:
        def note(n: tf.Tensor) -> tf.Tensor:
            read.extend(n.numpy().tolist())
            return n

        return (
            tf.data.Dataset.range(start, 40)
            .batch(10)
            .map(lambda n: tf.ensure_shape(tf.py_function(note, [n], tf.int64), [None]))
        )

    for _ in shuffled(open_rows, window=20, batch_size=5, seeds=[1, 2, 3]):
        pass
    assert sorted(read) == list(range(40))


def test_resuming_reads_nothing_before_the_window() -> None:
    opened = []

    def open_rows(start: int) -> tf.data.Dataset:
        opened.append(start)
        return reader(100)(start)

    list(shuffled(open_rows, window=30, batch_size=10, seeds=[1, 2], start=75))
    assert opened == [60]


def test_large_seeds_and_window_numbers() -> None:
    big = 2**40
    found = orders(40, [big, big + 1], window=20, batch_size=5, first_window=2**33)
    assert found[0] != found[1]
    assert sorted(found[0]) == list(range(40))


def steps_with_ahead(rows: int, seeds: list[int], **settings: Any) -> list[tuple[list[list[int]], list[int]]]:
    """For every step the row numbers of each sibling's batch, and those that are ahead."""
    steps = []
    for element in shuffled(reader(rows, settings.pop("chunk", 7)), seeds=seeds, ahead=True, **settings):
        x, y = tf.nest.map_structure(lambda column: column.numpy(), element.ahead)
        assert len(x["id"]) == len(y) == len(element.batches[0][1]) == len(element.is_ahead)
        np.testing.assert_array_equal(x["pair"], np.stack([x["id"], -x["id"]], axis=1))
        np.testing.assert_array_equal(x["id"], y)
        ahead = x["id"][element.is_ahead.numpy()].tolist()
        steps.append(([batch[0]["id"].numpy().tolist() for batch in element.batches], ahead))
    return steps


@given(
    rows=st.integers(1, 60),
    window=st.integers(1, 25),
    batch_size=st.integers(1, 12),
    chunk=st.integers(1, 70),
    data=st.data(),
)
@settings(max_examples=15, deadline=None)
def test_every_row_after_the_first_window_is_ahead_once_before_any_sibling_has_it(
    rows: int, window: int, batch_size: int, chunk: int, data: st.DataObject
) -> None:
    seeds = [1, 2, 3]
    size = batch_size if window == 1 else window
    start = data.draw(st.integers(0, (rows - 1) // batch_size), label="step") * batch_size
    arguments = {"window": window, "batch_size": batch_size, "first_window": 2}
    steps = steps_with_ahead(rows, seeds, chunk=chunk, start=start, **arguments)
    trained: set[int] = set()
    for of_siblings, ahead in steps:
        assert not trained & set(ahead)
        trained.update(*of_siblings)
    # In the log's order; a resumed run goes on where the other was.
    assert [row for _, ahead in steps for row in ahead] == list(range(start + size, rows))
    # What is trained on is what it is without.
    plain = batches(rows, seeds, start=start, **arguments)
    assert [of_siblings for of_siblings, _ in steps] == [
        [b.tolist() for b in step] for step in zip(*plain, strict=True)
    ]


def test_a_window_of_one_row_has_the_next_batch_ahead() -> None:
    steps = steps_with_ahead(10, [1, 2], window=1, batch_size=4)
    assert steps == [([[0, 1, 2, 3]] * 2, [4, 5, 6, 7]), ([[4, 5, 6, 7]] * 2, [8, 9]), ([[8, 9]] * 2, [])]


def test_equal_seeds_need_nothing_ahead() -> None:
    one, other = (list(shuffled(reader(20), window=10, batch_size=4, seeds=[3, 3], ahead=a)) for a in (True, False))
    for (x, _), (expected, _) in zip(one, other, strict=True):
        np.testing.assert_array_equal(x["id"], expected["id"])


def test_rows_ahead_of_every_type_and_of_unknown_width() -> None:
    def open_rows(start: int) -> tf.data.Dataset:
        def chunk(n: tf.Tensor) -> dict[str, tf.Tensor]:
            wide = tf.repeat(tf.as_string(n)[:, None], 3, axis=1)
            return {"text": tf.as_string(n), "wide": tf.ensure_shape(wide, [None, None]), "half": tf.cast(n, tf.half)}

        return tf.data.Dataset.range(start, 7).batch(3).map(chunk)

    steps = list(shuffled(open_rows, window=4, batch_size=4, seeds=[1, 2], ahead=True))
    assert steps[0].ahead["text"].numpy()[steps[0].is_ahead.numpy()].tolist() == [b"4", b"5", b"6"]
    assert steps[0].ahead["wide"].numpy()[:3, 1].tolist() == [b"4", b"5", b"6"]
    assert steps[0].ahead["half"].numpy()[:3].tolist() == [4, 5, 6]
    assert not steps[1].is_ahead.numpy().any()


def test_rows_ahead_are_not_read_again() -> None:
    read = []

    def open_rows(start: int) -> tf.data.Dataset:
        def note(n: tf.Tensor) -> tf.Tensor:
            read.extend(n.numpy().tolist())
            return n

        noted = tf.data.Dataset.range(start, 40).batch(10)
        return noted.map(lambda n: tf.ensure_shape(tf.py_function(note, [n], tf.int64), [None]))

    for _ in shuffled(open_rows, window=20, batch_size=5, seeds=[1, 2], ahead=True):
        pass
    assert sorted(read) == list(range(40))
