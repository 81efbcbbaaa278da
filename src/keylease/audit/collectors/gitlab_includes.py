"""Follows `include: local:` of GitLab's CI files, as GitLab does, through files of the repository and nothing else.

https://docs.gitlab.com/ci/yaml/#includelocal; wildcards: https://docs.gitlab.com/ci/yaml/includes/. Links, and paths
that leave the repository, are not followed. What can't be looked at is told.
"""

import posixpath
import re
from collections import deque
from collections.abc import Callable, Iterable, MutableMapping
from typing import Any

from keylease.audit.gitlab_files import LOCAL, Entry, entries
from keylease.audit.workflows import shown

MAX_WILDCARDS, MAX_EDGES = 200, 20_000
"""Patterns, and files that one includes, of a repository; of a pipeline GitLab takes 150 files by default."""

Facts = MutableMapping[str, Any]
Tell = Callable[[str, str, str, int], None]
"""(path, what, change, line) of what can't be looked at."""

_YAML = re.compile(r".+\.ya?ml", re.IGNORECASE | re.DOTALL)
_VARIABLE = re.compile(r"\$\w|\$\{|\$\[\[|%\w+%")


class Includes:
    """files: path → facts of those that were taken in; None: it can't be read, and that was told.

    take: takes in one more, as `files` then says; False: there is none. printed: a path as text.
    """

    def __init__(
        self,
        files: MutableMapping[str, Facts | None],
        paths: Iterable[str],
        take: Callable[[str], bool],
        tell: Tell,
        printed: Callable[[str], str],
    ) -> None:
        self._files = files
        self._paths = [each for each in paths if _YAML.fullmatch(each)]
        self._take = take
        self._tell = tell
        self._printed = printed
        self._matched: dict[str, list[str]] = {}
        self._left = MAX_EDGES

    def follow(self) -> None:
        """Take in all that is included, and note in each file's facts what it includes."""
        # A pipeline that lies in a directory of its own may be a project of its own.
        bases = {path: posixpath.dirname(path) if path.endswith("/.gitlab-ci.yml") else "" for path in self._files}
        edges: dict[str, dict[str, int]] = {}
        queue = deque(self._files)
        while queue:
            path = queue.popleft()
            facts = self._files[path]
            if facts is None:
                continue
            edges[path] = {}
            for entry in entries(facts["tree"]):
                if entry.kind != "local":
                    continue
                if self._left <= 0:
                    what = f"this repository's CI files include more than {MAX_EDGES} files"
                    self._tell(path, what, "let them include less: the rest is not followed", entry.line)
                    break
                self._left -= 1
                for found in self._found(path, entry, bases[path]):
                    if found not in bases:
                        bases[found] = bases[path]
                        queue.append(found)
                    self._left -= 1
                    if not entry.child:
                        edges[path].pop(found, None)  # the last time counts
                        edges[path][found] = entry.line
        self._without_circles(edges)
        for path, included in edges.items():
            facts = self._files[path]
            if facts is not None:
                here = posixpath.dirname(self._printed(path))
                facts[LOCAL] = [posixpath.relpath(self._printed(each), here or ".") for each in included]

    def _found(self, path: str, entry: Entry, base: str) -> list[str]:
        change = "mend the include: what it names is not checked"
        text = entry.text.lstrip("/")
        name = shown(text)
        wanted = posixpath.normpath(text) if text else ""
        if _VARIABLE.search(text):
            change = "write the file's own name, or a pattern such as ci/*.yml: what a variable names is not checked"
            self._tell(path, f"which file {name} is can't be told here", change, entry.line)
        elif not wanted or wanted.split("/")[0] in ("..", ".git") or "\0" in wanted:
            self._tell(path, f"what it includes is no file of the repository: {name}", change, entry.line)
        elif not _YAML.fullmatch(wanted):
            self._tell(path, f"what it includes is no .yml or .yaml file: {name}", change, entry.line)
        elif "*" in wanted:
            if wanted not in self._matched and len(self._matched) >= MAX_WILDCARDS:
                self._tell(path, f"it includes more than {MAX_WILDCARDS} patterns", change, entry.line)
                return []
            found = self._matches(wanted) or (self._matches(posixpath.join(base, wanted)) if base else [])
            return [each for each in found if self._is_there(each)]
        else:
            for each in dict.fromkeys((wanted, posixpath.join(base, wanted))):
                if self._is_there(each):
                    return [each]
            self._tell(path, f"the file that it includes is not there: {name}", change, entry.line)
        return []

    def _is_there(self, path: str) -> bool:
        return path in self._files or self._take(path)

    def _matches(self, pattern: str) -> list[str]:
        if pattern not in self._matched:
            start = pattern.partition("*")[0]
            self._matched[pattern] = [each for each in self._paths if each.startswith(start) and matches(pattern, each)]
        return self._matched[pattern]

    def _without_circles(self, edges: dict[str, dict[str, int]]) -> None:
        done: set[str] = set()
        for root in edges:
            trail = {root: iter(list(edges[root]))} if root not in done else {}
            while trail:
                path = next(reversed(trail))
                for found in trail[path]:
                    if found in trail:
                        what = f"its includes go round in a circle by {shown(self._printed(found))}"
                        self._tell(path, what, "GitLab refuses that: remove one of them", edges[path].pop(found))
                    elif found not in done:
                        trail[found] = iter(list(edges.get(found, ())))
                        break
                else:
                    done.add(path)
                    del trail[path]


def matches(pattern: str, path: str) -> bool:
    """Whether `path` is one that GitLab's wildcards mean: ``*`` is any text without a slash, ``**`` any text.

    Takes time by both lengths alone: all places of the pattern that the path may be at are followed together.
    """
    marks = re.findall(r"\*\*+|.", pattern, re.DOTALL)
    anything = sum(1 << number for number, mark in enumerate(marks) if mark[:2] == "**")
    stars = sum(1 << number for number, mark in enumerate(marks) if mark[0] == "*")
    letters: dict[str, int] = {}
    for number, mark in enumerate(marks):
        if mark[0] != "*":
            letters[mark] = letters.get(mark, 0) | 1 << number
    state = 1 | (stars & 1) << 1
    for letter in path:
        state = (state & letters.get(letter, 0)) << 1 | state & (anything if letter == "/" else stars)
        state |= (state & stars) << 1
        if not state:
            return False
    return bool(state >> len(marks) & 1)
