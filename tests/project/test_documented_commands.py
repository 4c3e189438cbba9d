"""The commands in README and docs are right: each goes through the flags and checks of its program, up to the work."""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import inspect
import json
import os
import re
import runpy
import shlex
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from binaries_in_process import flags_of
from documented_pages import NOT_HERE, PAGES, blocks, commands
from source_imports import ROOT

from smooth_recs import config

# What does the work of each binary: `main` comes as far as to call one of these.
WORK = {
    "train": ("training.train_and_evaluate", "training.plan"),
    "churn": ("experiments.churn_budget.run",),
    "compare": ("comparison.comparison.compare",),
    "sweep": ("experiments.sweeps.workflow.run", "experiments.sweeps.sweep_runs.outline"),
    "completion": ("bin._completion.script",),
    "demo": ("experiments.demonstration.run",),
    "causes": ("experiments.cells.Folder.run", "experiments.attribution.table", "experiments.attribution.write"),
    "estimate": ("experiments.estimates.across", "experiments.estimates.table", "_files.write_json"),
    "export": ("release.publishing.publish",),
    "figures": (
        *("experiments.figures.figure_page.sections", "experiments.figures.figure_page.write_page"),
        *("experiments.landscape.landscape_runs.at_runs", "experiments.landscape.landscape_runs.at_exports"),
    ),
    "init": ("log_profile.first_configuration.write",),
    "local_cluster": ("cluster.local.LocalCluster.run",),
    "predict": ("release.predicting.predict",),
    "report": ("reports.run_report.write", "reports.run_report.picture"),
}
TARGETS = re.findall(r"^([a-z]\w*):(?!=)", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)


class Parsed(Exception):
    """A program has read its arguments, and found nothing wrong."""


def check(words: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Raises unless the command could begin. The working directory is that of the reader."""
    program, *rest = words
    if program == "make":
        unknown = {word for word in rest if "=" not in word} - set(TARGETS)
        assert not unknown, f"the Makefile has no {unknown}"
    elif program == "smooth-recs" and rest[0].startswith("--"):
        assert rest in (["--help"], ["--version"])
    elif program == "smooth-recs":
        _check_binary(rest[0], rest[1:], monkeypatch)
    elif program == "python" and rest[0] == "-m":
        package, _, name = rest[1].rpartition(".")
        assert package == "smooth_recs.bin", rest[1]
        _check_binary(name, rest[2:], monkeypatch)
    elif program == "python":
        _check_script(rest[0], rest[1:], monkeypatch)
    else:
        raise AssertionError(f"no way to check {shlex.join(words)}")


def _check_binary(name: str, arguments: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> None:
    module = f"smooth_recs.bin.{name}"
    assert importlib.util.find_spec(module), f"no binary {name}"
    if not arguments:  # the prose names it
        return
    _make_config_files(arguments)
    with _reading(monkeypatch, [name, *arguments]), monkeypatch.context() as patch:
        working = [_stub(patch, path) for path in WORK[name]]
        patch.setattr(signal, "signal", lambda *_: None)
        with contextlib.suppress(SystemExit):  # local_cluster ends with the chief's status
            main = runpy.run_module(module, run_name="__main__", alter_sys=True)["main"]
            main()
        assert any(stub.called for stub in working), f"{name} came to no work"
    if "--" in arguments:
        check(arguments[arguments.index("--") + 1 :], monkeypatch)


def _stub(patch: pytest.MonkeyPatch, path: str) -> Any:
    """In place of `smooth_recs.PATH`, what takes the same arguments and returns 0."""
    owner, _, name = f"smooth_recs.{path}".rpartition(".")
    outer, _, inner = owner.rpartition(".")
    holder = getattr(importlib.import_module(outer), inner) if inner[0].isupper() else importlib.import_module(owner)
    stub = mock.create_autospec(getattr(holder, name), return_value=0)
    if path == "experiments.sweeps.workflow.run":  # a goal is read before anything is trained
        stub.side_effect = lambda sweep, _, *, confirm, **_more: holder.goal_of(sweep, confirm)
    patch.setattr(holder, name, stub)
    return stub


def _check_script(path: str, arguments: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> None:
    source = (ROOT / path).read_text("utf-8")
    if "argparse" not in source and "command.run" not in source:
        main = runpy.run_path(str(ROOT / path), run_name="shown")["main"]
        inspect.signature(main).bind(*arguments)
        return
    _make_config_files(arguments)
    with _reading(monkeypatch, [path, *arguments]), contextlib.suppress(Parsed):
        runpy.run_path(str(ROOT / path), run_name="__main__")


@contextlib.contextmanager
def _reading(monkeypatch: pytest.MonkeyPatch, argv: list[str]) -> Iterator[None]:
    """Inside, programs read `argv` and go no further."""
    read = argparse.ArgumentParser.parse_args

    def parse_args(self: argparse.ArgumentParser, *_: Any) -> Any:
        read(self, argv[1:])
        raise Parsed

    with monkeypatch.context() as patch, flags_of(argv):
        patch.setattr(sys, "path", [str((ROOT / argv[0]).parent), *sys.path])  # as Python does for a script
        patch.setattr(argparse.ArgumentParser, "parse_args", parse_args)
        patch.setattr(argparse.ArgumentParser, "error", _refuse)
        yield


def _refuse(_: argparse.ArgumentParser, message: str) -> None:
    raise ValueError(message)


def _make_config_files(arguments: Sequence[str]) -> None:
    """The configurations that an earlier command would have left where a command takes them from there."""
    for argument in arguments:
        name, _, value = argument.partition("=")
        if name == "--config" and value.endswith("config.json") and not Path(value).exists():
            Path(value).parent.mkdir(parents=True, exist_ok=True)
            Path(value).write_text(json.dumps(config.Config().to_dict()))
        if (name, value) == ("--config", "log.py"):  # which `init` would have written
            Path(value).write_bytes(Path("my/stream.py").read_bytes())


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a reader: that of the project, with a configuration of their own, which data.md shows."""
    for name in ("configs", "examples", "benchmarks"):
        os.symlink(ROOT / name, tmp_path / name)
    (tmp_path / "my").mkdir()
    (first, *_) = (block.text for block in blocks("docs/data.md") if "def get_config" in block.text)
    (tmp_path / "my" / "stream.py").write_text(first)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.timeout(900)  # seconds, of a machine with much else to do: the first page loads nearly everything
@pytest.mark.parametrize("page", [page for page in PAGES if any(commands(page))])
def test_the_commands_of_a_page_are_right(page: str, reader: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for shown in commands(page):
        words = list(shown.words)
        if words[0].startswith("--"):  # flags alone: of the train binary
            words = ["smooth-recs", "train", "--config=demo", "--workdir=runs/new", *words]
        if words[0] in NOT_HERE:
            continue
        try:
            check(words, monkeypatch)
        except Exception as error:
            raise AssertionError(f"{shown.place}: {shlex.join(words)}: {error}") from error


@pytest.mark.parametrize("wrong", ["--workdri=w", "--workdir=w --config.model.actvation=relu", "--config.seed=x"])
def test_a_wrong_command_is_found(wrong: str, reader: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["smooth-recs", "train", "--config=demo", *wrong.split()]
    with pytest.raises(Exception, match=r"workdri|actvation|seed"):
        check(words, monkeypatch)


def test_the_programs_that_cannot_run_here_are_shown() -> None:
    first_words = {shown.words[0] for page in PAGES for shown in commands(page)}
    assert first_words >= set(NOT_HERE)
