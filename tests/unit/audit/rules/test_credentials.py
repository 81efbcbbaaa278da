"""The rules about ages, uses and ends: credential_stale, _unused, _no_end, _long_lived, _expires_soon, _age_unknown."""

import datetime as dt
from typing import Any

import msgspec
import pytest

from keylease.audit.aging import ROTATE, Limit, rotate
from keylease.audit.credentials import SORTS
from keylease.audit.model import Finding, Inventory, Record
from keylease.registry import RULES

NOW = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)


def ago(days: int) -> str:
    return (NOW - dt.timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")


def found(rule: str, *records: Record, **settings: Any) -> list[Finding]:
    kind = RULES.load(rule)
    return list(kind(msgspec.convert(settings, kind.Settings)).check(Inventory(list(records), now=NOW)))


def key(kind: str = "openai.key", **facts: Any) -> Record:
    return Record(kind, f"{kind}://x", {"name": "ci", "holder": "training", **facts})


@pytest.mark.parametrize(("days", "severity"), [(90, None), (91, "medium"), (180, "medium"), (181, "high")])
def test_a_limit_is_kept_to_the_day(days: int, severity: str | None) -> None:
    findings = found("credential-stale", key(created_at=ago(days)))
    assert [each.severity for each in findings] == ([severity] if severity else [])


def test_copies_may_be_older_and_what_is_changed_counts_from_then() -> None:
    copy = key("github.secret", created_at=ago(900), updated_at=ago(179))
    assert not found("credential-stale", copy)
    assert found("credential-stale", copy, stored_days=30)
    assert not found("credential-stale", copy, stored_days=36_500)


def test_the_first_limit_that_covers_a_credential_counts() -> None:
    record = key("github.secret", updated_at=ago(40), name="PROD_KEY", environment="prod")
    ages = [
        {"kind": "openai.*", "max_days": 1},
        {"environment": "prod", "name": "PROD_*", "max_days": 30},
        {"max_days": 36_500},
    ]
    (finding,) = found("credential-stale", record, ages=ages)
    assert ("limit", "30 days") in finding.evidence
    assert not found("credential-stale", record, ages=ages[::-1])
    assert not found("credential-stale", key("github.secret", updated_at=ago(400)), ages=ages)


def test_a_limit_is_a_limit() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"max_days": 0}, Limit)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"kinds": "x", "max_days": 3}, Limit)


def test_a_last_use_that_nobody_tells_is_not_never() -> None:
    assert not found("credential-unused", key(created_at=ago(900)))
    (finding,) = found("credential-unused", key(created_at=ago(900), last_used_at=None))
    assert "was never used since it was made, 900 days ago" in finding.message
    assert not found("credential-unused", key(created_at=ago(29), last_used_at=None))
    assert not found("credential-unused", key(created_at=ago(900), last_used_at=ago(90)))
    assert found("credential-unused", key(created_at=ago(900), last_used_at=ago(91)))


def test_an_end_that_nobody_tells_is_not_no_end() -> None:
    assert not found("credential-no-end", key())
    assert found("credential-no-end", key(expires_at=None))
    assert not found("credential-no-end", key("aws.access_key", expires_at=None)), "they can't have one"


def test_what_is_short_lived_is_not_about_to_expire() -> None:
    short = key("vault.token", created_at=ago(1), expires_at=ago(-1))
    long = key("vault.token", created_at=ago(100), expires_at=ago(-14))
    gone = key("vault.token", created_at=ago(100), expires_at=ago(1))
    assert [each.message for each in found("credential-expires-soon", short, long, gone)] == [
        "Vault token ci of training ends in 14 days"
    ]


def test_unknown_ages_are_told_by_place() -> None:
    names = [key("gitlab.variable", name=f"KEY_{number}", masked=True) for number in range(60)]
    (finding,) = found("credential-age-unknown", *names, key("gitlab.variable", name="LOG_LEVEL", masked=False))
    assert finding.message == "nobody can say how old 60 GitLab variables of training are"
    assert finding.evidence[0][1].endswith("KEY_49 … and 10 more")
    assert finding.subject == "gitlab://training/variable"


def test_what_is_switched_off_is_nowhere_told() -> None:
    facts = {"created_at": ago(999), "expires_at": None, "last_used_at": None, "active": False}
    for rule in [name for name in RULES if name.startswith("credential-")]:
        assert not found(rule, *(key(kind, **facts) for kind in SORTS)), rule


def test_each_sort_can_be_rotated() -> None:
    assert {name.partition(" ")[0] for name in ROTATE} == set(SORTS)


@pytest.mark.parametrize(
    ("kind", "facts", "command"),
    [
        (
            "vault.secret",
            {"mount": "team kv", "path": "ml/db", "holder": "team kv"},
            "bao kv patch -mount='team kv' ml/db FIELD=-",
        ),
        ("vault.database_role", {"mount": "pg", "name": "ci", "sort": "static"}, "bao write -f pg/rotate-role/ci"),
        ("vault.approle_secret_id", {"mount": "ci", "role": "x"}, "bao list auth/ci/role/x/secret-id\n"),
        ("gcp.key", {"name": "1a", "holder": "ci@p.iam"}, "keys delete 1a --iam-account ci@p.iam"),
        ("azure.credential", {"application": "00-1", "key_id": "00-2"}, "--id 00-1 --key-id 00-2"),
        ("anthropic.key", {"id": "apikey_1"}, "/api_keys/apikey_1 {"),
        ("github.deploy_key", {"id": 7, "holder": "acme/t"}, "gh repo deploy-key delete 7 --repo acme/t"),
        ("github.secret", {"name": "$(id)", "holder": "acme/t"}, "gh secret set '$(id)' --repo acme/t"),
        ("aws.access_key", {"holder": "ci"}, "aws iam delete-access-key --user-name ci --access-key-id KEY_ID"),
        ("gitlab.token", {"sort": "project", "holder": "acme/t"}, "POST /projects/acme%2Ft/access_tokens/7/rotate"),
        ("gitlab.token", {"sort": "deploy", "holder": "acme/t"}, "make a new one, with an end"),
        ("vault.token", {"holder": "auth/token/create"}, "bao token revoke -accessor ACCESSOR"),
        ("vault.secret", {}, "bao kv patch -mount=MOUNT PATH FIELD=-"),
    ],
)
def test_what_is_known_is_in_the_command(kind: str, facts: dict[str, Any], command: str) -> None:
    assert command in rotate(Record(kind, f"{kind}://x/7", facts))


def test_a_life_is_counted_from_making_to_end() -> None:
    rule = "credential-long-lived"
    assert not found(rule, key(created_at=ago(1), expires_at=ago(-364)))
    [finding] = found(rule, key(created_at=ago(1), expires_at=ago(-365)))
    assert "366 days" in finding.message
    assert not found(rule, key(created_at=ago(1)), key(expires_at=ago(-999)), key(created_at=ago(1), expires_at=None))
    assert not found(rule, key(created_at=ago(1), expires_at=ago(-365)), ages=[{"max_days": 36_500}])


def test_places_of_two_servers_are_two() -> None:
    """Else a baseline of one would hide the other's."""
    records = [
        Record("vault.secret", f"vault://{server}/secret/kv/ci", {"name": "ci", "holder": "kv", "server": server})
        for server in ("one.example.com", "two.example.com")
    ]
    assert [each.subject for each in found("credential-age-unknown", *records)] == [
        "vault://one.example.com/kv/secret",
        "vault://two.example.com/kv/secret",
    ]
    variable = {"name": "A", "holder": "acme/x", "masked": True, "server": "gitlab.com"}
    (finding,) = found("credential-age-unknown", Record("gitlab.variable", "gitlab://acme/x/variable/A", variable))
    assert finding.subject == "gitlab://acme/x/variable", "as it always was"
