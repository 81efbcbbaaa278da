"""``/api/2.0/token-management/tokens`` of a Databricks workspace.

Path and fields: `TokenManagementAPI.list` and `TokenInfo` of databricks-sdk, which the tests ask it with; times are in
milliseconds, ``expiry_time`` is -1 for a token without an end. Nothing is paged. What has no value is left out.

What it can't show: the words of refusals, tokens of other workspaces, and whether ended tokens are still listed.
"""

from typing import Any

from tests.fakes.loopback import Exchange, LoopbackServer

AT = 1_756_000_000_000


class DatabricksTokens(LoopbackServer):
    """One workspace. token: an admin's."""

    def __init__(self, token: str) -> None:
        super().__init__()
        self.token = token
        self.tokens: list[dict[str, Any]] = []

    def add(self, ident: str, owner: str, **more: Any) -> None:
        """One more personal access token."""
        self.tokens.append(
            {
                "token_id": ident,
                "comment": f"for {ident}",
                "creation_time": AT,
                "expiry_time": -1,
                "created_by_id": 7,
                "created_by_username": owner,
                "owner_id": 7,
                **more,
            }
        )

    def handle(self, exchange: Exchange) -> None:
        """See LoopbackServer."""
        request = exchange.request
        if request.header("Authorization") != f"Bearer {self.token}":
            error = {"error_code": "PERMISSION_DENIED", "message": "Only workspace admins can list all tokens."}
            exchange.answer_json(403, error)
        elif request.path == "/api/2.0/token-management/tokens":
            exchange.answer_json(200, {"token_infos": self.tokens} if self.tokens else {})
        else:
            exchange.answer_json(404, {"error_code": "ENDPOINT_NOT_FOUND", "message": "No API found"})
