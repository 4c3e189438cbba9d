"""A finished run, with its models: read back from its workdir."""

from __future__ import annotations

import dataclasses

from smooth_recs.config import Config
from smooth_recs.data.following import open_run
from smooth_recs.data.source import Source
from smooth_recs.errors import InputError
from smooth_recs.models.siblings import SiblingModel
from smooth_recs.run import fitting
from smooth_recs.run import workdir as workdirs


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
    found = workdirs.read_finished(workdir)
    try:
        config = Config.from_dict(found.config)
    except InputError as error:
        raise InputError(f"workdir {workdir} is of another version: {error}") from error
    source = open_run(config.data, workdir)
    if source.fingerprint != found.manifest["data"]["fingerprint"]:
        raise InputError(f"workdir {workdir} holds a run on other data: those at {_place(config)} have changed since")
    return Trained(config, source, fitting.restored(config, workdir, source))


def _place(config: Config) -> str:
    return "data.path " + repr(config.data.path) if config.data.path else "data.source " + repr(config.data.source)
