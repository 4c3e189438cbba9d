"""What `import smooth_recs` does, in fresh processes of both generations of Keras and of the binaries."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest
from benchmark_programs import program
from source_imports import ROOT


def python(*arguments: str, keras_3: bool = False, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "TF_USE_LEGACY_KERAS": "0" if keras_3 else "1", **settings}
    command = [sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=250, cwd=ROOT, env=environment)


def answer(program: str, **settings):
    """What the program prints last, read as JSON."""
    done = python("-c", program, **settings)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_the_version_is_that_of_setup_py():
    import smooth_recs

    assert re.fullmatch(r"\d+\.\d+\.\d+", smooth_recs.__version__)
    assert python("setup.py", "--version").stdout.split()[-1] == smooth_recs.__version__


LAZY = """
import json, sys
import smooth_recs as sr
before = [name for name in sys.modules if name.startswith("smooth_recs.")]
value = sr.prediction_difference.relative([0.2], [0.4])
listed = sorted(set(dir(sr)) & {"models", "layers"})
print(json.dumps([before, value, "tensorflow_recommenders" in sys.modules, listed]))
"""


def test_submodules_are_loaded_on_first_use():
    before, value, recommenders, listed = answer(LAZY)
    assert {"smooth_recs.activations", "smooth_recs.layers"} <= set(before)  # in which saved models find their parts
    assert not {"smooth_recs.metrics", "smooth_recs.models", "smooth_recs.prediction_difference"} & set(before)
    assert value == pytest.approx(0.2 / 0.3)
    assert not recommenders
    assert listed == ["layers", "models"]


def test_an_unknown_name_is_an_attribute_error():
    import smooth_recs

    with pytest.raises(AttributeError, match="module 'smooth_recs' has no attribute 'layer'"):
        _ = smooth_recs.layer


def test_every_submodule_that_is_offered_exists():
    import smooth_recs

    for name, module in smooth_recs._SUBMODULES.items():
        path = ROOT.joinpath("smooth_recs", *module.split("."))
        assert path.with_suffix(".py").is_file() or (path / "__init__.py").is_file(), name


def test_every_package_and_its_losses_are_offered():
    import smooth_recs

    packages = {path.parent.name for path in (ROOT / "smooth_recs").glob("*/__init__.py")}
    assert packages - {"backends", "bin", "log_profile", "statistics", "workdir"} <= set(smooth_recs._SUBMODULES)
    assert smooth_recs.losses.Ramp((0.0, 1.0), total_steps=4).active


@pytest.mark.slow
@pytest.mark.parametrize("generation", ["Keras 2", "Keras 3"])
def test_importing_adds_little_to_tensorflow(generation):
    start_up = program("start_up")
    seconds = start_up.imports(generation)
    name = f"import smooth_recs after it, {generation}"
    assert start_up.judged(name, seconds[name].processor) == "at most 0.3 s: met"
    assert seconds[f"import tensorflow, {generation}"].processor > 10 * seconds[name].processor


@pytest.mark.slow
def test_the_table_of_a_tpu_under_keras_3_names_the_remedy():
    done = python("-c", "import smooth_recs as sr; sr.models.RankingModel; sr.layers.TPUStackedEmbedding", keras_3=True)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("ImportError: ")
    assert last.endswith("set the environment variable TF_USE_LEGACY_KERAS=1 before TensorFlow is imported")


BINARY = """
import json, os, sys
import smooth_recs
print(json.dumps([os.environ.get("TF_USE_LEGACY_KERAS"), sorted({"tensorflow", "keras", "numpy"} & set(sys.modules))]))
"""


@pytest.mark.parametrize(("given", "chosen"), [(None, "1"), ("0", "0")])
def test_a_binary_chooses_keras_2_and_waits_with_tensorflow(tmp_path, given, chosen):
    folder = tmp_path / "smooth_recs" / "bin"
    folder.mkdir(parents=True)
    (folder / "binary.py").write_text(BINARY)
    environment = {"PYTHONPATH": str(ROOT)} | ({"TF_USE_LEGACY_KERAS": given} if given else {})
    done = subprocess.run([sys.executable, folder / "binary.py"], capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == [chosen, []]


FILES = sorted((ROOT / "smooth_recs" / "bin").glob("*.py"))
BINARIES = [path.stem for path in FILES if "if __name__" in path.read_text("utf-8")]
HELP = """
import json, runpy, sys
binary, flag = sys.argv[1:]
sys.argv = [f"smooth_recs/bin/{binary}.py", flag]
try:
    runpy.run_module(f"smooth_recs.bin.{binary}", run_name="__main__", alter_sys=True)
except SystemExit as end:
    print(json.dumps([end.code, sorted(sys.modules)]))
"""


@pytest.mark.parametrize("flag", ["--help", "--helpfull"])
@pytest.mark.parametrize("binary", BINARIES)
def test_help_loads_no_tensorflow_and_so_builds_no_graph(binary, flag):
    done = python("-c", HELP, binary, flag)
    *said, last = done.stdout.splitlines()
    status, modules = json.loads(last)
    assert (status, done.stderr) == (0, "")
    assert any("--verbosity" in line for line in said)
    assert "smooth_recs.bin._command" in modules
    heavy = {"tensorflow", "keras", "tf_keras", "numpy", "scipy", "pyarrow", "matplotlib", "jinja2"}
    assert not heavy & set(modules)
