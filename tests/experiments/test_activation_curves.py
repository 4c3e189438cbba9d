"""Figure 1: its slopes are those of its values."""

from __future__ import annotations

import numpy as np

from smooth_recs.experiments.figures import activation_curves


def test_gradients_of_figure_1_are_the_slopes_of_its_values():
    x = np.linspace(-3, 3, 2001)
    family = activation_curves.family()
    assert list(family) == ["SoftPlus", "Swish", "GELU", "SmeLU", "gSmeLU"]
    for functions in family.values():
        assert len(functions) == 4
        for function in functions.values():
            values, slopes = activation_curves.value_and_slope(function, x)
            assert values.dtype == slopes.dtype == np.float64
            np.testing.assert_allclose(np.gradient(values, x)[1:-1], slopes[1:-1], atol=0.02)
    smelu, slope = activation_curves.value_and_slope(family["SmeLU"]["β = 0.5"], np.array([-0.5, 0.0, 0.5]))
    assert smelu.tolist() == [0.0, 0.125, 0.5]
    assert slope.tolist() == [0.0, 0.5, 1.0]
