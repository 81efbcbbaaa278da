"""How Weights & Biases' token endpoint is reached, as the user writes it."""

from urllib.parse import urlsplit

import msgspec

from keylease.errors import UsageError
from keylease.model import Env
from keylease.vendors.endpoints import checked
from keylease.vendors.token_exchange import attempts, audience

VENDOR = "Weights & Biases"
DOCS = "wandb-settings"

URL = "https://api.wandb.ai"
DOMAINS = ("wandb.ai", "wandb.io", "coreweave.com")
"""The shared cloud's two names (sdk/lib/urls.py of wandb's SDK, FORGE_HOSTS), and Dedicated Cloud's."""

PATH = "/oidc/token"
"""core/internal/api/credentials.go of wandb's SDK (fetchAccessToken)."""


_APPS = ("wandb.ai", "app.wandb.ai", "forge.coreweave.com")
"""The SDK takes these for a mistake as well (wandb_settings.py, validate_base_url)."""


class WandbSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Weights & Biases' identity federation.

    audience: the name of the W&B organization, as in its address; ``wandb`` may do on an instance of one's own.
    base_url: the server. Falls back to ``WANDB_BASE_URL``, then ``https://api.wandb.ai``.
    service_account: its name, for the report and what `whoami` and refusals print; nothing else needs it.
    timeout: of one attempt, in seconds or like ``10s``, ``500ms``, ``1m``. retries: attempts after the first one.
    """

    audience: str = ""
    base_url: str = ""
    service_account: str = ""
    timeout: float | str = 10.0
    retries: int = 4


def complete(settings: WandbSettings, env: Env) -> WandbSettings:
    """The settings with fallbacks from `env` and everything checked. Raises :class:`UsageError` naming the key.

    Variables: https://docs.wandb.ai/models/track/environment-variables
    """
    s = settings
    timeout, retries = attempts(VENDOR, s.timeout, s.retries, docs=DOCS)
    if not s.audience.strip():
        raise UsageError(
            f"{VENDOR}: `audience` is missing", change="audience: the name of the W&B organization", docs=DOCS
        )
    base = checked(s.base_url or env.get("WANDB_BASE_URL") or URL, "base_url", VENDOR, DOMAINS, env)
    if (urlsplit(base).hostname or "") in _APPS:
        raise UsageError(f"{VENDOR}: `base_url` is the web app's", change=f"base_url: {URL}", docs=DOCS)
    if not s.service_account.isprintable() or len(s.service_account) > 200:
        raise UsageError(f"{VENDOR}: `service_account` is no name", change="service_account: trainer", docs=DOCS)
    return msgspec.structs.replace(
        s, audience=audience(VENDOR, s.audience, docs=DOCS), base_url=base, timeout=timeout, retries=retries
    )
