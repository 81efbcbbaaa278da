"""How OpenAI's token endpoint is reached, as the user writes it."""

import msgspec

from keylease.errors import UsageError
from keylease.model import Env
from keylease.vendors.endpoints import checked
from keylease.vendors.token_exchange import attempts, audience, identifier

VENDOR = "OpenAI"

DOCS = "openai-settings"

URL = "https://auth.openai.com"
PATH = "/oauth/token"
"""https://developers.openai.com/api/reference/workload-identity-federation"""

AUDIENCE = "https://api.openai.com/v1"
"""What OpenAI's GitHub guide and its SDKs (gcp_id_token_provider) take; an administrator may have set another."""


_API = ["api.openai.com"]


class OpenAISettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """OpenAI's workload identity federation.

    identity_provider_id: the workload identity provider's id. Falls back to ``OPENAI_IDENTITY_PROVIDER_ID``.
    service_account_id: whom the token acts as. Falls back to ``OPENAI_SERVICE_ACCOUNT_ID``.
    audience: the `aud` that the provider expects, letter for letter. Falls back to ``OPENAI_WIF_AUDIENCE``, then
        ``https://api.openai.com/v1``.
    project_id: the service account's project, for the rule that `whoami` and refusals print; nothing else needs it.
    base_url: handed over as ``OPENAI_BASE_URL``, for a regional API such as ``https://eu.api.openai.com/v1``.
    url: the token endpoint's server.
    timeout: of one attempt, in seconds or like ``10s``, ``500ms``, ``1m``. retries: attempts after the first one.
    """

    identity_provider_id: str = ""
    service_account_id: str = ""
    audience: str = ""
    project_id: str = ""
    base_url: str = ""
    url: str = ""
    timeout: float | str = 10.0
    retries: int = 4


def complete(settings: OpenAISettings, env: Env) -> OpenAISettings:
    """The settings with fallbacks from `env` and everything checked. Raises :class:`UsageError` naming the key.

    Variables: https://developers.openai.com/api/docs/guides/workload-identity-federation/github-actions
    """
    s = settings
    timeout, retries = attempts(VENDOR, s.timeout, s.retries, docs=DOCS)
    provider = s.identity_provider_id or env.get("OPENAI_IDENTITY_PROVIDER_ID", "")
    account = s.service_account_id or env.get("OPENAI_SERVICE_ACCOUNT_ID", "")
    return msgspec.structs.replace(
        s,
        identity_provider_id=identifier(
            VENDOR, "identity_provider_id", provider, "the id on the workload identity provider's page", docs=DOCS
        ),
        service_account_id=identifier(
            VENDOR, "service_account_id", account, "the service account's id, from the mapping", docs=DOCS
        ),
        audience=audience(VENDOR, s.audience or env.get("OPENAI_WIF_AUDIENCE") or AUDIENCE, docs=DOCS),
        project_id=identifier(VENDOR, "project_id", s.project_id, "proj_…", docs=DOCS) if s.project_id else "",
        base_url=checked(s.base_url, "base_url", VENDOR, _API, env) if s.base_url else "",
        url=checked(s.url or URL, "url", VENDOR, ["auth.openai.com"], env),
        timeout=timeout,
        retries=retries,
    )


def is_api(url: str, env: Env) -> bool:
    """Whether `url` is an address of OpenAI's API, or one that the job allows."""
    try:
        checked(url, "base_url", VENDOR, _API, env)
    except UsageError:
        return False
    return True
