"""The tests' fake GitHub in a process of its own, so that its work is not counted as anybody else's.

    python -m bench.github 1000          an organisation of so many repositories, and some that are not meant
    python -m bench.github 1000 audit    that of bench/organization.py

Prints {"url": …, "token": …}; answers each line of JSON on standard input with one: ["counts"] gives the requests by
kind since the last time, ["right", {name: value}] the number of repositories that hold just these secrets. Nothing is
held against GitHub's description, and no rate limit is kept: neither is what the benchmark measures.
"""

import datetime as dt
import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from bench import organization
from bench.layout import ROOT
from tests.fakes.github_rest import GitHubRest
from tests.fakes.loopback import Exchange, Received

ORGANIZATION = "acme"
OTHERS = 20
"""Repositories of the organisation that the sync does not select."""


_AUDITED = {"environments": "environments", "keys": "deploy keys", "contents": "workflows", "git": "workflow files"}


class Counting(GitHubRest):
    """Counts requests instead of keeping them."""

    def __init__(self) -> None:
        super().__init__(validate=False)
        self.counts: Counter[str] = Counter()
        self._counting = threading.Lock()
        self.limits.primary = 10**9

    def record(self, request: Received) -> None:
        """See LoopbackServer."""

    def handle(self, exchange: Exchange) -> None:
        """See LoopbackServer."""
        with self._counting:
            self.counts[kind_of(exchange.request.method, exchange.request.target)] += 1
        super().handle(exchange)


def kind_of(method: str, target: str) -> str:
    """What a request is for."""
    parts = target.partition("?")[0].strip("/").split("/")
    if parts[0] == "orgs":
        return "list repositories" if parts[2:] == ["repos"] else "organization"
    if parts[3] in _AUDITED or parts[4:] == ["permissions", "workflow"]:
        return _AUDITED.get(parts[3], "permissions")
    store = parts[4]
    if parts[-1] == "public-key":
        return "public key"
    if method == "GET":
        return f"list {store}" if len(parts) == 5 else f"get one of {store}"
    return "delete" if method == "DELETE" else "write secret" if store == "secrets" else "write ledger"


class Fake:
    """That process, from outside. Use as a context manager."""

    def __init__(self, repositories: int, *more: str) -> None:
        self._arguments = [str(repositories), *more]

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.github", *self._arguments],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        about = self._line()
        self.url, self.token = about["url"], about["token"]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        self._process.wait(10)

    def counts(self) -> Counter[str]:
        """Requests by kind since the last call; "304": of those, answered so."""
        return Counter(self._ask(["counts"]))

    def right(self, values: Mapping[str, str]) -> int:
        """How many selected repositories hold these secrets, and no others."""
        return int(self._ask(["right", dict(values)]))

    def _ask(self, what: list[Any]) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()
        return self._line()

    def _line(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())


def main() -> None:
    """Serve until standard input ends: it dies with whoever started it."""
    number = int(sys.argv[1])
    with Counting() as server:
        names = [f"{ORGANIZATION}/model-{index:04}" for index in range(number)]
        if sys.argv[2:] == ["audit"]:
            organization.fill(server, number, dt.datetime.now(dt.UTC))
            token = server.add_token(kind="integration")  # fine-grained tokens are listed to Apps alone
        else:
            for name in [*names, *(f"{ORGANIZATION}/other-{index}" for index in range(OTHERS))]:
                server.add_repository(name)
            token = server.add_token()
        print(json.dumps({"url": server.url, "token": token}), flush=True)
        for line in sys.stdin:
            what, *rest = json.loads(line)
            answer: Any = sum(server.held(name, "secret") == rest[0] for name in names) if rest else None
            if what == "counts":
                answer = {**server.counts, "304": server.statuses[304]}
                server.counts.clear()
                server.statuses.clear()
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
