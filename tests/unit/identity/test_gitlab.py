"""identity/gitlab.py: finding the right one of the job's tokens."""

import textwrap
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from keylease.errors import IdentityError
from keylease.identity.gitlab import GitLabIdentity
from tests.fakes.github_oidc import gitlab_claims
from tests.unit.identity.support import AUDIENCE, Recorder, good_claims, leaks, token_text, told

JOB = {"GITLAB_CI": "true", "CI_JOB_NAME": "train"}


def find(env: dict[str, str], audience: str = AUDIENCE, variables: tuple[str, ...] = ()) -> tuple[str, Any]:
    token = GitLabIdentity(Recorder({**JOB, **env}).context, variables).token(audience)
    assert token is not None
    assert token.audience == audience or not audience
    return token.source, token


def failure(env: dict[str, str], audience: str = AUDIENCE, variables: tuple[str, ...] = ()) -> IdentityError:
    with pytest.raises(IdentityError) as caught:
        GitLabIdentity(Recorder({**JOB, **env}).context, variables).token(audience)
    for value in env.values():
        assert leaks(told(caught.value), value) == [] or "." not in value
    assert caught.value.summary.startswith("GitLab: ")
    return caught.value


def yaml_of(error: IdentityError) -> Any:
    """The YAML that the error says to add, as GitLab would read it."""
    lines = error.change.splitlines()
    return yaml.safe_load("\n".join(line for line in lines[1:] if not line.startswith("or ")))


def test_the_token_with_the_audience_is_taken_whatever_comes_first() -> None:
    env = {
        "ID_TOKEN": token_text(good_claims("https://gitlab.com")),
        "VAULT_ID_TOKEN": token_text(good_claims(["x", AUDIENCE])),
    }
    assert find(env)[0] == "VAULT_ID_TOKEN"
    assert find(env, "x")[0] == "VAULT_ID_TOKEN"
    assert find(env, "https://gitlab.com")[0] == "ID_TOKEN"


@pytest.mark.parametrize(
    "name", ["ID_TOKEN", "VAULT_ID_TOKEN", "GITLAB_OIDC_TOKEN", "MY_ID_TOKEN", "A_OIDC_TOKEN", "VAULT_JWT", "JWT"]
)
def test_names_that_are_looked_at(name: str) -> None:
    assert find({name: token_text()})[0] == name


def test_other_names_must_be_configured() -> None:
    env = {"SIGSTORE": token_text()}
    assert "no identity token" in failure(env).summary
    assert find(env, variables=("SIGSTORE",))[0] == "SIGSTORE"


def test_configured_names_come_first() -> None:
    env = {"VAULT_ID_TOKEN": token_text(good_claims(n=1)), "MINE": token_text(good_claims(n=2))}
    assert find(env)[0] == "VAULT_ID_TOKEN"
    assert find(env, variables=("ABSENT", "MINE"))[0] == "MINE"


def test_an_expired_token_gives_way_to_a_good_one() -> None:
    env = {"ID_TOKEN": token_text(good_claims(exp=5)), "VAULT_ID_TOKEN": token_text()}
    assert find(env)[0] == "VAULT_ID_TOKEN"


def test_if_all_that_match_are_expired_the_first_ones_error_is_told() -> None:
    past = int(time.time()) - 7200
    error = failure({"ID_TOKEN": token_text(good_claims(exp=past)), "X_ID_TOKEN": token_text(good_claims(exp=9))})
    assert error.summary == "GitLab: the identity token from ID_TOKEN expired 2 h ago"


def test_an_empty_audience_takes_the_first_token() -> None:
    assert find({"ID_TOKEN": token_text(good_claims("a")), "JWT": token_text()}, "")[1].audience == "a"


def test_a_variable_of_type_file_holds_a_path(tmp_path: Path) -> None:
    path = tmp_path / "VAULT_ID_TOKEN"
    path.write_text(token_text() + "\n")
    assert find({"VAULT_ID_TOKEN": str(path)})[0] == "VAULT_ID_TOKEN"


def test_a_path_to_nothing_is_malformed(tmp_path: Path) -> None:
    error = failure({"VAULT_ID_TOKEN": str(tmp_path / "absent")})
    assert "VAULT_ID_TOKEN holds is not an identity token" in error.summary


def test_another_audience_shows_what_there_is_and_the_yaml() -> None:
    error = failure(
        {
            "ID_TOKEN": token_text({**gitlab_claims(), **good_claims("https://gitlab.com"), "iss": "https://gl"}),
            "AWS_ID_TOKEN": token_text(good_claims(["sts.amazonaws.com", "b"])),
            "NONE_ID_TOKEN": token_text({"iss": "x"}),
            "JWT_ISSUER": "https://issuer",
            "VAULT_JWT_PATH": "jwt",
        },
        variables=("MINE",),
    )
    assert error.summary == f"GitLab: none of the job's identity tokens is for audience '{AUDIENCE}'"
    assert error.cause.splitlines() == [
        "ID_TOKEN: aud 'https://gitlab.com'",
        "AWS_ID_TOKEN: aud 'sts.amazonaws.com' and 'b'",
        "NONE_ID_TOKEN: aud missing",
        "MINE: not set",
    ]
    assert yaml_of(error) == {"train": {"id_tokens": {"VAULT_ID_TOKEN": {"aud": AUDIENCE}}}}
    assert "iss=https://gl" in error.diagnostics()
    assert error.docs.endswith("#gitlab-id-tokens")


@pytest.mark.parametrize("job", ["deploy: [1/3]", "true", "a b", '"x"', "héllo #1"])
def test_the_yaml_is_right_for_any_job_name_and_audience(job: str) -> None:
    error = failure({"CI_JOB_NAME": job}, "urn: x #y")
    assert yaml_of(error) == {job: {"id_tokens": {"VAULT_ID_TOKEN": {"aud": "urn: x #y"}}}}


def test_no_token_at_all() -> None:
    error = failure({})
    assert error.summary == "GitLab: this job has no identity token"
    assert error.cause == "it has no `id_tokens:`"
    assert (
        textwrap.dedent(
            f"""\
        train:
          id_tokens:
            VAULT_ID_TOKEN:
              aud: {AUDIENCE}"""
        )
        in error.change
    )


@pytest.mark.parametrize("name", ["CI_JOB_JWT", "CI_JOB_JWT_V1", "CI_JOB_JWT_V2"])
def test_the_removed_job_tokens_are_not_used_even_if_they_fit(name: str) -> None:
    for variables in ((), (name,)):
        assert "GitLab removed it in 17.0" in failure({name: token_text()}, variables=variables).cause


def test_a_token_named_but_not_filled_in_is_malformed() -> None:
    error = failure({"MINE": "$VAULT_ID_TOKEN"}, variables=("MINE",))
    assert "MINE holds is not an identity token: it is a variable's name" in error.summary
    assert yaml_of(error)["train"]["id_tokens"] == {"MINE": {"aud": AUDIENCE}}


def test_many_tokens_do_not_flood_the_log() -> None:
    error = failure({f"T{n:02}_ID_TOKEN": token_text(good_claims(f"a{n}")) for n in range(40)})
    assert error.cause.splitlines()[-1] == "… and 30 more"
    assert len(error.cause.splitlines()) == 11


def test_outside_of_gitlab() -> None:
    identity = GitLabIdentity(Recorder({"VAULT_ID_TOKEN": token_text(), "CI": "true"}).context)
    assert not identity.detect()
    assert identity.token(AUDIENCE) is None


def test_only_the_chosen_token_is_announced_to_the_mask() -> None:
    recorder = Recorder({**JOB, "A_ID_TOKEN": token_text(good_claims("a")), "B_ID_TOKEN": token_text()})
    GitLabIdentity(recorder.context).token(AUDIENCE)
    assert recorder.announced == [recorder.context.env["B_ID_TOKEN"]]
