"""What AWS's own managers need of a lease."""

from collections.abc import Mapping

from msgspec import Struct

from keylease.model import Env
from keylease.secret import Secret
from keylease.vendors.endpoints import checked

VARIABLES = {"secretsmanager": "AWS_ENDPOINT_URL_SECRETS_MANAGER", "ssm": "AWS_ENDPOINT_URL_SSM"}
"""https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html"""

# (DNS suffix, the one of dual-stack endpoints), as in botocore/data/partitions.json.
_SUFFIXES = {
    "aws": ("amazonaws.com", "api.aws"),
    "aws-cn": ("amazonaws.com.cn", "api.amazonwebservices.com.cn"),
    "aws-us-gov": ("amazonaws.com", "api.aws"),
    "aws-eusc": ("amazonaws.eu", "api.amazonwebservices.eu"),
}


class Place(Struct, frozen=True):
    """Where a name belongs that says nothing of it: as in ARNs."""

    partition: str
    region: str
    account: str


class AwsSession(Struct, frozen=True):
    """A role's session, and how its requests are made.

    session_token: None for a user's own key, which needs none.
    role: ARN of the assumed role's session. region: of requests that name none.
    endpoints: service → address (or ""), where it is not the region's own. timeout: of one attempt, in seconds.
    """

    key_id: Secret
    secret_key: Secret
    session_token: Secret | None
    role: str
    region: str
    timeout: float
    retries: int
    endpoints: dict[str, str] = {}

    @property
    def place(self) -> Place:
        """The session's own."""
        parts = [*self.role.split(":"), "", "", "", "", ""]
        return Place(parts[1] if parts[1] in _SUFFIXES else "aws", self.region, parts[4])

    @property
    def role_name(self) -> str:
        """The role, without the path, which the ARN of a session does not have (a role's own ARN has it)."""
        resource = self.role.rpartition(":")[2].split("/")
        return resource[1] if resource[0] == "assumed-role" and len(resource) > 1 else resource[-1]

    def host(self, service: str, region: str) -> str:
        """The public name of `service` in `region` of the session's partition."""
        return f"{service}.{region}.{_SUFFIXES[self.place.partition][0]}"

    def url(self, service: str, region: str) -> str:
        """Its address: the one that is given, where it serves that region; there is FIPS and dual-stack in each."""
        given = self.endpoints.get(service, "")
        if region != self.region and given.endswith(_SUFFIXES[self.place.partition]):
            given = "" if ".vpce." in given else given.replace(f".{self.region}.", f".{region}.")
        return given or f"https://{self.host(service, region)}"


def endpoints(given: Mapping[str, str], partition: str, region: str, env: Env) -> dict[str, str]:
    """The services' addresses where they are not the region's own: `given` by service, or else the job's for SDKs.

    Only the services' own hosts will do: FIPS, dual-stack, a VPC's endpoint. Anybody else could send a signed request
    on, and read the answer. Raises :class:`UsageError`.
    """
    suffix, dual = _SUFFIXES[partition]
    found = {}
    for service, variable in VARIABLES.items():
        names = (service, f"{service}-fips")
        hosts = [f"{name}.{region}.{end}" for name in names for end in (suffix, dual)]
        hosts.append(f"{service}.{region}.vpce.{suffix}")
        url = given.get(service) or env.get(variable)
        if url:
            found[service] = checked(url, f"{service}_url" if given.get(service) else variable, "AWS", hosts, env)
    return found
