"""Asking a platform's endpoint for a token: what GitHub's and Azure DevOps' have in common."""

import json
from collections.abc import Mapping
from urllib.parse import quote, urlsplit, urlunsplit

from msgspec import Struct

from keylease.errors import IdentityError, UnreachableError
from keylease.http import TRANSIENT, HttpSettings, Session
from keylease.identity.claims import MAX_TOKEN, show
from keylease.secret import Secret

SETTINGS = HttpSettings(max_body=4 * MAX_TOKEN)
"""Retries with backoff on 5xx, 429 and connection faults, 10 s an attempt; an answer has one token in it."""


class Endpoint(Struct, frozen=True):
    """A token endpoint and how its refusals are told.

    title: the platform. url_variable, token_variable: where its address and our credential for it come from.
    field: of the JSON answer that holds the token. refused: what to change when our credential is refused.
    """

    title: str
    url_variable: str
    token_variable: str
    method: str
    field: str
    refused: str
    docs: str

    def ask(self, session: Session, url: str, credential: Secret, headers: Mapping[str, str]) -> str:
        """The token's text. Never shows the answer's body: on the way it may have got anything into it.

        Raises :class:`IdentityError` for a refusal and an answer with no token, :class:`UnreachableError` when
        the endpoint, or whatever answers in its place, does not work.
        """
        bearer = {"Authorization": f"Bearer {credential.reveal()}"}
        response = session.request(self.method, url, headers={**headers, **bearer})
        status = response.status_code
        if status != 200:
            raise self._status(status)
        try:
            answer = json.loads(response.content)
        except (ValueError, RecursionError):
            answer = None
        # Outside the handler: a JSON error carries the document.
        if not isinstance(answer, dict):
            raise UnreachableError(
                f"{self.title}: the token endpoint answered something that is not a JSON object",
                cause="a proxy, a captive portal or a login page answered in its place",
                change=f"let this runner reach the host in {self.url_variable} directly, or through a plain proxy",
                docs="identity-endpoint",
                detail={"status": status, "type": show(response.headers.get("Content-Type", "none"))},
            )
        token = answer.get(self.field)
        if not isinstance(token, str) or not token.strip():
            raise IdentityError(
                f"{self.title}: the token endpoint answered 200, but with no token in `{self.field}`",
                cause="this is not the endpoint of a CI platform, or of one that speaks another protocol",
                change=f"check what sets {self.url_variable}: on a real runner only the platform does",
                docs="identity-endpoint",
            )
        return token

    def _status(self, status: int) -> IdentityError | UnreachableError:
        detail = {"status": status}
        if status in TRANSIENT:
            return UnreachableError(
                f"{self.title}: the token endpoint answered {status}, also when asked again",
                cause="it is overloaded or down" if status != 429 else "too many token requests at once",
                change="run the job again; if it stays so, look at the platform's status page",
                docs="identity-endpoint",
                detail=detail,
            )
        if status in (203, 301, 302, 303, 307, 308):
            return IdentityError(
                f"{self.title}: the token endpoint sent us elsewhere ({status}); our credential does not follow",
                cause="a login page, or a proxy that redirects",
                change=self.refused,
                docs="identity-endpoint",
                detail=detail,
            )
        if status in (401, 403):
            return IdentityError(
                f"{self.title}: the token endpoint refused the job's request ({status})",
                cause=f"{self.token_variable} is not (or no longer) good for identity tokens: it belongs to another "
                "job, or the job has ended",
                change=self.refused,
                docs=self.docs,
                detail=detail,
            )
        return IdentityError(
            f"{self.title}: the token endpoint answered {status}",
            cause="it does not accept this request: a wrong address, or an audience it does not allow",
            change=f"check what sets {self.url_variable}, and the provider's `audience`",
            docs="identity-endpoint",
            detail=detail,
        )

    def url(self, text: str, parameters: Mapping[str, str]) -> str:
        """`text` with these query parameters set; what its query holds otherwise stays byte for byte.

        Raises :class:`IdentityError` when it is not an http or https URL.
        """
        try:
            parts = urlsplit(text)
            usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            usable = False
        if not usable or not text.isprintable() or " " in text:
            raise IdentityError(
                f"{self.title}: {self.url_variable} is not a URL",
                cause="something other than the platform set it",
                change=f"leave {self.url_variable} to the platform",
                docs="identity-endpoint",
            )
        kept = [pair for pair in parts.query.split("&") if pair and pair.partition("=")[0] not in parameters]
        new = [f"{name}={quote(value, safe='')}" for name, value in parameters.items()]
        return urlunsplit((parts.scheme, parts.netloc, parts.path, "&".join(kept + new), ""))

    def credential(self, text: str) -> str:
        """`text` if it can be sent in a header. Raises :class:`IdentityError` without showing it."""
        if text and text.isascii() and text.isprintable() and " " not in text:
            return text
        raise IdentityError(
            f"{self.title}: {self.token_variable} can't be sent: it has white space or control characters in it",
            cause="something other than the platform set it",
            change=f"leave {self.token_variable} to the platform",
            docs="identity-endpoint",
        )
