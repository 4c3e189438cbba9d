"""Flips by direction and unstable rows, against numbers derived by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smooth_recs import prediction_difference
from smooth_recs.errors import InputError
from smooth_recs.measures import predictive_churn

# Labels with two predictions. At a threshold of 0.5 the live model is right in rows 0, 1, 3 and 4, the new one in 1, 2
# and 4; a prediction that equals the threshold counts as positive.
LABEL = [1, 0, 1, 0, 1]
LIVE = [0.7, 0.2, 0.4, 0.1, 0.5]
NEW = [0.3, 0.4, 0.6, 0.8, 0.9]


def test_flips_by_hand() -> None:
    assert predictive_churn.negative_flips(LABEL, LIVE, NEW) == pytest.approx(2 / 5)  # rows 0 and 3
    assert predictive_churn.positive_flips(LABEL, LIVE, NEW) == pytest.approx(1 / 5)  # row 2
    weight = [1, 5, 2, 0, 2]
    assert predictive_churn.negative_flips(LABEL, LIVE, NEW, weight) == pytest.approx(1 / 10)
    assert predictive_churn.positive_flips(LABEL, LIVE, NEW, weight) == pytest.approx(2 / 10)
    # Nothing reaches 0.95: both are right where the label is 0.
    assert predictive_churn.negative_flips(LABEL, LIVE, NEW, threshold=0.95) == 0


PROBABILITY = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])
ROWS = st.lists(st.tuples(st.integers(0, 1), PROBABILITY, PROBABILITY, st.integers(1, 3)), min_size=1, max_size=20)


@settings(max_examples=100, deadline=None)
@given(ROWS, PROBABILITY)
def test_both_directions_are_all_flips(rows: list[Any], threshold: float) -> None:
    label, live, new, weight = zip(*rows, strict=True)
    negative, positive = (
        each(label, live, new, weight, threshold=threshold) for each in predictive_churn.FLIPS.values()
    )
    assert negative + positive == pytest.approx(
        prediction_difference.flips(live, new, weight, threshold=threshold), abs=1e-12
    )
    assert negative == predictive_churn.positive_flips(label, new, live, weight, threshold=threshold)


def test_what_is_wrong_with_columns_of_flips() -> None:
    with pytest.raises(InputError, match=r"label must be 0 or 1, got 2 in row 1"):
        predictive_churn.negative_flips([0, 2], [0.1, 0.2], [0.1, 0.2])
    with pytest.raises(InputError, match=r"new must have 2 values like the others, got 1"):
        predictive_churn.negative_flips([0, 1], [0.1, 0.2], [0.1])
    with pytest.raises(InputError, match=r"live must be in \[0, 1\], got 3 in row 0; are these logits\?"):
        predictive_churn.negative_flips([0, 1], [3, 0.2], [0.1, 0.1])
    with pytest.raises(InputError, match=r"threshold must be in \[0, 1\], got 2"):
        predictive_churn.negative_flips([0, 1], [0.1, 0.2], [0.1, 0.1], threshold=2)
    with pytest.raises(InputError, match=r"negative_flips needs examples of positive weight"):
        predictive_churn.negative_flips([0, 1], [0.1, 0.2], [0.1, 0.1], [0, 0])


# Log losses: model 0 ln 2; model 1 (ln 2 + ln 5/3) / 2 = 0.602; model 2 (ln 2 + ln 4) / 2 = 1.04.
PREDICTIONS = np.array([[0.5, 0.5, 0.5], [0.5, 0.4, 0.75]])
OF_TWO = [1, 0]


def test_unstable_rows_by_hand() -> None:
    found = predictive_churn.unstable_rows(OF_TWO, PREDICTIONS, loss=0.1, pd=0.2)
    assert (found.best, found.good, found.share) == (1, [0, 1], 0.5)
    # 2 |0.5 - 0.4| / 0.9 by model 0; model 2 is not good enough to count, and would be farther away.
    assert found.moved == pytest.approx([0, 2 / 9])
    assert predictive_churn.unstable_rows(OF_TWO, PREDICTIONS, loss=0.1, pd=0.23).share == 0
    every = predictive_churn.unstable_rows(OF_TWO, PREDICTIONS, loss=1.0, pd=0.23)
    assert (every.good, every.share) == ([0, 1, 2], 0.5)
    assert every.moved == pytest.approx([0, 2 * 0.35 / 1.15])
    assert predictive_churn.unstable_rows(OF_TWO, PREDICTIONS, [1, 3], loss=1.0).share == 0.75
    alone = predictive_churn.unstable_rows(OF_TWO, PREDICTIONS, loss=0.0)
    assert (alone.good, alone.share) == ([1], 0)


def test_more_good_models_make_no_row_stable() -> None:
    rng = np.random.default_rng(3)
    p = rng.uniform(0.1, 0.5, 500)
    label = rng.uniform(size=500) < p
    predictions = np.clip(p[:, None] * np.exp(rng.normal(0, 0.1, (500, 6))), 0, 1)
    shares = [predictive_churn.unstable_rows(label, predictions, loss=loss).share for loss in (0, 0.001, 0.01, 1)]
    assert shares == sorted(shares)
    assert shares[0] == 0 < shares[-1]
    assert predictive_churn.unstable_rows(label, predictions, loss=1, pd=2).share == 0
