"""What GitHub's refusals mean, and which permission would mend them."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from keylease.errors import KeyleaseError, NotFoundError, RefusedError, UnreachableError
from keylease.vendors.answers import one_line

PERMISSIONS = {
    # GitHub's key in `X-Accepted-GitHub-Permissions` and of Apps → its name on the pages where it is granted
    "secrets": "Secrets",
    "actions_variables": "Variables",
    "variables": "Variables",
    "dependabot_secrets": "Dependabot secrets",
    "codespaces_secrets": "Codespaces secrets",
    "environments": "Environments",
    "metadata": "Metadata",
    "organization_secrets": "Organization secrets",
    "organization_actions_variables": "Organization variables",
    "organization_dependabot_secrets": "Organization dependabot secrets",
    "organization_codespaces_secrets": "Organization codespaces secrets",
    "organization_custom_properties": "Organization custom properties",
    "actions": "Actions",
    "administration": "Administration",
    "contents": "Contents",
    "members": "Organization members",
    "organization_administration": "Organization administration",
    "organization_personal_access_tokens": "Organization personal access tokens",
}

_LEVELS = {"read": "read", "write": "read and write", "admin": "admin"}


class Reply(Struct, frozen=True):
    """An answer. headers: names in lower case. data: the JSON, None if there is none or it is broken.

    scrub: hides the values that are known, before the words of an error are cut or escaped: a server may quote them.
    """

    status: int
    headers: Mapping[str, str]
    data: Any
    is_json: bool
    scrub: Callable[[str], str] = str

    @property
    def message(self) -> str:
        """What GitHub says of an error, in its own words; never for a success."""
        data = self.data if isinstance(self.data, dict) else {}
        parts = [data.get("message")]
        for each in data["errors"][:3] if isinstance(data.get("errors"), list) else []:
            if isinstance(each, dict):
                parts += [each.get("field"), each.get("code")]
        return one_line(self.scrub(": ".join(part for part in parts if isinstance(part, str) and part)))

    @property
    def detail(self) -> dict[str, object]:
        """For `--debug`."""
        number = one_line(self.headers.get("x-github-request-id", ""))
        return {"status": self.status, **({"request id": number} if number else {})}


def permission(key: str, level: str) -> str:
    """A permission as the settings pages word it: ``Secrets: read and write``."""
    return f"{PERMISSIONS.get(key, key.replace('_', ' '))}: {_LEVELS.get(level, level)}"


def accepted(headers: Mapping[str, str]) -> str:
    """The permissions that would do, from ``X-Accepted-GitHub-Permissions``: sets parted by ``;``, any one of them."""
    sets = []
    for group in headers.get("x-accepted-github-permissions", "").split(";"):
        found = re.findall(r"([a-z_]+)=([a-z]+)", group)
        if found:
            sets.append(" and ".join(f"`{permission(key, level)}`" for key, level in found))
    return ", or ".join(sets)


def error_of(reply: Reply, doing: str, needs: str) -> KeyleaseError:
    """The error for an answer that is no success. needs: the permission that the request asks for, in our words."""
    status, said = reply.status, reply.message
    shown = f"GitHub: {doing}: HTTP {status}" + (f": {said}" if said and reply.is_json else "")
    wanted = accepted(reply.headers) or f"`{needs}`"
    grant = f"grant the credential {wanted}, and access to this repository or organisation"
    if status == 401:
        return RefusedError(
            shown,
            cause="the token has expired or was revoked, or the App's key is another one",
            change="make a new token, or let a manager lease one: `token: {secret: vault://github/token#token}`",
            docs="github-credential",
            detail=reply.detail,
        )
    if status == 403:
        return RefusedError(shown, cause=_forbidden(reply, wanted), change=grant, docs="github-permission",
                            detail=reply.detail)  # fmt: skip
    if status in (404, 410):
        return NotFoundError(
            shown,
            cause="there is no such repository, environment or organisation, or the credential may not see it: GitHub "
            f"says the same of both; what is asked for needs {wanted}",
            change=f"check the name; {grant}",
            docs="github-permission",
            detail=reply.detail,
        )
    if status in (400, 405, 406, 409, 411, 412, 413, 414, 415, 422, 423, 428, 431, 451):
        return RefusedError(
            shown,
            cause="GitHub does not take it as it is" if status != 409 else "it was changed at the same moment",
            change="mend what the message names" if status != 409 else "run it again",
            docs="github-refused",
            detail=reply.detail,
        )
    if status == 429 or status >= 500 or status == 408:
        return UnreachableError(
            f"GitHub: {doing}: HTTP {status} after all attempts",
            cause="GitHub has trouble (https://www.githubstatus.com), or asks for a slower pace",
            change="run the job again: what is done already is not done twice",
            docs="unreachable",
            detail=reply.detail,
        )
    return garbage(doing, status)


def garbage(doing: str, status: int, what: str = "the answer") -> UnreachableError:
    """For an answer that is not GitHub's."""
    return UnreachableError(
        f"GitHub: {doing}: {what} (HTTP {status}) is not the API's",
        cause="a proxy or login page answered, or the address is not the API's: it ends in /api/v3 on a GitHub "
        "Enterprise Server",
        change="check `url` and the proxy",
        docs="garbage",
        detail={"status": status},
    )


def _forbidden(reply: Reply, wanted: str) -> str:
    if reply.headers.get("x-github-sso", "").startswith("required"):
        return "the token is not authorised for the organisation's single sign-on (SAML)"
    if "archived" in reply.message.lower():
        return "the repository is archived, and so can't be written to"
    if "by integration" in reply.message:
        return (
            f"the App, or the job's own GITHUB_TOKEN, lacks {wanted}; GITHUB_TOKEN can never have it, whatever "
            "`permissions:` says: take a GitHub App or a fine-grained token"
        )
    return f"the credential lacks {wanted}"
