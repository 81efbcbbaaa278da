"""Azure Key Vault: secrets, whole or a field of their JSON.

https://learn.microsoft.com/rest/api/keyvault/secrets/get-secret/get-secret
"""

import re
import time
from collections.abc import Mapping
from urllib.parse import parse_qsl

from keylease.context import Context
from keylease.errors import UnreachableError, UsageError
from keylease.http import HttpSettings
from keylease.managers.base import Manager, check_common, paged
from keylease.model import Document, Lease, Read
from keylease.vendors.answers import Answer, server_trouble
from keylease.vendors.azure_session import MAX_BODY, AzureSession
from keylease.vendors.azure_settings import CLOUDS
from keylease.vendors.azure_vault import DOCS_REFERENCE, EXAMPLE, VENDOR, listed, refused_list, refused_read, target_of

API_VERSION = "7.4"
"""What this request is has not changed since 2016; all three clouds have this version."""

_ID_END = re.compile(r"/secrets/[A-Za-z0-9-]{1,127}/([0-9a-fA-F]{32})/?")


class AzureKeyVaultManager(Manager):
    """``azure-kv://VAULT/SECRET``. Managed HSMs hold no secrets."""

    scheme = "azure-kv"
    provider = "azure"
    options = ("version",)

    def __init__(self, lease: Lease, context: Context) -> None:
        super().__init__(lease, context)
        assert isinstance(lease.session, AzureSession)
        self._session = lease.session
        self._settings = s = lease.session.settings
        assert isinstance(s.timeout, float)
        self._http = context.http.session(VENDOR, HttpSettings(timeout=s.timeout, retries=s.retries, max_body=MAX_BODY))

    @classmethod
    def check(cls, read: Read) -> None:
        """See the base class."""
        check_common(read, cls, VENDOR, EXAMPLE, DOCS_REFERENCE)
        target_of(read)

    def read(self, read: Read) -> Document:
        """See the base class.

        One token is for every vault of the cloud, and anybody may own a vault of a free name: a pull request that
        names a stranger's sends it there. It goes to Microsoft's host, whose owner never sees the requests, and a
        vault of another tenant refuses it; so the name needs no allow-list. An address in `vaults` does, and has one.
        """
        self.check(read)
        secret = target_of(read)
        # With an empty version this is the newest one: the path is the documented template, as in the SDKs.
        path = f"secrets/{secret.name}/{secret.version}"
        answer, challenge = self._get(read, secret.vault, path, {})
        if not answer.ok:
            raise refused_read(answer, challenge, read, self._settings)
        return self._document(answer, read)

    def find(self, read: Read, parent: str, prefix: str, *, deep: bool) -> list[str]:
        """See the base class. Of one vault, without what is disabled, and without certificates (`managed`).

        A certificate's secret has its private key, which nobody means by a pattern: it must be named.
        https://learn.microsoft.com/rest/api/keyvault/secrets/get-secrets/get-secrets
        """
        del deep, prefix
        if not parent or "/" in parent:
            raise UsageError(
                f"{VENDOR}: {read}: a pattern is of the secrets of one vault",
                change="azure-kv://VAULT/ml-*",
                docs="azure-kv-reference",
            )
        vault = target_of(Read(read.provider, read.scheme, f"{parent}/x")).vault

        def page(query: str) -> tuple[list[str], str]:
            asked = dict(parse_qsl(query)) if query else {"maxresults": "25"}
            answer, challenge = self._get(read, vault, "secrets", asked)
            if not answer.ok:
                raise refused_list(answer, challenge, read, vault, self._settings)
            names, following = listed(answer, read)
            return [f"{parent}/{name}" for name in names], following

        return paged(page, read, VENDOR)

    def _get(self, read: Read, vault: str, path: str, asked: Mapping[str, str]) -> tuple[Answer, str]:
        """(the answer, the challenge of a refusal)."""
        token = self._session.granted(CLOUDS[self._settings.cloud].scopes["keyvault"]).token
        try:
            response = self._http.get(
                f"{self._address(vault)}/{path}",
                params={**asked, "api-version": API_VERSION},
                headers={"Authorization": f"Bearer {token.reveal()}"},
            )
        except UnreachableError as error:
            raise self._unreachable(error, vault, read) from None
        answer = Answer.of(response, "x-ms-request-id")
        trouble = server_trouble(VENDOR, str(read), answer)
        if trouble:
            raise trouble
        return answer, response.headers.get("WWW-Authenticate", "")

    def _address(self, vault: str) -> str:
        domain = CLOUDS[self._settings.cloud].scopes["keyvault"].removeprefix("https://").removesuffix("/.default")
        return self._settings.vaults.get(vault.lower(), f"https://{vault.lower()}.{domain}")

    def _document(self, answer: Answer, read: Read) -> Document:
        value = answer.at("value")
        if not isinstance(value, str):
            raise UnreachableError(
                f"{VENDOR}: {read}: the answer holds no value",
                cause="something else than Key Vault answered, or its API has changed",
                change="check `vaults` and the proxy; if they are right, report it",
                docs="garbage",
                detail=answer.detail,
            )
        found = _ID_END.search(answer.text("id"))
        document = Document.of_text(str(read), value, version=found[1] if found else None)
        document.expires_at = _time(answer, "exp")
        self._warn(answer, read)
        return document

    def _warn(self, answer: Answer, read: Read) -> None:
        # Key Vault hands these out as well: https://learn.microsoft.com/azure/key-vault/secrets/about-secrets
        ends, begins, now = _time(answer, "exp"), _time(answer, "nbf"), time.time()
        if ends is not None and ends <= now:
            self.context.log.warning("%s: %s expired on %s; set a new version", VENDOR, read, _day(ends))
        if begins is not None and begins > now:
            self.context.log.warning("%s: %s is not valid before %s", VENDOR, read, _day(begins))

    def _unreachable(self, error: UnreachableError, vault: str, read: Read) -> UnreachableError:
        # No NotFoundError: trouble with DNS must not pass for a secret that may be missing.
        if "host name is unknown" not in error.summary:
            return error
        return UnreachableError(
            f"{VENDOR}: {read}: {error.summary.partition(': ')[2]}",
            cause=f"there is no vault {vault} in this cloud (any more), or only a private network knows it",
            change="az keyvault list --query '[].name' shows your vaults, az keyvault list-deleted those that can be "
            "recovered; for a sovereign cloud set `cloud`",
            docs="azure-kv-vault",
            detail=error.detail,
        )


def _time(answer: Answer, name: str) -> float | None:
    found = answer.at("attributes", name)
    usable = isinstance(found, int | float) and not isinstance(found, bool) and 0 < found < 1e11
    return float(found) if usable else None


def _day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))
