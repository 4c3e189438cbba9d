"""Standard error without the messages that TensorFlow writes before any of its settings counts."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Drops what the process, native code included, writes to standard error; shows it where the block fails."""
    sys.stderr.flush()
    with tempfile.TemporaryFile() as written:
        original = os.dup(2)
        os.dup2(written.fileno(), 2)
        try:
            yield
        except BaseException:
            written.seek(0)
            with open(original, "wb", closefd=False) as shown:
                shutil.copyfileobj(written, shown)
            raise
        finally:
            sys.stderr.flush()
            os.dup2(original, 2)
            os.close(original)
