"""Starts a command as a cluster of processes on this machine, each with its TF_CONFIG; ends with the chief's status.

  python -m smooth_recs.bin.local_cluster --workers=2 -- \\
      python -m smooth_recs.bin.train --config=demo --workdir=runs/two_workers
  python -m smooth_recs.bin.local_cluster --workers=2 --servers=2 -- \\
      python -m smooth_recs.bin.train --config=demo --workdir=runs/parameter_servers

What the chief writes is seen here, what the others write goes to files. All of them end with this process.
"""

from __future__ import annotations

import signal
import sys
from typing import Any

from absl import flags

from smooth_recs.bin import _command
from smooth_recs.cluster.local import LocalCluster
from smooth_recs.errors import InputError

_WORKERS = flags.DEFINE_integer("workers", 2, "worker processes", lower_bound=1)
_SERVERS = flags.DEFINE_integer("servers", 0, "parameter servers; with any there is a chief besides", lower_bound=0)
_LOGS = flags.DEFINE_string("logs", "logs", "folder for what the others write")
_RESTART = flags.DEFINE_boolean("restart", False, "start a worker or parameter server that fails again")


def main() -> None:
    if not _started:
        raise InputError("a command must follow --, as in local_cluster --workers=2 -- python train.py")
    signal.signal(signal.SIGTERM, _interrupted)
    cluster = LocalCluster(
        _started,
        workers=int(_WORKERS.value),
        servers=int(_SERVERS.value),
        logs=str(_LOGS.value),
        restart=bool(_RESTART.value),
    )
    try:
        status = cluster.run()
    except FileNotFoundError as error:
        raise InputError(f"the command cannot be started: {error}") from error
    sys.exit(status)


def _interrupted(number: int, _: Any) -> None:
    sys.exit(128 + number)


def _split(argv: list[str]) -> tuple[list[str], list[str]]:
    """Flags of this program, and the command after the first `--`."""
    end = argv.index("--") if "--" in argv else len(argv)
    return argv[:end], argv[end + 1 :]


_started: list[str] = []

if __name__ == "__main__":
    sys.argv, _started = _split(sys.argv)
    _command.run(main, tensorflow=False)
