"""The sketch of different values against counting them all."""

from __future__ import annotations

import numpy as np
import pytest

from smooth_recs.log_profile.value_sketch import RANGE, ValueSketch


def sketch_of(hashes: np.ndarray, kept: int, pieces: int) -> ValueSketch:
    sketch = ValueSketch(kept)
    for places in np.array_split(np.arange(hashes.size), pieces):
        sketch.add(hashes[places], places)
    return sketch


def test_it_is_exact_up_to_what_it_keeps():
    hashes = np.array([5, 3, 5, 8, 3, 5])
    sketch = sketch_of(hashes, kept=3, pieces=3)
    assert (sketch.values, sketch.exact) == (3, True)
    assert sketch.met_before(4) == 1.0  # 3 and 5 are in the rows 4 and 5, and before
    assert sketch.met_before(3) == pytest.approx(2 / 3)  # 8 is in the row 3 alone
    assert np.isnan(ValueSketch().met_before(0))
    assert ValueSketch().values == 0


@pytest.mark.parametrize("pieces", [1, 7])
def test_beyond_it_estimates_within_its_standard_error(pieces):
    random = np.random.default_rng(1)
    values = random.integers(0, RANGE, size=30_000)
    hashes = np.concatenate([values, random.choice(values, 20_000)])
    sketch = sketch_of(hashes, kept=1_024, pieces=pieces)
    assert not sketch.exact
    assert sketch.values == pytest.approx(30_000, rel=3 / np.sqrt(1_022))
    assert sketch.values == sketch_of(hashes, kept=1_024, pieces=50).values  # however the rows come


def test_late_values_that_were_met_before_are_those_of_a_count():
    random = np.random.default_rng(2)
    hashes = random.integers(0, 500, size=1_000) * (RANGE // 500)
    early, late = set(hashes[:800]), set(hashes[800:])
    assert sketch_of(hashes, kept=500, pieces=4).met_before(800) == pytest.approx(len(early & late) / len(late))
