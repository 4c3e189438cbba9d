"""The settings of the figures."""

from __future__ import annotations

import pytest

from smooth_recs.errors import InputError
from smooth_recs.experiments.drawing_settings import Settings


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"norm_value": 0.0}, "--norm_value must be finite and above 0, got 0.0"),
        ({"input_range": float("inf")}, "--input_range must be finite and above 0, got inf"),
        ({"points": 2}, "--points must be at least 3, got 2"),
        ({"p1": (0.1, 1.0)}, "--p1 must be one or more that differ, between 0 and 1, got 0.1,1.0"),
        ({"betas": ()}, "--betas must be one or more that differ, finite and above 0, got "),
        ({"betas": (0.1, 0.1)}, "--betas must be one or more that differ, finite and above 0, got 0.1,0.1"),
        ({"networks": 1}, "--networks must be at least 2, for intervals over them, got 1"),
        ({"curves_seed": -1}, "--curves_seed must be at least 0, got -1"),
    ],
)
def test_settings_that_break_a_rule(changes, words):
    with pytest.raises(InputError) as error:
        Settings(**changes)
    assert str(error.value) == words
