"""Memory in pages of 2 MiB for large tables, which otherwise lie in more pages than a processor remembers.

A run asks for them where `train.huge_pages` is set: the advice is on memory that TensorFlow allocated, of this process
as a whole, so it is the user's to give.
"""

from __future__ import annotations

import ctypes
import re
import sys
from typing import Any

from smooth_recs import keras_generation

LARGE_BYTES = 64 << 20
_SETTING = "/sys/kernel/mm/transparent_hugepage/enabled"
_HUGE, _COLLAPSE = 14, 25  # advice to madvise(2); the second, since Linux 6.1, moves what lies in small pages
_PRIVATE_MEMORY = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) rw-p 0+ 00:00 0\s*$", re.MULTILINE)


def ask() -> int:
    """Asks for huge pages for all large pieces of this process' memory; returns their bytes.

    Only on Linux where it is set to grant them on request (`madvise`), and at best: 0 elsewhere. It takes about as long
    as to copy the memory.
    """
    if not _granted_on_request():
        return 0
    with open("/proc/self/maps", encoding="utf-8") as maps:
        found = [(int(begin, 16), int(end, 16)) for begin, end in _PRIVATE_MEMORY.findall(maps.read())]
    advise = ctypes.CDLL(None).madvise
    advise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    large = [(begin, end - begin) for begin, end in found if end - begin >= LARGE_BYTES]
    for begin, size in large:
        if advise(begin, size, _HUGE) == 0:
            advise(begin, size, _COLLAPSE)
    return sum(size for _, size in large)


def _granted_on_request() -> bool:
    try:
        with open(_SETTING, encoding="utf-8") as setting:
            return sys.platform == "linux" and "[madvise]" in setting.read()
    except OSError:
        return False


class HugePages(keras_generation.keras().callbacks.Callback):  # type: ignore[misc]
    """Asks for huge pages after the first steps: all tables, and what optimizers keep, are there by then."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = False
        self._supports_tf_logs = True  # else tf_keras turns the logs of every execution into NumPy

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if not self.asked:
            self.asked = True
            ask()
