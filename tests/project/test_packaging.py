"""What setup.py promises: extras that the core does without, bounds that hold, addresses that exist."""

from __future__ import annotations

import ast
import re
import runpy
import sys
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from source_imports import ROOT, imports, modules
from test_build_file import DISTRIBUTIONS
from test_layers_of_imports import loaded_with

from smooth_recs import extras, keras_generation
from smooth_recs.errors import InputError

OF_EXTRAS = {each.module: name for name, each in extras.EXTRAS.items()}
# What trains the demo: the binaries, and one run from its files to its exports.
CORE = (
    *("smooth_recs.bin.train", "smooth_recs.bin.demo", "smooth_recs.bin._subcommands"),
    *("smooth_recs.training.training_run", "smooth_recs.experiments.demonstration"),
)


@pytest.fixture(scope="module")
def setup() -> dict[str, Any]:
    """The arguments of `setuptools.setup`."""
    with mock.patch("setuptools.setup") as called:
        runpy.run_path(str(ROOT / "setup.py"))
    return called.call_args.kwargs


@pytest.fixture(scope="module")
def core() -> set[str]:
    """What importing the core imports."""
    return set().union(*map(loaded_with, CORE))


def test_the_core_loads_no_package_of_an_extra(core: set[str]) -> None:
    assert {"tensorflow", "smooth_recs.models.siblings", "smooth_recs.serving.saved_model"} <= core
    assert not core & set(OF_EXTRAS)


def test_all_else_that_the_core_loads_is_required(setup: dict[str, Any], core: set[str]) -> None:
    lines = setup["install_requires"] + setup["extras_require"]["tensorflow"]
    required = {canonicalize_name(Requirement(line).name) for line in lines}
    others = {name for name in core if not name.startswith("smooth_recs")} - set(sys.stdlib_module_names)
    assert {canonicalize_name(DISTRIBUTIONS.get(name, name)) for name in others} - {"protobuf"} <= required


def imports_of_extras() -> Iterator[tuple[str, str, str | None]]:
    """Each import of a package of an extra: the module, the package, the extra that the `with` around it names."""

    def walk(node: ast.AST, around: str | None) -> Iterator[tuple[str, str | None]]:
        for child in ast.iter_child_nodes(node):
            inside = around
            if isinstance(child, ast.With):
                inside = re.sub(r"""extras\.needed\(['"](\w+)['"]\)""", r"\1", ast.unparse(child.items[0])) or None
            named = [alias.name for alias in child.names] if isinstance(child, ast.Import) else []
            named += [str(child.module)] if isinstance(child, ast.ImportFrom) else []
            yield from ((name.partition(".")[0], around) for name in named)
            yield from walk(child, inside)

    for module, path in modules().items():
        source = path.read_text("utf-8")
        tree = ast.parse(source if any(package in source for package in OF_EXTRAS) else "")
        for package, around in walk(tree, None):
            if package in OF_EXTRAS:
                yield module, package, around


def test_every_import_of_such_a_package_says_what_to_install() -> None:
    found = list(imports_of_extras())
    assert {package for _, package, _ in found} == set(OF_EXTRAS)
    assert not [each for each in found if each[2] != OF_EXTRAS[each[1]]]


@pytest.mark.parametrize("extra", extras.EXTRAS)
def test_a_missing_extra_is_one_line(extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert extras.installed(extra)
    monkeypatch.setitem(sys.modules, extras.EXTRAS[extra].module, None)
    assert not extras.installed(extra)
    with pytest.raises(InputError) as error, extras.needed(extra):
        raise AssertionError("nothing is imported")
    assert re.fullmatch(rf".+ need \w+, which is not installed: pip install smooth-recs\[{extra}\]", str(error.value))


def test_a_run_says_what_it_leaves_out(monkeypatch: pytest.MonkeyPatch) -> None:
    from smooth_recs.training import training_run

    none = dict.fromkeys(("pd", "best_possible", "examples_per_second"))
    metrics = {"replicas": [], "history": [], "exports": [], **none}
    assert "report       w/report.html" in training_run.summary(metrics, "w").splitlines()
    monkeypatch.setattr(extras, "installed", lambda extra: False)
    assert training_run.summary(metrics, "w").splitlines()[-2:] == [
        "report       none: pip install smooth-recs[report]",
        "warm-up      none in the exports: pip install smooth-recs[serving]",
    ]


def test_extras_are_those_of_setup_py(setup: dict[str, Any]) -> None:
    declared = setup["extras_require"]
    assert set(declared) == {*extras.EXTRAS, *keras_generation.BACKENDS, "all", "test", "docs"}
    for name, each in extras.EXTRAS.items():
        (line,) = declared[name]
        assert canonicalize_name(Requirement(line).name) == canonicalize_name(
            DISTRIBUTIONS.get(each.module, each.module)
        )
    assert declared["all"] == [line for name in ("tensorflow", *extras.EXTRAS) for line in declared[name]]


def test_without_tensorflow_only_tensorflow_is_missing(setup: dict[str, Any]) -> None:
    """What the other backends do without is an extra, and what they need is not."""
    required = {canonicalize_name(Requirement(line).name) for line in setup["install_requires"]}
    assert not {"tensorflow", "tf-keras", "tensorboard", "tensorflow-recommenders", "jax", "torch"} & required
    others = set().union(*map(loaded_with, ("smooth_recs.layers", "smooth_recs.testing", "smooth_recs.sibling_fits")))
    others -= {name for name in others if name.startswith("smooth_recs")} | set(sys.stdlib_module_names)
    assert "numpy" in others
    assert {canonicalize_name(DISTRIBUTIONS.get(name, name)) for name in others} <= required


def test_bounds_are_open_to_minor_versions(setup: dict[str, Any]) -> None:
    """Whoever installs next year gets what is new then, up to the next major version."""
    lines = setup["install_requires"] + setup["extras_require"]["all"]
    lines += setup["extras_require"]["jax"] + setup["extras_require"]["torch"]
    for requirement in map(Requirement, lines):
        (least,) = (Version(each.version) for each in requirement.specifier if each.operator == ">=")
        most = [Version(each.version) for each in requirement.specifier if each.operator == "<"]
        assert all(bound.release == (bound.major,) and bound.major > least.major for bound in most), requirement


def test_what_package_indexes_show(setup: dict[str, Any]) -> None:
    known = (ROOT / "CITATION.cff").read_text("utf-8") + (ROOT / "README.md").read_text("utf-8")
    assert setup["project_urls"]
    assert all(url in known for url in setup["project_urls"].values())
    assert {"recommender systems", "reproducibility", "TensorFlow", "Keras"} <= set(setup["keywords"])
    # File locks are those of POSIX (smooth_recs/_locks.py), and CI runs on Linux.
    assert "fcntl" in imports(ROOT / "smooth_recs" / "_locks.py")
    systems = [each for each in setup["classifiers"] if each.startswith("Operating System")]
    assert systems == ["Operating System :: POSIX :: Linux"]
