"""bin/report and bin/estimate, from real processes: an output that cannot be written is found before the work."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from source_imports import ROOT


def binary(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", f"smooth_recs.bin.{name}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ROOT, check=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "flag", "others"),
    [
        ("report", "--output", []),
        ("report", "--picture", ["--output={folder}/report.html"]),
        ("estimate", "--output", []),
    ],
)
def test_an_output_that_cannot_be_written_is_the_first_thing_said(
    tmp_path: Path, name: str, flag: str, others: list[str]
) -> None:
    """The workdir is none either, which is found out later."""
    (tmp_path / "file").touch()
    arguments = [f"--workdirs={tmp_path}", *(other.format(folder=tmp_path) for other in others)]
    done = binary(name, *arguments, f"{flag}={tmp_path}/file/found")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: {flag}: the folder {tmp_path}/file cannot be used: File exists\n"


def test_help_of_a_report_shows_how_it_is_started() -> None:
    done = binary("report", "--help")
    assert done.returncode == 0
    assert "\n  python -m smooth_recs.bin.report --workdirs=" in done.stdout
