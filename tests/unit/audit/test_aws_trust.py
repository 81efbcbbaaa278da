"""Who gets in by a trust policy: what the rules say against an evaluator that asks about each token by itself."""

import itertools
import json
import time
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from keylease.audit.aws_trust import trusts
from tests.unit.audit.iam import GITHUB, SUBJECT, Token, admits, condition_to_write, findings, policy, statement, when

STRANGERS = ("evil", "acme-evil", "acmestranger", "stranger", "sacme")
IDS = {("acme", "trainer"): "817264", ("acme", "other"): "4711"}
REPOSITORIES = ("trainer", "other", "stranger", "trainerstranger")
SUFFIXES = (
    "ref:refs/heads/main",
    "ref:refs/heads/stranger",
    "ref:refs/tags/stranger",
    "pull_request",
    "environment:production",
    "environment:stranger",
    "environment:pull_request",  # an environment may have any name
)
NO_OR_ANY: Sequence[Token] = ({}, {"environment": "production"}, {"environment": "stranger"})
AUDIENCES = ("sts.amazonaws.com", "stranger")


def tokens() -> Sequence[tuple[str, str, Token]]:
    """(owner, repository, token) of all jobs that are asked about; those of strangers with templates of their own."""
    found: list[tuple[str, str, Token]] = []
    for owner, name, suffix, aud in itertools.product(("acme", *STRANGERS), REPOSITORIES, SUFFIXES, AUDIENCES):
        kind, _, value = suffix.partition(":")
        place = f"{owner}/{name}"
        claims = {"repository": place, "repository_id": IDS.get((owner, name), "1"), "aud": aud}
        claims["job_workflow_ref"] = f"{place}/.github/workflows/stranger.yml@refs/heads/stranger"
        refs = (
            [value]
            if kind == "ref"
            else ["refs/pull/1/merge"]
            if kind == "pull_request"
            else ["refs/heads/main", "refs/heads/stranger", "refs/tags/x"]
        )
        usual = {**claims, "sub": f"repo:{place}:{suffix}", **({"environment": value} if kind == "environment" else {})}
        found += [(owner, name, {**usual, "ref": ref}) for ref in refs]
        if owner != "acme" and kind in ("ref", "environment"):  # a template without repo
            others = ["production", "stranger", None] if kind == "ref" else [value]
            for ref, other in itertools.product(refs, others):
                more = {"environment": other} if other else {}
                found.append((owner, name, {**claims, "sub": suffix, "ref": ref, **more}))
        # One with the workflow's name, which may be any.
        if owner in ("evil", "acme-evil") and name in ("trainer", "stranger") and kind in ("ref", "environment"):
            for name_of in ("acme/trainer", "pull_request"):
                told = {"ref": value} if kind == "ref" else {"environment": value, "ref": "refs/heads/main"}
                found.append((owner, name, {**claims, "sub": f"repo:{place}:workflow:{name_of}:{suffix}", **told}))
                found.append((owner, name, {**claims, "sub": f"workflow:{name_of}:{suffix}", **told}))
                for job in NO_OR_ANY:
                    bare = {**claims, "sub": f"repo:{place}:workflow:{name_of}", "ref": "refs/heads/main", **job}
                    found += [(owner, name, bare), (owner, name, {**bare, "sub": f"workflow:{name_of}"})]
                    if kind == "ref":
                        for start in (f"repo:{place}:workflow", "workflow"):
                            full = {**bare, "sub": f"{start}:{name_of}:{suffix}", "ref": value}
                            found.append((owner, name, full))
    # A stranger may have several repositories, and call a reusable workflow of one from another.
    theirs = [
        (owner, name, {**token, "job_workflow_ref": f"{other}/x/.github/workflows/x.yml@refs/heads/x"})
        for owner, name, token in found
        for other in ("evil", "acmestranger")
        if owner not in ("acme", other) and ":workflow:" not in token["sub"]
    ]
    return found + theirs


TOKENS = tokens()
OPERATORS = st.sampled_from(
    [
        *("StringEquals", "StringLike", "StringLike", "StringLike", "StringNotEquals", "StringNotLike"),
        *("StringEqualsIgnoreCase", "StringLikeIfExists", "StringEqualsIfExists"),
        *("ForAllValues:StringLike", "ForAllValues:StringEquals", "ForAnyValue:StringLike"),
    ]
)
VALUES = {
    "sub": (
        *(
            "*",
            "repo:*",
            "repo:acme*",
            "repo:acme-*",
            "repo:acme/*",
            "repo:acme/trainer*",
            "repo:acme/trainer:*",
            SUBJECT,
        ),
        *("repo:acme/trainer:pull_request", "*:environment:production", "repo:*/trainer:*", "*:pull_request"),
        *("repo:acme/trainer:environment:*", "ref:refs/heads/*", "*acme/trainer:*", "repo:?acme/*", "repo:banned/*"),
    ),
    "repository": ("acme/trainer", "acme/*", "*/trainer", "acme*", "*"),
    "repository_id": ("817264", "*"),
    "environment": ("production", "*"),
    "ref": ("refs/heads/main", "refs/heads/*"),
    "job_workflow_ref": ("acme/trainer/*", "*", "acme*"),
    "aud": ("sts.amazonaws.com", "*"),
}


@st.composite
def conditions(draw: st.DrawFn) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for _ in range(draw(st.integers(0, 3))):
        claim = draw(st.sampled_from(["sub", "sub", *VALUES]))
        values = draw(st.lists(st.sampled_from(VALUES[claim]), min_size=1, max_size=2, unique=True))
        key = draw(st.sampled_from([f"{GITHUB}:{claim}", f"{GITHUB.upper()}:{claim.title()}"]))
        found.setdefault(draw(OPERATORS), {})[key] = values[0] if len(values) == 1 else values
    if draw(st.integers(0, 9)) == 0:
        found["Null"] = {
            f"{GITHUB}:{draw(st.sampled_from(['environment', 'sub']))}": draw(st.sampled_from(["true", "false"]))
        }
    return found


@st.composite
def policies(draw: st.DrawFn) -> dict[str, Any]:
    """Of one or two statements that allow and up to one that denies."""
    allow = [statement(each) for each in draw(st.lists(conditions(), min_size=1, max_size=2))]
    deny = [statement(each, effect="Deny") for each in draw(st.lists(conditions(), max_size=1))]
    return policy(*allow, *deny)


def says_stranger(document: Any) -> bool:
    """Whether any rule says that a stranger gets in."""
    rules = ("no-subject", "subject-wildcard", "for-all-values", "if-exists")
    found = [each for rule in rules for each in findings(f"aws-trust-{rule}", document)]
    return any(each.severity == "critical" for each in found)


_NO_USUAL = {
    "StringLikeIfExists": {f"{GITHUB}:repository": "acme*"},
    "ForAnyValue:StringLike": {f"{GITHUB}:sub": ["repo:*", "ref:refs/heads/*"]},
}
ONLY_CUSTOMISED = policy(
    statement(when("StringLikeIfExists", "repository", "acme*", aud="")), statement(_NO_USUAL, effect="Deny")
)
"""Who has a template of subjects with the workflow's name only gets in."""


@given(policies())
@example(policy(statement(when())))
@example(policy(statement(when("StringEquals", "sub", SUBJECT)), statement(when())))
@example(policy(statement(when("StringLike", "sub", SUBJECT, "*"))))
@example(ONLY_CUSTOMISED)
def test_a_stranger_gets_in_exactly_if_a_rule_says_so(document: dict[str, Any]) -> None:
    inside = [token for owner, _, token in TOKENS if owner != "acme" and admits(document, token)]
    assert says_stranger(document) == bool(inside), inside[:3]


@given(policies())
def test_who_gets_in_is_told_with_a_subject_that_gets_in(document: dict[str, Any]) -> None:
    for trust in trusts(document):
        for caller in trust.admitted:
            # A repository of the policy's own owner has an id that nobody here knows.
            theirs = [token for _, _, token in TOKENS if token["sub"] == caller.subject and caller.who == "stranger"]
            assert not theirs or any(admits(document, token) for token in theirs), caller


@given(policies())
def test_the_change_lets_no_stranger_in(document: dict[str, Any]) -> None:
    for rule in ("no-subject", "subject-wildcard", "for-all-values", "if-exists"):
        for finding in findings(f"aws-trust-{rule}", document):
            mended = policy(statement(condition_to_write(finding)))
            strangers = [token for owner, _, token in TOKENS if owner != "acme" and admits(mended, token)]
            assert not strangers
            assert not says_stranger(mended)


GITLAB_TOKENS = [
    (group, {"sub": f"project_path:{group}/{name}:ref_type:{kind}:ref:{ref}", "aud": aud})
    for group, name, kind, ref, aud in itertools.product(
        ("acme", *STRANGERS),
        (*REPOSITORIES, "team/trainer", "acme/trainer"),
        ("branch", "tag"),
        ("main", "stranger", "v1", "stranger/main"),
        ("https://gitlab.com", "stranger"),
    )
]
GITLAB_VALUES = {
    "sub": (
        *("*", "project_path:*", "project_path:acme*", "project_path:acme-*", "project_path:acme/*", "*:ref:main"),
        *("project_path:acme/trainer:*", "project_path:acme/trainer:ref_type:branch:ref:main", "*:ref_type:tag:*"),
        *("project_path:*/trainer:*", "*acme/trainer:*", "project_path:?acme/*", "*:ref:v*", "project_path:acme/t*"),
    ),
    "aud": ("https://gitlab.com", "*"),
}


@st.composite
def gitlab_policies(draw: st.DrawFn) -> dict[str, Any]:
    """As `policies`, of an issuer of whose tokens only the subject and the audience count."""
    made = []
    for effect in ("Allow", *draw(st.sampled_from([(), ("Allow",), ("Deny",), ("Deny", "Allow")]))):
        condition: dict[str, Any] = {}
        for _ in range(draw(st.integers(0, 3))):
            claim = draw(st.sampled_from(["sub", "sub", "aud"]))
            values = draw(st.lists(st.sampled_from(GITLAB_VALUES[claim]), min_size=1, max_size=2, unique=True))
            condition.setdefault(draw(OPERATORS), {})[f"gitlab.com:{claim}"] = values
        made.append(statement(condition, issuer="gitlab.com", effect=effect))
    return policy(*made)


@given(gitlab_policies())
def test_a_stranger_on_gitlab_gets_in_exactly_if_a_rule_says_so(document: dict[str, Any]) -> None:
    inside = [token for group, token in GITLAB_TOKENS if group != "acme" and admits(document, token)]
    assert says_stranger(document) == bool(inside), inside[:3]


@pytest.mark.parametrize(
    "document",
    [
        *(None, [], "x", 7, {}, {"Statement": None}, {"Statement": ["x", 3, None]}, {"Statement": {}}),
        {"Statement": [{"Effect": ["Allow"], "Action": {"a": 1}, "Principal": [[]], "Condition": ["x"]}]},
        policy(statement({"StringLike": "x"})),
        policy(statement({"StringLike": {f"{GITHUB}:sub": {"Fn::If": ["a", {"b": []}]}}})),
        policy(statement({"StringLike": {f"{GITHUB}:sub": [None, {}, [], True, 1.5]}})),
        policy(statement({7: {8: 9}})),
    ],
)
def test_what_is_no_policy_breaks_nothing(document: Any) -> None:
    for trust in trusts(document):
        assert trust.admitted is not None
    for rule in ("no-subject", "subject-wildcard", "wildcard-principal", "any-ref", "renamable-name", "no-audience"):
        findings(f"aws-trust-{rule}", document)


def test_hostile_patterns_are_cheap() -> None:
    began = time.process_time()
    wild = "repo:" + "*a?" * 300
    findings("aws-trust-subject-wildcard", policy(statement(when("StringLike", "sub", *["*a" * 100 + "b", wild] * 20))))
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    "action", ["sts:*", "*", "STS:assumerolewithwebidentity", ["sts:TagSession", "sts:AssumeRole*"]]
)
def test_actions_may_be_wild(action: Any) -> None:
    assert findings("aws-trust-no-subject", policy(statement(when(), Action=action)))


def test_other_actions_and_issuers_are_not_judged() -> None:
    assert not trusts(policy(statement(when(), Action="sts:AssumeRole")))
    assert not trusts(policy(statement(when(), issuer="oidc.eks.eu-west-1.amazonaws.com/id/X")))
    assert not trusts(policy({**statement(), "Principal": {"Federated": "arn:aws:iam::1:saml-provider/github"}}))
    assert trusts(policy({key: value for key, value in statement(NotAction="iam:*").items() if key != "Action"}))


def test_an_issuer_is_known_by_a_reference_or_by_its_keys() -> None:
    reference = {"Federated": "${aws_iam_openid_connect_provider.github.arn}"}
    assert findings("aws-trust-no-subject", policy({**statement(when()), "Principal": reference}))
    other = {"Federated": ["${var.provider}"]}
    assert findings("aws-trust-no-subject", policy({**statement(when()), "Principal": other}))
    keyed = {"StringLike": {'${replace(aws_iam_openid_connect_provider.github.url, "https://", "")}:sub': "repo:*"}}
    assert findings("aws-trust-subject-wildcard", policy({**statement(keyed), "Principal": other}))


def test_a_statement_that_is_narrow_excuses_none_and_a_deny_does() -> None:
    narrow, wide = statement(when("StringEquals", "sub", SUBJECT)), statement(when())
    for order in ((narrow, wide), (wide, narrow)):
        assert len(findings("aws-trust-no-subject", policy(*order))) == 1
    deny = statement({"StringNotLike": {f"{GITHUB}:sub": "repo:acme/trainer:*"}}, effect="Deny", Principal="*")
    assert not findings("aws-trust-no-subject", policy(wide, deny))
    unsure = {**deny, "Condition": {**deny["Condition"], "IpAddress": {"aws:SourceIp": "192.0.2.0/24"}}}
    assert findings("aws-trust-no-subject", policy(wide, unsure))


def test_each_issuer_of_a_list_is_judged_by_its_own_conditions() -> None:
    arn = "arn:aws:iam::123456789012:oidc-provider/"
    both = {"Federated": [f"{arn}{GITHUB}", f"{arn}gitlab.com"]}
    (finding,) = findings(
        "aws-trust-no-subject", policy({**statement({"StringNotLike": {f"{GITHUB}:sub": "repo:*"}}), "Principal": both})
    )
    assert "gitlab.com" in finding.message


def test_a_condition_on_something_else_lowers_the_confidence() -> None:
    condition = {**when(), "IpAddress": {"aws:SourceIp": "192.0.2.0/24"}}
    (finding,) = findings("aws-trust-no-subject", policy(statement(condition)))
    assert (finding.severity, finding.confidence) == ("critical", "medium")
    assert condition_to_write(finding)["IpAddress"] == {"aws:SourceIp": "192.0.2.0/24"}


def test_a_json_text_of_the_finding_holds_no_control_characters() -> None:
    hostile = "repo:acme*\u202e\x1b[31m\n"
    (finding,) = findings(
        "aws-trust-subject-wildcard", policy({**statement(when("StringLike", "sub", hostile)), "Sid": "a\nb"})
    )
    assert json.dumps(finding.change, ensure_ascii=False).isascii()
    assert "\n" not in finding.message
