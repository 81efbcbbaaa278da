"""Ways to an inventory of the fake GitHub, and an organisation to look at."""

import collections
import json
import time
from typing import Any

from keylease.audit.model import Inventory, Record
from keylease.collectors.base import Access
from keylease.collectors.github import GitHubCollector, GitHubCollectSettings
from tests.fakes.github_rest import GitHubRest
from tests.fakes.github_rest_audit import grant, installed, removal
from tests.integration.github_sync import target_of

DAY = 86400


WORKFLOW = b"""\
on: push
jobs:
  build:
    runs-on: ubuntu-latest
    if: secrets.IN_A_CONDITION != ''
    steps:
      - run: make
        env:
          A: ${{ secrets.NPM_TOKEN }}
          B: ${{ secrets['deploy_key'] }}
          C: ${{ secrets.GITHUB_TOKEN }}
"""


def collected(github: GitHubRest, shard: tuple[int, int] = (1, 1), target: Any = None, **given: Any) -> Inventory:
    target = target or target_of(github, token=github.add_token(kind="integration"))
    settings = given or {"organization": "acme"}
    complete = GitHubCollector.complete(GitHubCollectSettings(**settings), {})
    collector = GitHubCollector(complete, target.context, Access(target=target))
    collector.shard = shard
    found = collector.collect()
    assert github.problems == []
    assert all(record.kind in GitHubCollector.kinds for record in found.records)
    assert found.kinds <= set(GitHubCollector.kinds)
    json.dumps([record.facts for record in found.records])
    subjects = collections.Counter((record.kind, record.subject) for record in found.records)
    assert max(subjects.values(), default=1) == 1
    return found


def host_of(github: GitHubRest) -> str:
    """As subjects name it: it is no github.com."""
    return github.url.partition("://")[2].partition("/")[0]


def only(inventory: Inventory, kind: str, name: str) -> Record:
    [found] = [each for each in inventory.of(kind) if each.facts.get("name") == name]
    return found


def an_organization(github: GitHubRest) -> None:
    now = int(time.time())
    for name, visibility in (("trainer", "private"), ("site", "public"), ("old", "private")):
        github.add_repository(f"acme/{name}", visibility=visibility, archived=name == "old")
    github.put("acme", "secret", "EVERYWHERE", "v", visibility="all")
    chosen = github.repositories["acme/trainer"].id
    github.put("acme", "secret", "SOME", "v", visibility="selected", selected=[chosen])
    github.put("acme", "variable", "REGION", "eu")
    github.put("acme", "dependabot", "D", "v")
    github.put("acme", "codespaces", "C", "v")
    held = github.organization("acme")
    held.members = ["ada", "Back"]
    held.workflow_permissions = ("write", False)
    held.installations = [installed(1, "deployer", repository_selection="all", permissions={"secrets": "write"})]
    held.grants = [grant(7, "mine", "ada", token_last_used_at="2026-02-01T00:00:00Z")]
    held.log = [
        removal("bob", now - DAY),
        removal("back", now - 2 * DAY),
        removal("Bob", now - 3 * DAY),
        {"@timestamp": now * 1000, "action": "repo.create", "_document_id": "x"},
    ]
