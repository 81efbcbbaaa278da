"""Main and post step of the action in the real container, as the hosted runner starts them: revocation above all.

What it can't show: see runner.py.
"""

# long file: one container, one set of helpers, every way in which a job can end.

import contextlib
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.engine import Engine
from tests.e2e.runner import RunnerJob, StepResult
from tests.e2e.site import AUDIENCE, Site
from tests.fakes.misbehaving import Proxy, delayed, status
from tests.servers.process import free_port, wait_until

SECRETS = """\
secret/data/ci token | DEPLOY_TOKEN ;
database/creds/app username | DB_USERNAME ;
database/creds/app password | DB_PASSWORD ;
"""


class Job:
    """One job at the site: what its steps let out is searched for the seeded values."""

    def __init__(self, engine: Engine, site: Site, directory: Path, **options: Any) -> None:
        self.site = site
        self.url = site.bao.url
        env = {**site.issuer.actions_env(), **options.pop("env", {})}
        self.runner: RunnerJob = engine.runner_job(directory, env=env, **options)

    def main(self, secrets: str = SECRETS, *, env: dict[str, str] | None = None, **inputs: str) -> StepResult:
        """The main step; an input's `_` stands for `-`, and one that is empty is not given."""
        given = {"url": self.url, "role": "deploy", "secrets": secrets}
        if self.url != self.site.bao.url:  # a proxy: its address is no audience that the role knows
            given["audience"] = AUDIENCE
        given |= {name.replace("_", "-"): value for name, value in inputs.items()}
        return self._seen(self.runner.run("main", inputs={k: v for k, v in given.items() if v}, env=env))

    def post(self, **inputs: str) -> StepResult:
        """The post step. The runner hands it the inputs of the main step; ours needs none."""
        return self._seen(self.runner.run("post", inputs={k.replace("_", "-"): v for k, v in inputs.items()}))

    def _seen(self, result: StepResult) -> StepResult:
        for name in ("DB_USERNAME", "DB_PASSWORD", "VAULT_TOKEN"):
            if result.env.get(name):
                self.site.seeded.add(result.env[name])
        self.site.seeded.allow("add-mask")
        self.site.seeded.saw("stdout", result.raw, "output of the container")
        self.site.seeded.saw("stdout", result.summary, "job summary")
        return result


@pytest.fixture
def job(engine: Engine, site: Site, tmp_path: Path) -> Job:
    return Job(engine, site, tmp_path / "job")


@pytest.fixture
def slow(site: Site) -> Iterator[Proxy]:
    """A proxy before the site's OpenBao."""
    with Proxy(site.bao.url) as server:
        yield server


def test_what_main_leases_post_revokes(job: Job, site: Site) -> None:
    main = job.main()
    assert main.exit_code == 0, main.log
    assert main.env["DEPLOY_TOKEN"] == site.token
    assert main.env == main.outputs
    assert "login to vault" in main.summary
    assert len(site.accessors()) == 1
    assert site.users() == {main.env["DB_USERNAME"]}
    assert site.valkey.login(main.env["DB_USERNAME"], main.env["DB_PASSWORD"])

    post = job.post()
    assert post.exit_code == 0, post.log
    assert "Keylease: revoked 1 of 1 tokens and 1 dynamic secret" in post.log
    assert site.nothing_alive()
    assert not site.valkey.login(main.env["DB_USERNAME"], main.env["DB_PASSWORD"])

    again = job.post()  # the job is run again, or the machine was slow: nothing is left, and that is fine
    assert (again.exit_code, "::warning" in again.raw) == (0, False), again.log


def test_masks_stand_before_everything_else(job: Job, site: Site) -> None:
    """Every line that holds a value or a token is a mask command, and those come first."""
    nasty = f"{site.seeded.new('first')}\n{site.seeded.new('second')} ::error::%25 %0A\n"
    site.put("nasty", {"key": nasty})
    main = job.main("secret/data/nasty key | KEY", export_token="true")
    assert main.exit_code == 0, main.log
    assert main.env["KEY"] == nasty
    assert site.issuer.request_token in main.masks
    assert {main.env["VAULT_TOKEN"], nasty, *nasty.splitlines()} <= set(main.masks)
    assert main.env["VAULT_ADDR"] == site.bao.url
    assert site.bao.url not in main.masks


def test_the_vault_token_is_handed_over_only_on_request(job: Job) -> None:
    main = job.main(output_token="true")
    assert main.exit_code == 0, main.log
    token = main.outputs["vault_token"]
    job.site.seeded.add(token)
    assert job.site.bao.token_lookup(token) is not None
    assert "VAULT_TOKEN" not in main.env
    assert job.post().exit_code == 0
    assert job.site.bao.token_lookup(token) is None


@pytest.mark.parametrize("hostile", ["environment", "read-only"])
def test_survives_what_the_surroundings_do(engine: Engine, site: Site, tmp_path: Path, hostile: str) -> None:
    """Variables of earlier steps (GITHUB_ENV) must not steer us; nor does it matter that nothing can be written."""
    options: tuple[str, ...] = ("--read-only",)
    env = {}
    if hostile == "environment":
        options = ()
        env = {
            "PATH": "/github/workspace/bin",
            "PYTHONPATH": "/github/workspace",
            "PYTHONHOME": "/github/workspace",
            "PYTHONSTARTUP": "/github/workspace/evil.py",
            "PYTHONINSPECT": "1",
            "PYTHONWARNINGS": "error",
            "LD_LIBRARY_PATH": "/github/workspace",
            "LD_BIND_NOW": "1",
            "HTTPS_PROXY": "http://127.0.0.1:1",
            "HTTP_PROXY": "",
            "REQUESTS_CA_BUNDLE": "/github/workspace/nothing.pem",
            "LANG": "tr_TR.ISO-8859-9",
        }
    job = Job(engine, site, tmp_path / "job", options=options, env=env)
    evil = "import os; open('/github/workspace/injected', 'w').close(); os._exit(86)\n"
    for name in ("evil", "sitecustomize", "json", "requests", "keylease"):
        (job.runner.workspace / f"{name}.py").write_text(evil)
    if hostile == "read-only":
        # A home that can't be used (a file where the directory should be), a workspace that can't be written.
        home = job.runner.temp / "_github_home"
        home.rmdir()
        home.touch()
        job.runner.read_only = ("/github/workspace", "/github/workflow")
        job.runner.workspace.joinpath("keylease.yml").write_text("this: must not be read\n")

    main = job.main()
    assert main.exit_code == 0, main.raw
    assert main.env["DEPLOY_TOKEN"] == site.token
    assert len(site.accessors()) == 1
    post = job.post()
    assert (post.exit_code, "::warning" in post.raw) == (0, False), post.log
    assert site.nothing_alive()
    assert not (job.runner.workspace / "injected").exists()


# Files.


CONFIG = """\
version: 1
providers:
  vault: {type: vault, role: deploy}
leases:
  - {secret: vault://secret/ci#token, file: token.txt, env: TOKEN_FILE, output: true}
  - {secret: vault://secret/ci#token, file: build/keys/token, env: DEEP_FILE}
"""


def with_config(job: Job) -> StepResult:
    """The main step with `config: keylease.yml`."""
    (job.runner.workspace / "keylease.yml").write_text(CONFIG)
    return job._seen(job.runner.run("main", inputs={"config": "keylease.yml"}, env={"VAULT_ADDR": job.url}))


def test_files_are_private_known_by_their_host_path_out_of_git_and_deleted(
    engine: Engine, site: Site, tmp_path: Path
) -> None:
    job = Job(engine, site, tmp_path / "job")
    workspace, temp = job.runner.workspace, job.runner.temp
    subprocess.run(["git", "init", "--quiet", workspace], check=True)
    site.seeded.allow_file(temp, site.token)
    site.seeded.allow_file(workspace, site.token)

    main = with_config(job)

    assert main.exit_code == 0, main.log
    paths = [Path(main.env["TOKEN_FILE"]), Path(main.env["DEEP_FILE"])]
    assert main.outputs == {"TOKEN_FILE": str(paths[0])}
    # Outside the workspace where the runner has a place for it.
    assert paths[0].parent.parent == temp
    assert paths[1] == workspace / "build/keys/token"
    for path in paths:
        assert path.read_text() == site.token
        assert path.stat().st_mode & 0o777 == 0o600
    shown = subprocess.run(
        ["git", "-C", workspace, "status", "--porcelain", "--untracked-files=all"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout == "?? keylease.yml\n"

    assert job.post().exit_code == 0
    assert not paths[0].parent.exists()
    assert not (workspace / "build").exists()
    assert site.nothing_alive()


def test_an_older_runner_mounts_no_temporary_directory(
    engine: Engine, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before actions/runner#4011 RUNNER_TEMP named a host path that no container had. Its home they all have."""
    job = Job(engine, site, tmp_path / "job")
    mounts = [mount for mount in job.runner.mounts if mount[1] != "/github/runner_temp"]
    monkeypatch.setattr(RunnerJob, "mounts", property(lambda _: mounts))
    site.seeded.allow_file(job.runner.workspace, site.token)
    site.seeded.allow_file(job.runner.temp, site.token)
    main = with_config(job)
    assert main.exit_code == 0, main.log
    path = Path(main.env["TOKEN_FILE"])
    assert path.parent.parent == job.runner.temp / "_github_home"
    assert path.read_text() == site.token
    assert job.post().exit_code == 0
    assert not path.parent.exists()


def test_a_files_path_is_refused_before_anything_is_leased_into_it(job: Job, site: Site) -> None:
    (job.runner.workspace / "keylease.yml").write_text(CONFIG.replace("token.txt", "/etc/token"))
    main = job._seen(job.runner.run("main", inputs={"config": "keylease.yml"}, env={"VAULT_ADDR": job.url}))
    assert main.exit_code == 2
    assert "file: /etc/token lies outside the workspace and the runner's temporary directory" in main.log
    assert (main.env, main.outputs, main.summary) == ({}, {}, "")
    assert site.nothing_alive()


# A job that is cancelled.


def run_interrupted(job: Job, number: int, when: Any) -> StepResult:
    """The main step, with a signal to its process 1 once `when()` is true."""
    name = f"keylease-test-{free_port()}"
    engine = job.runner.engine
    failure: list[BaseException] = []

    def interrupt() -> None:
        try:
            wait_until(when, 20, "the right moment")
            engine.podman("kill", "--signal", str(number), name)
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=interrupt)
    thread.start()
    before = job.runner.options
    job.runner.options += ("--name", name)
    try:
        return job.main()
    finally:
        job.runner.options = before
        thread.join()
        assert not failure, failure


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_job_cancelled_while_leasing_leaves_nothing(job: Job, slow: Proxy, site: Site, number: int) -> None:
    """The container's process 1 gets the signal when it is logged in and a read is on its way."""
    job.url = slow.url
    slow.always("/v1/secret/*", delayed(15, status(503)))
    began = time.monotonic()
    main = run_interrupted(job, number, lambda: slow.counts["/v1/secret/data/ci"] and site.users())
    took = time.monotonic() - began
    assert main.exit_code == 128 + number, main.log
    assert (main.env, main.outputs) == ({}, {})
    assert took < 12, "it must not wait for the slow server"
    assert site.nothing_alive()
    # The runner runs the post step of a cancelled job too. It finds what main noted down and nobody needs any more.
    post = job.post()
    assert (post.exit_code, "::warning" in post.raw) == (0, False), post.log


def test_a_job_killed_while_leasing_is_cleaned_up_by_post(job: Job, slow: Proxy, site: Site) -> None:
    """The runner waits 2.5 s after SIGINT and 7.5 s after that, then kills; a machine may be slower."""
    job.url = slow.url
    slow.always("/v1/secret/*", delayed(15, status(503)))
    main = run_interrupted(job, signal.SIGKILL, lambda: slow.counts["/v1/secret/data/ci"] and site.users())
    assert main.exit_code == 137
    assert len(site.accessors()) == len(site.users()) == 1
    assert main.state, "noted down before the first secret was read"
    post = job.post()
    assert post.exit_code == 0, post.log
    assert site.nothing_alive()


def test_a_signal_does_not_stop_the_post_step(job: Job, slow: Proxy, site: Site) -> None:
    job.url = slow.url
    assert job.main().exit_code == 0
    slow.latency = 1.0
    name = f"keylease-test-{free_port()}"
    job.runner.options += ("--name", name)
    seen = slow.requests[:]

    def interrupt() -> None:
        with contextlib.suppress(Exception):
            wait_until(lambda: len(slow.requests) > len(seen), 20, "revocation")
            job.runner.engine.podman("kill", "--signal", "INT", name, check=False)
            job.runner.engine.podman("kill", "--signal", "TERM", name, check=False)

    thread = threading.Thread(target=interrupt)
    thread.start()
    post = job.post()
    thread.join()
    assert post.exit_code == 0, post.log
    assert site.nothing_alive()


# Failures.


def test_post_without_state_does_nothing(job: Job) -> None:
    post = job.post()
    assert (post.exit_code, post.raw) == (0, "")


def test_post_with_damaged_state_says_so(job: Job) -> None:
    job.runner.state = {"KEYLEASE_COUNT": "1", "KEYLEASE_0": '{"keylease":1}\n{"lease":{"provider":"vault","tok'}
    post = job.post()
    assert post.exit_code == 2
    assert "GitHub: STATE_KEYLEASE: the state is damaged (line 2)" in post.log


@pytest.mark.parametrize(("strict", "code"), [("", 0), ("true", 6)])
def test_post_with_a_dead_server_warns_and_tells_until_when_the_lease_lives(
    job: Job, slow: Proxy, site: Site, strict: str, code: int
) -> None:
    job.url = slow.url
    main = job.main(strict_revoke=strict, retries="1")
    assert main.exit_code == 0, main.log
    slow.stop()
    began = time.monotonic()
    post = job.post()
    assert post.exit_code == code, post.log
    assert time.monotonic() - began < 20
    expiry = time.strftime("%Y-%m-%d", time.gmtime(time.time() + 900))
    assert f"vault (Vault token) lives until {expiry}" in post.log
    assert "::warning title=Keylease::" in post.raw
    assert "::error" not in post.raw
    assert len(site.accessors()) == 1


def test_revoke_false_leaves_the_lease_alone(job: Job, site: Site) -> None:
    main = job.main(revoke="false")
    assert main.exit_code == 0, main.log
    assert main.state == {}
    assert job.post().exit_code == 0
    assert len(site.accessors()) == 1


def refused(job: Job, code: int, *said: str, **inputs: Any) -> StepResult:
    """The main step must fail with `code`, say all of `said`, hand nothing over and leave nothing alive."""
    main = job.main(**inputs)
    assert main.exit_code == code, main.log
    for text in said:
        assert text in main.log
    assert "::error title=Keylease" in main.raw
    assert (main.env, main.outputs, main.path, main.summary) == ({}, {}, [], "")
    assert job.site.nothing_alive()
    post = job.post()
    assert (post.exit_code, "::warning" in post.raw) == (0, False), post.log
    return main


def test_a_refused_login_explains_itself(job: Job) -> None:
    began = time.monotonic()
    refused(job, 4, "auth/jwt refused the login as role nobody", "bao write auth/jwt/role/nobody", role="nobody")
    assert time.monotonic() - began < 10


def test_another_repository_is_refused(job: Job, site: Site) -> None:
    site.issuer.claims["repository"] = "acme/other"
    main = refused(job, 4, "auth/jwt refused the login as role deploy", "repository=acme/other")
    assert "bound_claims" in main.log


def test_a_missing_permission_shows_the_yaml(engine: Engine, site: Site, tmp_path: Path) -> None:
    job = Job(engine, site, tmp_path / "job")
    job.runner.env = {}
    refused(job, 3, "permissions:", "id-token: write")
    assert site.issuer.token_requests() == []


def test_a_missing_secret_gives_back_what_the_others_took(job: Job, site: Site) -> None:
    logins = site.logins()
    refused(
        job,
        4,
        "secret/data/missing: there is nothing at secret/data/missing",
        secrets=SECRETS + "secret/data/missing key | KEY ;",
    )
    assert site.logins() == logins + 1


def test_a_forbidden_secret_shows_the_policy(job: Job, site: Site) -> None:
    site.bao.kv1("forbidden") if "forbidden/" not in site.bao.read("sys/mounts")["data"] else None
    refused(job, 4, 'path "forbidden/ci"', "capabilities", secrets=SECRETS + "forbidden/ci key | KEY ;")


def test_an_input_that_is_not_known_to_us_is_refused_by_name(job: Job) -> None:
    refused(job, 2, "authPayload", authPayload="{}")


def test_a_protected_name_is_refused_unless_allowed(job: Job, site: Site) -> None:
    refused(job, 2, "NODE_PATH", secrets="secret/data/ci token | NODE_PATH")
    allowed = job.main("secret/data/ci token | PYTHONPATH", allow_names="PYTHONPATH")
    assert allowed.exit_code == 0, allowed.log
    assert allowed.env == {"PYTHONPATH": site.token}


def test_values_that_no_variable_can_hold_leave_the_files_empty(job: Job, site: Site) -> None:
    """Exact words per kind of value: test_cli_values.py. Here: nothing half-written in GitHub's own files."""
    big = "0123456789abcdef" * 65536
    site.put("bad", {"nul": f"{site.token}\0x", "big": big, "good": site.token})
    for field, said in (("nul", "the value is binary"), ("big", "the value has 1048576 bytes, too many")):
        refused(job, 2, f"BAD: {said}", secrets=f"secret/data/bad good | GOOD ; secret/data/bad {field} | BAD")
    refused(
        job,
        2,
        "the variable SAME is asked for twice",
        secrets="secret/data/bad good | SAME ; database/creds/app password | SAME",
    )
