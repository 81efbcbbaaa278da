"""Jenkins: the shell step of examples/Jenkinsfile, and examples/jenkins-step.sh, as a Jenkins agent runs them.

An agent writes the step's text to a file and runs `sh -xe FILE` (durable-task plugin; `#!` in its first line wins),
with the build's variables in the environment; an abort is SIGTERM to all of the step's processes.

What it can't show: a Jenkins server (none can be had as a package): that the Jenkinsfile is valid Groovy, that the
plugin oidc-provider mints a token and binds it to the variable, and Jenkins' own masking.
"""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests import environment
from tests.e2e.clouds import TRAIN, Clouds, Start
from tests.e2e.site import Site, example, script, sha256
from tests.e2e.test_gitlab import trained_on
from tests.servers.process import wait_until

pytestmark = pytest.mark.e2e

SHELLS = [["sh", "-xe"], ["bash", "-xe"]]
DEPLOY = """\
show token "$DEPLOY_TOKEN"
echo "they are <$DEPLOY_TOKEN> <$DB_USERNAME> <$DB_PASSWORD>"
echo "database says $(database_answers)"
"""
QUIET = 'show token "$DEPLOY_TOKEN"\necho "database says $(database_answers)"\n'


def sh_step(name: str = "Jenkinsfile") -> str:
    """The text of the one `sh '…'` step of a Jenkinsfile, and the variable its environment block binds."""
    text = example(name)
    (step,) = re.findall(r"^\s+sh '([^'\\]+)'$", text, re.MULTILINE)
    assert re.search(r"^\s+KEYLEASE_ID_TOKEN_FILE = credentials\('[\w-]+'\)$", text, re.MULTILINE)
    return str(step)


class Agent:
    """A build's workspace, its variables, and the way a step is started."""

    def __init__(self, site: Site, directory: Path) -> None:
        self.site = site
        self.workspace = directory / "workspace/trainer_main"
        self.temporary = directory / "workspace/trainer_main@tmp"
        for path in (self.workspace, self.temporary):
            path.mkdir(parents=True)
        (self.workspace / "keylease.yml").write_text(example("keylease.yml"))
        script(self.workspace / "deploy.sh", DEPLOY)
        # The state, while the step runs: the token is there to be revoked.
        site.seeded.allow_file(self.temporary)
        self.env = environment.clean_environment(
            PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            JENKINS_URL="https://jenkins.example.com/",
            BUILD_TAG="jenkins-trainer-main-7",
            BUILD_NUMBER="7",
            BUILD_URL="https://jenkins.example.com/job/trainer/job/main/7/",
            JOB_NAME="trainer/main",
            EXECUTOR_NUMBER="0",
            NODE_NAME="built-in",
            WORKSPACE=str(self.workspace),
            WORKSPACE_TMP=str(self.temporary),
            VAULT_ADDR=site.bao.url,
            VALKEY_PORT=str(site.valkey.port),
            KEYLEASE_ID_TOKEN_FILE=str(site.token_file(directory / "id-token")),
        )

    def start(self, text: str, shell: list[str]) -> "subprocess.Popen[str]":
        """Start a step; it is a process group of its own."""
        step = self.temporary / "durable-1234/script.sh"
        step.parent.mkdir(exist_ok=True)
        step.write_text(text)
        return subprocess.Popen(
            [*shell, str(step)],
            cwd=self.workspace,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def ended(self, process: "subprocess.Popen[str]") -> tuple[int, str]:
        """The step's exit code and its log, which is searched for the seeded values."""
        log, _ = process.communicate(timeout=60)
        self.site.seeded.saw("stdout", log, "Jenkins' log")
        return process.returncode, log

    def run(self, text: str, shell: list[str]) -> tuple[int, str]:
        """A step from start to end."""
        return self.ended(self.start(text, shell))

    def no_state(self) -> bool:
        """Whether nothing of ours is left in the agent's directories."""
        return not [path for path in self.temporary.rglob("*.state*") if path.is_file()]


@pytest.fixture
def agent(site: Site, tmp_path: Path) -> Agent:
    return Agent(site, tmp_path)


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_the_jenkinsfiles_step(agent: Agent, site: Site, shell: list[str]) -> None:
    code, log = agent.run(sh_step(), shell)
    assert code == 0, log
    assert f"token sha256={sha256(site.token)}" in log
    assert "they are <***> <***> <***>" in log
    assert "database says +OK" in log
    assert site.nothing_alive()


def test_the_token_itself_may_be_in_the_variable(agent: Agent, site: Site) -> None:
    path = Path(agent.env.pop("KEYLEASE_ID_TOKEN_FILE"))
    agent.env["KEYLEASE_ID_TOKEN"] = path.read_text()
    script(agent.workspace / "deploy.sh", 'echo "left: $(env | grep -c ^KEYLEASE_ID || true)"\n' + DEPLOY)
    code, log = agent.run(sh_step(), ["sh", "-xe"])
    assert code == 0, log
    assert "left: 0" in log
    assert site.nothing_alive()


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_a_refused_lease_fails_the_step(agent: Agent, site: Site, shell: list[str]) -> None:
    site.bind({"repository": "acme/other"})
    for text in (sh_step(), example("jenkins-step.sh")):
        code, log = agent.run(text, shell)
        assert code == 4, log
        assert "auth/jwt refused the login as role deploy" in log
        assert "sha256=" not in log
        assert site.nothing_alive()


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_the_shell_step_exports_revokes_and_traces_no_value(agent: Agent, site: Site, shell: list[str]) -> None:
    script(agent.workspace / "deploy.sh", QUIET)
    code, log = agent.run(example("jenkins-step.sh"), shell)
    assert code == 0, log
    assert f"token sha256={sha256(site.token)}" in log
    assert "database says +OK" in log
    assert "revoked 1 of 1 lease" in log
    assert site.nothing_alive()
    assert agent.no_state()


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_a_failing_command_keeps_its_code_and_is_revoked_after(agent: Agent, site: Site, shell: list[str]) -> None:
    script(agent.workspace / "deploy.sh", QUIET + "exit 9\n")
    for text in (sh_step(), example("jenkins-step.sh")):
        code, log = agent.run(text, shell)
        assert code == 9, log
        assert sha256(site.token) in log
        assert site.nothing_alive()


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
@pytest.mark.parametrize("step", ["Jenkinsfile", "jenkins-step.sh"])
def test_an_aborted_build_is_revoked(agent: Agent, site: Site, shell: list[str], step: str) -> None:
    script(agent.workspace / "deploy.sh", QUIET + "touch started; sleep 30\n")
    process = agent.start(sh_step() if step == "Jenkinsfile" else example(step), shell)
    try:
        wait_until((agent.workspace / "started").exists, 20, "deploy.sh")
        assert len(site.accessors()) == len(site.users()) == 1
        os.killpg(process.pid, signal.SIGTERM)
        code, log = agent.ended(process)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert code != 0, log
    # The shell of the Jenkinsfile's step dies first; keylease goes on for the moment that revoking takes.
    wait_until(site.nothing_alive, 10, "revocation")
    assert agent.no_state()


JENKINS = "https://jenkins.example.com"


@pytest.fixture
def trainer(agent: Agent, site: Site, clouds: Start) -> tuple[Agent, Clouds]:
    """The agent with examples/train, the services it names, and a token with the one audience they all expect."""
    site.issuer.claims = {"sub": f"{JENKINS}/job/trainer/job/main/", "build_number": "7"}
    servers = clouds(JENKINS)
    site.bind({"sub": site.issuer.claims["sub"]}, bound_audiences=[JENKINS])
    site.put("huggingface", {"token": site.seeded.new("hf-token")})
    Path(agent.env["KEYLEASE_ID_TOKEN_FILE"]).write_text(servers.mint(JENKINS))
    site.seeded.allow_file(Path(agent.env["KEYLEASE_ID_TOKEN_FILE"]))
    agent.env |= servers.env()
    agent.env.pop("HUB")
    (agent.workspace / "jenkins.yml").write_text(servers.example("jenkins.yml"))
    (agent.workspace / "train.py").write_text(TRAIN)
    script(agent.workspace / "train.sh", "exec python3 train.py\n")
    return agent, servers


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_the_training_job_leases_from_clouds_and_vault(
    trainer: tuple[Agent, Clouds], site: Site, shell: list[str]
) -> None:
    """examples/train: SDKs work with variables and files; values are hidden, files are outside and gone afterwards."""
    agent, servers = trainer
    code, log = agent.run(sh_step("train/Jenkinsfile"), shell)
    servers.add_issued()
    site.seeded.saw("stdout", log, "Jenkins' log")
    assert code == 0, log
    trained_on(log.splitlines(), agent.workspace)
    assert site.nothing_alive()
    assert list(agent.temporary.rglob("*keylease-*/*")) == []


LEASE = """\
set +x -eu
trap 'keylease revoke' EXIT
exports="$(keylease lease --config jenkins.yml --format shell)"
eval "$exports"
unset exports
python3 train.py | sed 's/<.*>/<***>/; s/^file .*/file ***/'
"""


def test_files_of_keylease_lease_stay_for_the_whole_step(trainer: tuple[Agent, Clouds], site: Site) -> None:
    """As examples/jenkins-step.sh does it: `revoke` deletes the files too."""
    agent, _ = trainer
    code, log = agent.run(LEASE, ["bash", "-xe"])
    assert code == 0, log
    trained_on(log.splitlines(), agent.workspace)
    assert "revoked 1 of 1 lease" in log
    assert site.nothing_alive()
    assert agent.no_state()
