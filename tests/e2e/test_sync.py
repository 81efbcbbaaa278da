"""examples/sync: each platform's keylease.yml, and the steps of the Jenkinsfile and the GitLab pipeline that use it.

The workflow for GitHub is run in test_sync_action.py.

What it can't show: schedules, environments, resource groups, and the platforms themselves: they are
the fakes of tests/fakes.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests import environment
from tests.conftest import RunKeylease
from tests.e2e.site import AUDIENCE, Site, example, substituted
from tests.e2e.test_gitlab import Pipeline, commit, gitlab_ci_local
from tests.e2e.test_jenkins import SHELLS, sh_step
from tests.fakes.github_oidc import gitlab_claims
from tests.fakes.github_rest import GitHubRest
from tests.integration import gitlab_sync, jenkins_site

pytestmark = pytest.mark.e2e
__all__ = ["gitlab_ci_local"]  # a fixture

RULES = """
path "secret/data/sync/*" { capabilities = ["read"] }
path "secret/data/ml/prod/*" { capabilities = ["read"] }
path "secret/data/packages" { capabilities = ["read"] }
path "secret/metadata/ml/prod/*" { capabilities = ["list"] }
"""


class Values:
    """What the examples read, in the site's OpenBao; `role` is bound to whoever runs them."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.hf, self.wandb, self.npm = (site.seeded.new(name) for name in ("hf", "wandb", "npm"))
        site.put("sync/ledger", {"key": site.seeded.new("the-key-of-the-ledgers-of-this-test")})
        site.put("ml/prod/hf", {"token": self.hf})
        site.put("ml/prod/wandb", {"api_key": self.wandb})
        site.put("packages", {"NPM_TOKEN": self.npm})
        site.bao.policy("sync", self_rules(site))

    def bind(self, claims: dict[str, str]) -> None:
        """Let the role `sync` in, for these claims."""
        fields = {"bound_audiences": [self.site.bao.url, AUDIENCE], "bound_claims": claims, "token_policies": ["sync"]}
        self.site.bao.jwt_role("jwt", "sync", {**fields, "user_claim": "sub", "role_type": "jwt"})


def self_rules(site: Site) -> str:
    from tests.servers.openbao import SELF_POLICY

    return f"{SELF_POLICY}\n{RULES}"


@pytest.fixture
def values(site: Site) -> Iterator[Values]:
    yield Values(site)
    assert site.nothing_alive(), "the lease of the sync is given back"


def test_github(values: Values, site: Site, keylease: RunKeylease, tmp_path: Path) -> None:
    """With the App's key from Vault, nothing is stored in GitHub; twice is once."""
    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    site.seeded.add(pem)
    site.put("sync/github", {"private_key": pem})
    values.bind({"repository": site.issuer.claims["repository"]})
    with GitHubRest() as github:
        github.add_app("123456", public.decode(), {"acme": 7})
        github.add_repository("acme/trainer", environments={"prod"})
        github.add_repository("acme/ml-tools", topics=["python"])
        github.add_repository("acme/ml-docs")
        text = substituted(example("sync/keylease.yml"), "type: github$", f"type: github\n    url: {github.url}")
        (tmp_path / "keylease.yml").write_text(text)
        env = {**site.issuer.github_env(), "VAULT_ADDR": site.bao.url}
        for _ in range(2):
            done = keylease("sync", "apply", env=env)
            assert done.returncode == 0, done.stderr
        assert github.held("acme/trainer?prod", "secret") == {"HF_TOKEN": values.hf, "WANDB_API_KEY": values.wandb}
        assert github.held("acme/trainer", "dependabot") == {"NPM_TOKEN": values.npm}
        assert github.held("acme/ml-tools", "dependabot") == {"NPM_TOKEN": values.npm}
        assert github.held("acme/ml-docs", "dependabot") == {}
        assert "4 unchanged at 3 places" in done.stdout
        assert github.problems == []


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_jenkins(values: Values, site: Site, tmp_path: Path, shell: list[str]) -> None:
    """The step of the Jenkinsfile, as an agent's shell runs it."""
    site.issuer.claims = {"sub": "https://jenkins.example.com/job/sync/", "build_number": "7"}
    values.bind({"sub": site.issuer.claims["sub"]})
    with jenkins_site.site(site.seeded) as jenkins:
        jenkins.add_folder("team/trainer")
        site.put("sync/jenkins", {"token": jenkins.users[jenkins_site.USER].token})
        (tmp_path / "jenkins.yml").write_text(example("sync/jenkins.yml"))
        (tmp_path / "step.sh").write_text(sh_step("sync/Jenkinsfile"))
        env = environment.clean_environment(
            PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            JENKINS_URL=f"{jenkins.url}/",
            VAULT_ADDR=site.bao.url,
            KEYLEASE_ID_TOKEN_FILE=str(site.token_file(tmp_path / "id-token")),
        )
        for _ in range(2):
            done = subprocess.run(
                [*shell, str(tmp_path / "step.sh")], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
            )
            site.seeded.saw("stdout", done.stdout + done.stderr, "Jenkins' log")
            assert done.returncode == 0, done.stderr
        names = {name for name in jenkins.stores["team/trainer"][""] if "LEDGER" not in name}
        assert names == {"HF_TOKEN", "WANDB_API_KEY"}
        assert "2 unchanged at 1 place" in done.stdout


@pytest.mark.node
@pytest.mark.timeout(300)
def test_gitlab(values: Values, site: Site, gitlab_ci_local: list[str], tmp_path: Path) -> None:  # the fixture
    """The pipeline, run by gitlab-ci-local: the plan as an artifact, then the scheduled job."""
    site.issuer.reset(gitlab_claims())
    values.bind({"project_path": "acme/trainer"})
    with gitlab_sync.served() as gitlab:
        token = gitlab.token(site.seeded.new("glpat"), ["api"], roles={"acme/trainer": 40})
        site.put("sync/gitlab", {"token": token})
        project = tmp_path / "project"
        project.mkdir()
        text = example("sync/.gitlab-ci.yml")
        (project / "gitlab.yml").write_text(example("sync/gitlab.yml"))
        commit(project, text, example("keylease.yml"))
        jobs = yaml.safe_load(text)
        pipeline = Pipeline(gitlab_ci_local, project, site)
        for job, source in (("sync-plan", "push"), ("sync", "schedule")):
            assert f'$CI_PIPELINE_SOURCE == "{source}"' in jobs[job]["rules"][0]["if"]
            done = pipeline.run(
                job, CI_SERVER_URL=gitlab.url, CI_PIPELINE_SOURCE=source, CI_COMMIT_REF_PROTECTED="true"
            )
            assert done.returncode == 0, done.stdout
        held = {each["key"]: each["value"] for each in gitlab.project("acme/trainer").variables}
        assert {k: v for k, v in held.items() if "LEDGER" not in k} == {
            "HF_TOKEN": values.hf,
            "WANDB_API_KEY": values.wandb,
        }
        assert pipeline.left_behind() == []
