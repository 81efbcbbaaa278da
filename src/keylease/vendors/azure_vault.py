"""Key Vault's secrets: how one is named, what lets a job read it, and why a request was refused.

Errors: https://learn.microsoft.com/azure/key-vault/general/rest-error-codes. The challenge of a 401:
https://learn.microsoft.com/azure/key-vault/general/authentication-requests-and-responses
"""

import re
import shlex

from msgspec import Struct

from keylease.errors import KeyleaseError, NotFoundError, RefusedError, UnreachableError, UsageError
from keylease.model import Read
from keylease.vendors.answers import Answer, one_line
from keylease.vendors.azure_settings import CLOUDS, AzureSettings

VENDOR = "Azure Key Vault"
EXAMPLE = "azure-kv://VAULT/SECRET"
ROLE = "Key Vault Secrets User"
DOCS_REFERENCE = "azure-kv-reference"
DOCS_REFUSED = "azure-kv-refused"
DOCS_404 = "azure-kv-404"

# https://learn.microsoft.com/azure/key-vault/general/about-keys-secrets-certificates#object-identifiers
# "begin with a letter, end with a letter or digit, and not contain consecutive hyphens"
_VAULT = re.compile(r"(?=.{3,24}\Z)[A-Za-z](-?[A-Za-z0-9])*")
_NAME = re.compile(r"[A-Za-z0-9-]{1,127}")
_VERSION = re.compile(r"[0-9a-fA-F]{32}")

_GUID = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_CALLER = re.compile(rf"\boid=({_GUID})\b")
_ADDRESS = re.compile(r"Client address: ((?:\d{1,3}\.){3}\d{1,3})\b")
_RESOURCE = re.compile(
    rf"'(/subscriptions/{_GUID}/resourcegroups/[\w.()-]{{1,90}}/providers/microsoft\.keyvault"
    r"/vaults/([A-Za-z0-9-]{3,24})/secrets/([A-Za-z0-9-]{1,127}))'",
    re.IGNORECASE,
)
_ID = re.compile(r"https?://[^/?#]+/secrets/([A-Za-z0-9-]{1,127})/?")
_NEXT = re.compile(r"https?://[^/?#]+/secrets/?\?([!-~]{1,4000})")
_PARAMETER = re.compile(r'\b(authorization|authorization_uri|resource|scope)="([^"]{0,300})"', re.IGNORECASE)


class VaultSecret(Struct, frozen=True):
    """version: empty for the newest one."""

    vault: str
    name: str
    version: str = ""


def target_of(read: Read) -> VaultSecret:
    """What `read` names. Raises :class:`UsageError`."""

    def bad(what: str, change: str = EXAMPLE) -> UsageError:
        return UsageError(f"{VENDOR}: {read}: {what}", change=change, docs=DOCS_REFERENCE)

    vault, *rest = read.path.split("/")
    if "." in vault:
        name = vault.partition(".")[0]
        raise bad("a vault is named without its domain", f"azure-kv://{name}/SECRET; `cloud` is the provider's")
    if not _VAULT.fullmatch(vault):
        raise bad("the vault's name is not 3 to 24 letters, digits and single hyphens, a letter first")
    if len(rest) == 2 and rest[0] == "secrets":
        raise bad("`secrets/` is not part of a reference", f"azure-kv://{vault}/{rest[1]}")
    if len(rest) == 2 and _VERSION.fullmatch(rest[1]):
        raise bad("a version goes into `version`", f"azure-kv://{vault}/{rest[0]} with `version: {rest[1]}`")
    if len(rest) != 1:
        raise bad("it has not two parts, the vault's name and the secret's")
    if not _NAME.fullmatch(rest[0]):
        raise bad("a secret's name is 1 to 127 letters, digits and hyphens")
    version = dict(read.options).get("version", "")
    if version and not _VERSION.fullmatch(version):
        raise bad(
            "`version` is no version's id: 32 hexadecimal digits",
            f"az keyvault secret list-versions --vault-name {vault} --name {rest[0]} --query '[].id'",
        )
    return VaultSecret(vault, rest[0], version)


def grant_command(settings: AzureSettings, secret: VaultSecret, *, scope: str = "") -> str:
    """The command that lets this identity read this one secret, in a vault with Azure RBAC.

    scope: as Key Vault told it; else `az` looks it up. https://learn.microsoft.com/azure/key-vault/general/rbac-guide
    """
    of_vault = f"$(az keyvault show --name {secret.vault} --query id --output tsv)"
    where = shlex.quote(scope) if scope else f'"{of_vault}/secrets/{secret.name}"'
    return f"az role assignment create --role '{ROLE}' --assignee {settings.client_id} --scope {where}"


def policy_command(settings: AzureSettings, secret: VaultSecret) -> str:
    """The same for a vault with access policies, which can't be narrower than the vault.

    https://learn.microsoft.com/azure/key-vault/general/assign-access-policy
    """
    return f"az keyvault set-policy --name {secret.vault} --spn {settings.client_id} --secret-permissions get"


def refused_read(answer: Answer, challenge: str, read: Read, settings: AzureSettings) -> KeyleaseError:
    """The error for a GET that was answered with a no. challenge: the header WWW-Authenticate."""
    code = answer.at("error", "code")
    if not isinstance(code, str) or not code:
        # No NotFoundError either: a gateway's 404 must not pass for a secret that may be missing.
        return UnreachableError(
            f"{VENDOR}: {read}: HTTP {answer.status}, and the answer is not Key Vault's",
            cause="a proxy, a firewall or something else in front of the vault answered",
            change="check the proxy, and `vaults` if it names this vault",
            docs="garbage",
            detail=answer.detail,
        )
    if answer.status == 401:
        return _unauthorized(answer, challenge, read, settings)
    if answer.status == 403:
        return _forbidden(answer, read, settings)
    if answer.status == 404:
        return _missing(answer, read)
    return RefusedError(
        f"{VENDOR}: {read}: {_said(answer)}",
        cause="Key Vault does not take the request as it is",
        change="check the reference and `version`; if they are right, report it",
        docs=DOCS_REFUSED,
        detail=answer.detail,
    )


def listed(answer: Answer, read: Read) -> tuple[list[str], str]:
    """(names of usable secrets, the query that asks for the next page) of GetSecrets' answer.

    Of a `nextLink` the query alone is taken: the token goes to the vault's own address, whatever host it names.
    Raises :class:`UnreachableError`.
    """
    items, link = answer.at("value"), answer.at("nextLink")
    ids = [item.get("id") if isinstance(item, dict) else None for item in items] if isinstance(items, list) else []
    found = [_ID.fullmatch(each) if isinstance(each, str) else None for each in ids]
    following = _NEXT.fullmatch(link) if isinstance(link, str) and link else None
    if not isinstance(items, list) or not all(found) or (link and not following):
        raise UnreachableError(
            f"{VENDOR}: {read}: the answer is no list of secrets",
            cause="something else than Key Vault answered, or its API has changed",
            change="check `vaults` and the proxy; if they are right, report it",
            docs="garbage",
            detail=answer.detail,
        )
    names = [
        match[1]
        for match, item in zip(found, items, strict=True)
        if match and _is_usable(item.get("attributes")) and item.get("managed") is not True
    ]
    return names, following[1] if following else ""


def _is_usable(attributes: object) -> bool:
    return not isinstance(attributes, dict) or attributes.get("enabled") is not False


def refused_list(answer: Answer, challenge: str, read: Read, vault: str, settings: AzureSettings) -> KeyleaseError:
    """The error for a list that was not given. https://learn.microsoft.com/azure/key-vault/general/rbac-guide"""
    one = Read(read.provider, read.scheme, f"{vault}/x", read.options)
    code = answer.text("error", "innererror", "code") or answer.text("error", "innerError", "code")
    if answer.status != 403 or not answer.text("error", "code") or code in _FORBIDDEN:
        return refused_read(answer, challenge, one, settings)
    who = f"application {settings.client_id}"
    if code == "AccessDenied":
        cause = f"the vault uses access policies, not Azure RBAC, and none gives {who} `list` for secrets"
        change = policy_command(settings, VaultSecret(vault, "x")) + " list"
    else:
        cause = f"{who} has no role that lets it list this vault's secrets, or was given one less than ten minutes ago"
        change = (
            f"assign {ROLE} for the whole vault: it tells the names, and lets read all of them\n\n"
            + grant_command(settings, VaultSecret(vault, "x")).replace("/secrets/x", "")
            + "\n\na role of your own with Microsoft.KeyVault/vaults/secrets/readMetadata/action on the vault is "
            "narrower; naming each secret in the pattern's place needs neither"
        )
    return RefusedError(
        f"{VENDOR}: {read}: {_said(answer)}",
        cause=cause,
        change=change,
        docs="sync-listing",
        detail={**answer.detail, **({"innererror": code} if code else {})},
    )


def _said(answer: Answer) -> str:
    # The rest of the message repeats what is told apart below: the caller, the action, the resource.
    first = str(answer.at("error", "message") or "").splitlines()[:1]
    return one_line(first[0] if first else "") or answer.text("error", "code") or f"HTTP {answer.status}"


def _unauthorized(answer: Answer, challenge: str, read: Read, settings: AzureSettings) -> KeyleaseError:
    asked = {name.lower(): one_line(value) for name, value in _PARAMETER.findall(challenge[:2000])}
    summary = f"{VENDOR}: {read}: the token was not accepted: {_said(answer)}"
    ours = CLOUDS[settings.cloud].scopes["keyvault"].removesuffix("/.default")
    resource = (asked.get("resource") or asked.get("scope", "")).removesuffix("/.default").rstrip("/")
    if resource and resource.lower() != ours:
        # Never ask for a token because an answer says so: it could be handed on to whoever wrote the answer.
        return RefusedError(
            summary,
            cause=f"it asks for a token for {resource}, and {ours} is what a vault of this cloud takes",
            change="correct `cloud` (usgovernment, china), or the address in `vaults`",
            docs=DOCS_REFUSED,
            detail=answer.detail,
        )
    authority = asked.get("authorization") or asked.get("authorization_uri", "")
    theirs = re.search(rf"//[^/]+/({_GUID})", authority)
    if theirs and re.fullmatch(_GUID, settings.tenant_id) and theirs[1].lower() != settings.tenant_id.lower():
        return RefusedError(
            summary,
            cause=f"the vault belongs to tenant {theirs[1]}; the login was to {settings.tenant_id}",
            change="correct the vault's name (it is unique in the whole cloud and may be somebody else's); or, if it "
            f"is yours, use a provider with tenant_id: {theirs[1]} and an application of that tenant",
            docs=DOCS_REFUSED,
            detail=answer.detail,
        )
    return RefusedError(
        summary,
        cause="the vault was moved to another tenant, the token is for another cloud, or a clock is wrong",
        change=f"az keyvault show --name {target_of(read).vault} --query properties.tenantId; compare with `tenant_id`",
        docs=DOCS_REFUSED,
        detail=answer.detail,
    )


def _forbidden(answer: Answer, read: Read, settings: AzureSettings) -> KeyleaseError:
    secret = target_of(read)
    # The published description says innererror; some clients' logs have innerError.
    code = answer.text("error", "innererror", "code") or answer.text("error", "innerError", "code")
    message = str(answer.at("error", "message") or "")[:4000]
    caller, address = _CALLER.search(message), _ADDRESS.search(message)
    # Its object id is shown, but no command has it: who gets a role is never an answer's to say.
    who = f"application {settings.client_id}" + (f" (object {caller[1]})" if caller else "")
    if code in _FORBIDDEN:
        values = {"vault": secret.vault, "name": secret.name, "client": settings.client_id}
        values["address"] = address[1] if address else "ADDRESS"
        cause, change = (text.format(**values) for text in _FORBIDDEN[code])
    elif code == "AccessDenied":
        cause = f"the vault uses access policies, not Azure RBAC, and none gives {who} `get` for secrets"
        change = (
            "an access policy opens all secrets of the vault; for this one alone, the vault would have to use Azure "
            f"RBAC\n\n{policy_command(settings, secret)}"
        )
    else:
        cause = f"{who} has no role that lets it read this secret, or was given one less than ten minutes ago"
        change = f"assign the role for this secret alone\n\n{_grant(message, secret, settings)}"
    return RefusedError(
        f"{VENDOR}: {read}: {_said(answer)}",
        cause=cause,
        change=change,
        docs=DOCS_REFUSED,
        detail={**answer.detail, **({"innererror": code} if code else {})},
    )


def _grant(message: str, secret: VaultSecret, settings: AzureSettings) -> str:
    told = _RESOURCE.search(message)
    # What Key Vault says is taken only if it is this very secret: the scope of a role is no place for surprises.
    same = told and (told[2].lower(), told[3].lower()) == (secret.vault.lower(), secret.name.lower())
    return grant_command(settings, secret, scope=told[1] if told and same else "")


_RUNNER = "run the job on a runner in"
_FORBIDDEN = {
    "ForbiddenByFirewall": (
        "the vault's firewall does not let {address} in",
        (
            f"{_RUNNER} the vault's network, or on one with a fixed address and `az keyvault network-rule add "
            "--name {vault} --ip-address {address}`"
        ),
    ),
    "ForbiddenByConnection": (
        "the vault takes no connections from public networks",
        f"{_RUNNER} a network with a private endpoint of vault {{vault}} (and its private DNS zone)",
    ),
    "SecretDisabled": (
        "the secret, or this version of it, is disabled",
        (
            "az keyvault secret set-attributes --vault-name {vault} --name {name} --enabled true; or ask for another "
            "`version`"
        ),
    ),
    "ForbiddenByPolicy": (
        "an access policy names this application together with a user: it may only act for that user",
        (
            "give the application an access policy of its own: `az keyvault set-policy --name {vault} --spn {client} "
            "--secret-permissions get`"
        ),
    ),
}
"""Inner code → (cause, change)."""


def _missing(answer: Answer, read: Read) -> KeyleaseError:
    secret = target_of(read)
    version = f", or no version {secret.version}" if secret.version else ""
    return NotFoundError(
        f"{VENDOR}: {read}: {_said(answer)}",
        cause=f"vault {secret.vault} has no secret {secret.name}{version}; or it was deleted and can be recovered",
        change=f"az keyvault secret list --vault-name {secret.vault} --query '[].name' shows the names; "
        f"az keyvault secret recover --vault-name {secret.vault} --name {secret.name} brings a deleted one back",
        docs=DOCS_404,
        detail=answer.detail,
    )
