"""bin/predict from real processes: a file of predictions, and one line for what is wrong."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pyarrow.csv
import pyarrow.parquet
import pytest
from comparison_log import save
from source_imports import ROOT

COMMAND = [sys.executable, "-m", "smooth_recs.bin.predict"]


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder of versions of a model that knows the item and the price."""
    folder = tmp_path_factory.mktemp("model")
    save(folder / "3", 0.5)
    save(folder / "12", 0.8)
    return str(folder)


def test_help_names_every_flag_and_loads_no_tensorflow() -> None:
    command = [sys.executable, "-X", "importtime", *COMMAND[1:], "--help"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0
    assert done.stdout.startswith("Predicts with an export")
    for name in ("export", "config", "output", "data", "key", "siblings"):
        assert f"\n  --{name} " in done.stdout
    loaded = set(re.findall(r"\| +([\w.]+)$", done.stderr, re.MULTILINE))
    assert not loaded & {"tensorflow", "keras", "tf_keras", "pyarrow"}


@pytest.mark.slow
def test_the_command(export: str, tmp_path: Path) -> None:
    (tmp_path / "config.py").write_text(
        "from smooth_recs import config\n"
        "def get_config():\n"
        "    return config.Config(data=config.Data(\n"
        "        examples=1000, eval_examples=500, synthetic=config.SyntheticLog(missing_rate=0.0)))\n"
    )
    command = [*COMMAND, f"--export={export}", f"--config={tmp_path}/config.py", f"--output={tmp_path}/p.parquet"]
    done = subprocess.run([*command, "--key=user,item"], capture_output=True, text=True, timeout=250, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"predictions  500 rows in {tmp_path}/p.parquet\n"
    assert pyarrow.parquet.read_table(tmp_path / "p.parquet").num_rows == 500
    done = subprocess.run([*command, "--key=nobody"], capture_output=True, text=True, timeout=250, cwd=ROOT)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"error: --key must name single-valued features \(.*\), got 'nobody'\n", done.stderr)
