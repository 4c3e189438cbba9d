"""The programs in benchmarks/ can be started: each is loaded, and says which arguments it takes."""

from __future__ import annotations

import sys

import pytest
from benchmark_programs import program
from source_imports import ROOT

PROGRAMS = sorted(path.stem for path in (ROOT / "benchmarks").glob("*.py"))


@pytest.mark.parametrize("name", PROGRAMS)
def test_it_is_loaded_and_says_what_it_takes(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))  # as Python does for a script
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    main = program(name).main
    if "argparse" not in (ROOT / "benchmarks" / f"{name}.py").read_text("utf-8"):
        return
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: {name}")
