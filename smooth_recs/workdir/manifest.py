"""The run that a workdir belongs to, and what is needed to repeat it: `config.json` and `manifest.json`.

A workdir is for one configuration and one data set. A run opens it (`open_run`), claims it when its data are known to
be good (`claim`), and has finished when `metrics.json` is there.
"""

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

# The libraries that the numbers of a run depend on.
_VERSIONED = ("tensorflow", "tf_keras", "tensorflow-recommenders", "keras", "numpy")
# What a killed process leaves: our own files and exports, and TensorFlow's checkpoints.
_HALF_WRITTEN = (".writing-*", "export/*/.writing-*", "checkpoints/ckpt-*_temp")


class Finished(NamedTuple):
    """Contents of a run's `config.json`, `manifest.json` and `metrics.json`."""

    config: dict[str, Any]
    manifest: dict[str, Any]
    metrics: dict[str, Any]


def read_finished(workdir: str) -> Finished:
    """Reads the files of a finished run.

    Raises:
      InputError: one is missing, or does not hold a JSON object.
    """
    contents = []
    for name in (f"{field}.json" for field in Finished._fields):
        try:
            content = read_json(os.path.join(workdir, name))
        except FileNotFoundError:
            raise InputError(f"workdir {workdir} must hold a finished run, got no {name} there") from None
        except (OSError, ValueError) as error:
            raise InputError(f"workdir {workdir} must hold a readable {name}: {error}") from error
        if not isinstance(content, dict):
            raise InputError(f"workdir {workdir} must hold a JSON object in {name}, got a {type(content).__name__}")
        contents.append(content)
    return Finished(*contents)


def open_run(config: Config, workdir: str) -> dict[str, Any] | None:
    """Checks that `workdir` can hold a run of `config`; returns its metrics where that run has finished already.

    Raises:
      InputError: `workdir` cannot be written, or holds a run of a different configuration.
    """
    try:
        os.makedirs(workdir, exist_ok=True)
        # Fails now where nothing can be written, not after hours of training.
        tempfile.TemporaryFile(dir=workdir).close()
        path = os.path.join(workdir, "config.json")
        # Read as a configuration, because fields that an earlier version did not have get their defaults.
        begun = Config.from_dict(read_json(path)).to_dict() if os.path.exists(path) else config.to_dict()
        # Through JSON, where a tuple inside a dictionary becomes a list.
        both = (json.loads(json.dumps(each)) for each in (begun, config.to_dict()))
        for field, there, here in _differences(*both):
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
    """Writes `manifest.json` and `config.json`, so that `workdir` belongs to this run, and removes half-written files.

    Called when the data are known to be good, so that a mistyped path can be corrected on the same workdir.

    Args:
      config, workdir: the run's.
      fingerprint: the fingerprint of the data.
      data: other facts about the data for the manifest: see `Source.summary`.
      earlier: fingerprints of earlier, shorter versions of the data: a stream may have grown since the run began.

    Raises:
      InputError: the run began on other data, so that the positions in its checkpoints are wrong.
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
    # The configuration last: where it is there, the manifest is whole.
    write_json(path, manifest)
    write_json(os.path.join(workdir, "config.json"), config.to_dict())


def _differences(one: Any, other: Any, field: str = "config") -> Iterator[tuple[str, Any, Any]]:
    """Fields whose values differ between two configurations, with both values."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for name in dict.fromkeys([*one, *other]):
            yield from _differences(one.get(name), other.get(name), f"{field}.{name}")
    elif one != other:
        yield field, one, other


def versions() -> dict[str, str]:
    """Versions of this package, of Python and of the libraries that the numbers depend on."""
    others = {name: importlib.metadata.version(name) for name in _VERSIONED}
    return {"smooth_recs": __version__, "python": platform.python_version(), **others}


def command() -> str:
    """The command line that starts this process again."""
    # `python -m` replaces sys.argv[0] by the path of the file; the name of the module is in its spec.
    main = getattr(sys.modules.get("__main__"), "__spec__", None)
    program = ["-m", main.name.removesuffix(".__main__")] if main else sys.argv[:1]
    return shlex.join(["python", *program, *sys.argv[1:]])
