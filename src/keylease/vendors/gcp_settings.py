"""How Google Cloud is reached, and as whom, as the user writes it."""

import re
from collections.abc import Sequence
from typing import Literal

import msgspec

from keylease.errors import UsageError
from keylease.model import Env
from keylease.vendors.endpoints import checked
from keylease.vendors.token_exchange import attempts, audience

VENDOR = "Google Cloud"
DOCS = "gcp-settings"

UNIVERSE = "googleapis.com"

SCOPE = "https://www.googleapis.com/auth/cloud-platform"

HOUR = 3600.0

LONGEST = 12 * HOUR
"""Seconds; above one hour only with the organization policy iam.allowServiceAccountCredentialLifetimeExtension."""

_USER = re.compile(r"[A-Za-z0-9._%+'-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")
_PROVIDER = re.compile(
    r"projects/(?P<project>\d{1,20})/locations/global/workloadIdentityPools/(?P<pool>[a-z0-9-]{4,32})"
    r"/providers/(?P<provider>[a-z0-9-]{4,32})"
)
_ACCOUNT = re.compile(r"[a-z0-9][a-z0-9.-]{0,127}@[a-z0-9.:-]{1,200}\.gserviceaccount\.com|\d{10,30}")
PROJECT = re.compile(r"([a-z0-9][a-z0-9.-]{0,62}:)?[a-z][a-z0-9-]{4,28}[a-z0-9]|\d{1,20}")
_UNIVERSE = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+")
_DURATION = re.compile(r"(?:(\d{1,3})h)?(?:(\d{1,5})m)?(?:(\d{1,6})s?)?")
_SCOPES = re.compile(r"[!-~]+")


class GcpSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Google Cloud's workload identity federation.

    workload_identity_provider: its full name, with the project's number:
        ``projects/123456789/locations/global/workloadIdentityPools/POOL/providers/PROVIDER``.
    service_account: the email of whom to impersonate. Without it the job is granted roles directly (direct federation).
    project_id: handed over as ``GOOGLE_CLOUD_PROJECT`` and the like. Falls back to ``GOOGLE_CLOUD_PROJECT``, then to
        the project in the service account's email.
    audience: the `aud` that the provider expects; ``https://iam.googleapis.com/`` and the provider's name by default.
    scopes: of the access token.
    lifetime: of an impersonated account's access token, in seconds or like ``30m``; above ``1h`` an organization policy
        must allow it.
    delegates: emails of the service accounts between the job and `service_account`, the first one first.
    id_token_audience: asks for an ID token of the service account as well, with this `aud`: ``GOOGLE_ID_TOKEN``.
    id_token_include_email: whether `email` and `email_verified` are in it.
    access_token_subject: email of a user of Google Workspace, whose access token is handed over then, for an hour at
        most. An administrator must have allowed the service account to act for users (domain-wide delegation).
    access_token: whether the access token is handed over; without it, gcloud and Terraform take the file.
    credentials_file: whether ``GOOGLE_APPLICATION_CREDENTIALS`` is handed over; the default is yes, except with
        `delegates`, which no such file can hold.
    credential_source: where that file's readers get identity tokens: ``url`` asks GitHub for a new one each time, for
        as long as the job runs; ``file`` reads the one that lies beside it. ``auto`` is ``url`` on GitHub.
    request_reason: why, for Google's audit logs: ``X-Goog-Request-Reason`` of every request.
    quota_project: the project that requests count for, where it is not the one that owns what is used.
    universe_domain: of another cloud that Google runs or licenses.
    sts_url: of the Security Token Service, for a private endpoint. iam_url: of the IAM Credentials API.
    oauth_url: of the OAuth server, for `access_token_subject`.
    secret_manager_url: of Secret Manager, for secrets of every location.
    timeout: of one attempt, in seconds or like ``10s``, ``500ms``, ``1m``. retries: attempts after the first one.
    """

    workload_identity_provider: str = ""
    service_account: str = ""
    project_id: str = ""
    audience: str = ""
    scopes: Sequence[str] = (SCOPE,)
    lifetime: float | str = 3600.0
    delegates: Sequence[str] = ()
    id_token_audience: str = ""
    id_token_include_email: bool = False
    access_token_subject: str = ""
    access_token: bool = True
    credentials_file: bool | None = None
    credential_source: Literal["auto", "url", "file"] = "auto"
    request_reason: str = ""
    quota_project: str = ""
    universe_domain: str = UNIVERSE
    sts_url: str = ""
    iam_url: str = ""
    oauth_url: str = ""
    secret_manager_url: str = ""
    timeout: float | str = 10.0
    retries: int = 4

    @property
    def resource(self) -> str:
        """The provider as STS names it.

        Always ``iam.googleapis.com``, in other universes too: STS refuses the universe's own domain there
        (https://github.com/google-github-actions/auth/issues/521).
        """
        return f"//iam.googleapis.com/{self.workload_identity_provider}"

    @property
    def headers(self) -> dict[str, str]:
        """Of every request. https://cloud.google.com/apis/docs/system-parameters"""
        return {"X-Goog-Request-Reason": self.request_reason} if self.request_reason else {}

    @property
    def parts(self) -> tuple[str, str, str]:
        """(project number, pool, provider), of complete settings."""
        found = _PROVIDER.fullmatch(self.workload_identity_provider)
        assert found
        return found["project"], found["pool"], found["provider"]

    def account_url(self, method: str) -> str:
        """The address of one method of the service account.

        https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/generateAccessToken
        """
        return f"{self.iam_url}/v1/projects/-/serviceAccounts/{self.service_account}:{method}"


def complete(settings: GcpSettings, env: Env) -> GcpSettings:
    """The settings with fallbacks from `env` and everything checked. Raises :class:`UsageError` naming the key."""
    s = settings
    timeout, retries = attempts(VENDOR, s.timeout, s.retries, docs=DOCS)
    provider = _provider(s.workload_identity_provider)
    account = _matched("service_account", s.service_account, _ACCOUNT, "NAME@PROJECT_ID.iam.gserviceaccount.com")
    delegates = [
        _matched("delegates", each, _ACCOUNT, "[NAME@PROJECT_ID.iam.gserviceaccount.com]") for each in s.delegates
    ]
    scopes = [_matched("scopes", each, _SCOPES, f"[{SCOPE}]") for each in s.scopes]
    universe = _matched("universe_domain", s.universe_domain, _UNIVERSE, UNIVERSE) or UNIVERSE
    lifetime = _seconds(s.lifetime)
    if lifetime is None or not 1 <= lifetime <= LONGEST:
        raise _wrong("lifetime", "is no duration between 1 s and 12 h", "lifetime: 1h")
    if not scopes or not all(scopes):
        raise _wrong("scopes", "is empty", f"scopes: [{SCOPE}]")
    needs = {"delegates": any(delegates), "id_token_audience": bool(s.id_token_audience)}
    needs["access_token_subject"] = bool(s.access_token_subject)
    for key, given in needs.items():
        if given and not account:
            raise _wrong(key, "needs a `service_account`", "service_account: NAME@PROJECT_ID.iam.gserviceaccount.com")
    reason = s.request_reason.strip()
    if not (reason.isascii() and (reason.isprintable() or not reason)) or len(reason) > 1000:
        raise _wrong("request_reason", "can't be a header", "request_reason: one line in ASCII")
    if s.access_token_subject and not (s.access_token and "@" in account and lifetime <= HOUR):
        raise _wrong(
            "access_token_subject",
            "needs `access_token`, the email of the `service_account`, and a `lifetime` of 1 h at most",
            "access_token: true\nlifetime: 1h",
        )
    if delegates and s.credentials_file:
        raise _wrong(
            "credentials_file", "can't be had with `delegates`: the file's format has no place for them", "leave it out"
        )
    file = not delegates if s.credentials_file is None else s.credentials_file
    if not (s.access_token or file or s.id_token_audience):
        raise _wrong("access_token", "is false, and nothing else is asked for", "credentials_file: true")
    project = s.project_id or env.get("GOOGLE_CLOUD_PROJECT", "").strip() or _project_of(account)
    return msgspec.structs.replace(
        s,
        workload_identity_provider=provider,
        service_account=account,
        project_id=_matched("project_id", project, PROJECT, "the project's id, as `gcloud projects list` shows it"),
        audience=audience(VENDOR, s.audience or f"https://iam.googleapis.com/{provider}", docs=DOCS),
        scopes=tuple(scopes),
        lifetime=lifetime,
        delegates=tuple(delegates),
        id_token_audience=audience(VENDOR, s.id_token_audience, docs=DOCS) if s.id_token_audience else "",
        credentials_file=file,
        access_token_subject=_matched("access_token_subject", s.access_token_subject, _USER, "somebody@example.com"),
        request_reason=reason,
        quota_project=_matched("quota_project", s.quota_project, PROJECT, "the project's id"),
        universe_domain=universe,
        sts_url=service_url("sts_url", s.sts_url, "sts", universe, env),
        iam_url=service_url("iam_url", s.iam_url, "iamcredentials", universe, env),
        oauth_url=service_url("oauth_url", s.oauth_url, "oauth2", UNIVERSE, env),
        secret_manager_url=service_url("secret_manager_url", s.secret_manager_url, "secretmanager", universe, env)
        if s.secret_manager_url
        else "",
        timeout=timeout,
        retries=retries,
    )


def _seconds(value: float | str) -> float | None:
    """Seconds of a number, or of text like ``1h``, ``30m``, ``1h30m``, ``3600s``; None if it is neither."""
    if not isinstance(value, str):
        return None if isinstance(value, bool) else float(value)
    found = _DURATION.fullmatch(value.strip())
    if not found or not any(found.groups()):
        return None
    hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return float(hours * 3600 + minutes * 60 + seconds)


def _provider(text: str) -> str:
    # People paste it with the prefix of the audience, which STS refuses as "Invalid value for audience".
    name = re.sub(r"^(https:)?//iam\.googleapis\.com/", "", text.strip())
    example = "projects/123456789/locations/global/workloadIdentityPools/POOL/providers/PROVIDER"
    if not name:
        raise _wrong("workload_identity_provider", "is missing", f"workload_identity_provider: {example}")
    if not _PROVIDER.fullmatch(name):
        raise _wrong(
            "workload_identity_provider",
            "is not a provider's full name",
            f"workload_identity_provider: {example}\nthe output of: gcloud iam workload-identity-pools providers "
            "describe PROVIDER --location=global --workload-identity-pool=POOL --format='value(name)'",
            "it has the project's number, not its id, and ends with /providers/ and the provider's id",
        )
    return name


def service_url(key: str, given: str, service: str, universe: str, env: Env) -> str:
    """`given`, or the address of `service` in `universe`. Raises :class:`UsageError` naming the key."""
    # The service's own host alone: others below googleapis.com keep what is sent to them for a customer of theirs.
    # The universe is looked at also where addresses are given: Google's libraries make further ones of it.
    hosts = [f"{service}.{UNIVERSE}"]
    default = checked(f"https://{service}.{universe}", "universe_domain", VENDOR, hosts, env)
    return checked(given, key, VENDOR, hosts, env) if given else default


def _project_of(account: str) -> str:
    """The project in a user-managed account's email; those that Google makes have none we could tell."""
    found = re.fullmatch(r"[^@]+@([a-z0-9-]+)(?:\.([a-z0-9.-]+))?\.iam\.gserviceaccount\.com", account)
    if not found:
        return ""
    name, domain = found.groups()
    return f"{domain}:{name}" if domain else name


def _matched(key: str, value: str, pattern: re.Pattern[str], example: str) -> str:
    text = value.strip()
    if text and not pattern.fullmatch(text):
        raise _wrong(key, "does not look like one", f"{key}: {example}")
    return text


def _wrong(key: str, what: str, change: str, cause: str = "") -> UsageError:
    return UsageError(f"{VENDOR}: `{key}` {what}", cause=cause, change=change, docs=DOCS)
