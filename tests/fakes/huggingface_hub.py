"""``/api/whoami-v2`` of the Hugging Face Hub, with which a token describes itself.

The call: `HfApi.whoami` of huggingface_hub, which the tests ask it with. ``auth.accessToken`` of the answer
(displayName, role, createdAt, fineGrained with global, scoped and canReadGatedRepos) is documented nowhere in full: its
fields are those that public clients read (the schema in huggingface/hf-mcp-server, `WhoAmI` of huggingface.js).

What it can't show: which permissions there are, and how the Hub limits this endpoint.
"""

from typing import Any

from tests.fakes.loopback import Exchange, LoopbackServer


class HuggingFaceHub(LoopbackServer):
    """tokens: value → ``auth`` of the answer. user: whose they are."""

    def __init__(self, user: str = "ada") -> None:
        super().__init__()
        self.user = user
        self.tokens: dict[str, dict[str, Any]] = {}

    def add(self, value: str, role: str, **more: Any) -> None:
        """One more user access token."""
        described = {"displayName": "ci", "role": role, "createdAt": "2026-01-02T03:04:05.678Z", **more}
        self.tokens[value] = {"type": "access_token", "accessToken": described}

    def handle(self, exchange: Exchange) -> None:
        """See LoopbackServer."""
        request = exchange.request
        auth = self.tokens.get(request.header("Authorization").removeprefix("Bearer "))
        if request.path != "/api/whoami-v2":
            exchange.answer_json(404, {"error": "Not Found"})
        elif auth is None:
            exchange.answer_json(401, {"error": "Invalid username or password."})
        else:
            exchange.answer_json(
                200,
                {"type": "user", "id": "0123456789abcdef01234567", "name": self.user, "orgs": [], "auth": auth},
            )
