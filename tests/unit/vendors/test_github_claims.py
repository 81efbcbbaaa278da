"""vendors/github_claims.py: the forms of GitHub's subject."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keylease.vendors.github_claims import both_forms, parse_subject
from tests.fakes.github_oidc import github_claims


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("repo:acme/trainer:ref:refs/heads/main", ("name", "acme", "", "trainer", "", "ref:refs/heads/main")),
        ("repo:acme/trainer:ref:refs/tags/v1.0", ("name", "acme", "", "trainer", "", "ref:refs/tags/v1.0")),
        ("repo:acme/trainer:pull_request", ("name", "acme", "", "trainer", "", "pull_request")),
        ("repo:acme/trainer:environment:prod", ("name", "acme", "", "trainer", "", "environment:prod")),
        ("repo:acme/trainer:environment:a%3Ab c", ("name", "acme", "", "trainer", "", "environment:a%3Ab c")),
        (
            "repo:acme@6539/trainer@817264:ref:refs/heads/feat@2/x",
            ("immutable", "acme", "6539", "trainer", "817264", "ref:refs/heads/feat@2/x"),
        ),
        (
            "repo:acme@6539/trainer@817264:environment:prod",
            ("immutable", "acme", "6539", "trainer", "817264", "environment:prod"),
        ),
    ],
)
def test_the_default_forms(text: str, parts: tuple[str, ...]) -> None:
    subject = parse_subject(text)
    assert (
        subject.form,
        subject.owner,
        subject.owner_id,
        subject.name,
        subject.name_id,
        subject.context,
    ) == parts


@pytest.mark.parametrize(
    "text",
    [
        "",
        "repo:acme/trainer",
        "repo:acme/trainer:",
        "repo:acme@6539/trainer:ref:refs/heads/main",  # half of it
        "repo:acme/trainer@817264:ref:refs/heads/main",
        "repo:acme@x/trainer@y:ref:refs/heads/main",
        "repo:acme@6539/trainer@817264@1:pull_request",
        "repository_owner:acme",
        "repo:acme/trainer:environment:prod:job_workflow_ref:acme/x/.github/workflows/y.yml@refs/heads/main",
        "repo:acme/trainer:ref:refs/heads/main:actor:octocat",
        "repo:acme/trainer/extra:pull_request",
        "x repo:acme/trainer:pull_request",
        "repo:acme/trainer:pull_request:x",
        "repo:acme/trainer:pull_request\n",
        "project_path:acme/trainer:ref_type:branch:ref:main",
    ],
)
def test_everything_else_is_custom(text: str) -> None:
    subject = parse_subject(text)
    assert (subject.form, subject.text, subject.owner, subject.context) == ("custom", text, "", "")


_name = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)
_id = st.integers(1, 10**12).map(str)
_context = st.one_of(
    st.just("pull_request"),
    st.from_regex(r"(ref:refs/(heads|tags)|environment:)[A-Za-z0-9/@._%-]{1,30}", fullmatch=True).filter(
        lambda c: c.count(":") == 1
    ),
)


@given(_name, _id, _name, _id, _context)
def test_what_goes_in_comes_out(owner: str, owner_id: str, name: str, name_id: str, context: str) -> None:
    plain, immutable = f"repo:{owner}/{name}:{context}", f"repo:{owner}@{owner_id}/{name}@{name_id}:{context}"
    claims = {"repository_owner_id": owner_id, "repository_id": name_id}
    assert both_forms({**claims, "sub": plain}) == (plain, immutable)
    assert both_forms({"sub": immutable}) == (plain, immutable)
    assert parse_subject(plain).form == "name"
    assert parse_subject(immutable).form == "immutable"


@given(st.text())
def test_no_text_makes_it_fall_over(text: str) -> None:
    assert parse_subject(text).text == text


def test_both_forms_of_a_real_jobs_claims() -> None:
    for immutable in (False, True):
        assert both_forms(github_claims(environment="prod", immutable_subject=immutable)) == (
            "repo:acme/trainer:environment:prod",
            "repo:acme@6539/trainer@817264:environment:prod",
        )
    assert both_forms({"sub": "repo:a/b:pull_request"}) is None
    assert both_forms({**github_claims(), "sub": "repository_owner:acme"}) is None
    assert both_forms({}) is None


def test_describe() -> None:
    assert "names only" in parse_subject("repo:a/b:pull_request").describe()
    assert "owner id 1, repository id 2" in parse_subject("repo:a@1/b@2:pull_request").describe()
    assert "own" in parse_subject("x").describe()
