"""Samples of inventories, roles and policies, for rules to show what they find and what not."""

import json
from collections.abc import Mapping
from typing import Any

NOW = "2026-11-01T00:00:00Z"

Row = tuple[str, str, Mapping[str, Any]]
"""Kind, subject and facts of a record."""


def these(*rows: Row) -> str:
    """The text of an inventory with these records, collected at :data:`NOW`."""
    records = [{"kind": kind, "subject": subject, "facts": facts} for kind, subject, facts in rows]
    return json.dumps({"now": NOW, "records": records}, indent=1, ensure_ascii=False)


def listed(kind: str, subject: str, **facts: Any) -> str:
    """The text of an inventory with one record."""
    return these((kind, subject, facts))


_ROLE = {
    "name": "deploy",
    "mount": "jwt",
    "role_type": "jwt",
    "user_claim": "repository",
    "bound_audiences": ["https://vault.example.com"],
    "bound_claims": {"repository": "acme/trainer", "ref": "refs/heads/main"},
    "claim_mappings": {"repository": "repository"},
    "token_bound_cidrs": ["192.0.2.0/24"],
    "token_policies": ["trainer"],
    "token_ttl": "15m",
    "token_max_ttl": "1h",
}


def role_file(**fields: Any) -> str:
    """A file with a JWT role of Vault that no rule finds, but for these fields. None: the field isn't there."""
    role = {name: value for name, value in {**_ROLE, **fields}.items() if value is not None}
    return json.dumps(role, indent=2)


def policy_file(*statements: Mapping[str, Any]) -> str:
    """A file with a policy of AWS."""
    return json.dumps({"Version": "2012-10-17", "Statement": statements}, indent=2)


def github(conditions: Mapping[str, Mapping[str, Any]] | None = None, aud: str = "sts.amazonaws.com") -> dict[str, Any]:
    """A statement that trusts GitHub's jobs. conditions: operator → claim → what it must be."""
    host = "token.actions.githubusercontent.com"
    asked = {"StringEquals": {f"{host}:aud": aud}} if aud else {}
    for operator, claims in (conditions or {}).items():
        asked.setdefault(operator, {}).update(
            (claim if ":" in claim else f"{host}:{claim}", value) for claim, value in claims.items()
        )
    principal = {"Federated": f"arn:aws:iam::123456789012:oidc-provider/{host}"}
    found = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRoleWithWebIdentity"}
    return {**found, "Condition": asked} if asked else found
