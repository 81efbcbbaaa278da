"""The application default credentials file of type external_account, which Google's libraries and gcloud read.

https://google.aip.dev/auth/4117
"""

import json

from keylease.model import TokenEndpoint
from keylease.secret import Secret
from keylease.vendors.gcp_settings import GcpSettings


def credentials_file(settings: GcpSettings, source: dict[str, object]) -> Secret:
    """The file's content. source: its `credential_source`, of one of the functions below."""
    s = settings
    made: dict[str, object] = {
        "universe_domain": s.universe_domain,
        "type": "external_account",
        "audience": s.resource,
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": f"{s.sts_url}/v1/token",
        "credential_source": source,
    }
    if s.quota_project:
        made["quota_project_id"] = s.quota_project
    if s.service_account:
        assert isinstance(s.lifetime, float)
        made["service_account_impersonation_url"] = s.account_url("generateAccessToken")
        # Google's libraries take 10 minutes to 12 hours here.
        made["service_account_impersonation"] = {"token_lifetime_seconds": max(600, int(s.lifetime))}
    return Secret(json.dumps(made, indent=2))


def source_of_endpoint(endpoint: TokenEndpoint) -> dict[str, object]:
    """A new token from the platform each time: the file then holds the credential that asks for them."""
    return {
        "url": endpoint.url,
        "headers": {"Authorization": endpoint.authorization.reveal()},
        "format": {"type": "json", "subject_token_field_name": endpoint.field},
    }


def source_of_file(path: str) -> dict[str, object]:
    """The token that lies at `path`; no value is in the credentials file then."""
    return {"file": path, "format": {"type": "text"}}
