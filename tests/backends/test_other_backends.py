"""The tests of this folder in processes of jax and of PyTorch, in whose environments TensorFlow is not installed.

SMOOTH_RECS_JAX_PYTHON and SMOOTH_RECS_TORCH_PYTHON name their interpreters; `.ci/run` makes the environment of jax.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from source_imports import ROOT

INTERPRETERS: dict[str, str] = {
    backend: os.environ.get(f"SMOOTH_RECS_{backend.upper()}_PYTHON", "") for backend in ("jax", "torch")
}
HERE = Path(__file__)


def run(backend: str, *arguments: str | Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """A process of the interpreter of a backend, with Keras 3 on it."""
    interpreter = sys.executable if backend == "tensorflow" else INTERPRETERS[backend]
    if not interpreter:
        pytest.skip(f"SMOOTH_RECS_{backend.upper()}_PYTHON names no interpreter")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "COV"))}
    environment |= {"KERAS_BACKEND": backend, "TF_USE_LEGACY_KERAS": "0", "PYTHONPATH": str(ROOT), **settings}
    command = [interpreter, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, timeout=550)


@pytest.mark.slow
@pytest.mark.parametrize("backend", INTERPRETERS)
def test_the_other_tests_of_this_folder_pass_there(backend: str) -> None:
    files = sorted(set(HERE.parent.glob("test_*.py")) - {HERE})
    done = run(backend, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert " passed" in done.stdout


@pytest.mark.parametrize("backend", INTERPRETERS)
def test_what_needs_tensorflow_says_so(backend: str) -> None:
    done = run(backend, "-c", "import smooth_recs as sr; sr.activations.smelu([1.0]); sr.models")
    assert done.stderr.splitlines()[-1] == (
        f"ImportError: smooth_recs.models needs Keras' backend TensorFlow, got {backend}: pip install "
        "smooth-recs[tensorflow], and set the environment variable KERAS_BACKEND=tensorflow before Keras is imported"
    )


def test_without_a_backend_that_is_installed() -> None:
    done = run("jax", "-c", "import smooth_recs", KERAS_BACKEND="tensorflow")
    assert done.stderr.splitlines()[-1] == (
        "ImportError: Keras' backend tensorflow is not installed: set KERAS_BACKEND to another of tensorflow, jax, "
        "torch before Keras is imported, or pip install smooth-recs[tensorflow]"
    )
    done = run("jax", "-c", "import smooth_recs", KERAS_BACKEND="mxnet")
    assert done.stderr.splitlines()[-1] == "ImportError: KERAS_BACKEND must be one of tensorflow, jax, torch, got mxnet"


def test_one_backend_saves_and_the_other_loads(tmp_path: Path) -> None:
    """The example in two processes without TensorFlow, and the numbers that it prints."""
    example = ROOT / "examples" / "other_backends.py"
    saved = run("torch", example, f"--save={tmp_path}/model.keras")
    loaded = run("jax", example, f"--load={tmp_path}/model.keras")
    for backend, done in (("torch", saved), ("jax", loaded)):
        assert done.returncode == 0, done.stderr[-2000:]
        first, second = done.stdout.splitlines()[-2:]
        loss, auc = re.fullmatch(rf"backend {backend}, log loss (0\.\d+), AUC (0\.\d+)", first).groups()
        assert float(loss) < 0.5
        assert float(auc) > 0.8
        (difference,) = re.fullmatch(r"PD of two models (\d\.\d+)", second).groups()
        assert 0.0 < float(difference) < 0.3


SAVE = """
import sys, keras_towers, numpy as np
model = keras_towers.build()
x, y = keras_towers.rows()
model.fit(x, y, batch_size=50, epochs=1, verbose=0)
model.save(sys.argv[1] + "/tower.keras")
np.save(sys.argv[1] + "/wanted.npy", model.predict(x, verbose=0))
"""
LOAD = """
import sys, keras, keras_towers, numpy as np
model = keras.models.load_model(sys.argv[1] + "/tower.keras", compile=False)
found = model.predict(keras_towers.rows()[0], verbose=0)
print(np.abs(found - np.load(sys.argv[1] + "/wanted.npy")).max())
"""


@pytest.mark.slow
@pytest.mark.parametrize(("saves", "loads"), [("jax", "torch"), ("torch", "tensorflow"), ("tensorflow", "jax")])
def test_strings_learned_layers_norms_and_towers_cross_backends(saves: str, loads: str, tmp_path: Path) -> None:
    paths = f"{ROOT}{os.pathsep}{ROOT / 'tests'}"
    for backend, program in ((saves, SAVE), (loads, LOAD)):
        done = run(backend, "-c", program, tmp_path, PYTHONPATH=paths)
        assert done.returncode == 0, done.stderr[-2000:]
    assert float(done.stdout.splitlines()[-1]) < 1e-5
