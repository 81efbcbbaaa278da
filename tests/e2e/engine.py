"""A container engine of the tests' own: podman with its own store, the base image, the action's image, and act.

Nothing here touches the machine's podman: configuration, image store, locks and sockets lie in directories of ours.
The store is kept between runs (in the user's cache directory), so the base image is made once per machine and an
unchanged layer of the action's image is never built twice.

Typical use, with the fixture of conftest.py::

    def test_something(engine: Engine, tmp_path: Path) -> None:
        workspace = engine.workspace(tmp_path / "repo", workflow=WORKFLOW)      # a repository whose action is ours
        result = engine.run_act(workspace, env={...}, secrets={...})            # act builds and runs the Dockerfile
        assert result.exit_code == 0 and "***" in result.log

        job = engine.runner_job(tmp_path / "job", env={...})                    # as the hosted runner would
        main = job.run("main", inputs={"role": "ci"})
        post = job.run("post")                                                  # gets main's state as STATE_*

What it can't show: a registry pull, docker's own daemon, and act's own limits (it hands no state to a container's
post step, hence `runner_job`; it doesn't check `permissions:`).
"""

import contextlib
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.e2e.runner import RunnerJob
from tests.e2e.store import CACHE, NoEngineError, Store, locked

REPOSITORY = Path(__file__).resolve().parents[2]
# What `uses: ./` needs of this repository; .dockerignore lets the same through to the build.
ACTION_FILES = ("action.yml", "Dockerfile", ".dockerignore", "LICENSE", "requirements/runtime.lock", "docker", "src")
ACTION_IMAGE = "localhost/keylease-e2e:action"
JOB_IMAGE = "localhost/keylease-e2e:job"
ACT_SECONDS = 300.0
BUILD_SECONDS = 600.0


@dataclass(frozen=True)
class Result:
    """What a command printed (stdout and stderr, interleaved), its exit code, and how long it took in seconds."""

    log: str
    exit_code: int
    seconds: float


def base_image_name() -> str:
    """The base that the Dockerfile names."""
    found = re.search(r"^ARG BASE=(\S+)$", (REPOSITORY / "Dockerfile").read_text(), re.MULTILINE)
    if found is None:
        raise NoEngineError("the Dockerfile has no line 'ARG BASE=…'")
    return found[1]


class Engine:
    """One podman with its own store; see the module's docstring. Use as a context manager.

    Attributes:
        base: name of the base image (the Dockerfile's, resolved to a local one).
        socket: the Docker-compatible API's socket, served while the engine is open.
    """

    def __init__(self) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="kl-", dir="/tmp"))  # short: socket paths end at 108 bytes
        self._service: subprocess.Popen[bytes] | None = None
        self._action_image: str | None = None
        self._store: Store | None = None
        self.base = base_image_name()
        self.socket = self._directory / "podman.sock"

    def open(self) -> None:
        """Find the store, have the base image in it, start the API service.

        Raises:
            NoEngineError: containers can't be run here.
        """
        try:
            self._store = Store.find(self._directory)
            self._ensure_base()
            self._serve()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop the API service and drop the temporary files; images stay for the next run."""
        if self._service is not None:
            self._service.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._service.wait(10)
            if self._service.poll() is None:
                self._service.kill()
                self._service.wait()
        if self._store is not None:
            # What a changed source file leaves behind: untagged layers of older builds. Not the new ones: they are
            # the cache, and another worker may be building.
            with locked(self._store.lock):
                self.podman("image", "prune", "--force", "--filter", "until=24h", check=False)
        shutil.rmtree(self._directory, ignore_errors=True)

    @property
    def store(self) -> Store:
        """The image store and its configuration."""
        if self._store is None:
            raise NoEngineError("the engine is not open")
        return self._store

    # -- podman ---------------------------------------------------------------------------------------------------

    def podman(self, *args: str, check: bool = True, timeout: float = BUILD_SECONDS) -> Result:
        """Run podman on our store. With *check*, a non-zero exit code raises AssertionError with the output."""
        return self._run([*self.store.command, *args], self.store.environment, check=check, timeout=timeout)

    def run(
        self,
        *command: str,
        image: str | None = None,
        entrypoint: str | None = None,
        options: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        check: bool = False,
    ) -> Result:
        """`podman run --rm` of *image* (the action's, if not given), on the host's network."""
        arguments = ["run", "--rm", "--network", "host", *options]
        for name, value in (env or {}).items():
            arguments += ["--env", f"{name}={value}"]
        if entrypoint is not None:
            arguments += ["--entrypoint", entrypoint]
        return self.podman(*arguments, image or self.action_image(), *command, check=check)

    def action_image(self) -> str:
        """Build the repository's Dockerfile (once per session; unchanged layers are cached) and return its id."""
        if self._action_image is None:
            with locked(self.store.lock):
                self.podman("build", "--quiet", "--tag", ACTION_IMAGE, str(REPOSITORY))
                found = self.podman("image", "inspect", "--format", "{{.Id}}", ACTION_IMAGE)
            self._action_image = found.log.strip()
        return self._action_image

    def image_bytes(self, image: str | None = None) -> int:
        """Unpacked size of an image in bytes."""
        found = self.podman("image", "inspect", "--format", "{{.Size}}", image or self.action_image())
        return int(found.log)

    def image_files(self, image: str | None = None) -> list[str]:
        """Paths of all files of an image, as `tar` names them (no leading slash, directories end in one)."""
        name = self.podman("create", image or self.action_image()).log.strip()
        try:
            export = self._directory / "export.tar"
            self.podman("export", "--output", str(export), name)
            listing = subprocess.run(["tar", "-tf", export], capture_output=True, text=True, check=True)
            export.unlink()
        finally:
            self.podman("rm", name)
        return listing.stdout.splitlines()

    # -- jobs -----------------------------------------------------------------------------------------------------

    def runner_job(
        self,
        directory: Path,
        *,
        env: Mapping[str, str] | None = None,
        image: str | None = None,
        action: Path | None = None,
        options: Sequence[str] = (),
        repository: str = "acme/trainer",
        event: Mapping[str, object] | None = None,
    ) -> RunnerJob:
        """A job whose container steps are started exactly as actions/runner does; arguments as of `RunnerJob`."""
        return RunnerJob(self, directory, dict(env or {}), image, action, tuple(options), repository, dict(event or {}))

    def workspace(self, directory: Path, *, workflow: str, files: Mapping[str, str] | None = None) -> Path:
        """Make a git repository at *directory* that holds our action, *workflow* and *files*.

        `uses: ./` in the workflow is then our Dockerfile. The repository says it is acme/trainer, branch main.
        """
        directory.mkdir(parents=True)
        for name in ACTION_FILES:
            source, target = REPOSITORY / name, directory / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
            elif source.exists():
                shutil.copy(source, target)
        for name, text in {".github/workflows/test.yml": workflow, **(files or {})}.items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        identity = ["-c", "user.name=Test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false"]
        for command in (
            ["init", "--quiet", "--initial-branch=main"],
            ["remote", "add", "origin", "https://github.com/acme/trainer.git"],
            ["add", "--all"],
            [*identity, "commit", "--quiet", "--message", "test"],
        ):
            subprocess.run(
                ["git", "-C", directory, *command], check=True, capture_output=True, env=_plain_environment()
            )
        return directory

    def run_act(
        self,
        workspace: Path,
        *,
        event: str = "push",
        env: Mapping[str, str] | None = None,
        secrets: Mapping[str, str] | None = None,
        arguments: Sequence[str] = (),
        timeout: float = ACT_SECONDS,
    ) -> Result:
        """Run the workflows of *workspace* with act, every container a real one, on the host's network.

        *env* reaches every step (where the hosted runner's OIDC variables go); *secrets* fill the `secrets` context
        and are masked. Values travel in 0600 files, not in arguments. The job image is the base (it has bash, and no
        Node.js: no JavaScript actions; `actions/checkout` of the repository itself is skipped by act).
        """
        scratch = Path(tempfile.mkdtemp(prefix="act-", dir=self._directory))
        for name, values in (("env", env or {}), ("secrets", secrets or {})):
            path = scratch / name
            path.touch(mode=0o600)
            path.write_text("".join(f"{key}={_dotenv_quoted(value)}\n" for key, value in values.items()))
        act = Path(sys.executable).with_name("act")
        if not act.exists():
            raise NoEngineError("act is not installed in the virtual environment: run `make venv`")
        command = [
            str(act),
            event,
            *("--pull=false", "--rebuild", "--rm", "--network", "host", "--container-daemon-socket", "-"),
            *("--platform", f"ubuntu-latest={JOB_IMAGE}"),
            *("--env-file", str(scratch / "env"), "--secret-file", str(scratch / "secrets"), "--var-file", os.devnull),
            *arguments,
        ]
        environment = {
            **_plain_environment(),
            "DOCKER_HOST": f"unix://{self.socket}",
            # act reads ~/.actrc and keeps caches: neither the developer's nor left behind.
            "HOME": str(scratch),
            "XDG_CONFIG_HOME": str(scratch),
            "XDG_CACHE_HOME": str(scratch / "cache"),
        }
        # One at a time: act names its containers after workflow and job, and removes those it finds of the same name.
        # And nobody may build or remove images meanwhile: podman's build cache does not bear it ("layer not known").
        with locked(CACHE / "act.lock"), locked(self.store.lock):
            return self._run(command, environment, check=False, timeout=timeout, directory=workspace)

    # -- set-up ---------------------------------------------------------------------------------------------------

    def _ensure_base(self) -> None:
        """Have the base image in our store under the Dockerfile's name: cached, pulled, or made by debootstrap."""
        recipe = f"{self.base} {self._test_base('--key')}"
        tag = f"localhost/keylease-e2e:base-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"
        with locked(self.store.lock):
            if self.podman("image", "exists", tag, check=False).exit_code != 0:
                self._make_base(tag)
            for name in (self.base, JOB_IMAGE):
                self.podman("tag", tag, name)

    def _make_base(self, tag: str) -> None:
        raw = "localhost/keylease-e2e:raw"
        context = self._directory / "base"
        pulled = self.podman("pull", "--quiet", self.base, check=False, timeout=180)
        if pulled.exit_code == 0:
            self.podman("tag", self.base, raw)
            self._test_base("--context", str(context), "--from", raw)
        else:
            reason = (pulled.log.strip().splitlines() or ["no reason given"])[-1]
            try:
                self._test_base("--context", str(context))
            except NoEngineError as error:
                raise NoEngineError(f"no base image: {self.base} can't be pulled ({reason}); {error}") from None
        self.podman("build", "--quiet", "--tag", tag, str(context))
        shutil.rmtree(context)

    @staticmethod
    def _test_base(*args: str) -> str:
        environment = {**os.environ, "KEYLEASE_CACHE_DIR": str(CACHE)}
        command = [sys.executable, str(REPOSITORY / "tools/testbase.py"), *args]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise NoEngineError(done.stderr.strip())
        return done.stdout.strip()

    def _serve(self) -> None:
        log = (self._directory / "service.log").open("wb")
        with log:
            self._service = subprocess.Popen(
                [*self.store.command, "system", "service", "--time=0", f"unix://{self.socket}"],
                env=self.store.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + 20
        while not self.socket.exists():
            if self._service.poll() is not None or time.monotonic() > deadline:
                tail = (self._directory / "service.log").read_text(errors="replace")[-500:]
                raise NoEngineError(f"podman's API service did not start: {tail}")
            time.sleep(0.02)

    @staticmethod
    def _run(
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        check: bool,
        timeout: float,
        directory: Path | None = None,
    ) -> Result:
        began = time.monotonic()
        process = subprocess.Popen(
            command,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=directory,
        )
        try:
            output, _ = process.communicate(timeout=timeout)
        except BaseException:
            process.send_signal(signal.SIGINT)  # act and podman take their containers down with them
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=20)
            process.kill()
            process.wait()
            raise
        result = Result(output.decode(errors="replace"), process.returncode, time.monotonic() - began)
        if check and result.exit_code:
            raise AssertionError(f"{' '.join(command[:8])} … failed ({result.exit_code}):\n{result.log[-3000:]}")
        return result


def _plain_environment() -> dict[str, str]:
    """An environment for git and act with nothing of the surrounding CI in it."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": os.environ.get("HOME", "/"),
        "LANG": "C.UTF-8",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_SYSTEM": os.devnull,
    }


def _dotenv_quoted(value: str) -> str:
    """Quote for godotenv, which act reads both files with: in double quotes, `\\`, `"`, `$` and line ends escaped."""
    for char, escape in (("\\", "\\\\"), ('"', '\\"'), ("$", "\\$"), ("\n", "\\n"), ("\r", "\\r")):
        value = value.replace(char, escape)
    return f'"{value}"'
