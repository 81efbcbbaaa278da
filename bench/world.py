"""The servers of the benchmark, one job's environment, and the proof that a measured run did the job."""

import functools
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.clouds import KEYS, Clouds, Provider, keylease_yml
from bench.layout import ROOT
from bench.measure import BenchError
from tests.e2e.runner import FILE_PREFIXES, read_pairs
from tests.fakes.github_oidc import OIDCIssuer
from tests.fakes.misbehaving import Proxy
from tests.servers.openbao import OpenBao
from tests.servers.trust import Trust

MOST_SECRETS = 20
FORBIDDEN = "private"

# Defaults of the peer's own action.yml, which a runner would add; the same environment goes to everybody. Without
# jwtTtl: it only matters to a job that signs its own token, and Keylease refuses it.
DEFAULTS = {
    "kubernetesTokenPath": "/var/run/secrets/kubernetes.io/serviceaccount/token",
    "exportEnv": "true",
    "exportToken": "false",
    "outputToken": "false",
    "tlsSkipVerify": "false",
    "ignoreNotFound": "false",
}


@dataclass(frozen=True)
class Job:
    """One run's files and environment. `env` is complete: nothing of this machine's gets in but PATH."""

    directory: Path
    env: Mapping[str, str]

    @property
    def out(self) -> Path:
        """Where its standard output goes."""
        return self.directory / "stdout"

    @property
    def err(self) -> Path:
        """Where its standard error goes."""
        return self.directory / "stderr"

    def delivered(self) -> dict[str, str]:
        """What GITHUB_ENV holds after the run."""
        return dict(read_pairs(Path(self.env["GITHUB_ENV"])))


class World:
    """OpenBao with 20 secrets, an issuer, a slow way and a faulty way to OpenBao. Use as a context manager."""

    def __init__(self) -> None:
        self.bao = OpenBao()
        self.issuer = OIDCIssuer()
        self.values = {f"SECRET_{number:02}": secrets.token_urlsafe(24) for number in range(MOST_SECRETS)}
        self.faulty = Proxy("", record_requests=False)
        self._ways: dict[tuple[str, float, str], str] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="keylease-bench-")))
            for server in (self.issuer, self.bao):
                stack.enter_context(server)
            self.faulty.upstream = self.bao.url
            stack.enter_context(self.faulty)
            self.trust = Trust.create(self.bao, self.issuer)
            for number, value in enumerate(self.values.values()):
                self.trust.kv.put(f"ci/{number:02}", {"value": value})
            self.bao.kv2(FORBIDDEN).put("ci", {"value": "never-read"})
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def url(self, latency: float = 0.0) -> str:
        """OpenBao's address with so many seconds added to each call (0: OpenBao itself)."""
        return self.way(self.bao.url, latency) if latency else self.bao.url

    def way(self, upstream: str, latency: float, kind: str = "") -> str:
        """The address of a proxy in a process of its own: see latency.py."""
        key = (upstream, latency, kind)
        if key not in self._ways:
            process = subprocess.Popen(
                [sys.executable, "-m", "bench.latency", upstream, str(latency), *filter(None, [kind])],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
            self._stack.enter_context(process)
            self._stack.callback(process.terminate)
            assert process.stdout is not None
            self._ways[key] = process.stdout.readline().strip()
        return self._ways[key]

    @functools.cached_property
    def clouds(self) -> Clouds:
        """Started for the first case that needs them."""
        return Clouds(self.issuer, self._stack, self.way)

    def references(self, count: int) -> list[str]:
        """The first `count` secrets, as lines of the input `secrets`."""
        return [f"{self.trust.kv.api(f'ci/{number:02}')} value | {name}" for number, name in _first(self.values, count)]

    def inputs(self, url: str, references: Sequence[str]) -> dict[str, str]:
        """What the workflow says under `with:`, in the peer's names (ours as well, for who moves over)."""
        return {
            "url": url,
            "method": "jwt",
            "role": self.trust.role,
            "path": self.trust.mount,
            "jwtGithubAudience": self.trust.audience,
            "secrets": " ;\n".join(references) + " ;",
        }

    def job(self, inputs: Mapping[str, str], *, defaults: Mapping[str, str] = DEFAULTS, id_token: bool = True) -> Job:
        """A fresh job. defaults: of the peer's inputs. id_token: whether it has the permission to ask for one."""
        directory = Path(tempfile.mkdtemp(dir=self.directory))
        env = {"PATH": os.environ.get("PATH", os.defpath), **self.issuer.github_env()}
        if not id_token:
            for name in self.issuer.actions_env():
                del env[name]
        for name in ("home", "temp", "workspace"):
            (directory / name).mkdir()
        env["HOME"] = str(directory / "home")
        env["RUNNER_TEMP"] = str(directory / "temp")
        env["GITHUB_WORKSPACE"] = str(directory / "workspace")
        for name, prefix in FILE_PREFIXES.items():
            path = directory / f"{prefix}0"
            path.touch()
            env[f"GITHUB_{name.upper()}"] = str(path)
        given = {**defaults, **inputs}
        env |= {f"INPUT_{name.replace(' ', '_').upper()}": value for name, value in given.items()}
        return Job(directory, env)

    def shown(self, job: Job) -> str:
        """The end of what a run printed, for the error: no mask commands, no values."""
        lines = f"{job.out.read_text()}\n{job.err.read_text()}".splitlines()
        text = "\n".join(line for line in lines if not line.startswith("::add-mask::"))[-3000:]
        for value in [*self.values.values(), *(job.delivered().get(name) or "***" for name in KEYS)]:
            text = text.replace(value, "***")
        return text

    def cloud_job(self, files: Mapping[str, Mapping[str, Provider]], inputs: Mapping[str, str]) -> Job:
        """A fresh job with files in its workspace: name → the providers that it leases from."""
        job = self.job(inputs, defaults={})
        for name, providers in files.items():
            Path(job.env["GITHUB_WORKSPACE"], name).write_text(keylease_yml(providers))
        return job

    def verify_credentials(self, job: Job, names: Iterable[str]) -> None:
        """Raises BenchError unless these credentials were delivered and masked, and work."""
        delivered = job.delivered()
        lines = set(job.out.read_text().splitlines())
        for name in names:
            if not delivered.get(name):
                raise BenchError(f"{name} was not delivered")
            if f"::add-mask::{delivered[name]}" not in lines:
                raise BenchError(f"{name} was delivered without being masked")
        self.clouds.verify(delivered)

    def verify(self, job: Job, count: int) -> None:
        """Raises BenchError unless the run delivered and masked the first `count` values: else it is no lease."""
        wanted = {name: self.values[name] for _, name in _first(self.values, count)}
        delivered = job.delivered()
        if any(delivered.get(name) != value for name, value in wanted.items()):
            raise BenchError(f"{sum(name in delivered for name in wanted)} of {count} values were delivered")
        lines = set(job.out.read_text().splitlines())
        if any(f"::add-mask::{value}" not in lines for value in wanted.values()):
            raise BenchError("a value was delivered without being masked")


def _first(values: Mapping[str, str], count: int) -> list[tuple[int, str]]:
    return list(enumerate(values))[:count]
