"""`smooth-recs`: what it offers, how it ends, and what a shell completes, from real processes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest
from source_imports import ROOT

from smooth_recs import config, version
from smooth_recs.bin import _configurations, _subcommands
from smooth_recs.errors import InputError

BINARIES = {path.stem for path in (ROOT / "smooth_recs" / "bin").glob("[!_]*.py")}


def smooth_recs(*arguments, folder=ROOT):
    environment = {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"], "TF_USE_LEGACY_KERAS": "1"}
    command = [sys.executable, "-m", "smooth_recs", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=folder, env=environment)


def test_every_binary_is_a_subcommand_with_what_it_is_for():
    done = smooth_recs("--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert set(_subcommands.subcommands()) == BINARIES
    listed = {line.split()[0] for line in done.stdout.splitlines() if line[:2] == "  " and line[2] != " "}
    assert listed == BINARIES
    assert all(summary.endswith(".") for summary in _subcommands.subcommands().values())


def test_the_version():
    assert smooth_recs("--version").stdout == f"smooth-recs {version.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["tran"], "no such subcommand: 'tran'; did you mean train?"),
        (["zzz"], f"no such subcommand: 'zzz'; there are {', '.join(sorted(BINARIES))}"),
        ([], f"a subcommand must be given: {', '.join(sorted(BINARIES))}"),
        (["train", "--workdir=x"], "--config must be given: a ready configuration by its name"),
        (["train", "--config=demoo", "--workdir=x"], "no ready configuration of that name; did you mean demo?"),
    ],
)
def test_what_is_wrong_is_one_line_and_status_2(arguments, said):
    done = smooth_recs(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_help_of_a_subcommand_names_the_command_and_that_of_a_module_names_the_module():
    both = [sys.executable, "-m", "smooth_recs.bin.local_cluster", "--help"]
    of_module = subprocess.run(both, capture_output=True, text=True, cwd=ROOT).stdout
    of_command = smooth_recs("local-cluster", "--help").stdout
    assert "  python -m smooth_recs.bin.local_cluster --workers" in of_module
    assert "  smooth-recs local_cluster --workers" in of_command
    assert of_module.replace("python -m smooth_recs.bin.", "smooth-recs ") == of_command


def test_ready_configurations_are_found_by_name_and_a_path_stays_a_path(tmp_path, monkeypatch):
    ready = _configurations.ready()
    files = {p.relative_to(ROOT / "configs").with_suffix("").as_posix() for p in (ROOT / "configs").rglob("*.py")}
    assert set(ready) == files
    assert _configurations.load("demo") == _configurations.load(str(ROOT / "configs" / "demo.py"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="which the sweep binary takes"):
        _configurations.load("sweeps/figure4")
    (tmp_path / "demo").mkdir()  # such as one of runs
    assert _configurations.find("demo") == ready["demo"]
    (tmp_path / "demo.json").write_text(json.dumps(config.Config(seed=7).to_dict()))
    assert _configurations.load("demo.json").seed == 7


COMPLETED = [
    ("smooth-recs tra", ["train"]),
    ("smooth-recs train --dry", ["--dry_run"]),
    ("smooth-recs train --config.model.interac", ["--config.model.interaction="]),
    ("smooth-recs train --config=mov", ["movielens"]),
    ("smooth-recs train --config.data.split=us", ["user_time"]),
    ("smooth-recs report --pic", ["--picture="]),
]
ASK_BASH = """
source {script}
line={line!r}
COMP_LINE=$line COMP_POINT=${{#line}}
COMP_WORDS=({words}) COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))
_smooth_recs
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture(scope="module")
def scripts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("completion")
    for shell in ("bash", "zsh"):
        done = smooth_recs("completion", f"--shell={shell}")
        assert (done.returncode, done.stderr) == (0, "")
        (folder / shell).write_text(done.stdout)
    return folder


@pytest.mark.parametrize(("line", "offered"), COMPLETED)
def test_bash_completes(scripts, tmp_path, line, offered):
    words = line.replace("=", " = ").split()  # as readline takes a line apart
    program = ASK_BASH.format(script=scripts / "bash", line=line, words=" ".join(f"'{word}'" for word in words))
    done = subprocess.run(["bash", "-c", program], capture_output=True, text=True, cwd=tmp_path)
    assert (done.stdout.split(), done.stderr) == (offered, "")


ASK_ZSH = """
compdef() {{ }}
source {script}
compadd() {{ print -rl -- "$@" }}
compset() {{ return 0 }}
_files() {{ return 0 }}
words=({words}) CURRENT=${{#words}}
_smooth_recs
"""


@pytest.mark.skipif(not shutil.which("zsh"), reason="no zsh here")
@pytest.mark.parametrize(("line", "offered"), COMPLETED)
def test_zsh_completes(scripts, tmp_path, line, offered):
    program = ASK_ZSH.format(script=scripts / "zsh", words=" ".join(f"'{word}'" for word in line.split()))
    done = subprocess.run(["zsh", "-f", "-c", program], capture_output=True, text=True, cwd=tmp_path)
    assert set(offered) <= set(done.stdout.split()), done.stderr
