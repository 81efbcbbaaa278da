"""GitHub's workflow and action files as rules see them: triggers, jobs, steps, actions, and every use of a secret.

https://docs.github.com/actions/reference/workflows-and-actions/workflow-syntax; expressions:
https://docs.github.com/actions/reference/workflows-and-actions/expressions. Nothing here raises for an odd file.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal
from weakref import WeakKeyDictionary

from msgspec import Struct

from keylease.audit.model import Inventory, Location, Record
from keylease.audit.trees import Tree

Path = tuple[str | int, ...]
At = Literal["env", "with", "run", "secrets", "other"]

GITHUB_TOKEN = "GITHUB_TOKEN"  # noqa: S105 - a name: the job's own token, which ends with the job
WHOLE, COMPUTED = "*", "[…]"
"""In place of a secret's name: all secrets at once; one whose name is only known when the job runs."""

_EXPRESSION = re.compile(r"\$\{\{((?:'(?:[^']|'')*+'|(?!\}\}).)*+)", re.DOTALL)
_SECRETS = re.compile(
    r"""'(?:[^']|'')*+'
    | (?<![\w.-]) secrets (?![\w-]) \s*
      (?: \. \s* (?: (?P<name>[A-Za-z_][\w-]*) | (?P<all>\*) )
        | \[ \s* '(?P<quoted>(?:[^']|'')*+)' \s* \]
        | (?P<computed>\[) )?""",
    re.IGNORECASE | re.VERBOSE,
)
_TESTED_AFTER = re.compile(r"\s*(?:==|!=|&&)")
_TESTED_BEFORE = re.compile(r"(?:==|!=|!)\s*\Z")
_NO_SECRET = re.compile(
    r"(?:ROLE|ROLE_?ARN|ROLE_TO_ASSUME|_ARN|REGION|(?:ACCOUNT|CLIENT|TENANT|SUBSCRIPTION|PROJECT|APP|ORG|ROLE)_ID|_EMAIL"
    r"|_?USERNAME|_USER|_HOST|_BUCKET|IDENTITY_PROVIDER|PUBLIC_KEY)\Z"
)
"""Names of identifiers that many keep as secrets: with one of them alone nobody gets in."""

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}", re.IGNORECASE)


def shown(text: Any, limit: int = 80) -> str:
    """A name out of a file, for a message: one line of printable signs, cut to `limit`."""
    flat = " ".join("".join(sign if sign.isprintable() else " " for sign in str(text)[: 4 * limit]).split())
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"


def listed(names: Sequence[str], limit: int = 6) -> str:
    """Names for a message."""
    some = ", ".join(shown(name) for name in names[:limit])
    return some + (f" and {len(names) - limit} more" if len(names) > limit else "")


def expressions(text: str) -> Iterator[tuple[int, str]]:
    """Where each ``${{ … }}`` starts, and what stands in it. One that is never closed goes on to the end."""
    for found in _EXPRESSION.finditer(text):
        yield found.start(), found[1]


class Named(Struct, frozen=True):
    """A secret in an expression. name: upper case, as GitHub compares names. tested: only compared, never passed on."""

    name: str
    tested: bool


def secrets_in(expression: str) -> Iterator[Named]:
    """Secrets in what stands between ``${{`` and ``}}``."""
    if "secrets" not in expression.lower():
        return
    for found in _SECRETS.finditer(expression):
        if found[0].startswith("'"):
            continue
        name = found["name"] or found["quoted"]
        if not name:
            name = COMPUTED if found["computed"] else WHOLE
        before, after = expression[: found.start()], expression[found.end() :]
        yield Named(name.upper(), bool(_TESTED_AFTER.match(after) or _TESTED_BEFORE.search(before)))


class Action(Struct, frozen=True):
    """What stands behind ``uses:``. name: ``owner/repo`` in lower case, empty for a local one. ref: after the ``@``."""

    text: str
    name: str = ""
    ref: str = ""
    kind: Literal["repository", "local", "docker"] = "repository"

    @property
    def owner(self) -> str:
        """Of the repository, in lower case; empty where there is none."""
        return self.name.partition("/")[0]

    @property
    def pinned(self) -> bool:
        """Whether it can't become other code by itself: a commit, an image's digest, or the repository's own files."""
        if self.kind == "docker":
            return "@sha256:" in self.text
        return self.kind == "local" or bool(_COMMIT.fullmatch(self.ref))


def action(uses: Any) -> Action | None:
    """``uses:`` taken apart, or None where there is none."""
    if not isinstance(uses, str) or not uses.strip():
        return None
    text = uses.strip()
    if text.startswith("docker://"):
        return Action(text, kind="docker")
    if text.startswith(("./", "../", ".\\")):
        return Action(text, kind="local")
    where, _, ref = text.partition("@")
    return Action(text, "/".join(where.split("/")[:2]).lower(), ref)


class Use(Struct, frozen=True):
    """One place where a secret is used.

    name: of the secret, upper case; `WHOLE`; `COMPUTED`. at: which part of the file. key: the variable, the input or
    the secret that gets it. job: its id; empty: the whole workflow. step: its number from 0, or -1. line: from 1.
    """

    name: str
    at: At
    key: str
    job: str
    step: int
    path: Path
    line: int
    tested: bool = False

    @property
    def secret(self) -> bool:
        """Whether a value goes there with which somebody gets in for longer than the job lasts, by the name."""
        return not self.tested and self.name != GITHUB_TOKEN and not _NO_SECRET.search(self.name)


class Step(Struct, frozen=True):
    """One step. number: from 0."""

    number: int
    data: Mapping[str, Any]
    path: Path
    line: int

    @property
    def action(self) -> Action | None:
        """What it `uses`."""
        return action(self.data.get("uses"))

    @property
    def run(self) -> str:
        """Its script."""
        return text_of(self.data.get("run"))

    @property
    def title(self) -> str:
        """How to call it in a message."""
        name = self.data.get("name") or self.data.get("id") or self.data.get("uses")
        return f"step {self.number + 1} ({shown(name, 60)})" if isinstance(name, str) else f"step {self.number + 1}"


class Job(Struct, frozen=True):
    """One job; an action's steps stand in one with an empty id. action: the reusable workflow that it calls."""

    id: str
    data: Mapping[str, Any]
    path: Path
    line: int
    steps: tuple[Step, ...]

    @property
    def action(self) -> Action | None:
        """The reusable workflow that it calls."""
        return action(self.data.get("uses"))

    @property
    def title(self) -> str:
        """How to call it in a message."""
        return f"job {shown(self.id, 60)}" if self.id else "the action"


class Workflow:
    """A workflow, or an action: then `triggers` is empty."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.data = mapping(tree.data)
        self.triggers = _triggers(self.data.get("on"))
        self.jobs = tuple(_jobs(tree, self.data))
        self.uses = tuple(_uses(tree))
        self._jobs = {job.id: job for job in self.jobs}
        self._steps = {(job.id, step.number): step for job in self.jobs for step in job.steps}
        self._placed: dict[tuple[str, int], list[Use]] = {}
        for use in self.uses:
            self._placed.setdefault((use.job, use.step), []).append(use)

    def job(self, name: str) -> Job | None:
        """The job with this id."""
        return self._jobs.get(name)

    def step(self, use: Use) -> Step | None:
        """The step that a secret is used in."""
        return self._steps.get((use.job, use.step))

    def uses_at(self, job: Job | None, step: Step | None = None) -> list[Use]:
        """What a step, a job beside its steps, or (no job) the workflow beside its jobs uses itself."""
        where = (job.id if job else "", step.number if step else -1)
        return self._placed.get(where, []) if job is None or job.id or step else []

    def permissions(self, job: Job) -> Any:
        """What the job's own token may: its own `permissions` or the workflow's; None: the repository's default."""
        return job.data.get("permissions", self.data.get("permissions"))

    def env(self, job: Job | None, step: Step | None = None) -> dict[str, str]:
        """Variables as they are written for a step, a job, or (no job) all of the workflow."""
        found: dict[str, str] = {}
        for data in (self.data, job.data if job else {}, step.data if step else {}):
            found |= {name: text_of(value) for name, value in mapping(data.get("env")).items()}
        return found

    def secrets_seen_by(self, job: Job, step: Step) -> dict[str, Use]:
        """Variable → the use that puts a secret into it, as the step sees them."""
        levels: dict[str, Path] = {}  # variable → where the innermost `env` that has it stands: that one wins
        for path, data in (((), self.data), (job.path, job.data), (step.path, step.data)):
            levels |= dict.fromkeys(mapping(data.get("env")), path)
        every = [*self.uses_at(None), *self.uses_at(job), *self.uses_at(job, step)]
        found = [use for use in every if use.at == "env" and not use.tested]
        return {use.key: use for use in found if levels.get(use.key) == use.path[:-2]}

    def used_in(self, job: Job) -> list[Use]:
        """All uses of what is `secret` whose value reaches the job, the workflow's own variables with it."""
        inner = [use for step in job.steps for use in self.uses_at(job, step)]
        return [use for use in [*self.uses_at(None), *self.uses_at(job), *inner] if use.secret]

    def shell(self, job: Job, step: Step) -> str:
        """What runs the step's script, such as ``bash``, ``pwsh`` or ``cmd``; ``bash`` where nothing says."""
        for data in (step.data, *(mapping(mapping(each.get("defaults")).get("run")) for each in (job.data, self.data))):
            if isinstance(shell := data.get("shell"), str):
                return shell.split()[0].lower() if shell.split() else "bash"
        return "pwsh" if "windows" in text_of(job.data.get("runs-on")).lower() else "bash"


_known: WeakKeyDictionary[Tree, Workflow] = WeakKeyDictionary()


def workflow(tree: Tree) -> Workflow:
    """The workflow in `tree`, taken apart once for all rules."""
    if tree not in _known:
        _known[tree] = Workflow(tree)
    return _known[tree]


def workflows(inventory: Inventory) -> Iterator[tuple[Record, Workflow]]:
    """Every workflow and action of an inventory."""
    for record in inventory.of("file.workflow"):
        if isinstance(tree := record.facts.get("tree"), Tree):
            yield record, workflow(tree)


def at(record: Record, line: int) -> Location | None:
    """A line of the record's file."""
    return Location(record.location.path, line) if record.location else None


def mapping(value: Any) -> Mapping[str, Any]:
    """`value` if it is a mapping, else an empty one."""
    return value if isinstance(value, dict) else {}


def text_of(value: Any) -> str:
    """`value` if it is a text; a list's texts with blanks between them; else nothing."""
    if isinstance(value, list):
        return " ".join(each for each in value if isinstance(each, str))
    return value if isinstance(value, str) else ""


def evidence(uses: Sequence[Use], limit: int = 6) -> tuple[tuple[str, str], ...]:
    """Where the secrets are used; what else stands there is not shown, for it may be a value."""
    return tuple((f"line {use.line}", f"{shown(use.key)}: {_reference(use.name)}") for use in uses[:limit])


def _reference(name: str) -> str:
    if name == WHOLE:
        return "all secrets"
    return f"secrets{name}" if name == COMPUTED else f"secrets.{shown(name)}"


def names(uses: Sequence[Use], limit: int = 6) -> str:
    """Names of the secrets, once each, in order, for a message."""
    every = list(dict.fromkeys("all secrets" if use.name == WHOLE else shown(use.name) for use in uses))
    more = f" and {len(every) - limit} more" if len(every) > limit else ""
    return ", ".join(every[:limit]) + more


def _triggers(on: Any) -> dict[str, Mapping[str, Any]]:
    if isinstance(on, str):
        return {on: {}}
    if isinstance(on, list):
        return {each: {} for each in on if isinstance(each, str)}
    return {name: mapping(value) for name, value in mapping(on).items()}


def _jobs(tree: Tree, data: Mapping[str, Any]) -> Iterator[Job]:
    for name, job in mapping(data.get("jobs")).items():
        if isinstance(job, dict):
            path: Path = ("jobs", name)
            yield Job(name, job, path, tree.line(*path), tuple(_steps(tree, job, path)))
    if isinstance(runs := data.get("runs"), dict) and "jobs" not in data:
        yield Job("", runs, ("runs",), tree.line("runs"), tuple(_steps(tree, runs, ("runs",))))


def _steps(tree: Tree, job: Mapping[str, Any], path: Path) -> Iterator[Step]:
    steps = job.get("steps")
    for number, step in enumerate(steps if isinstance(steps, list) else ()):
        if isinstance(step, dict):
            where: Path = (*path, "steps", number)
            yield Step(number, step, where, tree.line(*where))


def _uses(tree: Tree) -> Iterator[Use]:
    for path, text in _scalars(tree.data, ()):
        for offset, expression in expressions(text):
            for named in secrets_in(expression):
                place, key, job, step = _place(path)
                line = tree.line(*path)
                if place == "run" and "\n" in text:  # a block: its text starts on the line after the key
                    line += 1 + text.count("\n", 0, offset)
                yield Use(named.name, place, key, job, step, path, line, named.tested)


def _scalars(node: Any, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(node, dict):
        # Variables of the workflow and of a job come before those of steps, which win over them.
        for key in sorted(node, key=lambda name: name != "env"):
            yield from _scalars(node[key], (*path, key))
    elif isinstance(node, list):
        for number, each in enumerate(node):
            yield from _scalars(each, (*path, number))
    elif isinstance(node, str) and "${{" in node:
        yield path, node


def _place(path: Path) -> tuple[At, str, str, int]:
    job, step, rest = "", -1, path
    if len(path) > 1 and path[0] == "jobs":
        job, rest = str(path[1]), path[2:]
    elif path[:1] == ("runs",):
        rest = path[1:]
    if len(rest) > 1 and rest[0] == "steps" and isinstance(rest[1], int):
        step, rest = rest[1], rest[2:]
    key = str(rest[1]) if len(rest) > 1 else ""
    if rest[:1] == ("run",) and step >= 0:
        return "run", "run", job, step
    if rest and rest[0] in ("env", "with", "secrets") and len(rest) <= 2:
        known: At = "env" if rest[0] == "env" else "with" if rest[0] == "with" else "secrets"
        return known, key, job, step
    return "other", str(rest[-1]) if rest else "", job, step
