"""What a Hugging Face token says of itself. There is no documented API that lists an organisation's tokens.

``GET /api/whoami-v2``, as huggingface_hub's `HfApi.whoami` asks it; ``auth`` of the answer describes the token.
"""

from typing import Any, ClassVar

import msgspec

from keylease.audit.model import Inventory
from keylease.collectors.base import Collector
from keylease.collectors.credentials import Sealed, common, secret_of, variable_checked
from keylease.collectors.facts import ended, last_four, objects, text, texts, times
from keylease.model import Env
from keylease.vendors.endpoints import checked
from keylease.vendors.service_lists import ServiceApi

VENDOR = "Hugging Face"
URL = "https://huggingface.co"


class HuggingFaceSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One token.

    token, token_env: the token, or the variable that holds it.
    url: of the Hub. timeout: of one attempt. retries: attempts after the first one.
    """

    token: Sealed | None = None
    token_env: str | None = None
    url: str = ""
    timeout: float | str = 10.0
    retries: int = 4


class HuggingFaceCollector(Collector):
    """One request: the endpoint is "heavily rate-limited for security reasons" (huggingface_hub)."""

    type: ClassVar[str] = "huggingface"
    kinds: ClassVar[tuple[str, ...]] = ("huggingface.token",)
    permissions: ClassVar[tuple[str, ...]] = ("none: every token may describe itself",)
    Settings: ClassVar[Any] = HuggingFaceSettings

    settings: HuggingFaceSettings

    @classmethod
    def complete(cls, settings: HuggingFaceSettings, env: Env) -> HuggingFaceSettings:
        """See the base class."""
        variable_checked(VENDOR, settings, "token", env)
        # HF_ENDPOINT is not asked: it is often a mirror, which must not get the token.
        url = checked(settings.url or URL, "url", VENDOR, ["huggingface.co"], env)
        return msgspec.structs.replace(settings, url=url, **common(VENDOR, settings))

    def collect(self) -> Inventory:
        """See the base class."""
        s = self.settings
        token = secret_of(VENDOR, s, "token", self.context)
        assert token is not None
        assert isinstance(s.timeout, float)
        api = ServiceApi(
            VENDOR, s.url, token, self.context, timeout=s.timeout, retries=s.retries, permission="a token that is valid"
        )
        doing = "ask what the token is"
        answer = api.get("/api/whoami-v2", doing)
        user = text(answer.data, "name")
        described = answer.at("auth", "accessToken")
        self.whole("huggingface.token")
        if not user or not text(answer.data, "auth", "type"):
            raise api.garbage(doing)
        if not isinstance(described, dict):
            # An OAuth token, or one of a trusted publisher: short-lived, and not described.
            return self.inventory
        name, role = text(described, "displayName"), text(described, "role")
        if not role:
            raise api.garbage(doing)
        fine = described.get("fineGrained")
        auth = answer.at("auth")
        when = {**times(described, {"created_at": "createdAt"}), **times(auth, {"expires_at": "expiresAt"})}
        self.record(
            "huggingface.token",
            f"huggingface://{user}/token/{name or 'unnamed'}",
            name=name or "unnamed",
            holder=f"user {user}" if text(answer.data, "type") == "user" else user,
            owner=user,
            owner_sort=text(answer.data, "type"),
            role=role,
            hint=last_four(token.reveal(), "hf_"),
            active=not ended(when.get("expires_at"), self.inventory.now),
            **(_fine(fine) if isinstance(fine, dict) else {}),
            **when,
        )
        return self.inventory


def _fine(fine: dict[str, Any]) -> dict[str, Any]:
    """What a fine-grained token may, and where."""
    return {
        "gated": fine.get("canReadGatedRepos") is True,
        "everywhere": texts(fine.get("global")),
        "scoped": [
            {
                "type": text(each, "entity", "type"),
                "name": text(each, "entity", "name"),
                "permissions": texts(each.get("permissions")),
            }
            for each in objects(fine.get("scoped"))
        ],
    }
