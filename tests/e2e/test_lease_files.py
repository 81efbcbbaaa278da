"""Files that come with leases of clouds, in the action's container: seen by later steps, picked up by nothing, gone.

What it can't show: see runner.py; and that actions/upload-artifact takes nothing from outside the path it is given.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests import environment
from tests.conftest import RunKeylease
from tests.e2e.clouds import TRAIN, Clouds, Start
from tests.e2e.engine import Engine
from tests.e2e.runner import RunnerJob, StepResult
from tests.e2e.site import Site, example, script, sha256, substituted
from tests.e2e.test_act import USES
from tests.e2e.test_gitlab import trained_on
from tests.fakes.azure_entra import CLIENT, TENANT
from tests.fakes.gcp_sts import PROVIDER
from tests.servers.process import free_port, wait_until
from tests.servers.seaweedfs import READER

PLACES = ("GOOGLE_APPLICATION_CREDENTIALS", "AWS_SHARED_CREDENTIALS_FILE")


def tree(root: Path) -> set[str]:
    """All below `root`, git's own files too."""
    return {str(path.relative_to(root)) for path in root.rglob("*")}


def later_step(job: RunnerJob, command: list[str], env: dict[str, str]) -> str:
    """A `run:` step on the runner's machine; its log as a reader sees it."""
    done = subprocess.run(
        command,
        cwd=job.workspace,
        env={**environment.clean_environment(), **env, **job.env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return "\n".join(job._masked(line) for line in done.stdout.splitlines())


def files_below(root: Path) -> set[str]:
    """Files in the runner's temporary directory that are not the runner's own."""
    return {name for name in tree(root) if "keylease" in name or "credentials" in name or "identity" in name}


@pytest.fixture
def servers(site: Site, clouds: Start) -> Clouds:
    """The services, trusting the site's job."""
    assert site.issuer.claims["sub"]
    return clouds()


def trainer(engine: Engine, servers: Clouds, directory: Path) -> RunnerJob:
    """The training job before its first step."""
    job = engine.runner_job(directory, env={**servers.issuer.actions_env(), **servers.env()})
    subprocess.run(["git", "init", "--quiet", job.workspace], check=True)
    (job.workspace / "keylease.yml").write_text(servers.example("keylease.yml"))
    (job.workspace / "train.py").write_text(TRAIN)
    (job.workspace / "Dockerfile").write_text('FROM scratch\nCOPY . /\nCMD ["none"]\n')
    return job


def main(job: RunnerJob, servers: Clouds) -> StepResult:
    """The action's main step, whose output is searched for all that was leased."""
    done = job.run("main", inputs={"config": "keylease.yml"})
    servers.add_issued()
    for name in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        if name in done.env:
            servers.seeded.add(done.env[name])
    servers.seeded.allow("add-mask")
    servers.seeded.saw("stdout", done.raw, "output of the container")
    servers.seeded.saw("stdout", done.summary, "job summary")
    return done


@pytest.mark.parametrize("runner", ["current", "older"])
def test_later_steps_use_them_and_no_image_or_artifact_holds_them(
    engine: Engine, servers: Clouds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runner: str
) -> None:
    """examples/train/keylease.yml: four services in one step; the SDKs in the next; then an image of the workspace."""
    job = trainer(engine, servers, tmp_path / "job")
    if runner == "older":  # see test_runner_container.py
        mounts = [mount for mount in job.mounts if mount[1] != "/github/runner_temp"]
        monkeypatch.setattr(RunnerJob, "mounts", property(lambda _: mounts))
    before = tree(job.workspace)

    done = main(job, servers)

    assert done.exit_code == 0, done.log
    log = later_step(job, [sys.executable, "train.py"], {})
    servers.add_issued()
    servers.seeded.saw("stdout", log, "log of the later step")
    said = log.splitlines()
    assert "hub acme-bot" in said
    paths = [Path(done.env[name]) for name in PLACES]
    assert [path.stat().st_mode & 0o777 for path in paths] == [0o600] * 2
    assert all(path.is_relative_to(job.temp) for path in paths)
    assert tree(job.workspace) == before

    engine.podman("build", "--quiet", "--tag", (image := f"localhost/keylease-e2e:files-{runner}"), str(job.workspace))
    try:
        inside = engine.image_files(image)
    finally:
        engine.podman("rmi", "--force", image)
    assert "train.py" in inside
    engines_own = ("dev", "etc", "proc", "sys", "run")
    assert {n for name in inside if (n := name.rstrip("/")).split("/")[0] not in engines_own} <= before

    post = job.run("post")
    assert post.exit_code == 0, post.log
    assert "::warning" not in post.raw
    trained_on(said, job.workspace)
    assert files_below(job.temp) == set()
    assert tree(job.workspace) == before


THREE = f"""\
version: 1
providers:
  aws:
    type: aws
    region: eu-central-1
    profiles: {{data: {{role_arn: {READER}}}}}
  google:
    type: gcp
    workload_identity_provider: {PROVIDER}
    credential_source: file
    project_id: acme-ml
  azure:
    type: azure
    tenant_id: {TENANT}
    client_id: {CLIENT}
leases:
  - use: aws
  - use: google
  - use: azure
"""

# What a `run:` step finds: the files that variables name, and the one that a file names.
INSIDE = """\
inner=$(sed -n 's/^ *"file": "\\(.*\\)",$/\\1/p' "$GOOGLE_APPLICATION_CREDENTIALS")
for path in "$GOOGLE_APPLICATION_CREDENTIALS" "$AWS_SHARED_CREDENTIALS_FILE" "$AZURE_FEDERATED_TOKEN_FILE" "$inner"; do
    printf '%s %s %s\\n' "$(stat -c %a "$path")" "$(sha256sum < "$path" | cut -d' ' -f1)" "$path"
done
"""


@pytest.mark.parametrize("container", ["", "5f0c2a"])
def test_steps_on_the_machine_and_in_the_jobs_own_container_find_the_same_files(
    engine: Engine, servers: Clouds, tmp_path: Path, container: str
) -> None:
    """`container:` in the job: the runner translates paths in variables, and none within a file."""
    job = engine.runner_job(tmp_path / "job", env={**servers.issuer.actions_env(), **servers.env()})
    job.job_container = container
    (job.workspace / "keylease.yml").write_text(servers.addressed(THREE))
    before = tree(job.workspace)
    done = main(job, servers)
    assert done.exit_code == 0, done.log
    names = ("GOOGLE_APPLICATION_CREDENTIALS", "AWS_SHARED_CREDENTIALS_FILE", "AZURE_FEDERATED_TOKEN_FILE")
    paths = {name: done.env[name] for name in names}
    work = job.directory / "_work"
    if container:  # ContainerStepHost (StepHost.cs): /__w is the work directory
        inside = {name: path.replace(str(work), "/__w") for name, path in paths.items()}
        mount = ("--volume", f"{work}:/__w")
        log = engine.run("-c", INSIDE, image=engine.base, entrypoint="bash", options=mount, env=inside, check=True).log
    else:
        log = later_step(job, ["bash", "-c", INSIDE], {})
    rows = [line.split() for line in log.splitlines()]
    assert [row[0] for row in rows] == ["600"] * 4, log
    here = [Path(path) for path in paths.values()]
    here.append(Path(done.env["GOOGLE_IDENTITY_TOKEN_FILE"]))
    assert [row[1] for row in rows] == [sha256(path.read_bytes()) for path in here]
    assert rows[3][2].startswith("/__w/_temp/" if container else str(job.temp))
    assert tree(job.workspace) == before
    assert job.run("post").exit_code == 0
    assert files_below(job.temp) == set()


def test_a_refusal_at_one_service_leaves_no_file_of_the_others(engine: Engine, servers: Clouds, tmp_path: Path) -> None:
    job = trainer(engine, servers, tmp_path / "job")
    before = tree(job.workspace)
    servers.claude.verifier.subject = "repo:acme/other:ref:refs/heads/main"
    done = main(job, servers)
    assert done.exit_code == 4
    assert (done.env, done.outputs) == ({}, {})
    assert "Anthropic: " in done.log
    assert (files_below(job.temp), tree(job.workspace)) == (set(), before)
    post = job.run("post")
    assert (post.exit_code, "::warning" in post.raw) == (0, False), post.log


# A step that ends while it writes files: enough of them that a signal comes in between.

MANY = 1500


def many(site: Site) -> str:
    """A keylease.yml with so many files."""
    lines = [
        "version: 1",
        f"providers: {{vault: {{type: vault, url: '{site.bao.url}', role: deploy}}}}",
        "leases:",
        *(f"  - {{secret: 'vault://secret/ci#token', file: f{n}, env: FILE_{n}}}" for n in range(MANY)),
    ]
    return "\n".join(lines)


def written(root: Path) -> list[Path]:
    """Secret files that exist now, whole or in part, and hold something.

    A step that is killed in the very moment may leave one that is empty: it is made before it can be noted down, and
    noted down before it holds a byte.
    """
    found = []
    for directory, _, names in os.walk(root):
        for path in (Path(directory, name) for name in names if "f" in name and not name.endswith(".state")):
            with contextlib.suppress(FileNotFoundError):
                found += [path] if "keylease-" in directory and path.stat().st_size else []
    return found


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_step_stopped_while_it_writes_leaves_no_file_after_post(
    engine: Engine, site: Site, tmp_path: Path, number: signal.Signals
) -> None:
    name = f"keylease-test-{free_port()}"
    job = engine.runner_job(tmp_path / "job", env=site.issuer.actions_env())
    (job.workspace / "keylease.yml").write_text(many(site))
    seen: list[int] = []

    def interrupt() -> None:
        wait_until(lambda: bool(written(job.temp)), 20, "a file")
        engine.podman("kill", "--signal", str(int(number)), name)
        seen.append(len(written(job.temp)))

    thread = threading.Thread(target=interrupt)
    thread.start()
    done = job.run("main", inputs={"config": "keylease.yml"}, options=("--name", name))
    thread.join()
    assert seen, "it was too fast to be stopped: raise MANY"
    site.seeded.allow("add-mask")
    site.seeded.saw("stdout", done.raw, "output of the container")
    assert done.exit_code == 128 + number, done.log
    assert done.env == {}
    if number == signal.SIGKILL:
        assert 0 < len(written(job.temp)) < MANY
        assert len(site.accessors()) == 1
    else:
        assert written(job.temp) == []
        assert site.nothing_alive()
    post = job.run("post")
    assert (post.exit_code, "::warning" in post.raw) == (0, False), post.log
    assert written(job.temp) == []
    assert site.nothing_alive()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_lease_stopped_while_it_writes_leaves_no_file_after_revoke(
    keylease: RunKeylease, site: Site, tmp_path: Path, number: signal.Signals
) -> None:
    """Where there is no post step: `keylease revoke`, in GitLab's after_script or a trap."""
    (tmp_path / "keylease.yml").write_text(many(site))
    place = tmp_path / "temporary"
    place.mkdir()
    env = {**site.issuer.actions_env(), "WORKSPACE": str(tmp_path / "ws"), "WORKSPACE_TMP": str(place)}
    (tmp_path / "ws").mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "keylease", "lease", "--format", "shell"],
        cwd=tmp_path,
        env=environment.clean_environment(**env),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    wait_until(lambda: bool(written(place)), 20, "a file")
    os.kill(process.pid, number)
    out, err = process.communicate(timeout=30)
    site.seeded.saw("stdout", out)
    site.seeded.saw("stderr", err)
    assert process.returncode == (-number if number == signal.SIGKILL else 128 + number), err.decode()
    assert out == b""
    if number == signal.SIGKILL:
        assert 0 < len(written(place)) < MANY
    else:
        assert written(place) == []
    assert keylease("revoke", env=env, cwd=tmp_path).returncode == 0
    assert written(place) == []
    assert list(place.rglob("*.state*")) == []
    assert site.nothing_alive()


# The example's workflow as it stands, in act.

STEP = """\
place() { stat -c 'place 0o%a %n' "$1"; }
place "$GOOGLE_APPLICATION_CREDENTIALS"
place "$AWS_SHARED_CREDENTIALS_FILE"
grep '^aws_session_token' "$AWS_SHARED_CREDENTIALS_FILE"
show session "$(sed -n 's/^aws_session_token = //p' "$AWS_SHARED_CREDENTIALS_FILE" | tail -n 1)"
for value in "$AWS_SECRET_ACCESS_KEY" "$GOOGLE_OAUTH_ACCESS_TOKEN" "$HF_TOKEN" "$ANTHROPIC_AUTH_TOKEN"; do
    echo "value <$value>"
done
git status --porcelain --untracked-files=all | sed 's/^/untracked /'
"""


def test_the_examples_workflow_in_act(engine: Engine, servers: Clouds, tmp_path: Path) -> None:
    """act mounts no temporary directory into containers unless it is told to; then it is as on the runner."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    text = example("train/github.yml")
    workspace = engine.workspace(
        tmp_path / "repo",
        workflow=substituted(text, USES, "./"),
        files={"keylease.yml": servers.example("keylease.yml")},
    )
    script(workspace / "train.sh", STEP)
    before = tree(workspace)
    done = engine.run_act(
        workspace,
        env={**servers.issuer.actions_env(), **servers.env()},
        arguments=["--container-options", f"-v {temporary}:/tmp"],
    )
    servers.add_issued()
    # act keeps no state for a container's post step, so nothing is deleted: test_later_steps_use_them… has that.
    servers.seeded.allow_file(temporary)
    servers.seeded.saw("stdout", done.log, "act's log")
    assert done.exit_code == 0, done.log
    log = done.log
    assert log.count("place 0o600 /tmp/keylease-") == 2
    assert log.count("value <***>") == 4
    assert log.count("aws_session_token = ***") == 1
    assert "session sha256=" in log
    assert "untracked " not in log
    assert tree(workspace) == before
