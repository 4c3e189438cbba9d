"""Signals that end a loop between two steps, and the process where the loop does not end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from smooth_recs._processes import child_environment
from smooth_recs.errors import Interrupted
from smooth_recs.interruption import Interruption


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_noted_and_ends_the_loop_where_it_asks(number: int) -> None:
    before = signal.getsignal(number)
    done = []

    def loop() -> None:
        with Interruption() as interruption:
            for step in range(3):
                if step == 1:
                    os.kill(os.getpid(), number)
                done.append(step)
                interruption.end()

    with pytest.raises(Interrupted) as error:
        loop()
    assert (done, error.value.number) == ([0, 1], number)
    assert isinstance(error.value, KeyboardInterrupt)  # what takes Ctrl-C takes it too
    assert signal.getsignal(number) is before


def test_without_a_signal_nothing_happens() -> None:
    with Interruption() as interruption:
        interruption.end()
    threads: list[bool] = []

    def elsewhere() -> None:
        with Interruption() as interruption:  # signals are the main thread's: it must not fail
            threads.append(interruption.number is None)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert threads == [True]


@pytest.mark.parametrize(("again", "why"), [(False, "no step has ended for 0.3 s"), (True, "once more")])
def test_a_loop_that_does_not_ask_is_ended(again: bool, why: str) -> None:
    # A sleep goes on after a signal, as native code does.
    code = "import time; from smooth_recs.interruption import Interruption\n"
    code += f"with Interruption({30 if again else 0.3}): print('there', flush=True); time.sleep(60)"
    command = [sys.executable, "-X", "warm", "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=child_environment()) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        if again:
            time.sleep(0.3)  # two at once are one signal
            process.send_signal(signal.SIGTERM)
        said = process.stderr.read().decode()
    assert process.returncode == 128 + signal.SIGTERM
    assert time.monotonic() - began < 10
    resumes = "the same command resumes the run from its newest checkpoint"
    assert said == f"interrupted by SIGTERM, {why}: {resumes}\n"
