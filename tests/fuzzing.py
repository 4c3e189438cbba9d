"""How long the tests of random inputs go on.

Where `SMOOTH_RECS_FUZZ_MINUTES` is set, each tries new inputs for so many minutes instead of always the same few. It
then prints every fault when it is found, goes on, and fails at its end.
"""

from __future__ import annotations

import collections
import os
import time
import warnings
from collections.abc import Callable
from typing import Any

import hypothesis
from hypothesis import HealthCheck, Phase
from hypothesis.errors import HypothesisWarning

MINUTES = float(os.environ.get("SMOOTH_RECS_FUZZ_MINUTES", "0"))
SEED = int(os.environ.get("SMOOTH_RECS_SEED", "0"))
_SHOWN, _PRINTED = 1000, 30  # characters of a fault, and how many faults


def go_on(name: str, check: Callable[[int], int]) -> None:
    """Calls `check`, which returns how many inputs it has tried, with a seed, or with one after the other."""
    if not MINUTES:
        check(SEED)
        return
    end, seed, tried = time.monotonic() + 60 * MINUTES, SEED, 0
    faults: collections.Counter[str] = collections.Counter()
    while time.monotonic() < end:
        try:
            tried += check(seed)
        except Exception as fault:  # whatever it is: the rest of the time is for others
            tried += 1
            said = f"{type(fault).__name__}: {str(fault)[:_SHOWN]}"
            faults[said] += 1
            if len(faults) <= _PRINTED and faults[said] == 1:
                print(f"\n{name}, SMOOTH_RECS_SEED={seed}: {said}", flush=True)
        seed += 1
    print(f"\n{name}: {tried:,} inputs in {seed - SEED:,} rounds, {sum(faults.values()):,} with a fault", flush=True)
    assert not faults


def random_inputs(name: str, check: Callable[[Any], None], inputs: Any, examples: int) -> None:
    """Checks `examples` inputs that Hypothesis makes, or as many rounds of them as time allows."""

    def checked(seed: int) -> int:
        tried = 0
        phases = [Phase.generate] if MINUTES else [Phase.generate, Phase.shrink]

        @hypothesis.seed(seed)
        @hypothesis.settings(
            max_examples=examples,
            deadline=None,
            database=None,
            phases=phases,
            suppress_health_check=list(HealthCheck),
        )
        @hypothesis.given(inputs)
        def one(value: Any) -> None:
            nonlocal tried
            tried += 1
            check(value)

        with warnings.catch_warnings():  # an input is as large as it needs to be
            warnings.simplefilter("ignore", HypothesisWarning)
            one()
        return tried

    go_on(name, checked)
