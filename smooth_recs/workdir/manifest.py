"""The run that a workdir belongs to, and what is needed to repeat it: `config.json` and `manifest.json`.

A workdir is for one configuration and one data set. A run opens it (`open_run`), claims it when its data are known to
be good (`claim`), and has finished when `metrics.json` is there.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import platform
import re
import shlex
import socket
import sys
import time
from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

from smooth_recs import _files, _locks, keras_generation
from smooth_recs.config import Config
from smooth_recs.errors import InputError
from smooth_recs.version import __version__

# The libraries that the numbers of a run depend on.
_VERSIONED = ("tensorflow", "tf_keras", "tensorflow-recommenders", "keras", "numpy")
_LOCK = "run.lock"
_REPAIRS = {
    "config.json": "delete it if the run began with the configuration of this command, else take another workdir",
    "manifest.json": "delete it if the data are those that the run began with, else take another workdir",
    "metrics.json": "delete it, and the command that trained the run measures it again from its newest checkpoint",
}


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
    try:
        return Finished(_object(workdir, "config.json"), _object(workdir, "manifest.json"), read_metrics(workdir))
    except FileNotFoundError as error:
        name = os.path.basename(error.filename)
        raise InputError(f"workdir {workdir} must hold a finished run, got no {name} there") from None


def read_metrics(workdir: str) -> dict[str, Any]:
    """The `metrics.json` of a finished run.

    Raises:
      FileNotFoundError: there is none.
      InputError: it cannot be read, or does not hold the measures of a run.
    """
    metrics = _object(workdir, "metrics.json")
    replicas = metrics.get("replicas")
    if not isinstance(replicas, list) or not replicas or not all(isinstance(each, dict) for each in replicas):
        path = os.path.join(workdir, "metrics.json")
        raise InputError(f"{path} must hold the measures of each replica, got none: {_REPAIRS['metrics.json']}")
    return metrics


def _object(workdir: str, name: str) -> dict[str, Any]:
    """The JSON object in a file of a workdir; InputError, with what to do, where the file does not hold one."""
    path = os.path.join(workdir, name)
    content = _files.read_json(path, _REPAIRS[name])
    if not isinstance(content, dict):
        raise InputError(f"{path} must hold a JSON object, got a {type(content).__name__}: {_REPAIRS[name]}")
    return content


@contextlib.contextmanager
def owned(workdir: str) -> Iterator[None]:
    """Makes this process the one owner of `workdir`, which is made where it does not exist, for the time of the block.

    The lock is on `run.lock` (`_locks.locked`), which is there as long as the block: a process that is killed, in
    whatever way, keeps nobody out. What killed processes have left is removed.

    Raises:
      InputError: another process owns it, which the line names with its machine and since when; or the folder cannot
        be used.
    """
    since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
    with contextlib.ExitStack() as stack:
        try:
            _files.check_writable(workdir)  # fails now, not after hours of training
            lock = os.path.join(workdir, _LOCK)
            holder = f"process {os.getpid()} on {socket.gethostname()} since {since}"
            if stack.enter_context(_locks.locked(lock, holder)) is None:
                holder = _locks.holder_of(lock) or "another process"
                raise InputError(
                    f"workdir {workdir} is in use by {holder}: wait for it, or take another workdir (where its machine "
                    f"is gone for good, delete {lock})"
                )
        except OSError as error:
            raise InputError(f"workdir {workdir} cannot be used: {error}") from error
        checkpoints, *parents = (os.path.join(workdir, name) for name in ("checkpoints", "export", "workers"))
        for folder in (workdir, *(os.path.join(each, name) for each in parents for name in _names(each))):
            _files.remove_left_behind(folder, 0.0)  # no other process is at work here
        for name in _names(checkpoints):
            if re.fullmatch(r"ckpt-.*_temp", name):
                _files.remove_folder(os.path.join(checkpoints, name))
            elif re.fullmatch(r"checkpoint\.tmp\w*", name):  # of TensorFlow 2.21, where the disk was full
                _files.remove(os.path.join(checkpoints, name))
        yield


def is_owned(workdir: str) -> bool:
    """Whether a process owns `workdir`; at a URL where one was killed, this takes up to 45 s."""
    lock = os.path.join(workdir, _LOCK)
    if not _files.exists(lock):
        return False
    with _locks.locked(lock, f"process {os.getpid()} on {socket.gethostname()}") as free:
        return free is None


def _names(folder: str) -> list[str]:
    return _files.listdir(folder) if _files.isdir(folder) else []


def open_run(config: Config, workdir: str) -> dict[str, Any] | None:
    """Checks that `workdir` can hold a run of `config`; returns its metrics where that run has finished already.

    Raises:
      InputError: `workdir` holds a run of a different configuration, or a file that cannot be read.
    """
    path = os.path.join(workdir, "config.json")
    try:
        # Read as a configuration, because fields that an earlier version did not have get their defaults.
        begun = Config.from_dict(_object(workdir, "config.json")).to_dict()
    except FileNotFoundError:
        begun = config.to_dict()
    except InputError as error:
        raise error if path in str(error) else InputError(f"{path}: {error}: {_REPAIRS['config.json']}") from error
    # Through JSON, where a tuple inside a dictionary becomes a list.
    both = (json.loads(json.dumps(each)) for each in (begun, config.to_dict()))
    for field, there, here in _differences(*both):
        raise InputError(
            f"workdir {workdir} holds a run with {field}={there!r}, this one has {here!r}: take another workdir"
        )
    try:
        return read_metrics(workdir)
    except FileNotFoundError:
        return None


def fingerprint(workdir: str) -> str | None:
    """The fingerprint of the data that the run in `workdir` began with; None where it has not begun.

    Raises:
      InputError: `manifest.json` cannot be read, or has none.
    """
    try:
        return str(_object(workdir, "manifest.json")["data"]["fingerprint"])
    except FileNotFoundError:
        return None
    except (KeyError, TypeError) as error:
        path = os.path.join(workdir, "manifest.json")
        raise InputError(f"{path} must hold data.fingerprint, got none: {_REPAIRS['manifest.json']}") from error


def claim(config: Config, workdir: str, found: str, data: Mapping[str, Any], earlier: Collection[str] = ()) -> None:
    """Writes `manifest.json` and `config.json`, so that `workdir` belongs to this run.

    Called when the data are known to be good, so that a mistyped path can be corrected on the same workdir.

    Args:
      config, workdir: the run's.
      found: the fingerprint of the data.
      data: other facts about the data for the manifest: see `Source.summary`.
      earlier: fingerprints of earlier, shorter versions of the data: a stream may have grown since the run began.

    Raises:
      InputError: the run began on other data, so that the positions in its checkpoints are wrong.
    """
    there = fingerprint(workdir)
    if there not in (None, found, *earlier):
        raise InputError(
            f"workdir {workdir} holds a run that began on other data: their fingerprint was {there}, now it is {found}"
        )
    manifest = {
        "versions": versions(),
        "keras": 2 if keras_generation.asks_for_legacy() else 3,
        "seeds": {"seed": config.seed, "data.seed": config.data.seed},
        "data": {"fingerprint": found, **data},
        "machine": {"system": platform.platform(), "cores": os.cpu_count()},
        "command": command(),
    }
    # The configuration last: where it is there, the manifest is whole.
    _files.write_json(os.path.join(workdir, "manifest.json"), manifest)
    _files.write_json(os.path.join(workdir, "config.json"), config.to_dict())


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
