"""Fixtures and rules of every test. Read this before you write one.

Rules
-----
- A test sees no CI, cloud or Vault variable of this machine, and an empty HOME (`_isolated`, autouse). Set
  what it needs with `monkeypatch.setenv`, or better hand a dict to the code under test.
- No seeded value anywhere (`tests/leaks.py`): what you plant goes through `seeded`; when the test is over,
  stdout, stderr, the log at DEBUG, exceptions (those met by `pytest.raises` too) and all files below
  `tmp_path` and HOME are searched for it, plain and encoded. What is meant to come out is declared:

      def test_env_file(seeded, tmp_path):
          value = seeded.new("db-password")
          seeded.allow_file(tmp_path / "env", value)    # GITHUB_ENV is there to hold it
          seeded.allow("add-mask")                      # ::add-mask:: lines on stdout

  A child process that you start yourself is not captured: hand its output in with `seeded.saw("stdout", text)`.

- Server fixtures live as long as the session (one each per xdist worker, started on first use), so name what
  you make in them with `unique("kv")`, and don't count on being alone in them.

Fixtures
--------
seeded      -> tests.leaks.Seeded    `.new(label)`, `.add(value)`, `.allow(place)`, `.allow_file(path)`, `.saw(...)`
unique      -> Callable[[str], str]  `unique("role")` -> "role-3f9a1c0b"
openbao     -> OpenBao               `kv = openbao.kv2(unique("kv")); kv.put("ci", {"key": value})`
openbao_tls -> OpenBao               the same over HTTPS, `openbao_tls.ca_path`
new_openbao -> OpenBao               this test's own, not initialised: `.initialise()`, `.unseal()`, `.seal()`
cluster     -> (leader, standby)     two OpenBao nodes; after `leader.kill()` the standby answers 307
valkey      -> Valkey                `openbao.database_valkey(unique("db"), valkey, unique("role"))`, `.users()`
postgres    -> Postgres              `openbao.database_postgres(unique("db"), postgres, unique("role"))`, `.roles()`
moto        -> Moto                  AWS's APIs, which verify nothing: `moto.url`, `moto.client("secretsmanager")`
issuer      -> OIDCIssuer            `issuer.github_env()`, `issuer.mint("aud", repository="acme/other")`,
                                     `issuer.fail_next(2, 503)`, `issuer.token_requests()`
trust       -> Trust                 an OpenBao that trusts the issuer: `trust.mount`, `trust.role`,
                                     `trust.audience`, `trust.kv`, `trust.grant("db/creds/r", "read")`
misbehaving -> Misbehaving           `misbehaving.on("/v1/x", drop(), reply(json={...}))`, `.requests`
unknown_ca  -> Misbehaving           the same over TLS, from a CA nobody knows
proxy       -> Proxy                 before `openbao`: `proxy.url`, `proxy.fail("/v1/auth/*", status(503))`, `.counts`
ca          -> ThrowawayCA           `ca.write(tmp_path)`, `ca.server_context()`, `ca.client_files(tmp_path)`
keylease    -> Callable              `done = keylease("lease", "--help", env={...})`: the real program in a child
                                     process, in a clean environment; `.returncode`, `.stdout`, `.stderr`
"""

import os
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import pytest
from hypothesis import settings

from tests import environment, leaks
from tests.fakes.github_oidc import OIDCIssuer
from tests.fakes.misbehaving import Misbehaving, Proxy
from tests.leaks import Seeded
from tests.servers.moto import Moto
from tests.servers.openbao import OpenBao
from tests.servers.postgres import Postgres
from tests.servers.tls import ThrowawayCA
from tests.servers.trust import Trust, unique_name
from tests.servers.valkey import Valkey

SEEDED = pytest.StashKey[Seeded]()

# Two busy cores make any single example slow now and then; pytest-timeout guards against real hangs.
settings.register_profile("keylease", deadline=None)
settings.load_profile("keylease")


# The machine's environment.


@pytest.fixture(autouse=True)
def _isolated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, seeded: Seeded) -> None:
    """No CI or cloud variable, an empty HOME, and the search for seeded values below both directories."""
    for name in list(os.environ):
        if environment.is_scrubbed(name):
            monkeypatch.delenv(name)
    home = tmp_path.with_name(f"{tmp_path.name}-home")
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    seeded.watch(tmp_path)
    seeded.watch(home)


# No seeded value anywhere.


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """A registry of planted values for each test."""
    leaks.current = item.stash[SEEDED] = Seeded()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Search all that the test let out; a leak fails the test in its teardown."""
    report = yield
    seeded = item.stash.get(SEEDED, None)
    if seeded is None:
        return report
    # A failed assertion quotes what the test compared; that is the test's own doing.
    quiet = (pytest.skip.Exception, pytest.fail.Exception, AssertionError)
    if call.excinfo is not None and not isinstance(call.excinfo.value, quiet):
        seeded.saw("exception", leaks.describe(call.excinfo.value), f"exception of the test's {call.when}")
    if call.when == "teardown":
        for title, text in report.sections:
            place = next((name for name in ("stdout", "stderr", "log") if title.startswith(f"Captured {name}")), None)
            if place:
                seeded.saw(place, text, title.lower())
        found = seeded.leaks()
        if found:
            report.outcome = "failed"
            report.longrepr = "\n".join(
                [
                    f"seeded values leaked in {item.nodeid}:",
                    *(f"  {line}" for line in found),
                    "What a test lets out on purpose it declares: see seeded.allow() in tests/leaks.py.",
                ]
            )
    if report.failed:
        values = seeded.values | leaks.SESSION_VALUES
        report.sections = [(title, leaks.redact(text, values)) for title, text in report.sections]
        if any(leaks.find(report.longreprtext.encode("utf-8", "surrogateescape"), values)):
            report.longrepr = leaks.redact(report.longreprtext, values)
    return report


_readouterr = pytest.CaptureFixture.readouterr
_raises_exit = pytest.RaisesExc.__exit__


def _recording_readouterr(self: pytest.CaptureFixture[Any]) -> Any:
    # What a test reads is gone from its report, so it is kept here.
    out, err = captured = _readouterr(self)
    leaks.current.saw("stdout", out, "captured stdout")
    leaks.current.saw("stderr", err, "captured stderr")
    return captured


def _recording_raises_exit(self: pytest.RaisesExc[Any], kind: Any, error: Any, trace: Any) -> bool:
    # What `raises` catches never reaches a report.
    if error is not None:
        leaks.current.saw("exception", leaks.describe(error), f"expected {type(error).__name__}")
    return _raises_exit(self, kind, error, trace)


def pytest_configure(config: pytest.Config) -> None:
    """Keep what `readouterr` and `raises` take away."""
    pytest.CaptureFixture.readouterr = _recording_readouterr  # type: ignore[method-assign]
    pytest.RaisesExc.__exit__ = _recording_raises_exit  # type: ignore[method-assign]


def pytest_unconfigure(config: pytest.Config) -> None:
    """Put things back."""
    pytest.CaptureFixture.readouterr = _readouterr  # type: ignore[method-assign]
    pytest.RaisesExc.__exit__ = _raises_exit  # type: ignore[method-assign]


@pytest.fixture
def seeded(request: pytest.FixtureRequest) -> Seeded:
    """The registry of the secret values that this test plants; example at the top of this file."""
    return request.node.stash[SEEDED]  # type: ignore[no-any-return]


# Servers.


@pytest.fixture
def unique() -> Callable[[str], str]:
    """Names for mounts, roles and policies in shared servers: `unique("kv")` -> "kv-3f9a1c0b"."""
    return unique_name


@pytest.fixture(scope="session")
def openbao() -> Iterator[OpenBao]:
    """A real OpenBao in dev mode. `openbao.kv2(unique("kv")).put("ci", {"key": value})`."""
    with OpenBao() as server:
        leaks.SESSION_VALUES.add(server.token)
        yield server


@pytest.fixture(scope="session")
def openbao_tls() -> Iterator[OpenBao]:
    """A real OpenBao over HTTPS; `openbao_tls.ca_path` is the CA to trust."""
    with OpenBao(tls=True) as server:
        leaks.SESSION_VALUES.add(server.token)
        yield server


@pytest.fixture
def new_openbao(seeded: Seeded) -> Iterator[OpenBao]:
    """An OpenBao of this test's own, not initialised: `.initialise()`, then `.unseal()`, `.seal()`. Takes 1 s."""
    with OpenBao(dev=False) as server:
        server.on_secret = seeded.add
        yield server


@pytest.fixture
def cluster(seeded: Seeded) -> Iterator[tuple[OpenBao, OpenBao]]:
    """Leader and standby of this test's own. The standby forwards requests; without its leader it answers 307.

    Takes 4 s.
    """
    with OpenBao(dev=False, raft=True) as leader, OpenBao(dev=False, raft=True) as standby:
        leader.on_secret = seeded.add
        leader.initialise()
        leader.unseal()
        standby.join(leader)
        yield leader, standby


@pytest.fixture(scope="session")
def valkey() -> Iterator[Valkey]:
    """A real Valkey. `path = openbao.database_valkey(unique("db"), valkey, unique("role"))`; `valkey.users()`."""
    with Valkey() as server:
        leaks.SESSION_VALUES.add(server.password)
        yield server


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A real PostgreSQL. `path = openbao.database_postgres(unique("db"), postgres, unique("role"))`."""
    with Postgres() as server:
        leaks.SESSION_VALUES.add(server.password)
        yield server


@pytest.fixture(scope="session")
def moto() -> Iterator[Moto]:
    """Moto's server: STS, Secrets Manager, SSM. It verifies nothing; see `tests.servers.moto`."""
    with Moto() as server:
        yield server


@pytest.fixture(scope="session")
def ca() -> ThrowawayCA:
    """A CA of our own. `Misbehaving(tls=ca.server_context())`, `ca.write(tmp_path)`."""
    return ThrowawayCA()


@pytest.fixture(scope="session")
def _issuer() -> Iterator[OIDCIssuer]:
    with OIDCIssuer() as server:
        leaks.SESSION_VALUES.add(server.request_token)
        yield server


@pytest.fixture
def issuer(_issuer: OIDCIssuer, seeded: Seeded) -> OIDCIssuer:
    """A GitHub-like OIDC issuer, fresh: default claims, no faults, no requests on record.

    Tokens that its endpoint hands out are seeded; those of `issuer.mint()` are not, so that a test can write
    one to a file.
    """
    _issuer.reset()
    _issuer.on_token = seeded.add
    return _issuer


@pytest.fixture
def trust(openbao: OpenBao, issuer: OIDCIssuer) -> Trust:
    """An OpenBao that trusts the issuer's repository: JWT mount, role, policy and a KV v2 mount to read.

    `trust.kv.put("ci", {"key": value})`; the token may read all of `trust.kv`, renew and revoke itself.
    """
    return Trust.create(openbao, issuer)


@pytest.fixture
def misbehaving() -> Iterator[Misbehaving]:
    """A scripted HTTP server: `misbehaving.on("/v1/x", drop(), reply(json={}))`; `.requests`."""
    with Misbehaving() as server:
        yield server


@pytest.fixture
def unknown_ca(ca: ThrowawayCA) -> Iterator[Misbehaving]:
    """A scripted HTTPS server whose CA no client knows; `unknown_ca.failed_handshakes`, `.requests`."""
    with Misbehaving(tls=ca.server_context()) as server:
        yield server


@pytest.fixture
def proxy(openbao: OpenBao) -> Iterator[Proxy]:
    """A proxy before `openbao`: `proxy.fail("/v1/auth/*", status(503))`, `proxy.latency = 0.05`, `.counts`."""
    with Proxy(openbao.url) as server:
        yield server


# The program.


class RunKeylease(Protocol):
    """Signature of the `keylease` fixture."""

    def __call__(
        self,
        *arguments: str,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        stdin: str | None = None,
        timeout: float = 60,
    ) -> "subprocess.CompletedProcess[str]": ...


@pytest.fixture
def keylease(seeded: Seeded, tmp_path: Path) -> RunKeylease:
    """Run `keylease ARGUMENTS` in a child process, in `tmp_path` and a clean environment plus `env`.

    Its stdout and stderr are searched for seeded values:

        done = keylease("whoami", env=issuer.github_env())
        assert done.returncode == 0, done.stderr
    """

    def run(
        *arguments: str,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        stdin: str | None = None,
        timeout: float = 60,
    ) -> "subprocess.CompletedProcess[str]":
        done = subprocess.run(
            [sys.executable, "-m", "keylease", *arguments],
            check=False,
            env=environment.clean_environment(**(env or {})),
            cwd=cwd or tmp_path,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            timeout=timeout,
        )
        seeded.saw("stdout", done.stdout, "stdout of keylease")
        seeded.saw("stderr", done.stderr, "stderr of keylease")
        return done

    return run
