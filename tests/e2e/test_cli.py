"""The `keylease` command as a person or a script uses it: lease, revoke, whoami, schema, and every exit code.

`keylease exec` has its own file, test_cli_exec.py, and odd values have test_cli_values.py.
"""

# long file: every command with every exit code, in one place to compare with the help text.

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import environment
from tests.conftest import RunKeylease
from tests.e2e.runner import read_pairs
from tests.e2e.site import AUDIENCE, Site, sha256
from tests.fakes.github_oidc import gitlab_claims
from tests.fakes.misbehaving import Misbehaving, drop
from tests.servers.process import free_port

DATABASE = ("database/creds/app username | DB_USERNAME ; database/creds/app password | DB_PASSWORD",)


@pytest.fixture
def env(site: Site, tmp_path: Path) -> dict[str, str]:
    """What a job needs to get a token, and a place of its own for the state."""
    state = tmp_path / "run"
    state.mkdir(mode=0o700)
    return {**site.issuer.actions_env(), "XDG_RUNTIME_DIR": str(state)}


@pytest.fixture
def config(site: Site, tmp_path: Path) -> Path:
    """The path of a keylease.yml that a test can write; `{url}` etc. are the test's to fill in."""
    return tmp_path / "keylease.yml"


def keeps_state(site: Site, env: dict[str, str]) -> Path:
    """The state holds the token on purpose. It is looked at, then allowed."""
    directory = Path(env["XDG_RUNTIME_DIR"])
    site.seeded.allow_file(directory)
    return directory


# lease, revoke.


def test_lease_prints_notes_and_revoke_ends_it(keylease: RunKeylease, site: Site, env: dict[str, str]) -> None:
    site.seeded.allow("stdout")
    directory = keeps_state(site, env)
    done = keylease("lease", *site.flags(), *["--secret", DATABASE[0]], "--format", "json", env=env)
    assert done.returncode == 0, done.stderr
    values = json.loads(done.stdout)
    assert values["DEPLOY_TOKEN"] == site.token
    assert site.users() == {values["DB_USERNAME"]}
    assert site.valkey.login(values["DB_USERNAME"], values["DB_PASSWORD"])
    site.seeded.add(values["DB_PASSWORD"])
    assert "3 values leased: DEPLOY_TOKEN, DB_USERNAME, DB_PASSWORD; end them with `keylease revoke`" in done.stderr
    (state,) = directory.rglob("*.state")
    assert state.stat().st_mode & 0o777 == 0o600
    assert state.parent.stat().st_mode & 0o777 == 0o700

    done = keylease("revoke", env=env)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert "revoked 1 of 1 lease" in done.stderr
    assert site.nothing_alive()
    assert not state.exists()

    again = keylease("revoke", env=env)
    assert (again.returncode, again.stdout) == (0, "")
    assert "warning" not in again.stderr


def test_two_leases_of_one_job_share_the_state(keylease: RunKeylease, site: Site, env: dict[str, str]) -> None:
    site.seeded.allow("stdout")
    keeps_state(site, env)
    for _ in range(2):
        assert keylease("lease", *site.flags(), env=env).returncode == 0
    assert len(site.accessors()) == 2
    done = keylease("revoke", env=env)
    assert "revoked 2 of 2 leases" in done.stderr
    assert site.nothing_alive()


def test_output_and_state_go_to_private_files_where_asked(
    keylease: RunKeylease, site: Site, env: dict[str, str], tmp_path: Path
) -> None:
    output, state = tmp_path / "job.env", tmp_path / "job.state"
    site.seeded.allow_file(output)
    site.seeded.allow_file(state)
    output.write_text("old\n")
    output.chmod(0o644)
    words = ["--format", "dotenv", "--output", str(output), "--state", str(state)]
    done = keylease("lease", *site.flags(), *words, env=env)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert output.read_text() == f"DEPLOY_TOKEN='{site.token}'\n"
    assert [path.stat().st_mode & 0o777 for path in (output, state)] == [0o600, 0o600]
    assert list(Path(env["XDG_RUNTIME_DIR"]).iterdir()) == []
    assert keylease("revoke", "--state", str(state), env=env).returncode == 0
    assert site.nothing_alive()
    assert not state.exists()


def test_no_revoke_keeps_no_state(keylease: RunKeylease, site: Site, env: dict[str, str]) -> None:
    site.seeded.allow("stdout")
    done = keylease("lease", *site.flags(), "--no-revoke", env=env)
    assert done.returncode == 0
    assert list(Path(env["XDG_RUNTIME_DIR"]).iterdir()) == []
    assert len(site.accessors()) == 1


@pytest.mark.parametrize(("strict", "code"), [([], 0), (["--strict"], 6)])
def test_revoke_with_a_dead_server_warns_and_can_be_tried_again(
    keylease: RunKeylease, site: Site, env: dict[str, str], tmp_path: Path, strict: list[str], code: int
) -> None:
    site.seeded.allow("stdout")
    state = tmp_path / "state"
    site.seeded.allow_file(state)
    assert keylease("lease", *site.flags(), "--state", str(state), env=env).returncode == 0
    text, dead = state.read_text(), f"http://127.0.0.1:{free_port()}"
    state.write_text(text.replace(site.bao.url, dead).replace('"retries":4', '"retries":0'))
    done = keylease("revoke", "--state", str(state), *strict, env=env)
    assert done.returncode == code, done.stderr
    assert re.search(
        r"keylease: warning: vault \(Vault token\) lives until \d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ", done.stderr
    )
    state.write_text(state.read_text().replace(dead, site.bao.url))
    done = keylease("revoke", "--state", str(state), *strict, env=env)
    assert (done.returncode, site.nothing_alive()) == (0, True), done.stderr


def test_a_reader_that_goes_away_gets_nothing_and_nothing_stays(
    site: Site, env: dict[str, str], tmp_path: Path
) -> None:
    """`keylease lease | head -c0`: whoever was to have the values has gone."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as out:
        done = subprocess.run(
            [sys.executable, "-m", "keylease", "lease", *site.flags()],
            env=environment.clean_environment(**env),
            cwd=tmp_path,
            stdout=out,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    site.seeded.saw("stderr", done.stderr)
    assert done.returncode == 141, done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert site.nothing_alive()


# In a `run:` step of GitHub Actions.


def test_lease_in_a_github_run_step(keylease: RunKeylease, site: Site, env: dict[str, str], tmp_path: Path) -> None:
    site.seeded.allow("add-mask")
    keeps_state(site, env)
    files = {name: tmp_path / name for name in ("GITHUB_ENV", "GITHUB_OUTPUT")}
    for path in files.values():
        path.touch()
        site.seeded.allow_file(path)
    job = {**env, **site.issuer.github_env(), **{name: str(path) for name, path in files.items()}}
    done = keylease("lease", *site.flags(), env=job)
    assert done.returncode == 0, done.stderr
    assert read_pairs(files["GITHUB_ENV"]) == [("DEPLOY_TOKEN", site.token)]
    lines = done.stdout.splitlines()
    assert f"::add-mask::{site.token}" in lines
    first_other = next(n for n, line in enumerate(lines) if not line.startswith("::add-mask::"))
    assert not any(line.startswith("::add-mask::") for line in lines[first_other:])
    assert len(site.accessors()) == 1
    assert keylease("revoke", env=job).returncode == 0
    assert site.nothing_alive()


# keylease.yml.


def test_a_keylease_yml_with_two_providers_chained_wrapped_and_filed(
    keylease: RunKeylease, site: Site, env: dict[str, str], config: Path, tmp_path: Path
) -> None:
    """An AppRole secret id kept in the other Vault, a wrapped value, a file, a renamed token, a missing one allowed."""
    bao, seeded = site.bao, site.seeded
    if "approle/" not in bao.read("sys/auth")["data"]:
        bao.approle("approle", "legacy", "deploy")
    role_id = bao.read("auth/approle/role/legacy/role-id")["data"]["role_id"]
    secret_id = bao.write("auth/approle/role/legacy/secret-id")["data"]["secret_id"]
    seeded.add(secret_id)
    site.put("legacy", {"secret_id": secret_id})
    site.put("other", {"user": seeded.new("user"), "host.name": seeded.new("host")})
    site.grant('path "auth/token/create" { capabilities = ["update"] }')
    wrapped = seeded.new("wrapped")
    site.put("wrapped", {"value": wrapped})
    config.write_text(f"""\
version: 1
providers:
  main: {{type: vault, url: "{bao.url}", role: deploy, audience: "{AUDIENCE}"}}
  legacy:
    type: vault
    url: {bao.url}
    method: approle
    role_id: {role_id}
    secret_id: {{secret: vault://secret/legacy#secret_id, provider: main}}
leases:
  - {{secret: vault://secret/ci#token, provider: legacy, env: DEPLOY_TOKEN}}
  - {{secret: "vault://secret/other#*", provider: main, prefix: APP_}}
  - {{secret: "vault://secret/wrapped#wrapping_token", provider: main, wrap_ttl: 1m, env: WRAPPED}}
  - {{secret: vault://secret/ci#token, provider: main, file: {tmp_path}/token.txt, env: TOKEN_FILE}}
  - {{secret: vault://secret/nothing#here, provider: main, env: NOTHING, required: false}}
  - {{use: legacy, rename: {{VAULT_TOKEN: LEGACY_TOKEN}}}}
""")
    seeded.allow("stdout")
    seeded.allow_file(tmp_path / "token.txt", site.token)
    keeps_state(site, env)

    done = keylease("lease", "--format", "json", env=env)  # ./keylease.yml is found

    assert done.returncode == 0, done.stderr
    values = json.loads(done.stdout)
    assert values["DEPLOY_TOKEN"] == site.token
    assert Path(values["TOKEN_FILE"]).read_text() == site.token
    assert Path(values["TOKEN_FILE"]).stat().st_mode & 0o777 == 0o600
    assert {"APP_USER", "APP_HOST__NAME", "LEGACY_TOKEN", "VAULT_ADDR"} <= set(values)
    assert "NOTHING" not in values
    assert "not required: left out" in done.stderr
    seeded.add(values["LEGACY_TOKEN"], values["WRAPPED"])
    assert bao.token_lookup(values["LEGACY_TOKEN"]) is not None
    unwrapped = bao.request("POST", "sys/wrapping/unwrap", token=values["WRAPPED"]).json()
    assert unwrapped["data"]["data"] == {"value": wrapped}
    assert len(site.accessors()) == 2

    done = keylease("revoke", env=env)
    assert "revoked 2 of 2 leases" in done.stderr
    assert site.nothing_alive()
    assert not (tmp_path / "token.txt").exists()


CYCLE = """\
version: 1
providers:
  a: {type: vault, method: approle, role_id: x, secret_id: {secret: 'vault://s/x#y', provider: b}}
  b: {type: vault, method: approle, role_id: x, secret_id: {secret: 'vault://s/x#y', provider: a}}
leases: [{use: a}]
"""
BAD_CONFIGS = {
    "malformed": ("version: 1\nproviders: {vault: [}\n", "keylease.yml:2"),
    "empty": ("", "keylease.yml"),
    "unknown key": ("version: 1\nproviders: {v: {type: vault, role: r, rolle: x}}\n", "rolle"),
    "wrong type": ("version: 1\nproviders: {v: {type: vault, role: [r]}}\n", "role"),
    "duplicate key": ("version: 1\nversion: 1\n", "version"),
    "unknown type": ("version: 1\nproviders: {v: {type: valt, role: r}}\n", "did you mean 'vault'"),
    "unknown provider": ("version: 1\nproviders: {}\nleases: [{use: nobody}]\n", "nobody"),
    "name with a space": (
        'version: 1\nproviders: {v: {type: vault, role: r}}\nleases: [{secret: "vault://s/a#b", env: "A B"}]\n',
        "A B",
    ),
    "cycle": (CYCLE, "a → b → a"),
}


@pytest.mark.parametrize("case", BAD_CONFIGS)
def test_a_mistake_in_keylease_yml_is_2_and_tries_nothing(
    keylease: RunKeylease, site: Site, env: dict[str, str], config: Path, case: str
) -> None:
    text, said = BAD_CONFIGS[case]
    config.write_text(text)
    done = keylease("lease", env={**env, "VAULT_ADDR": site.bao.url})
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert "keylease: error: keylease.yml" in done.stderr
    assert said in done.stderr
    assert "errors.md#" in done.stderr
    assert site.issuer.token_requests() == []


# Exit codes.


def test_2_for_bad_usage(keylease: RunKeylease, site: Site, env: dict[str, str], config: Path) -> None:
    config.write_text("version: 1\n")
    for words, said in (
        ([], "usage: keylease"),
        (["lend"], "invalid choice: 'lend'"),
        (["lease", "--rôle", "x"], "unknown argument"),
        (["audit", "--fail-onn", "x"], "did you mean --fail-on?"),
        (["audit", "--preset", "strict"], "--preset (it is set in `audit:` of keylease.yml)"),
        (["audit", "--reset"], "--reset; see keylease audit --help"),
        (["sync", "plan", "--pla", "x"], "see keylease sync plan --help"),
        (["lease", "--format", "xml"], "invalid choice: 'xml'"),
        (["exec", *site.flags()], "exec: there is no command"),
        (["lease"], "there is nothing to"),
        (["lease", "--config", "missing.yml"], "missing.yml"),
        (["lease", "--config", "keylease.yml", *site.flags()], "can't go together with keylease.yml"),
        (["lease", *site.flags("secret/data/ci token | A B")], "a name has no spaces in it"),
        (["lease", *site.flags(), "--deadline", "soon"], "--deadline"),
    ):
        done = keylease(*words, env=env)
        assert done.returncode == 2, (words, done.stderr)
        assert said in done.stderr, words
    assert site.issuer.token_requests() == []


def test_3_without_an_identity_token(keylease: RunKeylease, site: Site) -> None:
    done = keylease("lease", *site.flags())
    assert (done.returncode, done.stdout) == (3, ""), done.stderr
    done = keylease("lease", *site.flags(), env={"GITHUB_ACTIONS": "true"})
    assert done.returncode == 3
    assert "id-token: write" in done.stderr
    done = keylease("lease", *site.flags(), env={"KEYLEASE_ID_TOKEN": site.issuer.mint("someone-else")})
    assert done.returncode == 3
    assert "someone-else" in done.stderr
    assert AUDIENCE in done.stderr


def test_4_when_refused(keylease: RunKeylease, site: Site, env: dict[str, str]) -> None:
    keeps_state(site, env)
    for words, said in (
        (["--role", "nobody"], "auth/jwt refused the login as role nobody"),
        (["--secret", "secret/data/nothing x | X"], "there is nothing at secret/data/nothing"),
        (["--secret", "secret/data/ci nothing | X"], "no field"),
        (["--secret", "sys/policies/acl/root policy | X"], 'path "sys/policies/acl/root"'),
    ):
        done = keylease("lease", *site.flags(), *words, env=env)
        assert (done.returncode, done.stdout) == (4, ""), done.stderr
        assert said in done.stderr, words
        assert site.nothing_alive()


def test_5_when_unreachable(
    keylease: RunKeylease, site: Site, env: dict[str, str], config: Path, misbehaving: Misbehaving
) -> None:
    misbehaving.on("/v1/*", drop())
    for url in (f"http://127.0.0.1:{free_port()}", misbehaving.url):
        config.write_text(
            f"version: 1\nproviders: {{v: {{type: vault, url: '{url}', role: deploy, retries: 1}}}}\n"
            "leases: [{use: v}]\n"
        )
        done = keylease("lease", env=env)
        assert (done.returncode, done.stdout) == (5, ""), done.stderr
        assert url.removeprefix("http://") in done.stderr
    assert len(misbehaving.requests) == 2


def test_70_for_a_defect_of_ours_which_tells_no_value(
    keylease: RunKeylease, site: Site, env: dict[str, str], tmp_path: Path
) -> None:
    secret = site.seeded.new("in-a-traceback")
    site.put("ci", {"token": secret})
    # As if our code had a bug right where the value is at hand.
    (tmp_path / "sitecustomize.py").write_text("""\
from keylease.pipelines import lease
take = lease.LeaseRun.take
def broken(self):
    raise ZeroDivisionError([export.value.reveal() for export in take(self).exports])
lease.LeaseRun.take = broken
""")
    keeps_state(site, env)
    done = keylease("lease", "--debug", *site.flags(), env={**env, "PYTHONPATH": str(tmp_path)})
    assert (done.returncode, done.stdout) == (70, ""), done.stderr
    assert "ZeroDivisionError" in done.stderr
    assert "github.com/keylease/keylease" in done.stderr


# whoami, schema.


def test_whoami_on_github(keylease: RunKeylease, site: Site, env: dict[str, str]) -> None:
    job = {**env, **site.issuer.github_env(), "VAULT_ADDR": site.bao.url}
    done = keylease("whoami", "--role", "deploy", "--audience", AUDIENCE, "--verify", env=job)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^platform +github$", done.stdout, re.MULTILINE)
    assert "repo:acme/trainer:ref:refs/heads/main" in done.stdout
    assert "signature good: RS256" in done.stdout
    assert "bao write auth/jwt/role/deploy" in done.stdout
    assert not re.search(r"eyJ[\w-]{10,}\.", done.stdout + done.stderr)


def test_whoami_on_gitlab_as_json(keylease: RunKeylease, site: Site, env: dict[str, str]) -> None:
    claims = gitlab_claims()
    site.issuer.reset(claims)
    token = site.issuer.mint(AUDIENCE)
    site.seeded.add(token)
    job = {"GITLAB_CI": "true", "VAULT_ID_TOKEN": token, "VAULT_ADDR": site.bao.url}
    done = keylease("whoami", "--role", "deploy", "--audience", AUDIENCE, "--format", "json", "--verify", env=job)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["version"], report["platform"]) == (1, "gitlab")
    (identity,) = report["identities"]
    assert identity["claims"].items() >= claims.items()
    assert identity["signature"].startswith("RS256, key ")
    assert '"project_id": "20"' in identity["trust"]["text"]
    assert identity["error"] is None


def test_whoami_with_a_forged_token_or_none(keylease: RunKeylease, site: Site) -> None:
    token = site.issuer.mint(AUDIENCE, forged=True)
    done = keylease("whoami", "--audience", AUDIENCE, "--verify", env={"KEYLEASE_ID_TOKEN": token})
    assert done.returncode == 3, done.stderr
    assert "signature" in done.stderr
    done = keylease("whoami")
    assert done.returncode == 3, done.stderr


def test_schema_version_and_help_need_nothing(keylease: RunKeylease) -> None:
    schema = json.loads(keylease("schema").stdout)
    assert schema["title"] == "keylease.yml"
    assert re.fullmatch(r"keylease \d+\.\d+\.\d+\S*\n", keylease("--version").stdout)
    assert "exit codes:" in keylease("--help").stdout


def test_an_installed_keylease_is_the_same_program(site: Site, env: dict[str, str], tmp_path: Path) -> None:
    """The console script, evaluated by a shell as the documentation says."""
    site.seeded.allow_file(Path(env["XDG_RUNTIME_DIR"]))
    text = 'exports="$(keylease lease "$@" --format shell)" && eval "$exports" && printf %s "$DEPLOY_TOKEN" | sha256sum'
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-euc", text, "sh", *site.flags()],
        env=environment.clean_environment(**env, PATH=path),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    site.seeded.saw("stdout", done.stdout)
    site.seeded.saw("stderr", done.stderr)
    assert done.stdout.split()[:1] == [sha256(site.token)], done.stderr
