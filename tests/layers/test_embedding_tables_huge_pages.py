"""Large pieces of memory come to lie in huge pages, with what they hold."""

from __future__ import annotations

import mmap
import re
from pathlib import Path

import numpy as np
import pytest

from smooth_recs.config import Config, Data, Evaluation, Model, Siblings
from smooth_recs.layers import embedding_tables

SIZE = 96 << 20


def huge_bytes(address):
    """In huge pages, of the piece of memory that the address lies in."""
    pieces = re.split(r"^(?=[0-9a-f]+-[0-9a-f]+ )", Path("/proc/self/smaps").read_text(), flags=re.MULTILINE)
    for piece in filter(None, pieces):
        begin, end = (int(number, 16) for number in piece.split()[0].split("-"))
        if begin <= address < end:
            return int(re.search(r"AnonHugePages:\s+(\d+) kB", piece)[1]) * 1024
    raise AssertionError(f"no memory at {address:#x}")


def test_large_memory_lies_in_huge_pages():
    setting = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    if not setting.exists() or "[madvise]" not in setting.read_text():
        pytest.skip("this machine does not grant huge pages on request")
    memory = mmap.mmap(-1, SIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)  # NumPy asks for huge pages itself
    values = np.frombuffer(memory, np.int64)
    values[:] = np.arange(SIZE // 8)
    address = values.ctypes.data + SIZE // 2
    assert huge_bytes(address) == 0
    assert embedding_tables.ask_for_huge_pages() >= SIZE
    if not huge_bytes(address):
        pytest.skip("no huge page was free")
    assert huge_bytes(address) > SIZE * 0.9
    np.testing.assert_array_equal(values, np.arange(SIZE // 8))


def test_asks_for_nothing_where_it_is_not_granted(tmp_path, monkeypatch):
    for setting, words in (("always", "[always] madvise never"), ("never", "always madvise [never]")):
        (tmp_path / setting).write_text(words)
        monkeypatch.setattr(embedding_tables, "_SETTING", tmp_path / setting)
        assert embedding_tables.ask_for_huge_pages() == 0
    monkeypatch.setattr(embedding_tables, "_SETTING", tmp_path / "nowhere")
    assert embedding_tables.ask_for_huge_pages() == 0


def test_asks_once(monkeypatch):
    asked = []
    monkeypatch.setattr(embedding_tables, "ask_for_huge_pages", lambda: asked.append(1))
    callback = embedding_tables.HugePages()
    for batch in range(3):
        callback.on_train_batch_end(batch)
    assert asked == [1]


@pytest.mark.slow
def test_a_run_asks_only_where_it_is_told_to(tmp_path, monkeypatch):
    from smooth_recs import training

    asked = []
    monkeypatch.setattr(embedding_tables, "ask_for_huge_pages", lambda: asked.append(1))
    config = Config(data=Data(examples=600, eval_examples=200, shuffle_window=300))
    config.model, config.siblings = Model(hidden_units=(4,)), Siblings(replicas=1)
    config.evaluation = Evaluation(slices=(), estimate=False)
    assert config.train.huge_pages is False
    config.train.huge_pages = True
    training.train_and_evaluate(config, str(tmp_path / "run"))
    assert asked == [1]
