"""The repository's files: CI files of GitHub, GitLab and Jenkins, `.env` files; policies in JSON, YAML, Terraform, HCL.

Needs no credential and asks nobody. What can't be read is a :class:`Problem` of every kind that it might have held.
"""

import re
from collections.abc import Collection, Iterable, Iterator, MutableMapping, Sequence
from pathlib import Path
from typing import Any

from keylease.audit.collectors.listing import SKIPPED, Reader, UnreadableError, listing
from keylease.audit.model import Inventory, Location, Problem, Record
from keylease.audit.trees import Tree, TreeError, yaml_trees

JENKINS = "file.jenkinsfile"
WORKFLOW, GITLAB, ENV, DEPENDABOT = "file.workflow", "file.gitlab_ci", "file.env", "file.dependabot"
POLICIES = ("aws.trust_policy", "aws.iam_policy", "aws.role_policies", "vault.jwt_role", "vault.policy")
KUBERNETES = "file.kubernetes"
STATIC_KEY = "iac.static_key"
KINDS = (WORKFLOW, GITLAB, ENV, JENKINS, DEPENDABOT, KUBERNETES, STATIC_KEY, *POLICIES)

MAX_BYTES = 2 * 1024 * 1024
"""Of one file."""

_WORKFLOW = re.compile(r"(?:^|/)(?:\.github/workflows/[^/]+|action)\.ya?ml$")
_LIKE_WORKFLOW = tuple(re.compile(rb"^[\"']?%s[\"']?[ \t]*:" % key, re.MULTILINE) for key in (b"on", b"jobs"))
_GITLAB = re.compile(r"(?:^|/)(?:[^/]*\.gitlab-ci\.ya?ml|\.gitlab(?:-ci|/ci)/(?:.*/)?[^/]+\.ya?ml)$")
_DEPENDABOT = re.compile(r"(?:^|/)\.github/dependabot\.ya?ml$")
_JENKINS = re.compile(r"(?:^|/)(?:Jenkinsfile(?:\.[^/]+)?|[^/]+\.jenkinsfile)$")
_ENV = re.compile(r"(?:^|/)(?:\.env(?:\.[^/]+)?|[^/]+\.env)$")
_TERRAFORM = (".tf", ".tf.json", ".tofu", ".tofu.json")
_OF_TERRAFORM = (*POLICIES, STATIC_KEY)
_AWS = (b"Statement", b"Effect")
_ATTACHED = (b"ManagedPolicyArns", b"AttachedManagedPolicies")
_VAULT_ROLE = (b'"user_claim"',)
_VAULT_JSON = (b'"path"', b'"capabilities"')
_VAULT_HCL = re.compile(rb'^[ \t]*path[ \t]+"', re.MULTILINE)
_LINE = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_.-]*)\s*=\s*(.*)")


def collect(root: Path, only: Sequence[str] = (), skipped: Collection[str] = SKIPPED) -> Inventory:
    """The files below `root`, or `only` these paths of it. skipped: names of directories that are passed over.

    A file that is asked for by its path is a workflow wherever it lies, if it has `on:` and `jobs:`.
    """
    inventory = Inventory(kinds=set(KINDS))
    collector = _Collector(root, inventory, asked=bool(only))
    if only:
        collector.all(only)
        return inventory
    found = listing(root, skipped)
    for where, why in found.problems:
        text = f"the directory can't be read: {why}"
        inventory.problems.append(Problem("", text, "let the audit read it", Location(_shown(where))))
    for path in found.absent:
        for kind in collector.kinds(path):
            collector.problem(kind, path, "a sparse checkout left it out", "check out the whole repository")
    absent = set(found.absent)
    collector.all([path for path in found.paths if path not in absent])
    collector.follow()
    return inventory


def kinds_by_name(path: str) -> tuple[str, ...]:
    """The kinds that a file of this name can be; those of JSON and other YAML are told by what is in them."""
    if _WORKFLOW.search(path):
        return (WORKFLOW,)
    if _GITLAB.search(path):
        return (GITLAB,)
    if _DEPENDABOT.search(path):
        return (DEPENDABOT,)
    if _ENV.search(path):
        return (ENV,)
    if _JENKINS.search(path):
        return (JENKINS,)
    if path.endswith(_TERRAFORM):
        return _OF_TERRAFORM
    return ("vault.policy",) if path.endswith(".hcl") else ()


class _Collector:
    def __init__(self, root: Path, inventory: Inventory, *, asked: bool) -> None:
        self._reader = Reader(root)
        self._asked = asked
        self._above = f"{root.parent.name}/{root.name}/"  # the root can be `.github` itself
        self._inventory = inventory
        self._terraform: dict[str, dict[str, str]] = {}
        self._interesting: dict[str, tuple[str, ...]] = {}
        self._paths: frozenset[str] = frozenset()
        self._gitlab: dict[str, MutableMapping[str, Any] | None] = {}

    def all(self, paths: Sequence[str]) -> None:
        """Take in all of `paths`."""
        self._paths = frozenset(paths)
        for path in paths:
            self._one(path)
        if self._interesting:
            from keylease.audit.collectors.terraform import in_directory

            known = {_shown(path) for path in paths}
            for files in self._terraform.values():
                if any(path in self._interesting for path in files):
                    self._take(in_directory(files, self._interesting, known))

    def follow(self) -> None:
        """Take in what GitLab's CI files include, too."""
        if self._gitlab:
            from keylease.audit.collectors.gitlab_includes import Includes
            from keylease.audit.gitlab_files import CUT, pipelines

            def tell(path: str, what: str, change: str, line: int) -> None:
                self.problem(GITLAB, path, what, change, line)

            Includes(self._gitlab, sorted(self._paths), lambda path: self._one(path, (GITLAB,)), tell, _shown).follow()
            for each in pipelines(self._inventory):
                if each.cut and (location := each.records[-1].location):
                    self._inventory.problems.append(Problem(GITLAB, *CUT, location))

    def kinds(self, path: str) -> tuple[str, ...]:
        """The kinds that a file of this name can be."""
        return kinds_by_name(self._above + path)

    def problem(self, kind: str, path: str, why: str, change: str = "", line: int = 0) -> None:
        """A file that could not be looked at."""
        where = _shown(path)
        self._inventory.problems.append(Problem(kind, why, change, Location(where, line)))

    def _take(self, found: Iterable[Record | Problem]) -> None:
        for each in found:
            if each.kind and each.kind not in KINDS:
                self._inventory.kinds.add(each.kind)  # of a cloud: looked for where the files speak of it
            if isinstance(each, Record):
                self._inventory.records.append(each)
            else:
                self._inventory.problems.append(each)

    def _one(self, path: str, kinds: tuple[str, ...] = ()) -> bool:
        """False: it is not there. kinds: what it is, whatever its name."""
        kinds = kinds or self.kinds(path)
        suffix = path.rpartition(".")[2]
        if not kinds and suffix not in ("json", "yml", "yaml", "template"):
            if path in (".github", ".github/workflows") and self._reader.is_link(path):
                self.problem(WORKFLOW, path, "it is a symbolic link, which is not followed", "make it a directory")
            return True
        if kinds == (GITLAB,):
            self._gitlab[path] = None
        try:
            data = self._reader.read(path, MAX_BYTES)
            if len(data) > MAX_BYTES:
                kinds = kinds or self._kinds_of_large(path)
                for kind in kinds:
                    self.problem(kind, path, f"it is larger than {MAX_BYTES // 1024 // 1024} MiB", "split it")
                return True
        except FileNotFoundError:
            self._gitlab.pop(path, None)
            return False  # deleted, and git has not been told yet
        except (UnreadableError, OSError) as error:
            target = self._reader.target(path)
            if target in self._paths and self.kinds(target) == kinds and target.endswith(suffix):
                return True  # looked at under its own name
            for kind in kinds or ("aws.trust_policy", "aws.iam_policy", KUBERNETES):
                self.problem(kind, path, f"it can't be read: {error}", "let the audit read it")
            return True
        self._data(path, data, kinds)
        return True

    def _kinds_of_large(self, path: str) -> tuple[str, ...]:
        found: tuple[str, ...] = ()
        if self._reader.holds(path, _AWS):
            found = ("aws.trust_policy", "aws.iam_policy")
        if any(self._reader.holds(path, (b"apiVersion", word)) for word in (b"kind: Secret\n", b'"Secret"')):
            found = (*found, KUBERNETES)
        return (*found, "vault.jwt_role") if self._reader.holds(path, _VAULT_ROLE) else found

    def _data(self, path: str, data: bytes, kinds: tuple[str, ...]) -> None:
        by_name = bool(kinds)
        if not by_name:
            is_workflow = self._asked and all(each.search(data) for each in _LIKE_WORKFLOW)
            kinds = (WORKFLOW,) if is_workflow else _kinds_by_content(path, data)
        elif path.endswith(".hcl"):
            kinds = kinds if _VAULT_HCL.search(data) else ()
        elif kinds == _OF_TERRAFORM:
            from keylease.audit.collectors.terraform import kinds_of

            kinds = kinds_of(data)
        if not kinds and not path.endswith(_TERRAFORM):
            return
        text = _decoded(data)
        if text is None:
            for kind in kinds:
                self.problem(kind, path, "it is no text in UTF-8", "save it as UTF-8")
            return
        if path.endswith(_TERRAFORM):
            shown = _shown(path)
            self._terraform.setdefault(path.rpartition("/")[0], {})[shown] = text
            if kinds:
                self._interesting[shown] = kinds
        elif kinds == (ENV,):
            self._env(path, text)
        elif kinds == (JENKINS,):
            self._jenkins(path, text)
        elif path.endswith(".hcl"):
            self._hcl(path, text)
        elif kinds in ((WORKFLOW,), (GITLAB,), (DEPENDABOT,)):
            self._ci(path, text, kinds[0])
        else:
            self._policies(path, text, kinds)

    def _record(self, kind: str, path: str, facts: dict[str, Any]) -> None:
        shown = _shown(path)
        self._inventory.records.append(Record(kind, f"file://{shown}", facts, Location(shown, 1)))

    def _ci(self, path: str, text: str, kind: str) -> None:
        change = "mend it: what can't be read is not checked"
        try:
            trees = [tree for tree in yaml_trees(text, intrinsics=kind == GITLAB) if tree.data != ""]
        except TreeError as error:
            self.problem(kind, path, f"it is no YAML: {error}", change, error.line)
            return
        if kind == GITLAB:
            # A component's or template's header, which has no jobs: https://docs.gitlab.com/ci/inputs/
            trees = [tree for tree in trees if not (len(trees) > 1 and _only_spec(tree))]
        if not trees or any(not isinstance(tree.data, dict) for tree in trees):
            self.problem(kind, path, "it holds no mapping", change)
        elif len(trees) > 1:
            self.problem(kind, path, "it holds several documents", "keep one", trees[1].line())
        elif kind == DEPENDABOT:
            from keylease.audit.collectors.dependabot import facts

            self._record(kind, path, facts(trees[0]))
        else:
            held: dict[str, Any] = {"tree": trees[0]}
            self._record(kind, path, held)
            if kind == GITLAB:
                self._gitlab[path] = held

    def _env(self, path: str, text: str) -> None:
        names, empty = [], []
        for name, value in _assignments(text):
            names.append(name)
            if not value:
                empty.append(name)
        self._record(ENV, path, {"names": names, "empty": empty})

    def _jenkins(self, path: str, text: str) -> None:
        from keylease.audit.collectors.jenkinsfile import MAX_SIGNS, facts_of

        if len(text) > MAX_SIGNS:
            self.problem(JENKINS, path, f"it is larger than {MAX_SIGNS // 1024} KiB", "split it")
        else:
            self._record(JENKINS, path, facts_of(text))

    def _hcl(self, path: str, text: str) -> None:
        from keylease.audit.hcl import HclError, parse
        from keylease.audit.vault_policies import is_read

        try:
            parse(text)
        except HclError as error:
            self.problem("vault.policy", path, f"it is no HCL: {error}", "mend it", error.line)
            return
        if not is_read(text):
            why = "a path's capabilities are not understood"
            self.problem("vault.policy", path, why, 'write them on a line of their own: capabilities = ["read"]')
            return
        name = _shown(path).rpartition("/")[2].removesuffix(".hcl")
        self._record("vault.policy", path, {"name": name, "text": text})

    def _policies(self, path: str, text: str, kinds: tuple[str, ...]) -> None:
        from keylease.audit.collectors.policies import in_tree
        from keylease.audit.trees import json_tree

        try:
            trees = (
                [json_tree(text)]
                if path.endswith(".json") or text.lstrip()[:1] == "{"
                else [*yaml_trees(text, intrinsics=True)]
            )
        except TreeError as error:
            name = "JSON" if path.endswith(".json") else "YAML"
            # A template (of Helm, Jinja) is no manifest before it is rendered.
            is_template = "{{" in text or text.lstrip().startswith("{%")
            for kind in (each for each in kinds if each != KUBERNETES or not is_template):
                self.problem(kind, path, f"it is no {name}: {error}", "mend it", error.line)
            return
        if KUBERNETES in kinds:
            from keylease.audit.collectors.kubernetes import in_trees

            self._take(in_trees(trees, _shown(path)))
        for tree in trees if kinds != (KUBERNETES,) else ():
            self._take(in_tree(tree, _shown(path)))


def _kinds_by_content(path: str, data: bytes) -> tuple[str, ...]:
    found: tuple[str, ...] = _of_kubernetes(path, data)
    if b"\0" in data and not data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return found
    if all(word in data for word in _AWS):
        found = (*found, "aws.trust_policy", "aws.iam_policy") if b"ssume" in data else (*found, "aws.iam_policy")
        if any(word in data for word in _ATTACHED):
            found = (*found, "aws.role_policies")
    if b"AWS::IAM::AccessKey" in data:
        found = (*found, STATIC_KEY)
    if path.endswith(".json"):
        if _VAULT_ROLE[0] in data:
            found = (*found, "vault.jwt_role")
        if all(word in data for word in _VAULT_JSON):
            found = (*found, "vault.policy")
    return found


def _of_kubernetes(path: str, data: bytes) -> tuple[str, ...]:
    if b"apiVersion" not in data or path.endswith(".template"):
        return ()
    from keylease.audit.collectors.kubernetes import is_interesting

    return (KUBERNETES,) if is_interesting(data) else ()


def _decoded(data: bytes) -> str | None:
    encoding = "utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


def _only_spec(tree: Tree) -> bool:
    return isinstance(tree.data, dict) and set(tree.data) == {"spec"}


def _assignments(text: str) -> Iterator[tuple[str, bool]]:
    """(name, whether it has a value) of a ``.env`` file."""
    quote = ""
    for line in text.splitlines():
        if quote:  # inside a value of several lines
            quote = "" if quote in line else quote
            continue
        match = _LINE.fullmatch(line)
        if not match:
            continue
        value = match[2].strip()
        if value[:1] in ('"', "'") and value[:1] not in value[1:]:
            quote = value[0]
        bare = value.strip("\"'").strip()
        yield match[1], bool(bare) and not value.startswith("#")


def _shown(path: str) -> str:
    """A path as text that can be written: bytes that are no UTF-8 become ``\\xff``."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
