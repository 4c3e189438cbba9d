"""Whether the other processes of the cluster are alive: each answers at a port of its own, two above TensorFlow's.

A thread answers. A process that was stopped (SIGSTOP) or whose machine has gone does not: TensorFlow itself waits for
such a one without a word.

Whoever is asked sends a number that it has never sent before; question and answer are then signed with it and the
cluster's secret (HMAC-SHA256), which never travels itself. A stranger without the secret is not answered, and what it
has overheard is of no use. TensorFlow's own ports know no secret: a cluster belongs into a network that is trusted.
"""

from __future__ import annotations

import concurrent.futures
import errno
import functools
import hashlib
import hmac
import ipaddress
import os
import secrets
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from smooth_recs.cluster.task import SECRET, Task

ANSWER_SECONDS = 2.0
_DONE = secrets.token_hex(16)  # known to this process alone, until it says that it is done


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()[:32]


IDENTITY = _digest(_DONE)  # a process that was started again is another one
MEETING = "meeting"
_STOPPING = "stopping after step "
_STOP_SECONDS = 3.0
_PINGS_AT_ONCE = 32
_MOST_ANSWERS_AT_ONCE = 64  # a thread each
_REFUSED = "refused"


class Pong(NamedTuple):
    """What a process says of itself.

    Attributes:
      identity: of the process.
      state: `MEETING` where it waits for the others; the identity of the chief that it serves; after which step it
        stops; or nothing.
    """

    identity: str
    state: str


class Heartbeat:
    """Answers pings at `port` from a thread of its own, as long as the process lives.

    Args:
      port: where it listens.
      host: the address of this machine at which it listens, by name or number; empty: all of them. Where a name leads
        to no address of this machine, or to loopback alone, it is all of them, and a line says so.

    Attributes:
      peers: the other processes of its cluster.
      state: see `Pong`.
      met: names of the processes that have asked while this one was meeting.
      dismissed: set once the chief that this process serves has said that it is done.

    Raises:
      OSError: the port is taken.
    """

    def __init__(self, port: int, host: str = "") -> None:
        self.peers: tuple[Task, ...] = ()
        self.state = ""
        self.met: set[str] = set()
        self.dismissed = threading.Event()
        self._server = _listening(self, port, host)
        threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True, name="heartbeat").start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def heard(self, request: str, state: str) -> None:
        """Takes note of a request that was answered with `state`."""
        verb, _, sender = request.partition(" ")
        if verb == "meet" and state == MEETING:
            self.met.add(sender)
        if verb == "done" and state and _digest(sender) == state:
            self.dismissed.set()
        if verb == "stop" and not state:
            token, _, step = sender.partition(" ")
            # Only a process of this cluster knows what its identity, which it says at its own address, is made of.
            if step.isdecimal() and _digest(token) in {pong.identity for pong in _pongs(self.peers, "ping").values()}:
                self.state = f"{_STOPPING}{step}"


@functools.cache
def _started(port: int, host: str) -> Heartbeat:
    return Heartbeat(port, host)


def start(task: Task) -> Heartbeat:
    """The heartbeat of this process, `task`; there is one, whoever asks for it."""
    beat = _started(task.heartbeat_port, task.host)
    beat.peers = task.peers
    return beat


def ping(task: Task, request: str = "ping") -> Pong | None:
    """What `task` answers within two seconds; None: it does not, or has another secret, which one line says."""
    try:
        with socket.create_connection((task.host, task.heartbeat_port), ANSWER_SECONDS) as connection:
            connection.settimeout(ANSWER_SECONDS)
            with connection.makefile("r", encoding="utf-8") as stream:
                once = stream.readline(100).strip()
                connection.sendall(f"{_signature(once, request)} {request}\n".encode())
                signature, _, answer = stream.readline(1000).rstrip("\n").partition(" ")
    except (OSError, UnicodeError):  # nobody there, no such host, no answer in time, or not a heartbeat that answers
        return None
    if not hmac.compare_digest(signature.encode(), _signature(once, request, answer).encode()):
        if signature == _REFUSED:
            _say_once(f"{task} has another {SECRET} than this process")
        return None
    identity, _, state = answer.partition(" ")
    return Pong(identity, state)


def _signature(*texts: str) -> str:
    """What only who knows the cluster's secret can make of these texts."""
    return hmac.new(os.environ.get(SECRET, "").encode(), "\n".join(texts).encode(), hashlib.sha256).hexdigest()


@functools.cache
def _say_once(line: str) -> None:
    print(f"heartbeat: {line}", file=sys.stderr, flush=True)


def dismiss(task: Task) -> None:
    """Tells every process that serves this one that the run is done: they end, with status 0."""
    for peer in task.peers:
        ping(peer, f"done {_DONE}")


def stop_all(task: Task, step: int, seconds: float = _STOP_SECONDS) -> bool:
    """Tells every process that trains in step with this one to stop after `step`; whether all have taken note."""
    start(task).state = stopping = f"{_STOPPING}{step}"
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        pongs = _pongs(task.peers, f"stop {_DONE} {step}")  # who has taken note takes no other
        if len(pongs) == len(task.peers) and all(pong.state == stopping for pong in pongs.values()):
            return True
        time.sleep(_STOP_SECONDS / 100)
    return False


def told_to_stop(task: Task) -> int | None:
    """The step after which this process is to stop; None: nobody has said so."""
    state = start(task).state
    return int(state.removeprefix(_STOPPING)) if state.startswith(_STOPPING) else None


def _pongs(tasks: Sequence[Task], request: str) -> dict[Task, Pong]:
    """Asks all at once; the answers of those that answer."""
    with concurrent.futures.ThreadPoolExecutor(_PINGS_AT_ONCE) as pool:
        pongs = pool.map(lambda task: ping(task, request), tasks)
        return {task: pong for task, pong in zip(tasks, pongs, strict=True) if pong is not None}


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, heartbeat: Heartbeat, family: socket.AddressFamily, address: Any) -> None:
        self.heartbeat = heartbeat
        self.address_family = family
        self._free = threading.Semaphore(_MOST_ANSWERS_AT_ONCE)
        super().__init__(address, _Handler, bind_and_activate=False)
        try:
            if family == socket.AF_INET6:  # `::`, all addresses, is those of IPv4 too
                self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            self.server_bind()
            self.server_activate()
        except OSError:
            self.server_close()
            raise

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answers in a thread, as long as there are not too many: the others ask again."""
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: object, client_address: object) -> None:
        """One who hangs up early is no matter for this process."""


def _listening(heartbeat: Heartbeat, port: int, host: str) -> _Server:
    """The server at the first address of `host` that this machine has, or at all of its addresses (see `Heartbeat`)."""
    numeric = host == "localhost" or _is_address(host)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM) if host else []
    except OSError:
        found = []
    for family, _, _, _, address in found:
        # Systems such as Debian give a machine's own name an address of loopback, where no other machine can ask.
        if numeric or not ipaddress.ip_address(str(address[0]).partition("%")[0]).is_loopback:
            try:
                return _Server(heartbeat, family, address)
            except OSError as error:
                if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    raise
    if host:
        _say_once(f"{host} names no address of this machine that others reach: listening at all addresses")
    family = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET
    return _Server(heartbeat, family, ("", port))


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


class _Handler(socketserver.StreamRequestHandler):
    timeout = 5.0
    server: _Server

    def handle(self) -> None:
        once = secrets.token_hex(16)
        self.wfile.write(f"{once}\n".encode())
        signature, _, request = self.rfile.readline(1000).decode("utf-8", "replace").strip().partition(" ")
        if not hmac.compare_digest(signature.encode(), _signature(once, request).encode()):
            self.wfile.write(f"{_REFUSED}\n".encode())
            return
        state = self.server.heartbeat.state
        answer = f"{IDENTITY} {state}"
        self.wfile.write(f"{_signature(once, request, answer)} {answer}\n".encode())
        # After the answer: what is heard may let this process go on, into code that keeps its threads from running.
        self.server.heartbeat.heard(request, state)


class Peers:
    """Pings every other process of the cluster and remembers when each answered last.

    Args:
      task: this process.
    """

    def __init__(self, task: Task) -> None:
        self.tasks = task.peers
        self._began = time.monotonic()
        self._answered: dict[Task, float] = {}

    def ping(self, request: str = "ping") -> dict[Task, Pong]:
        """Asks all at once; the answers of those that answer."""
        answers = _pongs(self.tasks, request)
        self._answered |= dict.fromkeys(answers, time.monotonic())
        return answers

    def silent(self, seconds: float) -> tuple[Task, ...]:
        """Those that have not answered for `seconds`, or not at all since this began that long ago."""
        now = time.monotonic()
        return tuple(task for task in self.tasks if now - self._answered.get(task, self._began) >= seconds)

    def since(self, task: Task) -> str:
        """Since when a silent one is silent, in words."""
        if task not in self._answered:
            return "has not answered yet"
        ago = time.monotonic() - self._answered[task]
        return f"has not answered since {time.strftime('%H:%M:%S', time.localtime(time.time() - ago))}"


# TensorFlow waits for the other processes too, but holds Python's lock meanwhile: no thread of this process could say
# who is missing, nor answer the others. Hence the two functions below. A running `Watchdog` limits the time they take.


def meet(task: Task, seconds: float = 0.5) -> None:
    """Returns once this process and every other one, all of which call `meet`, know of each other.

    Of each two that know of each other, one has asked and the other has answered. A process that does not meet (any
    more), such as one that is about to end, does not count.

    Args:
      task: this process.
      seconds: between two rounds of questions.
    """
    beat = start(task)
    beat.met.clear()
    beat.state = MEETING
    missing = {str(peer) for peer in task.peers}
    asking = Peers(task)
    while missing := missing - beat.met:
        missing -= {str(peer) for peer, pong in asking.ping(f"meet {task}").items() if pong.state == MEETING}
        if missing:
            time.sleep(seconds)
    beat.state = ""


def wait_until_served(task: Task, seconds: float = 0.5) -> None:
    """Returns once every other process says that it serves this one, the chief."""
    start(task)
    asking = Peers(task)
    while [pong.state for pong in asking.ping().values()] != [IDENTITY] * len(task.peers):
        time.sleep(seconds)
