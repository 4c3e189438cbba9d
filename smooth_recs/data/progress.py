"""One line on stderr for passes that take long."""

from __future__ import annotations

import sys

import tqdm


def progress(what: str, unit: str) -> tqdm.tqdm:
    """A counter that shows itself after two seconds and disappears when done; silent where stderr is no terminal."""
    return tqdm.tqdm(
        desc=what, unit=unit, unit_scale=True, delay=2.0, leave=False, disable=None, file=sys.stderr, mininterval=0.5
    )
