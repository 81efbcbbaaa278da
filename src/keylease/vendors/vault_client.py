"""hvac's client over our own session: one way to ask, one kind of answer, no body in any exception.

API: https://openbao.org/api-docs/ and https://developer.hashicorp.com/vault/api-docs
"""

import os
from collections.abc import Callable, Mapping
from typing import Any, cast

import msgspec
import requests
from msgspec import Struct

from keylease.context import Context
from keylease.errors import UnreachableError, UsageError
from keylease.http import TRANSIENT, HttpSettings, Session
from keylease.secret import Secret
from keylease.vendors.pem import PemFiles, pem_text
from keylease.vendors.vault_api import VaultApi, hvac_part
from keylease.vendors.vault_settings import VaultSettings, is_cleartext, skips_verification

RETRIED = TRANSIENT | {412}
"""412: the token has not reached the performance replica that was asked (vault-action issue 332)."""

_MAX_MESSAGES = 5
_MAX_MESSAGE = 400
_MAX_TEXT = 64 * 1024


class Connection(Struct, frozen=True):
    """How to reach a server, in a form that can be kept for the process that revokes.

    ca_certificate, client_certificate: a path or PEM text. client_key: a path.
    client_key_variable: the variable that holds the key's text, where it was given so.
    """

    url: str
    namespace: str | None = None
    tls_verify: bool = True
    ca_certificate: str | None = None
    client_certificate: str | None = None
    client_key: str | None = None
    client_key_variable: str | None = None
    timeout: float = 10.0
    retries: int = 4

    @classmethod
    def of(cls, settings: VaultSettings, context: Context) -> "Connection":
        """From complete settings. A key given as text is sealed, and only its variable's name is kept."""
        key, variable = settings.client_key, None
        if key and pem_text(key):
            context.seal(key, "Vault: client_key")
            context.seal(pem_text(key) or "", "Vault: client_key")
            variable = next((name for name, value in context.env.items() if value.strip() == key.strip()), None)
            key = None
            if variable is None:
                raise UsageError(
                    "Vault: `client_key` is written out as text",
                    cause="a private key in a file that goes into git is no secret any more",
                    change="put it into a masked variable, VAULT_CLIENT_KEY, and leave `client_key` out",
                    docs="tls",
                )
        assert isinstance(settings.timeout, float), "complete() makes it one"
        return cls(
            url=settings.url,
            namespace=settings.namespace,
            tls_verify=settings.tls_verify,
            ca_certificate=_absolute(settings.ca_certificate),
            client_certificate=_absolute(settings.client_certificate),
            client_key=_absolute(key),
            client_key_variable=variable,
            timeout=settings.timeout,
            retries=settings.retries,
        )

    def to_data(self) -> dict[str, Any]:
        """JSON-able, without any value in it."""
        return {name: getattr(self, name) for name in self.__struct_fields__ if getattr(self, name) is not None}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "Connection":
        """The reverse of :meth:`to_data`; unknown keys are those of another version and are left out."""
        return cls(**{name: value for name, value in data.items() if name in cls.__struct_fields__})

    def warnings(self, context: Context) -> list[str]:
        """What is unsafe about this connection; to be said every time it is used."""
        found = []
        if not self.tls_verify:
            found.append(
                f"Vault: TLS verification of {self.url} is OFF (tls_verify: false): whoever is on the way can read "
                "and keep the tokens and secrets; give the server's CA as ca_certificate instead"
            )
        elif skips_verification(context.env):
            found.append("Vault: VAULT_SKIP_VERIFY is not honoured, TLS is verified; see `tls_verify`")
        if is_cleartext(self.url):
            found.append(f"Vault: {self.url} is plain http: tokens and secrets cross the network in clear text")
        return found


def _absolute(value: str | None) -> str | None:
    return os.path.abspath(value) if value and not pem_text(value) else value


class Answer(Struct, frozen=True):
    """What the server said.

    errors, warnings: its own words, trimmed, printable and with every known value hidden.
    location: where it redirects to, if it does.
    """

    status: int
    body: Mapping[str, Any]
    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    location: str | None = None

    @property
    def ok(self) -> bool:
        """Whether the request was done."""
        return 200 <= self.status < 300

    @property
    def is_vaults(self) -> bool:
        """Whether an error looks like the server's own (``{"errors": […]}``), not like one of a proxy before it."""
        return isinstance(self.body.get("errors"), list)

    @property
    def said(self) -> str:
        """The server's words in one line, or nothing."""
        return "; ".join(self.errors)

    def section(self, name: str) -> Mapping[str, Any]:
        """An object of the answer (``data``, ``auth``, ``wrap_info``); empty where there is none."""
        value = self.body.get(name)
        return value if isinstance(value, Mapping) else {}

    @property
    def detail(self) -> dict[str, object]:
        """Facts for ``--debug``."""
        request_id = self.body.get("request_id")
        shown = {"request id": request_id} if isinstance(request_id, str) and request_id.isprintable() else {}
        return {"status": self.status, **shown}


class _Adapter(hvac_part("hvac.adapters", "RawAdapter")):  # type: ignore[misc]  # hvac has no types
    """hvac's raw adapter, with a token that lives in a :class:`Secret` and no headers of anybody else's."""

    secret: Secret | None = None

    def request(self, method: str, url: str, headers: dict[str, str] | None = None, **kwargs: Any) -> Any:
        if self.secret is not None:
            headers = {**(headers or {}), "X-Vault-Token": self.secret.reveal()}
        return super().request(method, url, headers=headers, **kwargs)


class VaultClient:
    """One server, one namespace, one token. Safe to share between threads once the token is set."""

    def __init__(self, connection: Connection, context: Context, token: Secret | None = None) -> None:
        self.connection = connection
        self.context = context
        self._files = PemFiles()
        self._session = self._open(connection.retries)
        self._client = self._hvac(self._session, connection.namespace, token)

    @property
    def api(self) -> Any:
        """hvac's client; its calls return :class:`requests.Response` and never raise for a status."""
        return self._client

    def use(self, token: Secret) -> None:
        """Send `token` from now on."""
        self._client.adapter.secret = token

    def ask(self, call: Callable[[Any], requests.Response]) -> Answer:
        """The answer to a call on hvac's client. Raises UnreachableError when there is none that can be read."""
        return self._answer(call(self._client))

    def ask_as(self, token: Secret, call: Callable[[Any], requests.Response]) -> Answer:
        """The same with another token, over the same connection."""
        return self._answer(call(self._hvac(self._session, self.connection.namespace, token)))

    def get(self, path: str, params: Mapping[str, str] | None = None, wrap_ttl: str | None = None) -> Answer:
        """Read an API path, already quoted."""
        return self.ask(lambda c: c.adapter.get(f"/v1/{path}", params=params, wrap_ttl=wrap_ttl))

    def post(self, path: str, body: Mapping[str, Any], wrap_ttl: str | None = None) -> Answer:
        """Write to an API path, already quoted."""
        return self.ask(lambda c: c.adapter.post(f"/v1/{path}", json=body, wrap_ttl=wrap_ttl))

    def is_alive(self) -> bool:
        """Whether our token still exists, whatever its policies allow.

        ``sys/internal/ui/mounts`` answers any live token (with what it may see, maybe nothing) and refuses a dead
        one, also where the policies leave out ``auth/token/lookup-self``. Seen with OpenBao 2.7. A 403 that is not
        the server's own (a firewall's) tells nothing of the token.
        """
        answer = self.get("sys/internal/ui/mounts")
        return answer.status != 403 or not answer.is_vaults

    def health(self) -> Mapping[str, Any]:
        """What ``sys/health`` says, asked once; empty when it says nothing. It is served in the root namespace only."""
        every_state = dict.fromkeys(("standbycode", "sealedcode", "uninitcode", "drsecondarycode"), "200")
        params = {**every_state, "performancestandbycode": "200"}
        session = self._open(retries=0)
        try:
            answer = self._answer(self._hvac(session, None, None).adapter.get("/v1/sys/health", params=params))
        except UnreachableError:
            return {}
        finally:
            session.close()
        return answer.body if answer.status == 200 else {}

    def words(self, value: object) -> tuple[str, ...]:
        """Allow-listed sentences of an answer (its ``errors`` or ``warnings``) as they may be shown."""
        if not isinstance(value, list):
            return ()
        scrub = self.context.masker.scrub
        texts = [item for item in value[:_MAX_MESSAGES] if isinstance(item, str) and len(item) <= _MAX_TEXT]
        # Hidden first and cut to length after: half of a token would not be recognised any more.
        return tuple(line for text in texts for line in _sentences(scrub(text)))[:_MAX_MESSAGES]

    def _open(self, retries: int) -> Session:
        c = self.connection
        if c.client_key_variable:
            key = self.context.env.get(c.client_key_variable)
            if key:
                self.context.seal(key, "Vault: client_key")
        else:
            key = c.client_key
        return self.context.http.session(
            "Vault",
            HttpSettings(
                timeout=c.timeout,
                retries=retries,
                retry_statuses=RETRIED,
                ca_certificate=self._files.path("ca", c.ca_certificate),
                client_certificate=self._files.path("client", c.client_certificate),
                client_key=self._files.path("client-key", key),
                verify=c.tls_verify,
            ),
        )

    def _hvac(self, session: Session, namespace: str | None, token: Secret | None) -> Any:
        # hvac.Client would take what is left out from VAULT_* variables or ~/.vault-token; its adapter takes nothing.
        adapter = _Adapter(
            base_uri=self.connection.url,
            token="",
            cert=(),
            verify=self.connection.tls_verify,
            timeout=self.connection.timeout,
            session=session,
            namespace=namespace,
            allow_redirects=False,
            ignore_exceptions=True,
        )
        adapter.secret = token
        return VaultApi(adapter)

    def _answer(self, response: requests.Response) -> Answer:
        body: Any = {}
        broken = False
        if response.content:
            try:
                body = msgspec.json.decode(response.content)
            except (msgspec.MsgspecError, ValueError, RecursionError):
                broken = True
        if not isinstance(body, Mapping):
            body, broken = {}, True
        if broken and response.ok:
            # Raised outside the handler: the decoder's exception would carry parts of the body along.
            raise UnreachableError(
                f"Vault: the answer of {self.connection.url} is not JSON",
                cause="a login page, a proxy, or another service answers at this address",
                change="check `url`: it has to be the API's address (the one `bao status -address=…` works with)",
                docs="garbage",
                detail={"status": response.status_code, "type": _type(response)},
            )
        return Answer(
            response.status_code,
            cast(Mapping[str, Any], body),
            self.words(body.get("errors")),
            self.words(body.get("warnings")),
            response.headers.get("Location"),
        )


def _type(response: requests.Response) -> str:
    text = response.headers.get("Content-Type", "none")
    return text[:60] if text.isprintable() else "unprintable"


def _sentences(text: str) -> list[str]:
    """The single errors in the server's text: it joins several as ``2 errors occurred:\\n\\t* one\\n\\t* two``."""
    lines = [line.strip().removeprefix("* ") for line in text.splitlines()]
    kept = [line for line in lines if line and not (line.endswith("occurred:") and len(lines) > 1)]
    return ["".join(c if c.isprintable() else "?" for c in line)[:_MAX_MESSAGE] for line in kept]
