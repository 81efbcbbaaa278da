"""Syncs to Jenkins: the whole program with a real OpenBao, and what is peculiar to credentials of Jenkins.

The Jenkins is a fake: tests/fakes/jenkins_rest.py says what it can't show.
"""

import contextlib
import itertools
import json
import random
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from keylease.context import Context
from keylease.pipelines.sync_apply import Applied, apply_place
from keylease.sync.model import Policy, Slot
from keylease.targets.base import Place
from keylease.targets.jenkins import JenkinsTarget
from keylease.vendors.jenkins_settings import JenkinsSettings
from tests import environment
from tests.conftest import RunKeylease
from tests.fakes.jenkins_credentials import FILE, PASSWORD, SSH, TEXT, Credential
from tests.fakes.jenkins_rest import FakeJenkins, Lost, Refused
from tests.fakes.misbehaving import Misbehaving, reply
from tests.integration.jenkins_site import KEYS, USER, actions, at, changes_of, planned, put, run, site, target_of
from tests.leaks import Seeded
from tests.servers.trust import Trust


@pytest.fixture
def jenkins(seeded: Seeded) -> Iterator[FakeJenkins]:
    """See `site`."""
    with site(seeded) as server:
        yield server


# The whole program.


def configured(directory: Path, trust: Trust, jenkins: FakeJenkins, to: str, more: str = "") -> Path:
    bao = f"{{type: vault, url: '{trust.bao.url}', role: {trust.role}, mount: {trust.mount}"
    text = f"""
        version: 1
        providers:
          vault: {bao}, audience: '{trust.audience}'}}
        targets:
          jenkins: {{type: jenkins, url: '{jenkins.url}', user: {USER}}}
        ledger:
          key: vault://{trust.kv.mount}/keylease#sync_key
        sync:
          - name: ml-prod
            from: vault://{trust.kv.mount}/ml/*
            to: {to}
            prune: true
        """
    path = directory / "keylease.yml"
    path.write_text(textwrap.dedent(text) + more, encoding="utf-8")
    return path


def sync(
    keylease: RunKeylease, config: Path, trust: Trust, jenkins: FakeJenkins, *arguments: str, code: int = 0
) -> dict[str, tuple[str, str]]:
    """{name: (action, effect)} of a run."""
    env = {**trust.issuer.github_env(), "JENKINS_API_TOKEN": jenkins.users[USER].token}
    done = keylease("sync", *arguments, "--config", str(config), "--format", "json", env=env)
    assert done.returncode == code, done.stderr
    places = json.loads(done.stdout)["places"]
    return {each["name"]: (each["action"], each["effect"]) for place in places for each in place["changes"]}


def test_plan_apply_prune_adopt(
    keylease: RunKeylease, trust: Trust, jenkins: FakeJenkins, tmp_path: Path, seeded: Seeded
) -> None:
    first, second, rotated = seeded.new("first"), seeded.new("second"), seeded.new("rotated")
    trust.kv.put("keylease", {"sync_key": seeded.new("key")})
    trust.kv.put("ml/db", {"password": first})
    trust.kv.put("ml/hub", {"token": second})
    foreign = Credential(TEXT, "HUB_TOKEN", "SYSTEM", "made by hand", {}, {"secret": b"theirs"})
    jenkins.plant("team/app", "prod", foreign)
    config = configured(tmp_path, trust, jenkins, "jenkins://?folder=team/app&domain=prod")
    held = jenkins.credentials("team/app", "prod")

    def run(*arguments: str, code: int = 0) -> dict[str, tuple[str, str]]:
        return sync(keylease, config, trust, jenkins, *arguments, code=code)

    assert run("plan") == {"DB_PASSWORD": ("add", "write"), "HUB_TOKEN": ("blocked", "none")}
    assert not jenkins.changes, "a plan writes nothing"
    run("plan", "--check", code=1)
    run("apply", code=6)
    assert held["DB_PASSWORD"].value == first.encode()
    assert held["HUB_TOKEN"] is foreign
    assert run("adopt", "HUB_TOKEN") == {"DB_PASSWORD": ("unchanged", "none"), "HUB_TOKEN": ("adopt", "write")}
    assert held["HUB_TOKEN"].value == second.encode()
    assert held["HUB_TOKEN"].scope == "SYSTEM", "an adopted credential is not opened to jobs"
    assert held["HUB_TOKEN"].description.startswith("made by hand [keylease SYSTEM ")
    before = len(jenkins.changes)
    assert set(run("apply").values()) == {("unchanged", "none")}
    assert len(jenkins.changes) == before, "nothing to do is nothing written"
    run("plan", "--check")
    trust.kv.put("ml/db", {"password": rotated})
    assert trust.bao.request("DELETE", f"{trust.kv.mount}/metadata/ml/hub").ok
    assert run("plan") == {"DB_PASSWORD": ("update", "write"), "HUB_TOKEN": ("orphan", "delete")}
    run("apply")
    assert held["DB_PASSWORD"].value == rotated.encode()
    assert set(held) == {"DB_PASSWORD", "KEYLEASE_LEDGER_ML_PROD__1"}
    assert all(value not in request.target for request in jenkins.requests for value in (first, second, rotated))
    ledger = held["KEYLEASE_LEDGER_ML_PROD__1"]
    assert not any(value in ledger.plain["username"] for value in (first, second, rotated))


def test_kill_at_every_write(trust: Trust, jenkins: FakeJenkins, tmp_path: Path, seeded: Seeded) -> None:
    values = {f"N{n}": seeded.new(f"value {n}") for n in range(3)}
    trust.kv.put("keylease", {"sync_key": seeded.new("key")})
    trust.kv.put("ml/app", values)
    config = configured(tmp_path, trust, jenkins, "jenkins://?folder=team/app")
    env = {**trust.issuer.github_env(), "JENKINS_API_TOKEN": jenkins.users[USER].token}
    process: subprocess.Popen[bytes] | None = None

    def kill(_what: str) -> None:
        assert process is not None
        process.kill()
        process.wait()

    def start() -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "keylease", "sync", "apply", "--config", str(config)]
        return subprocess.Popen(
            command,
            env=environment.clean_environment(**env),
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    ended = 0
    for n in range(40):
        # Killed before its first write, after it, before its second, …
        hook = _counting(n // 2, kill)
        jenkins.before, jenkins.after = (hook, lambda _: None) if n % 2 == 0 else (lambda _: None, hook)
        process = start()
        output, _ = process.communicate(timeout=60)
        seeded.saw("stdout", output.decode(), "output of keylease")
        if process.returncode == 0:
            ended += 1
            break
    assert ended, "each run gets further"
    assert n >= 4
    held = jenkins.credentials("team/app")
    assert {name: each.value.decode() for name, each in held.items() if name.startswith("APP_")} == {
        f"APP_{name}": value for name, value in values.items()
    }
    jenkins.before = jenkins.after = lambda _: None
    before = len(jenkins.changes)
    process = start()
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output.decode()
    assert len(jenkins.changes) == before


def _counting(number: int, does: Callable[[str], None]) -> Callable[[str], None]:
    numbers = itertools.count()

    def hook(what: str) -> None:
        if next(numbers) == number:
            does(what)

    return hook


def test_one_id_from_two_sources_and_types(
    keylease: RunKeylease, trust: Trust, jenkins: FakeJenkins, tmp_path: Path, seeded: Seeded
) -> None:
    trust.kv.put("keylease", {"sync_key": seeded.new("key")})
    trust.kv.put("ml/db", {"password": seeded.new("value")})
    long_form = "{folder: team/app, kind: username-password, username: deploy, description: of the models}"
    config = configured(tmp_path, trust, jenkins, long_form)
    assert sync(keylease, config, trust, jenkins, "apply") == {"DB_PASSWORD": ("add", "write")}
    found = jenkins.credentials("team/app")["DB_PASSWORD"]
    assert (found.kind, found.plain["username"], found.hides_username) == (PASSWORD, "deploy", False)
    assert found.name.startswith("deploy/****** (of the models [keylease ")
    config = configured(tmp_path, trust, jenkins, "{folder: team/app, kind: secret-file}")
    assert sync(keylease, config, trust, jenkins, "apply") == {"DB_PASSWORD": ("update", "write")}
    found = jenkins.credentials("team/app")["DB_PASSWORD"]
    assert (found.kind, found.plain["fileName"]) == (FILE, "DB_PASSWORD")
    assert found.description.startswith("of the models [keylease ")
    assert jenkins.changes.count("create DB_PASSWORD") == 1, "replaced in place, never missing"


# Chaos: at any moment a run ends, a request is refused or lost, or is done late or twice.


class Stop(BaseException):  # as a signal or kill -9 ends a run: nothing catches it
    """The run ends here."""


class StoppedTarget(JenkinsTarget):
    """Ends the run before or after a write."""

    chance: random.Random | None = None

    def _maybe(self) -> None:
        if self.chance and self.chance.random() < 0.08:
            raise Stop

    def _write(self, *arguments: Any, **more: Any) -> None:
        self._maybe()
        super()._write(*arguments, **more)
        self._maybe()

    def delete(self, place: Place, slot: Slot) -> None:
        self._maybe()
        super().delete(place, slot)
        self._maybe()


@pytest.mark.parametrize("seed", range(40))
def test_chaos(jenkins: FakeJenkins, seed: int) -> None:
    chance = random.Random(seed)
    foreign = {f"FOREIGN_{n}": Credential(TEXT, f"FOREIGN_{n}", None, "", {}, {"secret": b"x"}) for n in range(2)}
    for each in foreign.values():
        jenkins.plant("team/app", "", each)
    names = [f"N{n}" for n in range(6)]
    held = jenkins.credentials("team/app")
    for _ in range(3):
        values = {name: chance.choice("abc") for name in names if chance.random() < 0.7}
        owned = set(held) & set(values)
        _with_faults(jenkins, values, chance)
        assert owned <= set(held), "what stays wanted is never missing"
        target = StoppedTarget(*_made(jenkins))
        place = at(target)
        applied = run(target, place, values)
        assert not applied.failed
        now = changes_of(target, place, values)
        # What is left over from an interrupted run is never deleted, as it may be somebody else's by now.
        left = {change.slot.name for change in now if change.action == "orphan"}
        assert {change.action for change in now if change.slot.name not in left} <= {"unchanged"}
        ours = {name: each.value.decode() for name, each in held.items() if name in names and name not in left}
        assert ours == values
        before = len(jenkins.changes)
        run(target, place, values)
        assert len(jenkins.changes) == before, "nothing to do is nothing written"
    assert all(held[name] is each for name, each in foreign.items()), "nothing foreign was touched"


def _made(jenkins: FakeJenkins, retries: int = 0) -> tuple[str, JenkinsSettings, Context]:
    target = target_of(jenkins, retries=retries)
    return target.name, target.settings, target.context


def _with_faults(jenkins: FakeJenkins, values: Mapping[str, str], chance: random.Random) -> None:
    def before(_what: str) -> None:
        if chance.random() < 0.15:
            codes = (403, 404, 409, 422, 429, 500, 502, 503)
            raise chance.choice([*(Refused(code, "chaos") for code in codes), Lost(), Lost(late=True)])

    def after(what: str) -> None:
        if chance.random() < 0.15:
            # Done, and the answer is lost; or it was done twice, and the second answer is the one that arrives.
            raise chance.choice([Lost(), Refused(409 if what.startswith("create") else 404, "twice"), Refused(504, "")])

    jenkins.before, jenkins.after = before, after
    for _ in range(chance.randrange(1, 4)):
        target = StoppedTarget(*_made(jenkins))
        target.chance = chance
        with contextlib.suppress(Stop):
            run(target, at(target), values)
    jenkins.before = jenkins.after = lambda _: None


# What can and can't be seen.


def test_what_somebody_changed_is_seen_where_a_list_shows_it(jenkins: FakeJenkins) -> None:
    target = target_of(jenkins)
    place = at(target, "jenkins://?folder=team/app&kind=username-password&username=deploy")
    values = {"A": "1", "B": "2", "C": "3", "D": "4"}
    run(target, place, values)
    held = jenkins.credentials("team/app")
    assert actions(target, place, values) == dict.fromkeys(values, "unchanged")
    held["A"].description = "rotated by hand"
    held["B"].plain["username"] = "somebody"
    held["C"] = Credential(TEXT, "C", "GLOBAL", held["C"].description, {}, {"secret": b"theirs"})
    held["D"].secrets["password"] = b"theirs"
    found = actions(target, place, values)
    assert (found["A"], found["B"], found["C"]) == ("drifted", "drifted", "drifted")
    # The limit: whoever types another value into the form and leaves the rest alone is not seen.
    assert found["D"] == "unchanged"
    run(target, place, values)
    assert held["A"].value == b"1"
    assert held["A"].plain["username"] == held["B"].plain["username"] == "deploy"
    assert held["C"].kind == PASSWORD
    assert actions(target, place, values) == dict.fromkeys(values, "unchanged")


def test_a_change_of_what_is_declared_is_an_update(jenkins: FakeJenkins) -> None:
    target = target_of(jenkins)
    run(target, at(target, "jenkins://?domain=prod"), {"A": "1"})
    held = jenkins.credentials("", "prod")
    assert held["A"].scope == "GLOBAL"
    assert held["KEYLEASE_LEDGER_ONE__1"].scope == "SYSTEM", "kept from jobs"
    for query, where in (("scope=SYSTEM", "scope"), ("scope=SYSTEM&description=new", "description")):
        place = at(target, f"jenkins://?domain=prod&{query}")
        [change] = changes_of(target, place, {"A": "1"})
        assert change.action == "update"
        assert change.reason.startswith(f"differs in {where}")
        run(target, place, {"A": "1"})
        assert not changes_of(target, place, {"A": "1"})[0].reason
    assert held["A"].scope == "SYSTEM"
    assert held["A"].description.startswith("new [keylease SYSTEM ")
    # What is no longer declared stays.
    run(target, at(target, "jenkins://?domain=prod"), {"A": "2"})
    assert (held["A"].value, held["A"].scope) == (b"2", "SYSTEM")
    assert held["A"].description.startswith("new [keylease SYSTEM ")


def test_a_description_of_somebody_else_is_kept(jenkins: FakeJenkins) -> None:
    target = target_of(jenkins)
    place = at(target)
    jenkins.plant("team/app", "", Credential(TEXT, "A", "GLOBAL", "für\n<b>ML</b> \x01 & co", {}, {"secret": b"x"}))
    run(target, place, {"A": "1"}, adopt=True)
    found = jenkins.credentials("team/app")["A"]
    assert found.value == b"1"
    assert found.description.startswith("für\n<b>ML</b>  & co [keylease ")
    assert actions(target, place, {"A": "1"}) == {"A": "unchanged"}


def test_types_in_a_language_that_the_server_insists_on(jenkins: FakeJenkins) -> None:
    target = target_of(jenkins)
    put(target, at(target), "A", "value")
    assert target.list(at(target)).remotes[Slot("credential", "A")].options["kind"] == "secret-text"
    asked = jenkins.requests[-1]
    assert asked.header("Accept-Language") == "en"
    # A type with a name that is not known is not compared, so it is no difference for ever.
    jenkins.plant("team/app", "", Credential(SSH, "B", None, "", {"username": "git"}, {}))
    with Misbehaving() as server:
        shown = {"id": "B", "typeName": "SSH ユーザー名と秘密鍵", "displayName": "git", "description": None}
        server.on("*", reply(json={"credentials": [shown]}))
        other = target_of(jenkins, url=server.url)
        remote = other.list(at(other)).remotes[Slot("credential", "B")]
    assert "kind" not in remote.options
    assert remote.updated_at


def test_the_ledger_is_in_no_list_to_choose_from(jenkins: FakeJenkins) -> None:
    target = target_of(jenkins)
    place = at(target)
    run(target, place, {f"NAME_{n:03}": str(n) for n in range(400)})
    parts = [each for name, each in jenkins.credentials("team/app").items() if name.startswith("KEYLEASE_LEDGER_")]
    assert len(parts) > 1
    for part in parts:
        assert len(part.name) < 150
        assert part.hides_username
        assert part.secrets == {"password": b"none"}
        assert 1000 < len(part.plain["username"]) <= target.record_size
    sent = len(jenkins.requests)
    assert len(target_of(jenkins).list(place).ledgers["one"]) == len(parts)
    assert len(jenkins.requests) == sent + 1 + len(parts), "one list, and one request per part"


@pytest.mark.parametrize("damage", ["shown as redacted", "another type", "cut"])
def test_a_ledger_that_can_not_be_read_deletes_nothing(jenkins: FakeJenkins, damage: str) -> None:
    target = target_of(jenkins)
    place = at(target)
    run(target, place, {"A": "1", "B": "2"})
    held = jenkins.credentials("team/app")
    name = "KEYLEASE_LEDGER_ONE__1"
    if damage == "another type":
        held[name] = Credential(TEXT, name, None, "", {}, {"secret": b"x"})
    else:
        text = held[name].plain["username"]
        held[name].plain["username"] = "" if damage == "shown as redacted" else text[: len(text) // 2]
    assert actions(target, place, {"A": "1", "C": "3"}) == {"A": "blocked", "C": "add"}
    run(target, place, {"A": "1", "C": "3"})
    assert {"A", "B", "C", name} <= set(held)
    taken = Applied()
    [plan] = planned(target, place, {"A": "1", "C": "3"}, Policy(prune=True, adopt=True)).places
    apply_place(plan, target, KEYS, taken, replace_unknown=True)
    assert not taken.failed
    assert actions(target, place, {"A": "1", "C": "3"}) == {"A": "unchanged", "C": "unchanged"}
