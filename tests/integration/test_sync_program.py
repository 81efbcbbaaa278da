"""The whole program: a job's identity token, secrets of a real OpenBao, the fake GitHub and the fake GitLab together.

The platforms' own rules are tried elsewhere; here it is what the commands promise.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.conftest import RunKeylease
from tests.fakes.github_rest import GitHubRest
from tests.fakes.gitlab_rest import GitLab
from tests.integration.gitlab_sync import served
from tests.leaks import Seeded
from tests.servers.trust import Trust

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((ROOT / "docs/sync-plan.schema.json").read_text(encoding="utf-8"))

CONFIG = """
version: 1
settings: {{retries: 1, timeout: 5}}
providers:
  vault: {{type: vault, url: {vault}, role: {role}, mount: {mount}, audience: {audience}}}
targets:
  github: {{type: github, url: {github}, token_env: HUB_TOKEN, writes_per_minute: 10000, points_per_minute: 0}}
  gitlab: {{type: gitlab, url: {gitlab}, token_env: LAB_TOKEN}}
ledger:
  key: vault://{kv}/keylease#sync_key
sync:
  - name: ml
    from: vault://{kv}/ml/**
    to:
      - {{repository: acme/trainer}}
      - {{repository: acme/trainer, kind: variable, include: "*_URL"}}
      - {{project: acme/trainer, exclude: "*_URL"}}
    prune: true
  - name: other
    from: vault://{kv}/other#key
    to: {{repository: acme/second, prefix: OTHER_}}
"""


class Job:
    """`run("plan")`; `json("plan")` also gives what it printed."""

    def __init__(self, keylease: RunKeylease, trust: Trust, hub: GitHubRest, lab: GitLab, seeded: Seeded) -> None:
        self._keylease = keylease
        self.trust, self.hub, self.lab, self.seeded = trust, hub, lab, seeded
        hub.add_repository("acme/trainer")
        hub.add_repository("acme/second")
        self.env = {
            **trust.issuer.github_env(),
            "HUB_TOKEN": hub.add_token(),
            "LAB_TOKEN": lab.token(seeded.new("glpat"), ["api"], roles={"acme/trainer": 40}),
        }
        self.kv = trust.kv
        self.kv.put("keylease", {"sync_key": seeded.new("ledger-key-of-32-bytes-or-more")})
        self.value = {name: seeded.new(name) for name in ("token", "password", "key")}
        self.kv.put("ml/hf", {"token": self.value["token"]})
        self.kv.put("ml/db/main", {"password": self.value["password"], "url": "https://db.example.com"})
        self.kv.put("other", {"key": self.value["key"]})
        self.config = CONFIG

    def run(self, *arguments: str, code: int = 0) -> str:
        given = {"vault": self.trust.bao.url, "role": self.trust.role, "mount": self.trust.mount}
        given |= {"audience": self.trust.audience, "github": self.hub.url, "gitlab": self.lab.url, "kv": self.kv.mount}
        Path("keylease.yml").write_text(self.config.format(**given), encoding="utf-8")
        done = self._keylease("sync", *arguments, env=self.env)
        assert done.returncode == code, f"{done.returncode}\n{done.stderr}\n{done.stdout}"
        self.said = done.stderr
        return done.stdout

    def plan(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.run("plan", "--format", "json", *arguments, code=code))
        jsonschema.Draft202012Validator(SCHEMA).validate(found)
        return found

    def actions(self, *arguments: str, code: int = 0) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for place in self.plan(*arguments, code=code)["places"]:
            for change in place["changes"]:
                found.setdefault(change["action"], set()).add(f"{change['kind']} {change['name']}")
        return found

    def secrets(self, repository: str = "acme/trainer") -> dict[str, str]:
        return self.hub.held(repository, "secret")

    def gitlab_names(self) -> set[str]:
        names = {each["key"] for each in self.lab.project("acme/trainer").variables}
        return {name for name in names if not name.startswith("KEYLEASE_LEDGER")}

    def writes(self) -> int:
        requests = [*self.hub.requests, *self.lab.requests]
        return sum(each.method in ("PUT", "POST", "PATCH", "DELETE") for each in requests)


@pytest.fixture
def job(
    keylease: RunKeylease, trust: Trust, seeded: Seeded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Job]:
    monkeypatch.chdir(tmp_path)
    with served() as lab, GitHubRest() as hub:
        yield Job(keylease, trust, hub, lab, seeded)
        assert hub.problems == []


SECRETS = {"HF_TOKEN", "DB_MAIN_PASSWORD", "DB_MAIN_URL"}


def test_a_first_sync_and_none_after_it(job: Job) -> None:
    assert job.actions("--check", code=1) == {
        "add": {
            *(f"secret {name}" for name in SECRETS | {"OTHER_KEY"}),
            "variable DB_MAIN_URL",
            "variable HF_TOKEN",
            "variable DB_MAIN_PASSWORD",
        }
    }
    assert job.writes() == 0
    table = job.run("apply")
    assert "add" in table
    assert job.secrets() == {
        "HF_TOKEN": job.value["token"],
        "DB_MAIN_PASSWORD": job.value["password"],
        "DB_MAIN_URL": "https://db.example.com",
    }
    assert job.hub.value("acme/trainer", "variable", "DB_MAIN_URL") == b"https://db.example.com"
    assert job.secrets("acme/second") == {"OTHER_KEY": job.value["key"]}
    assert job.gitlab_names() == {"HF_TOKEN", "DB_MAIN_PASSWORD"}
    before = job.writes()
    assert set(job.actions("--check")) == {"unchanged"}
    assert "7 unchanged at 3 places" in job.run("apply", "--all")
    assert job.writes() == before, "nothing changed, nothing written"


def test_a_runs_own_tokens_end_with_it(job: Job) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    forms = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    job.hub.add_app("1234", public.decode(), {"acme": 7})
    made: list[str] = []

    def issued(token: str) -> None:
        job.seeded.add(token)
        made.append(token)

    job.hub.on_token = issued
    job.env["HUB_KEY"] = key.private_bytes(*forms).decode()
    job.config = CONFIG.replace("token_env: HUB_TOKEN", "app_id: 1234, private_key_env: HUB_KEY")
    for command in ("plan", "apply"):
        job.run(command)
        assert made
        assert not set(made) & set(job.hub.credentials)


def test_no_ledger_and_no_report_holds_a_value(job: Job) -> None:
    job.run("apply", "--debug")
    ledgers = [text for name, text in job.hub.held("acme/trainer", "variable").items() if "LEDGER" in name]
    ledgers += [each["value"] for each in job.lab.project("acme/trainer").variables if "LEDGER" in each["key"]]
    assert len(ledgers) == 2
    assert not any(value in text for text in ledgers for value in job.value.values())
    for form in ("table", "json", "markdown"):
        job.run("plan", "--format", form, "--all", "--debug", "--output", f"report.{form}")
        text = Path(f"report.{form}").read_text(encoding="utf-8")
        assert "HF&#95;TOKEN" in text or "HF_TOKEN" in text or form == "markdown"
        assert not any(value in text for value in job.value.values())


def test_changes_drift_and_pruning(job: Job) -> None:
    job.run("apply")
    job.kv.put("ml/hf", {"token": job.seeded.new("new")})
    job.hub.clock.skip(5)  # GitHub's dates have seconds
    job.hub.put("acme/trainer", "secret", "DB_MAIN_PASSWORD", "somebody else's")
    job.hub.put("acme/trainer", "secret", "FOREIGN", "not ours")
    found = job.actions("--check", code=1)
    assert found["update"] == {"secret HF_TOKEN", "variable HF_TOKEN"}
    assert found["drifted"] == {"secret DB_MAIN_PASSWORD"}
    job.run("apply")
    assert job.secrets()["DB_MAIN_PASSWORD"] == job.value["password"]
    # `vault kv delete`: the store still lists it.
    job.trust.bao.request("DELETE", f"{job.kv.mount}/data/ml/hf")
    assert job.actions()["orphan"] == {"secret HF_TOKEN", "variable HF_TOKEN"}
    job.run("apply")
    assert set(job.secrets()) == {"DB_MAIN_PASSWORD", "DB_MAIN_URL", "FOREIGN"}
    assert job.gitlab_names() == {"DB_MAIN_PASSWORD"}
    job.trust.bao.request("DELETE", f"{job.kv.mount}/metadata/ml/db/main")
    job.trust.bao.request("DELETE", f"{job.kv.mount}/metadata/ml/hf")
    job.run("apply", code=6)
    assert "matches no secret" in job.said
    assert set(job.secrets()) == {"DB_MAIN_PASSWORD", "DB_MAIN_URL", "FOREIGN"}, "nothing matches: nothing is pruned"


def test_what_is_not_ours_is_adopted_on_request_only(job: Job) -> None:
    job.hub.put("acme/trainer", "secret", "HF_TOKEN", "not ours")
    job.run("apply", code=6)
    assert "keylease sync adopt" in job.said
    assert job.secrets()["HF_TOKEN"] == "not ours"
    assert job.secrets()["DB_MAIN_PASSWORD"] == job.value["password"], "the rest goes on"
    before = job.writes()
    job.run("adopt", "HF_TOKNE", code=2)
    assert "'HF_TOKNE'" in job.said
    assert job.writes() == before
    job.run("adopt", "HF_TOKEN")
    assert job.secrets()["HF_TOKEN"] == job.value["token"]
    assert set(job.actions("--check")) == {"unchanged"}


def test_a_plan_is_done_to_the_letter_or_not_at_all(job: Job) -> None:
    job.run("plan", "--format", "json", "--only", "ml", "--output", "plan.json")
    job.kv.put("ml/more", {"x": job.seeded.new("more")})
    before = job.writes()
    job.run("apply", "--plan", "plan.json", code=7)
    assert "out of date at 2 places" in job.said
    assert job.writes() == before
    job.run("plan", "--format", "json", "--only", "ml", "--output", "plan.json")
    job.run("apply", "--plan", "plan.json")
    assert "MORE_X" in job.secrets()
    assert job.secrets("acme/second") == {}, "the plan was of one sync"
    job.run("apply", "--plan", "plan.json", code=7)


def test_shards_are_parts_of_the_whole(job: Job) -> None:
    whole = {place["address"] for place in job.plan()["places"]}
    parts = [{place["address"] for place in job.plan("--shard", f"{n}/3")["places"]} for n in (1, 2, 3)]
    assert len(whole) == 3
    assert set().union(*parts) == whole
    assert sum(map(len, parts)) == 3
    job.run("plan", "--format", "json", "--shard", "1/3", "--output", "plan.json")
    job.run("apply", "--plan", "plan.json", "--shard", "2/3", code=2)
    assert "--shard: the plan is of part 1/3" in job.said
    assert job.writes() == 0
    job.run("apply", "--plan", "plan.json", "--shard", "1/3")


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (
            lambda job: job.trust.bao.policy(
                job.trust.policy, f'path "{job.kv.mount}/data/*" {{ capabilities = ["read"] }}'
            ),
            '["list"]',
        ),
        (lambda job: job.env.update(HUB_TOKEN=job.hub.add_token(secrets="")), "Secrets"),
        (lambda job: job.hub.stop(), "acme/trainer"),
    ],
    ids=["no list", "no permission", "no server"],
)
def test_what_can_not_be_read_is_named_and_prunes_nothing(job: Job, harm: Callable[[Job], None], said: str) -> None:
    job.run("apply")
    job.trust.bao.request("DELETE", f"{job.kv.mount}/metadata/ml/hf")
    harm(job)
    job.plan(code=6)
    assert said in job.said
    job.run("apply", code=6)
    assert set(job.secrets()) == SECRETS
    if said == "Secrets":
        assert "target github: the least that its credential needs" in job.said
        assert job.gitlab_names() == {"DB_MAIN_PASSWORD"}, "the other platform goes on"


def test_a_ledger_that_was_tampered_with_deletes_nothing(job: Job) -> None:
    job.run("apply")
    [name] = [name for name in job.hub.held("acme/trainer", "variable") if "LEDGER" in name]
    text = job.hub.held("acme/trainer", "variable")[name]
    job.hub.put("acme/trainer", "variable", name, text.replace("HF_TOKEN", "FOREIGN"))
    job.hub.put("acme/trainer", "secret", "FOREIGN", "not ours")
    job.kv.put("ml/hf", {"token": job.seeded.new("new")})
    job.run("apply", code=6)
    assert "the ledger can't be believed" in job.said
    assert set(job.secrets()) == {*SECRETS, "FOREIGN"}
    assert job.secrets()["HF_TOKEN"] == job.value["token"], "and writes nothing that may be somebody else's"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("plan", "--only", "nosuch"), "--only: there is no sync 'nosuch'"),
        (("plan", "--shard", "5/4"), "--shard"),
        (("plan", "--shard", "²/4"), "--shard"),
        (("apply", "--plan", "nosuch.json"), "--plan: can't read"),
        (("apply", "--plan", "keylease.yml"), "is no plan"),
        (("plan", "--output", "no/such/directory"), "--output: 'no/such/directory' can't be written"),
        (("plan", "--config", "nosuch.yml"), "nosuch.yml"),
    ],
)
def test_mistakes_on_the_command_line(job: Job, arguments: tuple[str, ...], said: str) -> None:
    job.run(*arguments, code=2)
    assert said in job.said
    assert job.writes() == 0


def test_a_key_that_is_too_short_or_missing(job: Job) -> None:
    job.kv.put("keylease", {"sync_key": "short"})
    job.run("plan", code=2)
    assert "16 bytes" in job.said
    job.kv.put("keylease", {"other": "x"})
    job.run("plan", code=4)
    assert "sync_key" in job.said
