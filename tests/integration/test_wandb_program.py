"""The whole program with Weights & Biases and OpenRouter: what a command finds, and what is left when it has ended."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import RunKeylease
from tests.fakes import openrouter_oauth, wandb_oidc
from tests.fakes.github_oidc import OIDCIssuer
from tests.fakes.verifier import Verifier

CONFIG = """
version: 1
providers:
  wandb:
    type: wandb
    base_url: {wandb}
    audience: {organization}
  router:
    type: openrouter
    url: {router}/api/v1
    federation_policy_id: {policy}
leases:
  - use: wandb
  - use: router
"""

# As wandb's SDK does: the token of this server in the credentials file, as bearer (core/internal/api/credentials.go).
CALLS = """
import json, os, stat, urllib.request
import openai
where, url = os.environ["WANDB_CREDENTIALS_FILE"], os.environ["WANDB_BASE_URL"]
for path in (where, os.environ["WANDB_IDENTITY_TOKEN_FILE"]):
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600, oct(os.stat(path).st_mode)
    assert not path.startswith(os.getcwd() + os.sep), path
token = json.load(open(where))["credentials"][url]["access_token"]
headers = {"Authorization": "Bearer " + token, "Content-Type": "application/json"}
request = urllib.request.Request(url + "/graphql", b'{"query": "{viewer {username}}"}', headers)
print(json.load(urllib.request.urlopen(request))["data"]["viewer"]["username"])
message = [{"role": "user", "content": "Hello"}]
client = openai.OpenAI(api_key=os.environ["OPENROUTER_API_KEY"], base_url=os.environ["ROUTER"] + "/api/v1")
print(client.chat.completions.create(model="m", messages=message).choices[0].message.content)
print("file", where)
"""


@pytest.fixture
def servers(issuer: OIDCIssuer) -> Iterator[tuple[wandb_oidc.WandbOidc, openrouter_oauth.OpenRouterOAuth]]:
    """Both fakes, trusting the issuer's job."""
    subject = issuer.claims["sub"]
    with (
        wandb_oidc.WandbOidc(Verifier(issuer, wandb_oidc.ORGANIZATION, subject)) as wandb,
        openrouter_oauth.OpenRouterOAuth(Verifier(issuer, openrouter_oauth.AUDIENCE, subject)) as router,
    ):
        yield wandb, router


def test_a_command_has_what_it_needs_and_leaves_nothing(
    keylease: RunKeylease,
    issuer: OIDCIssuer,
    servers: tuple[wandb_oidc.WandbOidc, openrouter_oauth.OpenRouterOAuth],
    tmp_path: Path,
) -> None:
    wandb, router = servers
    config = tmp_path / "keylease.yml"
    text = CONFIG.format(
        wandb=wandb.url,
        organization=wandb_oidc.ORGANIZATION,
        router=router.url,
        policy=openrouter_oauth.POLICY,
    )
    config.write_text(text, encoding="utf-8")
    env = {**issuer.github_env(), "ROUTER": router.url}
    done = keylease("exec", "--config", str(config), "--", sys.executable, "-c", CALLS, env=env)
    assert done.returncode == 0, done.stderr
    *_, user, answer, file = done.stdout.splitlines()
    assert (user, answer) == (wandb_oidc.ACCOUNT, "Hello from a lease")
    assert not Path(file.removeprefix("file ")).exists()
    assert (len(wandb.issued), len(router.issued)) == (1, 1)
    for token in [*wandb.issued, *router.issued]:
        assert token not in done.stdout + done.stderr

    told = keylease("whoami", "--config", str(config), env=env)
    assert told.returncode == 0, told.stderr
    assert told.stdout.count(f'"subject": "{issuer.claims["sub"]}"') == 2
