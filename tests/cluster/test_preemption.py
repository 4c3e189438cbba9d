"""Processes that train in step and of which one gets a signal: when each saves and ends."""

from __future__ import annotations

import json
import signal

import pytest

from smooth_recs.cluster import liveness, preemption
from smooth_recs.cluster.preemption import Preemption
from smooth_recs.cluster.task import Task
from smooth_recs.errors import Interrupted
from smooth_recs.interruption import Interruption


def task(index: int) -> Task:
    config = {"cluster": {"worker": ["a:2222", "b:2222"]}, "task": {"type": "worker", "index": index}}
    made = Task.parse(json.dumps(config))
    assert made is not None
    return made


class Room:
    """What the other processes say and hear."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.told: int | None = None
        self.heard: list[int] = []
        self.answers, self.chief_pings = True, 0
        monkeypatch.setattr(liveness, "told_to_stop", lambda _: self.told)
        monkeypatch.setattr(liveness, "stop_all", self._stop)
        monkeypatch.setattr(liveness, "ping", self._ping)
        monkeypatch.setattr(preemption, "_POLL_SECONDS", 0.0)

    def _stop(self, _: Task, step: int) -> bool:
        self.heard.append(step)
        return self.answers

    def _ping(self, _: Task) -> bool:
        self.chief_pings += 1
        return self.chief_pings < 3


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> Room:
    return Room(monkeypatch)


def test_who_gets_the_signal_tells_the_others_and_ends_with_them(room: Room) -> None:
    interruption = Interruption()
    both = Preemption(interruption, task(0))
    assert not both.is_due(10)
    both.end()  # nothing has come: nothing happens
    interruption.number = signal.SIGINT
    assert [both.is_due(done) for done in (11, 12, 13)] == [False, False, True]
    assert room.heard == [13]
    with pytest.raises(Interrupted, match="interrupted by SIGINT"):
        both.end()
    assert room.chief_pings == 0


def test_who_is_told_ends_after_the_chief_has(room: Room) -> None:
    other = Preemption(Interruption(), task(1))
    assert not other.is_due(11)
    room.told = 13
    assert [other.is_due(done) for done in (12, 13)] == [False, True]
    assert room.heard == []
    with pytest.raises(Interrupted, match="interrupted by SIGTERM"):
        other.end()
    assert room.chief_pings == 3


def test_at_the_end_of_an_epoch_who_was_told_for_later_ends_too(room: Room) -> None:
    other = Preemption(Interruption(), task(0))
    room.told = 13
    with pytest.raises(Interrupted):
        other.end()


def test_where_not_all_answer_it_ends_at_once(room: Room) -> None:
    interruption = Interruption()
    room.answers, interruption.number = False, signal.SIGTERM
    with pytest.raises(Interrupted):
        Preemption(interruption, task(0)).is_due(10)
