"""What AWS's own managers need of a lease."""

from msgspec import Struct

from keylease.secret import Secret


class AwsSession(Struct, frozen=True):
    """A role's session, and how its requests are made.

    role: ARN of the assumed role's session, for messages. region: of requests that name none.
    endpoints: service → address, where it is not the region's own. timeout: of one attempt, in seconds.
    """

    key_id: Secret
    secret_key: Secret
    session_token: Secret
    role: str
    region: str
    timeout: float
    retries: int
    endpoints: dict[str, str] = {}

    def url(self, service: str, region: str, suffix: str) -> str:
        """The address of `service` in `region`, whose names end in `suffix`."""
        return self.endpoints.get(service) or f"https://{service}.{region}.{suffix}"
