"""Servers that go wrong on purpose.

`Misbehaving` answers each path from a script; `Proxy` stands before a real server and adds latency or faults.

    with Misbehaving() as server:
        server.on("/v1/auth/jwt/login", drop(), drop(), reply(json={"auth": {...}}))
        # first two requests: connection reset; third and later: the answer

    with Proxy(openbao.url, latency=0.05) as proxy:          # each call takes 50 ms more
        proxy.fail("/v1/auth/*/login", status(503))          # the next login gets a 503, then all is well
        ...
        assert proxy.counts["/v1/secret/data/ci"] == 1

What it can't show: packet loss, half-open TCP connections, DNS trouble, HTTP/2, and how a real load balancer
words its errors.
"""

import json as json_module
import re
import ssl
import threading
import zlib
from collections import Counter
from collections.abc import Callable, Mapping
from fnmatch import translate
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from urllib.parse import urlsplit

from tests.fakes.loopback import Exchange, LoopbackServer, Received

Behaviour = Callable[[Exchange], None]

JSON_TYPE = "application/json"
# Never forwarded: they are about one connection (RFC 9110, section 7.6.1).
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "proxy-connection"}


# Behaviours: each is a function of its settings that returns what to do with one request.


def reply(
    status: int = 200,
    *,
    json: object = None,
    body: bytes | None = None,
    content_type: str = JSON_TYPE,
    headers: Mapping[str, str] | None = None,
) -> Behaviour:
    """A correct answer: `json` (an object unless given) or the bytes of `body`."""
    content = body if body is not None else json_module.dumps({} if json is None else json).encode()
    return lambda exchange: exchange.answer(status, content, {"Content-Type": content_type, **(headers or {})})


def status(code: int, *, errors: tuple[str, ...] = ()) -> Behaviour:
    """An error as OpenBao words it: `{"errors": [...]}`."""
    return reply(code, json={"errors": list(errors)})


def too_many(retry_after: str) -> Behaviour:
    """429 with `Retry-After`: seconds or an HTTP date (RFC 9110, section 10.2.3)."""
    return reply(429, json={"errors": ["request path rate limited"]}, headers={"Retry-After": retry_after})


def garbage_json() -> Behaviour:
    """200 and the right content type, but no JSON."""
    return reply(body=b'{"data": {"value": ')


def wrong_content_type() -> Behaviour:
    """200 with an HTML page, as a captive portal or a login page in front of the server sends."""
    page = b"<!doctype html><html><body>Please sign in</body></html>"
    return reply(body=page, content_type="text/html; charset=utf-8")


def redirect(location: str, code: int = 307) -> Behaviour:
    """Send the client elsewhere. 307 and 308 keep method and body (RFC 9110, section 15.4)."""
    return reply(code, body=b"", headers={"Location": location})


def slow_headers(seconds_per_byte: float = 1.0) -> Behaviour:
    """The answer drips: a read timeout per recv() never fires, only a total deadline does."""

    def behave(exchange: Exchange) -> None:
        head = exchange.head(200, {"Content-Type": JSON_TYPE, "Content-Length": "2"}) + b"{}"
        _drip(exchange, head, seconds_per_byte)

    return behave


def slow_body(json: object = None, *, seconds_per_byte: float = 1.0, padding: int = 4096, code: int = 200) -> Behaviour:
    """Headers at once, then the body (padded with spaces) a byte at a time."""

    def behave(exchange: Exchange) -> None:
        body = json_module.dumps({} if json is None else json).encode() + b" " * padding
        exchange.send(exchange.head(code, {"Content-Type": JSON_TYPE, "Content-Length": str(len(body))}))
        _drip(exchange, body, seconds_per_byte)

    return behave


def _drip(exchange: Exchange, data: bytes, seconds_per_byte: float) -> None:
    for byte in data:
        exchange.send(bytes([byte]))
        if exchange.pause(seconds_per_byte):
            break
    exchange.close()


def cut_off(json: object = None, *, chunked: bool = False) -> Behaviour:
    """Promise a whole body, send half of it, close."""

    def behave(exchange: Exchange) -> None:
        body = json_module.dumps({"data": {"filler": "x" * 200}} if json is None else json).encode()
        half = body[: len(body) // 2]
        if chunked:
            exchange.send(exchange.head(200, {"Content-Type": JSON_TYPE, "Transfer-Encoding": "chunked"}))
            exchange.send(b"%x\r\n" % len(body) + half)
        else:
            exchange.send(exchange.head(200, {"Content-Type": JSON_TYPE, "Content-Length": str(len(body))}))
            exchange.send(half)
        exchange.close()

    return behave


def huge(mebibytes: int = 64, *, chunked: bool = False, code: int = 200) -> Behaviour:
    """A body far larger than any secret: one JSON string, with its length given or in chunks."""

    def behave(exchange: Exchange) -> None:
        start, end = b'{"data": {"value": "', b'"}}'
        filler = b"x" * (1 << 20)
        parts = [start, *[filler] * mebibytes, end]
        head = {"Content-Type": JSON_TYPE}
        if chunked:
            exchange.send(exchange.head(code, {**head, "Transfer-Encoding": "chunked"}))
            for part in parts:
                exchange.send(b"%x\r\n" % len(part) + part + b"\r\n")
            exchange.send(b"0\r\n\r\n")
        else:
            length = sum(len(part) for part in parts)
            exchange.send(exchange.head(code, {**head, "Content-Length": str(length)}))
            for part in parts:
                exchange.send(part)

    return behave


def gzip_bomb(mebibytes: int = 256, *, code: int = 200) -> Behaviour:
    """A small compressed body that unpacks to a JSON string of that size."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    filler = b"x" * (1 << 20)
    parts = [packer.compress(b'{"data": {"value": "')]
    parts += [packer.compress(filler) for _ in range(mebibytes)]
    body = b"".join([*parts, packer.compress(b'"}}'), packer.flush()])
    return reply(code, body=body, headers={"Content-Encoding": "gzip"})


def cut_headers(code: int = 200) -> Behaviour:
    """Half of the head, then the end of the connection."""

    def behave(exchange: Exchange) -> None:
        head = exchange.head(code, {"Content-Type": JSON_TYPE, "Content-Length": "2000"})
        exchange.send(head[: len(head) // 2])
        exchange.close()

    return behave


def drop() -> Behaviour:
    """Take the request, then reset the connection."""
    return lambda exchange: exchange.reset()


def close_quietly() -> Behaviour:
    """Take the request, then close the connection in good order, with no answer."""
    return lambda exchange: exchange.close()


def hang() -> Behaviour:
    """Never answer."""
    return lambda exchange: exchange.hang()


def delayed(seconds: float, then: Behaviour) -> Behaviour:
    """Wait, then behave."""

    def behave(exchange: Exchange) -> None:
        exchange.pause(seconds)
        then(exchange)

    return behave


class _Script:
    """Behaviours per path pattern. Patterns are tried newest first; `*` matches any run of characters."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rules: list[tuple[str | None, re.Pattern[str], list[Behaviour], bool]] = []

    def add(self, method: str | None, pattern: str, behaviours: tuple[Behaviour, ...], *, repeat_last: bool) -> None:
        if not behaviours:
            raise ValueError(f"{pattern}: no behaviour given")
        compiled = re.compile(translate(pattern))
        with self._lock:
            self._rules.insert(0, (method, compiled, list(behaviours), repeat_last))

    def next(self, request: Received) -> Behaviour | None:
        with self._lock:
            for method, pattern, behaviours, repeat_last in self._rules:
                if not behaviours or not pattern.match(request.path):
                    continue
                if method is not None and method != request.method:
                    continue
                if repeat_last and len(behaviours) == 1:
                    return behaviours[0]
                return behaviours.pop(0)
        return None


class Misbehaving(LoopbackServer):
    """A scripted server. A path with no script answers 404 as OpenBao does."""

    def __init__(self, *, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(port=port, tls=tls)
        self._script = _Script()

    def on(self, path: str, *behaviours: Behaviour, method: str | None = None) -> None:
        """Answer requests to `path` (`*` matches anything) with these, one each; the last one stays."""
        self._script.add(method, path, behaviours, repeat_last=True)

    def to(self, path: str) -> list[Received]:
        """The requests that came to a path."""
        return [request for request in self.requests if request.path == path]

    def credentials_seen(self) -> set[str]:
        """Names of the credential-bearing headers, and `body`, that any request brought along."""
        names = ("X-Vault-Token", "Authorization", "Cookie", "X-Vault-Namespace")
        seen = {name for name in names for request in self.requests if request.header(name)}
        return seen | ({"body"} if any(request.body for request in self.requests) else set())

    def handle(self, exchange: Exchange) -> None:
        """See LoopbackServer."""
        behaviour = self._script.next(exchange.request) or status(404)
        behaviour(exchange)


class Proxy(LoopbackServer):
    """A reverse proxy that adds `latency` seconds per call and injected faults, and counts calls per path.

    `.counts["/v1/secret/data/ci"]` counts all calls to a path, `.forwarded` those that reached the upstream.
    """

    def __init__(
        self,
        upstream: str,
        *,
        latency: float = 0.0,
        port: int = 0,
        tls: ssl.SSLContext | None = None,
        ca_path: Path | None = None,
        record_requests: bool = True,
    ) -> None:
        super().__init__(port=port, tls=tls)
        self.upstream = upstream
        self.latency = latency
        self.ca_path = ca_path
        self.record_requests = record_requests
        self.counts: Counter[str] = Counter()
        self.forwarded: Counter[str] = Counter()
        self._script = _Script()
        self._count_lock = threading.Lock()
        self._local = threading.local()

    def fail(self, path: str, *behaviours: Behaviour, method: str | None = None) -> None:
        """The next matching requests get these behaviours, one each; later ones go through again."""
        self._script.add(method, path, behaviours, repeat_last=False)

    def always(self, path: str, behaviour: Behaviour, method: str | None = None) -> None:
        """Every matching request from now on."""
        self._script.add(method, path, (behaviour,), repeat_last=True)

    def record(self, request: Received) -> None:
        """See LoopbackServer."""
        with self._count_lock:
            self.counts[request.path] += 1
        if self.record_requests:
            super().record(request)

    def handle(self, exchange: Exchange) -> None:
        """See LoopbackServer."""
        if self.latency:
            exchange.pause(self.latency)
        behaviour = self._script.next(exchange.request)
        if behaviour is not None:
            behaviour(exchange)
        else:
            self._forward(exchange)

    def _connection(self) -> HTTPConnection:
        # One upstream connection per client connection (each has its thread), kept alive like the client's.
        connection: HTTPConnection | None = getattr(self._local, "connection", None)
        if connection is None:
            parts = urlsplit(self.upstream)
            host, port = parts.hostname or "127.0.0.1", parts.port
            if parts.scheme == "https":
                context = ssl.create_default_context(cafile=str(self.ca_path) if self.ca_path else None)
                connection = HTTPSConnection(host, port, timeout=60, context=context)
            else:
                connection = HTTPConnection(host, port, timeout=60)
            self._local.connection = connection
        return connection

    def connection_ended(self) -> None:
        """Called in a connection's own thread when the client is gone."""
        connection: HTTPConnection | None = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            self._local.connection = None

    def _forward(self, exchange: Exchange) -> None:
        request = exchange.request
        with self._count_lock:
            self.forwarded[request.path] += 1
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP}
        connection = self._connection()
        try:
            connection.request(request.method, request.target, request.body or None, headers)
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, HTTPException) as error:
            self.connection_ended()
            exchange.answer_json(502, {"errors": [f"proxy: {type(error).__name__}"]})
            return
        kept = {
            name: value for name, value in answer.getheaders() if name.lower() not in HOP_BY_HOP | {"content-length"}
        }
        exchange.answer(answer.status, body, kept)
