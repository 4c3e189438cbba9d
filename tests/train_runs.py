"""Training runs as processes, for tests that kill them or take something away from them."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Callable

ROOT = pathlib.Path(__file__).parents[1]
PATIENCE = 240  # seconds, of a machine with much else to do
_POLL_SECONDS = 0.02


class Run:
    """One run: a command that is started as often as it takes.

    Args:
      config: the configuration file.
      workdir: of the run.
      overrides: "train.epochs=2".
    """

    def __init__(self, config: pathlib.Path, workdir: pathlib.Path, *overrides: str) -> None:
        self.workdir = workdir
        self._output = workdir.with_name(f"{workdir.name}.txt")
        program = [sys.executable, "-m", "smooth_recs.bin.train", f"--config={config}", f"--workdir={workdir}"]
        self.command = [*program, *(f"--config.{override}" for override in overrides)]

    def start(self, *launcher: str, **options: object) -> subprocess.Popen[bytes]:
        """The process, under a program that starts another one where one is named."""
        with open(self._output, "wb") as output:
            return subprocess.Popen(
                [*launcher, *self.command],
                stdout=output,
                stderr=subprocess.STDOUT,
                env=os.environ | {"PYTHONPATH": str(ROOT)},
                **options,  # type: ignore[call-overload]
            )

    @property
    def said(self) -> str:
        """What the process that was started last has written."""
        return self._output.read_text("utf-8", "replace")

    def end(self, process: subprocess.Popen[bytes]) -> int:
        try:
            return process.wait(PATIENCE)
        finally:
            process.kill()
            process.wait()

    def finish(self) -> dict:
        """Starts the command, waits for it, and returns the metrics."""
        status = self.end(self.start())
        assert status == 0, self.said[-3000:]
        return json.loads((self.workdir / "metrics.json").read_text())

    def fails(self, process: subprocess.Popen[bytes], status: int) -> str:
        """The one line that the process ends with."""
        assert self.end(process) == status, self.said[-3000:]
        errors = [line for line in self.said.splitlines() if line.startswith("error: ")]
        assert len(errors) == 1, self.said[-3000:]
        assert "Traceback" not in self.said
        return errors[0].removeprefix("error: ")

    def wait_until(
        self, process: subprocess.Popen[bytes], condition: Callable[[], bool], poll_seconds: float = _POLL_SECONDS
    ) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            ended = process.poll() is not None
            assert condition() or not ended, self.said[-3000:]
            assert time.monotonic() < deadline, self.said[-3000:]
            time.sleep(poll_seconds)

    @property
    def reached(self) -> int:
        """Steps of the newest checkpoint."""
        names = self.workdir.glob("checkpoints/ckpt-*.index")
        return max((int(path.stem.removeprefix("ckpt-")) for path in names), default=0)
