"""Lays dist/tested, where `make test` runs: this repository with the installed wheel in place of the package.

    .venv/bin/python .ci/installed_wheel.py dist/smooth_recs-0.1.0-py3-none-any.whl

So no test, nor any process that a test starts, can reach the sources: what is tested is what users install. The
environment dist/tested/.venv finds the packages of .venv through a .pth file. Python does not follow the .pth files
there, and so not the editable install either.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TESTED = ROOT / "dist" / "tested"
PACKAGE = "smooth_recs"
NOT_COPIED = {PACKAGE, "dist", "runs", ".git", ".venv"}
CACHES = shutil.ignore_patterns("__pycache__", "*.egg-info", ".*_cache", ".hypothesis", ".coverage*")


def main() -> None:
    shutil.rmtree(TESTED, ignore_errors=True)
    shutil.copytree(ROOT, TESTED, ignore=_left_out)
    (TESTED / PACKAGE).symlink_to(_installed(sys.argv[1]) / PACKAGE)


def _left_out(folder: str, names: list[str]) -> set[str]:
    return CACHES(folder, names) | (NOT_COPIED if Path(folder) == ROOT else set())


def _installed(wheel: str) -> Path:
    """The site-packages of a new environment that holds the wheel."""
    environment = TESTED / ".venv"
    venv.create(environment, symlinks=True)
    python = environment / "bin" / "python"
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(environment)}))
    (packages / "locked.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", f"--python={python}"]
    subprocess.run([*pip, "install", "--no-deps", "--no-index", wheel], check=True)
    return packages


if __name__ == "__main__":
    main()
