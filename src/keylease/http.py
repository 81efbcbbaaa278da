"""The only place where HTTP sessions are made: timeouts, retries, size caps and redirects are decided here.

What `requests` does by default and this does not: wait without end, follow redirects with our headers to another
host, read a body of any size, take passwords from ``~/.netrc`` (which would replace our Authorization header).
"""

import contextlib
import email.utils
import http.cookiejar
import os
import random
import re
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urljoin, urlsplit

from msgspec import Struct, field

from keylease import __version__
from keylease.deadline import Deadline, deadline_error
from keylease.errors import UnreachableError, UsageError
from keylease.lean import lean_imports
from keylease.transport import Adapter, Attempt, AttemptTimeoutError, current, watchdog

with lean_imports():
    import requests
    import requests.adapters
    import requests.utils
    import urllib3

__all__ = ["Deadline", "HttpFactory", "HttpSettings", "Session", "deadline_error"]

Env = Mapping[str, str]

TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses that another try may mend (RFC 9110 §15, RFC 6585 §4). Everything else is an answer."""

MAX_BODY = 16 * 1024 * 1024
"""Bytes. The largest answer we expect is a KV secret with a certificate bundle or a service-account file in it."""

_CHUNK = 64 * 1024
_SAME_ORIGIN_REDIRECTS = 3

_no_proxy_lock = threading.Lock()  # requests sets and deletes a variable of the process while it looks


class HttpSettings(Struct, frozen=True):
    """How to talk to one server.

    timeout: seconds that one attempt may take from connecting to the last byte of the answer.
    retries: further attempts after the first one, for connection faults and `retry_statuses`.
    ca_certificate, client_certificate, client_key: paths to PEM files.
    verify: False turns TLS verification off; the caller warns about it each time.
    max_body: bytes of the (decompressed) answer.
    transient: further answers that another try may mend, where a vendor says so in the body (a 400 with the code
        ``Throttling``).
    """

    timeout: float = 10.0
    retries: int = 4
    retry_statuses: frozenset[int] = TRANSIENT
    ca_certificate: str | None = None
    client_certificate: str | None = None
    client_key: str | None = None
    verify: bool = True
    max_body: int = MAX_BODY
    transient: Callable[[requests.Response], bool] | None = None


class _TooLargeError(OSError):
    """The answer is larger than we are ready to read."""


class _Outcome(Struct):
    response: requests.Response | None = None
    error: Exception | None = None
    retry_after: float | None = None


class Session(requests.Session):
    """A `requests` session that keeps to :class:`HttpSettings` and the step's :class:`Deadline`.

    Safe to share between threads as we use it: no cookies are kept and its settings never change.
    Returns a response of any status, with its body read; raises :class:`UnreachableError` when there was none.
    """

    def __init__(self, name: str, settings: HttpSettings, deadline: Deadline, env: Env, connections: int = 8) -> None:
        super().__init__()
        self._name = name
        self._settings = settings
        self._deadline = deadline
        self._env = env
        self._proxied = any(name.lower().endswith("_proxy") for name in env)
        self.trust_env = False
        self.cookies.set_policy(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))
        self.headers["User-Agent"] = f"keylease/{__version__}"
        self.headers["Accept"] = "application/json"
        self.verify = _verify(name, settings, env)
        if self.verify is False:
            # The provider says so in our own words, each time; urllib3's text on stderr names no setting of ours.
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        if settings.client_certificate:
            for path in filter(None, (settings.client_certificate, settings.client_key)):
                _must_exist(name, "client certificate", path)
            key = settings.client_key
            self.cert = (settings.client_certificate, key) if key else settings.client_certificate
        adapter = Adapter(pool_connections=2, pool_maxsize=connections, max_retries=0)
        self.mount("https://", adapter)
        self.mount("http://", adapter)

    def request(self, method: str, url: str, **kwargs: Any) -> requests.Response:  # type: ignore[override]
        """Send, retrying what may heal, and read the whole answer.

        Raises :class:`UnreachableError` (with no body and no query of the URL in it), :class:`DeadlineError`.
        """
        attempt = 0
        while True:
            self._deadline.check(f"{self._name}: {method.upper()} {_shown(url)}")
            outcome = self._try(method, url, dict(kwargs))
            if outcome.response is not None and not self._may_heal(outcome.response):
                return outcome.response
            pause = outcome.retry_after if outcome.retry_after is not None else _backoff(attempt)
            attempt += 1
            if attempt > self._settings.retries or pause >= self._deadline.remaining or _permanent(outcome.error):
                break
            time.sleep(pause)
        if outcome.response is not None:
            return outcome.response
        assert outcome.error is not None
        raise self._unreachable(url, outcome.error, attempt) from None

    def _may_heal(self, response: requests.Response) -> bool:
        transient = self._settings.transient
        if response.status_code in self._settings.retry_statuses:
            return True
        return transient is not None and response.status_code >= 400 and transient(response)

    def _try(self, method: str, url: str, kwargs: dict[str, Any]) -> _Outcome:
        # hvac passes these along with every call; they are the session's business, not the caller's.
        for name in ("timeout", "allow_redirects", "stream", "verify", "cert", "proxies"):
            kwargs.pop(name, None)
        timeout = min(self._settings.timeout, self._deadline.remaining)
        attempt = Attempt()
        current.attempt = attempt
        watchdog.add(attempt, time.monotonic() + timeout)
        try:
            response = self._follow(method, url, timeout, kwargs)
            return _Outcome(response, retry_after=_retry_after(response))
        except (requests.RequestException, OSError, ValueError) as error:
            if isinstance(error, requests.exceptions.InvalidURL | requests.exceptions.MissingSchema):
                raise
            return _Outcome(error=AttemptTimeoutError() if attempt.timed_out else error)
        finally:
            watchdog.discard(attempt)
            current.attempt = None

    def _follow(self, method: str, url: str, timeout: float, kwargs: dict[str, Any]) -> requests.Response:
        for _ in range(_SAME_ORIGIN_REDIRECTS + 1):
            response = super().request(
                method,
                url,
                timeout=timeout,
                allow_redirects=False,
                stream=True,
                proxies=self._proxies(url),
                **kwargs,
            )
            self._read(response)
            target = response.headers.get("Location")
            if response.status_code not in (301, 302, 307, 308) or not target:
                return response
            target = urljoin(url, target)
            if _origin(target) != _origin(url):
                return response
            url = target
        return response

    def _read(self, response: requests.Response) -> None:
        body = bytearray()
        with contextlib.closing(response):
            for chunk in response.iter_content(_CHUNK):
                body += chunk
                if len(body) > self._settings.max_body:
                    raise _TooLargeError
        if not body and _is_cut(response):
            raise requests.ConnectionError("the connection was closed within the headers")
        response._content = bytes(body)  # noqa: SLF001  # the only way to keep `.json()` working on a capped body

    def _proxies(self, url: str) -> dict[str, str]:
        env = self._env
        if not self._proxied:
            return {}
        if _is_loopback(urlsplit(url).hostname or ""):
            return {}
        no_proxy = env.get("no_proxy") or env.get("NO_PROXY")
        with _no_proxy_lock:
            if requests.utils.should_bypass_proxies(url, no_proxy or ""):
                return {}
        schemes = ("http", "https", "all")
        found = {s: env.get(f"{s}_proxy") or env.get(f"{s.upper()}_PROXY") for s in schemes}
        return {scheme: proxy for scheme, proxy in found.items() if proxy}

    def _unreachable(self, url: str, error: Exception, attempts: int) -> UnreachableError:
        where = f"{self._name}: no usable answer from {_shown(url)}"
        tries = f"after {attempts} attempt{'s' if attempts > 1 else ''}"
        reason, cause, change, docs = _explain(error, self._settings)
        return UnreachableError(
            f"{where} {tries}: {reason}",
            cause=cause,
            change=change,
            docs=docs,
            detail={"error": type(error).__name__},
        )


class HttpFactory(Struct):
    """Makes sessions that share one deadline and one environment."""

    deadline: Deadline
    env: Env
    _sessions: list[Session] = field(default_factory=list)

    def session(self, name: str, settings: HttpSettings | None = None, connections: int = 8) -> Session:
        """A new session. `name` starts every error message (``Vault``, ``GitHub``)."""
        made = Session(name, settings or HttpSettings(), self.deadline, self.env, connections)
        self._sessions.append(made)
        return made

    def close(self) -> None:
        """Close all connections of all sessions."""
        for session in self._sessions:
            session.close()


def _verify(name: str, settings: HttpSettings, env: Env) -> bool | str:
    if not settings.verify:
        return False
    if settings.ca_certificate:
        return _must_exist(name, "CA certificate", settings.ca_certificate)
    # A runner behind a corporate CA names its bundle in one of these, as it does for curl and requests. In the
    # action's container the path may name a file of the host: then the built-in bundle decides, no less strictly.
    for variable in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE"):
        if os.path.isfile(env.get(variable, "")):
            return env[variable]
    return True


def _must_exist(name: str, what: str, path: str) -> str:
    try:
        with open(path, "rb"):
            return path
    except OSError as error:
        raise UsageError(
            f"{name}: can't read the {what} {path!r}: {error.strerror}",
            cause="the file is not there, or not visible inside the container (only the workspace is mounted)",
            docs="tls",
        ) from None


def _is_cut(response: requests.Response) -> bool:
    """Whether an answer without a body is half a head: http.client takes the end of the connection for its end."""
    framed = response.headers.keys() & {"Content-Length", "Transfer-Encoding"}
    return not framed and response.status_code not in (204, 205, 304) and response.request.method != "HEAD"


def _origin(url: str) -> tuple[str | None, str | None, int | None]:
    # As urllib3 reads it, which connects: urlsplit sees another host behind a backslash or an @.
    parts = urllib3.util.parse_url(url)
    return parts.scheme, parts.host, parts.port or {"http": 80, "https": 443}.get(parts.scheme or "")


def _is_loopback(host: str) -> bool:
    # What is sent to this machine must not leave it: a proxy would get it, in clear text where the URL is http. Go's
    # clients, and so the CLIs of Vault and OpenBao, do the same.
    return re.fullmatch(r"localhost|127(\.\d+){3}|::1", host) is not None


def _shown(url: str) -> str:
    """A URL without user, query and fragment: those may hold values."""
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname}{port}{parts.path}"


def _backoff(attempt: int) -> float:
    # Full jitter (AWS Architecture Blog, "Exponential Backoff And Jitter"): parallel jobs must not march in step.
    return random.uniform(0.05, min(5.0, 0.2 * 2**attempt))


def _retry_after(response: requests.Response) -> float | None:
    """Seconds asked for by ``Retry-After`` (RFC 9110 §10.2.3: a number, or a date)."""
    text = response.headers.get("Retry-After", "").strip()
    if text.isdecimal() and len(text) < 9:
        return float(text)
    parsed = email.utils.parsedate_tz(text) if text else None
    return max(0.0, email.utils.mktime_tz(parsed) - time.time()) if parsed else None


def _permanent(error: Exception | None) -> bool:
    # An unknown CA or a body that is too large will be so again.
    return isinstance(error, requests.exceptions.SSLError | _TooLargeError)


def _explain(error: Exception, settings: HttpSettings) -> tuple[str, str, str, str]:
    text = str(error).lower()
    if isinstance(error, requests.exceptions.SSLError):
        unknown = "certificate verify failed" in text or "certificate_verify_failed" in text
        return (
            "TLS: the server's certificate is not trusted" if unknown else "TLS: the handshake failed",
            "its CA is not one this container knows, or the name in the URL is not in the certificate",
            "give the CA: ca_certificate: path/to/ca.pem (in the action: caCertificate)",
            "tls",
        )
    if isinstance(error, _TooLargeError):
        return (
            f"the answer is larger than {settings.max_body} bytes",
            "this is not the server you meant",
            "",
            "garbage",
        )
    if isinstance(error, AttemptTimeoutError | requests.exceptions.Timeout):
        return (
            f"no complete answer within {settings.timeout:g} s",
            "a firewall drops packets, or overload",
            "",
            "timeout",
        )
    checks: list[tuple[Callable[[], bool], str, str]] = [
        (
            lambda: any(s in text for s in ("name or service", "name resolution", "nodename", "resolve")),
            "the host name is unknown",
            "a typing error in the URL, or a name that only resolves inside your network",
        ),
        (
            lambda: "refused" in text,
            "connection refused",
            "nothing listens there, or a firewall refuses this runner",
        ),
    ]
    for matches, reason, cause in checks:
        if matches():
            return (
                reason,
                cause,
                "check the URL, and that this runner may reach it (private network? proxy?)",
                "unreachable",
            )
    return "the connection broke", "the server or a proxy in between closed it early", "", "unreachable"
