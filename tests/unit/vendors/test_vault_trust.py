"""The role for this very job: narrow, and safe to paste whatever the claims hold."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from keylease.model import Read, Trust
from keylease.outputs.console import sanitize
from keylease.vendors.job_claims import shown_claims
from keylease.vendors.vault_errors import stanza
from keylease.vendors.vault_trust import jwt_trust, kubernetes_trust, read_stanzas, role_for
from tests.fakes.github_oidc import github_claims, gitlab_claims

AUDIENCE = "https://vault.example.com"


def role_of(claims: dict[str, Any]) -> dict[str, Any]:
    return role_for(claims, AUDIENCE, ["keylease-self", "ci"])[0]


def test_github_is_bound_by_ids_and_ref() -> None:
    role = role_of(github_claims())
    assert role["bound_claims"] == {
        "repository_owner_id": "6539",
        "repository_id": "817264",
        "ref": "refs/heads/main",
    }
    assert role["bound_claims_type"] == "string"
    assert role["bound_audiences"] == [AUDIENCE]
    assert role["user_claim"] == "repository_id"
    assert role["claim_mappings"]["run_id"] == "run_id"
    assert role["token_no_default_policy"] is True
    assert role["token_type"] == "service"
    assert "bound_subject" not in role


def test_github_with_an_environment_is_bound_to_it() -> None:
    role = role_of(github_claims(environment="production"))
    assert role["bound_claims"]["environment"] == "production"
    assert "ref" not in role["bound_claims"]


def test_gitlab_is_bound_to_project_and_ref() -> None:
    role = role_of(gitlab_claims())
    assert role["bound_claims"] == {
        "namespace_id": "72",
        "project_id": "20",
        "ref_type": "branch",
        "ref": "main",
        "ref_protected": "true",
    }


def test_circleci_is_bound_to_its_project() -> None:
    claims = {
        "iss": "https://oidc.circleci.com/org/1",
        "sub": "org/1/project/2/user/3",
        "oidc.circleci.com/project-id": "2",
        "oidc.circleci.com/vcs-origin": "github.com/acme/trainer",
        "oidc.circleci.com/vcs-ref": "refs/heads/main",
    }
    role = role_of(claims)
    assert role["bound_claims"]["oidc.circleci.com/project-id"] == "2"
    assert role["bound_claims"]["oidc.circleci.com/vcs-ref"] == "refs/heads/main"


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://issuer.example.com", "sub": "job:1"},
        {"iss": "https://token.actions.githubusercontent.com", "sub": "job:1", "repository_id": "1"},
        {"sub": "job:1", "project_id": 20, "namespace_id": ""},
    ],
    ids=["unknown issuer", "an id is missing", "ids of other types"],
)
def test_everybody_else_is_bound_by_subject(claims: dict[str, Any]) -> None:
    role = role_of(claims)
    assert role["bound_subject"] == "job:1"
    assert "bound_claims" not in role


@pytest.mark.parametrize("claims", [{}, {"sub": ""}, {"sub": ["a"]}, {"sub": "x" * 5000}])
def test_nothing_to_bind_gives_no_role(claims: dict[str, Any]) -> None:
    trust = jwt_trust(claims, mount="jwt", role="r", audience=AUDIENCE, namespace=None)
    assert trust.text == ""
    assert trust.notes


def test_the_self_policy_lets_a_token_clean_up() -> None:
    text = jwt_trust(github_claims(), mount="jwt", role="r", audience=AUDIENCE, namespace="team").text
    for path in ("auth/token/revoke-self", "sys/leases/renew", "sys/leases/revoke"):
        assert f'path "{path}" {{ capabilities = ["update"] }}' in text
    assert "-namespace=team" in text


def test_missing_claims_are_shown_as_such() -> None:
    shown = shown_claims(github_claims(), "job_workflow_ref", "nosuch")
    assert shown["environment"] is None
    assert shown["nosuch"] is None
    assert shown["repository"] == "acme/trainer"


@pytest.mark.parametrize("path", ["secret/data/a*", "secret/+/b", "*"])
def test_a_stanza_never_is_a_wildcard(path: str) -> None:
    assert stanza(path, "read").startswith("#")


def test_a_stanza_quotes_its_path() -> None:
    assert stanza('a"b\n}', "read") == 'path "a\\"b\\n}" { capabilities = ["read"] }'


# Claims are hostile: run the text in a shell and see what `bao` is given.

FAKE_BAO = """#!/bin/sh
n=$(ls "$OUT" | wc -l)
mkdir "$OUT/$n"
for a in "$@"; do printf '%s\\0' "$a" >> "$OUT/$n/argv"; done
cat > "$OUT/$n/stdin"
"""


def run_in_a_shell(trust: Trust, directory: Path) -> list[tuple[list[str], str]]:
    """(arguments, input) of each `bao` that the pasted text starts."""
    work = directory / "work"
    out = work / "out"
    out.mkdir(parents=True)
    bao = work / "bao"
    bao.write_text(FAKE_BAO)
    bao.chmod(0o755)
    script = work / "script"
    script.write_text(trust.text, encoding="utf-8")
    done = subprocess.run(
        ["sh", str(script)],
        env={"PATH": f"{work}:/usr/bin:/bin", "OUT": str(out)},
        cwd=work,
        capture_output=True,
        check=True,
        timeout=20,
    )
    assert done.stdout + done.stderr == b""
    assert {path.name for path in work.iterdir()} == {"out", "bao", "script"}, "the shell did something else"
    calls = []
    for call in sorted(out.iterdir()):
        arguments = (call / "argv").read_bytes().decode().split("\0")[:-1]
        calls.append((arguments, (call / "stdin").read_text()))
    return calls


HOSTILE = "x'; touch pwned; '\"$(touch pwned)`touch pwned`\nEOF\ntouch pwned\n\u202e\x1b[31m"


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ref=st.text(min_size=1, max_size=60), sub=st.text(min_size=1, max_size=60))
@example(ref=HOSTILE, sub=HOSTILE)
@example(ref="EOF", sub="EOF")
def test_hostile_claims_stay_data(ref: str, sub: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    directory = tmp_path_factory.mktemp("shell")
    for name, claims in (("github", {**github_claims(), "ref": ref}), ("other", {"iss": "https://x", "sub": sub})):
        trust = jwt_trust(claims, mount="jwt", role="deploy", audience=AUDIENCE, namespace=None)
        assert trust.text.isascii()
        assert all(c == "\n" or c.isprintable() for c in trust.text)
        where = directory / name
        where.mkdir()
        (_, (arguments, body)) = run_in_a_shell(trust, where)
        assert arguments == ["write", "auth/jwt/role/deploy", "-"]
        role = json.loads(body)
        assert role.get("bound_subject", sub) == sub
        assert role.get("bound_claims", {}).get("ref", ref) == ref


@pytest.mark.parametrize(
    ("options", "parameters", "expected"),
    [
        ({"raw": "true"}, None, [("kv/ci", "read")]),
        ({"kv": "1"}, None, [("kv/ci", "read")]),
        ({"kv": "2"}, None, [("kv/data/ci", "read")]),
        ({}, None, [("kv/data/ci", "read"), ("kv/ci", "read")]),
        ({}, (("common_name", "x"),), [("kv/ci", "update")]),
        ({"unwrap_env": "X"}, None, []),
    ],
)
def test_the_policy_allows_what_is_read(
    options: dict[str, str], parameters: tuple[tuple[str, Any], ...] | None, expected: list[tuple[str, str]]
) -> None:
    lines = read_stanzas([Read("v", "vault", "kv/ci", tuple(options.items()), parameters)])
    assert [line for line in lines if not line.startswith("#")] == [stanza(*each) for each in expected]


def test_a_mount_of_several_segments_is_kept_to() -> None:
    (line,) = read_stanzas([Read("v", "vault", "teams/kv/ci/x", (("kv", "2"), ("mount", "teams/kv")))])
    assert line == stanza("teams/kv/data/ci/x", "read")


@pytest.mark.parametrize(("role", "policy"), [("ML-ci", "ml-ci"), ("default", "default-job"), ("Root", "root-job")])
def test_no_policy_of_the_servers_is_replaced(role: str, policy: str, tmp_path: Path) -> None:
    reads = [Read("v", "vault", "kv/ci", (("raw", "true"),))]
    trust = jwt_trust(github_claims(), mount="jwt", role=role, audience=AUDIENCE, namespace=None, reads=reads)
    (_, (arguments, body), (_, made)) = run_in_a_shell(trust, tmp_path)
    assert arguments == ["policy", "write", policy, "-"]
    assert body == stanza("kv/ci", "read") + "\n"
    assert json.loads(made)["token_policies"] == ["keylease-self", policy]


def test_what_a_log_would_take_for_a_command_is_escaped() -> None:
    claims = {**github_claims(), "ref": "refs/heads/##[x"}
    text = jwt_trust(claims, mount="jwt", role="r", audience=AUDIENCE, namespace=None).text
    assert sanitize(text) == text
    assert json.loads(text[text.index("{\n") : text.rindex("}") + 1])["bound_claims"]["ref"] == "refs/heads/##[x"


def test_odd_names_of_role_and_mount_stay_one_argument(tmp_path: Path) -> None:
    trust = jwt_trust(github_claims(), mount="a b", role="it's $(x)", audience=AUDIENCE, namespace="n s")
    (policy, role) = run_in_a_shell(trust, tmp_path)
    assert policy[0] == ["policy", "write", "-namespace=n s", "keylease-self", "-"]
    assert role[0] == ["write", "-namespace=n s", "auth/a b/role/it's $(x)", "-"]


def test_kubernetes_names_the_service_account() -> None:
    text = kubernetes_trust({"sub": "system:serviceaccount:ci:runner"}, mount="kubernetes", role="deploy").text
    assert '"bound_service_account_namespaces": ["ci"]' in text
    assert '"bound_service_account_names": ["runner"]' in text
