"""One Azure key vault's secrets, for the two requests that read and list them.

Requests and answers are held against Microsoft's published description (tests/data/azure, version 7.4): a request that
it does not have is refused, an answer that it does not have ends the connection. Words of refusals: what users posted
(Azure/azure-sdk-for-js#24756 SecretDisabled, #12539 AKV10032; piyushsachdeva/Terraform_AKS#2 ForbiddenByRbac;
MicrosoftDocs/azure-devops-docs#8581 the firewall) and recordings of Azure/azure-sdk-for-js (AKV10000, SecretNotFound).
The challenge: https://learn.microsoft.com/azure/key-vault/general/authentication-requests-and-responses

What it can't show: who really may read what and how late a role works, throttling, how a vault's name is looked up,
and other vaults.
"""

import json
import re
import time
from functools import cache
from pathlib import Path
from secrets import token_hex
from typing import Any

import jsonschema  # type: ignore[import-untyped]

from tests.fakes.azure_entra import CLIENT, SUBSCRIPTION, TENANT, AzureEntra
from tests.fakes.loopback import Exchange, LoopbackServer, Received

VAULT = "ml-prod"
OBJECT = "77dd1a26-3f4c-4b02-9d6e-5a3a2a5f0c11"
RESOURCE = "https://vault.azure.net"
REQUEST_ID = "f6d0a2a1-0000-4000-8000-000000000001"
CALLER = f"appid={CLIENT};oid={OBJECT};iss=https://sts.windows.net/{TENANT}/"
SCOPE = f"/subscriptions/{SUBSCRIPTION}/resourcegroups/ml/providers/microsoft.keyvault/vaults/{VAULT}/secrets/"

RBAC = (
    "Caller is not authorized to perform action on resource.\r\nIf role assignments, deny assignments or role "
    f"definitions were changed recently, please observe propagation time.\r\nCaller: {CALLER}\r\n"
    f"Action: 'Microsoft.KeyVault/vaults/secrets/getSecret/action'\r\nResource: '{SCOPE}{{name}}'\r\n"
    "Assignment: (not found)\r\nDenyAssignmentId: null\r\nDecisionReason: null \r\n"
    f"Vault: {VAULT};location=westeurope\r\n"
)
POLICY = (
    f"The user, group or application '{CALLER}' does not have secrets get permission on key vault "
    f"'{VAULT};location=westeurope'. For help resolving this issue, please see "
    "https://go.microsoft.com/fwlink/?linkid=2125287"
)
FIREWALL = (
    "Client address is not authorized and caller is not a trusted service.\r\nClient address: 203.0.113.7\r\n"
    f"Caller: {CALLER}\r\nVault: {VAULT};location=westeurope"
)
CONNECTION = (
    "Connection is not an approved private link and caller was ignored because bypass is not set to 'AzureServices' "
    "and PublicNetworkAccess is set to 'Disabled'."
)
DISABLED = "Operation get is not allowed on a disabled secret."
ABSENT = (
    "A secret with (name/id) {name} was not found in this key vault. If you recently deleted this secret you may be "
    "able to recover it using the correct recovery command. For help resolving this issue, please see "
    "https://go.microsoft.com/fwlink/?linkid=2125182"
)


@cache
def description() -> dict[str, Any]:
    """Microsoft's, trimmed."""
    path = Path(__file__).parent.parent / "data" / "azure" / "keyvault-secrets-7.4.json"
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def request_fault(request: Received) -> str:
    """What of `request` is not in the description; empty if all of it is."""
    operation = None
    for template, methods in description()["paths"].items():
        found = re.fullmatch(re.sub(r"\{[a-z-]+\}", "([^/]*)", template), request.path)
        if found and all(found.groups()[:1]):
            operation = methods.get(request.method.lower())
    if operation is None:
        return f"{request.method} {request.path}"
    local = description()["parameters"]
    given = [local[p["$ref"].rpartition("/")[2]] if "$ref" in p else p for p in operation["parameters"]]
    query = {p["name"]: p["required"] for p in given if p["in"] == "query"}
    sent = {k: v for k, v in request.query.items() if k != "$skiptoken"}  # of a nextLink, which is opaque
    wrong = [name for name, values in sent.items() if name not in query or len(values) != 1]
    wrong += [name for name, required in query.items() if required and name not in sent]
    return f"query: {wrong}" if wrong else ""


def check_answer(status: int, body: object) -> None:
    """Raises where `body` is not what the description says, or has a property that it does not know."""
    one, several = description()["paths"]
    is_list = isinstance(body, dict) and isinstance(body.get("value"), list)
    responses = description()["paths"][several if is_list else one]["get"]["responses"]
    schema = responses.get(str(status), responses["default"])["schema"]
    jsonschema.Draft4Validator({**schema, "definitions": _strict()}).validate(body)


@cache
def _strict() -> dict[str, Any]:
    definitions: dict[str, Any] = json.loads(json.dumps(description()["definitions"]))
    for made in definitions.values():
        for part in made.pop("allOf", []):  # draft 4 can't close what is put together by allOf
            made["properties"] |= definitions[part["$ref"].rpartition("/")[2]]["properties"]
        made |= {"type": "object", "additionalProperties": False}
    return definitions


class AzureKeyVault(LoopbackServer):
    """`.put(name, value)` stores a version and returns its id. Tokens are those that `entra` issued for Key Vault.

    closed: names that the caller may not read. refusal: (inner code, message) that answers every request.
    list_refusal: the same, of lists. page: names of a list's page, at the most.
    tenant: the vault's. resource: what the challenge asks for.
    """

    def __init__(self, entra: AzureEntra, **server: Any) -> None:
        super().__init__(**server)
        self.entra = entra
        self.tenant = TENANT
        self.resource = RESOURCE
        self.closed: set[str] = set()
        self.refusal: tuple[str, str] | None = None
        self.list_refusal: tuple[str, str] | None = None
        self.page = 3
        self._secrets: dict[str, dict[str, dict[str, Any]]] = {}

    def put(self, name: str, value: str, **bundle: Any) -> str:
        """attributes=…, contentType=… as in the description."""
        now = int(time.time())
        attributes = {"enabled": True, "created": now, "updated": now, "recoveryLevel": "Recoverable+Purgeable"}
        attributes |= {"recoverableDays": 90, **bundle.pop("attributes", {})}
        version = token_hex(16)
        made = {"value": value, "id": f"https://{VAULT}.vault.azure.net/secrets/{name}/{version}", **bundle}
        self._secrets.setdefault(name.lower(), {})[version] = {**made, "attributes": attributes}
        return version

    def handle(self, exchange: Exchange) -> None:
        """See LoopbackServer."""
        request = exchange.request
        scheme, _, token = request.header("Authorization").partition(" ")
        if scheme != "Bearer" or not token:
            return self._unauthorized(exchange, "AKV10000: Request is missing a Bearer or PoP token.")
        if self.tenant != TENANT:
            words = f"Expected one of https://sts.windows.net/{self.tenant}/, found https://sts.windows.net/{TENANT}/."
            return self._unauthorized(exchange, f"AKV10032: Invalid issuer. {words}")
        if not self.entra.is_alive(token, f"{RESOURCE}/.default"):
            found = self.entra.issued.get(token, ("an unknown audience", 0))[0].removesuffix("/.default")
            words = f"AKV10022: Invalid audience. Expected {RESOURCE}, found: {found}."
            return self._unauthorized(exchange, words)
        fault = request_fault(request)
        if fault:
            return self._error(exchange, 400, "BadParameter", f"The request is not one of the description: {fault}")
        if request.path == "/secrets":
            return self._list(exchange)
        _, _, name, version = request.path.split("/")
        return self._get(exchange, name, version)

    def _get(self, exchange: Exchange, name: str, version: str) -> None:
        if self.refusal:
            inner, message = self.refusal
            return self._error(exchange, 403, "Forbidden", message.replace("{name}", name), inner)
        if name.lower() in self.closed:
            return self._error(exchange, 403, "Forbidden", RBAC.format(name=name), "ForbiddenByRbac")
        versions = self._secrets.get(name.lower(), {})
        bundle = versions.get(version) if version else next(reversed(versions.values()), None)
        if bundle is None:
            what = f"{name}/{version}" if version else name
            return self._error(exchange, 404, "SecretNotFound", ABSENT.format(name=what))
        if not bundle["attributes"]["enabled"]:
            return self._error(exchange, 403, "Forbidden", DISABLED, "SecretDisabled")
        return self._answer(exchange, 200, bundle, {})

    def _list(self, exchange: Exchange) -> None:
        if self.list_refusal:
            inner, message = self.list_refusal
            return self._error(exchange, 403, "Forbidden", message, inner)
        query = exchange.request.query
        start, most = int(query.get("$skiptoken", ["0"])[0]), min(self.page, int(query.get("maxresults", ["25"])[0]))
        names = sorted(self._secrets)[start : start + most]
        items: list[dict[str, Any]] = []
        for name in names:
            bundle = next(reversed(self._secrets[name].values()))
            shown: dict[str, Any] = {
                key: bundle[key] for key in ("attributes", "contentType", "tags", "managed") if key in bundle
            }
            items.append({"id": bundle["id"].rpartition("/")[0], **shown})
        # With the port, as Key Vault has it.
        more = (
            f"https://{VAULT}.vault.azure.net:443/secrets?api-version=7.4&$skiptoken={start + most}&maxresults={most}"
        )
        body: dict[str, Any] = {"value": items}
        if start + most < len(self._secrets):
            body["nextLink"] = more
        return self._answer(exchange, 200, body, {})

    def _unauthorized(self, exchange: Exchange, message: str) -> None:
        authority = f"{self.entra.url}/{self.tenant}"
        challenge = f'Bearer authorization="{authority}", resource="{self.resource}"'
        self._error(exchange, 401, "Unauthorized", message, challenge=challenge)

    def _error(
        self, exchange: Exchange, status: int, code: str, message: str, inner: str = "", challenge: str = ""
    ) -> None:
        error: dict[str, Any] = {"code": code, "message": message}
        if inner:
            error["innererror"] = {"code": inner}
        self._answer(exchange, status, {"error": error}, {"WWW-Authenticate": challenge} if challenge else {})

    def _answer(self, exchange: Exchange, status: int, body: object, headers: dict[str, str]) -> None:
        check_answer(status, body)
        exchange.answer_json(status, body, {"x-ms-request-id": REQUEST_ID, **headers})
