"""The whole program: a job's identity token, secrets of a real OpenBao, variables of the fake GitLab."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import environment
from tests.conftest import RunKeylease
from tests.fakes.gitlab_rest import Answer, GitLab
from tests.fakes.loopback import Exchange
from tests.integration.gitlab_sync import PATHS, served
from tests.leaks import Seeded
from tests.servers.trust import Trust

CONFIG = """
version: 1
providers:
  vault: {{type: vault, url: {url}, role: {role}, mount: {mount}, audience: {audience}}}
targets:
  gitlab: {{type: gitlab, url: {gitlab}, {token}}}
ledger:
  key: vault://{kv}/keylease#sync_key
sync:
  - name: ml-prod
    from: vault://{kv}/ml/*
    to:
      - {{project: Acme/Trainer, scope: production, exclude: "*_PEM_*"}}
      - {{project: acme/trainer, scope: production, include: "*_PEM_*", masked: false, type: file}}
    prune: true
"""


@pytest.fixture
def server() -> Iterator[GitLab]:
    with served() as made:
        yield made


@pytest.fixture
def job(trust: Trust, server: GitLab, seeded: Seeded, tmp_path: Path) -> dict[str, Any]:
    """keylease.yml, and the environment of a job that may use it."""
    token = server.token(seeded.new("glpat"), ["api"], roles={"acme/trainer": 40})
    trust.kv.put("keylease", {"sync_key": seeded.new("ledger-key-of-32-bytes-or-more")})
    trust.kv.put("gitlab", {"token": token})
    return {
        "config": tmp_path / "keylease.yml",
        "given": {
            "url": trust.bao.url,
            "role": trust.role,
            "mount": trust.mount,
            "audience": trust.audience,
            "gitlab": server.url,
            "kv": trust.kv.mount,
        },
        "env": {**trust.issuer.github_env(), "SYNC_TOKEN": token},
    }


def written(job: dict[str, Any], token: str = "token_env: SYNC_TOKEN", config: str = CONFIG) -> str:
    job["config"].write_text(config.format(**job["given"], token=token), encoding="utf-8")
    return str(job["config"])


def held(server: GitLab) -> dict[tuple[str, str], str]:
    project = server.project("acme/trainer")
    ledger = "KEYLEASE_LEDGER_"
    return {
        (each["key"], each["environment_scope"]): each["value"]
        for each in project.variables
        if not each["key"].startswith(ledger)
    }


def lines_of(plan: str) -> dict[str, str]:
    return {change["name"]: change["action"] for place in json.loads(plan)["places"] for change in place["changes"]}


def test_from_plan_to_prune(
    keylease: RunKeylease, trust: Trust, server: GitLab, job: dict[str, Any], seeded: Seeded
) -> None:
    config = written(job)
    pem = f"-----BEGIN PRIVATE KEY-----\n{seeded.new('pem-body')}\n-----END PRIVATE KEY-----\n"
    values = {"db_password": seeded.new("db-password"), "dollar": seeded.new("pa$$word"), "tls_pem": pem}
    for name, value in values.items():
        trust.kv.put(f"ml/{name}", {"value": value})
    trust.kv.put("ml/pin", {"value": seeded.new("pin")[:3] + " 1"})
    project = server.project("acme/trainer")
    server.set(project, "DB_PASSWORD_VALUE", "of-another-environment", "*")

    def run(*arguments: str, code: int = 0) -> str:
        done = keylease("sync", *arguments, "--config", config, env=job["env"])
        assert done.returncode == code, done.stderr + done.stdout
        return done.stdout

    plan = lines_of(run("plan", "--format", "json"))
    wanted = ("DB_PASSWORD_VALUE", "DOLLAR_VALUE", "TLS_PEM_VALUE")
    assert {name: plan[name] for name in wanted} == dict.fromkeys(wanted, "add")
    assert plan["PIN_VALUE"] == "blocked"
    done = keylease("sync", "apply", "--config", config, env=job["env"])
    assert done.returncode == 6, "the one that GitLab would not mask; the rest is done"
    assert "PIN_VALUE" in done.stderr
    assert "blanks" in done.stderr
    production = {name: (name.upper() + "_VALUE", "production") for name in values}
    theirs = {("DB_PASSWORD_VALUE", "*"): "of-another-environment"}
    assert held(server) == {production[name]: value for name, value in values.items()} | theirs
    shown = {each["key"]: each for each in project.variables if each["environment_scope"] == "production"}
    assert (shown["TLS_PEM_VALUE"]["variable_type"], shown["TLS_PEM_VALUE"]["masked"]) == ("file", False)
    assert (shown["DOLLAR_VALUE"]["raw"], shown["DOLLAR_VALUE"]["masked"]) == (True, True)

    # What can't be masked leaves its source; nothing else is written.
    assert trust.bao.request("DELETE", f"{trust.kv.mount}/metadata/ml/pin").ok
    writes = len(server.writes)
    run("plan", "--check")
    run("apply")
    assert len(server.writes) == writes

    # Somebody edits a value in GitLab's settings; a plan is kept in a file and done as it is.
    server.set(project, "DB_PASSWORD_VALUE", seeded.new("by-hand"), "production")
    run("plan", "--check", code=1)
    file = job["config"].with_name("plan.json")
    run("plan", "--format", "json", "--output", str(file))
    assert lines_of(file.read_text())["DB_PASSWORD_VALUE"] == "drifted"
    run("apply", "--plan", str(file))
    assert held(server)[production["db_password"]] == values["db_password"]
    done = keylease("sync", "apply", "--config", config, "--plan", str(file), env=job["env"])
    assert done.returncode == 7, "that plan is done"

    # Prune: what left its source, and nothing else.
    assert trust.bao.request("DELETE", f"{trust.kv.mount}/metadata/ml/dollar").ok
    run("apply")
    left = {production[name]: value for name, value in values.items() if name != "dollar"}
    assert held(server) == left | theirs

    # Adopt: what was there before, on request only.
    server.set(project, "OLD_VALUE", "somebody-elses", "production")
    trust.kv.put("ml/old", {"value": (old := seeded.new("old-one"))})
    assert lines_of(run("plan", "--format", "json"))["OLD_VALUE"] == "blocked"
    run("adopt", "OLD_VALUE")
    assert held(server) == left | theirs | {("OLD_VALUE", "production"): old}
    run("plan", "--check")


def test_the_token_is_leased_too(
    keylease: RunKeylease, trust: Trust, server: GitLab, job: dict[str, Any], seeded: Seeded
) -> None:
    config = written(job, f"token: {{secret: 'vault://{trust.kv.mount}/gitlab#token'}}")
    del job["env"]["SYNC_TOKEN"]
    value = seeded.new("value-of-it")
    trust.kv.put("ml/a", {"value": value})
    done = keylease("sync", "apply", "--config", config, env=job["env"])
    assert done.returncode == 0, done.stderr
    assert held(server) == {("A_VALUE", "production"): value}
    assert all(value not in request.target for request in server.requests)


def test_what_lacks_is_said_before_anything_is_written(
    keylease: RunKeylease, trust: Trust, server: GitLab, job: dict[str, Any], seeded: Seeded
) -> None:
    config = written(job)
    trust.kv.put("ml/a", {"value": seeded.new("value-of-it")})
    server.tokens[job["env"]["SYNC_TOKEN"]].scopes = ["read_api"]
    assert keylease("sync", "plan", "--config", config, env=job["env"]).returncode == 0
    done = keylease("sync", "apply", "--config", config, env=job["env"])
    assert done.returncode == 6
    assert "scopes read_api" in done.stderr
    assert "scope `api` and role Maintainer" in done.stderr
    assert not server.writes
    job["env"] |= {"CI_JOB_TOKEN": "glcbt-64"}
    config = written(job, "token_env: CI_JOB_TOKEN")
    done = keylease("sync", "plan", "--config", config, env=job["env"])
    assert done.returncode == 2
    assert "targets.gitlab.token_env" in done.stderr


def test_every_way_to_say_where(
    keylease: RunKeylease, trust: Trust, server: GitLab, job: dict[str, Any], seeded: Seeded
) -> None:
    server.project("acme/ml/trained", topics=["cuda"])
    server.project("acme/ml/plain")
    server.token(job["env"]["SYNC_TOKEN"], ["api"], admin=True, roles=PATHS)
    where = [
        '{{group: acme, projects: {{names: "ml/*", topics: [cuda]}}}}',
        '{{group: acme/ml, prefix: ML_, protected: true, description: "of the manager"}}',
        "gitlab://acme?level=group&scope=review/*",
        "gitlab://?level=instance",
        "{{project: [acme/trainer, acme/ml/server], hidden: true}}",
    ]
    items = "".join(f"      - {each}\n" for each in where)
    head, _, tail = CONFIG.partition("    to:\n")
    config = written(job, config=f"{head}    to:\n{items}    prune: true\n")
    assert "prune" in tail
    value = seeded.new("value-of-it")
    trust.kv.put("ml/a", {"value": value})
    done = keylease("sync", "apply", "--config", config, env=job["env"])
    assert done.returncode == 0, done.stderr
    found = {
        (container.level, container.path, each["key"], each["environment_scope"]): each
        for container in server.containers.values()
        for each in container.variables
        if not each["key"].startswith("KEYLEASE_LEDGER_")
    }
    assert set(found) == {
        ("project", "acme/ml/trained", "A_VALUE", "*"),
        ("group", "acme/ml", "ML_A_VALUE", "*"),
        ("group", "acme", "A_VALUE", "review/*"),
        ("instance", "", "A_VALUE", "*"),
        ("project", "acme/trainer", "A_VALUE", "*"),
        ("project", "acme/ml/server", "A_VALUE", "*"),
    }
    assert {each["value"] for each in found.values()} == {value}
    assert {path for (_, path, *_), each in found.items() if each["hidden"]} == {"acme/trainer", "acme/ml/server"}
    assert found["group", "acme/ml", "ML_A_VALUE", "*"]["protected"]
    done = keylease("sync", "plan", "--check", "--config", config, env=job["env"])
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("when", "writes"), [("before", (1, 2, 3)), ("after", (1, 1, 1))])
def test_killed_at_each_write(
    keylease: RunKeylease,
    trust: Trust,
    server: GitLab,
    job: dict[str, Any],
    seeded: Seeded,
    when: str,
    writes: tuple[int, ...],
) -> None:
    config = written(job)
    values = {("A_VALUE", "production"): seeded.new("value-a"), ("B_VALUE", "production"): seeded.new("value-b")}
    for (name, _), value in values.items():
        trust.kv.put(f"ml/{name[0].lower()}", {"value": value})
    foreign = {("FOREIGN", "production"): "theirs", ("A_VALUE", "*"): "theirs"}
    for (name, scope), value in foreign.items():
        server.set(server.project("acme/trainer"), name, value, scope)
    for number in writes:
        assert _killed(job, server, seeded, number, when) == -signal.SIGKILL
        assert foreign.items() <= held(server).items() <= (foreign | values).items()
    assert keylease("sync", "apply", "--config", config, env=job["env"]).returncode == 0
    assert held(server) == foreign | values
    assert keylease("sync", "plan", "--check", "--config", config, env=job["env"]).returncode == 0


def _killed(job: dict[str, Any], server: GitLab, seeded: Seeded, at: int, when: str) -> int:
    """Run `sync apply`; SIGKILL it at its n-th write, before or after that is done."""
    child = subprocess.Popen(
        [sys.executable, "-m", "keylease", "sync", "apply", "--config", str(job["config"])],
        env=environment.clean_environment(**job["env"]),
        cwd=job["config"].parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    left = at

    def fault(exchange: Exchange, answered: Callable[[], Answer]) -> bool:
        nonlocal left
        left -= exchange.request.method != "GET"
        if exchange.request.method == "GET" or left:
            return False
        if when == "after":
            answered()
        child.send_signal(signal.SIGKILL)
        exchange.reset()
        return True

    server.fault = fault
    out, err = child.communicate(timeout=60)
    server.fault = None
    seeded.saw("stdout", out, "stdout of a killed run")
    seeded.saw("stderr", err, "stderr of a killed run")
    return child.returncode
