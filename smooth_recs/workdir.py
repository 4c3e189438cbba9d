"""The files of a run: written beside and renamed, so that none is ever half there."""

from __future__ import annotations

import importlib.metadata
import json
import math
import os
import platform
import shlex
import sys
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

from smooth_recs.config import Config
from smooth_recs.errors import InputError
from smooth_recs.version import __version__

_VERSIONED = ("tensorflow", "tf_keras", "tensorflow-recommenders", "keras", "numpy")


def write_json(path: str, content: Any) -> None:
    """Writes `content` to `path`, whole or not at all; what is not finite, which JSON has no word for, as null."""
    with tempfile.TemporaryDirectory(dir=os.path.dirname(path) or ".", prefix=".writing-") as folder:
        beside = os.path.join(folder, "content")  # a file of its own, as others may read it, unlike a temporary one
        with open(beside, "w", encoding="utf-8") as file:
            json.dump(_finite(content), file, indent=2, allow_nan=False)
            file.write("\n")
        os.replace(beside, path)


def _finite(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {name: _finite(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def read_json(path: str) -> Any:
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def open_run(config: Config, workdir: str) -> dict[str, Any] | None:
    """Checks that `workdir` can hold a run of `config`; returns the metrics where that run is finished already.

    Raises:
      InputError: `workdir` cannot be written, or holds a run of another configuration.
    """
    try:
        os.makedirs(workdir, exist_ok=True)
        tempfile.TemporaryFile(dir=workdir).close()  # can be written
        path = os.path.join(workdir, "config.json")
        # The round trip makes tuples lists, as in the file.
        wanted = json.loads(json.dumps(config.to_dict()))
        for field, there, here in _differences(read_json(path), wanted) if os.path.exists(path) else ():
            raise InputError(
                f"workdir {workdir} holds a run with {field}={there!r}, this one has {here!r}: take another workdir"
            )
    except OSError as error:
        raise InputError(f"workdir {workdir} cannot be used: {error}") from error
    metrics = os.path.join(workdir, "metrics.json")
    return read_json(metrics) if os.path.exists(metrics) else None


def claim(config: Config, workdir: str, manifest: Mapping[str, Any]) -> None:
    """Writes `manifest.json` and `config.json`: from now on `workdir` is for this run alone.

    Only once the data are known to be good, so that a mistyped path can be corrected on the same workdir.
    """
    write_json(os.path.join(workdir, "manifest.json"), manifest)
    write_json(os.path.join(workdir, "config.json"), config.to_dict())


def _differences(one: Any, other: Any, field: str = "config") -> Iterator[tuple[str, Any, Any]]:
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for name in dict.fromkeys([*one, *other]):
            yield from _differences(one.get(name), other.get(name), f"{field}.{name}")
    elif one != other:
        yield field, one, other


def manifest(config: Config, fingerprint: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """What is needed to tell runs apart and to repeat one: versions, seeds, data, machine, command."""
    return {
        "versions": {
            "smooth_recs": __version__,
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in _VERSIONED},
        },
        "seeds": {"seed": config.seed, "data.seed": config.data.seed},
        "data": {"fingerprint": fingerprint, **data},
        "machine": {"system": platform.platform(), "cores": os.cpu_count()},
        "command": command(),
    }


def command() -> str:
    """What starts this process again."""
    main = getattr(sys.modules.get("__main__"), "__spec__", None)
    program = ["-m", main.name.removesuffix(".__main__")] if main else sys.argv[:1]
    return shlex.join(["python", *program, *sys.argv[1:]])
