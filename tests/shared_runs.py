"""What several tests read and none changes, such as a trained run, is made once for all workers of a test run."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from source_imports import ROOT

from smooth_recs import training
from smooth_recs.config import Config
from smooth_recs.experiments import sweeps


def small_demo(seed: int = 1) -> Config:
    """The demo with few rows and units."""
    run = sweeps.config_of(ROOT / "configs" / "demo.py")
    run.seed, run.data.examples, run.data.eval_examples = seed, 20_000, 8_000
    run.model.hidden_units, run.evaluation.estimate = (16, 8), False
    return run


def once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """The folder that `make` has filled: here, or in the worker that needed it first."""
    base = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    folder, made = base / f"shared_{name}", base / f"shared_{name}.made"
    with open(base / f"shared_{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            folder.mkdir()
            make(folder)
            made.touch()
    return folder


def trained(factory: pytest.TempPathFactory, config: Config) -> Path:
    """The workdir of a finished run of `config`."""
    name = hashlib.sha256(json.dumps(config.to_dict(), sort_keys=True).encode()).hexdigest()[:16]
    return once(factory, name, lambda folder: training.train_and_evaluate(config, str(folder / "run"))) / "run"
