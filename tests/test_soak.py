"""A run that is killed again and again, with the same command each time, ends as if nothing had been."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections.abc import Callable

import kills
import numpy as np
import pytest
from train_runs import PATIENCE, ROOT, Run

from smooth_recs import prediction_difference

KILLS = kills.count(2)
BATCH, EPOCHS = 16, 2
ROWS = 2000 + 1200 * KILLS  # whole batches; that there is something left to train after each
STEPS = EPOCHS * ROWS // BATCH
SETTINGS = (
    *("train.deterministic", "train.progressive", f"train.batch_size={BATCH}", f"train.epochs={EPOCHS}"),
    *("train.steps_per_execution=7", "train.checkpoint_seconds=0.2"),
    *("train.evaluations=8", "train.evaluation_examples=2000", "train.patience=50", "train.average=70"),
    *(f"data.examples={ROWS}", "data.eval_examples=4000", "data.shuffle_window=1000"),
    *("data.synthetic.users=500", "data.synthetic.items=200", "model.hidden_units=32,16", "evaluation.estimate=false"),
    *("evaluation.slices=label", "model.dropout=0.1"),
)

_AT_ONCE = 0.001  # seconds between two looks: a checkpoint is written in a few milliseconds

pytestmark = [pytest.mark.both_generations, pytest.mark.slow, pytest.mark.timeout(3 * PATIENCE + 60 * KILLS)]


class Moments:
    """When to kill a process that has just been started: each waits for its moment, or for a later one."""

    def __init__(self, run: Run, chance: random.Random) -> None:
        self._run, self._chance = run, chance

    def starting(self, process: subprocess.Popen[bytes]) -> None:
        """Before it trains, or soon after it has begun to."""
        time.sleep(self._chance.uniform(0, 5))

    def training(self, process: subprocess.Popen[bytes]) -> None:
        """Anywhere in a window."""
        before = self._run.reached
        self._wait(process, lambda: self._run.reached > before)
        time.sleep(self._chance.uniform(0, 0.5))

    def saving(self, process: subprocess.Popen[bytes]) -> None:
        """While a checkpoint is written."""
        before, count = self._run.reached, self._chance.randrange(3)
        self._wait(process, lambda: self._run.reached > before)
        for _ in range(count):
            self._wait(process, lambda: not self._there("checkpoints/*_temp"), _AT_ONCE)
            self._wait(process, lambda: self._there("checkpoints/*_temp"), _AT_ONCE)
        time.sleep(self._chance.uniform(0, 0.003))

    def exporting(self, process: subprocess.Popen[bytes]) -> None:
        replica = self._chance.randrange(2)
        self._wait(process, lambda: self._there(f"export/replica_{replica}/.writing-*"))
        time.sleep(self._chance.uniform(0, 0.2))

    def reporting(self, process: subprocess.Popen[bytes]) -> None:
        """From the last export to the report, which come after the results."""
        self._run.wait_until(process, lambda: self._there("export/replica_1/[0-9]*"))
        time.sleep(self._chance.uniform(0, 0.6))

    def _wait(self, process: subprocess.Popen[bytes], condition: Callable[[], bool], *poll_seconds: float) -> None:
        self._run.wait_until(process, lambda: condition() or self._there("export/replica_1/[0-9]*"), *poll_seconds)

    def _there(self, pattern: str) -> bool:
        return any(self._run.workdir.glob(pattern))


def schedule(moments: Moments, chance: random.Random) -> list[Callable[[subprocess.Popen[bytes]], None]]:
    """Kills during, before and after training; those that come after it last, as training is not begun again."""
    late = max(1, KILLS // 5)
    early = [chance.choice((moments.starting, moments.training, moments.saving)) for _ in range(KILLS - late)]
    early[:1] = [moments.training][: len(early)]
    return [*early, *(chance.choice((moments.exporting, moments.reporting)) for _ in range(late))]


def predictions(export):
    """For 500 rows that no log holds."""
    import tensorflow as tf

    serve = tf.saved_model.load(str(export)).signatures["serving_default"]
    values = np.random.default_rng(1)
    inputs = {}
    for name, spec in serve.structured_input_signature[1].items():
        rows = values.integers(0, 200, [500, *(size or 3 for size in spec.shape[1:])])
        inputs[name] = tf.strings.as_string(rows) if spec.dtype == tf.string else tf.cast(rows, spec.dtype)
    return serve(**inputs)["probability"].numpy()


def tensors(workdir):
    """Everything in the newest checkpoint, by the key of its place."""
    import tensorflow as tf

    reader = tf.train.load_checkpoint(str(workdir / "checkpoints"))
    keys = [key for key in reader.get_variable_to_shape_map() if key.endswith("VARIABLE_VALUE")]
    return {key: reader.get_tensor(key) for key in keys if not key.startswith("save_counter")}


def ends_as(status: int, number: signal.Signals, moment: str) -> bool:
    """Whether a process that got the signal may end so: within training SIGTERM is obeyed, and not only suffered."""
    if status == 0:  # the report takes less time on some machines than the kill was to wait: the run is finished then
        return moment == "reporting"
    return status in ({-signal.SIGKILL} if number == signal.SIGKILL else {-signal.SIGTERM, 128 + signal.SIGTERM})


def test_kills_leave_no_trace(tmp_path):
    """Start-up, training, checkpoint, export, results: wherever it was killed, the run ends with its twin's numbers."""
    made = kills.Kills("a single run")
    config = ROOT / "configs" / "demo_falling.py"
    whole = Run(config, tmp_path / "whole", *SETTINGS).finish()
    run = Run(config, tmp_path / "killed", *SETTINGS)
    moments = Moments(run, made.chance)
    for moment in schedule(moments, made.chance):
        process, number = run.start(), made.signal()
        try:
            moment(process)
            process.send_signal(number)
            sent = time.monotonic()
            status = run.end(process)
        finally:
            process.kill()
        end = f"status {status} after {time.monotonic() - sent:.1f} s"
        made.note(moment.__name__, number, f"{run.reached} steps are safe, {end}")
        assert ends_as(status, number, moment.__name__), run.said[-3000:]
    ended = run.finish()
    assert ended["examples"] == whole["examples"] == EPOCHS * ROWS
    assert run.reached == STEPS
    for name in ("replicas", "pd", "raw", "history", "slices"):
        assert ended[name] == whole[name], name
    assert {"pd", "progressive_pd"} <= {name for entry in whole["history"] for name in entry}  # new rows: one epoch
    differences = []
    for one, other in zip(whole["exports"], ended["exports"], strict=True):
        first, second = predictions(tmp_path / "whole" / one), predictions(run.workdir / other)
        assert first.std() > 0
        np.testing.assert_array_equal(first, second)
        differences.append(prediction_difference.relative(first, second))
    first, second = tensors(tmp_path / "whole"), tensors(run.workdir)
    assert any(key.startswith("average/") for key in first)
    assert any("/_state/" in key for key in first)  # of dropout
    assert first.keys() == second.keys()
    for key, value in first.items():
        np.testing.assert_array_equal(value, second[key], key)
    left = [path.name for path in run.workdir.rglob("*") if path.name.startswith(".writing-")]
    assert left == []
    assert (run.workdir / "report.html").stat().st_size > 0
    made.summary(whole["examples"] - ended["examples"], differences)
