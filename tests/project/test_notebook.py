"""The notebook of the main story: its cells run as they stand, and what is stored under them is fit to be shown."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from source_imports import ROOT

PATH = ROOT / "examples" / "story.ipynb"
ROWS = "rows = 40_000"

# One namespace and one process, as a kernel has; without a display.
PROGRAM = """
import json, sys

names = {"__name__": "__main__"}
for number, cell in enumerate(json.load(sys.stdin)):
    exec(compile(cell, f"cell {number}", "exec"), names)
answer = {"relu": names["relu"], "smelu": names["smelu"], "same": names["before"].tolist() == names["after"].tolist()}
json.dump(answer, open("answer.json", "w"))
"""


def cells() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(PATH.read_text("utf-8"))["cells"]
    return found


def sources() -> list[str]:
    """Of the cells but the first, which is a command of Jupyter."""
    return ["".join(cell["source"]) for cell in cells() if cell["cell_type"] == "code"][1:]


def outputs() -> list[dict[str, Any]]:
    return [output for cell in cells() if cell["cell_type"] == "code" for output in cell["outputs"]]


def test_what_is_stored_is_one_whole_pass() -> None:
    counts = [cell["execution_count"] for cell in cells() if cell["cell_type"] == "code"]
    assert counts == list(range(1, len(counts) + 1))
    assert "error" not in {output["output_type"] for output in outputs()}
    assert sum("image/png" in output.get("data", {}) for output in outputs()) >= 3
    assert PATH.stat().st_size < 400_000


def test_the_first_cell_installs_what_the_others_need() -> None:
    """In Colab, where nothing of this package is there."""
    first = next(cell for cell in cells() if cell["cell_type"] == "code")
    assert "".join(first["source"]) == '%pip install -q "smooth-recs[tensorflow,report]"'
    assert not first["outputs"]
    assert not any(source.startswith(("%", "!")) for source in sources())


def test_what_is_stored_names_no_machine() -> None:
    for output in outputs():
        told = json.dumps({kind: each for kind, each in output.get("data", {}).items() if kind != "image/png"})
        text = "".join(output.get("text", "")) + told
        assert not re.search(r"(^|[\s\"'=])/\w+/", text), text
        assert os.uname().nodename not in text


@pytest.mark.slow
@pytest.mark.timeout(900)  # seconds, of a machine with much else to do: it needs about a minute of a processor
def test_its_cells_run_one_after_the_other(tmp_path: Path) -> None:
    assert sum(ROWS in source for source in sources()) == 1
    small = [source.replace(ROWS, "rows = 2_000") for source in sources()]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "MPLBACKEND": "Agg"}
    command = [sys.executable, "-X", "warm", "-c", PROGRAM]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, input=json.dumps(small), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    answer = json.loads((tmp_path / "answer.json").read_text())
    for name in ("relu", "smelu"):
        assert answer[name]["examples"] == 2_000
        assert 0 < answer[name]["pd"]["relative"] < 1
    assert answer["same"]
    assert "PD of an export and its copy: 0.0" in done.stdout
    assert (tmp_path / "runs/story/smelu/report.html").is_file()
