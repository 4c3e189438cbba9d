"""Contenders from the outside: processes that wait until it is their turn."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from throughput_contenders.work import Work, rows

BENCHMARKS = Path(__file__).resolve().parents[1]


class AbsentError(Exception):
    """What a contender needs is not installed."""


@dataclasses.dataclass(frozen=True)
class Took:
    """What a turn did (examples), what it took, in seconds, and memory of the process, in bytes.

    Attributes:
      processor_so_far: processor time of the process until the end of this turn.
      memory_at_rest: with the model and its data, before the first step; ours has its variables by then.
      peak_memory: until the end of this turn.
    """

    done: int
    wall: float
    processor: float
    processor_so_far: float
    memory_at_rest: int
    peak_memory: int


class Contender:
    """Starts the process, waits until the model is made, and trains it for one execution, which traces it.

    Attributes:
      start: seconds and processor seconds until the end of that execution: imports, data, model, tracing, steps.

    Args:
      name: family and function, such as `ours:recipe`.
      work: what it trains on.
      python: the interpreter that runs it.
      keras: the generation of Keras, 2 (`tf_keras`) or 3.

    Raises:
      AbsentError: its library cannot be imported.
      RuntimeError: it ended.
      OSError: there is no such interpreter.
    """

    def __init__(self, name: str, work: Work, python: str = sys.executable, keras: str = "2") -> None:
        self.name, self.work = name, work
        begun = time.perf_counter()
        paths = [str(BENCHMARKS), str(BENCHMARKS.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
        settings = {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": os.pathsep.join(paths)}
        settings["TF_USE_LEGACY_KERAS"] = str(int(keras == "2"))
        self._process = subprocess.Popen(
            [python, "-m", "throughput_contenders", name, work.to_json()],
            env={**os.environ, **settings},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        answer = self._answer()
        if "absent" in answer:
            self.close()
            raise AbsentError(answer["absent"])
        first = self.turn(work.per_execution)
        self.start = time.perf_counter() - begun, first.processor_so_far

    def turn(self, steps: int) -> Took:
        assert self._process.stdin is not None
        print(steps, file=self._process.stdin, flush=True)
        return Took(**self._answer())

    def close(self) -> None:
        """Ends the process."""
        self._process.communicate()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended with status {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer


@dataclasses.dataclass(frozen=True)
class Measured:
    """Of one contender: `start` (seconds, processor seconds) to the end of its first execution, and its turns."""

    start: tuple[float, float]
    turns: list[Took]


def take_turns(
    contenders: Mapping[str, tuple[str, Work]],
    rounds: int,
    pythons: Mapping[str, str] | None = None,
    generations: Mapping[str, str] | None = None,
) -> dict[str, Measured]:
    """The turns of every contender, a round after the other; one that cannot start is left out, by name.

    All contenders of one work read the same batches from one file.

    Args:
      contenders: by any label: family and function, and what it trains on.
      rounds: how many turns each has.
      pythons: the interpreter of a family, where it is not this one.
      generations: the generation of Keras of a label, where it is not 2.
    """
    with tempfile.TemporaryDirectory(prefix="throughput-") as folder:
        ready = {}
        for label, (name, work) in contenders.items():
            shared = dataclasses.replace(work, folder=folder)
            rows(shared)  # nobody's start includes the making of the file
            try:
                python = (pythons or {}).get(name.split(":")[0], sys.executable)
                ready[label] = Contender(name, shared, python, (generations or {}).get(label, "2"))
                tell(f"{label} is ready")
            except (AbsentError, RuntimeError, OSError) as reason:
                tell(f"{label} is left out: {reason}")
        found = {label: Measured(contender.start, []) for label, contender in ready.items()}
        for number in range(rounds):
            for label, contender in ready.items():
                found[label].turns.append(contender.turn(contender.work.steps))
            tell(f"round {number + 1} of {rounds}")
        for contender in ready.values():
            contender.close()
    return found


def tell(progress: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {progress}", file=sys.stderr, flush=True)
