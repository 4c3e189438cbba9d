"""A disk that fills up, a clock that jumps: the run says so in a line, or goes on, and ends with its twin's numbers."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import kills
import pytest
from train_runs import PATIENCE, ROOT, Run

DISKS = kills.count(1)  # sizes that are too small; the last one is large enough
SETTINGS = (
    *("train.deterministic", "train.batch_size=16", "train.steps_per_execution=5", "train.checkpoint_seconds=0.1"),
    *("train.evaluations=1", "train.evaluation_examples=500", "train.average=70", "model.dropout=0.1"),
    *("data.examples=4000", "data.eval_examples=800", "data.shuffle_window=1000", "data.synthetic.users=200"),
    *("data.synthetic.items=100", "model.hidden_units=8", "evaluation.estimate=false"),
)
DEMO = ROOT / "configs" / "demo_falling.py"
# The time of day, as Python and TensorFlow's Python ask for it: every look finds it a day later, or four years earlier.
CONFIG = f"""
import itertools
import time
from pathlib import Path

from smooth_recs.experiments import sweeps

def jumping(now, unit):
    jumps = itertools.cycle([0, 86_400, -4 * 365 * 86_400, 3_600, -3_600, 10 * 365 * 86_400])
    return lambda: now() + next(jumps) * unit

time.time, time.time_ns = jumping(time.time, 1), jumping(time.time_ns, 10**9)

def get_config():
    return sweeps.config_of(Path({str(DEMO)!r}))
"""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(4 * PATIENCE)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """The metrics of the twin, which nothing disturbs."""
    return Run(DEMO, tmp_path_factory.mktemp("whole") / "run", *SETTINGS).finish()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 100 kB in memory."""
    mounted = tmp_path / "disk"
    mounted.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=100k", "none", str(mounted)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"a small file system takes root's rights to mount one: {done.stderr.strip()}")
    yield mounted
    subprocess.run(["umount", "--lazy", str(mounted)], check=True)


def check_equal(ended: dict, whole: dict) -> None:
    for name in ("examples", "replicas", "pd", "raw", "history", "slices"):
        assert ended[name] == whole[name], name


def test_a_full_disk_is_a_line_and_the_run_goes_on_where_there_is_room(whole: dict, disk: Path) -> None:
    made, run = kills.Kills("a disk"), Run(DEMO, disk / "run", *SETTINGS)
    run._output = disk.with_name("said.txt")
    sizes = sorted(made.chance.randrange(20, 2_500) for _ in range(DISKS))  # kB; the run needs 3 MB
    for size in sizes:
        subprocess.run(["mount", "-o", f"remount,size={size}k", str(disk)], check=True)
        process = run.start()
        status = run.end(process)
        errors = [line for line in run.said.splitlines() if line.startswith("error: ")]
        print(f"  {size} kB: {run.reached} steps are safe, status {status}, {errors}", flush=True)
        assert status in (1, 2), run.said[-3000:]
        assert len(errors) == 1
        assert re.search(r"No space left on device", errors[0]), errors
        assert str(disk) in errors[0]
        assert "Traceback" not in run.said
    subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
    check_equal(run.finish(), whole)
    left = [path.name for path in run.workdir.rglob("*") if re.match(r"\.writing-|checkpoint\.tmp|.*_temp$", path.name)]
    assert left == []
    print(f"soak: a disk: full {DISKS} times, examples lost 0, PD to its twin 0", flush=True)


def test_a_clock_that_jumps_changes_nothing(whole: dict, tmp_path: Path) -> None:
    config = tmp_path / "jumping.py"
    config.write_text(CONFIG)
    run = Run(config, tmp_path / "run", *SETTINGS)
    process = run.start()
    run.wait_until(process, lambda: run.reached > 0)
    process.terminate()
    assert run.end(process) in (143, -15), run.said[-3000:]
    hidden = run.workdir / "checkpoints" / "ckpt-9_temp"
    hidden.mkdir()  # as a kill leaves it, from a day that is still to come
    left = run.workdir / ".writing-future"
    left.mkdir()
    os.utime(left, (4e9, 4e9))
    ended = run.finish()
    check_equal(ended, whole)
    assert json.loads((run.workdir / "metrics.json").read_text()) == ended
    assert not hidden.exists()
    assert not left.exists()
    print("soak: a clock: jumped back and forth at every look, examples lost 0, PD to its twin 0", flush=True)
