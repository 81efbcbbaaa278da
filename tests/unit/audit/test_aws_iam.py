"""IAM policies, beyond the rules' own samples: aws-iam-privilege-escalation, aws-iam-service-wildcard, and the others.

aws-iam-data-exfiltration, aws-iam-credentials-exposure, aws-iam-pass-role, aws-iam-not-action, aws-iam-admin.
"""

import subprocess
import sys
from typing import Any

import pytest

from keylease.audit import aws_iam
from keylease.audit.aws_iam_rule import IamRule
from keylease.audit.model import Finding, Inventory, Location, Record
from keylease.audit.policy import AuditPolicy
from keylease.pipelines.audit import judge
from keylease.registry import RULES
from tests.unit.audit.iam import SUBJECT, policy, statement, when

NAMES = [name for name in RULES if name.startswith("aws-iam-")]


def allow(action: Any, resource: Any = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def record(document: Any, path: str = "policy.json", **facts: Any) -> Record:
    return Record("aws.iam_policy", f"file://{path}", {"document": document, "name": "ci", **facts}, Location(path, 1))


def found(document: Any, *others: Record, path: str = "policy.json", **facts: Any) -> dict[str, Finding]:
    inventory = Inventory([record(document, path, **facts), *others], {"aws.iam_policy", "aws.trust_policy"})
    findings = [each for name in NAMES for each in RULES.load(name)().check(inventory)]
    assert len({each.rule for each in findings}) == len(findings), "more than one of a rule for one policy"
    return {each.rule.removeprefix("aws-iam-"): each for each in findings}


def test_an_administrator_is_told_once() -> None:
    assert set(found(policy(allow("*")))) == {"admin"}


def test_a_policy_that_names_all_of_iam_is_more_than_a_wildcard() -> None:
    findings = found(policy(allow("iam:*")))
    assert set(findings) == {"service-wildcard", "privilege-escalation", "credentials-exposure", "pass-role"}
    assert findings["privilege-escalation"].severity == "high"


@pytest.mark.parametrize(
    ("deny", "rules"),
    [
        ({"Effect": "Deny", "Action": "secretsmanager:*", "Resource": "*"}, set()),
        ({"Effect": "Deny", "NotAction": "s3:*", "Resource": "*"}, set()),
        ({"Effect": "Deny", "Action": "s3:*", "Resource": "*"}, {"data-exfiltration"}),
    ],
)
def test_what_is_denied_outright_is_not_allowed(deny: dict[str, Any], rules: set[str]) -> None:
    findings = found(policy(allow("secretsmanager:GetSecretValue"), deny))
    assert set(findings) == rules
    assert all(each.confidence == "high" for each in findings.values())


def test_a_deny_of_some_or_under_a_condition_lowers_the_confidence() -> None:
    some = {"Effect": "Deny", "Action": "secretsmanager:*", "Resource": "arn:aws:secretsmanager:*:*:secret:x"}
    when_far = {
        "Effect": "Deny",
        "Action": "*",
        "Resource": "*",
        "Condition": {"StringNotEquals": {"aws:SourceVpc": "vpc-1"}},
    }
    for deny in (some, when_far):
        assert found(policy(allow("secretsmanager:GetSecretValue"), deny))["data-exfiltration"].confidence == "medium"


def test_a_condition_narrows_unless_it_says_nothing_of_what() -> None:
    tagged = {"StringEquals": {"aws:ResourceTag/team": "ml"}}
    assert not found(policy(allow(["s3:GetObject", "iam:PassRole"], Condition=tagged)))
    secure = {"Bool": {"aws:SecureTransport": "true"}}
    assert found(policy(allow("s3:GetObject", Condition=secure)))["data-exfiltration"].confidence == "medium"
    assert not found(policy(allow("s3:GetObject", Condition={"Bool": {**tagged["StringEquals"], **secure["Bool"]}})))


def test_actions_of_several_statements_make_a_way_together() -> None:
    findings = found(policy(allow("iam:PassRole"), allow(["lambda:CreateFunction", "lambda:InvokeFunction"])))
    assert "iam:passrole" in str(findings["privilege-escalation"].evidence)


def test_names_of_actions_have_no_case_and_may_be_wild_anywhere() -> None:
    assert "data-exfiltration" in found(policy(allow("SECRETSMANAGER:getsecret*")))
    assert "data-exfiltration" in found(policy(allow("s*:Get*")))
    assert "pass-role" in found(policy(allow("IAM:pass?ole")))


@pytest.mark.parametrize("unknown", ["${var.action}", "${var.service}:*", "s3:${var.verb}", "", "s3", ":", "a:b:c"])
def test_what_is_not_known_is_not_found(unknown: str) -> None:
    assert not found(policy(allow(unknown)))
    assert not found(policy(allow("s3:GetObject", unknown)))


@pytest.mark.parametrize(
    "document",
    [None, [], "x", {}, {"Statement": None}, {"Statement": ["x", 1, {}]}, policy(allow([None, 3, {}], [[], {}])),
     policy({"Effect": "Allow"}), policy(allow("s3:*", Condition=["x"])), policy(allow({"a": 1}, {"b": 2})),
     policy({"Effect": "Deny", "NotAction": [], "Resource": "*"}), policy({"Effect": [], "Action": [], "Resource": 0})],
)  # fmt: skip
def test_what_is_no_policy_breaks_nothing(document: Any) -> None:
    found(document)


def test_it_is_worse_where_jobs_can_take_the_role() -> None:
    trust = policy(statement(when("StringEquals", "sub", SUBJECT)))
    role = Record("aws.trust_policy", "aws://1/trust/deploy", {"document": trust, "name": "deploy"})
    wide = policy(allow("secretsmanager:GetSecretValue"))
    for facts in ({"role": "deploy"}, {"attached_to": ["other", "deploy"]}, {"attached_to": ["role/deploy"]}):
        finding = found(wide, role, **facts)["data-exfiltration"]
        assert finding.severity == "high"
        assert ("role", "deploy: jobs of GitHub can take it") in finding.evidence
    for other in ({"role": "other"}, {"attached_to": ["user/deploy"]}, {"attached_to": ["group/deploy", None]}):
        assert found(wide, role, **other)["data-exfiltration"].severity == "medium"


@pytest.mark.parametrize("name", NAMES)
def test_without_the_library_it_is_not_checked_and_never_passed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keylease.audit.aws_iam_rule.is_installed", lambda: False)
    rule = RULES.load(name)()
    assert isinstance(rule, IamRule)
    kinds = {"aws.iam_policy", "aws.trust_policy"}
    verdict = judge(Inventory([record(policy(allow("iam:*")))], kinds), [rule], AuditPolicy())
    if rule.library:
        assert [each.change for each in verdict.not_checked] == [aws_iam.EXTRA]
        assert name not in verdict.checked
        assert not verdict.findings
    else:
        assert not verdict.not_checked
    assert not judge(Inventory([], kinds), [rule], AuditPolicy()).not_checked


def test_the_library_is_loaded_only_for_a_policy_that_needs_it() -> None:
    code = (
        "import sys; from keylease.audit.model import *; from keylease.registry import RULES\n"
        "rules = [RULES.load(n)() for n in RULES if n.startswith('aws-iam-')]\n"
        "[list(r.check(Inventory([], {'aws.iam_policy'}))) for r in rules]\n"
        "assert not {'cloudsplaining', 'policy_sentry'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
