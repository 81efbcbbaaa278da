"""What `to:` of a sync says of GitLab."""

import re
from collections.abc import Sequence
from typing import Any, Literal
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from keylease.errors import UsageError
from keylease.vendors import gitlab_rules as rules

DOCS = "sync-gitlab"

LEDGER_SCOPE = "keylease-ledger"
"""The environment scope of a project's ledger: no job has such an environment, so no job has the ledger in its own."""

PATH = re.compile(r"[a-z0-9_][a-z0-9_.-]*(?:/[a-z0-9_][a-z0-9_.-]*)*", re.IGNORECASE)
OPTIONS = ("type", "masked", "hidden", "protected", "raw", "description")


class Projects(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which projects of a group; archived ones are never meant.

    names: globs on the path below the group, or on its last segment. topics: all of them.
    subgroups: whether those of subgroups are meant too.
    """

    names: str | list[str] = []
    topics: str | list[str] = []
    subgroups: bool = True


class GitLabTo(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where values go, and how.

    project: a path, or several. group: a path. projects: with `group`, its projects instead of the group itself.
    instance: the whole GitLab. host: as in addresses of plans; must be that of the target's `url`.
    scope: the environment scope. type: `env_var` (GitLab's default) or `file`. masked: in jobs' logs.
    hidden: never shown again (only from the start: a variable can't be hidden later).
    protected: only for protected branches and tags. raw: ``$`` in a value is no reference to another variable.
    description: shown in GitLab's settings.
    """

    project: str | list[str] = ""
    group: str = ""
    projects: Projects | None = None
    instance: bool = False
    host: str = ""
    scope: str = "*"
    type: Literal["env_var", "file"] | None = None
    masked: bool = True
    hidden: bool = False
    protected: bool | None = None
    raw: bool = True
    description: str | None = None


def checked(to: GitLabTo) -> GitLabTo:
    """`to`, if it can be. Raises :class:`UsageError` naming the key."""
    levels = [key for key in ("project", "group", "instance") if getattr(to, key)]
    if len(levels) != 1:
        raise _wrong(
            levels[1] if levels else "project",
            f"is given as well as `{levels[0]}`" if levels else "is missing",
            "say one of `project: group/project`, `group: group`, `instance: true`",
        )
    if to.projects is not None and not to.group:
        raise _wrong("projects", "is of a group", "say which: `group: acme`")
    for path in listed(to.project) or ([to.group] if to.group else []):
        _checked_path(path, "project" if to.project else "group")
    if to.instance and to.scope != "*":
        raise _wrong("scope", "can't be: an instance's variables have none", "leave it out")
    if not rules.SCOPE.fullmatch(to.scope) or to.scope != to.scope.strip() or to.scope == LEDGER_SCOPE:
        raise _wrong("scope", "can't be one", "like production or review/*: letters, digits, spaces and -_/${}.*")
    if to.hidden and to.instance:
        raise _wrong("hidden", "can't be: GitLab's API hides variables of projects and groups only", "leave it out")
    if to.hidden and not to.masked:
        raise _wrong("masked", "is false, but a hidden variable is masked", "leave one of them out")
    if to.description is not None and len(to.description) > rules.DESCRIPTION:
        raise _wrong("description", f"is longer than {rules.DESCRIPTION} characters", "shorten it")
    return to


def parse(address: str) -> GitLabTo:
    """A `to:` in its short form: ``gitlab://group/project?scope=production``, ``gitlab://group?level=group``."""
    try:
        parts = urlsplit(address)
        usable = address.isprintable() and "#" not in address
    except ValueError:
        parts, usable = urlsplit(""), False
    if not usable:
        raise _wrong(ascii(address), "is no address", "gitlab://group/project")
    path = unquote(parts.netloc + parts.path).strip("/")
    given: dict[str, Any] = {}
    for key, value in parse_qsl(parts.query, keep_blank_values=True):
        if key not in ("level", "host", "scope", *OPTIONS) or key in given:
            what = f"has the key {key!a} twice" if key in given else f"has an unknown key {key!a}"
            raise _wrong(repr(address), what, "?scope=…&level=group&masked=false")
        given[key] = value
    level = given.pop("level", "project")
    for key in ("masked", "hidden", "protected", "raw"):
        if key in given:
            if given[key] not in ("true", "false"):
                raise _wrong(key, "is neither true nor false", f"{key}=false")
            given[key] = given[key] == "true"
    if level not in ("project", "group", "instance") or (level == "instance") == bool(path):
        raise _wrong(
            repr(address),
            "names nothing",
            "gitlab://group/project, gitlab://group?level=group, gitlab://?level=instance",
        )
    if given.get("type", "env_var") not in ("env_var", "file"):
        raise _wrong("type", "is neither env_var nor file", "type=file")
    where: dict[str, Any] = {"instance": True} if level == "instance" else {level: path}
    return checked(GitLabTo(**where, **given))


def listed(given: str | Sequence[str]) -> list[str]:
    """One or several, as a list."""
    return ([given] if given else []) if isinstance(given, str) else list(given)


def _checked_path(path: str, key: str) -> None:
    least = 2 if key == "project" else 1
    if not PATH.fullmatch(path) or len(path) > 1000 or len(path.split("/")) < least:
        raise _wrong(key, f"can't be {path!a}", f"{key}: " + ("acme/trainer" if key == "project" else "acme/ml"))


def _wrong(key: str, what: str, change: str) -> UsageError:
    return UsageError(f"GitLab: {key if key.startswith(chr(39)) else f'`{key}`'} {what}", change=change, docs=DOCS)
