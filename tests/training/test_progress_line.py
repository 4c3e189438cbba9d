"""The line of a training on a terminal, and what a run says on one."""

from __future__ import annotations

import contextlib
import io
import os
import pathlib
import re
import threading
from typing import Any

import pytest
import tensorflow as tf
from shared_runs import small_demo

from smooth_recs import training
from smooth_recs._status import Status
from smooth_recs.training.progress_line import EpochLines, ProgressLine, duration


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.both_generations
def test_epochs_are_numbered_among_those_of_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    model = tf.keras.Sequential([tf.keras.layers.Dense(1)])
    model.compile(optimizer="sgd", loss="mse")
    for epoch in range(2):  # a `fit` each, as in `loop`
        model.fit(
            tf.ones([4, 1]),
            tf.ones([4, 1]),
            initial_epoch=epoch,
            epochs=epoch + 1,
            callbacks=[EpochLines(5)],
            verbose=2,
        )
    said = capsys.readouterr().out
    assert re.findall(r"Epoch \d/\d", said) == ["Epoch 1/5", "Epoch 2/5"]
    assert len(re.findall(r"1/1 - .*loss: ", said)) == 2  # Keras has no line of its own beside


def test_the_time_left_is_that_of_the_whole_run() -> None:
    now, terminal = [0.0], Terminal()
    line = ProgressLine(1000, 400, {"loss": ".4f", "pd": ".1%"}, Status(terminal, lambda: now[0]), lambda: now[0])
    line.on_train_begin()
    now[0] = 30.0  # the first execution compiles: it tells no speed
    line.on_train_batch_end(99, {"loss": 0.5})
    assert line.line(80) == "step 500 of 1,000  [=====     ]  50%  loss 0.5000"
    now[0] = 40.0
    line.on_train_batch_end(199, {"loss": 0.25, "pd": 0.125})
    # 100 steps in 10 seconds, 400 to go
    assert line.line(200) == "step 600 of 1,000  [======    ]  60%  0:40 left  loss 0.2500  pd 12.5%"
    assert len(line.line(40)) < 40
    line.on_train_end()
    said = terminal.getvalue()
    assert said.startswith("\r\x1b[Ktraining     1,000 steps\n")
    assert said.endswith("left  loss 0.2500  pd 12.5%\n")


def test_a_stream_has_no_end() -> None:
    line = ProgressLine(0, 0, {}, Status(io.StringIO()))
    line.on_train_begin()
    line.on_train_batch_end(41)
    assert line.line(80) == "step 42"


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0:00"), (65, "1:05"), (7205, "2:00:05")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.slow
def test_a_run_on_a_terminal_says_its_phases_in_lines_that_fit(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = os.openpty()
    said: list[bytes] = []

    def read() -> None:
        with contextlib.suppress(OSError):  # the other end is closed
            while some := os.read(ours, 1 << 16):
                said.append(some)

    reading = threading.Thread(target=read)
    reading.start()
    run: Any = small_demo()
    run.data.examples, run.data.eval_examples = 8_000, 2_000
    with open(theirs, "w", buffering=1) as terminal:
        monkeypatch.setattr("sys.stdout", terminal)
        monkeypatch.setenv("COLUMNS", "80")
        training.train_and_evaluate(run, str(tmp_path))
        monkeypatch.undo()
    reading.join()
    os.close(ours)
    text = b"".join(said).decode().replace("\r\n", "\n")
    shown = [line for line in re.split(r"[\r\n]|\x1b\[K", text) if line]
    phases = [line.split()[0] for line in shown if re.match(r"[a-z]+ {2,}|exporting$", line)]
    assert phases[:6] == ["reading", "building", "compiling", "training", "measuring", "exporting"]
    steps = [line for line in shown if line.startswith("step ")]
    assert steps
    assert max(map(len, steps)) < 80
    assert "step 32 of 32  [==========] 100%" in steps[-1]
