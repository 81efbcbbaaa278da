"""Rules about an AWS account: aws-root-access-key, aws-access-key-admin, aws-user-two-keys and what goes with them."""

import datetime as dt
import json
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from keylease.audit.aws_account import everything, key, role, user
from keylease.audit.model import Finding, Inventory, Record
from keylease.registry import RULES

NOW = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)
ADMIN = "arn:aws:iam::aws:policy/AdministratorAccess"

AWS_RULES = (
    "aws-root-access-key",
    "aws-access-key-admin",
    "aws-user-two-keys",
    "aws-access-key-beside-oidc",
    "aws-role-unused",
    "aws-secret-no-rotation",
)


def judged(name: str, *rows: tuple[str, str, Mapping[str, Any]], **settings: Any) -> list[Finding]:
    inventory = Inventory()
    inventory.now = NOW
    for kind, subject, facts in rows:
        inventory.records.append(Record(kind, subject, facts))
    rule = RULES.load(name)
    return list(rule(msgspec.convert(settings, rule.Settings)).check(inventory))


def test_the_key_of_an_administrator_names_the_policy() -> None:
    [found] = judged("aws-access-key-admin", key(), user("ci", groups=("ops",)), everything("group/ops"))
    assert dict(found.evidence)["by policy"] == "all"
    assert found.subject.endswith("/user/ci/key/AKIA…WXYZ")


def test_a_role_called_as_a_user_makes_no_administrator_of_the_user() -> None:
    assert judged("aws-access-key-admin", key("ci"), user("ci"), everything("role/ci")) == []


def test_a_user_of_the_same_name_elsewhere_is_another_one() -> None:
    kind, _, facts = user("ci", ADMIN)
    assert judged("aws-access-key-admin", key("ci"), (kind, "aws://210987654321/user/ci", facts)) == []


@pytest.mark.parametrize("arn", ["arn:aws:iam::123456789012:policy/AdministratorAccess", f"{ADMIN}-not", "x" + ADMIN])
def test_a_policy_that_is_only_called_so_is_not_awss(arn: str) -> None:
    assert judged("aws-access-key-admin", key(), user("ci", arn)) == []


@pytest.mark.parametrize("partition", ["aws", "aws-cn", "aws-us-gov"])
def test_awss_own_in_each_partition(partition: str) -> None:
    assert judged("aws-access-key-admin", key(), user("ci", ADMIN.replace("arn:aws:", f"arn:{partition}:")))


def test_what_a_deny_may_take_away_is_left_out() -> None:
    kind, subject, facts = everything("user/ci")
    deny = {"Effect": "Deny", "Action": "iam:*", "Resource": "*"}
    document = {"Statement": [*facts["document"]["Statement"], deny]}
    assert judged("aws-access-key-admin", key(), user(), (kind, subject, {**facts, "document": document})) == []


def test_two_keys_are_told_of_once_and_about_the_older() -> None:
    old, new = key("ci", "AKIA…AAAA", "2024-01-01T00:00:00Z"), key("ci", "AKIA…BBBB", "2026-10-01T00:00:00Z")
    [found] = judged("aws-user-two-keys", new, old)
    assert found.subject.endswith("AKIA…AAAA")
    assert judged("aws-user-two-keys", new, old, overlap_days=60) == []


def test_a_key_whose_age_is_unknown_is_no_second_one() -> None:
    old = key("ci", "AKIA…AAAA", "2024-01-01T00:00:00Z")
    assert judged("aws-user-two-keys", old, key("ci", "AKIA…BBBB", "yesterday")) == []


def test_a_trust_policy_in_a_file_is_not_the_accounts() -> None:
    kind, _, facts = role(created_at="2020-01-01T00:00:00Z", last_used_at=None)
    row = (kind, "file://role.json", facts)
    assert judged("aws-access-key-beside-oidc", key(), row) == []
    assert judged("aws-role-unused", row) == []


def test_the_limit_of_unused_roles_is_a_setting() -> None:
    row = role(created_at="2024-01-01T00:00:00Z", last_used_at="2026-09-01T00:00:00Z")
    assert judged("aws-role-unused", row) == []
    [found] = judged("aws-role-unused", row, max_days=30)
    assert "last used 2026-09-01" in found.message


def test_a_name_is_quoted_in_commands() -> None:
    name = "x; curl evil.example"
    [found] = judged("aws-role-unused", role(name, created_at="2024-01-01T00:00:00Z", last_used_at=None))
    assert f"--role-name '{name}'" in found.change
    [found] = judged("aws-access-key-admin", key(name), user(name, ADMIN))
    assert f"--user-name '{name}'" in found.change
    facts = {"name": name, "holder": "1 eu-central-1", "rotates": False}
    [found] = judged("aws-secret-no-rotation", ("aws.secret", "aws://1/secret/eu-central-1/x", facts))
    assert f"--secret-id '{name}' --region eu-central-1" in found.change


@pytest.mark.parametrize("count", [0, -1, "1", None, [1]])
def test_no_root_key_or_no_number(count: object) -> None:
    assert judged("aws-root-access-key", ("aws.account", "aws://1", {"root_keys": count})) == []


@pytest.mark.parametrize("name", AWS_RULES)
@pytest.mark.parametrize("odd", [None, 7, [], {}, "x", [None, 3]])
def test_odd_facts_are_no_fault(name: str, odd: Any) -> None:
    rows = [key(), user(), role(created_at="2024-01-01T00:00:00Z", last_used_at=None), everything("user/ci")]
    for position, (kind, subject, facts) in enumerate(rows):
        for fact in facts:
            changed = [*rows]
            changed[position] = (kind, subject, {**json.loads(json.dumps(facts)), fact: odd})
            judged(name, *changed)
