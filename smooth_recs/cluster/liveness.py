"""Whether the other processes of the cluster are alive: each answers at a port of its own, two above TensorFlow's.

A thread answers. A process that was stopped (SIGSTOP) or whose machine has gone does not: TensorFlow itself waits for
such a one without a word.
"""

from __future__ import annotations

import concurrent.futures
import functools
import socket
import socketserver
import threading
import time
import uuid
from typing import NamedTuple

from smooth_recs.cluster.task import Task

ANSWER_SECONDS = 2.0
IDENTITY = uuid.uuid4().hex  # a process that was started again is another one
MEETING = "meeting"
_PINGS_AT_ONCE = 32


class Pong(NamedTuple):
    """What a process says of itself.

    Attributes:
      identity: of the process.
      state: `MEETING` where it waits for the others; the identity of the chief that it serves; or nothing.
    """

    identity: str
    state: str


class Heartbeat:
    """Answers pings at `port` from a thread of its own, as long as the process lives.

    Attributes:
      state: see `Pong`.
      met: names of the processes that have asked while this one was meeting.
      dismissed: set once the chief that this process serves has said that it is done.

    Raises:
      OSError: the port is taken.
    """

    def __init__(self, port: int) -> None:
        self.state = ""
        self.met: set[str] = set()
        self.dismissed = threading.Event()
        self._server = _Server(self, port)
        threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True, name="heartbeat").start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def heard(self, request: str, state: str) -> None:
        """Takes note of a request that was answered with `state`."""
        verb, _, sender = request.partition(" ")
        if verb == "meet" and state == MEETING:
            self.met.add(sender)
        if verb == "done" and state and sender == state:
            self.dismissed.set()


@functools.cache
def _started(port: int) -> Heartbeat:
    return Heartbeat(port)


def start(task: Task) -> Heartbeat:
    """The heartbeat of this process, `task`; there is one, whoever asks for it."""
    return _started(task.heartbeat_port)


def ping(task: Task, request: str = "ping") -> Pong | None:
    """What `task` answers within two seconds; None: it does not."""
    try:
        with socket.create_connection((task.host, task.heartbeat_port), ANSWER_SECONDS) as connection:
            connection.settimeout(ANSWER_SECONDS)
            connection.sendall(f"{request}\n".encode())
            with connection.makefile("r", encoding="utf-8") as stream:
                identity, _, state = stream.readline().rstrip("\n").partition(" ")
    except (OSError, UnicodeError):  # nobody there, no such host, no answer in time, or not a heartbeat that answers
        return None
    return Pong(identity, state) if identity else None


def dismiss(task: Task) -> None:
    """Tells every process that serves this one that the run is done: they end, with status 0."""
    for peer in task.peers:
        ping(peer, f"done {IDENTITY}")


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, heartbeat: Heartbeat, port: int) -> None:
        self.heartbeat = heartbeat
        both = socket.has_dualstack_ipv6()
        self.address_family = socket.AF_INET6 if both else socket.AF_INET
        super().__init__(("", port), _Handler, bind_and_activate=False)
        try:
            if both:
                self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            self.server_bind()
            self.server_activate()
        except OSError:
            self.server_close()
            raise

    def handle_error(self, request: object, client_address: object) -> None:
        """One who hangs up early is no matter for this process."""


class _Handler(socketserver.StreamRequestHandler):
    timeout = 5.0
    server: _Server

    def handle(self) -> None:
        request = self.rfile.readline(1000).decode("utf-8", "replace").strip()
        if request:
            state = self.server.heartbeat.state
            self.wfile.write(f"{IDENTITY} {state}\n".encode())
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
        with concurrent.futures.ThreadPoolExecutor(_PINGS_AT_ONCE) as pool:
            pongs = pool.map(lambda task: ping(task, request), self.tasks)
            answers = {task: pong for task, pong in zip(self.tasks, pongs, strict=True) if pong is not None}
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
