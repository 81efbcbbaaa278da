"""What each store's listing asks for, leaves out, and says when it may not."""

import pytest

from keylease.errors import RefusedError, UnreachableError, UsageError
from keylease.model import Read
from keylease.sync.naming import Pattern
from tests.contract import manager_aws_sm, manager_aws_ssm, manager_azure_kv, manager_gcp_sm, manager_vault
from tests.contract.manager_harness import ManagerHarness
from tests.fakes.azure_keyvault import VAULT
from tests.fakes.gcp_secretmanager import PROJECT
from tests.fakes.misbehaving import Behaviour, Misbehaving, Proxy, reply
from tests.integration.vault_job import Job, read_of
from tests.servers.trust import Trust


def find(harness: ManagerHarness, read: Read) -> list[str]:
    pattern = Pattern(read.path)
    return harness.manager().find(read, pattern.parent, pattern.prefix, deep=pattern.deep)


def refused(harness: ManagerHarness, read: Read) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        find(harness, read)
    assert caught.value.docs.endswith("#sync-listing")
    return caught.value


@pytest.fixture
def azure(request: pytest.FixtureRequest) -> manager_azure_kv.KeyVaultHarness:
    return manager_azure_kv.make(request)


@pytest.fixture
def gcp(request: pytest.FixtureRequest) -> manager_gcp_sm.SecretManagerHarness:
    return manager_gcp_sm.make(request)


# Vault.


def vault_find(job: Job, path: str, **options: str) -> list[str]:
    pattern = Pattern(path)
    return sorted(job.manager().find(read_of(path, None, **options), pattern.parent, pattern.prefix, deep=pattern.deep))


def test_kv_of_both_versions_and_mounts_of_several_segments(trust: Trust) -> None:
    trust.bao.write(f"sys/mounts/{trust.kv.mount}-1", type="kv", options={"version": "1"})
    trust.bao.write(f"sys/mounts/{trust.kv.mount}-2/nested", type="kv", options={"version": "2"})
    trust.grant(f"{trust.kv.mount}-1/*", "read", "list")
    trust.grant(f"{trust.kv.mount}-2/nested/*", "read", "list")
    one, two = f"{trust.kv.mount}-1", f"{trust.kv.mount}-2/nested"
    for name in ("a/x", "a/b/y"):
        trust.bao.write(f"{one}/{name}", k="value")
        trust.bao.write(f"{two}/data/{name}", {"data": {"k": "value"}})
    job = Job(trust)
    for mount, kv in ((one, "1"), (two, "2")):
        assert vault_find(job, f"{mount}/a/*") == [f"{mount}/a/x"]
        assert vault_find(job, f"{mount}/**") == [f"{mount}/a/b/y", f"{mount}/a/x"]
        assert vault_find(job, f"{mount}/**", kv=kv, mount=mount) == [f"{mount}/a/b/y", f"{mount}/a/x"]


def test_an_engine_that_has_nothing_to_list(trust: Trust) -> None:
    trust.bao.write(f"sys/mounts/{trust.kv.mount}-t", type="transit")
    trust.grant(f"{trust.kv.mount}-t/*", "read", "list")
    with pytest.raises(UsageError, match="transit engine"):
        vault_find(Job(trust), f"{trust.kv.mount}-t/keys/*")


def test_folders_that_do_not_end(trust: Trust, proxy: Proxy) -> None:
    job = Job(trust, url=proxy.url)
    trust.kv.put("x", {"k": "v"})
    proxy.always(f"/v1/{trust.kv.mount}/metadata*", reply(json={"data": {"keys": ["deeper/"]}}))
    with pytest.raises(UnreachableError, match="do not end"):
        vault_find(job, f"{trust.kv.mount}/**")
    assert len(proxy.requests) < 300


# Azure.


def test_the_vaults_list_leaves_out_what_is_disabled_and_certificates(azure: manager_azure_kv.KeyVaultHarness) -> None:
    azure.put_text("plain", "x")
    azure.put_text("off", "x", attributes={"enabled": False})
    azure.put_text("certificate", "x", managed=True)
    assert sorted(find(azure, azure.pattern("*"))) == [f"{VAULT}/plain", f"{VAULT}/somebody-elses"]
    first = azure.proxy.requests[0]
    assert (first.method, first.path) == ("GET", "/secrets")
    assert first.query == {"maxresults": ["25"], "api-version": ["7.4"]}


@pytest.mark.parametrize("port", ["", ":443"])
def test_a_next_link_leads_nowhere_but_to_the_vault(azure: manager_azure_kv.KeyVaultHarness, port: str) -> None:
    with Misbehaving() as stranger:
        stranger.on("*", reply(json={"value": []}))
        link = f"{stranger.url}/secrets?api-version=7.4&$skiptoken=x&api-version=9.9"
        page = {"value": [{"id": f"https://{VAULT}.vault.azure.net{port}/secrets/one"}], "nextLink": link}
        azure.proxy.fail("/secrets", reply(json=page), reply(json={"value": []}))
        assert find(azure, azure.pattern("*")) == [f"{VAULT}/one"]
        assert stranger.requests == []
    second = azure.proxy.requests[1]
    assert second.query == {"api-version": ["7.4"], "$skiptoken": ["x"]}


@pytest.mark.parametrize(
    "link",
    ["https://x/other?a=b", "//x/secrets?a=b", "https://x/secrets", "file:///secrets?x", "https://x/secrets?a b"],
)
def test_a_next_link_that_is_none(azure: manager_azure_kv.KeyVaultHarness, link: str) -> None:
    azure.proxy.fail("/secrets", reply(json={"value": [], "nextLink": link}))
    with pytest.raises(UnreachableError, match="no list"):
        find(azure, azure.pattern("*"))


def test_a_vault_that_may_not_be_listed(azure: manager_azure_kv.KeyVaultHarness) -> None:
    azure.close_lists()
    error = refused(azure, azure.pattern("ml-*"))
    assert "--role 'Key Vault Secrets User'" in error.change
    assert '--scope "$(az keyvault show --name ml-prod --query id --output tsv)"' in error.change
    azure.vault.list_refusal = ("AccessDenied", "The user does not have secrets list permission on key vault.")
    assert "--secret-permissions get list" in refused(azure, azure.pattern("ml-*")).change
    azure.vault.list_refusal = ("ForbiddenByFirewall", "Client address is not authorized. Client address: 10.0.0.1")
    with pytest.raises(RefusedError, match="not authorized") as caught:
        find(azure, azure.pattern("ml-*"))
    assert "network-rule add" in caught.value.change


# Google.


def test_googles_list_asks_for_names_that_hold_the_beginning(gcp: manager_gcp_sm.SecretManagerHarness) -> None:
    for name in ("hf_a", "other", "x_hf"):
        gcp.put_text(name, "x")
    assert sorted(find(gcp, gcp.pattern("hf*"))) == ["hf_a", "x_hf"], "more than was asked for does no harm"
    assert gcp.proxy.requests[-1].query == {"pageSize": ["250"], "filter": ["name:hf"]}
    find(gcp, gcp.pattern("hf-*"))
    assert "filter" not in gcp.proxy.requests[-1].query, "a hyphen could be an operator"


def test_patterns_with_their_project_and_location(gcp: manager_gcp_sm.SecretManagerHarness) -> None:
    gcp.store.add(f"projects/{PROJECT}/locations/europe-west3/secrets/near", b"x")
    gcp.store.add("projects/other-project/secrets/far", b"x")
    path = f"projects/{PROJECT}/locations/europe-west3/secrets/*"
    assert find(gcp, gcp.pattern(path)) == [path.replace("*", "near")]
    assert find(gcp, gcp.pattern("projects/other-project/secrets/*")) == ["projects/other-project/secrets/far"]


def test_a_project_that_may_not_be_listed(gcp: manager_gcp_sm.SecretManagerHarness) -> None:
    gcp.close_lists()
    error = refused(gcp, gcp.pattern("*"))
    assert f"gcloud projects add-iam-policy-binding {PROJECT}" in error.change
    assert "roles/secretmanager.viewer" in error.change
    gcp.store.listable = True
    gcp.store.add(f"projects/{PROJECT}/secrets/x", b"x")
    assert find(gcp, gcp.pattern("*")) == ["x"]


# AWS.


def test_secrets_that_will_be_deleted_are_left_out(request: pytest.FixtureRequest) -> None:
    harness = manager_aws_sm.make(request)
    kept, gone = harness.put("kept", {}), harness.put("gone", {})
    harness.stores.moto.client("secretsmanager").delete_secret(SecretId=gone.path, RecoveryWindowInDays=7)
    assert find(harness, harness.pattern("*")) == [kept.path]
    asked = harness.proxy.requests[-1].json()
    assert asked["Filters"] == [{"Key": "name", "Values": [f"{harness.stores.prefix}/"]}]
    assert asked["IncludePlannedDeletion"] is False


@pytest.mark.parametrize("module", [manager_aws_sm, manager_aws_ssm])
def test_a_role_that_may_not_list(request: pytest.FixtureRequest, module: object) -> None:
    harness = module.make(request)  # type: ignore[attr-defined]
    harness.close_lists()
    error = refused(harness, harness.pattern("*"))
    assert f'"Action": "{harness.unlisted}"' in error.change
    assert '"*"' in error.change, "IAM knows no narrower one"
    harness.stores.front.words = "with an explicit deny in a service control policy"
    assert "explicitly: service control" in refused(harness, harness.pattern("*")).cause


def test_parameters_are_described_never_read(request: pytest.FixtureRequest) -> None:
    harness = manager_aws_ssm.make(request)
    harness.put("a/b", {})
    find(harness, harness.pattern("a/**"))
    assert {each.header("X-Amz-Target") for each in harness.proxy.requests} == {"AmazonSSM.DescribeParameters"}
    asked = harness.proxy.requests[-1].json()
    start = f"/{harness.stores.prefix}/a/"
    assert asked["ParameterFilters"] == [{"Key": "Name", "Option": "BeginsWith", "Values": [start]}]


# Vault.


@pytest.fixture
def vault(request: pytest.FixtureRequest) -> manager_vault.VaultHarness:
    return manager_vault.make(request)


PROXYS_404 = [
    reply(404, body=b"<html>Not Found</html>", content_type="text/html"),
    reply(404, body=b""),
    reply(404, json={"message": "no Route matched with those values", "request_id": "8a1c"}),
    reply(404, json=[]),
]


@pytest.mark.parametrize("answer", PROXYS_404, ids=["page", "empty", "gateway", "list"])
def test_a_proxys_404_is_no_empty_folder_and_no_deleted_secret(
    vault: manager_vault.VaultHarness, answer: Behaviour
) -> None:
    """What was believed to be gone would be pruned at every target."""
    vault.put("team/a", {"k": "1"})
    read = vault.put("team/sub/b", {"k": "2"})
    pattern = vault.pattern("team/**")
    assert len(find(vault, pattern)) == 2
    vault.proxy.fail("*/metadata/team/sub", answer)
    with pytest.raises(UnreachableError, match="not the server's own"):
        find(vault, pattern)
    vault.proxy.fail("*/data/team/sub/b", answer)
    with pytest.raises(UnreachableError, match="not the server's own"):
        vault.manager().read(read)
    assert len(find(vault, pattern)) == 2


@pytest.mark.parametrize("most", [1, 2, 5, 100])
def test_a_policy_that_limits_lists_leaves_nothing_out(vault: manager_vault.VaultHarness, most: int) -> None:
    """OpenBao cuts the list without a word: what is left out would be pruned at every target."""
    names = [f"k{number}" for number in range(5)]
    for name in (*names, "sub/x", "sub/y", "sub/z"):
        vault.put(f"team/{name}", {"k": "1"})
    vault.limit_lists(most)
    found = find(vault, vault.pattern("team/**"))
    assert sorted(each.partition("/team/")[2] for each in found) == [*names, "sub/x", "sub/y", "sub/z"]


def test_a_vault_that_knows_no_pages_says_all_at_once(vault: manager_vault.VaultHarness) -> None:
    page = reply(json={"data": {"keys": ["a", "b", "sub/"]}})
    vault.proxy.fail("*/metadata/team", page, page)
    vault.put("team/a", {"k": "1"})
    found = find(vault, vault.pattern("team/*"))
    assert [each.rpartition("/")[2] for each in found] == ["a", "b"]
