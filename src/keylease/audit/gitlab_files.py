"""GitLab's CI files as rules see them: pipelines of several files, and jobs with all that they inherit.

Files are merged, `!reference`, `extends` and `default` followed in the order in which GitLab does:
https://docs.gitlab.com/ci/yaml/includes/#merge-method-for-include, https://docs.gitlab.com/ci/yaml/#extends,
https://docs.gitlab.com/ci/yaml/yaml_optimization/. Nothing is asked, and nothing here raises for an odd file.
"""

import posixpath
from abc import abstractmethod
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import replace

from keylease.audit.facts import texts
from keylease.audit.model import Finding, Inventory, Location, Record
from keylease.audit.rule import Rule
from keylease.audit.trees import Tree
from keylease.audit.workflows import mapping

KIND = "file.gitlab_ci"
LOCAL = "local"
"""The fact with the files that are included, as far as they are of the repository: relative to the file's directory."""

REFERENCE = "Fn::reference"
"""What the tag `!reference` is in a tree."""

_GLOBAL = {"default", "include", "stages", "types", "variables", "workflow", "spec", "image", "services", "cache"}
_DEFAULTS = ("before_script", "after_script", "id_tokens")
_SCRIPTS = (("before_script", "script"), ("after_script",))
"""Each runs in a shell of its own."""

_MAX_EXTENDS, _MAX_REFERENCES = 11, 10
"""Levels: GitLab's own limits."""

_MAX_WORK, _MAX_ALL_WORK = 1_000_000, 4_000_000
"""Parts that are made for all jobs of a pipeline, of all pipelines: what inherits much and often stays cheap."""

Path = tuple[str | int, ...]
EntryKind = Literal["local", "remote", "project", "component", "template", "other"]


class Entry(Struct, frozen=True):
    """One entry of `include`. text: path, URL, project or component. child: of `trigger`, a pipeline of its own."""

    kind: EntryKind
    text: str
    given: Mapping[str, Any]
    line: int
    child: bool = False


def entries(tree: Tree) -> Iterator[Entry]:
    """All that a file includes."""
    data = mapping(tree.data)
    yield from _entries(tree, data.get("include"), ("include",), child=False)
    for name, job in data.items():
        trigger = mapping(mapping(job).get("trigger"))
        if name not in _GLOBAL and "include" in trigger:
            yield from _entries(tree, trigger["include"], (name, "trigger", "include"), child=True)


def _entries(tree: Tree, given: Any, path: Path, *, child: bool) -> Iterator[Entry]:
    for number, each in enumerate(given if isinstance(given, list) else [given]):
        line = tree.line(*path, number) if isinstance(given, list) else tree.line(*path)
        if isinstance(each, str) and each:
            # GitLab takes what is a URL for `remote`.
            named: EntryKind = "remote" if "://" in each else "local"
            yield Entry(named, each, {}, line, child)
        elif isinstance(each, dict):
            kinds: tuple[EntryKind, ...] = ("local", "remote", "project", "component", "template", "other")
            kind = next((name for name in kinds if isinstance(each.get(name), str)), kinds[-1])
            yield Entry(kind, str(each.get(kind, "")), each, line, child)


class Part(Struct, frozen=True):
    """A value, and where it is written. value: a text, a list, or a mapping of parts; None: not known."""

    value: Any
    record: Record
    path: Path

    @property
    def items(self) -> Mapping[str, "Part"]:
        """Of a mapping; of anything else none."""
        return self.value if isinstance(self.value, dict) else {}

    @property
    def text(self) -> str:
        """Of a text; of anything else the empty one."""
        return self.value if isinstance(self.value, str) else ""

    @property
    def location(self) -> Location | None:
        """The line where it is written."""
        return place(self.record, self.path)


def place(record: Record, path: Path, offset: int = -1) -> Location | None:
    """A line of the record's file. offset: of a line of a text of several."""
    tree = record.facts["tree"]
    return Location(record.location.path, tree.line(*path) + 1 + offset) if record.location else None


class Script(Struct, frozen=True):
    """What one shell runs. text: one command after the other. starts: for each its line from 0, and where it is."""

    text: str
    starts: list[tuple[int, Part]]

    def at(self, line: int) -> tuple[Part, Location | None]:
        """The command with a line of `text`, and where that is written."""
        start, part = self.starts[bisect_right(self.starts, line, key=lambda each: each[0]) - 1]
        several = "\n" in part.value.rstrip("\n")
        return part, place(part.record, part.path, line - start if several else -1)


class Job(Struct, frozen=True):
    """A job with what it inherits. own: the part that has its name. whole: whether all that it inherits is known."""

    name: str
    own: Part
    data: Mapping[str, Part]
    variables: Mapping[str, Part]
    scripts: list[Script]
    whole: bool

    def items(self, name: str) -> Mapping[str, Part]:
        """A keyword that is a mapping."""
        part = self.data.get(name)
        return part.items if part else {}

    @property
    def computed(self) -> set[str]:
        """Variables that `rules` or `parallel: matrix` may set."""
        found: set[str] = set()
        for each in _mappings(self.data, "rules"):
            found |= set(mapping(each.get("variables")))
        parallel = self.items("parallel").get("matrix")
        for each in parallel.value if parallel and isinstance(parallel.value, list) else ():
            found |= set(mapping(each))
        return found


def _mappings(data: Mapping[str, Part], name: str) -> list[Mapping[str, Any]]:
    part = data.get(name)
    return [mapping(each) for each in part.value] if part and isinstance(part.value, list) else []


class _TooMuchError(Exception):
    """A pipeline's jobs inherit more than is looked at."""


class Pipeline:
    """A file and all that it includes, which comes first. unseen: whether something else is included, or can't be told.

    cut: whether its jobs inherit too much to be looked at.
    """

    def __init__(self, records: list[Record], work: int = _MAX_WORK, *, unseen: bool = False) -> None:
        self.records = records
        self.unseen = unseen
        self.cut = False
        self.work = work
        self._raw: dict[str, Part] = {}
        self._made: dict[str, tuple[dict[str, Part], bool]] = {}
        self._used: set[str] = set()
        self.jobs: list[Job] = []
        try:
            for record in records:
                below = Part(self._raw, record, ())
                self._raw = dict(self._merged(below, self._part(record, record.facts["tree"].data, ())).items)
            self.jobs = list(self._jobs())
        except _TooMuchError:
            self.cut = True

    @property
    def judged(self) -> list[Job]:
        """Jobs that run; and hidden ones that none of these inherits from, for they are for others."""
        return [job for job in self.jobs if not job.name.startswith(".") or job.name not in self._used]

    def items(self, name: str) -> Mapping[str, Part]:
        """A mapping at the top."""
        part = self._raw.get(name)
        return part.items if part else {}

    def _part(self, record: Record, value: Any, path: Path) -> Part:
        self._worked(1)
        if isinstance(value, dict):
            return Part({key: self._part(record, each, (*path, key)) for key, each in value.items()}, record, path)
        return Part(value, record, path)

    def _worked(self, count: int) -> None:
        self.work -= count
        if self.work < 0:
            raise _TooMuchError

    def _merged(self, below: Part | None, above: Part) -> Part:
        if below is None or not (isinstance(below.value, dict) and isinstance(above.value, dict)):
            return above
        self._worked(len(below.items) + len(above.items))
        found = dict(below.items)
        for key, each in above.items.items():
            found[key] = self._merged(found.get(key), each)
        return Part(found, above.record, above.path)

    def _jobs(self) -> Iterator[Job]:
        default = self._followed(self._raw["default"], 0)[0].items if "default" in self._raw else {}
        shared = self._followed(self._raw["variables"], 0)[0].items if "variables" in self._raw else {}
        for name, own in self._raw.items():
            if name in _GLOBAL or name in _DEFAULTS or not isinstance(own.value, dict):
                continue
            data, whole = self._job(name, ())
            inherit = data["inherit"].items if "inherit" in data else {}
            for key in _DEFAULTS:
                given = default.get(key) or (self._raw.get(key) if key != "id_tokens" else None)
                if key not in data and given and _inherits(inherit.get("default"), key):
                    data = {**data, key: given}
            self._worked(len(shared))
            variables = {key: each for key, each in shared.items() if _inherits(inherit.get("variables"), key)}
            variables |= data["variables"].items if "variables" in data else {}
            scripts = [script for keys in _SCRIPTS if (script := self._script(data, keys))]
            yield Job(name, own, data, variables, scripts, whole)

    def _job(self, name: str, trail: tuple[str, ...]) -> tuple[dict[str, Part], bool]:
        if name in self._made:
            return self._made[name]
        own, whole = self._followed(self._raw[name], 0)
        merged: Part | None = None
        extends = own.items.get("extends")
        named = extends.value if extends else []
        for base in [named] if isinstance(named, str) else named if isinstance(named, list) else ():
            known = isinstance(base, str) and base in self._raw and bool(self._raw[base].items)
            if not known or base in (*trail, name) or len(trail) >= _MAX_EXTENDS:
                whole = False
                continue
            self._used.add(base)
            inherited, known = self._job(base, (*trail, name))
            whole = whole and known
            merged = self._merged(merged, Part(inherited, own.record, own.path))
        found = dict(self._merged(merged, own).items)
        self._made[name] = found, whole
        return found, whole

    def _followed(self, part: Part, depth: int) -> tuple[Part, bool]:
        """`part` with what its references in mappings lead to; and whether all of them were found."""
        if not part.items:
            return part, True
        self._worked(len(part.items))
        if set(part.items) == {REFERENCE}:
            found = self._referenced(part.items[REFERENCE].value, depth)
            return self._followed(found, depth + 1) if found else (Part(None, part.record, part.path), False)
        made = {key: self._followed(each, depth) for key, each in part.items.items()}
        return Part({key: each for key, (each, _) in made.items()}, part.record, part.path), all(
            known for _, known in made.values()
        )

    def _referenced(self, steps: Any, depth: int) -> Part | None:
        self._worked(1)
        found = self._raw.get(steps[0]) if isinstance(steps, list) and steps and isinstance(steps[0], str) else None
        if found is None or depth >= _MAX_REFERENCES:
            return None
        self._used.add(steps[0])
        for step in steps[1:]:
            found = found.items.get(step) if found is not None and isinstance(step, str) else None
        return found

    def _script(self, data: Mapping[str, Part], keys: tuple[str, ...]) -> Script | None:
        starts: list[tuple[int, Part]] = []
        commands: list[str] = []
        line = 0
        for part in (each for key in keys if key in data for each in self._commands(data[key], 0)):
            starts.append((line, part))
            commands.append(part.value)
            line += part.value.count("\n") + 1
            self._worked(len(part.value) // 10)
        return Script("\n".join(commands), starts) if commands else None

    def _commands(self, part: Part, depth: int) -> Iterator[Part]:
        self._worked(1)
        if part.text:
            yield part
        elif isinstance(part.value, list):
            for number, each in enumerate(part.value):
                steps = mapping(each).get(REFERENCE)
                if steps is None:
                    yield from self._commands(Part(each, part.record, (*part.path, number)), depth)
                elif found := self._referenced(steps, depth):
                    yield from self._commands(found, depth + 1)


def _inherits(given: Part | None, name: str) -> bool:
    if given is None:
        return True
    return name in given.value if isinstance(given.value, list) else given.value != "false"


CUT = ("its jobs inherit more than is looked at", "let them inherit less")
"""What is told of a pipeline that is cut, and what to change."""

_last: tuple[list[Record], list[Pipeline]] = ([], [])


def pipelines(inventory: Inventory) -> list[Pipeline]:
    """Each file that no other one includes, with all that it includes; child pipelines for themselves."""
    global _last  # noqa: PLW0603 - made once for all rules
    records = [each for each in inventory.of(KIND) if isinstance(each.facts.get("tree"), Tree)]
    if len(records) != len(_last[0]) or any(a is not b for a, b in zip(records, _last[0], strict=True)):
        _last = records, _made(records)
    return _last[1]


def _made(records: list[Record]) -> list[Pipeline]:
    known: dict[str, Record | None] = {}
    for record in records:
        path = record.location.path if record.location else record.subject
        # Two of one name are of two repositories: which of them is meant can't be told.
        known[path] = None if path in known else record
    inner = {id(each) for record in records for each in _included(record, known)}
    made: list[Pipeline] = []
    seen: set[int] = set()
    left = _MAX_ALL_WORK + 1000 * len(records)
    # Files that include each other only come last: one of them stands for the pipeline.
    for record in sorted(records, key=lambda each: id(each) in inner):
        if id(record) in inner and id(record) in seen:
            continue
        chain = _chain(record, known)
        seen |= {id(each) for each in chain}
        unseen = any(_is_unseen(each, known) for each in chain)
        given = min(left, _MAX_WORK)
        made.append(Pipeline(chain, given, unseen=unseen))
        left -= given - max(made[-1].work, 0)
    return made


def _included(record: Record, known: Mapping[str, Record | None]) -> list[Record]:
    here = posixpath.dirname(record.location.path) if record.location else ""
    whole = [posixpath.normpath(posixpath.join(here, each)) for each in texts(record, LOCAL)]
    return [found for each in whole if (found := known.get(each)) and found is not record]


def _chain(record: Record, known: Mapping[str, Record | None]) -> list[Record]:
    """What is included comes before what includes it, and wins less; of several times the last one counts."""
    found: list[Record] = []
    seen: set[int] = set()
    stack = [record]
    while stack:
        each = stack.pop()
        if id(each) not in seen:
            seen.add(id(each))
            found.append(each)
            stack += _included(each, known)
    return found[::-1]


def _is_unseen(record: Record, known: Mapping[str, Record | None]) -> bool:
    wanted = [each for each in entries(record.facts["tree"]) if not each.child]
    paths = record.facts.get(LOCAL)
    seen = len(_included(record, known)) == len(paths) if isinstance(paths, list) else not wanted
    return not seen or any(each.kind != "local" for each in wanted)


class GitlabRule(Rule):
    """A rule about pipelines."""

    needs = (KIND,)
    sample = ".gitlab-ci.yml"

    def lacks(self, inventory: Inventory) -> tuple[str, str] | None:
        """Where jobs inherit too much, which the collector of files has not told: it is of several snapshots."""
        told = {each.location for each in inventory.problems if each.kind == KIND}
        for each in pipelines(inventory):
            if each.cut and each.records[-1].location not in told:
                return CUT
        return None

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """What is written once is found once, whoever inherits it."""
        places: dict[tuple[str, str], list[Location | None]] = {}
        for pipeline in pipelines(inventory):
            for each in self.judge(pipeline):
                alike = places.setdefault((each.subject, each.key), [])
                if each.location not in alike:
                    yield replace(each, key=f"{each.key} {len(alike)}")
                    alike.append(each.location)

    @abstractmethod
    def judge(self, pipeline: Pipeline) -> Iterator[Finding]:
        """All findings of one pipeline. Those of one key are told apart by where they are."""
