"""github_classic_token: scopes over the policy."""

from typing import Any

import msgspec
import pytest

from keylease.audit.model import Inventory, Record
from keylease.registry import RULES

RULE = RULES.load("github-classic-token")


def severities(scopes: Any, expires_at: str | None = None, **settings: Any) -> list[str]:
    facts = {"name": "audit", "holder": "acme", "scopes": scopes, "expires_at": expires_at}
    rule = RULE(msgspec.convert(settings, RULE.Settings))
    return [each.severity for each in rule.check(Inventory([Record("github.token", "github://acme/token/a", facts)]))]


@pytest.mark.parametrize(
    ("scopes", "severity"),
    [
        ([], []),
        (["read:org", "read:user"], []),
        (["public_repo"], []),
        (["gist"], ["medium"]),
        (["repo"], ["high"]),
        (["read:org", "admin:org"], ["high"]),
        (["workflow"], ["high"]),
        ("repo", []),
        ([None, 5, "repo"], ["high"]),
    ],
)
def test_scopes(scopes: Any, severity: list[str]) -> None:
    assert severities(scopes) == severity


def test_one_with_an_end_is_less_bad() -> None:
    assert severities(["repo"], "2027-01-01T00:00:00Z") == ["medium"]


def test_scopes_can_be_allowed() -> None:
    assert severities(["repo", "write:packages"], allowed=["repo", "write:*"]) == []
