"""Start the action's container step for step as the hosted runner does, without the runner.

It behaves as these files of actions/runner (src/Runner.Worker) say: `Handlers/ContainerActionHandler.cs` (mounts,
paths, entry points, HOME), `Container/DockerCommandManager.cs` (the `docker run` line), `FileCommandManager.cs` (the
environment files' format), `ActionRunner.cs` (STATE_*), `ActionCommandManager.cs` (add-mask). It is here because act
gives a container's post step no state.

What it can't show: the runner's own services (cache, results), `docker` itself (podman runs the container), the order
of steps, conditions. A test that needs those runs act.
"""

import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import yaml

if TYPE_CHECKING:
    from tests.e2e.engine import Engine

ACTION = Path(__file__).resolve().parents[2] / "action.yml"
# FileCommandManager.cs: what each environment file is called on the host.
FILE_PREFIXES = {
    "env": "set_env_",
    "output": "set_output_",
    "state": "save_state_",
    "path": "add_path_",
    "step_summary": "step_summary_",
}
BLOCKED_ENV = {"NODE_OPTIONS"}  # SetEnvFileCommand refuses it with an error
DATA_ESCAPES = (("%0D", "\r"), ("%0A", "\n"), ("%25", "%"))  # ActionCommand.cs, in its order


class RunnerError(Exception):
    """The runner would have failed the step here (an unreadable environment file, an unknown expression)."""


@dataclass(frozen=True)
class StepResult:
    """What the runner learnt from one container step.

    Attributes:
        exit_code: the container's.
        raw: its stdout and stderr as they came, commands and unmasked values included.
        log: what a reader of the job's log sees: commands taken out, masks applied from where they were set.
        masks: values the step asked to mask, in order.
        env, outputs, state, path, summary: the environment files' content, parsed as the runner parses them.
        blocked: variables of GITHUB_ENV that the runner refuses.
    """

    exit_code: int
    raw: str
    log: str
    masks: list[str]
    env: dict[str, str]
    outputs: dict[str, str]
    state: dict[str, str]
    path: list[str]
    summary: str
    blocked: list[str]


@dataclass
class RunnerJob:
    """One job on one machine: its directories, its environment, and the state its steps hand on.

    Args:
        engine: what runs the containers.
        directory: where the runner's work directory goes (made if need be).
        env: the job's environment (workflow `env:` and what the test wants set: ACTIONS_ID_TOKEN_REQUEST_URL …).
            Values that are host paths of the job are translated, as the runner does.
        image: the container image; the action's own by default.
        action: path of the action.yml to take inputs, args and entry points from; the repository's by default.
        options: further `podman run` options (`--read-only`).
        read_only: mount points that can't be written.
        job_container: id of the job's own container, for a job that has one.
    """

    engine: "Engine"
    directory: Path
    env: dict[str, str] = field(default_factory=dict)
    image: str | None = None
    action: Path | None = None
    options: tuple[str, ...] = ()
    repository: str = "acme/trainer"
    event: dict[str, Any] = field(default_factory=dict)
    state: dict[str, str] = field(default_factory=dict)
    masks: list[str] = field(default_factory=list)
    read_only: tuple[str, ...] = ()
    job_container: str = ""

    def __post_init__(self) -> None:
        name = self.repository.rpartition("/")[2]
        self.workspace = self.directory / "_work" / name / name
        self.temp = self.directory / "_work/_temp"
        made = ("_github_home", "_github_workflow", "_runner_file_commands")
        for path in (self.workspace, *(self.temp / part for part in made)):
            path.mkdir(parents=True, exist_ok=True)
        (self.temp / "_github_workflow/event.json").write_text(json.dumps(self.event))

    @property
    def mounts(self) -> list[tuple[Path, str]]:
        """Host directory and mount point, in the order of ContainerActionHandler.cs."""
        return [
            (self.temp, "/github/runner_temp"),
            (self.temp / "_github_home", "/github/home"),
            (self.temp / "_github_workflow", "/github/workflow"),
            (self.temp / "_runner_file_commands", "/github/file_commands"),
            (self.workspace, "/github/workspace"),
        ]

    def run(
        self,
        stage: Literal["main", "post"],
        *,
        inputs: Mapping[str, str] | None = None,
        env: Mapping[str, str] | None = None,
        options: tuple[str, ...] = (),
    ) -> StepResult:
        """Run the action's main or post step; state, masks and GITHUB_ENV of a step reach the later ones.

        Args:
            stage: post takes action.yml's `post-entrypoint` and the state saved so far.
            inputs: the step's `with:`; defaults of action.yml are added.
            env: the step's own `env:`.
            options: `podman run` options for this step.
        """
        definition = self._definition()
        runs = definition["runs"]
        known = {"github.workspace": str(self.workspace), "runner.temp": str(self.temp)}  # host paths, as on the runner
        known["job.workflow_ref"] = self.env.get("GITHUB_WORKFLOW_REF", "")
        known["job.container.id"] = self.job_container
        specified = (definition.get("inputs") or {}).items()
        values = {name: _evaluate(str((spec or {}).get("default") or ""), known) for name, spec in specified}
        values |= inputs or {}
        suffix = str(uuid.uuid4())
        files = {
            name: self.temp / "_runner_file_commands" / f"{prefix}{suffix}" for name, prefix in FILE_PREFIXES.items()
        }
        for path in files.values():
            path.touch()

        command = ["run", "--rm", "--workdir", "/github/workspace"]
        for name, value in self._environment(runs, values, env or {}, files).items():
            command += ["-e", f"{name}={self.to_container(value)}"]
        command += ["-e", "GITHUB_ACTIONS=true"]
        if "CI" not in self.env:
            command += ["-e", "CI=true"]
        entrypoint = runs.get("entrypoint") if stage == "main" else runs["post-entrypoint"]
        if entrypoint:
            command += ["--entrypoint", entrypoint]
        command += ["--network", "host"]  # the runner: the job's own network; the tests' servers are on loopback
        command += ["-v", f"{self.engine.socket}:/var/run/docker.sock"]
        for host, inside in self.mounts:
            command += ["-v", f"{host}:{inside}{':ro' if inside in self.read_only else ''}"]
        command += [*self.options, *options, self.image or self.engine.action_image()]
        command += [_evaluate(str(argument), _inputs_context(values)) for argument in runs.get("args") or ()]

        done = self.engine.podman(*command, check=False)
        log = self._read_log(done.log)
        pairs = {name: read_pairs(files[name]) for name in ("env", "output", "state")}
        blocked = [name for name, _ in pairs["env"] if name.upper() in BLOCKED_ENV]
        result = StepResult(
            exit_code=done.exit_code,
            raw=done.log,
            log=log,
            masks=list(self.masks),
            env={name: value for name, value in pairs["env"] if name not in blocked},
            outputs=dict(pairs["output"]),
            state=dict(pairs["state"]),
            path=[line for line in files["path"].read_text().splitlines() if line],
            summary=files["step_summary"].read_text(),
            blocked=blocked,
        )
        self.env |= result.env
        self.state |= result.state
        for path in files.values():
            path.unlink(missing_ok=True)
        return result

    def to_container(self, value: str) -> str:
        """ContainerInfo.TranslateToContainerPath: a value that is, or starts with, a mounted host path."""
        for host, inside in reversed(self.mounts):  # AddPathTranslateMapping puts each new one first
            if value == str(host) or value.startswith(f"{host}/"):
                return inside + value.removeprefix(str(host))
        return value

    def to_host(self, path: str) -> Path:
        """The host's path of a path inside the container."""
        for host, inside in reversed(self.mounts):
            if path == inside or path.startswith(f"{inside}/"):
                return Path(f"{host}{path.removeprefix(inside)}")
        raise RunnerError(f"{path} is in no mounted directory")

    def _definition(self) -> dict[str, Any]:
        definition = yaml.safe_load((self.action or ACTION).read_text())
        assert isinstance(definition, dict)
        return definition

    def _environment(
        self, runs: Mapping[str, Any], values: Mapping[str, str], step: Mapping[str, str], files: Mapping[str, Path]
    ) -> dict[str, str]:
        """The container's variables in the runner's order of precedence, host paths not yet translated."""
        environment = {**self.env, **step}
        environment |= {f"STATE_{name}": value for name, value in self.state.items()}
        environment |= {f"INPUT_{name.replace(' ', '_').upper()}": value for name, value in values.items()}
        for name, value in (runs.get("env") or {}).items():
            environment.setdefault(name, _evaluate(str(value), _inputs_context(values)))
        environment["HOME"] = str(self.temp / "_github_home")
        owner, _, _ = self.repository.partition("/")
        context = {
            "ACTION": "__self",
            "ACTOR": "alice",
            "API_URL": "https://api.github.com",
            "EVENT_NAME": "push",
            "EVENT_PATH": str(self.temp / "_github_workflow/event.json"),
            "GRAPHQL_URL": "https://api.github.com/graphql",
            "JOB": "train",
            "REF": "refs/heads/main",
            "REF_NAME": "main",
            "REF_TYPE": "branch",
            "REPOSITORY": self.repository,
            "REPOSITORY_OWNER": owner,
            "RUN_ATTEMPT": "1",
            "RUN_ID": "999",
            "RUN_NUMBER": "7",
            "SERVER_URL": "https://github.com",
            "SHA": "0123456789abcdef0123456789abcdef01234567",
            "WORKFLOW": "CI",
            "WORKSPACE": str(self.workspace),
            **{name.upper(): str(path) for name, path in files.items()},
        }
        environment |= {f"GITHUB_{name}": value for name, value in context.items()}
        runner = {"ARCH": "X64", "ENVIRONMENT": "github-hosted", "NAME": "Test", "OS": "Linux", "TEMP": str(self.temp),
                  "TOOL_CACHE": "/opt/hostedtoolcache", "WORKSPACE": str(self.workspace.parent)}  # fmt: skip
        environment |= {f"RUNNER_{name}": value for name, value in runner.items()}
        # A test that names one of these wants it so (another repository, another event).
        forced = {
            name: value for name, value in (self.env | dict(step)).items() if name.startswith(("GITHUB_", "RUNNER_"))
        }
        return environment | forced

    def _read_log(self, raw: str) -> str:
        """Take the add-mask commands in, as they come, and mask every line after them."""
        shown = []
        for line in raw.splitlines():
            command = re.match(r"::add-mask::(.*)", line.lstrip())
            if command is None:
                shown.append(self._masked(line))
                continue
            value = command[1]
            for escape, char in DATA_ESCAPES:
                value = value.replace(escape, char)
            for part in (value, *(line.strip() for line in re.split(r"[\r\n]", value))):
                if part.strip() and part not in self.masks:
                    self.masks.append(part)
        return "\n".join(shown)

    def _masked(self, line: str) -> str:
        for value in sorted(self.masks, key=len, reverse=True):
            line = line.replace(value, "***")
        return line


def _inputs_context(values: Mapping[str, str]) -> dict[str, str]:
    return {f"inputs.{name}": value for name, value in values.items()}


def _evaluate(text: str, known: Mapping[str, str]) -> str:
    """Replace `${{ name }}` by what *known* says of it; any other expression is an error, never left as it is."""

    def value(match: re.Match[str]) -> str:
        name = match[1].strip()
        if name not in known:
            raise RunnerError(f"no evaluator for ${{{{ {name} }}}}")
        return known[name]

    return re.sub(r"\$\{\{(.*?)\}\}", value, text)


def read_pairs(path: Path) -> list[tuple[str, str]]:
    """EnvFileKeyValuePairs: `NAME=VALUE` lines and `NAME<<DELIMITER` blocks, LF only, exact to the last line end."""
    text = path.read_bytes().decode("utf-8-sig", errors="replace")
    pairs: list[tuple[str, str]] = []
    index = 0

    def read_line() -> tuple[str | None, bool]:
        nonlocal index
        if index >= len(text):
            return None, False
        end = text.find("\n", index)
        if end < 0:
            line, index = text[index:], len(text)
            return line, False
        line, index = text[index:end], end + 1
        return line, True

    while True:
        line, _ = read_line()
        if line is None:
            return pairs
        if not line:
            continue
        equals, heredoc = line.find("="), line.find("<<")
        if equals >= 0 and (heredoc < 0 or equals < heredoc):
            name, _, value = line.partition("=")
            pairs.append((name, value))
        elif heredoc >= 0:
            name, _, delimiter = line.partition("<<")
            if not name or not delimiter:
                raise RunnerError(f"Invalid format '{line}'. Name must not be empty and delimiter must not be empty")
            start = end = index
            value_line, ended = read_line()
            while value_line != delimiter:
                if value_line is None:
                    raise RunnerError(f"Invalid value. Matching delimiter not found '{delimiter}'")
                if not ended:
                    raise RunnerError("Invalid value. EOF marker missing new line.")
                end = index - 1
                value_line, ended = read_line()
            pairs.append((name, text[start:end] if end > start else ""))
        else:
            raise RunnerError(f"Invalid format '{line}'")
