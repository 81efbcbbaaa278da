"""The whole program with the AI services: both vendors' SDKs in one command, with what was leased."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import RunKeylease
from tests.contract.harness_openai import verifier
from tests.fakes import anthropic_oauth, openai_sts
from tests.fakes.github_oidc import OIDCIssuer

CONFIG = """
version: 1
providers:
  openai:
    type: openai
    url: {openai}
    base_url: {openai}/v1
    identity_provider_id: {provider}
    service_account_id: {account}
  claude:
    type: anthropic
    url: {anthropic}
    federation_rule_id: {rule}
    organization_id: {organization}
    service_account_id: {svac}
  claude2:
    type: anthropic
    url: {anthropic}
    federation_rule_id: {rule}
    organization_id: {organization}
    service_account_id: {svac}
leases:
  - use: openai
  - use: claude
  - use: claude2
    rename: {{ANTHROPIC_AUTH_TOKEN: SECOND_TOKEN, ANTHROPIC_BASE_URL: SECOND_URL}}
"""

CALLS = """
import os, anthropic, openai
message = [{"role": "user", "content": "Hello"}]
print(openai.OpenAI().chat.completions.create(model="m", messages=message).choices[0].message.content)
for token in (None, os.environ["SECOND_TOKEN"]):
    client = anthropic.Anthropic(auth_token=token)
    print(client.messages.create(model="m", max_tokens=9, messages=message).content[0].text)
"""


@pytest.fixture
def servers(issuer: OIDCIssuer) -> Iterator[tuple[openai_sts.OpenAISts, anthropic_oauth.AnthropicOAuth]]:
    """Both fakes, trusting the issuer's job."""
    with (
        openai_sts.OpenAISts(verifier(issuer, openai_sts.AUDIENCE)) as sts,
        anthropic_oauth.AnthropicOAuth(verifier(issuer, anthropic_oauth.AUDIENCE)) as oauth,
    ):
        yield sts, oauth


@pytest.fixture
def config(servers: tuple[openai_sts.OpenAISts, anthropic_oauth.AnthropicOAuth], tmp_path: Path) -> Path:
    """A keylease.yml with three providers."""
    sts, oauth = servers
    path = tmp_path / "keylease.yml"
    text = CONFIG.format(
        openai=sts.url,
        anthropic=oauth.url,
        provider=openai_sts.PROVIDER,
        account=openai_sts.ACCOUNT,
        rule=anthropic_oauth.RULE,
        organization=anthropic_oauth.ORGANIZATION,
        svac=anthropic_oauth.ACCOUNT,
    )
    path.write_text(text, encoding="utf-8")
    return path


def test_the_sdks_work_in_exec(
    keylease: RunKeylease,
    config: Path,
    issuer: OIDCIssuer,
    servers: tuple[openai_sts.OpenAISts, anthropic_oauth.AnthropicOAuth],
) -> None:
    done = keylease("exec", "--config", str(config), "--", sys.executable, "-c", CALLS, env=issuer.github_env())
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-3:] == ["Hello from a lease"] * 3
    sts, oauth = servers
    # A token is good for one exchange at Anthropic: the second provider asked for one of its own.
    assert (len(sts.issued), len(oauth.issued)) == (1, 2)
    assert [request.path for request in oauth.requests].count("/v1/oauth/token") == 3


def test_whoami_prints_both_rules(keylease: RunKeylease, config: Path, issuer: OIDCIssuer) -> None:
    done = keylease("whoami", "--config", str(config), env=issuer.github_env())
    assert done.returncode == 0, done.stderr
    assert "/federation_rules" in done.stdout
    assert done.stdout.count('"repository_id": "817264"') == 3


def test_a_refusal_reads_well(
    keylease: RunKeylease,
    config: Path,
    issuer: OIDCIssuer,
    servers: tuple[openai_sts.OpenAISts, anthropic_oauth.AnthropicOAuth],
) -> None:
    servers[0].verifier.claims["ref"] = "refs/heads/release"
    done = keylease("exec", "--config", str(config), "--", "true", env=issuer.github_env())
    assert done.returncode == 4
    assert "OpenAI: no token for service account" in done.stderr
    assert "ref=refs/heads/main" in done.stderr
    assert '"ref": "refs/heads/main"' in done.stderr
