"""Google Cloud: what is sent, what is handed over, and what google-auth makes of the file."""

# long file: one harness, and the file is read from top to bottom: the request, the answer, the credentials file.

import json
import re
import subprocess
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import google.auth
import google.auth.exceptions
import pytest
import requests
from google.auth.transport.requests import Request

from keylease import config
from keylease.errors import NotFoundError, RefusedError, UnreachableError, UsageError
from keylease.exchange.gcp import GcpExchanger
from keylease.managers.gcp_sm import GcpSecretManager
from keylease.model import Lease, Read, fingerprint
from tests.contract.harness_gcp import GcpHarness, make
from tests.fakes.gcp_sts import ACCOUNT, AUDIENCE, DELEGATE, PROVIDER, USER
from tests.fakes.github_oidc import github_claims, gitlab_claims
from tests.fakes.misbehaving import reply, status
from tests.leaks import Seeded

ACCESS_TOKEN = "CLOUDSDK_AUTH_ACCESS_TOKEN"
READ = Read("cloud", "gcp-sm", "hf-token")
PROJECT_VARIABLES = {
    "GOOGLE_CLOUD_PROJECT",
    "CLOUDSDK_CORE_PROJECT",
    "CLOUDSDK_PROJECT",
    "GCLOUD_PROJECT",
    "GCP_PROJECT",
}


@pytest.fixture
def cloud(request: pytest.FixtureRequest) -> GcpHarness:
    """The fake behind a proxy."""
    return make(request)


def refused(cloud: GcpHarness, settings: dict[str, Any] | None = None, **claims: Any) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        cloud.exchanger(**(settings or {})).exchange(cloud.token(**claims))
    return caught.value


# The requests.


def test_direct_federation_is_one_documented_request(cloud: GcpHarness) -> None:
    token = cloud.token()
    lease = cloud.exchanger().exchange(token)
    (request,) = cloud.sts.requests
    assert (request.method, request.target) == ("POST", "/v1/token")
    assert not request.header("Authorization")
    assert request.json() == {
        "grantType": "urn:ietf:params:oauth:grant-type:token-exchange",
        "audience": f"//iam.googleapis.com/{PROVIDER}",
        "scope": "https://www.googleapis.com/auth/cloud-platform",
        "requestedTokenType": "urn:ietf:params:oauth:token-type:access_token",
        "subjectTokenType": "urn:ietf:params:oauth:token-type:jwt",
        "subjectToken": token.jwt.reveal(),
    }
    assert set(lease.fields) == {ACCESS_TOKEN, "GOOGLE_OAUTH_ACCESS_TOKEN"}
    assert lease.fields[ACCESS_TOKEN] == lease.fields["GOOGLE_OAUTH_ACCESS_TOKEN"]
    assert lease.account == PROVIDER
    assert lease.revocation is None
    assert lease.plain == {}


def test_a_service_account_is_impersonated(cloud: GcpHarness) -> None:
    before = time.time()
    made = cloud.exchanger(
        service_account=ACCOUNT, scopes=["https://www.googleapis.com/auth/devstorage.read_only"], lifetime="15m"
    )
    lease = made.exchange(cloud.token())
    login, request = cloud.sts.requests
    assert login.json()["scope"] == "https://www.googleapis.com/auth/cloud-platform"
    assert request.target == f"/v1/projects/-/serviceAccounts/{ACCOUNT}:generateAccessToken"
    assert request.json() == {"scope": ["https://www.googleapis.com/auth/devstorage.read_only"], "lifetime": "900s"}
    assert lease.fields[ACCESS_TOKEN].reveal().startswith("ya29.c.")
    assert lease.expires_at is not None
    assert before + 890 < lease.expires_at <= time.time() + 900
    assert lease.account == ACCOUNT
    assert dict(lease.plain) == dict.fromkeys(PROJECT_VARIABLES, "acme-ml")
    federated = request.header("Authorization").removeprefix("Bearer ")
    assert federated not in made.context.masker.scrub(f"x {federated} y"), "the one in between is masked too"


def test_an_id_token_and_delegates(cloud: GcpHarness) -> None:
    made = cloud.exchanger(
        service_account=ACCOUNT,
        delegates=[DELEGATE],
        id_token_audience="https://run.example",
        id_token_include_email=True,
    )
    lease = made.exchange(cloud.token())
    _, access, identity = cloud.sts.requests
    chain = [f"projects/-/serviceAccounts/{DELEGATE}"]
    assert access.json()["delegates"] == chain
    assert identity.target.endswith(":generateIdToken")
    assert identity.json() == {"audience": "https://run.example", "includeEmail": True, "delegates": chain}
    value = lease.fields["GOOGLE_ID_TOKEN"].reveal()
    assert cloud.sts.is_alive(value)
    assert value not in made.context.masker.scrub(f"x {value} y")
    assert not lease.files, "no such file can hold delegates"


DIRECTORY = "https://www.googleapis.com/auth/admin.directory.user.readonly"


def test_a_users_token_by_domain_wide_delegation(cloud: GcpHarness) -> None:
    cloud.sts.delegated = {DIRECTORY}
    made = cloud.exchanger(
        service_account=ACCOUNT, access_token_subject=USER, scopes=[DIRECTORY], lifetime="30m", request_reason="INC-42"
    )
    lease = made.exchange(cloud.token())
    _, sign, last = cloud.sts.requests
    assert sign.target == f"/v1/projects/-/serviceAccounts/{ACCOUNT}:signJwt"
    claims = json.loads(sign.json()["payload"])
    assert claims["exp"] - claims["iat"] == 1800
    del claims["exp"], claims["iat"]
    audience = "https://oauth2.googleapis.com/token"
    assert claims == {"iss": ACCOUNT, "sub": USER, "scope": DIRECTORY, "aud": audience}
    form = parse_qs(last.body.decode())
    assert form["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
    assertion = form["assertion"][0]
    assert assertion not in made.context.masker.scrub(f"x {assertion} y")
    assert last.header("X-Goog-Request-Reason") == "INC-42"
    assert not last.header("Authorization")
    value = lease.fields[ACCESS_TOKEN].reveal()
    assert value.startswith("ya29.a0")
    assert value not in made.context.masker.scrub(f"x {value} y")
    assert lease.account == f"{USER} through {ACCOUNT}"
    assert lease.fingerprint == fingerprint(lease.fields[ACCESS_TOKEN])


def test_secrets_are_read_as_the_account_not_as_the_user(cloud: GcpHarness) -> None:
    cloud.sts.delegated = {DIRECTORY}
    cloud.sts.store.add("hf-token", b"value-1")
    made = cloud.exchanger(service_account=ACCOUNT, access_token_subject=USER, scopes=[DIRECTORY], reads=[READ])
    lease = made.exchange(cloud.token())
    found = GcpSecretManager(lease, cloud.context).read(READ)
    assert found.value(None, cloud.context.seal).reveal() == "value-1"
    assert cloud.sts.requests[-1].header("Authorization").startswith("Bearer ya29.c.")
    assert lease.fields[ACCESS_TOKEN].reveal().startswith("ya29.a0")


@pytest.mark.parametrize(
    ("settings", "said", "change"),
    [
        ({"scopes": [DIRECTORY, "https://www.googleapis.com/auth/drive"]}, "unauthorized_client", "admin.google.com"),
        ({"access_token_subject": "nobody@acme.example"}, "invalid_grant: Invalid email", "a user's primary address"),
    ],
)
def test_a_user_for_whom_the_account_may_not_act(
    cloud: GcpHarness, settings: dict[str, Any], said: str, change: str
) -> None:
    cloud.sts.delegated = {DIRECTORY}
    given = {"service_account": ACCOUNT, "access_token_subject": USER, "scopes": [DIRECTORY]}
    error = refused(cloud, {**given, **settings})
    assert said in error.summary
    assert change in error.change
    assert error.docs.endswith("#gcp-user")


def test_signing_takes_another_role(cloud: GcpHarness) -> None:
    cloud.sts.bound = False
    error = refused(cloud, {"service_account": ACCOUNT, "access_token_subject": USER})
    assert "'iam.serviceAccounts.signJwt' denied" in error.summary
    assert "--role=roles/iam.serviceAccountTokenCreator" in error.change


@pytest.mark.parametrize("extra", [{"signedJwt": None}, {"signedJwt": 7}, {"signedJwt": "a b"}])
def test_garbage_is_no_assertion(cloud: GcpHarness, extra: dict[str, Any]) -> None:
    cloud.sts.extra = extra
    with pytest.raises(UnreachableError, match="no signedJwt"):
        cloud.exchanger(service_account=ACCOUNT, access_token_subject=USER).exchange(cloud.token())


# The files.


def written(lease: Lease, directory: Path, seeded: Seeded) -> dict[str, str]:
    paths: dict[str, str] = {}
    for file in lease.files:
        made = file.render(paths) if file.render else file.content
        assert made is not None
        path = directory / file.file
        path.write_text(made.reveal())
        seeded.allow_file(path)
        paths |= dict.fromkeys([file.variable, *file.also], str(path))
    return paths


def no_proxy_session() -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    return session


@pytest.mark.parametrize("account", ["", ACCOUNT], ids=["direct", "impersonated"])
def test_google_auth_calls_an_api_with_the_file(
    cloud: GcpHarness, account: str, tmp_path: Path, seeded: Seeded, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = cloud.token()
    lease = cloud.exchanger(service_account=account).exchange(token)
    paths = written(lease, tmp_path, seeded)
    assert set(paths) == {
        "GOOGLE_IDENTITY_TOKEN_FILE",
        "GOOGLE_APPLICATION_CREDENTIALS",
        "CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE",
        "GOOGLE_GHA_CREDS_PATH",
    }
    text = Path(paths["GOOGLE_APPLICATION_CREDENTIALS"]).read_text()
    assert token.jwt.reveal() not in text
    assert token.jwt.reveal() == Path(paths["GOOGLE_IDENTITY_TOKEN_FILE"]).read_text()
    for name, value in {**paths, **lease.plain, "GOOGLE_CLOUD_PROJECT": "acme-ml"}.items():
        monkeypatch.setenv(name, value)
    already = len(cloud.sts.requests)
    credentials: Any
    credentials, project = google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
    assert project == "acme-ml"
    with no_proxy_session() as session:
        # Not AuthorizedSession: it asks googleapis.com, in the background, where the account may be used.
        credentials.refresh(Request(session))
        headers: dict[str, str] = {}
        credentials.apply(headers)
        answer = session.get(f"{cloud.sts.url}/storage/v1/b", headers=headers, timeout=5)
    assert answer.json()["items"] == [{"name": "acme-models"}]
    assert len(cloud.sts.requests) == already + (3 if account else 2)
    assert str(credentials.token).startswith("ya29.c." if account else "ya29.d.")


def test_the_refreshed_token_is_what_google_auth_takes(
    cloud: GcpHarness, tmp_path: Path, seeded: Seeded, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = cloud.exchanger().exchange(cloud.token())
    paths = written(lease, tmp_path, seeded)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", paths["GOOGLE_APPLICATION_CREDENTIALS"])
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "acme-ml")  # or google-auth asks googleapis.com for it
    credentials: Any
    credentials, _ = google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
    kept = Path(paths["GOOGLE_IDENTITY_TOKEN_FILE"])
    kept.write_text(cloud.token(lifetime=-600).jwt.reveal())
    request = Request(no_proxy_session())
    with pytest.raises(google.auth.exceptions.OAuthError, match="invalid_grant"):
        credentials.refresh(request)
    fresh = lease.files[0].fresh
    assert fresh is not None
    kept.write_text(fresh(cloud.token()).reveal())
    credentials.refresh(request)
    assert cloud.sts.is_alive(str(credentials.token))


@pytest.mark.parametrize("account", ["", ACCOUNT], ids=["direct", "impersonated"])
def test_on_github_the_file_outlives_the_identity_token(
    cloud: GcpHarness, account: str, tmp_path: Path, seeded: Seeded, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeded.add(cloud.issuer.request_token)
    minted: set[str] = set()
    cloud.issuer.on_token = minted.add
    lease = cloud.exchanger(service_account=account, quota_project="acme-billing").exchange(cloud.github_token())
    [file] = lease.files
    assert file.content is not None
    assert cloud.issuer.request_token not in cloud.context.masker.scrub(file.content.reveal())
    paths = written(lease, tmp_path, seeded)
    assert "GOOGLE_IDENTITY_TOKEN_FILE" not in paths
    asks = json.loads(Path(paths["GOOGLE_APPLICATION_CREDENTIALS"]).read_text())
    assert asks["credential_source"] == {
        "url": cloud.issuer.audience_url(AUDIENCE),
        "headers": {"Authorization": f"Bearer {cloud.issuer.request_token}"},
        "format": {"type": "json", "subject_token_field_name": "value"},
    }
    assert asks["quota_project_id"] == "acme-billing"
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", paths["GOOGLE_APPLICATION_CREDENTIALS"])
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "acme-ml")
    with no_proxy_session() as session:
        for turn in (1, 2):  # two programs, each in a later step
            cloud.sts.stale |= minted  # as five minutes later
            credentials: Any
            credentials, _ = google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
            credentials.refresh(Request(session))
            headers: dict[str, str] = {}
            credentials.apply(headers)
            answer = session.get(f"{cloud.sts.url}/storage/v1/b", headers=headers, timeout=5)
            assert answer.json()["items"] == [{"name": "acme-models"}]
            assert len(minted) == 1 + turn


def test_the_source_of_the_file_can_be_chosen(cloud: GcpHarness) -> None:
    lease = cloud.exchanger(credential_source="file").exchange(cloud.github_token())
    assert [file.variable for file in lease.files] == ["GOOGLE_IDENTITY_TOKEN_FILE", "GOOGLE_APPLICATION_CREDENTIALS"]
    assert lease.files[0].fresh is not None
    sent = len(cloud.sts.requests)
    with pytest.raises(UsageError, match="`credential_source` is url, but this identity token comes from a test"):
        cloud.exchanger(credential_source="url").exchange(cloud.token())
    assert len(cloud.sts.requests) == sent
    assert len(cloud.exchanger().exchange(cloud.token()).files) == 2, "auto"


def test_the_reason_is_with_every_request(cloud: GcpHarness) -> None:
    reason = "INC-42: retrain"
    made = cloud.exchanger(service_account=ACCOUNT, id_token_audience="https://run.example", request_reason=reason)
    made.exchange(cloud.token())
    assert [request.header("X-Goog-Request-Reason") for request in cloud.sts.requests] == [reason] * 3
    cloud.sts.requests.clear()
    cloud.exchanger().exchange(cloud.token())
    assert [request.header("X-Goog-Request-Reason") for request in cloud.sts.requests] == [""]


def test_what_is_handed_over_can_be_chosen(cloud: GcpHarness) -> None:
    assert cloud.exchanger(credentials_file=False).exchange(cloud.token()).files == []
    lease = cloud.exchanger(access_token=False).exchange(cloud.token())
    assert lease.fields == {}
    assert len(lease.files) == 2


def test_a_lease_that_only_reads_asks_for_nothing_else(cloud: GcpHarness) -> None:
    made = cloud.exchanger(
        service_account=ACCOUNT, id_token_audience="https://run.example", credential_source="url", reads=[READ]
    )
    made.used = False
    lease = made.exchange(cloud.token())
    assert len(cloud.sts.requests) == 2
    assert (lease.files, "GOOGLE_ID_TOKEN" in lease.fields) == ([], False)


# Refusals.


@pytest.mark.parametrize(
    ("claims", "said", "cause"),
    [
        ({"audience": "https://elsewhere.example"}, "invalid_grant: The audience", "list of audiences"),
        ({"iss": "https://evil.example"}, "invalid_grant: The issuer", "issuer differs"),
        ({"forged": True}, "invalid_grant: Invalid signature", "no key fits"),
        ({"repository_id": "1"}, "unauthorized_client: The given credential", "attribute condition"),
    ],
)
def test_refusals_are_told_apart(cloud: GcpHarness, claims: dict[str, Any], said: str, cause: str) -> None:
    error = refused(cloud, **claims)
    assert said in error.summary
    assert cause in error.cause
    assert "gcloud iam workload-identity-pools providers" in error.change
    assert error.docs.endswith("#gcp-login")


@pytest.mark.parametrize(
    ("words", "cause", "change", "again"),
    [
        ("ID Token issued at 1749625771 is stale to sign-in.", "too old", "early in the job", True),
        (
            "Error connecting to the given credential's issuer.",
            "can't fetch the issuer's keys",
            "--jwk-json-path",
            False,
        ),
    ],
)
def test_documented_words_are_explained(cloud: GcpHarness, words: str, cause: str, change: str, again: bool) -> None:
    answer = {"error": "invalid_grant", "error_description": words}
    cloud.proxy.fail("/v1/token", reply(400, json=answer))
    error = refused(cloud)
    assert words in error.summary
    assert cause in error.cause
    assert change in error.change
    assert error.retry_with_new_token is again


def test_the_condition_for_the_refused_job_is_printed(cloud: GcpHarness) -> None:
    error = refused(cloud, repository_id="1")
    assert 'assertion.repository_id == "1"' in error.change
    assert error.claims["repository_id"] == "1"


def test_an_unknown_provider_is_named(cloud: GcpHarness) -> None:
    error = refused(cloud, {"workload_identity_provider": PROVIDER.replace("github", "other")})
    assert "invalid_target" in error.summary
    assert "`workload_identity_provider`" in error.change


def test_an_account_that_is_not_granted(cloud: GcpHarness) -> None:
    cloud.sts.bound = False
    error = refused(cloud, {"service_account": ACCOUNT})
    assert "PERMISSION_DENIED: Permission 'iam.serviceAccounts.getAccessToken' denied" in error.summary
    assert "roles/iam.workloadIdentityUser" in error.change
    assert ACCOUNT in error.change
    assert error.docs.endswith("#gcp-account")
    assert len(cloud.proxy.requests) == 2, "a refusal is final"


def test_a_lifetime_beyond_the_policy_and_an_api_that_is_off(cloud: GcpHarness) -> None:
    error = refused(cloud, {"service_account": ACCOUNT, "lifetime": "2h"})
    assert error.change == "lifetime: 1h"
    cloud.sts.api_enabled = False
    error = refused(cloud, {"service_account": ACCOUNT})
    assert "gcloud services enable iamcredentials.googleapis.com" in error.change


def test_another_server_is_not_the_endpoint(cloud: GcpHarness) -> None:
    with pytest.raises(NotFoundError) as caught:
        cloud.exchanger(f"{cloud.proxy.url}/v2").exchange(cloud.token())
    assert "`sts_url`" in caught.value.cause


def test_no_body_is_shown(cloud: GcpHarness) -> None:
    body = {"error": "unauthorized_client", "error_description": "no", "hint": "S3CR3T"}
    cloud.proxy.fail("/v1/token", reply(401, json=body))
    assert "S3CR3T" not in refused(cloud).diagnostics(debug=True)


# Faults of the second request; the battery has those of the first.

GENERATE = f"/v1/projects/-/serviceAccounts/{ACCOUNT}:generateAccessToken"


@pytest.mark.parametrize("code", [429, 500, 503])
def test_one_fault_of_iam_is_survived(cloud: GcpHarness, code: int) -> None:
    cloud.proxy.fail(GENERATE, status(code))
    assert cloud.is_alive(cloud.exchanger(service_account=ACCOUNT).exchange(cloud.token()))
    assert len(cloud.proxy.requests) == 3


@pytest.mark.parametrize(
    "extra",
    [
        {"accessToken": None},
        {"accessToken": 7},
        {"accessToken": "a b"},
        {"expireTime": None},
        {"expireTime": "soon"},
        {"expireTime": 1893456000},
        {"expireTime": "2999-01-01T00:00:00Z"},
        {"expireTime": "2026-13-99T00:00:00Z"},
    ],
)
def test_garbage_of_iam_is_no_lease(cloud: GcpHarness, extra: dict[str, Any]) -> None:
    cloud.sts.extra = extra
    with pytest.raises(UnreachableError, match="answered with no"):
        cloud.exchanger(service_account=ACCOUNT).exchange(cloud.token())


def test_expired_on_arrival(cloud: GcpHarness) -> None:
    cloud.sts.extra = {"expireTime": "2020-01-01T00:00:00.123456789Z"}
    error = refused(cloud, {"service_account": ACCOUNT})
    assert "already expired on arrival" in error.summary
    assert "clock" in error.cause


# The trust.


GCLOUD = """\
gcloud() {
  for given in "$@"; do printf '%s\\0' "$given"; done
  printf '\\0'
}
"""


def pasted(text: str, shell: str = "bash") -> list[list[str]]:
    """What gcloud would get of each command, had `text` been pasted into a shell."""
    done = subprocess.run([shell], input=f"{GCLOUD}{text}\n", capture_output=True, text=True, check=True, timeout=10)
    assert not done.stderr
    calls = done.stdout.removesuffix("\0\0").split("\0\0")
    return [call.split("\0") for call in calls]


def flags_of(call: list[str]) -> dict[str, str]:
    return dict(each.split("=", 1) for each in call if each.startswith("--"))


def parts_of(cloud: GcpHarness, claims: dict[str, Any], **settings: Any) -> tuple[dict[str, str], dict[str, str], str]:
    text = cloud.exchanger(**settings).trust(claims).text
    assert text.isascii()
    first, second = pasted(text)
    assert first[:5] == ["iam", "workload-identity-pools", "providers", "update-oidc", "github"]
    return flags_of(first), flags_of(second), " ".join(second)


def claims_of(**more: Any) -> dict[str, Any]:
    return {"iss": "https://token.actions.githubusercontent.com", "aud": AUDIENCE, **github_claims(), **more}


POOL = "iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/ci-pool"


def test_the_trust_binds_ids_and_ref(cloud: GcpHarness) -> None:
    provider, binding, command = parts_of(cloud, claims_of(), service_account=ACCOUNT)
    assert provider == {
        "--project": "123456789012",
        "--location": "global",
        "--workload-identity-pool": "ci-pool",
        "--attribute-mapping": "google.subject=assertion.sub,attribute.repository_id=assertion.repository_id",
        "--attribute-condition": 'assertion.repository_owner_id == "6539" && assertion.repository_id == "817264"'
        ' && assertion.ref == "refs/heads/main"',
    }
    assert binding == {
        "--role": "roles/iam.workloadIdentityUser",
        "--member": f"principalSet://{POOL}/attribute.repository_id/817264",
    }
    assert f"add-iam-policy-binding {ACCOUNT} " in command


def test_the_page_shows_what_is_printed_and_works(cloud: GcpHarness) -> None:
    page = (Path(__file__).parents[2] / "docs/providers/gcp.md").read_text(encoding="utf-8")
    settings = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)[0]
    plan = config.load_text(settings, "keylease.yml", {})
    exchanger = GcpExchanger("google", plan.providers["google"].settings, cloud.context, plan.reads("google"))
    printed = [flags_of(call) for call in pasted(exchanger.trust(claims_of()).text)]
    documented = [flags_of(call) for block in re.findall(r"```sh\n(.*?)```", page, re.DOTALL) for call in pasted(block)]
    provider, account, secret = printed
    assert provider.items() <= {**documented[2], "--project": "123456789012"}.items()
    assert [account, secret] == documented[3:]


def test_a_subject_that_google_would_refuse_as_too_long(cloud: GcpHarness) -> None:
    claims = claims_of(sub="repo:acme/trainer:environment:" + "x" * 98)
    provider, _, _ = parts_of(cloud, claims)
    assert provider["--attribute-mapping"].startswith("google.subject=assertion.repository_id,")
    message = "The size of mapped attribute google.subject exceeds the 127 bytes limit."
    cloud.proxy.fail("/v1/token", reply(400, json={"error": "invalid_request", "error_description": message}))
    error = refused(cloud)
    assert "127 bytes" in error.cause
    assert "--attribute-mapping" in error.change


def test_the_trust_of_direct_federation_and_of_delegates(cloud: GcpHarness) -> None:
    _, binding, command = parts_of(cloud, claims_of(), project_id="acme-ml")
    assert "projects add-iam-policy-binding acme-ml " in command
    assert binding["--role"] == "ROLE"
    _, binding, command = parts_of(cloud, claims_of(), service_account=ACCOUNT, delegates=[DELEGATE])
    assert f"add-iam-policy-binding {DELEGATE} " in command, "the first one of the chain is whom the job acts as"


def test_the_trust_of_other_platforms(cloud: GcpHarness) -> None:
    provider, binding, _ = parts_of(cloud, {"iss": "https://gitlab.com", **gitlab_claims()})
    assert 'assertion.project_id == "20"' in provider["--attribute-condition"]
    assert binding["--member"].endswith("/attribute.project_id/20")
    provider, binding, _ = parts_of(cloud, {"sub": "job:1"})
    assert provider["--attribute-condition"] == 'assertion.sub == "job:1"'
    assert binding["--member"] == f"principal://{POOL}/subject/job:1"
    circle = {"sub": "org/x/project/y", "oidc.circleci.com/project-id": "76feed"}
    provider, binding, _ = parts_of(cloud, circle)
    assert 'assertion["oidc.circleci.com/project-id"] == "76feed"' in provider["--attribute-condition"]
    assert binding["--member"].endswith("/attribute.project_id/76feed")


REFS = [
    "x'$(id)",
    "x\nEOF\nid",
    "x\u202e",
    'x"}',
    "x' || true || '",
    'x" || true || "',
    "x\\",
    "x\U0001f600",
    "`id`!!",
    "##[error]x",
]


@pytest.mark.parametrize("shell", ["bash", "sh"])
@pytest.mark.parametrize("ref", REFS)
def test_no_claim_gets_out_of_its_string(cloud: GcpHarness, ref: str, shell: str) -> None:
    text = cloud.exchanger().trust(claims_of(ref=ref)).text
    assert "##[" not in text
    provider = flags_of(pasted(text, shell)[0])
    before, _, literal = provider["--attribute-condition"].partition("assertion.ref == ")
    assert "true" not in before
    inside = re.fullmatch(r'"([^"\n]*)"', literal)
    assert inside, "one CEL string, and nothing after it"
    escapes = re.sub(r"\\U([0-9a-f]{8})|\\u([0-9a-f]{4})", lambda m: chr(int(m[1] or m[2], 16)), inside[1])
    assert escapes == ref


@pytest.mark.parametrize("sub", ["job'$(id)", "job:`id`;id"])
def test_no_subject_gets_out_of_its_argument(cloud: GcpHarness, sub: str) -> None:
    _, binding, _ = parts_of(cloud, {"sub": sub})
    assert binding["--member"] == f"principal://{POOL}/subject/{sub}"


@pytest.mark.parametrize("sub", ["job\nid", "job\u202e", "##[error]"])
def test_a_subject_that_no_command_should_hold_is_not_printed(cloud: GcpHarness, sub: str) -> None:
    trust = cloud.exchanger().trust({"sub": sub})
    assert trust.text == ""
    assert "by hand" in trust.notes[0]


def test_the_trust_allows_what_is_read_and_nothing_else(cloud: GcpHarness) -> None:
    paths = ["hf-token", "hf-token", "projects/other-1/secrets/a", "projects/other-1/locations/europe-west3/secrets/b"]
    reads = [Read("cloud", "gcp-sm", path) for path in paths]
    made = cloud.exchanger(reads=reads, service_account=ACCOUNT)
    _, _, *secrets = pasted(made.trust(claims_of()).text)
    assert secrets == [
        [
            *("secrets", "add-iam-policy-binding", secret, f"--project={project}", *place),
            *("--role=roles/secretmanager.secretAccessor", f"--member=serviceAccount:{ACCOUNT}"),
        ]
        for secret, project, place in [
            ("hf-token", "acme-ml", []),
            ("a", "other-1", []),
            ("b", "other-1", ["--location=europe-west3"]),
        ]
    ]
    direct = cloud.exchanger(reads=reads[:1], project_id="acme-ml").trust(claims_of())
    _, secret = pasted(direct.text)
    assert secret[-1] == f"--member=principalSet://{POOL}/attribute.repository_id/817264"
    assert "ROLE" not in direct.text.replace("--role", "")


@pytest.mark.parametrize("name", ["pro*", "*"])
def test_no_claim_becomes_a_wildcard(cloud: GcpHarness, name: str) -> None:
    assert cloud.exchanger().trust(claims_of(environment=name)).text == ""
