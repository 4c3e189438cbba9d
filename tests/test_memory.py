"""What memory a process may still take, from files as Linux writes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from smooth_recs import _memory
from smooth_recs.errors import InputError

MEMINFO = "MemTotal:       16000000 kB\nMemAvailable:    {} kB\nSwapFree:        {} kB\n"


@pytest.fixture(autouse=True)
def untold(monkeypatch):
    monkeypatch.delenv(_memory.VARIABLE, raising=False)


@pytest.fixture
def machine(tmp_path):
    """A root folder with the given files."""

    def write(files: dict[str, str], available: int = 8_000_000, swap: int = 0) -> Path:
        for name, text in {"proc/meminfo": MEMINFO.format(available, swap), **files}.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return write


def test_what_linux_has_with_free_swap(machine):
    assert _memory.available(machine({}, swap=1_000)) == 8_001_000 * 1024


def test_another_system_says_nothing(tmp_path):
    assert _memory.available(tmp_path) is None


def test_the_tightest_group_counts_without_pages_of_files(machine):
    """A group of 4,000 bytes under one of 3,000, of version 2, and one with no limit at the top."""
    top = "sys/fs/cgroup"
    root = machine(
        {
            "proc/self/cgroup": "0::/outer/inner\n",
            f"{top}/outer/inner/memory.max": "4000\n",
            f"{top}/outer/inner/memory.current": "500\n",
            f"{top}/outer/inner/memory.stat": "anon 100\nactive_file 0\ninactive_file 0\n",
            f"{top}/outer/memory.max": "3000\n",
            f"{top}/outer/memory.current": "2000\n",
            f"{top}/outer/memory.stat": "anon 100\nactive_file 300\ninactive_file 400\n",
            f"{top}/memory.max": "max\n",
            f"{top}/memory.current": "5000\n",
        }
    )
    assert _memory.available(root) == 3000 - 2000 + 300 + 400


def test_groups_of_version_1_in_a_container(machine):
    """The path is that of the machine; in the container its own group is the top."""
    top = "sys/fs/cgroup/memory"
    root = machine(
        {
            "proc/self/cgroup": "5:cpu:/docker/abc\n4:memory:/docker/abc\n0::/\n",
            f"{top}/memory.limit_in_bytes": "9000\n",
            f"{top}/memory.usage_in_bytes": "4000\n",
            f"{top}/memory.stat": "active_file 1\ntotal_active_file 50\ntotal_inactive_file 60\n",
        }
    )
    assert _memory.available(root) == 9000 - 4000 + 50 + 60


def test_no_limit_of_version_1_is_a_huge_number(machine):
    top = "sys/fs/cgroup/memory"
    files = {
        "proc/self/cgroup": "4:memory:/\n",
        f"{top}/memory.limit_in_bytes": f"{2**63 - 4096}\n",
        f"{top}/memory.usage_in_bytes": "4000\n",
    }
    assert _memory.available(machine(files)) == 8_000_000 * 1024


def test_a_group_that_has_used_up_its_limit_leaves_nothing(machine):
    top = "sys/fs/cgroup"
    files = {"proc/self/cgroup": "0::/\n", f"{top}/memory.max": "10", f"{top}/memory.current": "12"}
    assert _memory.available(machine(files)) == 0


def test_this_machine_says_something():
    found = _memory.available()
    assert found is None or 0 <= found < 1 << 60


def test_what_is_told_overrides_what_the_machine_says(monkeypatch, machine):
    monkeypatch.setenv(_memory.VARIABLE, "1.5")
    assert _memory.available(machine({})) == 1.5 * 2**30
    monkeypatch.setenv(_memory.VARIABLE, "inf")
    assert _memory.available(machine({})) > 2**60


@pytest.mark.parametrize("text", ["-1", "much", "nan"])
def test_what_is_told_must_be_a_number(monkeypatch, text):
    monkeypatch.setenv(_memory.VARIABLE, text)
    with pytest.raises(InputError, match=rf"^{_memory.VARIABLE} must be a number of GiB of at least 0, got '{text}'$"):
        _memory.available()
