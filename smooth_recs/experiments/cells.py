"""Many runs, each a process of the train binary: killed at any time and started again, no finished run is repeated.

A folder holds, for each configuration, named by a hash of it:

    cells/HASH/        the workdir of its run
    cells/HASH.json    the configuration, as `--config` of the train binary takes it
    cells/HASH.lock    the number of the process that trains it, and a lock that this process holds
    cells/HASH.log     what that process said
    cache/             what is found out about the data, and rows that take long to make, for all of them

The lock is the kernel's, on a file that the training process inherits: it is free again the moment that process ends,
in whatever way. So several commands may share a folder, and where a command is killed and its training goes on, the
next one waits for that cell instead of training it a second time (at a URL, where nothing is inherited, for the
training's own `run.lock`). Several machines may share one, too, where its file system has locks and the folder has the
same path on all of them.

A cell may need others, as a student needs its teacher: they are trained first. On a terminal a bar shows how many
cells are finished; each run that ends prints a line.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import signal
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import tqdm

from smooth_recs import _files, _paths, keras_generation
from smooth_recs._locks import Lock, holder_of, locked
from smooth_recs.config import Config
from smooth_recs.errors import InputError
from smooth_recs.experiments import training_processes
from smooth_recs.workdir import manifest

REFERENCE = "@"
# The status with which a training ends that diverged: such a cell is finished, and in the results.
_DIVERGED = 4


@dataclasses.dataclass(frozen=True)
class Cell:
    """A run of a grid.

    Where the configuration has the workdir of a cell that it needs, it holds `@KEY`, so that equal runs have equal keys
    in every folder.

    Attributes:
      label: what a reader calls it.
      config: of the run.
      needs: cells that have to be finished before.
    """

    label: str
    config: Config
    needs: tuple[Cell, ...] = ()

    @functools.cached_property
    def key(self) -> str:
        """Names the cell in its folder; equal configurations have equal keys in one generation of Keras."""
        generation = {} if keras_generation.trains_in_legacy() else {"keras": 3}
        return _hash({**self.config.to_dict(), **generation})

    @functools.cached_property
    def kind(self) -> str:
        """Equal for cells that differ in their seeds alone: these take equally long."""
        references = {f"{REFERENCE}{need.key}": REFERENCE for need in self.needs}
        return _hash(replaced({**self.config.to_dict(), "seed": 0}, references))


class Folder:
    """The cells that are kept under a folder, finished or not.

    Args:
      path: of the folder.
      jobs: how many trainings `run` has at a time.

    Raises:
      InputError: jobs is below 1.

    ```python
    cells = [Cell(f"seed {seed}", dataclasses.replace(config, seed=seed)) for seed in (1, 2, 3)]
    folder = Folder("runs/seeds")
    folder.run(cells)
    [folder.metrics(cell)["pd"]["relative"] for cell in cells]
    ```
    """

    def __init__(self, path: str, jobs: int = 1) -> None:
        if jobs < 1:
            raise InputError(f"jobs must be at least 1, got {jobs}")
        self._folder, self._cells, self._jobs = path, os.path.join(path, "cells"), jobs

    def workdir(self, cell: Cell) -> str:
        """The folder of a cell's run."""
        return os.path.join(self._cells, cell.key)

    def config(self, cell: Cell) -> dict[str, Any]:
        """The configuration as the train binary gets it, with the workdirs of the cells that it needs."""
        workdirs_of = {f"{REFERENCE}{need.key}": _paths.resolved(self.workdir(need)) for need in cell.needs}
        found: dict[str, Any] = replaced(cell.config.to_dict(), workdirs_of)
        return found

    def is_finished(self, cell: Cell) -> bool:
        return _files.exists(self._metrics(cell))

    def metrics(self, cell: Cell) -> dict[str, Any]:
        """The `metrics.json` of a finished cell; InputError where it does not hold one."""
        return manifest.read_metrics(self.workdir(cell))

    def seconds(self, cell: Cell) -> float | None:
        """How long the last process of a finished cell took; None where the files do not tell, as after a copy."""
        try:
            ended, began = (_files.stamp(file)[1] for file in (self._metrics(cell), self._file(cell, "json")))
        except FileNotFoundError:
            return None
        # A copy gives all files one time; no process of TensorFlow takes less than a second.
        took = (ended - began) / 1e9
        return took if took > 1.0 else None

    def seconds_left(self, cells: Sequence[Cell]) -> float | None:
        """The estimated time for all cells that are not finished, `jobs` at a time.

        Each takes the median time of the finished cells of its kind, or, where there is none, of all.
        """
        of_kind: dict[str, list[float]] = {}
        for cell in distinct(cells):
            if (seconds := self.seconds(cell)) is not None:
                of_kind.setdefault(cell.kind, []).append(seconds)
        every = [seconds for kind in of_kind.values() for seconds in kind]
        if not every:
            return None
        left = [statistics.median(of_kind.get(cell.kind, every)) for cell in self.unfinished(cells)]
        return max(sum(left) / self._jobs, *left, 0.0)

    def unfinished(self, cells: Sequence[Cell]) -> list[Cell]:
        """The cells that are still to train, each once, after those that they need."""
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
        """Trains what is not finished, as many cells at a time as the folder has jobs, and first what a cell needs.

        Waits for cells that other processes train. Where one fails, those beside it are told to save and end.

        Raises:
          InputError: the folder cannot be written, or the train binary refuses a configuration or its data.
          RuntimeError: a run failed; the line says which, why, and where its log is.
        """
        try:
            _files.makedirs(self._cells)
        except OSError as error:
            raise InputError(f"workdir {self._folder} cannot be used: {error}") from error

        def state() -> tuple[int, int, str]:
            every, left = len(distinct(cells)), self.seconds_left(cells)
            return every - len(self.unfinished(cells)), every, f"{duration(left)} left" if left else ""

        with CellProgress(state) as progress, _Trainings() as running:
            while True:
                for training in running.ended():
                    self._check(training, progress)
                if len(running.labels) < self._jobs:
                    waiting = [cell for cell in self.unfinished(cells) if cell.key not in running.labels]
                    ready = [cell for cell in waiting if not self.unfinished(cell.needs)]
                    for cell in ready:
                        if len(running.labels) < self._jobs:
                            self._start(cell, running)
                    if not running.labels:
                        if not waiting:
                            return
                        if held := [cell for cell in ready if not self.is_finished(cell)]:
                            holder = holder_of(self._file(held[0], "lock"))
                            progress.show(f"waiting for process {holder}: {held[0].label}")
                            time.sleep(_TICK_SECONDS)
                        continue
                progress.show("; ".join(running.labels.values()))
                running.wait(_TICK_SECONDS)

    def _start(self, cell: Cell, running: _Trainings) -> None:
        """Starts the training of `cell`, but where another process is at it, or has just ended it."""
        with contextlib.ExitStack() as held:
            lock = held.enter_context(locked(self._file(cell, "lock"), str(os.getpid())))
            # At a URL a training does not inherit the lock: that of a killed command is known by its own.
            if lock is None or (not lock.descriptors and manifest.is_owned(self.workdir(cell))):
                return
            # Asked again, under the lock: another process may have ended it just before.
            if not self.is_finished(cell):
                process = self._process(cell, lock, held)
                running.add(cell, process, held.pop_all())
                lock.say(str(process.pid))

    def _process(self, cell: Cell, lock: Lock, held: contextlib.ExitStack) -> training_processes.Process:
        # What is kept there is named by all that it depends on: one folder serves every cell.
        _files.share_folder(os.path.join(self._folder, "cache"), os.path.join(self.workdir(cell), "cache"))
        config = self._file(cell, "json")
        _files.write_json(config, self.config(cell))
        log = held.enter_context(_files.appending(self._file(cell, "log")))
        # The training holds the lock too, where this process is killed and the training goes on.
        return training_processes.start(config, self.workdir(cell), log, lock.descriptors)

    def _check(self, training: _Training, progress: CellProgress) -> None:
        """Says what came of a training that has ended, or raises."""
        cell, status, log_path = training.cell, training.process.returncode, self._file(training.cell, "log")
        if status in (0, _DIVERGED) and self.is_finished(cell):
            progress.say(cell.label, self.metrics(cell))
            return
        lines = _files.read_text(log_path, "replace").split("\n")
        said = next((line for line in reversed(lines) if line.startswith("error: ")), "").removeprefix("error: ")
        if status == 2:
            raise InputError(f"{cell.label}: {said}")
        if status is not None and status < 0:
            said = f"ended by {signal.Signals(-status).name}"
        raise RuntimeError(f"{cell.label}: {said or f'exit status {status}'} (log: {log_path})")

    def _metrics(self, cell: Cell) -> str:
        return os.path.join(self.workdir(cell), "metrics.json")

    def _file(self, cell: Cell, ending: str) -> str:
        return os.path.join(self._cells, f"{cell.key}.{ending}")


class _Training(NamedTuple):
    """A cell that is being trained, and what is held until its process has ended."""

    cell: Cell
    process: training_processes.Process
    held: contextlib.ExitStack


class _Trainings:
    """The trainings of one command; where it is interrupted, or one of them fails, the others save and end."""

    def __init__(self) -> None:
        self._running: list[_Training] = []

    def __enter__(self) -> _Trainings:
        return self

    def __exit__(self, *_: object) -> None:
        # A training that nobody waits for would hold its cell, unseen.
        for training in self._running:
            training.process.terminate()
        for training in self._running:
            training.process.wait()
            training.held.close()

    @property
    def labels(self) -> dict[str, str]:
        """Labels of the cells that are being trained, by key."""
        return {training.cell.key: training.cell.label for training in self._running}

    def add(self, cell: Cell, process: training_processes.Process, held: contextlib.ExitStack) -> None:
        self._running.append(_Training(cell, process, held))

    def wait(self, seconds: float) -> None:
        """Waits so long, or until one of them has ended: a core that no cell uses is lost to the whole grid."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and all(training.process.poll() is None for training in self._running):
            time.sleep(_POLL_SECONDS)

    def ended(self) -> list[_Training]:
        """Takes out those whose process has ended, and lets go of their locks."""
        found = [training for training in self._running if training.process.poll() is not None]
        for training in found:
            self._running.remove(training)
            training.held.close()
        return found


def distinct(cells: Sequence[Cell]) -> list[Cell]:
    """The cells in order, each configuration once, after the cells that it needs."""
    first: dict[str, Cell] = {}
    for cell in cells:
        for one in (*distinct(cell.needs), cell):
            first.setdefault(one.key, one)
    return list(first.values())


def replaced(value: Any, texts: Mapping[str, str]) -> Any:
    """`value` with other texts in place of those that are keys of `texts`, wherever they stand.

    >>> replaced({"teachers": ("@a", "b")}, {"@a": "runs/a"})
    {'teachers': ('runs/a', 'b')}
    """
    if isinstance(value, Mapping):
        return {name: replaced(item, texts) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(replaced(item, texts) for item in value)
    return texts.get(value, value) if isinstance(value, str) else value


def _hash(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


_TICK_SECONDS = 0.5  # far less than any run takes; a bar that moves twice a second looks alive
_POLL_SECONDS = 0.02  # between two looks whether a training has ended, which take microseconds
_BAR = "{percentage:3.0f}%|{bar:20}| {n_fmt} of {total_fmt} cells, {elapsed} so far{postfix}"


class CellProgress:
    """Shows what `state` says: cells that are finished, all cells, and the time that is left, empty where unknown.

    Cells count as finished whichever process finished them.
    """

    def __init__(self, state: Callable[[], tuple[int, int, str]]) -> None:
        self._state = state
        done, every, _ = state()
        self._bar = tqdm.tqdm(initial=done, total=every, bar_format=_BAR, leave=False, disable=None, file=sys.stderr)

    def __enter__(self) -> CellProgress:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def show(self, doing: str) -> None:
        """Shows what is being done."""
        # Without a terminal the bar is off, and what it would show need not be computed.
        if not self._bar.disable:
            self._bar.n, _, left = self._state()
            self._bar.set_postfix_str(", ".join(filter(None, (left, doing))))

    def say(self, label: str, metrics: Mapping[str, Any]) -> None:
        """A line for a run that has ended."""
        done, every, left = self._state()
        difference = f"PD {metrics['pd']['relative']:.2%}" if metrics["pd"] else ""
        live = f"PD to live {metrics['pd_live']['relative']:.2%}" if metrics.get("pd_live") else ""
        diverged = "diverged" if metrics.get("diverged") else ""
        line = ", ".join(filter(None, (label, difference, live, diverged, left)))
        with tqdm.tqdm.external_write_mode(sys.stdout):
            print(f"{done} of {every}  {line}", flush=True)


def duration(seconds: float) -> str:
    """A time for people.

    >>> duration(45), duration(125), duration(9000)
    ('45 s', '2 min', '2.5 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
