"""The trust that is printed never lets in more than it says: subjects of other forms, pull requests, missing claims."""

import json
from typing import Any

import pytest

from keylease.exchange.aws import AwsExchanger
from keylease.exchange.azure import AzureExchanger
from keylease.exchange.base import Exchanger
from keylease.exchange.databricks import DatabricksExchanger
from keylease.exchange.gcp import GcpExchanger
from keylease.exchange.openrouter import OpenRouterExchanger
from keylease.exchange.vault import VaultExchanger
from keylease.exchange.wandb import WandbExchanger
from keylease.model import Trust
from keylease.vendors.job_claims import subject_lets_in
from keylease.vendors.token_exchange import exact_claims

UUID = "00000000-0000-0000-0000-000000000001"
SETTINGS: dict[type[Exchanger], dict[str, Any]] = {
    AwsExchanger: {"role_arn": "arn:aws:iam::111122223333:role/ci", "region": "eu-central-1"},
    AzureExchanger: {"tenant_id": UUID, "client_id": UUID},
    DatabricksExchanger: {"host": "https://dbc-1.cloud.databricks.com", "client_id": UUID},
    WandbExchanger: {"audience": "acme"},
    OpenRouterExchanger: {"federation_policy_id": UUID},
    VaultExchanger: {"url": "https://vault.example", "role": "ci"},
    GcpExchanger: {
        "workload_identity_provider": "projects/1/locations/global/workloadIdentityPools/pool/providers/github",
        "service_account": "ci@acme-ml.iam.gserviceaccount.com",
    },
}
SUBJECT_ONLY = [AzureExchanger, DatabricksExchanger, WandbExchanger, OpenRouterExchanger]
GITHUB = {
    "iss": "https://token.actions.githubusercontent.com",
    "sub": "repo:acme/trainer:ref:refs/heads/main",
    "aud": "any",
    "repository": "acme/trainer",
    "repository_id": "817264",
    "repository_owner": "acme",
    "repository_owner_id": "6539",
    "ref": "refs/heads/main",
    "job_workflow_ref": "acme/shared/.github/workflows/train.yml@refs/heads/main",
}
GITLAB = {
    "iss": "https://gitlab.example",
    "sub": "project_path:acme/trainer:ref_type:branch:ref:main",
    "aud": "any",
    "namespace_id": "7",
    "project_id": "42",
    "project_path": "acme/trainer",
    "ref": "main",
    "ref_type": "branch",
}


def trust(kind: type[Exchanger], claims: dict[str, Any]) -> Trust:
    settings = kind.complete(kind.Settings(**SETTINGS[kind]), {})
    return kind.trust(kind("job", settings, None), claims)  # type: ignore[arg-type]  # no request is made


@pytest.mark.parametrize("kind", SUBJECT_ONLY)
@pytest.mark.parametrize(
    "sub",
    [
        "repository_owner:acme",
        "repository_owner:acme:ref:refs/heads/main",
        # The workflow is another repository's, and whoever calls it has this subject.
        "job_workflow_ref:acme/shared/.github/workflows/train.yml@refs/heads/main",
        "repo:acme/trainer-two:environment:prod:x",
    ],
)
def test_a_subject_without_the_repository_is_not_trusted_alone(kind: type[Exchanger], sub: str) -> None:
    made = trust(kind, {**GITHUB, "sub": sub})
    assert made.text == ""
    assert "does not name the repository" in made.notes[0]


def test_aws_too_where_iam_knows_the_subject_only() -> None:
    claims = {**GITHUB, "sub": "repository_owner:acme", "iss": "https://github.example/_services/token"}
    assert trust(AwsExchanger, claims).text == ""


@pytest.mark.parametrize(
    ("more", "place"),
    [
        ({"sub": "repository_owner:acme"}, {"ref": "refs/heads/main"}),
        ({"sub": "repo:acme/trainer:pull_request", "ref": "refs/pull/7/merge"}, {"ref": "refs/pull/7/merge"}),
        ({"sub": "repo:acme/trainer:environment:prod", "environment": "prod"}, {"environment": "prod"}),
        ({}, {"ref": "refs/heads/main"}),
    ],
)
def test_aws_binds_the_place_beside_the_subject(more: dict[str, str], place: dict[str, str]) -> None:
    claims = {**GITHUB, **more}
    text = trust(AwsExchanger, claims).text
    policy = json.loads(text.partition("update-assume-role-policy")[2].partition("\n")[2].removesuffix("EOF"))
    issuer = "token.actions.githubusercontent.com"
    bound = {"aud": "any", "sub": claims["sub"], "repository_id": "817264", **place}
    condition = policy["Statement"][0]["Condition"]
    assert condition == {"StringEquals": {f"{issuer}:{name}": value for name, value in bound.items()}}


@pytest.mark.parametrize("kind", SUBJECT_ONLY)
def test_the_subject_of_all_pull_requests_is_called_so(kind: type[Exchanger]) -> None:
    made = trust(kind, {**GITHUB, "sub": "repo:acme/trainer:pull_request", "ref": "refs/pull/7/merge"})
    assert "every pull request of the repository" in made.notes[0]


@pytest.mark.parametrize(
    ("claims", "note"),
    [
        ({**GITHUB, "sub": "repository_id:817264"}, "names no branch and no environment"),
        ({**GITHUB, "sub": "repo:acme@6539/trainer@817264:x:y"}, "names no branch and no environment"),
        ({**GITLAB, "sub": "project_path:acme/trainer"}, "names no branch and no environment"),
        ({**GITHUB, "sub": "repository_id:817264:ref:refs/heads/main"}, ""),
        ({**GITHUB, "sub": "repo:acme/trainer:environment:prod:actor:eve", "environment": "prod"}, ""),
        (GITHUB, ""),
        (GITLAB, ""),
    ],
)
def test_what_else_a_subject_lets_in(claims: dict[str, Any], note: str) -> None:
    alone, notes = subject_lets_in(claims)
    assert alone
    assert (note in notes[0]) if note else not notes


def test_claims_without_a_branch_are_called_so() -> None:
    circle = {"oidc.circleci.com/project-id": UUID, "sub": f"org/x/project/{UUID}/user/y"}
    bound, notes = exact_claims(circle)
    assert bound == {"oidc.circleci.com/project-id": UUID}
    assert "every job of the repository gets in" in notes[0]
    assert not exact_claims({**circle, "oidc.circleci.com/vcs-ref": "refs/heads/main"})[1]


@pytest.mark.parametrize("kind", list(SETTINGS))
@pytest.mark.parametrize("name", ["sub", "iss", "ref", "aud", "repository_id"])
def test_half_a_character_is_bound_by_nobody(kind: type[Exchanger], name: str) -> None:
    assert "ud800" not in trust(kind, {**GITHUB, name: "repo:acme/trainer:\ud800"}).text


@pytest.mark.parametrize("kind", [AwsExchanger, GcpExchanger, VaultExchanger])
@pytest.mark.parametrize("more", [{"ref": "refs/heads/" + "x" * 1024}, {"environment": "x" * 1025}, {"ref": "\ud800"}])
def test_a_place_that_cannot_be_bound_is_not_left_out(kind: type[Exchanger], more: dict[str, str]) -> None:
    made = trust(kind, {**GITHUB, **more})
    assert made.text == ""
    assert "bind it by hand" in made.notes[0]


def test_google_s_binding_is_said_to_be_the_pool_s() -> None:
    assert any("give jobs that may do less than this one another pool" in n for n in trust(GcpExchanger, GITHUB).notes)
