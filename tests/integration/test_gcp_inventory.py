"""The collector of Google Cloud against a fake that is held against Google's discovery documents."""

from collections.abc import Iterator
from typing import Any

import pytest

from keylease.audit.model import Inventory
from keylease.collectors.base import Access
from keylease.collectors.gcp import GcpCollector, GcpInventorySettings
from keylease.context import Context
from keylease.errors import RefusedError, UnreachableError, UsageError
from keylease.http import Deadline
from keylease.masking import Masker
from keylease.model import Lease
from keylease.vendors.gcp_session import GcpSession
from keylease.vendors.gcp_settings import GcpSettings
from tests.fakes.gcp_iam import PROJECT, TOKEN, GcpIam
from tests.leaks import Seeded

BOT = f"bot@{PROJECT}.iam.gserviceaccount.com"
OLD = f"old@{PROJECT}.iam.gserviceaccount.com"


@pytest.fixture
def google(seeded: Seeded) -> Iterator[GcpIam]:
    seeded.add(TOKEN)
    with GcpIam() as server:
        yield server
        assert server.mismatches == []


def collector(google: GcpIam, access: Access | None = None, deadline: float = 20, **settings: Any) -> GcpCollector:
    env = {"GCP_ACCESS_TOKEN": TOKEN}
    given = {"projects": (PROJECT,), "retries": 0, **({} if access else {"token_env": "GCP_ACCESS_TOKEN"}), **settings}
    urls: dict[str, Any] = dict.fromkeys(("iam_url", "resource_manager_url", "policy_analyzer_url"), google.url)
    complete = GcpCollector.complete(GcpInventorySettings(**urls, **given), env)
    return GcpCollector(complete, Context(env, Masker(), Deadline(deadline)), access or Access())


def collected(google: GcpIam, **settings: Any) -> Inventory:
    return collector(google, **settings).collect()


def facts(inventory: Inventory, kind: str) -> dict[str, dict[str, Any]]:
    assert len({each.subject for each in inventory.of(kind)}) == len(inventory.of(kind))
    return {each.subject: dict(each.facts) for each in inventory.of(kind)}


def test_keys(google: GcpIam) -> None:
    used = google.key(BOT, "aa11")
    google.last_uses[used] = "2026-10-01T07:00:00Z"
    google.last_uses[google.key(BOT, "bb22", validBeforeTime="2026-12-01T00:00:00.123Z", disabled=True)] = None
    google.key(BOT, "ee55", keyType="SYSTEM_MANAGED")
    google.key(OLD, "cc33", keyOrigin="USER_PROVIDED")
    google.account_facts[OLD] = {"disabled": True}
    inventory = collected(google)
    assert inventory.problems == []
    assert inventory.kinds == {"gcp.key", "gcp.provider", "gcp.binding"}
    common = {"project": PROJECT, "created_at": "2026-01-10T08:00:00Z"}
    made = {"origin": "GOOGLE_PROVIDED", **common}
    assert facts(inventory, "gcp.key") == {
        f"gcp://{PROJECT}/key/{BOT}/aa11": {
            **made,
            "name": "aa11",
            "holder": BOT,
            "active": True,
            "expires_at": None,
            "last_used_at": "2026-10-01T07:00:00Z",
        },
        f"gcp://{PROJECT}/key/{BOT}/bb22": {
            **made,
            "name": "bb22",
            "holder": BOT,
            "active": False,
            "expires_at": "2026-12-01T00:00:00Z",
            "last_used_at": None,
        },
        f"gcp://{PROJECT}/key/{OLD}/cc33": {
            **common,
            "origin": "USER_PROVIDED",
            "name": "cc33",
            "holder": OLD,
            "active": False,
            "expires_at": None,
        },
    }


def test_providers_and_bindings(google: GcpIam) -> None:
    google.provider(
        "ci-pool",
        "github",
        attributeCondition="assertion.repository_owner_id == '6539'",
        oidc={"issuerUri": "https://token.actions.githubusercontent.com", "allowedAudiences": ["https://acme"]},
    )
    google.provider("ci-pool", "gitlab", disabled=True, oidc={"issuerUri": "https://gitlab.com"})
    google.provider("aws-pool", "aws", aws={"accountId": "123456789012"})
    member = "principalSet://iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/ci-pool/*"
    google.accounts[BOT] = []
    google.policies[BOT] = [{"role": "roles/iam.workloadIdentityUser", "members": [member]}]
    condition = {"title": "until", "expression": 'request.time < timestamp("2027-01-01T00:00:00Z")'}
    google.policies[""] = [
        {"role": "roles/editor", "members": [f"serviceAccount:{BOT}", "user:ann@acme.example"]},
        {"role": "roles/editor", "members": [f"serviceAccount:{BOT}"], "condition": condition},
    ]
    inventory = collected(google)
    assert inventory.problems == []
    providers = facts(inventory, "gcp.provider")
    assert providers[f"gcp://{PROJECT}/provider/ci-pool/github"] == {
        "name": "github",
        "pool": "ci-pool",
        "project": PROJECT,
        "project_number": "123456789012",
        "sort": "oidc",
        "issuer": "https://token.actions.githubusercontent.com",
        "condition": "assertion.repository_owner_id == '6539'",
        "mapping": {"google.subject": "assertion.sub"},
        "audiences": ["https://acme"],
        "disabled": False,
        "active": True,
    }
    assert providers[f"gcp://{PROJECT}/provider/ci-pool/gitlab"]["disabled"] is True
    bindings = [
        (b["resource"], b["role"], b["member"], b["condition"]) for b in facts(inventory, "gcp.binding").values()
    ]
    assert bindings == [
        (f"projects/{PROJECT}/serviceAccounts/{BOT}", "roles/iam.workloadIdentityUser", member, None),
        (f"projects/{PROJECT}", "roles/editor", f"serviceAccount:{BOT}", None),
        (f"projects/{PROJECT}", "roles/editor", "user:ann@acme.example", None),
        (f"projects/{PROJECT}", "roles/editor", f"serviceAccount:{BOT}", condition["expression"]),
    ]


def test_what_is_deleted_or_of_a_disabled_pool_takes_no_token(google: GcpIam) -> None:
    pool = "projects/123456789012/locations/global/workloadIdentityPools"
    base = f"/v1/projects/{PROJECT}/locations/global/workloadIdentityPools"
    google.answers[base] = (
        200,
        {
            "workloadIdentityPools": [
                {"name": f"{pool}/open", "state": "ACTIVE"},
                {"name": f"{pool}/off", "state": "ACTIVE", "disabled": True},
                {"name": f"{pool}/gone", "state": "DELETED"},
            ]
        },
    )
    for name in ("open", "off", "gone"):
        google.provider(name, "github")
    google.provider("open", "deleted", state="DELETED")
    inventory = collected(google)
    found = {each.subject.rpartition("/provider/")[2]: each.facts["disabled"] for each in inventory.of("gcp.provider")}
    assert found == {"open/github": False, "open/deleted": True, "off/github": True, "gone/github": True}


def test_every_page_is_read(google: GcpIam) -> None:
    for number in range(7):
        google.last_uses[google.key(f"bot-{number}@{PROJECT}.iam.gserviceaccount.com", f"{number:04}")] = None
        google.provider("ci-pool", f"p-{number}")
        google.provider(f"pool-{number}", "p")
    inventory = collected(google)
    assert inventory.problems == []
    assert [each.facts["last_used_at"] for each in inventory.of("gcp.key")] == [None] * 7
    assert len(inventory.of("gcp.provider")) == 14


PERMISSIONS = {
    "iam.serviceAccounts.list": {"gcp.key", "gcp.binding"},
    "iam.serviceAccountKeys.list": {"gcp.key"},
    "iam.serviceAccounts.getIamPolicy": {"gcp.binding"},
    "iam.workloadIdentityPools.list": {"gcp.provider"},
    "iam.workloadIdentityPoolProviders.list": {"gcp.provider"},
    "resourcemanager.projects.getIamPolicy": {"gcp.binding"},
    "policyanalyzer.serviceAccountKeyLastAuthenticationActivities.query": {"gcp.key"},
}


@pytest.mark.parametrize("permission", PERMISSIONS)
def test_a_refused_permission_is_a_problem_of_its_kinds_alone(google: GcpIam, permission: str) -> None:
    google.key(BOT, "aa11")
    google.provider("ci-pool", "github")
    google.policies[""] = [{"role": "roles/viewer", "members": ["allUsers"]}]
    google.refused = {permission}
    inventory = collected(google)
    assert {each.kind for each in inventory.problems} == PERMISSIONS[permission]
    assert inventory.kinds == {"gcp.key", "gcp.provider", "gcp.binding"}
    assert all(permission in each.change and "gcloud projects add-iam" in each.change for each in inventory.problems)
    assert inventory.records


def test_an_api_that_is_off(google: GcpIam) -> None:
    google.key(BOT, "aa11")
    google.disabled = {"policyanalyzer"}
    inventory = collected(google)
    (problem,) = inventory.problems
    assert problem.change == f"gcloud services enable policyanalyzer.googleapis.com --project={PROJECT}"
    (key,) = inventory.of("gcp.key")
    assert "last_used_at" not in key.facts
    assert collected(google, last_use=False).problems == []


def test_another_project_is_a_problem_each(google: GcpIam) -> None:
    inventory = collected(google, projects=("acme-other",))
    assert {each.kind for each in inventory.problems} == {"gcp.key", "gcp.provider", "gcp.binding"}
    assert inventory.records == []


def test_a_list_that_begins_again(google: GcpIam) -> None:
    for number in range(3):
        google.key(f"bot-{number}@{PROJECT}.iam.gserviceaccount.com", "aa11")
    google.repeat = True
    inventory = collected(google)
    assert {"gcp.key", "gcp.binding", "gcp.provider"} == {each.kind for each in inventory.problems}
    assert "begins again" in inventory.problems[0].what


GARBAGE: tuple[tuple[int, Any], ...] = (
    (200, {"items": []}),
    (200, {"accounts": {"a": 1}}),
    (200, {"accounts": ["a"]}),
    (200, {"accounts": [{"email": "../x"}]}),
    (200, {"accounts": [{"email": 7}]}),
    (200, {"nextPageToken": 7}),
    (200, b"<html>"),
    (200, b"[]"),
    (503, {"error": {}}),
    (302, b""),
)


@pytest.mark.parametrize("answer", GARBAGE, ids=range(len(GARBAGE)))
def test_garbage_is_never_an_empty_list(google: GcpIam, answer: tuple[int, Any]) -> None:
    google.provider("ci-pool", "github")
    google.answers[f"/v1/projects/{PROJECT}/serviceAccounts"] = answer
    inventory = collected(google)
    assert {each.kind for each in inventory.problems} == {"gcp.key", "gcp.binding"}
    assert len(inventory.of("gcp.provider")) == 1


@pytest.mark.parametrize("body", [{"bindings": 1}, {"bindings": [{"role": 1}]}, {"policy": {}}, {"bindings": ["a"]}])
def test_a_policy_that_is_none(google: GcpIam, body: object) -> None:
    google.answers[f"/v3/projects/{PROJECT}:getIamPolicy"] = (200, body)
    assert [each.kind for each in collected(google).problems] == ["gcp.binding"]


def test_hostile_names_are_data(google: GcpIam) -> None:
    base = f"/v1/projects/{PROJECT}/locations/global/workloadIdentityPools"
    pool = "projects/123/locations/global/workloadIdentityPools"
    google.answers[base] = (200, {"workloadIdentityPools": [{"name": f"{pool}/p-1"}, {"name": f"{pool}/../../x"}]})
    name = f"{pool}/p-1/providers/\x1b[31m\n::warning::\ud800/.."
    google.answers[f"{base}/p-1/providers"] = (200, {"workloadIdentityPoolProviders": [{"name": name}]})
    role = "roles/\x1b\ud800"
    google.answers[f"/v3/projects/{PROJECT}:getIamPolicy"] = (
        200,
        {"bindings": [{"role": role, "members": ["user:\n::error::", 7, ""]}]},
    )
    inventory = collected(google)
    assert [each.kind for each in inventory.problems] == ["gcp.provider"]
    assert all(each.subject.isprintable() and each.subject.isascii() for each in inventory.records)
    assert len(inventory.of("gcp.binding")) == 1
    assert not any(".." in each.path for each in google.requests)


def test_a_token_that_is_refused_ends_it(google: GcpIam) -> None:
    made = collector(google)
    google.answers[f"/v1/projects/{PROJECT}/serviceAccounts"] = (401, {"error": {"status": "UNAUTHENTICATED"}})
    with pytest.raises(RefusedError) as caught:
        made.collect()
    assert "gcloud auth print-access-token" in caught.value.change


def test_nobody_there(google: GcpIam) -> None:
    made = collector(google)
    google.stop()
    with pytest.raises(UnreachableError):
        made.collect()


def test_the_lease_of_a_provider(google: GcpIam) -> None:
    google.key(BOT, "aa11")
    session = GcpSession(GcpSettings(project_id=PROJECT, quota_project="acme-bill"), Masker().seal(TOKEN, "t"), "")
    lease = Lease("gcp", "gcp", {}, session=session)
    inventory = collector(google, Access(lease=lease), projects=()).collect()
    assert len(inventory.of("gcp.key")) == 1
    assert {each.header("X-Goog-User-Project") for each in google.requests} == {"acme-bill"}


def test_settings() -> None:
    env = {"T": TOKEN, "GOOGLE_CLOUD_PROJECT": "acme-env"}
    assert GcpCollector.complete(GcpInventorySettings(token_env="T"), env).projects == ("acme-env",)
    wrongs: tuple[dict[str, Any], ...] = (
        {"projects": ("../x",)},
        {"token_env": "ABSENT"},
        {"token_env": "T", "token": Masker().seal(TOKEN, "t")},
        {"iam_url": "https://evil.example"},
        {"timeout": 0},
    )
    for wrong in wrongs:
        with pytest.raises(UsageError) as caught:
            GcpCollector.complete(GcpInventorySettings(**wrong), env)
        assert caught.value.change
    complete = GcpCollector.complete(GcpInventorySettings(), {})
    with pytest.raises(UsageError, match="no credential"):
        GcpCollector.alone(complete, {})
    complete = GcpCollector.complete(GcpInventorySettings(token_env="T"), {"T": TOKEN})
    with pytest.raises(UsageError, match="no project"):
        GcpCollector.alone(complete, {"T": TOKEN})
