"""examples/audit on GitLab and Jenkins, and the pre-commit hook.

The workflows for GitHub are run in test_audit_action.py. What it can't show: see test_gitlab.py and test_jenkins.py;
what the platforms make of the reports (they are as their schemas say); pre-commit itself: its hook's entry is run as it
runs it, in the repository's top directory and with no file names.
"""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests import environment
from tests.conftest import RunKeylease
from tests.e2e import audits
from tests.e2e.audits import CLEAN, STATIC_KEY, WEAK_ROLE, WORKFLOW
from tests.e2e.site import REPOSITORY, Site, example
from tests.e2e.test_gitlab import Pipeline, commit, gitlab_ci_local
from tests.e2e.test_jenkins import SHELLS, sh_step
from tests.fakes.github_oidc import gitlab_claims
from tests.integration.test_audit_offline import tree
from tests.unit.outputs.test_audit_formats import parsed

pytestmark = pytest.mark.e2e
__all__ = ["gitlab_ci_local"]  # a fixture


def failures(text: str) -> set[str]:
    """The rules that failed in a JUnit report; it is as Jenkins' schema says."""
    return {each.get("type", "") for each in parsed(text).iter("failure")}


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_jenkins(site: Site, tmp_path: Path, shell: list[str]) -> None:
    """The step of the Jenkinsfile, as an agent's shell runs it."""
    site.issuer.claims = {"sub": "https://jenkins.example.com/job/audit/", "build_number": "7"}
    audits.policy(site)
    audits.bind(site, {"sub": site.issuer.claims["sub"]})
    audits.weak_role(site, "website")
    names = {"vault.yml": example("audit/vault.yml"), "audit.sh": example("audit/audit.sh"), WORKFLOW: STATIC_KEY}
    tree(tmp_path / "workspace", {**names, "keylease-inventory.json": "of an earlier build"})
    workspace = tmp_path / "workspace"
    (workspace / "audit.sh").chmod(0o755)
    (tmp_path / "step.sh").write_text(sh_step("audit/Jenkinsfile"))

    def step() -> "subprocess.CompletedProcess[str]":
        env = environment.clean_environment(
            PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            JENKINS_URL="https://jenkins.example.com/",
            VAULT_ADDR=site.bao.url,
            KEYLEASE_ID_TOKEN_FILE=str(site.token_file(tmp_path / "id-token")),
        )
        words = [*shell, str(tmp_path / "step.sh")]
        done = subprocess.run(words, cwd=workspace, env=env, capture_output=True, text=True, check=False)
        site.seeded.saw("stdout", done.stdout + done.stderr, "Jenkins' log")
        assert site.nothing_alive()
        assert not (workspace / "keylease-inventory.json").exists()
        return done

    done = step()
    assert done.returncode == 1, done.stderr
    assert f"{WEAK_ROLE}  vault://" in done.stdout
    assert WORKFLOW in done.stdout
    sarif = (workspace / "keylease.sarif").read_text()
    assert {WEAK_ROLE, "workflow-static-key", "vault-root-token"} <= audits.results(sarif)
    assert failures((workspace / "keylease-junit.xml").read_text()) == {"vault-root-token"}

    site.issuer.claims["sub"] = "https://jenkins.example.com/job/another/"
    refused = step()
    assert refused.returncode == 6, refused.stderr
    assert "refused the login as role audit" in refused.stderr
    assert "not checked" in refused.stdout.lower()
    assert audits.results((workspace / "keylease.sarif").read_text()) == {"workflow-static-key"}

    (workspace / "vault.yml").write_text("version: 1\naudit: {colect: []}\n")
    wrong = step()
    assert wrong.returncode == 2
    assert "colect" in wrong.stderr
    assert not (workspace / "keylease.sarif").exists(), "no report of an earlier build is left to be shown"


@pytest.mark.node
@pytest.mark.timeout(300)
def test_gitlab(site: Site, gitlab_ci_local: list[str], tmp_path: Path) -> None:  # the fixture
    """The pipeline, run by gitlab-ci-local: of a merge request, then the scheduled job."""
    site.issuer.reset(gitlab_claims())
    audits.policy(site)
    audits.bind(site, {"project_path": "acme/trainer"})
    audits.weak_role(site, "website")
    project = tmp_path / "project"
    clear = audits.CLEAR
    tree(project, {"vault.yml": example("audit/vault.yml"), f"ci/{clear.sample}": clear.bad[0], WORKFLOW: CLEAN})
    text = example("audit/.gitlab-ci.yml")
    commit(project, text, example("keylease.yml"))
    jobs = yaml.safe_load(text)
    pipeline = Pipeline(gitlab_ci_local, project, site)
    for job, source in (("audit-files", "merge_request_event"), ("audit", "schedule")):
        assert f'$CI_PIPELINE_SOURCE == "{source}"' in jobs[job]["rules"][0]["if"]
        done = pipeline.run(job, CI_PIPELINE_SOURCE=source, CI_COMMIT_REF_PROTECTED="true")
        assert done.returncode != 0, done.stdout
        assert re.search(rf"{job} .*gitlab-clear-secret", done.stdout), done.stdout
        assert (f"{WEAK_ROLE}  vault://" in done.stdout) == (job == "audit")
        quality = json.loads((project / "keylease-code-quality.json").read_text())
        rules = {each["check_name"] for each in quality}
        assert "gitlab-clear-secret" in rules
        assert (WEAK_ROLE in rules) == (job == "audit")
        assert all(each["fingerprint"] and each["location"]["path"] for each in quality)
        assert "gitlab-clear-secret" in failures((project / "keylease-junit.xml").read_text())
        assert site.nothing_alive()
        assert pipeline.left_behind() == []
        for name in ("keylease-code-quality.json", "keylease-junit.xml"):
            (project / name).unlink()

    (project / "ci" / clear.sample).unlink()
    done = pipeline.run("audit-files", CI_PIPELINE_SOURCE="merge_request_event")
    assert done.returncode == 0, done.stdout
    site.issuer.claims["project_path"] = "acme/other"
    done = pipeline.run("audit", CI_PIPELINE_SOURCE="schedule", CI_COMMIT_REF_PROTECTED="true")
    assert done.returncode != 0
    assert "refused the login as role audit" in done.stdout


def test_the_pre_commit_hook(keylease: RunKeylease, tmp_path: Path) -> None:
    (hook,) = yaml.safe_load((REPOSITORY / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    assert (hook["id"], hook["language"], hook["pass_filenames"]) == ("keylease-audit", "python", False)
    program, *words = shlex.split(hook["entry"])
    assert program == "keylease"
    tree(tmp_path, {WORKFLOW: CLEAN})
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    done = keylease(*words)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    tree(tmp_path, {audits.CLEAR.sample: audits.CLEAR.bad[0]})
    done = keylease(*words)
    assert done.returncode == 1
    assert "gitlab-clear-secret" in done.stdout
