"""Commands in refusals are for pasting: nothing that a keylease.yml of a pull request says may run in a shell."""

import re
import shlex

import pytest

from keylease.vendors.vault_login import _Attempt, _audience, _configure
from keylease.vendors.vault_settings import VaultSettings

HOSTILE = ["jwt; touch /tmp/x #", "$(touch x)", "a`b`", "it's"]


@pytest.mark.parametrize("text", HOSTILE)
def test_mount_and_role_are_one_word(text: str) -> None:
    attempt = _Attempt(VaultSettings(url="https://vault.example.com", mount=text, role=text), {"iss": text}, "")
    words = shlex.split(_configure(attempt))
    assert words == ["bao", "write", f"auth/{text}/config", f"oidc_discovery_url={text}", f"bound_issuer={text}"]
    change = _audience(attempt, re.match("", ""))[1]  # type: ignore[arg-type]
    assert f"({shlex.join(['bao', 'read', f'auth/{text}/role/{text}'])})" in change
