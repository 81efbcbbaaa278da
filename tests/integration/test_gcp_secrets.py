"""Secret Manager: what is asked for, and what is made of each refusal. The contract battery has the rest."""

import base64
import json
import time
from typing import Any

import pytest
from msgspec.structs import replace

from keylease.errors import KeyleaseError, NotFoundError, RefusedError, UnreachableError, UsageError
from keylease.managers.gcp_sm import GcpSecretManager
from keylease.model import Read
from keylease.secret import Secret
from keylease.vendors.gcp_secrets import crc32c
from tests.contract.harness_gcp import GcpHarness, make
from tests.contract.manager_gcp_sm import read_of
from tests.fakes import gcp_secretmanager
from tests.fakes.gcp_discovery import DATA, Discovery, Mismatch
from tests.fakes.gcp_secretmanager import PROJECT
from tests.fakes.gcp_sts import ACCOUNT, DOCUMENTS, PROVIDER
from tests.fakes.misbehaving import reply
from tests.leaks import Seeded

NAME = f"projects/{PROJECT}/secrets/hf-token"
ACCESS = f"/v1/{NAME}/versions/latest:access"


@pytest.fixture
def cloud(request: pytest.FixtureRequest) -> GcpHarness:
    """The fake behind a proxy."""
    return make(request)


def manager(cloud: GcpHarness, **settings: Any) -> GcpSecretManager:
    made = cloud.exchanger(**{"project_id": PROJECT, **settings})
    lease = made.exchange(cloud.token())
    cloud.sts.requests.clear()
    return GcpSecretManager(lease, cloud.context)


def read(cloud: GcpHarness, wanted: Read, **settings: Any) -> Secret:
    return manager(cloud, **settings).read(wanted).value(None, cloud.context.seal)


def refusal(cloud: GcpHarness, wanted: Read, **settings: Any) -> KeyleaseError:
    with pytest.raises(KeyleaseError) as caught:
        read(cloud, wanted, **settings)
    assert caught.value.docs.endswith("#gcp-secret")
    return caught.value


# The requests.


def test_one_documented_request(cloud: GcpHarness, seeded: Seeded) -> None:
    value = seeded.new("hf")
    cloud.sts.store.add("hf-token", value.encode())
    found = read(cloud, read_of("hf-token"), request_reason="INC-42", quota_project="acme-billing")
    assert found.reveal() == value
    (request,) = cloud.sts.requests
    assert (request.method, request.target, request.body) == ("GET", ACCESS, b"")
    assert request.header("Authorization").startswith("Bearer ya29.d.")
    assert request.header("X-Goog-Request-Reason") == "INC-42"
    assert request.header("X-Goog-User-Project") == "acme-billing"


def test_with_the_token_of_the_service_account(cloud: GcpHarness) -> None:
    cloud.sts.store.add("hf-token", b"value-1")
    assert read(cloud, read_of("hf-token"), service_account=ACCOUNT).reveal() == "value-1"
    assert cloud.sts.requests[0].header("Authorization").startswith("Bearer ya29.c.")


@pytest.mark.parametrize(
    "name", ["projects/other-1/secrets/a", "projects/acme.com:x-1234/secrets/a", "projects/123456789012/secrets/a"]
)
def test_secrets_of_other_projects(cloud: GcpHarness, name: str) -> None:
    cloud.sts.store.add(name, b"value-1")
    assert read(cloud, read_of(name)).reveal() == "value-1"


def test_versions(cloud: GcpHarness) -> None:
    for stored in (b"value-1", b"value-2", b"value-3"):
        cloud.sts.store.add("hf-token", stored).aliases["stable"] = 2
    one = manager(cloud)
    for version, value, number in [("1", "value-1", "1"), ("latest", "value-3", "3"), ("stable", "value-2", "2")]:
        document = one.read(read_of("hf-token", version=version))
        assert document.value(None, cloud.context.seal).reveal() == value
        assert document.version == number
    assert one.read(read_of("hf-token")).version == "3"


def test_bytes_stay_bytes(cloud: GcpHarness) -> None:
    value = bytes(range(256)) * 256  # 64 KiB, the most there can be
    cloud.sts.store.add("keystore", value)
    assert read(cloud, read_of("keystore")).reveal_bytes() == value


def test_a_regional_secret_is_asked_for_at_its_location(cloud: GcpHarness) -> None:
    name = f"projects/{PROJECT}/locations/europe-west3/secrets/a"
    cloud.sts.store.add(name, b"value-1")
    assert read(cloud, read_of(name)).reveal() == "value-1"
    session: Any = manager(cloud, secret_manager_url="").lease.session
    known = json.loads((DATA / "secretmanager.v1.json").read_text())
    assert session.secret_manager("", {}) + "/" == known["rootUrl"]
    assert session.secret_manager("europe-west3", {}) + "/" in known["endpoints"]


def test_another_universe_must_be_allowed_by_the_job(cloud: GcpHarness) -> None:
    hosts = {"KEYLEASE_ALLOW_HOSTS": "secretmanager.apis-example.goog"}
    session: Any = manager(cloud, secret_manager_url="").lease.session
    other = replace(session, settings=replace(session.settings, universe_domain="apis-example.goog"))
    assert other.secret_manager("", hosts) == "https://secretmanager.apis-example.goog"
    with pytest.raises(UsageError, match="one of Google Cloud's own hosts"):
        other.secret_manager("", {})
    with pytest.raises(UsageError, match="one of Google Cloud's own hosts"):
        manager(cloud, secret_manager_url="", universe_domain="apis-example.goog")


# Refusals.


def test_what_may_not_be_read(cloud: GcpHarness) -> None:
    cloud.sts.store.add("hf-token", b"value-1").readable = False
    error = refusal(cloud, read_of("hf-token"))
    assert type(error) is RefusedError
    assert "gcp-sm://hf-token: PERMISSION_DENIED: Permission 'secretmanager.versions.access' denied" in error.summary
    principal = (
        f"principalSet://iam.googleapis.com/{PROVIDER.rpartition('/providers/')[0]}/attribute.repository_id/817264"
    )
    assert error.change == (
        "gcloud secrets add-iam-policy-binding hf-token \\\n  --project=acme-ml \\\n"
        f"  --role=roles/secretmanager.secretAccessor \\\n  --member={principal}"
    )
    assert len(cloud.sts.requests) == 1, "a refusal is final"
    error = refusal(cloud, read_of("hf-token"), service_account=ACCOUNT)
    assert f"--member=serviceAccount:{ACCOUNT}" in error.change
    assert ACCOUNT in error.cause


def test_what_is_not_there(cloud: GcpHarness) -> None:
    error = refusal(cloud, read_of("never"))
    assert isinstance(error, NotFoundError)
    assert "gcloud secrets versions list never --project=acme-ml" in error.change
    cloud.sts.store.add("hf-token", b"value-1")
    error = refusal(cloud, read_of("hf-token", version="2"))
    assert isinstance(error, NotFoundError)
    assert "no version 2" in error.cause


@pytest.mark.parametrize("state", ["DISABLED", "DESTROYED"])
def test_a_version_that_is_not_enabled(cloud: GcpHarness, state: str) -> None:
    cloud.sts.store.add("hf-token", b"value-1")
    cloud.sts.store.add("hf-token", b"value-2").states[2] = state
    error = refusal(cloud, read_of("hf-token"))
    assert type(error) is RefusedError, "it is there: no `required: false` passes over it"
    assert f"{NAME}/versions/2] is in {state} state" in error.summary
    assert "`latest` is the newest one" in error.cause
    assert "gcloud secrets versions enable NUMBER --secret=hf-token --project=acme-ml" in error.change
    assert read(cloud, read_of("hf-token", version="1")).reveal() == "value-1"


def test_an_api_that_is_off(cloud: GcpHarness) -> None:
    cloud.sts.store.enabled = False
    error = refusal(cloud, read_of("hf-token"))
    assert "gcloud services enable secretmanager.googleapis.com --project=acme-ml" in error.change


def test_scopes_that_are_too_narrow(cloud: GcpHarness) -> None:
    cloud.sts.store.add("hf-token", b"value-1")
    scopes = ["https://www.googleapis.com/auth/devstorage.read_only"]
    error = refusal(cloud, read_of("hf-token"), scopes=scopes)
    assert error.change == "scopes: [https://www.googleapis.com/auth/cloud-platform]"
    sent = len(cloud.sts.requests)
    with pytest.raises(UsageError, match="`scopes` lacks"):
        cloud.exchanger(scopes=scopes, reads=[read_of("hf-token")]).exchange(cloud.token())
    assert len(cloud.sts.requests) == sent


def test_a_quota_project_that_is_not_ours(cloud: GcpHarness) -> None:
    # https://cloud.google.com/docs/quotas/set-quota-project
    info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "USER_PROJECT_DENIED"}
    message = "Caller does not have required permission to use project acme-billing."
    status = {"code": 403, "message": message, "status": "PERMISSION_DENIED", "details": [info]}
    cloud.proxy.fail(ACCESS, reply(403, json={"error": status}))
    error = refusal(cloud, read_of("hf-token"), quota_project="acme-billing")
    assert "projects add-iam-policy-binding acme-billing" in error.change
    assert "--role=roles/serviceusage.serviceUsageConsumer" in error.change


def test_a_proxys_refusal_is_not_secret_managers(cloud: GcpHarness) -> None:
    cloud.proxy.fail(ACCESS, reply(403, body=b"<h1>S3CR3T</h1>", content_type="text/html"))
    error = refusal(cloud, read_of("hf-token"))
    assert "`secret_manager_url`" in error.cause
    assert "S3CR3T" not in error.diagnostics(debug=True)


def test_a_token_that_has_ended(cloud: GcpHarness) -> None:
    one = manager(cloud)
    cloud.sts.issued.clear()
    with pytest.raises(RefusedError, match="UNAUTHENTICATED") as caught:
        one.read(read_of("hf-token"))
    assert "early in the job" in caught.value.change


def test_a_project_is_needed(cloud: GcpHarness) -> None:
    with pytest.raises(UsageError, match="in which project") as caught:
        read(cloud, read_of("hf-token"), project_id="")
    assert caught.value.change == "gcp-sm://projects/PROJECT/secrets/hf-token"


@pytest.mark.parametrize("version", ["0", "-1", "1.0", "a/b", "latest:access", "", "1:destroy", "x" * 64])
def test_what_is_no_version(version: str) -> None:
    with pytest.raises(UsageError, match="`version`"):
        GcpSecretManager.check(read_of("hf-token", version=version))


def test_a_full_name_with_a_version_is_explained() -> None:
    with pytest.raises(UsageError) as caught:
        GcpSecretManager.check(read_of(f"{NAME}/versions/7"))
    assert caught.value.change == f"{{gcp-sm://{NAME}: …, version: 7}}"


# The payload.


def test_the_checksum() -> None:
    assert crc32c(b"123456789") == 0xE3069283, "the algorithm's check value (RFC 3720 appendix B.4 has others)"
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
    for text in (b"", b"a", bytes(range(256)) * 3):
        assert crc32c(text) == gcp_secretmanager.crc32c(text)
    started = time.monotonic()
    crc32c(bytes(64 * 1024))
    assert time.monotonic() - started < 1


def payload(data: object, checksum: object = None) -> dict[str, Any]:
    inner = {"data": data} | ({} if checksum is None else {"dataCrc32c": checksum})
    return {"name": f"{NAME}/versions/1", "payload": inner}


@pytest.mark.parametrize(
    "answer",
    [
        payload(base64.b64encode(b"value-1").decode(), "1"),
        payload(base64.b64encode(b"value-1").decode(), {}),
        payload("S3CR3T-no-base64!"),
        payload("S3CR3"),
        payload(""),
        payload(7),
        {"payload": {"dataCrc32c": "0"}},
        {"payload": "text"},
    ],
)
def test_a_damaged_payload_is_no_secret(cloud: GcpHarness, answer: dict[str, Any]) -> None:
    cloud.proxy.fail(ACCESS, reply(200, json=answer))
    with pytest.raises(UnreachableError) as caught:
        read(cloud, read_of("hf-token"))
    assert "S3CR3" not in caught.value.diagnostics(debug=True)


def test_a_payload_of_old_has_no_checksum(cloud: GcpHarness) -> None:
    cloud.proxy.fail(ACCESS, reply(200, json=payload(base64.b64encode(b"value-1").decode())))
    assert read(cloud, read_of("hf-token")).reveal() == "value-1"


# The measure of all this.


@pytest.mark.parametrize(
    ("api", "verb", "path", "body"),
    [
        ("sts.v1", "POST", "/v1/token", {"granttype": "x"}),
        ("sts.v1", "POST", "/v1/token", {"scope": ["x"]}),
        ("iamcredentials.v1", "POST", f"/v1/projects/-/serviceAccounts/{ACCOUNT}:generateAccessToken", {"scope": "x"}),
        ("iamcredentials.v1", "POST", f"/v1/projects/-/serviceAccounts/{ACCOUNT}:generateIdToken", {"includeEmail": 1}),
        (
            "iamcredentials.v1",
            "POST",
            f"/v1/projects/-/serviceAccounts/{ACCOUNT}:generateAccessToken",
            {"lifetime": "1h"},
        ),
        ("secretmanager.v1", "GET", ACCESS, {}),
    ],
)
def test_the_documents_find_wrong_requests(api: str, verb: str, path: str, body: object) -> None:
    document = Discovery(api)
    method = document.method(verb, path, {})
    assert method
    with pytest.raises(Mismatch):
        document.check_request(method, body)


def test_the_documents_find_wrong_places_and_answers() -> None:
    assert set(DOCUMENTS) == {"sts.v1", "iamcredentials.v1", "secretmanager.v1"}
    document = Discovery("secretmanager.v1")
    assert document.method("GET", "/v1/secrets/a/versions/1:access", {}) is None
    assert document.method("POST", ACCESS, {}) is None
    with pytest.raises(Mismatch, match="versionId"):
        document.method("GET", ACCESS, {"versionId": ["1"]})
    method = document.method("GET", ACCESS, {})
    assert method
    good = {"name": "x", "payload": {"data": "YQ==", "dataCrc32c": "1"}}
    document.check_answer(method, good)
    for wrong in ({"payload": {"data": "YQ"}}, {"payload": {"dataCrc32c": 1}}, {"payload": {"data_crc32c": "1"}}):
        with pytest.raises(Mismatch):
            document.check_answer(method, wrong)
