"""Azure: what is sent, what comes back, what a refusal says, and whether azure-identity works with what is exported."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import msgspec
import pytest

from keylease.errors import KeyleaseError, RefusedError, UnreachableError
from keylease.model import Lease, Read, Revocation, TokenEndpoint
from keylease.secret import Secret
from tests.contract.harness_azure import AzureHarness, make
from tests.fakes.azure_entra import ARM, AUDIENCE, CLIENT, SUBSCRIPTION, TENANT, AzureEntra
from tests.fakes.loopback import Exchange
from tests.fakes.misbehaving import reply
from tests.fakes.verifier import Verifier
from tests.leaks import Seeded
from tests.servers.tls import ThrowawayCA

# With no trust but what the exported variables say; then a call to ARM with the token, as every client makes it.
SDK = """
import json, os, ssl, urllib.request
from azure.identity import WorkloadIdentityCredential
found = WorkloadIdentityCredential().get_token("https://management.azure.com/.default")
request = urllib.request.Request(os.environ["ARM_URL"], headers={"Authorization": "Bearer " + found.token})
context = ssl.create_default_context(cafile=os.environ["REQUESTS_CA_BUNDLE"])
print(json.load(urllib.request.urlopen(request, context=context))["value"][0]["subscriptionId"])
"""


@pytest.fixture
def azure(request: pytest.FixtureRequest) -> AzureHarness:
    return make(request)


def values(lease: Lease) -> dict[str, str]:
    return {name: value.reveal() for name, value in lease.fields.items()}


def test_the_request_is_the_documented_one(azure: AzureHarness) -> None:
    token = azure.token()
    azure.exchanger().exchange(token)
    (request,) = azure.proxy.requests
    assert (request.method, request.target) == ("POST", f"/{TENANT}/oauth2/v2.0/token")
    assert parse_qs(request.body.decode()) == {
        "client_id": [CLIENT],
        "client_assertion_type": ["urn:ietf:params:oauth:client-assertion-type:jwt-bearer"],
        "client_assertion": [token.jwt.reveal()],
        "grant_type": ["client_credentials"],
        "scope": [ARM],
    }
    assert not request.header("Authorization")


def test_azure_identity_logs_in_with_what_is_exported(azure: AzureHarness, ca: ThrowawayCA, tmp_path: Path) -> None:
    bundle = str(ca.write(tmp_path))
    verifier = Verifier(azure.issuer, AUDIENCE, subject=azure.issuer.claims["sub"])
    with AzureEntra(verifier, tls=ca.server_context()) as entra:  # azure-identity takes https only
        azure.new_context({"REQUESTS_CA_BUNDLE": bundle})
        lease = azure.exchanger(entra.url).exchange(azure.token())
        (file,) = lease.files
        assert file.content is not None
        path = tmp_path / file.file
        path.write_bytes(file.content.reveal_bytes())
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            **lease.plain,
            file.variable: str(path),
            "REQUESTS_CA_BUNDLE": bundle,
            "ARM_URL": f"{entra.url}/subscriptions",
        }
        done = subprocess.run([sys.executable, "-c", SDK], env=env, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip() == SUBSCRIPTION
        ours, theirs = (r for r in entra.requests if r.path.endswith("/token"))
        assert ours.path == theirs.path
        sent, wanted = parse_qs(ours.body.decode()), parse_qs(theirs.body.decode())
        assert sent == {name: wanted[name] for name in sent}


def test_what_is_handed_over(azure: AzureHarness) -> None:
    token = azure.token()
    lease = azure.exchanger(subscription_id=SUBSCRIPTION).exchange(token)
    assert lease.plain == {
        "AZURE_CLIENT_ID": CLIENT,
        "AZURE_TENANT_ID": TENANT,
        "AZURE_SUBSCRIPTION_ID": SUBSCRIPTION,
        "AZURE_AUTHORITY_HOST": f"{azure.proxy.url}/",
    }
    (file,) = lease.files
    assert (file.variable, file.also, file.content) == ("AZURE_FEDERATED_TOKEN_FILE", (), token.jwt)
    assert file.fresh is not None
    later = azure.token(lifetime=600)
    assert file.fresh(later).reveal() == later.jwt.reveal()


def test_terraform_s_variables_come_when_asked_for(azure: AzureHarness) -> None:
    lease = azure.exchanger(terraform=True, subscription_id=SUBSCRIPTION).exchange(azure.token())
    assert {name: value for name, value in lease.plain.items() if name.startswith("ARM_")} == {
        "ARM_CLIENT_ID": CLIENT,
        "ARM_TENANT_ID": TENANT,
        "ARM_SUBSCRIPTION_ID": SUBSCRIPTION,
        "ARM_USE_OIDC": "true",
        "ARM_ENVIRONMENT": "public",
    }
    assert lease.files[0].also == ("ARM_OIDC_TOKEN_FILE_PATH",)


def test_terraform_asks_github_itself_where_it_can(azure: AzureHarness) -> None:
    again = TokenEndpoint("https://pipelines.example/token", Secret("Bearer x"), "value")
    token = msgspec.structs.replace(azure.token(), endpoint=again)
    assert azure.exchanger(terraform=True).exchange(token).files[0].also == ()
    azure.entra.verifier.audience = "theirs"
    token = msgspec.structs.replace(azure.token(audience="theirs"), endpoint=again)
    lease = azure.exchanger(terraform=True, audience="theirs").exchange(token)
    assert lease.files[0].also == ("ARM_OIDC_TOKEN_FILE_PATH",), "it would ask for the usual audience"


def test_a_token_for_each_resource_side_by_side(azure: AzureHarness) -> None:
    resources = {"A": "arm", "KV": "keyvault", "ST": "https://storage.azure.com/.default", "B": "arm"}
    together = threading.Barrier(3, timeout=5)  # breaks when one request waits for another
    handle = azure.entra.handle

    def meet(exchange: Exchange) -> None:
        together.wait()
        handle(exchange)

    azure.entra.handle = meet  # type: ignore[method-assign]
    lease = azure.exchanger(resources=resources).exchange(azure.token())
    assert len(azure.entra.requests) == 3, "one request for a scope"
    found = values(lease)
    assert found["A"] == found["B"]
    for name, scope in (("A", ARM), ("KV", "https://vault.azure.net/.default"), ("ST", resources["ST"])):
        assert azure.entra.is_alive(found[name], scope)


def test_all_tokens_or_none(azure: AzureHarness) -> None:
    with pytest.raises(RefusedError, match="AADSTS500011") as caught:
        azure.exchanger(resources={"A": "arm", "X": "https://elsewhere.example/.default"}).exchange(azure.token())
    assert "https://elsewhere.example/.default" in caught.value.cause
    assert "<<" not in caught.value.change, "no credential is missing"


def test_no_resources_still_prove_the_login(azure: AzureHarness) -> None:
    lease = azure.exchanger(resources={}).exchange(azure.token())
    assert not lease.fields
    (issued,) = azure.entra.issued
    assert lease.fingerprint == hashlib.sha256(issued.encode()).hexdigest()
    with pytest.raises(RefusedError):
        azure.exchanger(resources={}).exchange(azure.token(**azure.other))


@pytest.mark.parametrize(
    ("claims", "code", "cause"),
    [
        ({"iss": "https://evil.example"}, 700211, "has this issuer"),
        ({"audience": "https://elsewhere.example"}, 700212, "has this audience"),
        ({"sub": "repo:evil/fork:ref:refs/heads/main"}, 700213, "has this `sub`"),
        ({"sub": "repo:Acme/Trainer:ref:refs/heads/main"}, 7002138, "upper and lower case only"),
    ],
)
def test_a_refusal_tells_azure_s_words_and_the_credential(
    azure: AzureHarness, claims: dict[str, Any], code: int, cause: str
) -> None:
    token = azure.token(**claims)
    with pytest.raises(RefusedError) as caught:
        azure.exchanger().exchange(token)
    error = caught.value
    assert error.summary.startswith(f"Azure: no token for {CLIENT}: AADSTS{code}: No matching")
    assert "Trace ID" not in error.summary
    assert "Check your" not in error.summary
    assert error.detail["trace_id"]
    assert cause in error.cause
    assert error.detail["AADSTS"] == code
    assert not error.retry_with_new_token
    command, _, rest = error.change.partition(
        f"az ad app federated-credential create --id {CLIENT} --parameters @- <<'"
    )
    assert command
    made = json.loads(rest.split("\n", 1)[1].split("\nEOF")[0])
    assert (made["issuer"], made["subject"]) == (token.claims["iss"], token.claims["sub"])
    assert made["audiences"] == [token.claims["aud"]]


def test_an_audience_of_one_s_own_is_held_against_the_usual_one(azure: AzureHarness) -> None:
    with pytest.raises(RefusedError, match="AADSTS700212") as caught:
        azure.exchanger(audience="theirs").exchange(azure.token(audience="theirs"))
    assert f"usual one is {AUDIENCE}" in caught.value.cause


def test_github_s_other_subject_form_is_named(azure: AzureHarness) -> None:
    with pytest.raises(RefusedError) as caught:
        azure.exchanger().exchange(azure.token(sub="repo:acme@6539/trainer@817264:ref:refs/heads/main"))
    assert "'repo:acme/trainer:ref:refs/heads/main'" in caught.value.cause


@pytest.mark.parametrize(
    ("settings", "code", "change"),
    [
        ({"client_id": "00000000-0000-0000-0000-000000000001"}, 700016, "correct `client_id`"),
        ({"tenant_id": "elsewhere.onmicrosoft.com"}, 90002, "correct `tenant_id`"),
    ],
)
def test_a_wrong_id_is_said_to_be_one(azure: AzureHarness, settings: dict[str, str], code: int, change: str) -> None:
    with pytest.raises(RefusedError, match=f"AADSTS{code}") as caught:
        azure.exchanger(**settings).exchange(azure.token())
    assert change in caught.value.change
    assert "<<" not in caught.value.change


@pytest.mark.parametrize(
    ("code", "change"),
    [
        (7000229, f"az ad sp create --id {CLIENT}"),
        (7002121, "set `audience`"),
        (50166, "openid-configuration"),
        (501661, "openid-configuration"),
        (50027, "token's source"),
        (90038, "cloud: usgovernment"),
        (900382, "cloud: china"),
        (53003, "sign-in log"),
        (999999, "error?code=999999"),
    ],
)
def test_codes_that_the_fake_never_gives(azure: AzureHarness, code: int, change: str) -> None:
    body = {"error": "invalid_client", "error_description": f"AADSTS{code}: Words.", "error_codes": [code]}
    azure.proxy.fail(azure.login_pattern, reply(401, json=body))
    with pytest.raises(RefusedError, match=f"AADSTS{code}: Words") as caught:
        azure.exchanger().exchange(azure.token())
    assert change in caught.value.change
    assert len(azure.proxy.requests) == 1


def test_azure_s_clock_decides_whether_the_token_has_expired(azure: AzureHarness) -> None:
    body = {
        "error": "invalid_client",
        "error_description": "AADSTS700024: Client assertion is not within its valid time",
    }
    azure.proxy.fail(azure.login_pattern, reply(401, json=body))
    with pytest.raises(RefusedError) as caught:
        azure.exchanger().exchange(azure.token())
    assert caught.value.retry_with_new_token
    assert caught.value.claims["exp"]


@pytest.mark.parametrize(
    "body",
    [
        {"error": "temporarily_unavailable"},
        {"error": "x", "error_codes": [90033]},
        {"error": "x", "error_codes": [90024]},
    ],
)
def test_a_400_that_may_heal_is_tried_again(azure: AzureHarness, body: dict[str, Any]) -> None:
    azure.proxy.fail(azure.login_pattern, reply(400, json=body))
    assert azure.is_alive(azure.exchanger().exchange(azure.token()))
    assert len(azure.proxy.requests) == 2


def test_a_400_that_stays_is_no_success(azure: AzureHarness) -> None:
    azure.proxy.always(azure.login_pattern, reply(400, json={"error": "temporarily_unavailable"}))
    with pytest.raises(UnreachableError, match="temporarily_unavailable"):
        azure.exchanger(retries=1).exchange(azure.token())


@pytest.mark.parametrize("codes", [["700213"], [True], {}, [], "700213", [10**40]])
def test_error_codes_of_another_type_break_nothing(azure: AzureHarness, codes: object) -> None:
    body = {"error": "invalid_client", "error_description": "no", "error_codes": codes}
    azure.proxy.fail(azure.login_pattern, reply(401, json=body))
    with pytest.raises(RefusedError, match="no token for"):
        azure.exchanger().exchange(azure.token())


def test_an_error_page_is_not_shown(azure: AzureHarness, seeded: Seeded) -> None:
    value = seeded.new("page")
    azure.proxy.fail(azure.login_pattern, reply(400, body=f"<html>{value}</html>".encode()))
    with pytest.raises(RefusedError) as caught:
        azure.exchanger().exchange(azure.token())
    shown = caught.value.diagnostics(debug=True)
    assert value not in shown
    assert "firewall" in shown
    assert "<<" not in shown, "no credential is missing"


def test_a_login_page_is_no_answer(azure: AzureHarness) -> None:
    azure.proxy.fail(azure.login_pattern, reply(200, body=b"<html></html>"))
    with pytest.raises(UnreachableError, match="not the API's"):
        azure.exchanger().exchange(azure.token())


def test_the_trust_lets_the_job_read_what_it_reads(azure: AzureHarness) -> None:
    exchanger = azure.exchanger()
    exchanger.reads = [Read("azure", "azure-kv", path) for path in ("ml-prod/hf-token", "ml-prod/HF-token", "b-1/x")]
    token = azure.token(**azure.other)
    with pytest.raises(RefusedError) as caught:
        exchanger.exchange(token)
    made = exchanger.trust(token.claims)
    scope = "$(az keyvault show --name {} --query id --output tsv)/secrets/{}"
    assert [line for line in made.text.splitlines() if line.startswith("az role")] == [
        f"az role assignment create --role 'Key Vault Secrets User' --assignee {CLIENT} "
        f'--scope "{scope.format(*names)}"'
        for names in (("ml-prod", "hf-token"), ("b-1", "x"))
    ]
    assert made.text in caught.value.change
    assert "*" not in made.text


def test_there_is_no_revocation(azure: AzureHarness) -> None:
    exchanger = azure.exchanger()
    assert exchanger.exchange(azure.token()).revocation is None
    with pytest.raises(KeyleaseError, match="can't be revoked"):
        type(exchanger).revoke(Revocation("azure", "azure", {}, None), azure.context)
