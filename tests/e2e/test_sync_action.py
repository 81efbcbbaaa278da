"""`sync: plan` and `sync: apply` of the action, in the real container as the hosted runner starts it, and once by act.

Secrets come from a real OpenBao, the platforms are fakes. What it can't show: see runner.py, and the fakes' docstrings.
"""

import json
import re
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.e2e.engine import REPOSITORY, Engine
from tests.e2e.runner import RunnerJob, StepResult
from tests.e2e.site import AUDIENCE, Site, example, substituted
from tests.fakes.github_rest import GitHubRest, Handler
from tests.fakes.loopback import Received
from tests.fakes.misbehaving import Proxy, delayed, status
from tests.integration import gitlab_sync
from tests.servers.process import free_port, wait_until

SCHEMA = json.loads((REPOSITORY / "docs/sync-plan.schema.json").read_text(encoding="utf-8"))
RULES = 'path "secret/metadata/*" { capabilities = ["list"] }'
CONFIG = """\
version: 1
settings: {{retries: 1, timeout: 5}}
providers:
  vault: {{type: vault, role: deploy, audience: "{audience}"}}
targets:
  github: {{type: github, url: "{github}", token_env: SYNC_TOKEN, writes_per_minute: 10000, points_per_minute: 0}}
ledger:
  key: vault://secret/sync#key
sync:
  - name: ml
    from: vault://secret/ml/*
    to: [{{repository: acme/trainer}}, {{repository: acme/second}}]
"""
PLACES = ("acme/trainer", "acme/second")
NAMES = {"HF_TOKEN", "WANDB_API_KEY"}


class Job:
    """One job that syncs; what its steps let out is searched for the seeded values."""

    def __init__(self, engine: Engine, site: Site, hub: GitHubRest, directory: Path) -> None:
        self.engine, self.site, self.hub = engine, site, hub
        self.vault = site.bao.url
        self.token = hub.add_token()
        site.seeded.add(self.token)
        self.values = {"HF_TOKEN": site.seeded.new("hf"), "WANDB_API_KEY": f"{site.seeded.new('a')}\n{'b' * 20}%0A"}
        site.seeded.add(self.values["WANDB_API_KEY"])
        self.key = site.seeded.new("the-key-of-the-ledgers-of-this-test")
        site.put("sync", {"key": self.key})
        site.put("ml/hf", {"token": self.values["HF_TOKEN"]})
        site.put("ml/wandb", {"api_key": self.values["WANDB_API_KEY"]})
        site.grant(RULES)
        for place in PLACES:
            hub.add_repository(place)
        self.runner: RunnerJob = engine.runner_job(directory, env=site.issuer.actions_env())
        self.config = CONFIG.format(github=hub.url, audience=AUDIENCE)
        (self.runner.workspace / "keylease.yml").write_text(self.config)

    def main(self, command: str, **inputs: str) -> StepResult:
        """The main step; an input's `_` stands for `-`."""
        given = {"sync": command} | {name.replace("_", "-"): value for name, value in inputs.items()}
        return self.seen(
            self.runner.run("main", inputs=given, env={"VAULT_ADDR": self.vault, "SYNC_TOKEN": self.token})
        )

    def post(self) -> StepResult:
        """The post step."""
        return self.seen(self.runner.run("post"))

    def seen(self, result: StepResult) -> StepResult:
        self.site.seeded.allow("add-mask")
        self.site.seeded.saw("stdout", result.raw, "output of the container")
        self.site.seeded.saw("stdout", result.summary + json.dumps(result.outputs), "summary and outputs")
        assert (result.env, result.path) == ({}, [])
        return result

    def ends(self) -> None:
        """The post step has nothing to do, nothing is alive, and no file is left."""
        post = self.post()
        assert (post.exit_code, post.raw) == (0, "")
        assert self.site.nothing_alive()
        files = {path.name for path in self.runner.workspace.rglob("*")}
        assert files <= {"keylease.yml", "plan.json"}
        assert list((self.runner.temp / "_github_home").iterdir()) == []

    def held(self, place: str = "acme/trainer") -> dict[str, str]:
        return self.hub.held(place, "secret")


@pytest.fixture
def job(engine: Engine, site: Site, tmp_path: Path) -> Iterator[Job]:
    with GitHubRest() as hub:
        yield Job(engine, site, hub, tmp_path / "job")
        assert hub.problems == []


def counts(result: StepResult) -> dict[str, int]:
    """What the output `sync_plan` counts; it is as its schema says."""
    plan = json.loads(result.outputs["sync_plan"])
    jsonschema.Draft202012Validator(SCHEMA).validate(plan)
    return {action: number for action, number in plan["summary"].items() if number}


def annotations(result: StepResult) -> list[str]:
    return re.findall(r"^::error title=Keylease.*?::(.*)$", result.raw, re.MULTILINE)


def test_a_plan_an_apply_and_nothing_to_do(job: Job) -> None:
    plan = job.main("plan")
    assert plan.exit_code == 0, plan.log
    assert plan.outputs["sync_changes"] == "4"
    assert counts(plan) == {"add": 4}
    assert plan.summary.startswith("### Keylease sync: plan\n\n4 add at 2 places\n")
    assert re.search(r"^\| github&#58;//acme/second\S* \| add \| secret HF&#95;TOKEN \|", plan.summary, re.MULTILINE)
    assert "::group::Keylease sync: 4 add at 2 places\n" in plan.raw
    assert job.hub.log == []
    assert job.site.nothing_alive()
    job.ends()

    apply = job.main("apply")
    assert apply.exit_code == 0, apply.log
    assert job.held() == job.held("acme/second") == job.values
    assert apply.summary.startswith("### Keylease sync: apply\n\n4 add at 2 places\n")
    assert "Not done" not in apply.summary
    assert "4 changes carried out" in apply.log
    assert annotations(apply) == []
    job.ends()

    before = len(job.hub.log)
    again = job.main("plan", sync_check="true", summary="false")
    assert (again.exit_code, again.outputs["sync_changes"], again.summary) == (0, "0", ""), again.log
    assert counts(again) == {"unchanged": 4}
    assert len(job.hub.log) == before
    job.ends()


def test_masks_stand_before_everything_else(job: Job) -> None:
    """The credentials of both sides, the ledger's key and each value, by lines too; then comes what is shown."""
    main = job.main("apply")
    assert main.exit_code == 0, main.log
    secrets = {job.token, job.key, *job.values.values(), *job.values["WANDB_API_KEY"].splitlines()}
    assert secrets | {job.site.issuer.request_token} <= set(main.masks)
    assert "::add-mask::" not in main.raw[main.raw.index("::group::") :]


def test_a_difference_fails_a_check(job: Job) -> None:
    main = job.main("plan", sync_check="true")
    assert (main.exit_code, main.outputs["sync_changes"]) == (1, "4"), main.log
    assert job.hub.log == []
    job.ends()


def test_what_is_blocked_fails_the_step_and_the_rest_is_done(job: Job) -> None:
    job.hub.put("acme/trainer", "secret", "HF_TOKEN", "somebody else's")
    main = job.main("apply")
    assert main.exit_code == 6, main.log
    blocked, total = annotations(main)
    assert re.match(r"github://acme/trainer\S*: secret HF_TOKEN: .*keylease sync adopt", blocked)
    assert total.startswith("sync: 1 item failed")
    assert counts(main) == {"add": 3, "blocked": 1}
    assert "| blocked | secret HF&#95;TOKEN |" in main.summary
    assert job.held() == {**job.values, "HF_TOKEN": "somebody else's"}
    job.ends()


def test_what_the_platform_refused_is_in_the_summary(job: Job) -> None:
    def before(request: Received) -> Handler | None:
        refused = request.method == "PUT" and request.path.endswith("second/actions/secrets/HF_TOKEN")
        return (lambda exchange: exchange.answer_json(422, {"message": "no, not this"})) if refused else None

    job.hub.before = before
    job.runner.env["RUNNER_DEBUG"] = "1"  # more is shown of an error, and still no value
    main = job.main("apply")
    assert main.exit_code == 6, main.log
    assert any("acme/second" in text and "no, not this" in text for text in annotations(main))
    _, _, undone = main.summary.partition("**Not done: 1**")
    assert re.search(r"- github&#58;//acme/second\S*: secret HF&#95;TOKEN: .*no, not this", undone)
    assert job.held() == job.values
    assert set(job.held("acme/second")) == NAMES - {"HF_TOKEN"}
    job.ends()


def test_a_plan_in_a_file_is_done_to_the_letter_or_not_at_all(job: Job) -> None:
    (job.runner.workspace / "plan.json").write_text(job.main("plan").outputs["sync_plan"])
    apply = job.main("apply", sync_plan=str(job.runner.workspace / "plan.json"))  # the runner translates the path
    assert apply.exit_code == 0, apply.log
    assert job.held() == job.values
    before = len(job.hub.log)
    late = job.main("apply", sync_plan="plan.json")
    assert late.exit_code == 7, late.log
    assert annotations(late)[0].startswith("sync: the plan is out of date at 2 places")
    missing = job.main("apply", sync_plan="nosuch.json")
    assert missing.exit_code == 2
    assert annotations(missing)[0].startswith("sync-plan: can't read 'nosuch.json'")
    assert (missing.outputs, missing.summary) == ({}, "")
    assert len(job.hub.log) == before
    job.ends()


def test_shards_do_all_of_it_together(job: Job) -> None:
    parts = [job.main("apply", sync_shard=f"{n}/3") for n in (1, 2, 3)]
    assert [part.exit_code for part in parts] == [0, 0, 0]
    assert sum(int(part.outputs["sync_changes"]) for part in parts) == 4
    assert job.held() == job.held("acme/second") == job.values
    wrong = job.main("apply", sync_shard="4/3")
    assert (wrong.exit_code, annotations(wrong)[0]) == (2, "sync-shard: must be like 1/4: which, of how many")
    job.ends()


def test_the_file_as_text_and_what_is_wrong_in_it(job: Job) -> None:
    (job.runner.workspace / "keylease.yml").unlink()
    main = job.main("apply", config=job.config, deadline="5m")
    assert main.exit_code == 0, main.log
    assert job.held() == job.values
    wrong = job.main("plan", config=job.config.replace("from:", "form:"))
    assert (wrong.exit_code, wrong.outputs) == (2, {})
    assert "form" in annotations(wrong)[0]
    missing = job.main("plan")
    assert missing.exit_code == 2
    assert "keylease.yml" in annotations(missing)[0]
    job.ends()


def test_a_refused_login_and_an_input_that_does_not_belong(job: Job) -> None:
    wrong = job.main("apply", role="deploy")
    assert (wrong.exit_code, annotations(wrong)[0]) == (2, "role: can't go together with `sync`")
    assert job.site.issuer.token_requests() == []
    job.site.issuer.claims["repository"] = "acme/other"
    refused = job.main("apply")
    assert refused.exit_code == 4, refused.log
    assert any("refused the login as role deploy" in text for text in annotations(refused))
    assert (refused.outputs, refused.summary, job.hub.requests) == ({}, "", [])
    job.ends()


# A job that is cancelled.


def interrupted(job: Job, number: int, when: Any) -> StepResult:
    """An apply, with a signal to its process 1 once `when()` is true."""
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
    before = job.runner.options
    job.runner.options += ("--name", name)
    try:
        return job.main("apply")
    finally:
        job.runner.options = before
        thread.join()
        assert not failure, failure


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_cancelled_sync_leaves_no_lease(job: Job, number: int) -> None:
    """SIGTERM: the step gives it back. SIGKILL: the post step does. And the next run carries on."""
    with Proxy(job.site.bao.url) as slow:
        job.vault = slow.url
        rule = "/v1/secret/data/ml/*"
        slow.always(rule, delayed(20, status(503)))
        main = interrupted(job, number, lambda: slow.counts["/v1/secret/data/ml/hf"])
        assert main.exit_code == 128 + number, main.log
        assert main.outputs == {}
        assert len(job.site.accessors()) == (number == signal.SIGKILL)
        post = job.post()
        assert (post.exit_code, "::warning" in post.raw) == (0, False), post.log
        assert ("revoked 1 of 1 tokens" in post.log) == (number == signal.SIGKILL)
        assert job.site.nothing_alive()
    job.vault = job.site.bao.url
    job.runner.state.clear()
    assert job.main("apply").exit_code == 0
    assert job.held() == job.values


# The image has what each platform needs.


def test_gitlab(job: Job) -> None:
    with gitlab_sync.served() as lab:
        job.token = lab.token(job.site.seeded.new("glpat"), ["api"], roles={"acme/trainer": 40})
        text = re.sub(
            r"  github: .*", f"  gitlab: {{type: gitlab, url: '{lab.url}', token_env: SYNC_TOKEN}}", job.config
        )
        text = re.sub(r"to: .*", "to: {project: acme/trainer, masked: false}", text)
        for changes in ("2", "0"):
            main = job.main("apply", config=text)
            assert (main.exit_code, main.outputs["sync_changes"]) == (0, changes), main.log
        held = {each["key"]: each["value"] for each in lab.project("acme/trainer").variables}
        assert {name: value for name, value in held.items() if "LEDGER" not in name} == job.values
        job.ends()


class App:
    """What examples/sync says: an App whose key is in Vault, the role `sync`."""

    def __init__(self, job: Job) -> None:
        site = job.site
        key = rsa.generate_private_key(65537, 2048)
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        public = key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()
        site.seeded.add(pem)
        site.put("sync/github", {"private_key": pem})
        site.put("sync/ledger", {"key": job.key})
        site.put("ml/prod/hf", {"token": job.values["HF_TOKEN"]})
        site.put("packages", {"NPM_TOKEN": job.values["WANDB_API_KEY"]})
        claims = {"repository": site.issuer.claims["repository"]}
        site.bao.jwt_role(
            "jwt",
            "sync",
            {
                "role_type": "jwt",
                "user_claim": "sub",
                "bound_audiences": [site.bao.url],
                "bound_claims": claims,
                "token_policies": ["deploy"],
            },
        )
        self.hub = job.hub
        job.hub.add_app("123456", public, {"acme": 7})
        job.hub.add_repository("acme/trainer", environments={"prod"})
        job.hub.add_repository("acme/ml-tools", topics=["python"])
        self.values = job.values
        self.config = substituted(
            example("sync/keylease.yml"), "type: github$", f"type: github\n    url: {job.hub.url}"
        )

    def written(self) -> bool:
        npm = {"NPM_TOKEN": self.values["WANDB_API_KEY"]}
        return (
            self.hub.held("acme/trainer?prod", "secret") == {"HF_TOKEN": self.values["HF_TOKEN"]}
            and self.hub.held("acme/trainer", "dependabot") == npm
            and self.hub.held("acme/ml-tools", "dependabot") == npm
        )


def test_the_examples_workflow_runs_by_act(job: Job, tmp_path: Path) -> None:
    """examples/sync/github.yml with its keylease.yml: an App whose key is in Vault, Dependabot, a selection."""
    app = App(job)
    workflow = substituted(example("sync/github.yml"), r"keylease/keylease@v0$", "./")
    workspace = job.engine.workspace(tmp_path / "repo", workflow=workflow, files={"keylease.yml": app.config})
    environment = {**job.site.issuer.actions_env(), "VAULT_ADDR": job.site.bao.url}
    arguments = ["--var", f"VAULT_ADDR={job.site.bao.url}"]
    done = job.engine.run_act(workspace, event="workflow_dispatch", env=environment, arguments=arguments)
    job.site.seeded.saw("stdout", done.log, "act's log")
    assert done.exit_code == 0, done.log
    assert "Job succeeded" in done.log  # act may cut the output of a container that is a job's last step
    assert app.written()
    assert job.site.nothing_alive()
