"""What `make test` tests is the installed wheel, and the wheel holds the whole package."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from source_imports import PACKAGE, ROOT

SOURCES = os.environ.get("SMOOTH_RECS_SOURCES", "")
pytestmark = pytest.mark.skipif(not SOURCES, reason="of the sources: only make test sets SMOOTH_RECS_SOURCES")

SITE_PACKAGES = Path(sysconfig.get_path("purelib"))
WHERE = f"import importlib.util; print(importlib.util.find_spec('{PACKAGE}').origin)"


def test_this_process_imports_the_installed_package():
    import smooth_recs

    assert Path(smooth_recs.__file__).resolve() == SITE_PACKAGES / PACKAGE / "__init__.py"
    assert importlib.metadata.version(PACKAGE) == smooth_recs.__version__


@pytest.mark.parametrize("folder", [ROOT, None], ids=["here", "elsewhere"])
@pytest.mark.parametrize(
    "variables", [dict(os.environ), {}, {"PYTHONPATH": str(ROOT)}], ids=["ours", "none", "repository"]
)
def test_so_does_every_process_that_a_test_starts(tmp_path, folder, variables):
    done = subprocess.run(
        [sys.executable, "-c", WHERE], capture_output=True, text=True, cwd=folder or tmp_path, env=variables
    )
    assert done.stderr == ""
    assert Path(done.stdout.strip()).resolve() == SITE_PACKAGES / PACKAGE / "__init__.py"


def test_the_wheel_holds_every_file_of_the_package_and_nothing_else():
    recorded = [str(file) for file in importlib.metadata.files(PACKAGE) or []]
    # Scripts lie beside site-packages.
    packed = {file for file in recorded if not file.startswith("..") and not file.endswith(".pyc")}
    packed = {file for file in packed if ".dist-info/" not in file}
    package = Path(SOURCES, PACKAGE)
    files = {path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    ready = Path(SOURCES, "configs").rglob("*.py")
    in_package = {path.relative_to(SOURCES).as_posix() for path in files}
    assert packed == in_package | {f"{PACKAGE}/{path.relative_to(SOURCES).as_posix()}" for path in ready}
    named = ("py.typed", "reports/templates/report.css", "serving/model_card.md.j2")
    assert {f"{PACKAGE}/{file}" for file in named} <= packed
    assert any(file.endswith(".dist-info/licenses/LICENSE") for file in recorded)


def test_the_command_is_installed_and_finds_ready_configurations(tmp_path):
    command = Path(sysconfig.get_path("scripts"), "smooth-recs")
    plain = {"PATH": os.environ["PATH"]}
    said = subprocess.run([command, "--version"], capture_output=True, text=True, cwd=tmp_path, env=plain).stdout
    assert said == f"smooth-recs {importlib.metadata.version(PACKAGE)}\n"
    flags = ["train", "--config=sweeps/figure", "--workdir=runs"]
    done = subprocess.run([command, *flags], capture_output=True, text=True, cwd=tmp_path, env=plain)
    assert done.returncode == 2
    assert "no ready configuration of that name; did you mean sweeps/figure4 or " in done.stderr
    assert (
        "tensorflow"
        not in subprocess.run(
            [sys.executable, "-X", "importtime", command, "train", "--help"],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=plain,
        ).stderr
    )
