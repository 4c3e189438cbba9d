"""What --config names, read: a ready configuration, a Python file, or a file of data (YAML, TOML, JSON).

The ready ones are those of `configs/` in the repository, which the wheel has as `smooth_recs/configs/`. A Python file
is run; a file of data is not, so it may come from anywhere, and is checked field by field all the same.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import sys
import tomllib
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import smooth_recs
from smooth_recs import _files, fields
from smooth_recs.config import Config
from smooth_recs.errors import InputError, one_line

Result = TypeVar("Result")


def ready() -> dict[str, str]:
    """The ready configurations by name, `demo` or `sweeps/figure4`: their paths."""
    package = Path(smooth_recs.__file__).parent
    folder = next(path for path in (package / "configs", package.parent / "configs") if path.is_dir())
    return {path.relative_to(folder).with_suffix("").as_posix(): str(path) for path in sorted(folder.rglob("*.py"))}


def find(text: str) -> str:
    """The path of the file that `text` names: itself, or that of a ready configuration.

    Raises:
      InputError: there is no such file.
    """
    if _files.exists(text) and not _files.isdir(text):
        return text
    known = ready() if not os.path.splitext(text)[1] else {}
    if text in known:
        return known[text]
    if not known or _files.isdir(text):
        raise InputError("no such file")
    hint = fields.did_you_mean(text, known) or f"ready are {', '.join(known)}"
    raise InputError(f"no such file, and no ready configuration of that name; {hint}")


def load(text: str) -> Config:
    """The configuration of the file that `text` names; see `find`.

    Raises:
      InputError: the file is missing, fails, has no `get_config` or returns something else; or its data are no
        configuration. absl puts `flag --config=TEXT: ` before the message.
    """
    path = find(text)
    if not is_data(path):
        module = execute(path)
        if hasattr(module, "get_sweep") and not hasattr(module, "get_config"):
            raise InputError("the file has a get_sweep(), which the sweep binary takes, and no get_config()")
        return call(module, "get_config", Config)
    kind, read = _DATA[_ending(path)]
    try:
        values = read(_files.read_text(path))
    except (OSError, ValueError) as error:
        raise InputError(f"the file is not {kind}: {one_line(error)}") from error
    except RecursionError:
        raise InputError(f"the file is nested too deeply for {kind}") from None
    return Config.from_dict(values)


def is_data(path: str) -> bool:
    """Whether the file at `path` holds data in place of Python."""
    return _ending(path) in _DATA


def call(module: ModuleType, name: str, kind: type[Result]) -> Result:
    """What the function `name` of a configuration file returns; InputError where that is no `kind`."""
    if not callable(getattr(module, name, None)):
        raise InputError(f"the file has no function {name}()")
    try:
        result = getattr(module, name)()
    except Exception as error:
        raise InputError(f"{name}() failed{_line_in(error, str(module.__file__))}: {one_line(error)}") from error
    if not isinstance(result, kind):
        raise InputError(f"{name}() must return a {kind.__module__}.{kind.__name__}, got {type(result).__name__}")
    return result


def execute(path: str) -> ModuleType:
    """The module of the Python file at `path`; InputError where it fails."""
    with _files.local_copy(path) as local:
        return _executed(local)


def _executed(path: str) -> ModuleType:
    name = "config_file"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InputError(f"must be a Python file (.py) or one of data ({', '.join(_DATA)})")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses of the file look themselves up there
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise InputError(f"line {error.lineno} is not Python: {error.msg}") from error
    except Exception as error:
        raise InputError(f"the file failed{_line_in(error, path)}: {one_line(error)}") from error
    return module


def _line_in(error: Exception, path: str) -> str:
    """The innermost line of the file at `path` that `error` passed, as the text ` in line N`."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
    return f" in line {lines[-1]}" if lines else ""


def _yaml(text: str) -> Any:
    """The values of a YAML text, without tags that make objects; ValueError where it is none.

    YAML 1.1 takes `1e-3` for a text; here it is the number that it is in JSON and TOML.
    """
    import yaml  # here, so that other files do not wait for it

    class Loader(yaml.SafeLoader):
        pass

    Loader.add_implicit_resolver(
        "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(?:\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
    )
    try:
        return yaml.load(text, Loader)
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error


def _ending(path: str) -> str:
    return os.path.splitext(path)[1].lower()


_DATA: dict[str, tuple[str, Callable[[str], Any]]] = {
    ".json": ("JSON", json.loads),
    ".yaml": ("YAML", _yaml),
    ".yml": ("YAML", _yaml),
    ".toml": ("TOML", tomllib.loads),
}
