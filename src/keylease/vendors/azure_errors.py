"""Why Microsoft Entra refused, by its AADSTS code.

https://learn.microsoft.com/entra/identity-platform/reference-error-codes (each code also has a page of its own:
https://login.microsoftonline.com/error?code=700213). Fields of an error: "Handling error codes in your application".
"""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from keylease.errors import KeyleaseError, RefusedError, UnreachableError
from keylease.model import IdentityToken, Read
from keylease.vendors.answers import Answer
from keylease.vendors.azure_settings import CLOUDS, VENDOR, AzureSettings
from keylease.vendors.azure_trust import trust_for
from keylease.vendors.job_claims import shown_claims
from keylease.vendors.token_exchange import not_the_endpoint, refused

if TYPE_CHECKING:
    import requests

DOCS = "azure-login"
EXPIRED = 700024
_BUSY = frozenset({90024, 90033})
"""RequestBudgetExceededError, MsodsServiceUnavailable: "a transient error has occurred", with status 400."""


class Why(Struct, frozen=True):
    """cause, change: for people; ``{client}``, ``{tenant}``, ``{scope}``, ``{aud}`` are filled in.

    trust: whether a federated credential is what is missing.
    """

    cause: str
    change: str
    trust: bool = False


_COMPARE = (
    "compare with `az ad app federated-credential list --id {client}`, or create one for this job by the command below"
)
_NO_ISSUER = Why("no federated credential of {client} has this issuer: mind http, a slash at the end", _COMPARE, True)
_NO_SUBJECT = Why(
    "no federated credential of {client} has this `sub`, or it is too new to be known everywhere",
    _COMPARE,
    True,
)
_NO_AUDIENCE = Why(
    "no federated credential of {client} has this audience ({aud})", f"{_COMPARE}; or set `audience`", True
)
_NO_APP = Why(
    "there is no application {client} in tenant {tenant}",
    "correct `client_id` (the application id, not the object id) and `tenant_id`",
)
_NO_TENANT = Why(
    "there is no tenant {tenant} in this cloud",
    "correct `tenant_id`; for a sovereign cloud set `cloud: usgovernment` or `cloud: china`",
)
_SCOPE = Why("{scope} is no scope that can be granted", "resources: {{VARIABLE: https://RESOURCE/.default}}")
_NO_RESOURCE = Why(
    "tenant {tenant} has no service principal for the resource of {scope}",
    "correct the scope in `resources`; or an administrator adds the resource's service principal to the tenant",
)
_SIGNATURE = Why(
    "the token is broken, its signature does not fit a key of its issuer, or Entra has not seen the issuer's new keys",
    "look at the token's source; if the issuer's keys were just rotated, run the job again later",
)
_KEYS = Why(
    "Entra can't fetch the issuer's keys",
    "the issuer's /.well-known/openid-configuration and the keys it names must be reachable from the internet",
)
_OTHER_CLOUD = Why("tenant {tenant} is in another cloud", "set `cloud: usgovernment` or `cloud: china`")

_WHY = {
    70021: Why("no federated credential of {client} has this issuer, subject and audience", _COMPARE, True),
    700211: _NO_ISSUER,
    700212: _NO_AUDIENCE,
    7002121: _NO_AUDIENCE,
    700213: _NO_SUBJECT,
    7002137: _NO_SUBJECT,
    7002138: Why(
        "a federated credential of {client} differs from this `sub` in upper and lower case only", _COMPARE, True
    ),
    700016: _NO_APP,
    7000229: Why(
        "the application {client} has no service principal in tenant {tenant}", "az ad sp create --id {client}"
    ),
    7000112: Why("the application {client} is disabled", "enable it: Enterprise applications, Properties"),
    90002: _NO_TENANT,
    900023: _NO_TENANT,
    90038: _OTHER_CLOUD,
    900382: _OTHER_CLOUD,
    7000215: Why(
        "Entra took the request for a login with a client secret", "report it: no secret is sent by this provider"
    ),
    70011: _SCOPE,
    1002012: _SCOPE,
    500011: _NO_RESOURCE,
    650057: _NO_RESOURCE,
    50027: _SIGNATURE,
    700027: _SIGNATURE,
    50166: _KEYS,
    501661: _KEYS,
    53003: Why(
        "a Conditional Access policy for workload identities blocks this login (the runner's address?)",
        "let an administrator look at the sign-in log of the service principal and change the policy",
    ),
}


def code_of(answer: Answer) -> int | None:
    """The AADSTS number: the first of ``error_codes``, else the one that the description begins with."""
    codes = answer.at("error_codes")
    if isinstance(codes, list) and codes and isinstance(codes[0], int) and not isinstance(codes[0], bool):
        return codes[0]
    found = re.match(r"AADSTS(\d{1,9})\b", answer.text("error_description"))
    return int(found[1]) if found else None


def is_busy(response: "requests.Response") -> bool:
    """Whether a 400 says that another try may do: RFC 6749's ``temporarily_unavailable``, or the directory is away."""
    if response.status_code != 400:
        return False
    answer = Answer.of(response)
    return answer.text("error") == "temporarily_unavailable" or code_of(answer) in _BUSY


def login_refused(
    answer: Answer, settings: AzureSettings, scope: str, token: IdentityToken, reads: Sequence[Read] = ()
) -> KeyleaseError:
    """The error for a refused token request. `retry_with_new_token` when the identity token had expired.

    reads: what the run wants to read, for the trust.
    """
    s, code = settings, code_of(answer)
    # What follows is advice that is given here in more detail, and numbers that `--debug` shows.
    said = re.split(r"\s+(?:Trace ID|(?:Please )?[Cc]heck your federated)", answer.text("error_description"))[0]
    said = said or answer.text("error")
    summary = f"Azure: no token for {s.client_id}: {said or f'HTTP {answer.status}'}"
    elsewhere = not_the_endpoint(VENDOR, summary, answer, key="authority_host")
    if elsewhere:
        return elsewhere
    if code in _BUSY or answer.text("error") == "temporarily_unavailable":
        return UnreachableError(
            summary,
            cause="Entra has trouble, also after the retries",
            change="run the job again; `retries` and `deadline` give it more time",
            docs="unreachable",
            detail=_detail(answer, code),
        )
    if code == EXPIRED:
        error = RefusedError(
            summary,
            cause="the identity token had expired when Entra saw it (GitHub's live 5 minutes), or a clock is wrong",
            change="take the lease early in the job; a new token is asked for where the platform gives one",
            claims=shown_claims(token.claims, "iat", "exp"),
            docs=DOCS,
            detail=_detail(answer, code),
        )
        error.retry_with_new_token = True
        return error
    why = _WHY.get(code or 0) or Why(
        "the federated credential, the application or the scope is not what Entra expects",
        f"see https://login.microsoftonline.com/error?code={code}" if code else "check `tenant_id` and `client_id`",
        trust=code is None,
    )
    values = {"client": s.client_id, "tenant": s.tenant_id, "scope": scope, "aud": s.audience}
    cause = why.cause.format(**values)
    if why is _NO_AUDIENCE and s.audience not in {cloud.audience for cloud in CLOUDS.values()}:
        cause += f"; this cloud's usual one is {CLOUDS[s.cloud].audience}"  # `cloud` of complete settings is no auto
    other: KeyleaseError = refused(
        summary,
        answer,
        token,
        cause=cause,
        words=why.change.format(**values),
        trust=trust_for(token.claims, s, reads) if why.trust else None,
        docs=DOCS,
    )
    other.detail = _detail(answer, code)
    return other


def _detail(answer: Answer, code: int | None) -> dict[str, object]:
    fields = {name: answer.text(name) for name in ("trace_id", "correlation_id", "timestamp")}
    return {**answer.detail, **({"AADSTS": code} if code else {}), **{k: v for k, v in fields.items() if v}}
