"""Which secrets a repository's workflows use: names alone, from the files on the default branch."""

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from typing import Any

from keylease.audit.trees import Tree, TreeError, yaml_trees
from keylease.audit.workflows import COMPUTED, GITHUB_TOKEN, WHOLE, Workflow, secrets_in
from keylease.collectors.github_items import file
from keylease.errors import NotFoundError
from keylease.vendors.github_api import Api, Item
from keylease.vendors.github_cache import Cached
from keylease.vendors.github_errors import Reply, error_of, garbage, permission
from keylease.vendors.github_lists import Wanted

MAX_BYTES = 1024 * 1024
"""Of one workflow file: GitHub itself takes no larger ones."""

_SHA = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_READER = "usage 1"
"""What is made of a file: another way of reading it needs another name in the cache."""


def usage(api: Api, repository: str, *, proven: bool) -> tuple[Mapping[str, Any], list[str]]:
    """(facts, what could not be read, one line each). Raises KeyleaseError.

    One request, and one for each file that no run with the same cache, or other repository, has had: a file is known by
    its hash. proven: the credential is known to read private files; else "there is none" may mean "not for you".
    """
    names: set[str] = set()
    dynamic = inherits = False
    unread: list[str] = []
    for entry in _directory(api, repository, proven=proven):
        path = str(entry["path"])
        if not path.endswith((".yml", ".yaml")):
            continue
        if entry["type"] != "file" or not _SHA.fullmatch(entry["sha"]) or entry["size"] > MAX_BYTES:
            unread.append(f"{path}: it is a {entry['type']}" if entry["type"] != "file" else f"{path}: it is too large")
            continue
        found = _blob(api, repository, entry["sha"])
        if found["wrong"]:
            unread.append(f"{path}: {found['wrong']}")
        names |= set(found["names"])
        dynamic |= bool(found["dynamic"])
        inherits |= bool(found["inherits"])
    facts = {"repository": repository, "names": sorted(names), "dynamic": dynamic, "inherits": inherits}
    return {**facts, "whole": not unread}, unread


def _directory(api: Api, repository: str, *, proven: bool) -> list[Item]:
    path = f"/repos/{repository}/contents/.github/workflows"
    wanted = Wanted(path, "listing workflow files", permission("contents", "read"), "files", file)
    try:
        return _entries(api, wanted)
    except NotFoundError:
        if not proven:
            _must_read(api, repository)
        return []


def _must_read(api: Api, repository: str) -> None:
    """Raises where nothing of the repository may be read: then nobody knows whether there are workflows."""
    doing, needs = "listing files", permission("contents", "read")
    reply = api.send("GET", f"/repos/{repository}/contents/")
    if reply.status == 200 or (reply.status == 404 and "empty" in reply.message.lower()):
        return
    raise error_of(reply, doing, needs)


def _entries(api: Api, wanted: Wanted) -> list[Item]:
    """https://docs.github.com/rest/repos/contents: a directory is a list, of up to 1,000 entries, without pages."""

    def read(reply: Reply) -> Cached:
        given = reply.data if isinstance(reply.data, list) else [reply.data]
        items = [wanted.keep(each) if isinstance(each, dict) else None for each in given]
        kept = [item for item in items if item is not None]
        if len(kept) < len(items) or len(kept) >= 1000:
            raise garbage(wanted.doing, reply.status)
        return Cached(reply.headers.get("etag", ""), len(kept), kept, complete=True)

    return api.asked(wanted.path, wanted.doing, wanted.needs, read, name=f"{_READER} {wanted.path}").items


def _blob(api: Api, repository: str, sha: str) -> Item:
    doing = "reading a workflow file"

    def read(reply: Reply) -> Cached:
        data = reply.data if isinstance(reply.data, dict) else {}
        if data.get("encoding") != "base64" or not isinstance(data.get("content"), str):
            raise garbage(doing, reply.status)
        try:
            text = base64.b64decode(data["content"]).decode("utf-8-sig")
        except (binascii.Error, ValueError):
            return Cached("", 1, [{**_nothing(), "wrong": "it is no text in UTF-8"}], complete=True)
        return Cached("", 1, [read_workflow(text)], complete=True)

    url = f"/repos/{repository}/git/blobs/{sha}"
    return api.asked(url, doing, permission("contents", "read"), read, name=f"{_READER} {sha}", fixed=True).items[0]


def _nothing() -> Item:
    return {"names": [], "dynamic": False, "inherits": False, "wrong": ""}


def read_workflow(text: str) -> Item:
    """What one file uses. wrong: why it can't be told; empty if it can."""
    try:
        trees = [tree for tree in yaml_trees(text) if tree.data != ""]
    except TreeError as error:
        return {**_nothing(), "wrong": f"it is no YAML: {error}"}
    if not trees:
        return _nothing()
    if len(trees) > 1 or not isinstance(trees[0].data, dict):
        return {**_nothing(), "wrong": "it holds no mapping"}
    flow = Workflow(trees[0])
    found = {use.name for use in flow.uses} | set(_in_conditions(trees[0]))
    inherits = any(
        job.data.get("secrets") == "inherit" and not (job.action and job.action.kind == "local") for job in flow.jobs
    )
    names = sorted(found - {WHOLE, COMPUTED, GITHUB_TOKEN})
    return {"names": names, "dynamic": bool(found & {WHOLE, COMPUTED}), "inherits": inherits, "wrong": ""}


def _in_conditions(tree: Tree) -> Iterator[str]:
    """``if:`` is an expression without ``${{ }}`` too."""

    def below(node: Any) -> Iterator[str]:
        for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
            if key == "if" and isinstance(value, str):
                yield from (named.name for named in secrets_in(value))
            yield from below(value)

    yield from below(tree.data)
