"""`audit:` of the action, in the real container as the hosted runner starts it, and once by act.

What is collected comes from a real OpenBao and the fake GitHub. What it can't show: see runner.py, and the fakes'
docstrings; artifacts and code scanning: what stands between the steps of examples/audit is done here by hand.
"""

import base64
import json
import re
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e import audits
from tests.e2e.audits import CLEAN, CLEAR, STATIC_KEY, WEAK_ROLE, WORKFLOW
from tests.e2e.engine import Engine
from tests.e2e.runner import RunnerJob, StepResult
from tests.e2e.site import AUDIENCE, Site, example, substituted
from tests.fakes.github_rest import GitHubRest
from tests.fakes.misbehaving import Proxy, delayed, status
from tests.integration.test_audit_offline import tree
from tests.servers.process import free_port, wait_until

VAULT = """\
version: 1
settings: {{retries: 1, timeout: 5}}
providers:
  vault: {{type: vault, role: audit, audience: "{audience}"}}
audit:
  collect:
    - {{type: vault, provider: vault}}
"""


class Job:
    """One job that audits; what its steps let out is searched for the seeded values."""

    def __init__(self, engine: Engine, site: Site, directory: Path) -> None:
        self.engine, self.site = engine, site
        self.vault = site.bao.url
        audits.policy(site)
        audits.bind(site, {"repository": site.issuer.claims["repository"]})
        self.runner: RunnerJob = engine.runner_job(directory, env=site.issuer.actions_env())

    @property
    def workspace(self) -> Path:
        return self.runner.workspace

    def main(self, command: str, **inputs: str) -> StepResult:
        """The main step; an input's `_` stands for `-`."""
        given = {"audit": command} | {name.replace("_", "-"): value for name, value in inputs.items()}
        return self.seen(self.runner.run("main", inputs=given, env={"VAULT_ADDR": self.vault}))

    def post(self) -> StepResult:
        """The post step."""
        return self.seen(self.runner.run("post"))

    def seen(self, result: StepResult) -> StepResult:
        self.site.seeded.allow("add-mask")
        self.site.seeded.saw("stdout", result.raw, "output of the container")
        self.site.seeded.saw("stdout", result.summary + json.dumps(result.outputs), "summary and outputs")
        assert (result.env, result.path) == ({}, [])
        return result

    def read(self, name: str) -> str:
        return (self.workspace / name).read_text(encoding="utf-8")

    def ends(self) -> None:
        """The post step has nothing to do, and nothing is alive."""
        post = self.post()
        assert (post.exit_code, post.raw) == (0, "")
        assert self.site.nothing_alive()


@pytest.fixture
def job(engine: Engine, site: Site, tmp_path: Path) -> Job:
    return Job(engine, site, tmp_path / "job")


def annotations(result: StepResult, name: str = "error") -> list[tuple[str, str]]:
    """(properties, text) of each."""
    return re.findall(rf"^::{name} (.*?)::(.*)$", result.raw, re.MULTILINE)


def test_files_findings_and_every_report(job: Job) -> None:
    tree(job.workspace, {WORKFLOW: STATIC_KEY, "reports/.keep": ""})
    names = [f"reports/audit.{end}" for end in ("sarif", "json", "xml", "md", "txt", "html")]
    main = job.main("offline", audit_fail_on="medium", audit_reports="\n".join(names))
    assert main.exit_code == 1, main.log
    assert main.outputs == {"audit_findings": "1"}
    assert main.state == {}
    assert "::group::Keylease audit: 1 finding, 1 of them failing\n" in main.raw
    assert "workflow-static-key" in main.log
    ((properties, text),) = annotations(main)
    assert properties == f"file={WORKFLOW},line=3,title=Keylease%3A workflow-static-key"
    assert "(MODEL_KEY)" in text
    assert main.summary.startswith("### Keylease audit\n")
    assert "workflow-static-key" in main.summary
    assert audits.results(job.read(names[0])) == {"workflow-static-key"}
    assert audits.subjects(job.read(names[1])) == {f"workflow-static-key file://{WORKFLOW}"}
    assert job.read(names[2]).startswith("<?xml")
    assert job.read(names[3]) == main.summary
    assert WORKFLOW in job.read(names[4])
    assert job.read(names[5]).lower().startswith("<!doctype html>")
    assert {(job.workspace / name).stat().st_mode & 0o777 for name in names} == {0o644}
    assert job.site.issuer.token_requests() == []
    job.ends()


def test_what_is_below_the_limit_warns_and_passes(job: Job) -> None:
    tree(job.workspace, {WORKFLOW: STATIC_KEY})
    main = job.main("offline", summary="false")
    assert (main.exit_code, main.outputs, main.summary) == (0, {"audit_findings": "0"}, ""), main.log
    assert annotations(main) == []
    ((properties, _),) = annotations(main, "warning")
    assert f"file={WORKFLOW}" in properties
    job.ends()


def test_a_clean_repository_and_one_with_nothing(job: Job) -> None:
    tree(job.workspace, {"checkout/.github/workflows/ci.yml": CLEAN})
    main = job.main("offline", audit_path="checkout", audit_fail_on="info", audit_reports="a.sarif")
    assert (main.exit_code, main.outputs["audit_findings"]) == (0, "0"), main.log
    assert (annotations(main), annotations(main, "warning")) == ([], [])
    assert audits.results(job.read("a.sarif")) == set()
    (job.workspace / "empty").mkdir()
    main = job.main("offline", audit_path="empty")
    assert main.exit_code == 0
    assert "no audit was performed" in annotations(main, "warning")[0][1]
    job.ends()


def test_vault_is_asked_with_the_jobs_identity(job: Job) -> None:
    """The weak role is found; mended, it is found no more. The lease is given back before the step ends."""
    audits.weak_role(job.site, "website")
    tree(job.workspace, {WORKFLOW: CLEAN, "keylease.yml": VAULT.format(audience=AUDIENCE)})
    main = job.main("true", audit_reports="a.sarif a.json", deadline="2m")
    assert main.exit_code == 1, main.log
    assert WEAK_ROLE in audits.results(job.read("a.sarif"))
    assert any(each.startswith(WEAK_ROLE) and each.endswith("website") for each in audits.subjects(job.read("a.json")))
    assert any(WEAK_ROLE in properties and "website" in text for properties, text in annotations(main, "warning")), (
        main.log
    )
    assert job.site.issuer.request_token in main.masks
    job.ends()

    job.site.bao.write("auth/jwt/role/website", **{**mended(), "bound_claims": {"repository": "acme/website"}})
    again = job.main("true", audit_reports="a.json")
    assert not any(each.startswith(WEAK_ROLE) for each in audits.subjects(job.read("a.json")))
    assert again.exit_code in (0, 1)  # what else the site's server is: vault-root-token
    job.ends()


def mended() -> dict[str, Any]:
    return {"role_type": "jwt", "user_claim": "sub", "bound_audiences": [AUDIENCE], "token_policies": ["deploy"]}


def test_a_refused_login_is_told_and_the_rest_is_judged(job: Job) -> None:
    tree(job.workspace, {WORKFLOW: STATIC_KEY, "audit.yml": VAULT.format(audience=AUDIENCE)})
    job.site.issuer.claims["repository"] = "acme/other"
    main = job.main("true", config="audit.yml", audit_reports="a.sarif")
    assert main.exit_code == 6, main.log
    assert any("refused the login as role audit" in text for _, text in annotations(main))
    assert audits.results(job.read("a.sarif")) == {"workflow-static-key"}
    assert "not checked" in main.summary.lower()
    failing = job.main("true", config="audit.yml", audit_fail_on="low")
    assert failing.exit_code == 1
    assert any("refused the login as role audit" in text for _, text in annotations(failing))
    job.ends()


def test_what_a_pull_request_put_there_chooses_no_file(job: Job) -> None:
    tree(job.workspace, {WORKFLOW: CLEAN})
    (job.workspace / "a.sarif").symlink_to("/github/file_commands/x")
    (job.workspace / "out").symlink_to("/github/file_commands")
    for path, said in (
        ("a.sarif", "is a symbolic link"),
        ("out/a.sarif", "lies outside"),
        ("/etc/a.sarif", "lies outside"),
        ("nosuch/a.sarif", "its directory is not there"),
        ("a.yaml", "no form of report is known"),
    ):
        main = job.main("offline", audit_reports=path)
        assert (main.exit_code, main.outputs, main.summary) == (2, {}, ""), main.log
        assert "audit-reports: " in annotations(main)[0][1]
        assert said in annotations(main)[0][1]
    assert not list((job.runner.temp / "_runner_file_commands").iterdir())
    wrong = job.main("offline", secrets="secret/data/ci token | TOKEN ;")
    assert (wrong.exit_code, annotations(wrong)[0][1]) == (2, "secrets: can't go together with `audit`")
    job.ends()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_cancelled_audit_leaves_no_lease(job: Job, number: int) -> None:
    """SIGTERM: the step gives it back. SIGKILL: the post step does."""
    tree(job.workspace, {"keylease.yml": VAULT.format(audience=AUDIENCE)})
    with Proxy(job.site.bao.url) as slow:
        job.vault = slow.url
        slow.always("/v1/sys/auth", delayed(20, status(503)))
        main = interrupted(job, number, lambda: slow.counts["/v1/sys/auth"])
        assert main.exit_code == 128 + number, main.log
        assert main.outputs == {}
        assert len(job.site.accessors()) == (number == signal.SIGKILL)
        post = job.post()
        assert (post.exit_code, "::warning" in post.raw) == (0, False), post.log
        assert ("revoked 1 of 1 tokens" in post.log) == (number == signal.SIGKILL)
        assert job.site.nothing_alive()


def interrupted(job: Job, number: int, when: Any) -> StepResult:
    """An audit, with a signal to its process 1 once `when()` is true."""
    name = f"keylease-test-{free_port()}"
    failure: list[BaseException] = []

    def interrupt() -> None:
        try:
            wait_until(when, 30, "the right moment")
            job.engine.podman("kill", "--signal", str(number), name)
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=interrupt)
    thread.start()
    job.runner.options = ("--name", name)
    try:
        return job.main("true")
    finally:
        job.runner.options = ()
        thread.join()
        assert not failure, failure


# The examples.


def steps(jobs: Any, name: str) -> list[dict[str, Any]]:
    """The `with:` of our own steps of a job."""
    return [step for step in jobs[name]["steps"] if step["uses"].startswith("keylease/keylease@")]


def test_the_weekly_workflow_of_an_organisation(job: Job, tmp_path: Path) -> None:
    """Its steps as the runner does them, one job for each part; artifacts go from job to job by hand."""
    site = job.site
    audits.policy(site, 'path "secret/data/audit/*" { capabilities = ["read"] }')
    audits.weak_role(site, "website")
    jobs = yaml.safe_load(example("audit/organization.yml"))["jobs"]
    parts = jobs["collect"]["strategy"]["matrix"]["part"]
    judge = engine_job(job, tmp_path / "judge")
    with GitHubRest() as hub:
        audits.organization(site, hub)
        text = substituted(example("audit/keylease.yml"), "type: github$", f"type: github\n    url: {hub.url}")
        (step,) = steps(jobs, "collect")
        for part in parts:
            collecting = engine_job(job, tmp_path / f"collect-{part}")
            tree(collecting.workspace, {"keylease.yml": text, WORKFLOW: STATIC_KEY})
            inputs = {name: value.replace("${{ matrix.part }}", str(part)) for name, value in step["with"].items()}
            done = job.seen(collecting.run("main", inputs=inputs, env={"VAULT_ADDR": site.bao.url}))
            assert done.exit_code == 0, done.log
            assert (done.outputs, done.summary, annotations(done)) == ({}, "", [])
            assert site.nothing_alive()
            post = collecting.run("post")
            assert (post.exit_code, post.raw) == (0, "")
            name = inputs["audit-inventory"]
            (judge.workspace / name).write_bytes((collecting.workspace / name).read_bytes())
        assert hub.problems == []
    found = {part: json.loads((judge.workspace / f"inventory-{part}.json").read_bytes()) for part in parts}
    assert [bool(json.dumps(each).count(WORKFLOW)) for each in found.values()] == [True, False]
    tree(judge.workspace, {"keylease.yml": text})
    (step,) = steps(jobs, "judge")
    before = len(site.issuer.token_requests())
    done = job.seen(judge.run("main", inputs={name: str(value) for name, value in step["with"].items()}))
    assert done.exit_code == 1, done.log
    sarif = (judge.workspace / "keylease.sarif").read_text()
    assert {"github-secret-static-key", "workflow-static-key", WEAK_ROLE} <= audits.results(sarif)
    page = (judge.workspace / "keylease.html").read_text()
    for name in ("trainer", "tools", "site", "docs", "infra"):  # whichever part it was in
        assert f"acme/{name}/" in page
        assert f"acme/{name}/" in sarif
    assert len(site.issuer.token_requests()) == before, "a snapshot asks nobody"


def engine_job(job: Job, directory: Path) -> RunnerJob:
    return job.engine.runner_job(directory, env=job.site.issuer.actions_env())


def test_a_part_that_is_missing_is_told(job: Job) -> None:
    tree(job.workspace, {WORKFLOW: CLEAN})
    for part in (1, 2):
        assert job.main("collect", audit_shard=f"{part}/2", audit_inventory=f"i{part}.json").exit_code == 0
    whole = job.main("true", audit_inventory="i1.json\ni2.json", audit_reports="a.json")
    assert whole.exit_code == 0, whole.log
    missing = job.main("true", audit_inventory="i1.json", audit_reports="b.json")
    assert missing.exit_code == 0, missing.log
    told = [each["what"] for each in json.loads(job.read("b.json"))["problems"]]
    assert told == ["of 2 shards of the inventory these lack: 2"]
    assert json.loads(job.read("a.json"))["problems"] == []
    broken = job.main("true", audit_inventory="nosuch.json")
    assert (broken.exit_code, "audit-inventory: can't read" in annotations(broken)[0][1]) == (2, True)
    job.ends()


def test_the_repositorys_workflow_runs_by_act(engine: Engine, site: Site, tmp_path: Path) -> None:
    """examples/audit/github.yml without the step of another vendor's action, for which act's image has no Node.js."""
    text = substituted(example("audit/github.yml"), r"keylease/keylease@v0$", "./")
    text, others = re.subn(r"      - uses: github/codeql-action/.*", "", text, flags=re.DOTALL)
    assert others == 1
    text += '      - {if: "${{ !cancelled() }}", run: "echo sarif=$(base64 -w0 keylease.sarif)"}\n'
    for number, (files, found) in enumerate(
        ((dict[str, str](), set[str]()), ({CLEAR.sample: CLEAR.bad[0]}, {"gitlab-clear-secret"}))
    ):
        workspace = engine.workspace(tmp_path / f"repo-{number}", workflow=text, files=files)
        done = engine.run_act(workspace, event="pull_request")
        assert (done.exit_code == 0) == (not found), done.log
        assert f"Keylease audit: {len(found)} finding" in done.log
        (sarif,) = re.findall(r"sarif=([\w+/=]+)$", done.log, re.MULTILINE)
        assert audits.results(base64.b64decode(sarif).decode()) == found
        assert done.log.count("Summary - ### Keylease audit") == 1
