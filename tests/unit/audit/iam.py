"""IAM's evaluation of a trust policy, once more and by other means: what the rules say is held against it.

Written from the vendor's documentation, with nothing of keylease's own evaluator: a policy is asked about every token
of a list, one by one. It knows the operators on strings and Null, not those on addresses, dates and ARNs.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
"""

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from keylease.audit.model import Finding, Inventory, Location, Record
from keylease.registry import RULES

GITHUB = "token.actions.githubusercontent.com"
SUBJECT = "repo:acme/trainer:ref:refs/heads/main"
Token = Mapping[str, str]


def statement(condition: Any = None, *, issuer: str = GITHUB, effect: str = "Allow", **more: Any) -> dict[str, Any]:
    """A statement as AWS's console writes it."""
    principal = {"Federated": f"arn:aws:iam::123456789012:oidc-provider/{issuer}"}
    found = {"Effect": effect, "Principal": principal, "Action": "sts:AssumeRoleWithWebIdentity", **more}
    return found if condition is None else {**found, "Condition": condition}


def policy(*statements: Any) -> dict[str, Any]:
    """A policy document."""
    return {"Version": "2012-10-17", "Statement": list(statements)}


def when(
    operator: str = "", claim: str = "", *values: str, aud: str = "sts.amazonaws.com", issuer: str = GITHUB
) -> Any:
    """A condition on the audience, and one more."""
    found: dict[str, Any] = {"StringEquals": {f"{issuer}:aud": aud}} if aud else {}
    if operator:
        found.setdefault(operator, {})[f"{issuer}:{claim}"] = list(values) if len(values) > 1 else values[0]
    return found


def findings(rule: str, document: Any) -> list[Finding]:
    """What a rule says of one policy."""
    record = Record(
        "aws.trust_policy",
        "file://trust.json#deploy",
        {"document": document, "name": "deploy"},
        Location("trust.json", 1),
    )
    return list(RULES.load(rule)().check(Inventory([record], {"aws.trust_policy"})))


def condition_to_write(finding: Finding) -> Any:
    """The condition that a finding says to write."""
    return json.loads("{" + finding.change.partition("\n\n")[2] + "}")["Condition"]


@lru_cache(100_000)
def like(pattern: str, text: str) -> bool:
    """IAM's wildcards, by a table of prefixes."""
    row = [True] + [False] * len(text)
    for mark in pattern:
        new = [row[0] and mark == "*"]
        for index, letter in enumerate(text, 1):
            same = mark in ("?", letter)
            new.append((row[index] or new[index - 1]) if mark == "*" else row[index - 1] and same)
        row = new
    return row[-1]


def is_met(operator: str, values: list[str], value: str | None) -> bool:
    """One operator and key."""
    quantifier, _, name = operator.rpartition(":")
    if name == "Null":
        return str(value is None).lower() in values
    base = name.removesuffix("IfExists")
    negative = "Not" in base
    if value is None:
        if quantifier == "ForAllValues":
            return True
        return False if quantifier == "ForAnyValue" else negative or name.endswith("IfExists")
    if base in ("StringLike", "StringNotLike"):
        one_of = any(like(each, value) for each in values)
    elif base in ("StringEquals", "StringNotEquals"):
        one_of = value in values
    elif base in ("StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase"):
        one_of = value.casefold() in [each.casefold() for each in values]
    else:
        raise NotImplementedError(operator)
    return not one_of if negative else one_of


def applies(found: Mapping[str, Any], token: Token) -> bool:
    """Whether a statement is about a token."""
    for operator, keys in found.get("Condition", {}).items():
        for key, values in keys.items():
            claim = key.rpartition(":")[2].lower()
            if not is_met(operator, values if isinstance(values, list) else [values], token.get(claim)):
                return False
    return True


def admits(document: Mapping[str, Any], token: Token) -> bool:
    """Whether the policy lets a token in."""
    effects = [each["Effect"] for each in document["Statement"] if applies(each, token)]
    return "Allow" in effects and "Deny" not in effects
