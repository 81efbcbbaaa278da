"""`make bench`, third part: a sync of 1,000 repositories × 10 secrets.

    python -m bench.sync [--repositories 1000] [--quick]

The real command, a real OpenBao with the values, and the tests' fake GitHub in a process of its own (bench/github.py).
GitHub's pace (80 writes a minute, 900 points) is lifted by the target's settings: it would be all that is measured.
Beside it a loop that writes everything (run), and Terraform's provider and Infisical (requests, by their sources).
"""

import argparse
import json
import os
import platform
import secrets
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from bench import report
from bench.github import ORGANIZATION, OTHERS, Fake
from bench.measure import BenchError, Launcher, Sample
from tests.fakes.github_oidc import OIDCIssuer
from tests.servers.openbao import OpenBao
from tests.servers.trust import Trust

PREFIX = "model-"
BASELINE = Path(__file__).with_name("baselines") / "sync_put_everything.py"
PATIENCE = 1800.0
"""Seconds until a run counts as hung."""

CONFIG = """
version: 1
providers:
  vault: {{type: vault, url: {bao}, role: {role}, mount: {mount}, audience: "{audience}"}}
targets:
  github: {{type: github, url: "{github}", token_env: SYNC_TOKEN, writes_per_minute: 0, points_per_minute: 0{cache}}}
ledger:
  key: vault://{kv}/keylease#sync_key
sync:
  - name: ml
    from: {{secret: "vault://{kv}/ml/*", name: "{{path}}"}}
    to: {{target: github, organization: {organization}, select: {{names: {prefix}*}}}}
    prune: true
"""


@dataclass(frozen=True)
class Run:
    """One run of one command. least: requests that none could do without."""

    name: str
    sample: Sample
    requests: Counter[str]
    least: int = 0

    @property
    def total(self) -> int:
        """All requests to GitHub, those that cost nothing (304) too."""
        return sum(number for kind, number in self.requests.items() if kind != "304")


@dataclass
class World:
    """OpenBao with the values, GitHub with the repositories. Use as a context manager."""

    repositories: int
    number: int
    values: dict[str, str] = field(default_factory=dict)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="keylease-bench-")))
            issuer, bao = stack.enter_context(OIDCIssuer()), stack.enter_context(OpenBao())
            self.github = stack.enter_context(Fake(self.repositories))
            self._launcher = stack.enter_context(Launcher())
            self.trust = Trust.create(bao, issuer)
            self.trust.kv.put("keylease", {"sync_key": secrets.token_urlsafe(32)})
            for index in range(self.number):
                self.change(f"SECRET_{index:02}")
            for name, cache in {"plain": "", "cached": f", cache: {self.directory / 'cache.db'}"}.items():
                text = CONFIG.format(
                    bao=bao.url, role=self.trust.role, mount=self.trust.mount, audience=self.trust.audience,
                    github=self.github.url, kv=self.trust.kv.mount, cache=cache, organization=ORGANIZATION,
                    prefix=PREFIX,
                )  # fmt: skip
                (self.directory / f"{name}.yml").write_text(text)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def change(self, name: str) -> None:
        """Give a secret a new value in OpenBao."""
        self.values[name] = secrets.token_urlsafe(24)
        self.trust.kv.put(f"ml/{name.lower()}", {"value": self.values[name]})

    def sync(self, name: str, *arguments: str, config: str = "plain", least: int = 0) -> tuple[Run, dict[str, int]]:
        """Run `keylease sync`; also what it planned, {action: how many}. Raises BenchError unless it ended well."""
        plan = self.directory / "plan.json"
        argv = [sys.executable, "-m", "keylease", "sync", *arguments, "--config", str(self.directory / f"{config}.yml")]
        run = self.run(name, [*argv, "--format", "json", "--output", str(plan)], least)
        counts = json.loads(plan.read_text())["summary"]
        return run, {action: number for action, number in counts.items() if number}

    def addresses(self) -> list[str]:
        """Of the places of the last plan."""
        return [each["address"] for each in json.loads((self.directory / "plan.json").read_text())["places"]]

    def put_everything(self) -> Run:
        """Run the loop."""
        values = self.directory / "values.json"
        values.write_text(json.dumps(self.values))
        program = f"exec {sys.executable} {BASELINE} < {values}"
        return self.run("PUT-everything loop", ["/bin/sh", "-c", program])

    def run(self, name: str, argv: list[str], least: int = 0) -> Run:
        """Measure one command. Raises BenchError unless it ended well."""
        self.github.counts()
        env = {
            **self.trust.issuer.github_env(), "PATH": os.defpath, "HOME": str(self.directory),
            "SYNC_TOKEN": self.github.token, "GITHUB_API_URL": self.github.url,
            "ORGANIZATION": ORGANIZATION, "PREFIX": PREFIX,
        }  # fmt: skip
        print(f"bench: {name} …", file=sys.stderr, flush=True)
        out, err = self.directory / "stdout", self.directory / "stderr"
        sample = self._launcher.run(argv, env, self.directory, out, err, PATIENCE)
        if sample.code != 0:
            text = (out.read_text() + err.read_text())[-2000:]
            for value in (*self.values.values(), self.github.token):
                text = text.replace(value, "***")
            raise BenchError(f"{name}: exit code {sample.code}\n{text}")
        return Run(name, sample, self.github.counts(), least)

    def must_be_right(self) -> None:
        """Raises BenchError unless each repository holds exactly the values."""
        right = self.github.right(self.values)
        if right != self.repositories:
            raise BenchError(f"{right} of {self.repositories} repositories hold what they should")


@dataclass(frozen=True)
class Bound:
    """The requests that a sync can't do without, for repositories that hold no more than a page of either kind."""

    repositories: int
    number: int

    @property
    def listing(self) -> int:
        """The organisation's repositories by 100; of each repository its secrets, and its variables: the ledger."""
        return -(-(self.repositories + OTHERS) // 100) + 2 * self.repositories

    def writing(self, each: int) -> int:
        """So many secrets of each repository: its key, the writes, the ledger before and after."""
        return self.repositories * (1 + each + 2)

    def others(self) -> dict[str, dict[str, int]]:
        """What others would ask, by their sources: {tool: {what happens: requests}}."""
        pages, per = -(-(self.repositories + OTHERS) // 100), self.repositories
        everything = per * self.number
        return {
            # resource_github_actions_secret.go, main at b6ce8c0 (2026-08-07): Create asks for the repository and the
            # public key, writes, and gets the secret; Read, at each refresh, gets it; Update asks for the key, writes,
            # and gets it. Without what finds the repositories.
            "Terraform": {
                "nothing there": 4 * everything,
                "nothing changed": everything,
                "one value changed": everything + 3 * per,
            },
            # github-sync-fns.ts at df5ce66, syncSecrets: list, public key, putSecret of all, whatever has changed. One
            # sync per repository; without the token of its App.
            "Infisical": dict.fromkeys(("nothing there", "nothing changed", "one value changed"), 2 * per + everything),
            "PUT-everything loop": dict.fromkeys(
                ("nothing there", "nothing changed", "one value changed"), pages + per + everything
            ),
        }


def measured(world: World, bound: Bound) -> Iterator[Run]:
    """All runs, one after the other. Raises BenchError where one did not do what is measured."""
    everything = bound.repositories * bound.number

    def expect(found: Mapping[str, int], **wanted: int) -> None:
        if found != wanted:
            raise BenchError(f"planned {found} instead of {wanted}")

    run, found = world.sync("plan, nothing there", "plan", least=bound.listing)
    expect(found, add=everything)
    yield run
    least = bound.listing + bound.writing(bound.number)
    run, found = world.sync("apply, nothing there", "apply", least=least)
    world.must_be_right()
    yield run
    run, found = world.sync("plan, nothing changed", "plan", "--check", least=bound.listing)
    expect(found, unchanged=everything)
    yield run
    yield world.sync("the same, filling the cache", "plan", "--check", config="cached", least=bound.listing)[0]
    run, found = world.sync("the same, with the cache", "plan", "--check", config="cached", least=bound.listing)
    expect(found, unchanged=everything)
    yield run
    yield world.sync("apply, nothing changed", "apply", least=bound.listing)[0]
    addresses = world.addresses()
    shards: list[str] = []
    for which in range(1, 5):
        run, _ = world.sync(f"plan, --shard {which}/4", "plan", "--check", "--shard", f"{which}/4")
        shards += world.addresses()
        yield run
    if sorted(shards) != sorted(addresses) or len(addresses) != bound.repositories:
        raise BenchError("the shards are not the whole")
    world.change("SECRET_00")
    run, found = world.sync("plan, one value changed", "plan", least=bound.listing)
    expect(found, update=bound.repositories, unchanged=everything - bound.repositories)
    yield run
    yield world.sync("apply, one value changed", "apply", least=bound.listing + bound.writing(1))[0]
    world.must_be_right()
    world.change("SECRET_00")
    yield world.put_everything()
    world.must_be_right()


KINDS = ("list repositories", "list secrets", "list variables", "public key", "write secret", "write ledger")


def table(runs: list[Run], bound: Bound, about: Mapping[str, str]) -> str:
    """For people."""
    lines = [
        f"sync: {bound.repositories} repositories × {bound.number} secrets",
        ", ".join(f"{name}: {value}" for name, value in about.items()),
        "",
        f"{'':28} {'wall s':>7} {'cpu s':>7} {'peak MiB':>8} {'requests':>9} {'least':>7} {'304':>6}   "
        + "  ".join(KINDS),
    ]
    for run in runs:
        counts = "  ".join(f"{run.requests[kind]:>{len(kind)}}" for kind in KINDS)
        lines.append(
            f"{run.name:28} {run.sample.wall:7.1f} {run.sample.cpu:7.1f} {run.sample.peak:8.0f} {run.total:9} "
            f"{run.least or '':>7} {run.requests['304']:6}   {counts}"
        )
        other = {kind: number for kind, number in run.requests.items() if kind not in (*KINDS, "304")}
        lines += [f"{'':28} besides: {other}"] if other else []
    lines += ["", "requests of others, by their sources (the loop: as run above):"]
    lines += [
        f"  {tool:22} " + ", ".join(f"{what}: {number:,}" for what, number in asked.items())
        for tool, asked in bound.others().items()
    ]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """0 when all was measured; 1 when a run did not do what was to be measured."""
    parser = argparse.ArgumentParser(prog="python -m bench.sync", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repositories", type=int, default=1000, metavar="N", help="default: 1000")
    parser.add_argument("--secrets", type=int, default=10, metavar="N", help="of each (default: 10; at most 100)")
    parser.add_argument("--quick", action="store_true", help="50 repositories")
    options = parser.parse_args(arguments)
    bound = Bound(50 if options.quick else options.repositories, options.secrets)
    try:
        with World(bound.repositories, bound.number) as world:
            runs = list(measured(world, bound))
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    print(table(runs, bound, report.facts(platform.python_version())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
