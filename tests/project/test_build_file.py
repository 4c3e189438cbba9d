"""BUILD names every file once, only files and targets that exist, and every dependency that a target's files import."""

from __future__ import annotations

import ast
import graphlib
import sys
from pathlib import Path
from typing import Any

from source_imports import PACKAGE, ROOT, imports, module_name, modules

# Where the name that is imported is not the name of the distribution.
DISTRIBUTIONS = {
    "absl": "absl_py",
    "google": "protobuf",
    "grpc": "grpcio",
    "markdown_it": "markdown_it_py",
    "sklearn": "scikit_learn",
    "tensorflow_serving": "tensorflow_serving_api",
    "yaml": "pyyaml",
}
# Backends, contenders of a benchmark, and the tuner of an example, where they are installed.
OPTIONAL = {"deepctr_torch", "fuxictr", "jax", "keras_rs", "keras_tuner", "torch", "torchrec"}
STARLARK = (ast.Expr, ast.Assign)


def glob(include: list[str], exclude: list[str] | None = None, allow_empty: bool = False) -> list[str]:
    """Bazel's glob: files only; without `allow_empty` an empty result is an error."""
    found = _files(include) - _files(exclude or [])
    assert found or allow_empty, f"glob({include}) finds nothing"
    return sorted(found)


def _files(patterns: list[str]) -> set[str]:
    paths = {path for pattern in patterns for path in ROOT.glob(_all_files(pattern))}
    return {path.relative_to(ROOT).as_posix() for path in paths if path.is_file() and "__pycache__" not in path.parts}


def _all_files(pattern: str) -> str:
    """Python's `dir/**` finds folders only."""
    return f"{pattern}/*" if pattern.endswith("**") else pattern


def targets() -> dict[str, dict[str, Any]]:
    """The rules of BUILD by name. Starlark is close enough to Python to be run by it."""
    found: dict[str, dict[str, Any]] = {}

    def rule(**attributes: Any) -> None:
        name = attributes["name"]
        assert name not in found, f"two targets are called {name}"
        found[name] = attributes

    def nothing(*_: Any, **__: Any) -> None:
        pass

    words = dict.fromkeys(("load", "package", "exports_files"), nothing)
    rules = dict.fromkeys(("py_library", "py_binary", "py_test"), rule)
    exec(compile(tree(), "BUILD", "exec"), {"__builtins__": {}, "glob": glob, **words, **rules})
    return found


def tree() -> ast.Module:
    return ast.parse((ROOT / "BUILD").read_text("utf-8"))


TARGETS = targets()
OWNER = {source: name for name, target in TARGETS.items() for source in target["srcs"]}


def internal(name: str) -> list[str]:
    return [label.removeprefix(":") for label in TARGETS[name].get("deps", []) if label.startswith(":")]


def needed(source: str) -> set[str]:
    """The labels that the imports of a file ask for."""
    labels = set()
    for module in imports(ROOT / source):
        if module.partition(".")[0] == PACKAGE:
            labels.add(f":{OWNER[_path(module)]}")
        elif any((ROOT / folder / f"{module}.py").is_file() for folder in ("tests", "tests/project")):
            labels.add(":test_helpers")
        elif (ROOT / "benchmarks" / module).is_dir():
            labels.add(f":{module}")
        elif module not in sys.stdlib_module_names | OPTIONAL:
            labels.add(f"@pypi//{DISTRIBUTIONS.get(module, module)}")
    return labels


def _path(module: str) -> str:
    path = ROOT.joinpath(*module.split("."))
    return (path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).relative_to(ROOT).as_posix()


def test_the_file_keeps_to_what_starlark_has_at_the_top_level():
    assert all(isinstance(statement, STARLARK) for statement in tree().body)
    assert not any(isinstance(node, ast.JoinedStr | ast.Lambda | ast.GeneratorExp) for node in ast.walk(tree()))


def test_every_source_file_belongs_to_exactly_one_target():
    folders = ("tests", "configs", "examples", "benchmarks")
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    files = {path.relative_to(ROOT).as_posix() for path in [*modules().values(), *paths]}
    listed = [source for target in TARGETS.values() for source in target["srcs"]]
    assert not files ^ set(listed), "files without a target, or targets without a file"
    assert not [source for source in listed if listed.count(source) > 1]


def test_every_test_file_is_a_test():
    tests = {
        source for target in TARGETS.values() for source in target["srcs"] if Path(source).name.startswith("test_")
    }
    assert tests
    assert all(TARGETS[OWNER[source]].get("main") == source for source in tests)


def test_every_file_of_a_target_exists():
    files = [file for target in TARGETS.values() for file in (*target["srcs"], *target.get("data", []))]
    assert not [file for file in files if not file.startswith(":") and not (ROOT / file).is_file()]


def test_every_dependency_exists():
    locked = {
        line.partition("==")[0].lower().replace("-", "_")
        for line in (ROOT / "requirements.lock").read_text("utf-8").splitlines()
    }
    for name, target in TARGETS.items():
        labels = [*target.get("deps", []), *(file for file in target.get("data", []) if file.startswith(":"))]
        assert len(set(labels)) == len(labels), name
        for label in labels:
            hub, _, distribution = label.partition("//")
            known = label[1:] in TARGETS if label.startswith(":") else hub == "@pypi" and distribution in locked
            assert known, f"{name}: {label}"


def test_dependencies_cover_what_the_files_import():
    missing = {
        source: needed(source) - set(target.get("deps", [])) - {f":{name}"}
        for name, target in TARGETS.items()
        for source in target["srcs"]
    }
    assert not {source: labels for source, labels in missing.items() if labels}


def test_dependencies_form_no_circle():
    order = list(graphlib.TopologicalSorter({name: internal(name) for name in TARGETS}).static_order())
    assert order.index("errors") < order.index("training") < order.index("train")


def test_the_whole_library_is_behind_its_own_name():
    library = [s for s in OWNER if s.startswith(f"{PACKAGE}/") and not s.startswith(f"{PACKAGE}/bin/")]
    assert set(internal("smooth_recs")) == {OWNER[source] for source in library} - {"program", "smooth_recs"}


def test_names_of_modules_match_their_files():
    assert all(_path(module_name(ROOT / source)) == source for source in OWNER if source.startswith(PACKAGE))
