"""Which process of a cluster this is, from the environment variable TF_CONFIG."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from typing import Any

from smooth_recs.errors import InputError

KINDS = ("chief", "worker", "ps")
SECRET = "SMOOTH_RECS_CLUSTER_SECRET"  # the variable of the environment; the same in all processes, or in none
PORTS = 3  # of a process: TensorFlow's own as named, the data service's one above, the heartbeat's two above


@dataclasses.dataclass(frozen=True)
class Task:
    """One process of a cluster.

    TF_CONFIG is the same in all processes but for `task`:

        {"cluster": {"chief": ["a:2222"], "worker": ["b:2222", "c:2222"], "ps": ["d:2222"]},
         "task": {"type": "worker", "index": 1}}

    A process takes three ports: the one named is TensorFlow's, the data service listens at the next one, the heartbeat
    at the one after that.

    Attributes:
      kind: `chief`, `worker` or `ps`.
      index: among those of its kind.
      cluster: the addresses (`host:port`) of every kind.

    >>> task = Task.parse('{"cluster": {"worker": ["a:2222", "b:2222"]}, "task": {"type": "worker", "index": 1}}')
    >>> str(task), task.is_chief, task.chief.address, [str(peer) for peer in task.peers]
    ('worker 1 (b:2222)', False, 'a:2222', ['worker 0 (a:2222)'])
    """

    kind: str
    index: int
    cluster: Mapping[str, tuple[str, ...]] = dataclasses.field(hash=False, repr=False)

    @classmethod
    def from_environment(cls) -> Task | None:
        """The task that TF_CONFIG names; None without one, or without a cluster in it: one process trains alone.

        Raises:
          InputError: TF_CONFIG does not describe a cluster.
        """
        return cls.parse(os.environ.get("TF_CONFIG", ""))

    @classmethod
    def parse(cls, text: str) -> Task | None:
        """The task that `text`, the value of TF_CONFIG, names."""
        try:
            config = json.loads(text or "{}")
        except ValueError as error:
            raise InputError(f"TF_CONFIG must be JSON ({error}), got {text!r}") from error
        if not isinstance(config, dict):
            raise InputError(f"TF_CONFIG must be a JSON object, got {text!r}")
        if not config.get("cluster"):
            return None
        cluster = _cluster(config["cluster"])
        return cls(*_place(config.get("task"), cluster), cluster)

    def __str__(self) -> str:
        return f"{self.kind} {self.index} ({self.address})"

    @property
    def address(self) -> str:
        return self.cluster[self.kind][self.index]

    @property
    def host(self) -> str:
        return _host_and_port(self.address)[0]

    @property
    def port(self) -> int:
        return _host_and_port(self.address)[1]

    @property
    def data_port(self) -> int:
        """The port of the data service: its dispatcher in the chief, its servers in the workers."""
        return self.port + 1

    @property
    def data_address(self) -> str:
        """`host:port` of the data service."""
        return f"{self.address.rpartition(':')[0]}:{self.data_port}"

    @property
    def heartbeat_port(self) -> int:
        return self.port + 2

    @property
    def members(self) -> tuple[Task, ...]:
        """Every process of the cluster."""
        return tuple(
            dataclasses.replace(self, kind=kind, index=index)
            for kind in KINDS
            for index in range(len(self.cluster.get(kind, ())))
        )

    @property
    def peers(self) -> tuple[Task, ...]:
        """Every other process of the cluster."""
        return tuple(member for member in self.members if member != self)

    @property
    def chief(self) -> Task:
        """The process that coordinates, and writes what a run leaves: worker 0 where there is no `chief`."""
        return dataclasses.replace(self, kind="chief" if "chief" in self.cluster else "worker", index=0)

    @property
    def is_chief(self) -> bool:
        return self == self.chief

    def serves(self, strategy: str) -> bool:
        """True where, under `distribution.strategy`, the process only computes or keeps what the chief says."""
        return strategy in ("auto", "parameter_server") and "ps" in self.cluster and not self.is_chief


def _cluster(value: Any) -> dict[str, tuple[str, ...]]:
    if not isinstance(value, dict) or not all(isinstance(addresses, list) for addresses in value.values()):
        raise InputError(f"TF_CONFIG: cluster must name lists of host:port for {', '.join(KINDS)}, got {value!r}")
    unknown = [kind for kind in value if kind not in KINDS]
    if unknown:
        raise InputError(f"TF_CONFIG: cluster must name processes of the kinds {', '.join(KINDS)}, got {unknown[0]!r}")
    cluster = {kind: tuple(addresses) for kind, addresses in value.items() if addresses}
    if "chief" not in cluster and "worker" not in cluster:
        raise InputError(f"TF_CONFIG: cluster must have a chief or a worker, got {value!r}")
    if len(cluster.get("chief", ())) > 1:
        raise InputError(f"TF_CONFIG: cluster must have at most one chief, got {value['chief']!r}")
    if "ps" in cluster and not ("chief" in cluster and "worker" in cluster):
        raise InputError(f"TF_CONFIG: cluster must have a chief and workers beside its ps, got {value!r}")
    _check_ports([address for addresses in cluster.values() for address in addresses])
    return cluster


def _check_ports(addresses: list[Any]) -> None:
    taken: dict[tuple[str, int], str] = {}
    for address in addresses:
        host, port = _host_and_port(address)
        for used in range(port, port + PORTS):
            other = taken.setdefault((host, used), address)
            if other != address or (used == port and addresses.count(address) > 1):
                raise InputError(
                    f"TF_CONFIG: ports on one host must be {PORTS} apart (TensorFlow, data service, heartbeat), "
                    f"got {other!r} and {address!r}"
                )


def _host_and_port(address: Any) -> tuple[str, int]:
    host, _, port = address.rpartition(":") if isinstance(address, str) else ("", "", "")
    if not host or not port.isdecimal() or not 1 <= int(port) <= 65536 - PORTS:
        raise InputError(f"TF_CONFIG: an address must be host:port with a port up to {65536 - PORTS}, got {address!r}")
    return host.strip("[]"), int(port)


def _place(task: Any, cluster: Mapping[str, tuple[str, ...]]) -> tuple[str, int]:
    kind, index = (task.get("type"), task.get("index", 0)) if isinstance(task, dict) else (None, 0)
    if not isinstance(kind, str) or kind not in cluster:
        raise InputError(f"TF_CONFIG: task.type must be a kind of the cluster, {', '.join(cluster)}, got {kind!r}")
    if isinstance(index, str) and index.isdecimal():  # as environment variables put it
        index = int(index)
    if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < len(cluster[kind]):
        last = len(cluster[kind]) - 1
        raise InputError(f"TF_CONFIG: task.index must be an integer from 0 to {last} for {kind}, got {index!r}")
    return kind, index
