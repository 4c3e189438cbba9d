"""A configuration as a file of `configs/`, that states only what differs from the defaults."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from smooth_recs._files import whole_file
from smooth_recs.config import Config

_WIDTH = 120
_MODULES = {"smooth_recs.config": "config", "smooth_recs.data.schema": "schema"}


def write(config: Config, text: str, path: str) -> None:
    """Writes a Python file whose `get_config()` returns an equal configuration, with `text` as its docstring.

    ```python
    chosen_config.write(config, "SmeLU 0.1.", "runs/sweep/chosen.py")
    ```
    """
    with whole_file(path) as beside:
        Path(beside).write_text(source(config, text), encoding="utf-8")


def source(config: Config, text: str) -> str:
    """The file's content."""
    body = _code(config, indent=4, taken=len("    return "))
    imports = ["from smooth_recs import config"]
    if "schema." in body and config.data.schema is not None:
        imports.append("from smooth_recs.data import schema")
    docstring = text.replace("\\", "\\\\").replace('"', '\\"')
    lines = [f'"""{docstring}"""', "", *imports, "", "", "def get_config() -> config.Config:", f"    return {body}", ""]
    return "\n".join(lines)


def wrapped(paragraphs: Sequence[str]) -> list[str]:
    """Lines that fit a docstring; an empty paragraph is an empty line."""
    return [line for text in paragraphs for line in textwrap.wrap(text, _WIDTH) or [""]]


def _code(value: Any, indent: int, taken: int) -> str:
    """An expression of the value, on lines of its own where it is too long; `taken`: what stands before it."""
    opening, items, closing = _parts(value)
    if items is None:
        return opening
    flat = opening + ", ".join(key + _code(item, 0, -(10**6)) for key, item in items) + closing
    if taken + len(flat) < _WIDTH:
        return flat
    inside = indent + 4
    lines = [f"{' ' * inside}{key}{_code(item, inside, inside + len(key))}," for key, item in items]
    return "\n".join([opening, *lines, f"{' ' * indent}{closing.lstrip(',')}"])


def _parts(value: Any) -> tuple[str, list[tuple[str, Any]] | None, str]:
    """What opens an expression, its items with what stands before each, and what closes it."""
    if dataclasses.is_dataclass(value):
        kind = type(value)
        return f"{_MODULES[kind.__module__]}.{kind.__name__}(", [(f"{k}=", v) for k, v in _changed(value)], ")"
    if isinstance(value, dict) and value:
        return "{", [(f"{_text(key)}: ", item) for key, item in value.items()], "}"
    if isinstance(value, tuple) and value:
        return "(", [("", item) for item in value], ",)" if len(value) == 1 else ")"
    if isinstance(value, list) and value:
        return "[", [("", item) for item in value], "]"
    return _text(value), None, ""


def _changed(value: Any) -> Iterator[tuple[str, Any]]:
    """The fields that do not have their defaults, or have none."""
    for field in dataclasses.fields(value):
        default = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
        found = getattr(value, field.name)
        if default is dataclasses.MISSING or found != default or type(found) is not type(default):
            yield field.name, found


def _text(value: Any) -> str:
    """The literal, a text in double quotes as everywhere in this project."""
    plain = repr(value)
    if isinstance(value, str) and '"' not in value and "'" not in value:
        return f'"{plain[1:-1]}"'
    return plain
