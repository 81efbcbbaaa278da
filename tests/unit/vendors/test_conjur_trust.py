"""The policy that lets one job in: what it binds, and that no claim gets out of its quotes."""

import re
import shlex
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
import yaml

from keylease.model import Read, Trust
from keylease.vendors.conjur_settings import ConjurSettings
from keylease.vendors.conjur_trust import trust_for, yaml_text
from tests.fakes.github_oidc import github_claims, gitlab_claims

SETTINGS = ConjurSettings(
    url="https://conjur.example.com",
    account="acme",
    service_id="github",
    host_id="host/ci/trainer",
    audience="https://conjur.example.com",
)
ISSUER = "https://token.actions.githubusercontent.com"


class _Loader(yaml.SafeLoader):
    """Conjur's tags as (kind, content)."""


def _tagged(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> tuple[str, Any]:
    if isinstance(node, yaml.MappingNode):
        return suffix, loader.construct_mapping(node, deep=True)
    return suffix, loader.construct_scalar(node)  # type: ignore[arg-type]


_Loader.add_multi_constructor("!", _tagged)


def policies(trust: Trust) -> list[Any]:
    """What each `conjur policy load` of the text loads."""
    bodies = re.findall(
        r"^conjur policy load -b root -f - <<'(EOF_*)'\n(.*?)\n\1$", trust.text, re.MULTILINE | re.DOTALL
    )
    return [yaml.load(body, _Loader) for _, body in bodies]  # a SafeLoader


def variables(trust: Trust) -> dict[str, str]:
    lines = [shlex.split(line) for line in trust.text.splitlines() if line.startswith("conjur variable set")]
    return {words[4].removeprefix("conjur/authn-jwt/github/"): words[6] for words in lines}


def claims(**changed: Any) -> dict[str, Any]:
    return {"iss": ISSUER, "aud": SETTINGS.audience, **github_claims(), **changed}


def test_the_policy_of_a_github_job() -> None:
    trust = trust_for(claims(), SETTINGS, [Read("c", "conjur", "prod/db/password")])
    authenticator, job = policies(trust)
    assert authenticator[0][1]["id"] == "conjur/authn-jwt/github"
    declared = {content for kind, content in authenticator[0][1]["body"] if kind == "variable"}
    assert declared == set(variables(trust)) == {"jwks-uri", "issuer", "audience", "enforced-claims"}
    assert variables(trust) == {
        "jwks-uri": f"{ISSUER}/.well-known/jwks",
        "issuer": ISSUER,
        "audience": "https://conjur.example.com",
        "enforced-claims": "repository_owner_id,repository_id",
    }
    assert job == [
        (
            "host",
            {
                "id": "ci/trainer",
                "annotations": {
                    "authn-jwt/github/repository_owner_id": "6539",
                    "authn-jwt/github/repository_id": "817264",
                    "authn-jwt/github/ref": "refs/heads/main",
                },
            },
        ),
        ("grant", {"role": ("group", "conjur/authn-jwt/github/apps"), "member": ("host", "ci/trainer")}),
        (
            "permit",
            {
                "role": ("host", "ci/trainer"),
                "privilege": ["read", "execute"],
                "resource": ("variable", "prod/db/password"),
            },
        ),
    ]


def test_an_environment_stands_for_the_ref() -> None:
    _, job = policies(trust_for(claims(environment="prod"), SETTINGS))
    annotations = job[0][1]["annotations"]
    assert annotations["authn-jwt/github/environment"] == "prod"
    assert "authn-jwt/github/ref" not in annotations


def test_without_a_host_id_the_token_names_the_host() -> None:
    trust = trust_for(claims(), msgspec.structs.replace(SETTINGS, host_id=""))
    assert variables(trust)["token-app-property"] == "repository_id"
    assert variables(trust)["identity-path"] == "ci"
    assert policies(trust)[1][0][1]["id"] == "ci/817264"
    assert any("one host per repository" in note for note in trust.notes)


def test_gitlab() -> None:
    trust = trust_for({"iss": "https://gitlab.com", "aud": SETTINGS.audience, **gitlab_claims()}, SETTINGS)
    assert variables(trust)["jwks-uri"] == "https://gitlab.com/oauth/discovery/keys"
    assert variables(trust)["enforced-claims"] == "namespace_id,project_id"


def test_claims_with_a_slash_get_an_alias() -> None:
    project = "oidc.circleci.com/project-id"
    token = {"iss": "https://oidc.circleci.com/org/1", "aud": SETTINGS.audience, "sub": "x", project: "p-1"}
    trust = trust_for({**token, "oidc.circleci.com/vcs-ref": "refs/heads/main"}, SETTINGS)
    assert variables(trust)["claim-aliases"].split(",") == [
        f"project-id:{project}",
        "vcs-ref:oidc.circleci.com/vcs-ref",
    ]
    assert variables(trust)["enforced-claims"] == project
    annotations = policies(trust)[1][0][1]["annotations"]
    assert annotations == {"authn-jwt/github/project-id": "p-1", "authn-jwt/github/vcs-ref": "refs/heads/main"}
    assert any("jwks_uri" in note for note in trust.notes)


HOSTILE = (
    'main"\nEOF\nrm -rf ~\n- !permit',
    "$(id) `id` ${HOME} ' \" \\",
    "##[add-mask]x ::add-mask::y\r\n",
    "\u202egro\u2028\x85\x1b[2J\U0001f600",
    "- !user root: { a: [",
)


@pytest.mark.parametrize("value", HOSTILE)
def test_no_claim_leaves_its_quotes(value: str) -> None:
    trust = trust_for(claims(ref=value), SETTINGS, [Read("c", "conjur", value)])
    assert trust.text.isascii()
    assert "##[" not in trust.text
    assert trust.text.count("\nEOF\n") + trust.text.endswith("\nEOF") == 2
    _, job = policies(trust)
    assert job[0][1]["annotations"]["authn-jwt/github/ref"] == value
    assert job[2][1]["resource"] == ("variable", value)
    assert len(job) == 3


@pytest.mark.parametrize("value", ["", "plain", *HOSTILE])
def test_yaml_reads_back_what_was_written(value: str) -> None:
    assert yaml.safe_load(yaml_text(value)) == value


@pytest.mark.parametrize(
    "changed", [{"iss": ""}, {"iss": "https://x\n"}, {"ref": "\ud800"}, {"ref": "refs/heads/*"}, {"iss": None}]
)
def test_what_cannot_be_bound_is_not_guessed(changed: Mapping[str, Any]) -> None:
    trust = trust_for(claims(**changed), SETTINGS)
    assert trust.text == ""
    assert trust.notes


def test_another_audience_is_told() -> None:
    trust = trust_for(claims(aud="https://github.com/acme"), SETTINGS)
    assert variables(trust)["audience"] == "https://github.com/acme"
    assert any("configure the same as audience" in note for note in trust.notes)
