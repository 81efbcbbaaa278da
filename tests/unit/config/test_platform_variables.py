"""A keylease.yml that comes with a pull request can't send a platform's own credential to an address of its choice."""

import pytest

from keylease.config.leases import check_variable
from keylease.errors import UsageError
from keylease.model import Origin

ORIGIN = Origin("keylease.yml", 5, "providers.v.token_env")


@pytest.mark.parametrize(
    "name",
    [
        "BUILDKITE_AGENT_ACCESS_TOKEN",
        "CIRCLE_OIDC_TOKEN_V2",
        "BITBUCKET_STEP_OIDC_TOKEN",
        "KEYLEASE_ID_TOKEN",
        "GH_TOKEN",
    ],
)
def test_a_platforms_credential_can_not_be_named(name: str) -> None:
    with pytest.raises(UsageError, match=f"{name} belongs to the CI platform"):
        check_variable(name, ORIGIN)


@pytest.mark.parametrize("name", ["VAULT_TOKEN", "CIRCLES", "MY_CIRCLE_TOKEN"])
def test_any_other_can(name: str) -> None:
    check_variable(name, ORIGIN)
