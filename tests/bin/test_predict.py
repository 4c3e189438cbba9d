"""bin/predict from real processes: a file of predictions, and one line for what is wrong."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
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


@pytest.mark.slow
def test_a_killed_command_leaves_nothing_or_the_earlier_file_and_is_finished_by_a_second_one(
    export: str, tmp_path: Path
) -> None:
    rows, output = 300_000, tmp_path / "out" / "p.csv"
    lines = [f"{n % 30},{1 + n % 1000 / 100:.2f}" for n in range(rows)]
    (tmp_path / "new.csv").write_text("item,price\n" + "\n".join(lines) + "\n")
    (tmp_path / "config.py").write_text(
        "from smooth_recs import config\n"
        "from smooth_recs.schema import Categorical, Numeric, Schema\n"
        "def get_config():\n"
        "    schema = Schema((Categorical('item', 'hash', 9, 'int64'), Numeric('price')))\n"
        "    return config.Config(data=config.Data(source='csv', path='gone.csv', schema=schema))\n"
    )

    def command(version: int) -> list[str]:
        flags = (f"--export={export}/{version}", f"--config={tmp_path}/config.py", f"--data={tmp_path}/new.csv")
        return [*COMMAND, *flags, f"--output={output}"]

    def killed_while_it_writes(version: int) -> None:
        process = subprocess.Popen(command(version), stdout=subprocess.DEVNULL, cwd=ROOT)
        try:
            while not [*output.parent.glob(".writing-*/p.csv")]:
                assert process.poll() is None
                time.sleep(0.005)
        finally:
            process.kill()
            process.wait()

    def finished(version: int) -> bytes:
        done = subprocess.run(command(version), capture_output=True, text=True, timeout=250, cwd=ROOT)
        assert (done.returncode, done.stdout) == (0, f"predictions  {rows:,} rows in {output}\n"), done.stderr
        assert sorted(os.listdir(output.parent)) == ["cache", "p.csv"]
        return output.read_bytes()

    killed_while_it_writes(3)
    assert not output.exists()
    assert [*output.parent.glob(".writing-*")]  # what the next command finds and removes
    earlier = finished(3)
    killed_while_it_writes(12)
    assert output.read_bytes() == earlier
    later = finished(12)
    assert later != earlier
    output.unlink()
    assert finished(12) == later  # as if nothing had been
    assert pyarrow.csv.read_csv(output).num_rows == rows
