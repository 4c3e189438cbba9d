"""Networks whose weights are moved: ends of lines, lengths of directions, siblings that are refused."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from landscape_cases import network_of

from smooth_recs.errors import InputError
from smooth_recs.experiments.landscape import movable_network
from smooth_recs.experiments.landscape.movable_network import Network, Rows, Sibling


def test_random_directions_are_as_long_as_the_weights_unit_by_unit():
    rng = np.random.default_rng(3)
    kernel, bias, table = rng.normal(size=(5, 4)), rng.normal(size=4), rng.normal(size=(9, 3))
    stacked = rng.normal(size=(2, 5, 4))
    found = movable_network.filter_normalised([kernel, bias, table, stacked], [False, False, True, False], seed=1)
    assert np.linalg.norm(found[0], axis=0) == pytest.approx(np.linalg.norm(kernel, axis=0))
    assert np.linalg.norm(found[3], axis=1) == pytest.approx(np.linalg.norm(stacked, axis=1))
    assert not found[1].any()
    assert not found[2].any()
    assert [each.shape for each in found] == [(5, 4), (4,), (9, 3), (2, 5, 4)]
    longer = movable_network.filter_normalised([kernel * [1, 2, 3, 4]], [False], seed=1)
    assert longer[0] == pytest.approx(found[0] * [1, 2, 3, 4])  # the same draw
    other = movable_network.filter_normalised([kernel], [False], seed=2)
    assert np.abs(other[0] - found[0]).max() > 0.1


def test_lines_between_weights_end_at_them_exactly():
    rng = np.random.default_rng(1)
    a, b = ([rng.normal(size=(3, 2)).astype(np.float32), np.float32([k])] for k in (1, 5))
    for t, end in ((0.0, a), (1.0, b)):
        assert all(map(np.array_equal, movable_network.between(a, b, t, [True, True]), end))
    halfway = movable_network.between(a, b, 0.5, [False, True])
    assert np.array_equal(halfway[0], a[0])
    assert halfway[1] == 3
    assert movable_network.moved(a, (2.0, b), (-1.0, a))[1] == 1 + 10 - 1


def test_siblings_of_other_shapes_are_refused():
    with pytest.raises(
        InputError, match=r"^network: siblings must have equal variables, got shapes \[2\] in replica 0 "
    ):
        network_of(lambda w: w.sum(), [[1.0, 2.0]], [[1.0, 2.0, 3.0]])
    with pytest.raises(InputError, match=r"equal variables, got 1 in replica 0 and 2 in replica 1$"):
        network_of(lambda *w: w[0], [1.0], [1.0, 2.0])


def test_siblings_that_differ_in_more_than_their_weights_are_refused():
    rows = Rows(np.ones(3), np.ones(3), np.arange(3, dtype=np.uint64))
    a, b = (
        Sibling(name, None, [tf.Variable(0.5)], [False], lambda p=p: np.array([0.25, p, 0.75]))
        for name, p in (("a", 0.5), ("b", 0.125))
    )
    with pytest.raises(InputError) as error:
        Network("exports", [a, b], rows)
    assert str(error.value) == (
        "exports: siblings must differ in their weights only, "
        "but with those of b a predicts 0.5 for row 1, b itself 0.125"
    )
