"""`keylease audit` with `collect:` as a program: a real OpenBao, the fake GitHub, snapshots, shards."""

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import environment
from tests.conftest import RunKeylease
from tests.fakes.github_rest import GitHubRest
from tests.fakes.misbehaving import Misbehaving, hang
from tests.leaks import Seeded
from tests.servers.trust import Trust

ROOT = Path(__file__).parents[2]

CONFIG = """
version: 1
settings: {{retries: 0, timeout: 5}}
providers:
  vault: {{type: vault, url: {vault}, role: {role}, mount: {mount}, audience: {audience}}}
targets:
  github: {{type: github, url: {github}, token_env: HUB_TOKEN, writes_per_minute: 10000, points_per_minute: 0}}
audit:
  collect:
    - {{type: vault, provider: vault, auth: ["{mount}"], kv: [], databases: [], tokens: false}}
    - {{type: github, organization: acme, members: false}}
    - {{type: job, ignore: [HUB_TOKEN]}}
  waivers:
    - {{rule: "vault-policy-*", subject: "*", reason: other tests share the server, until: "2099-12-31"}}
"""


class Job:
    """`json()` runs the audit and reads its report."""

    def __init__(self, keylease: RunKeylease, trust: Trust, hub: GitHubRest, where: Path) -> None:
        self._keylease, self.trust, self.hub, self.where = keylease, trust, hub, where
        for number in range(4):
            hub.add_repository(f"acme/r{number}")
        self.env = {**trust.issuer.github_env(), "HUB_TOKEN": hub.add_token(kind="integration")}
        self.config = CONFIG.format(
            vault=trust.bao.url, role=trust.role, mount=trust.mount, audience=trust.audience, github=hub.url
        )
        for path in ("sys/auth", "sys/policies/acl", "sys/policies/acl/*", "sys/mounts"):
            trust.grant(path, "read", "list")
        trust.grant("sys/audit", "read", "sudo")
        for path in (f"auth/{trust.mount}/role", f"auth/{trust.mount}/role/*", f"auth/{trust.mount}/config"):
            trust.grant(path, "read", "list")

    def logged_in(self, accessor: str) -> bool:
        found = self.trust.bao.token_lookup(accessor)
        return found is not None and found["path"] == f"auth/{self.trust.mount}/login"

    def run(self, *arguments: str, **env: str) -> Any:
        (self.where / "keylease.yml").write_text(self.config, encoding="utf-8")
        return self._keylease(*arguments, env={**self.env, **env})

    def json(self, *arguments: str, code: int = 0, **env: str) -> Any:
        done = self.run("audit", "--format", "json", *arguments, **env)
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout)


@pytest.fixture
def job(
    keylease: RunKeylease,
    trust: Trust,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Job]:
    monkeypatch.chdir(tmp_path)
    with GitHubRest() as hub:
        yield Job(keylease, trust, hub, tmp_path)
        assert hub.problems == []


def test_all_that_is_named_is_judged(job: Job) -> None:
    job.hub.put("acme", "secret", "EVERYWHERE", "v", visibility="all")
    job.trust.bao.write(
        f"auth/{job.trust.mount}/role/weak",
        {
            "role_type": "jwt",
            "user_claim": "repository",
            "bound_audiences": [job.trust.audience],
            "token_policies": ["default"],
            "token_ttl": "10m",
        },
    )
    found = job.json("--fail-on", "low", code=1)
    rules = {(each["rule"], each["subject"]) for each in found["findings"] if each["status"] == "failing"}
    assert any(rule == "vault-role-any-repository" and subject.endswith("/weak") for rule, subject in rules)
    told = {each["rule"] for each in found["findings"]}
    assert "github-secret-all-repositories" in told
    assert found["inventory"]["github.repository"] == 4
    assert found["inventory"]["job.variable"] == 0
    assert found["problems"] == [], found["problems"]
    lives = [each for each in job.trust.bao.list("auth/token/accessors") if job.logged_in(each)]
    assert lives == [], "the lease that was read with must be given back"


def test_a_snapshot_is_judged_as_it_was_collected(job: Job) -> None:
    job.hub.put("acme", "secret", "EVERYWHERE", "v", visibility="all")
    before = job.json()
    done = job.run("audit", "collect", "-o", "inventory.json")
    assert done.returncode == 0, done.stderr
    assert "collected" in done.stderr
    asked = len(job.hub.requests)
    after = job.json("--inventory", "inventory.json", HUB_TOKEN="", ACTIONS_ID_TOKEN_REQUEST_URL="")
    assert len(job.hub.requests) == asked, "nobody is asked"
    for key in ("findings", "not_checked", "problems", "inventory"):
        assert after[key] == before[key], key


def test_shards_are_the_whole(job: Job) -> None:
    for number in range(4):
        job.hub.put(f"acme/r{number}", "secret", "OLD", "v")
    whole = job.json("--fail-on", "critical")
    names = []
    for number in (1, 2, 3):
        names += ["--inventory", f"{number}.json"]
        assert job.run("audit", "collect", "--shard", f"{number}/3", "--output", f"{number}.json").returncode == 0
    merged = job.json("--fail-on", "critical", *names)
    assert {each["fingerprint"] for each in merged["findings"]} == {each["fingerprint"] for each in whole["findings"]}
    assert merged["inventory"] == whole["inventory"]
    cut = job.json("--fail-on", "critical", *names[:4])
    assert [each["what"] for each in cut["problems"]] == ["of 3 shards of the inventory these lack: 3"]


def test_what_can_not_be_asked_is_never_clean(job: Job) -> None:
    done = job.run("audit", "--format", "json", HUB_TOKEN="not-a-token-of-this-server")
    assert done.returncode == 6, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert "github" in found["problems"][0]["what"].lower()
    assert any(each["rule"] == "github-secret-unused" for each in found["not_checked"])
    assert found["checked"]["vault-role-any-repository"] > 0, "the others were judged"
    assert "could not be collected" in done.stderr
    snapshot = job.run("audit", "collect", "-o", "inventory.json", HUB_TOKEN="not-a-token-of-this-server")
    assert snapshot.returncode == 6
    later = job.json("--inventory", "inventory.json", code=6)
    assert any(each["rule"] == "github-secret-unused" for each in later["not_checked"])


def test_offline_asks_nobody(job: Job) -> None:
    found = job.json("--offline")
    assert job.hub.requests == []
    assert not any(
        kind.startswith(("github.", "vault.jwt_role")) and number for kind, number in found["inventory"].items()
    )


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--shard", "5/4"), "--shard: must be like 1/4"),
        (("--inventory", "none.json"), "can't read 'none.json'"),
        (("--inventory", "."), "can't read '.'"),
        (("--inventory", "keylease.yml"), "it is no inventory of Keylease"),
        (("--import", "none.json"), "can't read 'none.json'"),
        (("--baseline", "."), "can't read the baseline '.'"),
        (("--deadline", "soon"), "--deadline: must be"),
        (("--deadline", "soon", "--offline"), "--deadline: must be"),
    ],
)
def test_mistakes_on_the_command_line(job: Job, arguments: tuple[str, ...], told: str) -> None:
    done = job.run("audit", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr
    assert "\n  change  " in done.stderr


def test_a_value_of_the_job_is_told_by_its_hint_alone(job: Job, seeded: Seeded) -> None:
    key = "sk-admin-" + "Zq3Lw8Xv" * 8 + seeded.new("tail")[-12:]
    seeded.add(key)
    done = job.run("audit", "--format", "json", ADMIN=key)
    assert key not in done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert any(each["rule"] == "ai-admin-key-in-ci" for each in found["findings"]), found["inventory"]
    assert job.run("audit", "collect", "-o", "inventory.json", ADMIN=key).returncode == 0
    assert re.search(r"sk-admin-…", json.loads((job.where / "inventory.json").read_text())["records"].__repr__())


def test_a_signal_ends_the_collecting_and_gives_back_what_was_leased(job: Job, tmp_path: Path) -> None:
    """GitHub answers nothing: Vault's part is done long before, its token given back, and the rest can be ended."""
    with Misbehaving() as silent:
        silent.on("/orgs/*", hang())
        job.config = job.config.replace(job.hub.url, silent.url).replace("timeout: 5", "timeout: 30")
        (job.where / "keylease.yml").write_text(job.config, encoding="utf-8")
        process = subprocess.Popen(
            [sys.executable, "-m", "keylease", "audit"],
            cwd=tmp_path,
            env=environment.clean_environment(**job.env),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        deadline = time.monotonic() + 20
        while not silent.requests and time.monotonic() < deadline:
            time.sleep(0.05)
        assert silent.requests
        process.send_signal(signal.SIGTERM)
        _, told = process.communicate(timeout=10)
    assert process.returncode == 128 + signal.SIGTERM, told
    assert [each for each in job.trust.bao.list("auth/token/accessors") if job.logged_in(each)] == []
