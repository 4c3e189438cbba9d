"""What the source files import, read without importing them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "smooth_recs"


def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name; ready configurations, which the wheel has in it, are none."""
    folder = ROOT / PACKAGE
    files = sorted(path for path in folder.rglob("*.py") if folder / "configs" not in path.parents)
    return {module_name(path): path for path in files}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path, *, at_import_only: bool = False) -> set[str]:
    """Modules that the file imports: of the package by their full names, of others the first part.

    `at_import_only` leaves out what functions import when they are called, and what only type checkers read.
    """
    return set(_imported(ast.parse(path.read_text("utf-8")), at_import_only))


def _imported(node: ast.AST, at_import_only: bool) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (_target(alias.name) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, f"imports are absolute, got one of level {child.level}"
            yield from (_target(f"{child.module}.{alias.name}") for alias in child.names)
        elif not (at_import_only and (isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) or _is_typing(child))):
            yield from _imported(child, at_import_only)


def _is_typing(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def _target(dotted: str) -> str:
    """The module that provides `dotted`, which may name a function or class of it."""
    parts = dotted.split(".")
    if parts[0] != PACKAGE:
        return parts[0]
    while len(parts) > 1 and not _is_module(parts):
        parts.pop()
    return ".".join(parts)


def _is_module(parts: list[str]) -> bool:
    path = ROOT.joinpath(*parts)
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()
