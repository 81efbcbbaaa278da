"""The rule aws-trust-eks-wildcard, beyond its samples."""

import json
from typing import Any

import pytest

from tests.unit.audit.iam import findings, policy, statement

RULE = "aws-trust-eks-wildcard"
EKS = "oidc.eks.eu-west-1.amazonaws.com/id/D4E5"


def trust(*subjects: str, operator: str = "StringLike", issuer: str = EKS, **more: Any) -> Any:
    values = {f"{issuer}:sub": list(subjects)}
    return policy(statement({operator: values, **more} if subjects else more or None, issuer=issuer))


def said(document: Any) -> list[tuple[str, str, str]]:
    return [(each.message.partition(" can")[0], each.severity, each.persona) for each in findings(RULE, document)]


ALL = ("every pod of the cluster", "high", "regular")
MANY = ("pods of many namespaces", "high", "regular")
ONE = ("every pod of a namespace", "medium", "pedantic")


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        ("system:serviceaccount:*", ALL),
        ("system:serviceaccount:*:*", ALL),
        ("*", ALL),
        ("system:*", ALL),
        ("system:serviceaccount:*:trainer", MANY),
        ("system:serviceaccount:ml-*:trainer", MANY),
        ("system:serviceaccount:ml*", MANY),
        ("system:serviceaccount:ml:*", ONE),
        ("system:serviceaccount:ml:train?", ONE),
        ("system:serviceaccount:${var.namespace}:*", ONE),
        ("system:serviceaccount:ml:trainer", None),
        ("${local.subject}*", None),
        ("system:serviceaccount:${var.namespace}:${var.name}", None),
    ],
)
def test_subjects(subject: str, expected: Any) -> None:
    assert said(trust(subject)) == ([expected] if expected else [])
    assert said(trust("system:serviceaccount:a:b", subject)) == ([expected] if expected else [])
    assert said(trust(subject, operator="StringEquals")) == []  # there a wildcard is a letter


def test_all_conditions_count_and_one_narrow_one_is_enough() -> None:
    narrow = {f"{EKS}:sub": "system:serviceaccount:a:b"}
    assert said(trust("system:serviceaccount:*", StringEquals=narrow)) == []
    assert said(trust("system:serviceaccount:*", StringNotEquals=narrow)) == [ALL]
    assert said(trust("system:serviceaccount:kube-system:*", operator="StringNotLike")) == [ALL]
    assert said(trust("system:serviceaccount:a:b", operator="StringEqualsIfExists")) == []


def test_without_a_subject_it_must_be_known_to_be_a_cluster() -> None:
    assert said(trust()) == [ALL]
    assert said(trust(issuer="oidc-eks.eu-west-1.api.aws/id/D4E5")) == [ALL]
    assert said(trust(issuer="token.actions.githubusercontent.com")) == []
    assert said(trust(issuer="accounts.example.com")) == []
    assert said(trust("system:serviceaccount:*:a", issuer="${module.eks.oidc_provider}")) == [MANY]


def test_other_conditions_make_it_less_sure() -> None:
    (finding,) = findings(RULE, trust("*", StringEquals={"aws:PrincipalTag/kubernetes-namespace": "ml"}))
    assert finding.confidence == "medium"


def test_what_it_says_to_write_is_a_condition() -> None:
    (finding,) = findings(RULE, trust("system:serviceaccount:ml:*"))
    block = json.loads("{" + finding.change.partition("\n\n")[2] + "}")
    assert block["Condition"]["StringEquals"][f"{EKS}:sub"] == "system:serviceaccount:ml:SERVICE_ACCOUNT"


@pytest.mark.parametrize("document", [None, [], {"Statement": [None, {"Effect": "Allow", "Condition": []}]}])
def test_odd_documents(document: Any) -> None:
    assert findings(RULE, document) == []
