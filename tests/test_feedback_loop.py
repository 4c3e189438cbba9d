"""The benchmark of two worlds: what is shown, and what is measured of it, on candidates made by hand."""

from __future__ import annotations

import numpy as np
import pytest
from benchmark_programs import program

loop = program("feedback_loop")


def day(truth):
    """A day of two requests, whose candidates' true probabilities are `truth` [2, candidates]."""
    return {"truth": np.ravel(truth), "request": np.repeat([7, 8], loop.CANDIDATES)}


def test_the_best_candidates_of_each_request_are_shown():
    prediction = np.tile(np.linspace(0.1, 0.9, loop.CANDIDATES), (2, 1))
    prediction[1] = prediction[1, ::-1]
    last = loop.CANDIDATES - 1
    assert loop.top(prediction.ravel()).tolist() == [[last, last - 1, last - 2, last - 3], [0, 1, 2, 3]]
    # The second request's rows come after those of the first one.
    rows = loop.rows_of(loop.top(prediction.ravel()))
    assert rows.tolist() == [last, last - 1, last - 2, last - 3, last + 1, last + 2, last + 3, last + 4]


def test_clicks_are_those_that_the_true_probabilities_give():
    truth = np.zeros((2, loop.CANDIDATES))
    truth[:, :8] = 0.5, 0.4, 0.3, 0.2, 0.1, 0.1, 0.1, 0.1
    descending = np.tile(np.linspace(0.9, 0.1, loop.CANDIDATES), 2)
    shifted = np.tile(np.roll(np.linspace(0.9, 0.1, loop.CANDIDATES), 4), 2)  # shows the places 4 to 7
    found = loop.measured(day(truth), descending, shifted, descending)
    assert found["clicks_a"] == pytest.approx(1.4)
    assert found["clicks_b"] == pytest.approx(0.4)
    assert found["clicks_apart"] == pytest.approx(1.0 / 0.9)
    assert found["clicks_best"] == pytest.approx(1.4)
    assert found["clicks_by_chance"] == pytest.approx(1.8 / 20 * 4)
    assert (found["swap_rate"], found["overlap"]) == (1.0, 0.0)
    assert (found["pd_same_rows"], found["swap_rate_same_rows"], found["overlap_same_rows"]) == (0.0, 0.0, 1.0)
    assert found["pd"] > 0.1


def test_the_table_takes_the_days_after_the_first_ones():
    names = ("pd", "pd_same_rows", "swap_rate", "overlap", "overlap_same_rows", "clicks_a", "clicks_apart")
    lines = [
        {"way": "ReLU", "seed": seed, "day": number, "clicks_best": 2.0, "clicks_by_chance": 1.0}
        | dict.fromkeys(names, 0.1 * seed if number > 4 else 9.0)
        for seed in (1, 2)
        for number in range(1, 9)
    ]
    # Means of .1 and .2 over the days from the fifth on: .15, and 12.7 standard errors of .05 to either side.
    assert "| ReLU | 15.0% (-48.5% to 78.5%) |" in loop.table(lines)
    assert "true probabilities 2.0000, by chance 1.0000" in loop.table(lines)
