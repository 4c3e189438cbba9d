"""Exports in the oldest TensorFlow that docs/serving.md names, in an environment of its own.

    python3.11 -m venv older && older/bin/pip install 'tensorflow==2.18.*'
    SMOOTH_RECS_OLDER_PYTHON=older/bin/python python -m pytest tests/serving/test_older_loaders.py

`.ci/run` makes that environment where the package index answers. The newest TensorFlow is that of requirements.lock, in
which every test runs.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shared_runs

import smooth_recs
from smooth_recs.serving import loader_process
from smooth_recs.serving.loader import LoadedModel
from smooth_recs.serving.loader_process import Request

PYTHON = os.environ.get("SMOOTH_RECS_OLDER_PYTHON", "")
ROWS = 500
PROGRAM = """
import sys
import numpy as np
import tensorflow as tf

export, rows, answers = sys.argv[1:]
with np.load(rows) as file:
    inputs = {name: tf.constant(file[name]) for name in file}
found = tf.saved_model.load(export).signatures["serving_default"](**inputs)["probability"]
np.save(answers, found.numpy())
print(tf.__version__)
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON, reason="SMOOTH_RECS_OLDER_PYTHON names no Python that has an older TensorFlow"),
]


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(shared_runs.of_csv(tmp_path_factory) / "export" / "replica_0" / "1")


@pytest.fixture(scope="module")
def rows() -> dict[str, Any]:
    """Known, unknown, missing and extreme values of every kind of feature."""
    rng = np.random.default_rng(1)
    texts = np.array([b"ann", b"bob", b"", b"nobody", b"\xff\xfe"])
    return {
        "user": rng.choice(texts, ROWS),
        "words": rng.choice(np.array([b"one", b"two", b"", b"unheard of"]), (ROWS, 3)),
        "item": rng.choice(np.array([*range(25), -1, 2**62, -(2**62)]), ROWS),
        "price": rng.choice(np.array([0.5, 3, 700, np.nan, np.inf, -np.inf], np.float32), ROWS),
    }


@pytest.fixture(scope="module")
def expected(export: str, rows: dict[str, Any]) -> Any:
    """What this TensorFlow's loader answers."""
    with LoadedModel(export) as model:
        found = model.run("serving_default", rows)["probability"]
    assert np.isfinite(found).all()
    assert found.std() > 0
    return found


def test_its_python_loads_an_export(export: str, rows: dict[str, Any], expected: Any, tmp_path: Path) -> None:
    np.savez(tmp_path / "rows.npz", **rows)
    command = [PYTHON, "-c", PROGRAM, export, str(tmp_path / "rows.npz"), str(tmp_path / "answers.npy")]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    print(f"TensorFlow {done.stdout.strip()}")
    np.testing.assert_allclose(np.load(tmp_path / "answers.npy"), expected, rtol=0, atol=1e-6)


def test_its_loader_without_python_answers_alike(
    export: str, rows: dict[str, Any], expected: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def environment(**more: str) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(Path(smooth_recs.__file__).parents[1]), **more}

    requests = [Request("serving_default", rows), Request("logits", rows)]
    monkeypatch.setattr(loader_process, "child_environment", environment)
    monkeypatch.setattr(sys, "executable", PYTHON)
    answers = loader_process.ask(export, requests).answers
    assert [answer.error for answer in answers] == [None, None]
    np.testing.assert_allclose(answers[0].outputs["probability"], expected, rtol=0, atol=1e-6)
    logits = answers[1].outputs["logit"].astype(np.float64)
    np.testing.assert_allclose(1 / (1 + np.exp(-logits)), expected, rtol=0, atol=1e-6)
