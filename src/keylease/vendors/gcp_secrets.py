"""What Secret Manager answers.

https://cloud.google.com/secret-manager/docs/reference/rest/v1/projects.secrets.versions/access
"""

import base64
import binascii
import re

from keylease.errors import KeyleaseError, NotFoundError, RefusedError, UnreachableError
from keylease.vendors.answers import Answer
from keylease.vendors.gcp_session import GcpSession, SecretName
from keylease.vendors.gcp_settings import SCOPE, VENDOR
from keylease.vendors.gcp_trust import ACCESSOR, access_command, command, reasons

VIEWER = "roles/secretmanager.viewer"
"""The narrowest role of Google's own with secretmanager.secrets.list."""

_NAME = re.compile(r"[A-Za-z0-9_-]{1,255}")


def payload(answer: Answer, label: str) -> bytes:
    """The secret's bytes, compared with the checksum that comes with them. Raises :class:`UnreachableError`."""
    data, checksum = answer.at("payload", "data"), answer.at("payload", "dataCrc32c")
    try:
        value = base64.b64decode(data, validate=True) if isinstance(data, str) and data else None
    except binascii.Error:
        value = None
    # Outside the handler: its error would carry the text.
    if value is None:
        raise _garbage(answer, label, "no payload")
    # An int64 is a string in JSON. Versions from before 2021 may have none.
    if checksum is not None and str(checksum) != str(crc32c(value)):
        raise _garbage(answer, label, "a payload that does not match its checksum")
    return value


def version_of(answer: Answer) -> str | None:
    """The number of the version that was read, whatever it was asked for as."""
    _, found, number = answer.text("name").rpartition("/versions/")
    return number if found and number.isascii() and number.isdigit() else None


def listed(answer: Answer, label: str) -> tuple[list[str], str]:
    """(names, without their project; token of the next page). Raises :class:`UnreachableError`."""
    # An empty list has no `secrets`; some other API's answer has other fields.
    items, token = answer.data.get("secrets", []), answer.data.get("nextPageToken", "")
    alien = set(answer.data) - {"secrets", "nextPageToken", "totalSize"}
    full = [item.get("name") if isinstance(item, dict) else None for item in items] if isinstance(items, list) else []
    names = [each.rpartition("/secrets/")[2] if isinstance(each, str) else "" for each in full]
    if alien or not isinstance(items, list) or not isinstance(token, str) or not all(map(_NAME.fullmatch, names)):
        raise _garbage(answer, label, "no list of secrets")
    return names, token


def refused_list(answer: Answer, label: str, name: SecretName, session: GcpSession) -> KeyleaseError:
    """The error for a list that was not given."""
    if answer.status != 403 or reasons(answer) & {
        "SERVICE_DISABLED",
        "USER_PROJECT_DENIED",
        "ACCESS_TOKEN_SCOPE_INSUFFICIENT",
    }:
        return refused_read(answer, label, name, "latest", session)
    message = answer.text("error", "message")
    who = session.member or "the job"
    role = command(
        f"gcloud projects add-iam-policy-binding {name.project}", role=VIEWER, member=session.member or "MEMBER"
    )
    return RefusedError(
        f"{VENDOR}: {label}: {': '.join(filter(None, [answer.text('error', 'status'), message]))}",
        cause=f"{who} has no secretmanager.secrets.list in the project {name.project}, or there is no such project",
        change=f"{role}\n\nit tells names and no values; a role of your own with that one permission is narrower, and "
        "naming each secret in the pattern's place needs none",
        docs="sync-listing",
        detail=answer.detail,
    )


def crc32c(data: bytes) -> int:
    """CRC-32 with Castagnoli's polynomial (RFC 3720 appendix B.4)."""
    table = []
    for n in range(256):
        entry = n
        for _ in range(8):
            entry = entry >> 1 ^ (0x82F63B78 if entry & 1 else 0)
        table.append(entry)
    crc = 0xFFFFFFFF
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def refused_read(answer: Answer, label: str, name: SecretName, version: str, session: GcpSession) -> KeyleaseError:
    """The error for a secret that was not handed out. Codes: https://cloud.google.com/apis/design/errors

    Texts: of a missing permission as in https://github.com/googleapis/python-secret-manager/issues/389, of a version's
    state as in https://github.com/google-github-actions/get-secretmanager-secrets/issues/268.
    """
    code, message = answer.text("error", "status"), answer.text("error", "message")
    summary = f"{VENDOR}: {label}: {': '.join(filter(None, [code, message])) or f'HTTP {answer.status}'}"
    who = session.member or "the job"
    where = f"--project={name.project}" + (f" --location={name.location}" if name.location else "")
    versions = f"gcloud secrets versions list {name.secret} {where}"
    why = reasons(answer)
    kind: type[KeyleaseError] = RefusedError
    if not code:
        cause = "the answer is not Secret Manager's: a proxy refuses this runner, or `secret_manager_url` is wrong"
        change = "check the proxy, and leave `secret_manager_url` out unless it is a private endpoint"
    elif answer.status == 404:
        kind = NotFoundError
        cause = f"there is no secret {name}, or it has no version {version}"
        change = f"correct the reference or `version`; what there is: gcloud secrets list {where}; {versions}"
    elif code == "FAILED_PRECONDITION":
        cause = "a version that is disabled or destroyed is not handed out; `latest` is the newest one, in any state"
        change = (
            f"name an enabled one: version: NUMBER; what there is: {versions}\n"
            f"or, if it is only disabled: gcloud secrets versions enable NUMBER --secret={name.secret} {where}"
        )
    elif "SERVICE_DISABLED" in why:
        cause = f"the Secret Manager API is not enabled in the project that requests of {who} count for"
        change = "\n".join(
            [
                f"gcloud services enable secretmanager.googleapis.com --project={name.project}",
                "if the message above names another project, enable it there, or: quota_project: " + name.project,
            ]
        )
    elif "USER_PROJECT_DENIED" in why:
        # https://cloud.google.com/docs/quotas/set-quota-project
        project = session.settings.quota_project or name.project
        cause = f"{who} may not let requests count for the project {project} (`quota_project`)"
        change = command(
            f"gcloud projects add-iam-policy-binding {project}",
            role="roles/serviceusage.serviceUsageConsumer",
            member=session.member or "MEMBER",
        )
    elif "ACCESS_TOKEN_SCOPE_INSUFFICIENT" in why:
        cause = "the access token has not the one scope that Secret Manager takes"
        change = f"scopes: [{SCOPE}]"
    elif answer.status == 403:
        cause = f"{who} has no {ACCESSOR} on it, or there is no such secret: Google tells no difference"
        change = access_command(name, session.member)
    elif answer.status == 401:
        cause = "the access token is not accepted: it ends after `lifetime`, or was made for another universe"
        change = "read secrets early in the job, or raise `lifetime`"
    else:
        cause = "Secret Manager does not accept this name; a regional secret is only found at its location"
        change = f"gcp-sm://projects/{name.project}/locations/LOCATION/secrets/{name.secret} for a regional secret"
    return kind(summary, cause=cause, change=change, docs="gcp-secret", detail=answer.detail)


def _garbage(answer: Answer, label: str, what: str) -> UnreachableError:
    return UnreachableError(
        f"{VENDOR}: {label}: the answer holds {what}",
        cause="something else than Secret Manager answered, or it was damaged on the way",
        change="check `secret_manager_url` and the proxy; without them, run the job again",
        docs="garbage",
        detail=answer.detail,
    )
