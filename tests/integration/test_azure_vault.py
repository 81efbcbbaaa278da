"""Key Vault: what is sent, what a refusal says, and whether azure-keyvault-secrets reads the same."""

import logging
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest

from keylease.errors import NotFoundError, RefusedError, UnreachableError, UsageError
from keylease.managers.azure_kv import AzureKeyVaultManager
from keylease.model import Deliver, Plan, Provider, Use
from keylease.pipelines.lease import LeaseRun
from keylease.vendors.azure_settings import CLOUDS
from tests.contract.manager_azure_kv import CLOSED, NEVER, KeyVaultHarness, make, read_of
from tests.fakes import azure_keyvault as fake
from tests.fakes.azure_entra import AUDIENCE, CLIENT, TENANT, AzureEntra
from tests.fakes.azure_keyvault import OBJECT, SCOPE, VAULT, AzureKeyVault
from tests.fakes.loopback import Exchange, LoopbackServer
from tests.fakes.misbehaving import reply
from tests.fakes.verifier import Verifier
from tests.leaks import Seeded
from tests.servers.tls import ThrowawayCA

KEYVAULT = CLOUDS["public"].scopes["keyvault"]
HOST = f"{VAULT}.vault.azure.net"
ELSEWHERE = "11111111-2222-3333-4444-555555555555"

# The names of vaults lead to the fake; the SDK itself checks that the challenge is a vault's.
SDK = """
import os, socket
from azure.identity import WorkloadIdentityCredential
from azure.keyvault.secrets import SecretClient
find, to = socket.getaddrinfo, ("127.0.0.1", int(os.environ["VAULT_PORT"]))
socket.getaddrinfo = lambda host, port, *a, **k: find(*(to if ".vault." in host else (host, port)), *a, **k)
client = SecretClient(os.environ["VAULT_URL"], WorkloadIdentityCredential(), api_version="7.4")
print(client.get_secret("hf-token").value == os.environ["WANTED"], client.get_secret("hf-token").properties.version)
"""


@pytest.fixture
def vault(request: pytest.FixtureRequest) -> KeyVaultHarness:
    return make(request)


def test_the_request_is_the_documented_one(vault: KeyVaultHarness, seeded: Seeded) -> None:
    value = seeded.new("token")
    old, new = vault.vault.put("hf-token", seeded.new("old")), vault.vault.put("hf-token", value)
    document = vault.manager().read(read_of("hf-token"))
    assert document.value(None, vault.seal).reveal() == value
    assert document.version == new
    assert vault.manager().read(read_of("hf-token", version=old)).version == old
    first, second = vault.proxy.requests
    assert (first.method, first.target) == ("GET", "/secrets/hf-token/?api-version=7.4")
    assert second.target == f"/secrets/hf-token/{old}?api-version=7.4"
    token = first.header("Authorization").removeprefix("Bearer ")
    assert vault.azure.entra.is_alive(token, KEYVAULT)


def test_the_official_client_reads_the_same(
    vault: KeyVaultHarness, ca: ThrowawayCA, tmp_path: Path, seeded: Seeded
) -> None:
    bundle, value = str(ca.write(tmp_path)), seeded.new("token")
    azure = vault.azure
    azure.new_context({"REQUESTS_CA_BUNDLE": bundle})
    verifier = Verifier(azure.issuer, AUDIENCE, subject=azure.issuer.claims["sub"])
    with (
        AzureEntra(verifier, tls=ca.server_context()) as entra,
        AzureKeyVault(entra, tls=ca.server_context("127.0.0.1", HOST)) as store,
    ):
        version = store.put("hf-token", value)
        lease = azure.exchanger(entra.url, vaults={VAULT: store.url}).exchange(azure.token())
        ours = AzureKeyVaultManager(lease, azure.context).read(read_of("hf-token"))
        assert (ours.value(None, vault.seal).reveal(), ours.version) == (value, version)
        token = tmp_path / lease.files[0].file
        content = lease.files[0].content
        assert content is not None
        token.write_bytes(content.reveal_bytes())
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "REQUESTS_CA_BUNDLE": bundle,
            "WANTED": value,
            **lease.plain,
            "AZURE_FEDERATED_TOKEN_FILE": str(token),
            "VAULT_URL": f"https://{HOST}",
            "VAULT_PORT": str(store.port),
        }
        done = subprocess.run([sys.executable, "-c", SDK], env=env, check=False, capture_output=True, text=True)
        assert done.stdout.split() == ["True", version], done.stderr
        sent, challenged, theirs, _ = store.requests
        assert (sent.method, sent.target) == (theirs.method, theirs.target)
        assert not challenged.header("Authorization")
        assert theirs.header("Authorization").startswith("Bearer ")


@pytest.mark.parametrize("used", [False, True])
def test_a_run_that_only_reads_asks_for_no_other_token(vault: KeyVaultHarness, seeded: Seeded, used: bool) -> None:
    value = seeded.new("token")
    vault.vault.put("hf-token", value)
    azure = vault.azure
    exchanger = azure.exchanger(vaults={VAULT: vault.proxy.url})
    plan = Plan(
        {"azure": Provider("azure", "azure", exchanger.settings)},
        uses=[Use("azure")] if used else [],
        deliveries=[Deliver(read_of("hf-token"), None, "HF_TOKEN")],
    )

    class Tokens:
        def token(self, audience: str, *, fresh: bool = False) -> Any:
            return azure.token()

    taken = LeaseRun(plan, azure.context, Tokens()).take()
    found = {export.name: export.value.reveal() for export in taken.exports}
    assert found["HF_TOKEN"] == value
    scopes = sorted(scope for scope, _ in azure.entra.issued.values())
    assert scopes == (sorted([KEYVAULT, CLOUDS["public"].scopes["arm"]]) if used else [KEYVAULT])
    assert ("AZURE_ACCESS_TOKEN" in found) is used


def test_a_token_for_key_vault_is_asked_for_once(vault: KeyVaultHarness) -> None:
    azure = vault.azure
    reads = [read_of(f"n{n}") for n in range(3)]
    exchanger = azure.exchanger(resources={"KV": "keyvault"}, vaults={VAULT: vault.proxy.url})
    exchanger.reads = reads
    manager = AzureKeyVaultManager(exchanger.exchange(azure.token()), azure.context)
    for n, read in enumerate(reads):
        vault.vault.put(f"n{n}", f"value-{n}")
        manager.read(read)
    assert [scope for scope, _ in azure.entra.issued.values()] == [KEYVAULT]


def refused(vault: KeyVaultHarness, name: str = "hf-token", **settings: Any) -> RefusedError:
    manager = vault.manager(**settings)
    with pytest.raises(RefusedError) as caught:
        manager.read(read_of(name))
    assert len(vault.proxy.requests) == 1, "permanent: asked once"
    assert not isinstance(caught.value, NotFoundError)
    assert caught.value.summary.startswith(f"Azure Key Vault: azure-kv://{VAULT}/{name}: ")
    return caught.value


def test_no_role_gives_the_command_for_this_secret_alone(vault: KeyVaultHarness) -> None:
    error = refused(vault, CLOSED)
    assert error.change.splitlines()[-1] == (
        f"az role assignment create --role 'Key Vault Secrets User' --assignee {CLIENT} --scope {SCOPE}{CLOSED}"
    )
    assert OBJECT in error.cause
    assert OBJECT not in error.change, "who gets a role is not the answer's to say"
    assert "\n" not in error.summary
    assert "subscriptions" not in error.summary
    assert error.detail["innererror"] == "ForbiddenByRbac"
    assert error.detail["request id"]


@pytest.mark.parametrize(
    "resource",
    [
        f"{SCOPE}another",
        f"{SCOPE}hf-token/../..",
        f"{SCOPE.replace(VAULT, 'other-vault')}hf-token",
        SCOPE.partition("/secrets/")[0],
        SCOPE.replace("resourcegroups/ml/", "resourcegroups/$(id)/") + "hf-token",
        "/",
    ],
)
def test_a_scope_that_is_not_this_secret_is_not_taken_over(vault: KeyVaultHarness, resource: str) -> None:
    vault.vault.refusal = ("ForbiddenByRbac", fake.RBAC.replace(f"{SCOPE}{{name}}", resource))
    command = refused(vault).change.splitlines()[-1]
    assert command.endswith(f'--scope "$(az keyvault show --name {VAULT} --query id --output tsv)/secrets/hf-token"')


def test_a_vault_with_access_policies_says_what_one_opens(vault: KeyVaultHarness) -> None:
    vault.vault.refusal = ("AccessDenied", fake.POLICY)
    error = refused(vault)
    policy = f"az keyvault set-policy --name {VAULT} --spn {CLIENT} --secret-permissions get"
    assert error.change.splitlines()[-1] == policy
    assert "all secrets of the vault" in error.change


@pytest.mark.parametrize(
    ("inner", "message", "cause", "change"),
    [
        ("ForbiddenByFirewall", fake.FIREWALL, "203.0.113.7", "--ip-address 203.0.113.7"),
        ("ForbiddenByFirewall", "x\r\nClient address: 1.2.3.4;id", "ADDRESS", "--ip-address ADDRESS"),
        ("ForbiddenByConnection", fake.CONNECTION, "public networks", "private endpoint"),
        ("SecretDisabled", fake.DISABLED, "disabled", "--name hf-token --enabled true"),
        ("ForbiddenByPolicy", "x", "together with a user", f"--spn {CLIENT}"),
        ("SomethingNew", "A new reason.", "no role", "az role assignment create"),
    ],
)
def test_each_reason_has_its_own_advice(
    vault: KeyVaultHarness, inner: str, message: str, cause: str, change: str
) -> None:
    vault.vault.refusal = (inner, message)
    error = refused(vault)
    if ";id" not in message:
        assert cause in error.cause
        assert change in error.change
    assert ";id" not in error.diagnostics(debug=True)


def test_a_disabled_secret(vault: KeyVaultHarness) -> None:
    vault.put_text("hf-token", "value-1", attributes={"enabled": False})
    assert "--enabled true" in refused(vault).change


def test_a_vault_of_another_tenant_is_told_apart(vault: KeyVaultHarness) -> None:
    vault.vault.tenant = ELSEWHERE
    error = refused(vault)
    assert f"belongs to tenant {ELSEWHERE}; the login was to {TENANT}" in error.cause
    assert f"tenant_id: {ELSEWHERE}" in error.change
    assert len(vault.azure.entra.issued) == 2, "one that proves the login, one for Key Vault: none for what it asked"


@pytest.mark.parametrize("resource", ["https://evil.example", "https://managedhsm.azure.net", "https://vault.azure.cn"])
def test_no_token_is_asked_for_because_an_answer_says_so(vault: KeyVaultHarness, resource: str) -> None:
    vault.vault.resource = resource
    vault.vault.tenant = ELSEWHERE
    error = refused(vault)
    assert resource in error.cause
    assert "`cloud`" in error.change
    assert {scope for scope, _ in vault.azure.entra.issued.values()} <= {KEYVAULT, CLOUDS["public"].scopes["arm"]}


@pytest.mark.parametrize("challenge", ["", "Bearer", 'Bearer authorization="', 'Bearer authorization="x", resource=""'])
def test_a_401_with_no_usable_challenge(vault: KeyVaultHarness, challenge: str) -> None:
    body = {"error": {"code": "Unauthorized", "message": "AKV10000: Request is missing a Bearer or PoP token."}}
    headers = {"WWW-Authenticate": challenge} if challenge else {}
    vault.proxy.fail(vault.path_pattern, reply(401, json=body, headers=headers))
    error = refused(vault)
    assert "AKV10000" in error.summary
    assert "properties.tenantId" in error.change


def test_what_was_deleted_may_come_back(vault: KeyVaultHarness) -> None:
    with pytest.raises(NotFoundError) as caught:
        vault.manager().read(read_of(NEVER))
    assert f"az keyvault secret recover --vault-name {VAULT} --name {NEVER}" in caught.value.change
    vault.put_text("hf-token", "value-1")
    with pytest.raises(NotFoundError, match="was not found") as caught:
        vault.manager().read(read_of("hf-token", version="0" * 32))
    assert f"no version {'0' * 32}" in caught.value.cause


@pytest.mark.parametrize("status", [400, 401, 403, 404, 418])
@pytest.mark.parametrize("body", [b"<html>gone</html>", b'{"message": "no route"}', b'{"error": {"code": 5, "x": []}}'])
def test_a_refusal_of_something_else_is_none_of_key_vault(vault: KeyVaultHarness, status: int, body: bytes) -> None:
    vault.proxy.fail(vault.path_pattern, reply(status, body=body))
    with pytest.raises(UnreachableError, match="not Key Vault's"):
        vault.manager().read(read_of("hf-token"))
    assert len(vault.proxy.requests) == 1


def test_an_expired_secret_is_handed_over_with_a_warning(
    vault: KeyVaultHarness, caplog: pytest.LogCaptureFixture, seeded: Seeded
) -> None:
    value = seeded.new("token")
    ended = int(time.time()) - 86400
    vault.put_text("hf-token", value, attributes={"exp": ended})
    with caplog.at_level(logging.WARNING, "keylease"):
        document = vault.manager().read(read_of("hf-token"))
    assert document.value(None, vault.seal).reveal() == value
    assert document.expires_at == ended
    assert f"azure-kv://{VAULT}/hf-token expired on {time.strftime('%Y-%m-%d', time.gmtime(ended))}" in caplog.text
    vault.put_text("soon", value, attributes={"nbf": int(time.time()) + 86400})
    with caplog.at_level(logging.WARNING, "keylease"):
        vault.manager().read(read_of("soon"))
    assert "soon is not valid before" in caplog.text


@pytest.mark.parametrize("attributes", [None, [], {"exp": "soon", "nbf": True}, {"exp": 1e300}, {"exp": -5}])
def test_odd_attributes_break_nothing(vault: KeyVaultHarness, attributes: object) -> None:
    body = {"value": "value-1", "id": "https://x/secrets/y/z", "attributes": attributes}
    vault.proxy.fail(vault.path_pattern, reply(200, json=body))
    document = vault.manager().read(read_of("hf-token"))
    assert (document.expires_at, document.version) == (None, None)


def test_throttling_waits_as_long_as_it_is_told(vault: KeyVaultHarness) -> None:
    vault.put_text("hf-token", "value-1")
    body = {"error": {"code": "Throttled", "message": "Too many requests."}}
    vault.proxy.fail(vault.path_pattern, reply(429, json=body, headers={"Retry-After": "1"}))
    started = time.monotonic()
    vault.manager().read(read_of("hf-token"))
    assert time.monotonic() - started >= 1
    assert vault.reads() == 2


def test_a_vault_that_no_dns_knows(vault: KeyVaultHarness) -> None:
    vault.azure.new_context({"KEYLEASE_ALLOW_HOSTS": "gone.invalid"})  # RFC 6761: never resolves
    manager = vault.manager(vaults={VAULT: "https://gone.invalid"}, retries=0)
    with pytest.raises(UnreachableError, match="host name is unknown") as caught:
        manager.read(read_of("hf-token"))
    assert f"there is no vault {VAULT}" in caught.value.cause
    assert "list-deleted" in caught.value.change


class _Tunnel(LoopbackServer):
    def handle(self, exchange: Exchange) -> None:
        """Refuse: what was asked for is all that matters."""
        exchange.answer(502, b"")
        exchange.close()


@pytest.mark.parametrize(
    ("cloud", "host"),
    [
        ("public", "ml-prod.vault.azure.net"),
        ("usgovernment", "ml-prod.vault.usgovcloudapi.net"),
        ("china", "ml-prod.vault.azure.cn"),
    ],
)
def test_each_cloud_s_vaults_have_their_own_domain(vault: KeyVaultHarness, cloud: str, host: str) -> None:
    with _Tunnel() as tunnel:
        azure = vault.azure
        azure.entra.resources = {scope for each in CLOUDS.values() for scope in each.scopes.values()}
        azure.new_context({"HTTPS_PROXY": tunnel.url, "no_proxy": ""})
        manager = vault.manager(cloud=cloud, vaults={}, retries=0)
        with pytest.raises(UnreachableError):
            manager.read(read_of("hf-token", vault="ML-Prod"))
        assert {request.target for request in tunnel.requests} == {f"{host}:443"}


def test_the_answers_of_the_fake_are_the_described_ones() -> None:
    fake.check_answer(200, fake.description()["x-example"]["responses"]["200"]["body"])
    for body in ({"value": 5}, {"secret": "x"}, {"attributes": {"enabled": True, "expires": 1}}):
        with pytest.raises(jsonschema.ValidationError):
            fake.check_answer(200, body)
    with pytest.raises(jsonschema.ValidationError):
        fake.check_answer(403, {"error": {"innerError": {}}})


def test_what_the_description_does_not_have_is_refused(vault: KeyVaultHarness) -> None:
    import requests

    lease = vault.azure.exchanger(resources={"KV": "keyvault"}).exchange(vault.azure.token())
    token = lease.fields["KV"].reveal()
    for path in ("/secrets/hf-token/?api-version=7.4&x=1", "/secrets/hf-token/", "/keys/hf-token/?api-version=7.4"):
        answer = requests.get(f"{vault.vault.url}{path}", headers={"Authorization": f"Bearer {token}"}, timeout=5)
        assert answer.json()["error"]["code"] == "BadParameter"


@pytest.mark.parametrize(
    ("path", "options", "hint"),
    [
        ("ml-prod.vault.azure.net/x", {}, "azure-kv://ml-prod/SECRET"),
        ("ml-prod/secrets/x", {}, "azure-kv://ml-prod/x"),
        (f"ml-prod/x/{'0' * 32}", {}, "`version: 000"),
        ("ml-prod/x", {"version": "3"}, "list-versions --vault-name ml-prod --name x"),
        ("ml-prod/x", {"stage": "AWSPREVIOUS"}, "`version`"),
    ],
)
def test_what_was_meant_is_shown(path: str, options: dict[str, str], hint: str) -> None:
    vault, _, name = path.partition("/")
    with pytest.raises(UsageError) as caught:
        AzureKeyVaultManager.check(read_of(name, vault=vault, **options))
    assert hint in caught.value.change
