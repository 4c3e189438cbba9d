"""Pings between heartbeats in threads, over real sockets."""

from __future__ import annotations

import contextlib
import hmac
import json
import socket
import threading
import time

import pytest

from smooth_recs.cluster import liveness
from smooth_recs.cluster.liveness import IDENTITY, Heartbeat, Pong, ping
from smooth_recs.cluster.local import free_ports
from smooth_recs.cluster.servers import Outcome, follow
from smooth_recs.cluster.task import SECRET, Task

SOON = 30  # seconds


@pytest.fixture
def cluster():
    """Three tasks, the first of them the chief, and the heartbeats that tests start; closed in the end."""
    addresses = [f"127.0.0.1:{port}" for port in free_ports(3)]
    config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": 0}}
    task = Task.parse(json.dumps(config))
    started = []

    def start(member):
        started.append(Heartbeat(member.heartbeat_port))
        return started[-1]

    yield task.members, start
    for beat in started:
        beat.close()


class Background(threading.Thread):
    """A call that waits, in a thread of its own."""

    def __init__(self, function, *arguments):
        super().__init__(daemon=True)
        self._call = lambda: function(*arguments)
        self._results = []
        self.start()

    def run(self):
        self._results.append(self._call())

    def result(self):
        self.join(SOON)
        (only,) = self._results
        return only


def test_who_is_alive_answers(cluster):
    (first, second, _), start = cluster
    beat = start(first)
    assert ping(first) == Pong(IDENTITY, "")
    beat.state = "a-chief"
    assert ping(first) == Pong(IDENTITY, "a-chief")
    assert ping(second) is None
    beat.close()
    assert ping(first) is None


def test_a_taken_port_is_an_error(cluster):
    (first, *_), start = cluster
    start(first)
    with pytest.raises(OSError, match="in use"):
        start(first)


def test_one_who_accepts_and_says_nothing_does_not_answer(cluster, monkeypatch):
    """As the system accepts connections for a process that was stopped."""
    (first, *_), _ = cluster
    monkeypatch.setattr(liveness, "ANSWER_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", first.heartbeat_port)):
        assert ping(first) is None


def test_strangers_do_no_harm(cluster, capfd):
    (first, *_), start = cluster
    beat = start(first)
    beat.state = "a-chief"
    for said in (
        b"",
        b"\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\xff\xfe\n",
        b"done\n",
        b"done another-chief\n",
        b"x" * 9000,
        b"a ping\n",
    ):
        with socket.create_connection((first.host, first.heartbeat_port)) as stranger:
            stranger.sendall(said)
    with contextlib.suppress(OSError):
        socket.create_connection((first.host, first.heartbeat_port)).close()
    assert ping(first) == Pong(IDENTITY, "a-chief")
    assert not beat.dismissed.is_set()
    assert capfd.readouterr().err == ""


def signature(secret, *texts):
    """The protocol once more, by its description: an HMAC over lines."""
    return hmac.new(secret.encode(), "\n".join(texts).encode(), "sha256").hexdigest()


def asked(task, secret, request, signed=None):
    """What a process with this secret is answered."""
    with socket.create_connection((task.host, task.heartbeat_port)) as connection, connection.makefile() as stream:
        once = stream.readline().strip()
        connection.sendall(f"{signature(secret, once, signed or request)} {request}\n".encode())
        return once, stream.readline().rstrip("\n")


def test_only_who_knows_the_secret_is_answered(cluster, monkeypatch):
    (first, *_), start = cluster
    monkeypatch.setenv(SECRET, "ours")
    beat = start(first)
    beat.state = IDENTITY  # it serves this process
    once, answer = asked(first, "ours", "ping")
    assert answer == f"{signature('ours', once, 'ping', f'{IDENTITY} {IDENTITY}')} {IDENTITY} {IDENTITY}"
    assert asked(first, "ours", "ping")[0] != once
    for secret, request, signed in (
        ("theirs", "ping", None),
        ("", "ping", None),
        ("ours", f"done {liveness._DONE}", "ping"),  # the signature of other words
        ("theirs", f"done {liveness._DONE}", None),
    ):
        assert asked(first, secret, request, signed)[1] == "refused"
    assert not beat.dismissed.is_set()
    asked(first, "ours", f"done {IDENTITY}")  # what everybody is told ends nobody
    assert not beat.dismissed.is_set()
    asked(first, "ours", f"done {liveness._DONE}")
    assert beat.dismissed.wait(SOON)


@pytest.mark.parametrize("answer", ["refused", "0123 somebody else", "", "\N{EURO SIGN} x"])
def test_one_who_does_not_know_the_secret_does_not_answer(cluster, capsys, answer):
    (first, *_), _ = cluster

    def pretend(listening):
        connection, _ = listening.accept()
        with connection:
            connection.sendall(b"0123456789abcdef\n")
            connection.recv(1000)
            connection.sendall(f"{answer}\n".encode())

    with socket.create_server(("127.0.0.1", first.heartbeat_port)) as listening:
        pretending = Background(pretend, listening)
        assert ping(first) is None
        pretending.result()
    said = f"heartbeat: {first} has another {SECRET} than this process\n" if answer == "refused" else ""
    assert capsys.readouterr().err == said


def test_a_heartbeat_listens_at_the_host_that_is_named(capsys):
    def reached(host, port):
        with contextlib.suppress(OSError):
            socket.create_connection((host, port), 2).close()
            return True
        return False

    for host, there, elsewhere in (
        ("127.0.0.1", True, False),
        ("127.0.0.2", False, True),
        ("", True, True),
        ("192.0.2.1", True, True),  # of another machine, as the address of a service is
        ("no-such-host.invalid", True, True),
    ):
        (port,) = free_ports(1)
        with contextlib.closing(Heartbeat(port, host)):
            assert (reached("127.0.0.1", port), reached("127.0.0.2", port)) == (there, elsewhere), host
    assert capsys.readouterr().err.splitlines() == [
        f"heartbeat: {host} names no address of this machine that others reach: listening at all addresses"
        for host in ("192.0.2.1", "no-such-host.invalid")
    ]


def test_many_at_once_take_few_threads(cluster):
    (first, *_), start = cluster
    start(first)
    before = threading.active_count()
    with contextlib.ExitStack() as stack:
        for _ in range(200):  # who say nothing
            stack.enter_context(socket.create_connection((first.host, first.heartbeat_port)))
        time.sleep(0.5)
        assert threading.active_count() - before <= liveness._MOST_ANSWERS_AT_ONCE
    deadline = time.monotonic() + SOON
    while ping(first) is None:  # they have gone
        assert time.monotonic() < deadline


def test_peers_remember_who_answered_when(cluster):
    (first, second, third), start = cluster
    beat = start(second)
    seen = liveness.Peers(first)
    assert seen.ping() == {second: Pong(IDENTITY, "")}
    assert seen.silent(1000) == ()
    assert seen.silent(0) == (second, third)
    time.sleep(2)
    seen.ping()
    assert seen.silent(2) == (third,)
    assert seen.since(third) == "has not answered yet"
    at = time.time()
    beat.close()
    seen.ping()
    minutes = {time.strftime("%H:%M:", time.localtime(at + late)) for late in (-30, 0, 30)}
    assert any(seen.since(second).startswith(f"has not answered since {minute}") for minute in minutes)


def meeting_places(members, start):
    """A heartbeat for each, of its own although all are in this process."""
    return {member.heartbeat_port: start(member) for member in members}


def test_a_meeting_ends_once_all_have_come(cluster, monkeypatch):
    members, start = cluster
    beats = meeting_places(members, start)
    monkeypatch.setattr(liveness, "_started", lambda port, _: beats[port])
    early = [Background(liveness.meet, member, 0.05) for member in members[:2]]
    while [beat.state for beat in beats.values()] != ["meeting", "meeting", ""]:
        time.sleep(0.01)
    time.sleep(0.3)
    assert [beat.state for beat in beats.values()] == ["meeting", "meeting", ""]
    liveness.meet(members[2], 0.05)
    assert [call.result() for call in early] == [None, None]
    assert {beat.state for beat in beats.values()} == {""}


def test_who_was_asked_need_not_ask(cluster, monkeypatch):
    """The one who asked may have gone on already, into code in which its threads do not answer."""
    (first, second, third), start = cluster
    beats = meeting_places((first, second, third), start)
    monkeypatch.setattr(liveness, "_started", lambda port, _: beats[port])
    waiting = Background(liveness.meet, first, 0.05)
    while beats[first.heartbeat_port].state != "meeting":
        time.sleep(0.01)
    assert ping(first, f"meet {second}") == Pong(IDENTITY, "meeting")
    beats[second.heartbeat_port].close()
    assert beats[first.heartbeat_port].state == "meeting"
    assert ping(first, f"meet {third}") == Pong(IDENTITY, "meeting")
    assert waiting.result() is None


def test_a_process_that_trains_already_does_not_count(cluster, monkeypatch):
    members, start = cluster
    beats = meeting_places(members, start)
    monkeypatch.setattr(liveness, "_started", lambda port, _: beats[port])
    assert ping(members[0], f"meet {members[1]}") == Pong(IDENTITY, "")
    assert beats[members[0].heartbeat_port].met == set()


def test_the_chief_waits_until_all_serve_it(cluster, monkeypatch):
    members, start = cluster
    beats = meeting_places(members, start)
    monkeypatch.setattr(liveness, "_started", lambda port, _: beats[port])
    beats[members[1].heartbeat_port].state = IDENTITY
    beats[members[2].heartbeat_port].state = "the chief before"
    waiting = Background(liveness.wait_until_served, members[0], 0.05)
    time.sleep(0.3)
    assert waiting.is_alive()
    beats[members[2].heartbeat_port].state = IDENTITY
    assert waiting.result() is None


def test_following_a_chief_to_its_end(cluster):
    (chief, server, _), start = cluster
    beat, calls = start(server), []
    following = Background(
        lambda: follow(server, beat, lambda: calls.append(beat.state), limit_seconds=SOON, ping_seconds=0.05)
    )
    time.sleep(0.2)
    assert (calls, beat.state) == ([], "")  # nothing is started for a chief that is not there
    start(chief)
    while beat.state != IDENTITY:
        time.sleep(0.01)
    liveness.dismiss(chief)
    assert following.result() is Outcome.DISMISSED
    assert calls == [""]  # once, and before it is said


def test_another_chief_is_noticed(cluster):
    (chief, server, _), start = cluster
    beat = start(server)
    beat.state = "the chief before"
    start(chief)
    assert follow(server, beat, pytest.fail, limit_seconds=SOON, ping_seconds=0.01) is Outcome.REPLACED


def test_a_chief_may_be_away_for_so_long(cluster):
    (chief, server, _), start = cluster
    began = time.monotonic()
    with pytest.raises(TimeoutError, match=rf"^worker 0 \({chief.address}\) has not answered for 0\.5 s"):
        follow(server, start(server), pytest.fail, limit_seconds=0.5, ping_seconds=0.05)
    assert time.monotonic() - began >= 0.5


def test_all_stop_after_the_same_step_if_one_of_them_says_so(cluster):
    (first, *others), start = cluster
    beats = [start(other) for other in others]
    for beat, other in zip(beats, others, strict=True):
        beat.peers = other.peers
    assert liveness.told_to_stop(first) is None
    ping(others[0], f"stop {'0' * 32} 5")  # a stranger, who does not know what an identity is made of
    ping(others[0], f"stop {IDENTITY} 5")
    ping(others[0], "stop 5")
    assert beats[0].state == ""
    assert liveness.stop_all(first, 12)
    assert [beat.state for beat in beats] == ["stopping after step 12"] * 2
    assert liveness.told_to_stop(first) == 12
    assert not liveness.stop_all(first, 14, 0.2)  # the others have another step in mind


def test_one_that_does_not_answer_cannot_be_told_to_stop(cluster):
    (first, second, _), start = cluster
    start(second).peers = second.peers
    assert not liveness.stop_all(first, 12, 0.2)
