"""Exports while a run trains, for a log that does not end."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from concurrent import futures
from typing import Any

from smooth_recs.callbacks.periodic import Periodic
from smooth_recs.data.encoding import Encoder
from smooth_recs.errors import InputError
from smooth_recs.serving import export
from smooth_recs.serving.versions import versions


class PeriodicExports(Periodic):
    """Exports every sibling each so many steps, as the next version under `base/replica_K`, and keeps the newest ones.

    Versions of the same number are of the same step. Where a process was killed between one sibling's export and the
    next one's, the beginning of the next `fit` takes back those that lack a counterpart: the newest of a sibling, if it
    is one above another sibling's.

    Args:
      encoder: maps raw features to encoded ones.
      base: folder of the exports: `base/replica_K/VERSION/saved_model.pb`.
      every: a number of training steps; with `steps_per_execution` above 1, after the execution that passes a multiple.
      keep: how many versions of a sibling are kept, those included that were there before; 0 = all.
      complete: adds files to each export, whose path it is given, before that is a version.

    Raises:
      ValueError: every below 1, keep below 0.
      InputError: training on parameter servers, whose tables cannot be exported from the cluster.

    ```python
    siblings.fit(batches, callbacks=[PeriodicExports(source.encoder, "runs/stream/export", every=10_000, keep=3)])
    ```
    """

    def __init__(
        self,
        encoder: Encoder,
        base: str,
        every: int,
        keep: int = 3,
        complete: Callable[[str], None] = lambda _: None,
    ) -> None:
        if not isinstance(every, int):
            raise ValueError(f"every must be a number of steps, got {every!r}")
        if keep < 0:
            raise ValueError(f"keep must be at least 0, got {keep!r}")
        super().__init__(every, log_dir=None)
        self._encoder, self._base, self._keep, self._complete = encoder, base, keep, complete

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        if getattr(self.model, "_cluster_coordinator", None) is not None:
            raise InputError("train.export_steps must be 0 under parameter_server, which exports at the end only")
        super().on_train_begin(logs)
        newest = {folder: max(versions(folder), default=0) for folder in self._folders()}
        for folder, version in newest.items():
            if version == 1 + min(newest.values()):
                _remove(folder, version)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Nothing: an epoch may end at any step."""

    def report(self, logs: dict[str, Any] | None) -> None:
        # In a thread: a callback is inside the strategy's scope, where a new variable is one of all processes.
        with futures.ThreadPoolExecutor(1) as thread:
            thread.submit(self._export).result()

    def _export(self) -> None:
        for replica, folder in zip(self.model.replicas, self._folders(), strict=True):
            export.save(replica, self._encoder, folder, self._complete)
            for version in versions(folder)[: -self._keep] if self._keep else ():
                _remove(folder, version)

    def _folders(self) -> Sequence[str]:
        return [os.path.join(self._base, f"replica_{k}") for k in range(len(self.model.replicas))]


def _remove(folder: str, version: int) -> None:
    """At once for whoever looks for versions, as a server of models does."""
    with tempfile.TemporaryDirectory(prefix=".removing-", dir=folder) as beside:
        os.rename(os.path.join(folder, str(version)), os.path.join(beside, str(version)))
