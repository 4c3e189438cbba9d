"""Fixtures that run a test once for every activation, and in every mode of execution."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from activation_cases import CASES, MODES, WITH_HYPERPARAMETERS, Case


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> Case:
    return request.param


@pytest.fixture(params=WITH_HYPERPARAMETERS, ids=lambda case: case.name)
def case_with_hyperparameters(request: pytest.FixtureRequest) -> Case:
    return request.param


@pytest.fixture(params=list(MODES))
def mode(request: pytest.FixtureRequest) -> Callable[[Any], Any]:
    return MODES[request.param]
