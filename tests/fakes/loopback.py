"""The HTTP/1.1 server under every fake: threaded, keep-alive, records what arrived, stops at once.

It is made for control rather than for correctness: a handler writes bytes to the socket as it likes, so that
a test can send what no proper server would.
"""

import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Received:
    """One request as it arrived. `headers` look-ups ignore case; `target` is the raw path with its query."""

    method: str
    target: str
    headers: Message
    body: bytes = field(repr=False)

    @property
    def path(self) -> str:
        """The path without the query."""
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, list[str]]:
        """Query parameters, decoded; a parameter sent twice has two values."""
        return parse_qs(urlsplit(self.target).query, keep_blank_values=True)

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    def header(self, name: str) -> str:
        """A header's value, or the empty string."""
        return str(self.headers.get(name, ""))


class Exchange:
    """One request being answered: its `request`, and the ways to answer."""

    def __init__(self, request: Received, handler: "_Handler") -> None:
        self.request = request
        self._handler = handler
        self._server = handler.owner

    def send(self, data: bytes) -> None:
        """Raw bytes to the client."""
        self._handler.wfile.write(data)

    def head(self, status: int, headers: Mapping[str, str]) -> bytes:
        """A status line and headers as bytes."""
        try:
            reason = self._handler.responses[status][0]
        except KeyError:
            reason = "Unknown"
        lines = [f"HTTP/1.1 {status} {reason}", *(f"{name}: {value}" for name, value in headers.items())]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def answer(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        """A whole, correct answer."""
        sent = {"Content-Length": str(len(body)), **(headers or {})}
        if status in (204, 304) or self.request.method == "HEAD":
            body = b""
            if status == 204:
                sent.pop("Content-Length")
        self.send(self.head(status, sent) + body)

    def answer_json(self, status: int, value: object, headers: Mapping[str, str] | None = None) -> None:
        """A whole, correct JSON answer."""
        body = json.dumps(value).encode()
        self.answer(status, body, {"Content-Type": "application/json", **(headers or {})})

    def close(self) -> None:
        """End the connection after this answer."""
        self._handler.close_connection = True

    def reset(self) -> None:
        """Drop the connection with a TCP reset: the client sees ECONNRESET, not an orderly end."""
        linger = (1).to_bytes(4, "little") + (0).to_bytes(4, "little")
        self._handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.close()

    def pause(self, seconds: float) -> bool:
        """Sleep; ends early, with True, when the server is stopped."""
        return self._server.stopping.wait(seconds)

    def hang(self) -> None:
        """Answer nothing until the client gives up or the server is stopped."""
        connection = self._handler.connection
        connection.settimeout(0.1)
        while not self._server.stopping.is_set():
            try:
                if connection.recv(1) == b"":
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        self.close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # TCP_NODELAY: without it each answer of a keep-alive connection can wait 40 ms for an ACK.
    disable_nagle_algorithm = True
    owner: "LoopbackServer"

    def handle(self) -> None:
        # A client that goes away, or a fault that this very server made, is no news.
        with contextlib.suppress(ConnectionError, TimeoutError, ssl.SSLError, ValueError):
            super().handle()

    def finish(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            super().finish()

    def handle_one_request(self) -> None:
        self.raw_requestline = self.rfile.readline(65537)
        if not self.raw_requestline:
            self.close_connection = True
            return
        if not self.parse_request():
            return
        body = self._body()
        request = Received(self.command, self.path, self.headers, body)
        self.owner.record(request)
        self.owner.handle(Exchange(request, self))

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def log_message(self, *args: object) -> None:
        """Nothing: the log of a test belongs to the program under test."""


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    # One slow accept loop must not turn into refused connections.
    request_queue_size = 128

    def __init__(self, owner: "LoopbackServer", context: ssl.SSLContext | None) -> None:
        self.owner = owner
        self.context = context
        self.connections: set[socket.socket] = set()
        self.threads: set[threading.Thread] = set()
        self.lock = threading.Lock()
        handler = type("Handler", (_Handler,), {"owner": owner})
        super().__init__(("127.0.0.1", owner.wanted_port), handler)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        connection: socket.socket = request
        thread = threading.current_thread()
        with self.lock:
            self.threads.add(thread)
        try:
            if self.context is not None:
                # Here and not in accept(): a client that never finishes its handshake blocks only itself.
                connection.settimeout(10)
                try:
                    connection = self.context.wrap_socket(connection, server_side=True)
                except OSError:
                    self.owner.failed_handshakes += 1
                    return
                connection.settimeout(None)
            with self.lock:
                self.connections.add(connection)
            self.finish_request(connection, client_address)
        except OSError:
            pass
        finally:
            with self.lock:
                self.connections.discard(connection)
                self.threads.discard(thread)
            self.owner.connection_ended()
            connection.close()

    def close_all(self) -> None:
        """End every connection and wait for the threads that served them."""
        with self.lock:
            connections, threads = list(self.connections), list(self.threads)
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(5)


class LoopbackServer:
    """A server on 127.0.0.1: `.url`, `.requests` (what arrived, in order), `.failed_handshakes`.

    A subclass answers in `handle(exchange)`, which is called from many threads at once.
    """

    def __init__(self, *, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self.wanted_port = port
        self.tls = tls
        self.port = 0
        self.url = ""
        self.requests: list[Received] = []
        self.failed_handshakes = 0
        self.stopping = threading.Event()
        self._listener: _Listener | None = None
        self._thread: threading.Thread | None = None

    def handle(self, exchange: Exchange) -> None:
        """Answer one request."""
        raise NotImplementedError

    def connection_ended(self) -> None:
        """Called in a connection's own thread when it is over."""

    def record(self, request: Received) -> None:
        """Keep a request for the test to look at."""
        self.requests.append(request)

    def start(self) -> Self:
        """Bind and serve in a thread."""
        self.stopping.clear()
        self._listener = _Listener(self, self.tls)
        self.port = self._listener.server_address[1]
        self.url = f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"
        self._thread = threading.Thread(
            target=self._listener.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop serving, end every connection; safe to call twice."""
        listener, self._listener = self._listener, None
        if listener is None:
            return
        self.stopping.set()
        listener.shutdown()
        listener.server_close()
        listener.close_all()
        if self._thread is not None:
            self._thread.join(5)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
