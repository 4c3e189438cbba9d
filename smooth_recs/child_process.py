"""What the processes have in common that this package starts."""

from __future__ import annotations

import os
import sys


def environment(**more: str) -> dict[str, str]:
    """The variables of this process, with which a Python started by it finds the same modules; and `more`."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(folder or os.getcwd() for folder in sys.path), **more}
