"""benchmarks/backend_conformance.py: what it takes for exact, and that it sees an error."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest
from benchmark_programs import program

from smooth_recs import activations


@pytest.fixture(scope="module")
def conformance() -> ModuleType:
    return program("backend_conformance")


def test_the_exact_slope_is_the_derivative_of_the_exact_value(conformance: ModuleType) -> None:
    x = np.random.default_rng(1).uniform(-4, 4, 300)
    for name, case in conformance.CASES.items():
        x = x[np.all([np.abs(x - joint) > 1e-3 for joint in case.joints], axis=0)]
        difference = (case.exact(x + 1e-5)[0] - case.exact(x - 1e-5)[0]) / 2e-5
        np.testing.assert_allclose(case.exact(x)[1], difference, rtol=1e-6, atol=1e-8, err_msg=name)


def test_it_has_a_row_for_every_activation(conformance: ModuleType) -> None:
    assert list(conformance.CASES) == list(activations.registry.TABLE)


def test_smelu_as_it_is_often_written_is_found_out(conformance: ModuleType) -> None:
    import tensorflow as tf

    def often(x: Any) -> Any:
        u = tf.minimum(tf.nn.relu(x + 0.5), tf.ones([], x.dtype))
        return u * u / 2 + tf.maximum(x - 0.5, tf.zeros([], x.dtype))

    runs, case = conformance.OnTensorFlow(), conformance.CASES["smelu"]
    with np.errstate(invalid="ignore"):
        wrong = conformance.errors(runs, often, case)
        right = conformance.errors(runs, lambda x: activations.smelu(x, beta=0.5), case)
    assert wrong["special"][1] >= 2.0**20  # of 2.0**23: the slope at beta is 2 or 3/2
    assert right["special"] == [0.0, 0.0]
    assert max(error for errors in right.values() for error in errors) < 2
