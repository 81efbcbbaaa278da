"""keylease.yml may come from a pull request: the server that it names gets no token that another vendor takes."""

import pytest

from keylease.config.keyleasefile import load_text
from keylease.errors import UsageError

FILE = """version: 1
providers:
  own: {{type: vault, role: ci, url: "{url}", audience: "{audience}"}}
leases: [{{use: own}}]
"""


def loaded(audience: str, url: str = "https://evil.example", env: dict[str, str] | None = None) -> str:
    plan = load_text(FILE.format(url=url, audience=audience), "keylease.yml", env or {})
    return str(plan.providers["own"].settings.audience)


@pytest.mark.parametrize(
    "audience",
    [
        "sts.amazonaws.com",
        "api://AzureADTokenExchange",
        "api://AzureADTokenExchangeUSGov",
        "https://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/github",
        "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/github",
        "https://api.openai.com/v1",
        "https://api.anthropic.com",
        "https://huggingface.co",
        "https://dbc-1.cloud.databricks.com/oidc/v1/token",
    ],
)
def test_another_vendors_audience_is_refused(audience: str) -> None:
    with pytest.raises(UsageError, match="`audience` is another vendor's") as caught:
        loaded(audience)
    assert caught.value.summary.startswith("keylease.yml:3: ")
    assert loaded(audience, env={"KEYLEASE_ALLOW_HOSTS": "evil.example"}) == audience
    assert loaded(audience, url="http://127.0.0.1:8200") == audience


@pytest.mark.parametrize("audience", ["https://vault.example.com", "vault", "https://gitlab.example", "acme"])
def test_any_other_is_the_users_to_choose(audience: str) -> None:
    assert loaded(audience) == audience
