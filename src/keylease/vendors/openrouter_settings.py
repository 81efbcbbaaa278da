"""How OpenRouter's token endpoint is reached, as the user writes it."""

import msgspec

from keylease.model import Env
from keylease.vendors.endpoints import checked
from keylease.vendors.token_exchange import attempts, audience, identifier

VENDOR = "OpenRouter"
DOCS = "openrouter-settings"

URL = "https://openrouter.ai/api/v1"
PATH = "/oauth/token"
"""https://openrouter.ai/docs/guides/overview/auth/workload-identity-federation ("Exchange a token")"""

AUDIENCE = "https://openrouter.ai"
"""Ours: OpenRouter has none of its own, a policy may expect any."""


class OpenRouterSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """OpenRouter's workload identity federation.

    federation_policy_id: the policy's id, shown under its name (a UUID).
    audience: the `aud` that the policy expects, letter for letter.
    url: of the API, with its version.
    timeout: of one attempt, in seconds or like ``10s``, ``500ms``, ``1m``. retries: attempts after the first one.
    """

    federation_policy_id: str = ""
    audience: str = AUDIENCE
    url: str = URL
    timeout: float | str = 10.0
    retries: int = 4


def complete(settings: OpenRouterSettings, env: Env) -> OpenRouterSettings:
    """The settings with everything checked. Raises :class:`UsageError` naming the key."""
    s = settings
    timeout, retries = attempts(VENDOR, s.timeout, s.retries, docs=DOCS)
    return msgspec.structs.replace(
        s,
        federation_policy_id=identifier(
            VENDOR, "federation_policy_id", s.federation_policy_id, "the id below the policy's name", docs=DOCS
        ),
        audience=audience(VENDOR, s.audience, docs=DOCS),
        url=checked(s.url, "url", VENDOR, ["openrouter.ai"], env),
        timeout=timeout,
        retries=retries,
    )
