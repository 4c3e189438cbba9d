"""What the files around the package say of versions, commands and paths is what is there."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from source_imports import PACKAGE, ROOT

FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("[!c]*.yml"))
GUIDES = ["CONTRIBUTING.md", "docs/releasing.md", ".github/pull_request_template.md"]


def text(path: str) -> str:
    return (ROOT / path).read_text("utf-8")


def constants() -> dict[str, Any]:
    """The lists of setup.py, and its dictionary of them, read without running it."""
    tree = ast.parse(text("setup.py"))
    lists = [node for node in tree.body if isinstance(node, ast.Assign) and isinstance(node.value, ast.List | ast.Dict)]
    return {node.targets[0].id: ast.literal_eval(node.value) for node in lists if isinstance(node.targets[0], ast.Name)}


def locked() -> dict[str, Version]:
    pins = (line.split("==") for line in text("requirements.lock").splitlines() if not line.startswith("#"))
    return {canonicalize_name(name): Version(version) for name, version in pins}


def test_every_locked_version_is_one_that_setup_py_allows():
    found = constants()
    training = (found["REQUIREMENTS"], found["BACKENDS"]["tensorflow"], *found["EXTRAS"].values())
    lists = (*training, found["TEST_REQUIREMENTS"], found["DOCS_REQUIREMENTS"])
    bounds = [Requirement(line) for lines in lists for line in lines]
    assert len(bounds) > 20
    versions = locked()
    outside = [str(bound) for bound in bounds if versions[canonicalize_name(bound.name)] not in bound.specifier]
    assert not outside


def test_one_version_everywhere():
    version = re.search(r'"(.+)"', text(f"{PACKAGE}/version.py").partition("__version__ = ")[2])[1]
    assert re.search(r"^## \[(\d.*?)\]", text("CHANGELOG.md"), re.MULTILINE)[1] == version
    assert yaml.safe_load(text("CITATION.cff"))["version"] == version
    assert re.search(r'^    version = "(.+)",$', text("MODULE.bazel"), re.MULTILINE)[1] == version


def test_ci_runs_on_every_python_that_is_promised():
    job = yaml.safe_load(text(".github/workflows/ci.yml"))["jobs"]["test"]
    versions = job["strategy"]["matrix"]["python"]
    assert versions == re.findall(r'"Programming Language :: Python :: (3\.\d+)"', text("setup.py"))
    low, high = re.search(r'python_requires=">=(3\.\d+),<(3\.\d+)"', text("setup.py")).groups()
    assert (versions[0], int(versions[-1][2:]) + 1) == (low, int(high[2:]))
    assert any(step.get("run", "").startswith("make test ") for step in job["steps"])


def test_commits_are_checked_by_what_make_lint_runs_in_the_locked_versions():
    recipe = text("Makefile").partition("\nlint:")[2].partition("\n\n")[0]
    (repository,) = yaml.safe_load(text(".pre-commit-config.yaml"))["repos"]
    assert repository["repo"] == "local"
    commands = [re.fullmatch(r"\.venv/bin/python -m (\w+)( .+)?", hook["entry"]) for hook in repository["hooks"]]
    assert {match[1] for match in commands} == set(re.findall(r"-m (\w+)", recipe)) == {"ruff", "mypy"}
    assert {match[1] for match in commands} <= set(locked())
    assert all(hook["language"] == "system" for hook in repository["hooks"])


def test_the_contents_of_the_site_name_every_page():
    listed = re.findall(r"^ +- (\S+\.md)$", text("mkdocs.yml"), re.MULTILINE)
    others = {"README.md", "CHANGELOG.md", "CONTRIBUTING.md", "examples/README.md"}
    pages = {path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("*.md")}
    assert sorted(listed) == sorted(pages | others)


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_issue_forms_are_what_the_site_accepts(path):
    form = yaml.safe_load(path.read_text("utf-8"))
    assert {"name", "description", "body"} <= set(form)
    asked = [item for item in form["body"] if item["type"] != "markdown"]
    assert {item["type"] for item in asked} <= {"textarea", "input", "dropdown", "checkboxes"}
    assert all(item["attributes"]["label"] for item in asked)
    ids = [item["id"] for item in asked]
    assert len(set(ids)) == len(ids)


def test_reports_of_reproducibility_bring_manifest_and_report():
    form = yaml.safe_load(text(".github/ISSUE_TEMPLATE/reproducibility.yml"))
    required = {item.get("id") for item in form["body"] if item.get("validations", {}).get("required")}
    assert {"manifest", "report"} <= required


@pytest.mark.parametrize("guide", GUIDES)
def test_guides_name_files_and_targets_that_exist(guide):
    words = re.findall(r"`([^`\n]+)`", text(guide))
    paths = [
        word for word in words if re.fullmatch(r"(smooth_recs|tests|docs|configs|benchmarks)/[a-z_/]*[\w.]*", word)
    ]
    there = [(ROOT / path).parent if "NAME" in path else ROOT / path for path in paths]
    assert [path for path in there if not path.exists()] == []
    targets = re.search(r"^\.PHONY: (.+)$", text("Makefile"), re.MULTILINE)[1].split()
    named = re.findall(r"^make (\w+)", text(guide), re.MULTILINE) + [w[5:] for w in words if w.startswith("make ")]
    assert named
    assert set(named) <= set(targets)


@pytest.mark.parametrize(
    ("there", "user", "status", "said"),
    [
        (True, 0, 0, "is there"),
        (False, 1000, 0, "only root can install it with apt-get: tests in a browser are skipped"),
        (False, 0, 0, "installed with apt-get"),
        (False, 0, 100, "apt-get could not install it: tests in a browser are skipped"),
    ],
    ids=["there", "no root", "installed", "no network"],
)
def test_ci_takes_a_browser_where_it_can(there: bool, user: int, status: int, said: str, tmp_path: Path) -> None:
    """With programs of our own in place of apt-get and make: whatever becomes of the browser, the tests run."""
    programs = {
        "id": f"echo {user}",
        "apt-get": f"echo $* >> {tmp_path}/asked; exit {status}",
        "make": 'echo "make $*"',
    }
    for name, text in (programs | ({"chromium": ""} if there else {})).items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    for name in ("bash", "dirname", "timeout"):
        (tmp_path / name).symlink_to(shutil.which(name))
    environment = {f"SMOOTH_RECS_{name}_PYTHON": "python" for name in ("OLDER", "JAX")}  # not to be installed here
    environment["PATH"] = str(tmp_path)
    done = subprocess.run([ROOT / ".ci" / "run"], capture_output=True, text=True, env=environment)
    first, last = done.stdout.splitlines()
    assert (done.returncode, done.stderr, last) == (0, "", "make test")
    assert first.startswith("chromium   ")
    assert first.endswith(said)
    asked = (tmp_path / "asked").read_text().splitlines() if (tmp_path / "asked").exists() else []
    assert ("-qq update" in asked) == (user == 0 and not there)
