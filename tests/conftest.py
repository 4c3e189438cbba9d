"""The generation of Keras and the quietness of TensorFlow, before anything imports it; what runs under Keras 3."""

from __future__ import annotations

import gc
import os
import signal
from pathlib import Path

import pytest
import warm_processes

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
# A suite that was started in the background ignores Ctrl-C, and so would the processes that its tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

warm_processes.install()

KERAS_3 = os.environ["TF_USE_LEGACY_KERAS"].lower() not in ("1", "true")


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Under Keras 3 a file without the mark is not even imported: it may need TensorFlow Recommenders."""
    if KERAS_3 and collection_path.is_file() and "mark.both_generations" not in collection_path.read_text("utf-8"):
        return True
    return None


@pytest.hookimpl(optionalhook=True)  # the environments of other backends have no xdist
def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: a fifth of the time, tests wait for clocks and for processes."""
    return (os.cpu_count() or 1) + 1


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Under Keras 3 only what is marked runs, but for what is marked as an exception."""
    if KERAS_3:
        left_out = [item for item in items if not _is_of_both_generations(item)]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if _is_of_both_generations(item)]


def _is_of_both_generations(item: pytest.Item) -> bool:
    return bool(item.get_closest_marker("both_generations")) and not item.get_closest_marker("one_generation")


def pytest_collection_finish() -> None:
    """Looking for garbage among all that TensorFlow and the tests are takes a third of the time: it stays for good."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 10, 10)
