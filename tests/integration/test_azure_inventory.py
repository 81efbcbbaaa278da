"""The collector of Azure against a fake that is held against Microsoft's metadata."""

from collections.abc import Iterator
from typing import Any

import pytest

from keylease.audit.model import Inventory
from keylease.collectors.azure import AzureCollector, AzureInventorySettings
from keylease.collectors.base import Access
from keylease.context import Context
from keylease.errors import RefusedError, UnreachableError, UsageError
from keylease.http import Deadline
from keylease.masking import Masker
from tests.contract.harness_azure import make
from tests.fakes.azure_entra import ARM, RESOURCES
from tests.fakes.azure_graph import ARM_TOKEN, GRAPH_TOKEN, SUBSCRIPTION, AzureGraph
from tests.leaks import Seeded

ENV = {"GRAPH": GRAPH_TOKEN, "ARM": ARM_TOKEN}
KINDS = {"azure.credential", "azure.federated_credential", "azure.role_assignment"}
GITHUB = "https://token.actions.githubusercontent.com"
OWNER = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"
ASSIGNMENTS = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Authorization/roleAssignments"
DEFINITIONS = ASSIGNMENTS.replace("Assignments", "Definitions")


@pytest.fixture
def azure(seeded: Seeded) -> Iterator[AzureGraph]:
    for value in ENV.values():
        seeded.add(value)
    with AzureGraph() as server:
        yield server
        assert server.mismatches == []


def collector(azure: AzureGraph, **settings: Any) -> AzureCollector:
    given = {"graph_token_env": "GRAPH", "management_token_env": "ARM", "retries": 0, **settings}
    complete = AzureCollector.complete(
        AzureInventorySettings(graph_url=azure.url, management_url=azure.url, **given), ENV
    )
    return AzureCollector(complete, Context(ENV, Masker(), Deadline(20)), Access())


def collected(azure: AzureGraph, **settings: Any) -> Inventory:
    return collector(azure, **settings).collect()


def guid(number: int) -> str:
    return f"{number:08x}-0000-4000-8000-000000000000"


def app(azure: AzureGraph, number: int, **more: Any) -> dict[str, Any]:
    made = {
        "id": guid(number),
        "appId": guid(0xA000 + number),
        "displayName": f"trainer-{number}",
        "passwordCredentials": [],
        "keyCredentials": [],
        **more,
    }
    azure.applications.append(made)
    return made


def secret(number: int, **more: Any) -> dict[str, Any]:
    return {
        "keyId": guid(0xB000 + number),
        "displayName": "ci",
        "hint": "abc",
        "secretText": None,
        "startDateTime": "2026-01-10T08:00:00.1234567Z",
        "endDateTime": "2099-01-10T08:00:00Z",
        **more,
    }


def trust(name: str, **more: Any) -> dict[str, Any]:
    made = {"id": guid(1), "name": name, "issuer": GITHUB, "subject": "repo:acme/trainer:ref:refs/heads/main"}
    return {**made, "audiences": ["api://AzureADTokenExchange"], **more}


def assignment(number: int, scope: str = f"/subscriptions/{SUBSCRIPTION}", **more: Any) -> dict[str, Any]:
    role = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions/{OWNER}"
    given = {"roleDefinitionId": role, "principalId": guid(0xC000), "principalType": "ServicePrincipal", "scope": scope}
    name = guid(0xD000 + number)
    return {
        "id": f"{scope.rstrip('/')}/providers/Microsoft.Authorization/roleAssignments/{name}",
        "name": name,
        "type": "Microsoft.Authorization/roleAssignments",
        "properties": {**given, "createdOn": "2026-01-10T08:00:00.1234567Z", **more},
    }


def definition(**more: Any) -> dict[str, Any]:
    permissions = [{"actions": ["*"], "notActions": [], "dataActions": [], "notDataActions": []}]
    given = {"roleName": "Owner", "type": "BuiltInRole", "permissions": permissions, **more}
    return {"id": f"/providers/Microsoft.Authorization/roleDefinitions/{OWNER}", "name": OWNER, "properties": given}


def test_credentials(azure: AzureGraph) -> None:
    certificate = {"keyId": guid(0xE000), "displayName": "CN=x", "type": "AsymmetricX509Cert", "usage": "Verify"}
    ended = secret(2, endDateTime="2026-02-01T00:00:00Z", displayName=None)
    app(azure, 1, passwordCredentials=[secret(1), ended], keyCredentials=[certificate])
    activity = {"lastSignInDateTime": "2026-10-01T00:00:00Z", "lastSignInRequestId": "x"}
    azure.sign_ins = [{"keyId": guid(0xB001).upper(), "keyType": "clientSecret", "signInActivity": activity}]
    inventory = collected(azure)
    assert inventory.problems == []
    assert inventory.kinds == KINDS
    base = {"application": guid(0xA001), "application_name": "trainer-1", "holder": "trainer-1"}
    first, second, third = inventory.of("azure.credential")
    assert first.subject == f"azure://{guid(0xA001)}/credential/{guid(0xB001)}"
    assert first.facts == {
        **base,
        "name": "ci",
        "key_id": guid(0xB001),
        "sort": "password",
        "hint": "abc",
        "active": True,
        "created_at": "2026-01-10T08:00:00Z",
        "expires_at": "2099-01-10T08:00:00Z",
        "last_used_at": "2026-10-01T00:00:00Z",
    }
    assert (second.facts["active"], second.facts["name"]) == (False, guid(0xB002))
    assert "last_used_at" not in second.facts
    assert (third.facts["sort"], third.facts["name"]) == ("certificate", "CN=x")
    assert "expires_at" not in third.facts


def test_federated_credentials(azure: AzureGraph) -> None:
    one = app(azure, 1)
    expression = {"value": "claims['sub'] matches 'repo:acme/*'", "languageVersion": 1}
    azure.federated[one["id"]] = [trust("main"), trust("any / ✓", subject=None, claimsMatchingExpression=expression)]
    inventory = collected(azure)
    assert inventory.problems == []
    first, second = inventory.of("azure.federated_credential")
    assert first.facts == {
        "name": "main",
        "application": guid(0xA001),
        "application_name": "trainer-1",
        "issuer": GITHUB,
        "subject": "repo:acme/trainer:ref:refs/heads/main",
        "audiences": ["api://AzureADTokenExchange"],
        "expression": "",
    }
    assert second.subject == f"azure://{guid(0xA001)}/federated_credential/any%20%2F%20%E2%9C%93"
    assert (second.facts["subject"], second.facts["expression"]) == ("", expression["value"])


def test_more_than_an_expansion_holds(azure: AzureGraph) -> None:
    one = app(azure, 1)
    azure.federated[one["id"]] = [trust(f"t-{number}") for number in range(23)]
    inventory = collected(azure)
    assert inventory.problems == []
    assert len(inventory.of("azure.federated_credential")) == 23


def test_role_assignments(azure: AzureGraph) -> None:
    azure.assignments = [
        assignment(1),
        assignment(2, "/", principalType="User"),
        assignment(3, f"/subscriptions/{SUBSCRIPTION}/resourceGroups/ml", condition="@Resource[x] StringEquals 'y'"),
        assignment(4, "/providers/Microsoft.Management/managementGroups/all", roleDefinitionId="odd"),
    ]
    azure.roles = [definition()]
    azure.principals = [
        {"id": guid(0xC000), "appId": guid(0xA001), "displayName": "trainer", "servicePrincipalType": "Application"}
    ]
    azure.subscriptions = [SUBSCRIPTION, guid(7)]
    inventory = collected(azure)
    assert inventory.problems == []
    first, root, group, above = inventory.of("azure.role_assignment")
    assert first.subject == f"azure://{SUBSCRIPTION}/role_assignment/{guid(0xD001)}"
    assert first.facts == {
        "principal": guid(0xC000),
        "principal_type": "ServicePrincipal",
        "principal_name": "trainer",
        "application": guid(0xA001),
        "managed": False,
        "role": "Owner",
        "role_id": OWNER,
        "custom": False,
        "everything": True,
        "scope": f"/subscriptions/{SUBSCRIPTION}",
        "condition": None,
        "created_at": "2026-01-10T08:00:00Z",
    }
    assert (root.subject, root.facts["scope"]) == (f"azure://tenant/role_assignment/{guid(0xD002)}", "/")
    assert group.facts["condition"]
    assert (above.facts["role"], above.facts["everything"]) == ("", False)


def test_every_page_is_read(azure: AzureGraph) -> None:
    for number in range(7):
        one = app(azure, number, passwordCredentials=[secret(number)])
        azure.federated[one["id"]] = [trust("t")]
    azure.assignments = [assignment(number) for number in range(7)]
    inventory = collected(azure)
    assert inventory.problems == []
    assert [len(inventory.of(kind)) for kind in sorted(KINDS)] == [7, 7, 7]


REFUSALS = {
    "Application.Read.All": {"azure.credential", "azure.federated_credential", "azure.role_assignment"},
    "AuditLog.Read.All": {"azure.credential"},
    ASSIGNMENTS: {"azure.role_assignment"},
    DEFINITIONS: {"azure.role_assignment"},
    "/subscriptions": {"azure.role_assignment"},
}


@pytest.mark.parametrize("refused", REFUSALS)
def test_a_refused_permission_is_a_problem_of_its_kinds_alone(azure: AzureGraph, refused: str) -> None:
    app(azure, 1, passwordCredentials=[secret(1)])
    azure.assignments = [assignment(1)]
    azure.refused = {refused}
    inventory = collected(azure)
    assert {each.kind for each in inventory.problems} == REFUSALS[refused]
    assert inventory.kinds == KINDS
    granted = refused if refused.endswith(".All") else "az role assignment create"
    assert all(granted in each.change for each in inventory.problems)
    assert inventory.records


def test_a_tenant_without_the_licence(azure: AzureGraph) -> None:
    app(azure, 1, passwordCredentials=[secret(1)])
    azure.licensed = False
    inventory = collected(azure)
    (problem,) = inventory.problems
    assert "last_use: false" in problem.change
    assert "last_used_at" not in inventory.of("azure.credential")[0].facts
    assert collected(azure, last_use=False).problems == []


def test_a_credential_that_sees_no_subscription(azure: AzureGraph) -> None:
    azure.subscriptions = []
    inventory = collected(azure)
    assert [(each.kind, "no subscription" in each.what) for each in inventory.problems] == [
        ("azure.role_assignment", True)
    ]
    assert collected(azure, subscriptions=()).kinds == KINDS - {"azure.role_assignment"}


def test_what_there_is_no_token_for_is_not_whole(azure: AzureGraph) -> None:
    azure.assignments = [assignment(1)]
    assert collected(azure, graph_token_env=None).kinds == {"azure.role_assignment"}
    assert collected(azure, management_token_env=None).kinds == KINDS - {"azure.role_assignment"}


LINKS = (
    "http://evil.example/v1.0/applications?$skiptoken=2",
    "{url}@evil.example/v1.0/applications?$skiptoken=2",
    "{url}\\@evil.example/v1.0/applications",
    "{url}/v1.0/users?$skiptoken=2",
    "{url}/v1.0/applications/../users",
    "/v1.0/applications?$skiptoken=2",
    "{url}/v1.0/applications?$skiptoken=\n2",
    7,
)


@pytest.mark.parametrize("link", LINKS, ids=range(len(LINKS)))
def test_a_link_elsewhere_is_not_followed(azure: AzureGraph, link: object) -> None:
    link = link.format(url=azure.url) if isinstance(link, str) else link
    azure.answers["/v1.0/applications"] = (200, {"value": [], "@odata.nextLink": link})
    inventory = collected(azure)
    assert [each.kind for each in inventory.problems] == ["azure.credential"]
    assert "elsewhere" in inventory.problems[0].what
    assert {each.path for each in azure.requests} <= {
        "/v1.0/applications",
        "/beta/applications",
        "/subscriptions",
        ASSIGNMENTS,
        DEFINITIONS,
    }


def test_a_list_that_begins_again(azure: AzureGraph) -> None:
    for number in range(5):
        app(azure, number)
    azure.link = lambda right: right.rpartition("=")[0] + "=0"
    inventory = collected(azure)
    assert {"azure.credential", "azure.federated_credential"} == {each.kind for each in inventory.problems}
    assert "begins again" in inventory.problems[0].what


GARBAGE: tuple[tuple[int, Any], ...] = (
    (200, {"items": []}),
    (200, {"value": {}}),
    (200, {"value": ["a"]}),
    (200, {"value": [{"appId": "x"}]}),
    (200, {"value": [{"appId": guid(1), "passwordCredentials": [1], "keyCredentials": []}]}),
    (200, {"value": [{"appId": guid(1), "passwordCredentials": [{"keyId": "../x"}], "keyCredentials": []}]}),
    (200, b"<html>"),
    (503, {"error": {}}),
    (302, b""),
)


@pytest.mark.parametrize("answer", GARBAGE, ids=range(len(GARBAGE)))
def test_garbage_is_never_an_empty_list(azure: AzureGraph, answer: tuple[int, Any]) -> None:
    azure.assignments = [assignment(1)]
    azure.answers["/v1.0/applications"] = answer
    inventory = collected(azure)
    assert {each.kind for each in inventory.problems} == {"azure.credential"}
    assert len(inventory.of("azure.role_assignment")) == 1


def test_hostile_names_are_data(azure: AzureGraph) -> None:
    name = "\x1b[31m\n::error::\ud800/../x"
    one = {"id": guid(1), "appId": guid(2), "displayName": name}
    azure.answers["/beta/applications"] = (
        200,
        {"value": [{**one, "federatedIdentityCredentials": [trust(name, subject=name), {"name": 7}, "x"]}]},
    )
    broken = {"id": f"/{name}", "properties": {"scope": 7, "roleDefinitionId": [], "principalId": {}}}
    azure.answers[ASSIGNMENTS] = (200, {"value": [broken, {"id": 7}]})
    inventory = collected(azure)
    assert [each.kind for each in inventory.problems] == [
        "azure.federated_credential",
        "azure.federated_credential",
        "azure.role_assignment",
    ]
    assert len(inventory.records) == 2
    assert all(each.subject.isprintable() and each.subject.isascii() for each in inventory.records)


def test_a_token_that_is_refused_ends_it(azure: AzureGraph) -> None:
    with pytest.raises(RefusedError) as caught:
        collected(azure, graph_token_env="ARM")
    assert "az account get-access-token" in caught.value.change


def test_nobody_there(azure: AzureGraph) -> None:
    made = collector(azure)
    azure.stop()
    with pytest.raises(UnreachableError):
        made.collect()


def test_the_lease_of_a_provider(azure: AzureGraph, request: pytest.FixtureRequest) -> None:
    entra = make(request)
    graph = "https://graph.microsoft.com/.default"
    entra.entra.resources = {*RESOURCES, graph}
    lease = entra.exchanger().exchange(entra.token())
    azure.takes = lambda token, is_graph: entra.entra.is_alive(token, graph if is_graph else ARM)
    app(azure, 1, passwordCredentials=[secret(1)])
    azure.assignments = [assignment(1)]
    given: dict[str, Any] = {"graph_url": azure.url, "management_url": azure.url, "subscriptions": (SUBSCRIPTION,)}
    complete = AzureCollector.complete(AzureInventorySettings(**given), {})
    inventory = AzureCollector(complete, entra.context, Access(lease=lease)).collect()
    assert inventory.problems == []
    assert inventory.kinds == KINDS
    assert (len(inventory.of("azure.credential")), len(inventory.of("azure.role_assignment"))) == (1, 1)


def test_settings() -> None:
    wrongs: tuple[dict[str, Any], ...] = (
        {"subscriptions": ("prod",)},
        {"graph_token_env": "ABSENT"},
        {"graph_token_env": "GRAPH", "graph_token": Masker().seal(GRAPH_TOKEN, "t")},
        {"graph_url": "https://evil.example"},
        {"management_url": "https://evil.example"},
        {"retries": 99},
    )
    for wrong in wrongs:
        with pytest.raises(UsageError) as caught:
            AzureCollector.complete(AzureInventorySettings(**wrong), ENV)
        assert caught.value.change
    with pytest.raises(UsageError, match="no credential"):
        AzureCollector.alone(AzureCollector.complete(AzureInventorySettings(), ENV), ENV)
