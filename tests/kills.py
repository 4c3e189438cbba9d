"""Kills at random moments, as `make soak` makes them: how many, by which seed, and what they were.

`SMOOTH_RECS_KILLS` says how many each test makes (a few where it is not set), `SMOOTH_RECS_SEED` repeats the moments of
an earlier run.
"""

from __future__ import annotations

import collections
import os
import random
import signal
from collections.abc import Sequence

SEED = int(os.environ.get("SMOOTH_RECS_SEED", random.SystemRandom().randrange(10**6)))
IS_SOAK = "SMOOTH_RECS_KILLS" in os.environ


def count(few: int) -> int:
    """How many kills a test makes: `few` in `make test`."""
    return int(os.environ.get("SMOOTH_RECS_KILLS", few))


class Kills:
    """The kills of one test: draws them, and counts them for the line that the soak prints.

    Args:
      what: is killed, as the line calls it.
    """

    def __init__(self, what: str) -> None:
        self.chance = random.Random(f"{SEED} {what}")
        self._what = what
        self._made: collections.Counter[str] = collections.Counter()
        print(f"\nSMOOTH_RECS_SEED={SEED}: {what}", flush=True)

    def signal(self, *signals: signal.Signals) -> signal.Signals:
        """One of the signals, SIGKILL or SIGTERM if none are named."""
        return self.chance.choice(signals or (signal.SIGKILL, signal.SIGTERM))

    def note(self, moment: str, number: signal.Signals, more: str = "") -> None:
        """Counts a kill."""
        self._made[number.name] += 1
        self._made[moment] += 1
        print(f"  {number.name} while {moment}{more and ': '}{more}", flush=True)

    def summary(self, rows_lost: float, differences: Sequence[float]) -> str:
        """Prints what was made, and what came of it.

        Args:
          rows_lost: rows that the resumed runs have trained on less, or more, than those that were left alone.
          differences: relative PD of each resumed export to its twin.
        """
        of_signals = {name: n for name, n in sorted(self._made.items()) if name.startswith("SIG")}
        moments = {name: n for name, n in sorted(self._made.items()) if not name.startswith("SIG")}
        line = "; ".join(", ".join(f"{n} {name}" for name, n in each.items()) for each in (of_signals, moments))
        pd = f", greatest PD to its twin {max(differences):.3g}" if differences else ""
        said = f"soak: {self._what}: {sum(of_signals.values())} kills ({line}), examples lost {rows_lost:g}{pd}"
        print(said, flush=True)
        return said
