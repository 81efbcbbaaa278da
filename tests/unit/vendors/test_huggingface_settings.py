"""Settings and trust of Hugging Face."""

import json
from typing import Any

import pytest

from keylease.errors import UsageError
from keylease.vendors.huggingface_settings import HuggingFaceSettings, complete
from keylease.vendors.huggingface_trust import trust_for
from tests.fakes.github_oidc import github_claims, gitlab_claims

ISSUER = "https://token.actions.githubusercontent.com"


def done(env: dict[str, str] | None = None, **settings: Any) -> HuggingFaceSettings:
    return complete(HuggingFaceSettings(**{"resource": "acme/model", **settings}), env or {})


def body(text: str) -> Any:
    return json.loads(text.split("<<'EOF'\n")[1].split("\nEOF")[0])


def test_the_environment_comes_last() -> None:
    env = {"HF_OIDC_RESOURCE": "acme/theirs", "HF_ENDPOINT": "http://127.0.0.1:9/"}
    found = complete(HuggingFaceSettings(), env)
    assert (found.resource, found.endpoint, found.audience) == (
        "acme/theirs",
        "http://127.0.0.1:9",
        "http://127.0.0.1:9",
    )
    own = complete(HuggingFaceSettings(resource="acme/ours", endpoint="https://huggingface.co"), env)
    assert (own.resource, own.endpoint, own.audience) == (
        "acme/ours",
        "https://huggingface.co",
        "https://huggingface.co",
    )


@pytest.mark.parametrize(
    "resource",
    [
        "acme/model",
        "datasets/acme/corpus",
        "spaces/acme/demo",
        "kernels/acme/k",
        "buckets/acme/runs",
        "acme-bot",
        "A1/b.c_d-e",
        "_a/_b",
    ],
)
def test_what_the_hub_takes(resource: str) -> None:
    assert done(resource=resource).resource == resource
    assert done(resource=resource).is_user == ("/" not in resource)


@pytest.mark.parametrize(
    "resource",
    [
        "",
        "models/acme/model",
        "datasets/corpus",
        "acme/model/main",
        "acme/../model",
        "https://huggingface.co/acme/model",
        "acme/mo del",
        "acme/",
        "acmé/model",
        "acme/" + "x" * 97,
    ],
)
def test_what_it_does_not(resource: str) -> None:
    with pytest.raises(UsageError, match="`resource`") as caught:
        done(resource=resource)
    assert "datasets/acme/corpus" in caught.value.change


@pytest.mark.parametrize(
    ("key", "settings"),
    [
        ("endpoint", {"endpoint": "https://hf-mirror.example"}),
        ("endpoint", {"endpoint": "https://nothuggingface.co"}),
        ("endpoint", {"endpoint": "https://huggingface.co/evil/repo/resolve/main"}),
        ("endpoint", {"endpoint": "http://huggingface.co"}),
        ("audience", {"audience": "a" * 301}),
        ("timeout", {"timeout": 0}),
        ("retries", {"retries": 21}),
    ],
)
def test_what_cannot_be_is_named(key: str, settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"`{key}`") as caught:
        done(**settings)
    assert caught.value.change


def test_a_mirror_in_the_environment_gets_no_identity_token() -> None:
    with pytest.raises(UsageError, match="`endpoint`"):
        done({"HF_ENDPOINT": "https://hf-mirror.example"})


def test_the_publisher_has_ids_and_the_branch() -> None:
    trust = trust_for({**github_claims(), "iss": ISSUER}, done(resource="datasets/acme/corpus"))
    assert body(trust.text) == {
        "issuer": ISSUER,
        "claims": {"repository_owner_id": "6539", "repository_id": "817264", "ref": "refs/heads/main"},
    }
    assert "https://huggingface.co/datasets/acme/corpus/settings" in trust.notes[0]
    assert any("repository, branch and workflow" in note for note in trust.notes)


def test_a_user_s_publisher_is_elsewhere() -> None:
    trust = trust_for({**gitlab_claims(), "iss": "https://gitlab.com"}, done(resource="acme-bot"))
    assert body(trust.text)["claims"]["project_id"] == "20"
    assert "settings/authentication#ci-cd-access" in trust.notes[0]
    assert not any("workflow" in note for note in trust.notes)


def test_an_unknown_platform_is_bound_by_its_subject() -> None:
    trust = trust_for({"sub": "job-1", "iss": "https://idp.example"}, done())
    assert body(trust.text)["claims"] == {"sub": "job-1"}


def test_claims_reach_no_shell() -> None:
    trust = trust_for({"sub": "x'\nEOF\n$(id)\u202e", "iss": "https://idp.example"}, done())
    assert trust.text.count("\nEOF") == 1
    assert trust.text.startswith("cat <<'EOF'\n")
    assert trust.text.isascii()


def test_without_claims_there_is_nothing_to_bind() -> None:
    for claims in ({"iss": ISSUER}, {"sub": "x"}):
        trust = trust_for(claims, done())
        assert not trust.text
        assert trust.notes
