"""How far a grid of runs has come: a bar on a terminal, and a line for each run that ends."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import tqdm

_TICK_SECONDS = 0.5
_BAR = "{percentage:3.0f}%|{bar:20}| {n_fmt} of {total_fmt} cells, {elapsed} so far{postfix}"


class CellProgress:
    """Shows what `state` says: cells that are finished, all cells, and the seconds left, None where unknown.

    Cells count as finished whichever process finished them.
    """

    def __init__(self, state: Callable[[], tuple[int, int, float | None]]) -> None:
        self._state = state
        done, every, _ = state()
        self._bar = tqdm.tqdm(initial=done, total=every, bar_format=_BAR, leave=False, disable=None, file=sys.stderr)

    def __enter__(self) -> CellProgress:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def tick(self, doing: str) -> None:
        """Shows what is being done, then waits a moment."""
        if not self._bar.disable:
            self._bar.n, _, left = self._state()
            self._bar.set_postfix_str(", ".join(filter(None, (_left(left), doing))))
        time.sleep(_TICK_SECONDS)

    def say(self, label: str, metrics: Mapping[str, Any]) -> None:
        """A line for a run that has ended."""
        done, every, left = self._state()
        difference = f"PD {metrics['pd']['relative']:.2%}" if metrics["pd"] else ""
        diverged = "diverged" if metrics.get("diverged") else ""
        line = ", ".join(filter(None, (label, difference, diverged, _left(left))))
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


def _left(seconds: float | None) -> str:
    return f"{duration(seconds)} left" if seconds else ""
