"""A finished run, with its models: read back from its workdir."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

import tensorflow as tf

from smooth_recs import distribution, fitting
from smooth_recs import workdir as workdirs
from smooth_recs.config import Config
from smooth_recs.data.presets import open_source
from smooth_recs.data.source import Source
from smooth_recs.errors import InputError
from smooth_recs.models.siblings import SiblingModel

FILES = ("config.json", "manifest.json", "metrics.json")


@dataclasses.dataclass(frozen=True)
class Trained:
    """What `load` returns: the run's configuration, its data, and its siblings as they were when training ended."""

    config: Config
    source: Source
    siblings: SiblingModel


def load(workdir: str) -> Trained:
    """The models of a finished run, from its newest checkpoint; what was found out about its data is not done again.

    Raises:
      InputError: `workdir` holds no finished run, its data have changed since, or its checkpoint is lost.

    ```python
    run = load("runs/demo")
    run.siblings(next(iter(run.source.holdout()))["features"])  # [rows, replicas]
    ```
    """
    config_values, manifest, _ = (_read(workdir, name) for name in FILES)
    try:
        config = Config.from_dict(config_values)
    except InputError as error:
        raise InputError(f"workdir {workdir} is of another version: {error}") from error
    source = open_source(config.data, os.path.join(workdir, "cache"))
    if source.fingerprint != manifest["data"]["fingerprint"]:
        raise InputError(f"workdir {workdir} holds a run on other data: those at {_place(config)} have changed since")
    with distribution.strategy(config.distribution.strategy).scope():
        siblings = fitting.build(config, source)
    _restore(siblings, workdir)
    return Trained(config, source, siblings)


def _read(workdir: str, name: str) -> Any:
    try:
        return workdirs.read_json(os.path.join(workdir, name))
    except FileNotFoundError:
        raise InputError(f"workdir {workdir} must hold a finished run, got no {name} there") from None
    except (OSError, ValueError) as error:
        raise InputError(f"workdir {workdir} must hold a readable {name}: {error}") from error


def _place(config: Config) -> str:
    return "data.path " + repr(config.data.path) if config.data.path else "data.source " + repr(config.data.source)


def _restore(siblings: SiblingModel, workdir: str) -> None:
    folder = fitting.folder(workdir)
    newest = tf.train.latest_checkpoint(folder)
    if newest is None:
        raise InputError(f"workdir {workdir} must hold the checkpoints of its run, got none in {folder}")
    try:
        status = tf.train.Checkpoint(model=siblings).restore(newest)
        status.assert_existing_objects_matched().expect_partial()  # the optimizers are not needed
    except (AssertionError, ValueError) as error:
        raise InputError(f"checkpoint {newest} is not of the model in config.json: {error}") from error
