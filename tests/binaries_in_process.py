"""The programs of `smooth_recs.bin` within this process, for tests that need no process of their own."""

from __future__ import annotations

import contextlib
import runpy
import sys
from collections.abc import Iterator, Sequence

import pytest
from absl import flags

from smooth_recs.bin import _command, _flags


@contextlib.contextmanager
def flags_of(argv: Sequence[str]) -> Iterator[None]:
    """Inside, a binary that is run reads the flags in `argv` and does no more; afterwards its flags are forgotten."""
    before = set(flags.FLAGS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", list(argv))
        patch.setattr(_command, "run", lambda main, **_: _command.parse_flags(sys.argv))
        patch.setattr(_command, "_required", [])
        patch.setattr(_flags, "_required", set())
        try:
            yield
        finally:
            for name in set(flags.FLAGS) - before:
                delattr(flags.FLAGS, name)
            flags.FLAGS.unparse_flags()


def main(name: str, *arguments: str) -> None:
    """What `python -m smooth_recs.bin.NAME ARGUMENTS` does; its errors are raised."""
    with flags_of([name, *arguments]):
        runpy.run_module(f"smooth_recs.bin.{name}", run_name="__main__", alter_sys=True)["main"]()
