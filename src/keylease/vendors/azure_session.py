"""Access tokens of Microsoft Entra for one identity token: what the exchanger and Key Vault's manager share."""

import threading
import time
from collections.abc import Sequence

from keylease.context import Context
from keylease.http import HttpSettings
from keylease.model import IdentityToken, Read
from keylease.vendors.answers import Answer, server_trouble
from keylease.vendors.azure_errors import is_busy, login_refused
from keylease.vendors.azure_settings import VENDOR, AzureSettings
from keylease.vendors.token_exchange import Granted, granted

MAX_BODY = 1024 * 1024
"""Bytes of an answer: a token and its lifetime, or a secret (25 KB at the most) and its attributes."""

_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class AzureSession:
    """One request per scope, however many ask for it. Safe to share between threads.

    name: the provider's, for labels. reads: what the run wants to read, for the trust in a refusal.
    """

    def __init__(
        self, name: str, settings: AzureSettings, context: Context, token: IdentityToken, reads: Sequence[Read] = ()
    ) -> None:
        assert isinstance(settings.timeout, float)
        self.settings = settings
        self._name = name
        self._context = context
        self._token = token
        self._reads = reads
        self._http = context.http.session(
            VENDOR,
            HttpSettings(timeout=settings.timeout, retries=settings.retries, max_body=MAX_BODY, transient=is_busy),
        )
        self._locks: dict[str, threading.Lock] = {}
        self._granted: dict[str, Granted] = {}

    def granted(self, scope: str) -> Granted:
        """The access token for `scope`, sealed. Raises RefusedError, UnreachableError."""
        with self._locks.setdefault(scope, threading.Lock()):
            if scope not in self._granted:
                self._granted[scope] = self._ask(scope)
            return self._granted[scope]

    def _ask(self, scope: str) -> Granted:
        s = self.settings
        sent_at = time.time()
        response = self._http.post(
            s.token_url,
            data={
                "client_id": s.client_id,
                "client_assertion_type": _ASSERTION,
                "client_assertion": self._token.jwt.reveal(),
                "grant_type": "client_credentials",
                "scope": scope,
            },
        )
        answer = Answer.of(response, "x-ms-request-id")
        trouble = server_trouble(VENDOR, f"asking for a token for {scope}", answer)
        if trouble:
            raise trouble
        if not answer.ok:
            raise login_refused(answer, s, scope, self._token, self._reads)
        label = f"{self._name}: Azure token for {scope}"
        return granted(VENDOR, answer, sent_at, self._context.seal, label, key="authority_host")
