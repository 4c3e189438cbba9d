"""What a process says while it works: lines, and a clock on a terminal."""

from __future__ import annotations

import io
import time

from smooth_recs._status import SILENCE, Status


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_phase_is_a_line_wherever_it_goes() -> None:
    file, terminal = io.StringIO(), Terminal()
    for stream in (file, terminal):
        status = Status(stream)
        status.begin("reading", "log.csv")
        status.begin("exporting")
    assert file.getvalue() == "reading      log.csv\nexporting\n"
    assert terminal.getvalue() == "\r\x1b[Kreading      log.csv\n\r\x1b[Kexporting\n"


def test_the_clock_comes_after_silence_alone() -> None:
    now, terminal = [100.0], Terminal()
    status = Status(terminal, now=lambda: now[0])
    status.tick()
    assert terminal.getvalue() == ""  # no phase has begun
    status.begin("reading")
    now[0] += SILENCE / 2
    status.is_shown()  # a bar
    now[0] += SILENCE - 0.1
    status.tick()
    assert terminal.getvalue() == "\r\x1b[Kreading\n"
    now[0] += 0.1
    status.tick()
    status.tick()  # what it has just shown is not silence
    assert terminal.getvalue() == "\r\x1b[Kreading\n\r\x1b[K             reading for 3 s\r"


def test_the_clock_runs_on_terminals_alone_and_clears_its_line() -> None:
    file, terminal, now = io.StringIO(), Terminal(), [0.0]
    for stream in (file, terminal):
        status = Status(stream, now=lambda: now[0])
        with status.clock():
            status.begin("building")
            now[0] += SILENCE
            while stream is terminal and " for " not in terminal.getvalue():
                time.sleep(0.05)
    assert file.getvalue() == "building\n"
    assert terminal.getvalue() == "\r\x1b[Kbuilding\n\r\x1b[K             building for 2 s\r\r\x1b[K"
