"""Whether another process of the cluster is alive: each answers at a port of its own, two above TensorFlow's.

A thread answers. A process that was stopped (SIGSTOP) or whose machine has gone does not: TensorFlow itself waits for
such a one without a word.
"""

from __future__ import annotations

import functools
import socket
import socketserver
import threading
import uuid
from typing import NamedTuple

from smooth_recs.cluster.task import Task

ANSWER_SECONDS = 2.0
IDENTITY = uuid.uuid4().hex  # a process that was started again is another one
MEETING = "meeting"


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
