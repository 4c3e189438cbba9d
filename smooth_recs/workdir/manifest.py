"""Whose a workdir is, and what is needed to tell runs apart and to repeat one: `config.json` and `manifest.json`."""

from __future__ import annotations

import glob
import importlib.metadata
import json
import os
import platform
import shlex
import shutil
import sys
import tempfile
from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

from smooth_recs._files import read_json, write_json
from smooth_recs.config import Config
from smooth_recs.errors import InputError
from smooth_recs.version import __version__

_VERSIONED = ("tensorflow", "tf_keras", "tensorflow-recommenders", "keras", "numpy")
_HALF_WRITTEN = (".writing-*", "export/*/.writing-*", "checkpoints/ckpt-*_temp")


class Finished(NamedTuple):
    """What `config.json`, `manifest.json` and `metrics.json` of a run hold."""

    config: dict[str, Any]
    manifest: dict[str, Any]
    metrics: dict[str, Any]


def read_finished(workdir: str) -> Finished:
    """Reads the files of a finished run.

    Raises:
      InputError: one is not there, or holds no JSON object.
    """
    return Finished(*(_read_object(workdir, f"{name}.json") for name in Finished._fields))


def _read_object(workdir: str, name: str) -> dict[str, Any]:
    try:
        content = read_json(os.path.join(workdir, name))
    except FileNotFoundError:
        raise InputError(f"workdir {workdir} must hold a finished run, got no {name} there") from None
    except (OSError, ValueError) as error:
        raise InputError(f"workdir {workdir} must hold a readable {name}: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"workdir {workdir} must hold a JSON object in {name}, got a {type(content).__name__}")
    return content


def open_run(config: Config, workdir: str) -> dict[str, Any] | None:
    """Checks that `workdir` can hold a run of `config`; returns the metrics where that run is finished already.

    Raises:
      InputError: `workdir` cannot be written, or holds a run of another configuration.
    """
    try:
        os.makedirs(workdir, exist_ok=True)
        tempfile.TemporaryFile(dir=workdir).close()  # can be written
        path = os.path.join(workdir, "config.json")
        # A field that an earlier version did not have has its default.
        begun = Config.from_dict(read_json(path)).to_dict() if os.path.exists(path) else config.to_dict()
        for field, there, here in _differences(_as_json(begun), _as_json(config.to_dict())):
            raise InputError(
                f"workdir {workdir} holds a run with {field}={there!r}, this one has {here!r}: take another workdir"
            )
    except OSError as error:
        raise InputError(f"workdir {workdir} cannot be used: {error}") from error
    metrics = os.path.join(workdir, "metrics.json")
    return read_json(metrics) if os.path.exists(metrics) else None


def claim(
    config: Config, workdir: str, fingerprint: str, data: Mapping[str, Any], earlier: Collection[str] = ()
) -> None:
    """Writes `manifest.json` and `config.json`: from now on `workdir` is for this run alone.

    Only once the data are known to be good, so that a mistyped path can be corrected on the same workdir. What a killed
    process was writing is removed.

    Args:
      config, workdir: of the run.
      fingerprint: of the data.
      data: what else the manifest says of them: see `Source.summary`.
      earlier: fingerprints of the same data when they were fewer: a stream may have grown since the run began.

    Raises:
      InputError: the run began on other data, in which the position of its checkpoints means nothing.
    """
    path = os.path.join(workdir, "manifest.json")
    there = read_json(path)["data"]["fingerprint"] if os.path.exists(path) else None
    if there not in (None, fingerprint, *earlier):
        raise InputError(
            f"workdir {workdir} holds a run that began on other data: their fingerprint was {there}, now it is "
            f"{fingerprint}"
        )
    for pattern in _HALF_WRITTEN:
        for left in glob.glob(os.path.join(glob.escape(workdir), pattern)):
            shutil.rmtree(left, ignore_errors=True)
    manifest = {
        "versions": versions(),
        "seeds": {"seed": config.seed, "data.seed": config.data.seed},
        "data": {"fingerprint": fingerprint, **data},
        "machine": {"system": platform.platform(), "cores": os.cpu_count()},
        "command": command(),
    }
    write_json(path, manifest)
    write_json(os.path.join(workdir, "config.json"), config.to_dict())


def _as_json(content: Any) -> Any:
    """As it comes back from a file: a tuple inside a dictionary is a list there."""
    return json.loads(json.dumps(content))


def _differences(one: Any, other: Any, field: str = "config") -> Iterator[tuple[str, Any, Any]]:
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for name in dict.fromkeys([*one, *other]):
            yield from _differences(one.get(name), other.get(name), f"{field}.{name}")
    elif one != other:
        yield field, one, other


def versions() -> dict[str, str]:
    """Of this package and of what its numbers depend on."""
    others = {name: importlib.metadata.version(name) for name in _VERSIONED}
    return {"smooth_recs": __version__, "python": platform.python_version(), **others}


def command() -> str:
    """What starts this process again."""
    main = getattr(sys.modules.get("__main__"), "__spec__", None)
    program = ["-m", main.name.removesuffix(".__main__")] if main else sys.argv[:1]
    return shlex.join(["python", *program, *sys.argv[1:]])
