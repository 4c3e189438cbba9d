"""Many runs, each a process of the train binary of its own: killed at any time and started again, none is repeated.

A folder holds, for each configuration, named by a hash of it:

    cells/HASH/        the workdir of its run
    cells/HASH.json    the configuration, as `--config` of the train binary takes it
    cells/HASH.lock    the number of the process that trains it, and a lock that this process holds
    cells/HASH.log     what that process said

The lock is the kernel's, on a file that the training process inherits: it is free again the moment that process ends,
in whatever way. So several commands may share a folder, and where a command is killed and its training goes on, the
next one waits for that cell instead of training it a second time.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import functools
import hashlib
import json
import os
import signal
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from smooth_recs import child_process
from smooth_recs import workdir as workdirs
from smooth_recs.config import Config
from smooth_recs.errors import InputError
from smooth_recs.experiments.cell_progress import CellProgress, duration

PROGRAM = ("-m", "smooth_recs.bin.train")


@dataclasses.dataclass(frozen=True)
class Cell:
    """A run of a grid: what a reader calls it, and its configuration."""

    label: str
    config: Config

    @functools.cached_property
    def key(self) -> str:
        """Names the cell in its folder; equal configurations have equal keys."""
        canonical = json.dumps(self.config.to_dict(), sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]


class Folder:
    """The cells that are kept under a folder, finished or not.

    ```python
    cells = [Cell(f"seed {seed}", dataclasses.replace(config, seed=seed)) for seed in (1, 2, 3)]
    folder = Folder("runs/seeds")
    folder.run(cells)
    [folder.metrics(cell)["pd"]["relative"] for cell in cells]
    ```
    """

    def __init__(self, path: str) -> None:
        self._cells = Path(path, "cells")

    def workdir(self, cell: Cell) -> str:
        return str(self._cells / cell.key)

    def is_finished(self, cell: Cell) -> bool:
        return self._metrics(cell).exists()

    def metrics(self, cell: Cell) -> dict[str, Any]:
        """The `metrics.json` of a finished cell."""
        metrics: dict[str, Any] = workdirs.read_json(str(self._metrics(cell)))
        return metrics

    def seconds(self, cell: Cell) -> float | None:
        """How long the last process of a finished cell took; None where the files do not tell, as after a copy."""
        try:
            took = self._metrics(cell).stat().st_mtime - self._file(cell, "json").stat().st_mtime
        except FileNotFoundError:
            return None
        return took if took > 1.0 else None

    def seconds_left(self, cells: Sequence[Cell]) -> float | None:
        """An estimate from the finished cells: their median time for each of the others, one after the other."""
        took = [seconds for cell in distinct(cells) if (seconds := self.seconds(cell)) is not None]
        return statistics.median(took) * len(self.unfinished(cells)) if took else None

    def unfinished(self, cells: Sequence[Cell]) -> list[Cell]:
        return [cell for cell in distinct(cells) if not self.is_finished(cell)]

    def outline(self, cells: Sequence[Cell]) -> str:
        """A line for each cell, and how long what is not finished would take."""
        unfinished = {cell.key for cell in self.unfinished(cells)}
        lines = []
        for cell in distinct(cells):
            took = self.seconds(cell)
            state = "to do" if cell.key in unfinished else duration(took) if took else "done"
            lines.append(f"{cell.key}  {state:>8}  {cell.label}")
        left = self.seconds_left(cells)
        time = f"about {duration(left)}" if left is not None else "no finished cell tells how long"
        return "\n".join([*lines, f"{len(unfinished)} of {len(lines)} cells to do: {time}"])

    def run(self, cells: Sequence[Cell]) -> None:
        """Trains what is not finished, one cell after the other; waits for cells that other processes train.

        Raises:
          InputError: the folder cannot be written, or the train binary refuses a configuration or its data.
          RuntimeError: a run failed; the line says which, why, and where its log is.
        """
        try:
            self._cells.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"workdir {self._cells.parent} cannot be used: {error}") from error
        with CellProgress(lambda: self._state(cells)) as progress:
            while waiting := self.unfinished(cells):
                if not any(self._trained(cell, progress) for cell in waiting):
                    progress.tick(f"waiting for process {self._holder(waiting[0])}: {waiting[0].label}")

    def _trained(self, cell: Cell, progress: CellProgress) -> bool:
        """Trains `cell` to its end; False where another process is at it."""
        with _lock(self._file(cell, "lock")) as lock:
            if lock is None:
                return False
            if not self.is_finished(cell):  # another process may have ended it just before
                self._train(cell, lock, progress)
        return True

    def _train(self, cell: Cell, lock: int, progress: CellProgress) -> None:
        path = self._file(cell, "json")
        workdirs.write_json(str(path), cell.config.to_dict())
        command = [sys.executable, *PROGRAM, f"--config={path}", f"--workdir={self.workdir(cell)}"]
        with open(self._file(cell, "log"), "ab") as log:
            process = subprocess.Popen(
                command,
                env=child_process.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(lock,),
            )
        try:
            _write(lock, f"{process.pid}\n")
            while process.poll() is None:
                progress.tick(cell.label)
        except BaseException:
            process.terminate()
            process.wait()
            raise
        if process.returncode or not self.is_finished(cell):
            raise self._failure(cell, process.returncode)
        progress.say(cell.label, self.metrics(cell))

    def _state(self, cells: Sequence[Cell]) -> tuple[int, int, float | None]:
        """Finished cells, all cells, and the seconds left."""
        every = len(distinct(cells))
        return every - len(self.unfinished(cells)), every, self.seconds_left(cells)

    def _failure(self, cell: Cell, status: int) -> Exception:
        path = self._file(cell, "log")
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
        said = next((line for line in reversed(lines) if line.startswith("error: ")), "").removeprefix("error: ")
        if status == 2:
            return InputError(f"{cell.label}: {said}")
        if status < 0:
            said = f"ended by {signal.Signals(-status).name}"
        return RuntimeError(f"{cell.label}: {said or f'exit status {status}'} (log: {path})")

    def _holder(self, cell: Cell) -> str:
        with contextlib.suppress(OSError):
            return self._file(cell, "lock").read_text(encoding="utf-8").strip()
        return ""

    def _metrics(self, cell: Cell) -> Path:
        return Path(self.workdir(cell), "metrics.json")

    def _file(self, cell: Cell, ending: str) -> Path:
        return self._cells / f"{cell.key}.{ending}"


def distinct(cells: Sequence[Cell]) -> list[Cell]:
    """The first cell of each configuration, in order."""
    first: dict[str, Cell] = {}
    for cell in cells:
        first.setdefault(cell.key, cell)
    return list(first.values())


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[int | None]:
    """The descriptor of a lock file that is locked as long as it is open anywhere; None where another has the lock."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        yield descriptor if _taken(descriptor) else None
    finally:
        os.close(descriptor)


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    _write(descriptor, f"{os.getpid()}\n")
    return True


def _write(descriptor: int, text: str) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, text.encode(), 0)
