"""The runner of the demo: the tests' GitHub runner, with a child process where the hosted one starts a container.

`tests/e2e/runner.py` knows what the runner does around a container step (inputs, state, environment files, masks).
Here the same step is an ordinary process of this machine, so the demo needs no container engine; paths are therefore
the same inside and outside.
"""

import itertools
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from tests.e2e.engine import Engine, Result
from tests.e2e.runner import RunnerJob

STEP_SECONDS = 60
# As the image's entry points do it (docker/assemble.py): isolated from PYTHON* variables and the script's directory.
ENTRY = "import sys; from keylease.action import {function}; sys.exit({function}())"


class ProcessEngine:
    """Takes the `podman run` line of a step and runs the entry point as a child process with that environment."""

    socket = Path("/dev/null")
    command: tuple[str, ...] = (sys.executable, "-IBXutf8", "-c")

    def action_image(self) -> str:
        """The name in the image's place; nothing reads it."""
        return "keylease"

    def podman(self, *arguments: str, check: bool = True) -> Result:
        """Run a step. Raises subprocess.TimeoutExpired when it hangs."""
        environment = dict(_values(arguments, "-e"))
        post = any(entry.endswith("-post") for entry, _ in _values(arguments, "--entrypoint"))
        started = time.monotonic()
        done = subprocess.run(
            [*self.command, ENTRY.format(function="post" if post else "main")],
            check=check,
            env=environment,
            cwd=environment["GITHUB_WORKSPACE"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            timeout=STEP_SECONDS,
        )
        return Result(done.stdout, done.returncode, time.monotonic() - started)


def _values(arguments: tuple[str, ...], option: str) -> Iterator[tuple[str, str]]:
    for flag, value in itertools.pairwise(arguments):
        if flag == option:
            name, _, text = value.partition("=")
            yield name, text


@dataclass
class HostJob(RunnerJob):
    """One job whose steps are processes of this machine."""

    @property
    def mounts(self) -> list[tuple[Path, str]]:
        """Nothing is mounted anywhere else: each path is its own translation."""
        return [(host, str(host)) for host, _ in super().mounts]


def host_job(directory: Path, env: dict[str, str], repository: str) -> HostJob:
    """A job of `repository` below `directory`."""
    # RunnerJob asks nothing of its engine but the three names that ProcessEngine has.
    return HostJob(cast(Engine, ProcessEngine()), directory, env=env, repository=repository)
