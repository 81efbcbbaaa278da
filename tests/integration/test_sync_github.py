"""A sync to GitHub that is cut off, refused and answered twice, at any request: the next run carries on."""

import contextlib
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from keylease.context import Context
from keylease.errors import KeyleaseError, UnreachableError
from keylease.http import Deadline
from keylease.masking import Masker
from keylease.pipelines.sync import PlacePlan
from keylease.pipelines.sync_apply import Applied, apply_place
from keylease.secret import Secret
from keylease.sync import ledger as ledgers
from keylease.sync.ledger import Keys
from keylease.sync.model import Change, Policy, Wanted
from keylease.sync.planner import Case, plan_place
from keylease.targets.github import GitHubTarget
from keylease.vendors.github_settings import GitHubSettings
from tests import environment
from tests.conftest import RunKeylease
from tests.fakes.github_rest import GitHubRest
from tests.fakes.loopback import Exchange, Received
from tests.fakes.misbehaving import close_quietly, drop, reply
from tests.leaks import Seeded
from tests.servers.trust import Trust

KEYS = Keys.of(Secret("k" * 32), "a test")
PATTERN = "vault://kv/*"
PRUNE = Policy(prune=True)


@pytest.fixture
def github() -> Iterator[GitHubRest]:
    """All requests and answers were as GitHub describes them."""
    with GitHubRest() as server:
        yield server
        assert server.problems == []


def target_of(github: GitHubRest, **settings: Any) -> GitHubTarget:
    """As another run would make it."""
    context = Context({}, Masker(), Deadline(60))
    token = settings.pop("token", None) or github.add_token()
    given = {"retries": 1, "writes_per_minute": 10_000, "points_per_minute": 0, **settings}
    sealed = context.seal(token, "token")
    return GitHubTarget(
        "github", GitHubTarget.complete(GitHubSettings(url=github.url, token=sealed, **given), {}), context
    )


Values = Mapping[tuple[str, str], str]  # (kind, name) → value


def planned(target: GitHubTarget, path: str, values: Values, sync: str = "one", policy: Policy = PRUNE) -> PlacePlan:
    """As SyncRun plans one place, without the sources."""
    kinds = sorted({kind for kind, _ in values} | {"secret", "variable"})
    sign = "&" if "?" in path else "?"
    places = {kind: target.places(target.parse(f"github://{path}{sign}kind={kind}"))[0] for kind in kinds}
    at = places["secret"]
    listing = target.list(at)
    ledger = ledgers.read(at.address, sync, listing.ledgers.get(sync, {}), KEYS)
    wanted = [
        Wanted(target.slot(places[kind], name), target.context.seal(value, name), f"vault://kv/{sync}#{name}", PATTERN)
        for (kind, name), value in values.items()
    ]
    others = {s: n for n, records in listing.ledgers.items() if n != sync for s in ledgers.claimed(records)}
    case = Case(wanted, listing, ledger, KEYS, policy, {PATTERN}, (), others)
    changes = plan_place(case, lambda each: target.check(places[each.slot.kind], each))
    return PlacePlan(sync, at.address, "github", dict(places), wanted, listing, ledger, changes)


def run(target: GitHubTarget, path: str, values: Values, **more: Any) -> Applied:
    applied = Applied()
    apply_place(planned(target, path, values, **more), target, KEYS, applied)
    return applied


def left_over(changes: list[Change]) -> set[tuple[str, str]]:
    return {(change.slot.kind, change.slot.name) for change in changes if change.action == "orphan"}


class Chaos:
    """Faults at random, before a request is done or after it."""

    def __init__(self, github: GitHubRest, seed: int) -> None:
        self.github = github
        self.chance = random.Random(seed)

    def before(self, request: Received) -> Callable[[Exchange], None] | None:
        if self.chance.random() > 0.15:
            return None
        code = self.chance.choice([0, 1, 2, 403, 404, 409, 422, 429, 500, 503])
        if code == 0:
            return drop()
        if code == 1:
            return close_quietly()
        if code == 2:
            # It comes twice: a proxy in between has sent it again.
            with self.github._lock:
                self.github._answer(request)
            return None
        headers = {"Retry-After": "0"} if code == 429 else {}
        return reply(code, json={"message": "chaos", "documentation_url": "x", "status": str(code)}, headers=headers)

    def after(self, request: Received) -> Callable[[Exchange], None] | None:
        return drop() if self.chance.random() < 0.1 else None

    def __enter__(self) -> Self:
        self.github.before, self.github.after = self.before, self.after
        self.github.shuffle = random.Random(self.chance.random())
        return self

    def __exit__(self, *_: object) -> None:
        self.github.before = self.github.after = lambda _: None
        self.github.shuffle = None


class Stop(BaseException):  # as a signal or kill -9 ends a run: nothing catches it
    """The run ends here."""


def mortal(target: GitHubTarget, chance: random.Random) -> GitHubTarget:
    """A target in whose run everything ends, now and then, before or after a write."""
    for name in ("_put_variable", "put", "delete"):
        write = getattr(target, name)

        def ending(*given: Any, write: Callable[..., None] = write, **more: Any) -> None:
            if chance.random() < 0.04:
                raise Stop
            write(*given, **more)
            if chance.random() < 0.04:
                raise Stop

        setattr(target, name, ending)
    return target


NAMES = [(kind, f"N{n}") for kind in ("secret", "variable", "dependabot") for n in range(4)]


@pytest.mark.parametrize("group", range(6))
def test_whatever_goes_wrong_the_next_run_mends(github: GitHubRest, group: int) -> None:
    for seed in range(group * 10, group * 10 + 10):
        chance = random.Random(seed)
        path = f"acme/repo{seed}"
        github.add_repository(path, environments={"prod"})
        if chance.random() < 0.3:
            path += "?environment=prod"
        place = path.replace("?environment=", "?")
        names = [pair for pair in NAMES if pair[0] != "dependabot" or "?" not in path]
        foreign = {("secret", "FOREIGN"): "theirs", ("variable", "FOREIGN"): "theirs"}
        for (kind, name), value in foreign.items():
            github.put(place, kind, name, value)
        token = github.add_token()
        for _ in range(3):
            values = {pair: chance.choice("abc") * 9 for pair in chance.sample(names, chance.randrange(len(names)))}
            for attempt in range(chance.randrange(3)):
                owned = {pair for pair in values if github.value(place, *pair) is not None}
                with Chaos(github, seed * 100 + attempt) as chaos, contextlib.suppress(KeyleaseError, Stop):
                    run(mortal(target_of(github, token=token), chaos.chance), path, values)
                # Nothing that stays wanted is ever missing in between.
                assert all(github.value(place, *pair) is not None for pair in owned)
            first = run(target_of(github, token=token), path, values)
            assert [failed.error.summary for failed in first.failed] == []
            again = planned(target_of(github, token=token), path, values)
            # What an interrupted run left is never deleted, as it may be somebody else's by now.
            left = left_over(again.changes)
            held = {(kind, n): v for kind, _ in names for n, v in github.held(place, kind).items()}
            held = {pair: v for pair, v in held.items() if not pair[1].startswith("KEYLEASE_") and pair not in left}
            assert held == values | foreign, seed
            rest = [change for change in again.changes if (change.slot.kind, change.slot.name) not in left]
            assert {change.action for change in rest} <= {"unchanged"}, (seed, rest)
            before = len(github.log)
            run(target_of(github, token=token), path, values)
            assert len(github.log) == before, "nothing to do is nothing written"
    assert github.overlapping == 0


def test_lists_that_change_while_they_are_read_are_never_short(github: GitHubRest) -> None:
    github.add_repository("acme/x")
    names = {f"N{n:03}" for n in range(250)}
    for name in names:
        github.put("acme", "secret", name, "value")
    complete = 0
    for seed in range(10):
        github.shuffle = random.Random(seed)
        target = target_of(github)
        [place] = target.places(target.parse("github://acme"))
        with contextlib.suppress(UnreachableError):
            assert {slot.name for slot in target.list(place).remotes} == names
            complete += 1
    github.shuffle = None
    target = target_of(github)
    assert {slot.name for slot in target.list(place).remotes} == names


def test_two_syncs_leave_each_other_alone(github: GitHubRest) -> None:
    github.add_repository("acme/trainer")
    one, two = {("secret", "A"): "1", ("secret", "B"): "1"}, {("secret", "B"): "2", ("secret", "C"): "2"}
    run(target_of(github), "acme/trainer", one, sync="one")
    run(target_of(github), "acme/trainer", two, sync="two")
    assert github.held("acme/trainer", "secret") == {"A": "1", "B": "1", "C": "2"}
    run(target_of(github), "acme/trainer", {}, sync="one")
    assert github.held("acme/trainer", "secret") == {"C": "2"}


# The whole program, with a real manager, killed at each write.

CONFIG = """
version: 1
providers:
  vault: {{type: vault, url: {bao}, role: {role}, mount: {mount}, audience: "{audience}"}}
targets:
  github: {{type: github, url: "{github}", token_env: SYNC_TOKEN, writes_per_minute: 6000, cache: {cache}}}
ledger:
  key: vault://{kv}/keylease#sync_key
sync:
  - name: ml-prod
    from: vault://{kv}/ml/*
    to:
      - github://acme/trainer
      - {{target: github, repository: acme/trainer, kind: variable, include: PUBLIC_*}}
    prune: true
"""

Job = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def job(github: GitHubRest, trust: Trust, seeded: Seeded, tmp_path: Path) -> dict[str, Any]:
    """What a child process needs: the file, and the environment."""
    github.add_repository("acme/trainer")
    github.put("acme/trainer", "secret", "FOREIGN", "theirs")
    key = seeded.new("ledger-key-of-32-bytes-and-more")
    trust.kv.put("keylease", {"sync_key": key})
    config = tmp_path / "keylease.yml"
    config.write_text(
        CONFIG.format(
            bao=trust.bao.url,
            role=trust.role,
            mount=trust.mount,
            audience=trust.audience,
            github=github.url,
            kv=trust.kv.mount,
            cache=tmp_path / "cache.db",
        )
    )
    token = github.add_token()
    seeded.add(token)
    return {"config": str(config), "env": {**trust.issuer.github_env(), "SYNC_TOKEN": token}}


def sources(trust: Trust, seeded: Seeded, step: int) -> dict[str, str]:
    """What the manager holds at a step, and what GitHub shall hold."""
    values = {"db": seeded.new("db"), "public_url": f"https://{step}.example.com/{seeded.new('public')}"}
    if step == 2:
        assert trust.bao.request("DELETE", f"{trust.kv.mount}/metadata/ml/old").ok
        values["new"] = seeded.new("new")
    else:
        values["old"] = seeded.new("old")
    for name, value in values.items():
        trust.kv.put(f"ml/{name}", {"value": value})
    return {f"{name.upper()}_VALUE": value for name, value in values.items()}


def applied(job: dict[str, Any], github: GitHubRest, seeded: Seeded, kill_at: int, when: str) -> int:
    """Run `sync apply`; SIGKILL it at its n-th write, before or after that is done. Returns the exit code."""
    env = environment.clean_environment(**job["env"])
    command = [sys.executable, "-m", "keylease", "sync", "apply", "--config", job["config"]]
    child = subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=Path(job["config"]).parent
    )
    count = 0

    def at(request: Received) -> Callable[[Exchange], None] | None:
        nonlocal count
        if request.method == "GET":
            return None
        count += 1
        if count != kill_at:
            return None
        os.kill(child.pid, signal.SIGKILL)
        return drop()

    setattr(github, when, at)
    out, err = child.communicate(timeout=60)
    github.before = github.after = lambda _: None
    seeded.saw("stdout", out, "stdout of a killed run")
    seeded.saw("stderr", err, "stderr of a killed run")
    if child.returncode != -signal.SIGKILL:
        print(err)
    return child.returncode


def _equals(github: GitHubRest, wanted: Mapping[str, str]) -> bool:
    secrets, variables = github.held("acme/trainer", "secret"), github.held("acme/trainer", "variable")
    own = {name: value for name, value in variables.items() if not name.startswith("KEYLEASE_LEDGER_")}
    public = {name: value for name, value in wanted.items() if name.startswith("PUBLIC_")}
    return secrets == {**wanted, "FOREIGN": "theirs"} and own == public


@pytest.mark.slow
def test_killed_at_each_write(
    github: GitHubRest, job: dict[str, Any], trust: Trust, seeded: Seeded, keylease: RunKeylease
) -> None:
    check = ("sync", "plan", "--check", "--config", job["config"])
    wanted = sources(trust, seeded, 1)
    for number in (1, 2, 4):
        assert applied(job, github, seeded, number, "after") == -signal.SIGKILL
        assert github.value("acme/trainer", "secret", "FOREIGN") == b"theirs"
    done = keylease("sync", "apply", "--config", job["config"], env=job["env"])
    assert done.returncode == 0, done.stderr
    assert _equals(github, wanted)
    assert keylease(*check, env=job["env"]).returncode == 0

    github.clock.skip(5)
    wanted = sources(trust, seeded, 2)
    assert keylease(*check, env=job["env"]).returncode == 1
    for number, when in ((1, "before"), (2, "after"), (3, "before"), (4, "after")):
        code = applied(job, github, seeded, number, when)
        assert code == -signal.SIGKILL, code
        assert {"DB_VALUE", "PUBLIC_URL_VALUE", "FOREIGN"} <= set(github.held("acme/trainer", "secret"))
    for _ in range(2):
        done = keylease("sync", "apply", "--config", job["config"], env=job["env"])
        assert done.returncode == 0, done.stderr
    assert _equals(github, wanted)
    writes = len(github.log)
    done = keylease("sync", "apply", "--config", job["config"], env=job["env"])
    assert done.returncode == 0
    assert len(github.log) == writes
    done = keylease(*check, env=job["env"])
    assert done.returncode == 0, done.stdout
    assert github.statuses[304] > 0


APP_CONFIG = """
version: 1
providers:
  vault: {{type: vault, url: {bao}, role: {role}, mount: {mount}, audience: "{audience}"}}
targets:
  github:
    {{type: github, url: "{github}", app_id: 99, private_key: {{secret: "vault://{kv}/app#key"}}}}
ledger:
  key: vault://{kv}/keylease#sync_key
sync:
  - name: ml
    from: vault://{kv}/ml/*
    to:
      - {{target: github, organization: acme, repositories: [trainer]}}
      - {{target: github, organization: acme, select: {{names: "ml-*", topics: [gpu]}}, kind: dependabot, prefix: ML_}}
      - github://acme/trainer?environment=prod
"""


def test_an_app_whose_key_is_in_vault_syncs_an_organisation(
    github: GitHubRest, trust: Trust, seeded: Seeded, tmp_path: Path, keylease: RunKeylease
) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    seeded.add(private)
    github.on_token = seeded.add
    github.add_app("99", public, {"acme": 7})
    github.add_repository("acme/trainer", environments={"prod"})
    for name in ("ml-a", "ml-b", "other"):
        github.add_repository(f"acme/{name}", topics=("gpu",))
    github.add_repository("acme/ml-old", topics=("gpu",), archived=True)
    trust.kv.put("app", {"key": private})
    trust.kv.put("keylease", {"sync_key": seeded.new("ledger-key-of-32-bytes-and-more")})
    value = seeded.new("db")
    trust.kv.put("ml/db", {"password": value})
    config = tmp_path / "keylease.yml"
    given = {"bao": trust.bao.url, "role": trust.role, "mount": trust.mount, "audience": trust.audience}
    config.write_text(APP_CONFIG.format(github=github.url, kv=trust.kv.mount, **given))
    env = trust.issuer.github_env()
    done = keylease("sync", "plan", "--check", "--config", str(config), env=env)
    assert done.returncode == 1, done.stderr
    assert [path for _, path in github.log if not path.startswith(("/app/", "/installation/"))] == []
    done = keylease("sync", "apply", "--config", str(config), env=env)
    assert done.returncode == 0, done.stderr
    held = {"DB_PASSWORD": value}
    assert github.held("acme", "secret") == held
    assert github.store("acme", "secret").values["DB_PASSWORD"].visibility == "selected"
    assert github.held("acme/trainer?prod", "secret") == held
    for name in ("ml-a", "ml-b"):
        assert github.held(f"acme/{name}", "dependabot") == {"ML_DB_PASSWORD": value}
    for name in ("other", "ml-old", "trainer"):
        assert github.held(f"acme/{name}", "dependabot") == {}
    assert keylease("sync", "plan", "--check", "--config", str(config), env=env).returncode == 0
