"""The audit benchmark's organisation, tree and expectations agree, and what is not exactly so fails it."""

import datetime as dt
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from bench import audit, organization, tree
from bench.audit import Run, must_be, must_be_least, summary
from bench.github import Fake, kind_of
from bench.measure import BenchError, Sample, Summary
from keylease.audit.collectors.files import collect
from keylease.audit.model import Inventory
from keylease.audit.policy import AuditPolicy
from keylease.audit.snapshot import dumps, loads
from keylease.pipelines.audit import judge
from keylease.registry import COLLECTORS, RULES

NOW = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)
SAMPLE = Sample(1.5, 0.5, 40.0, 0)


def found(inventory: Inventory) -> Counter[str]:
    verdict = judge(inventory, [RULES.load(name)() for name in RULES], AuditPolicy())
    assert [each.rule for each in verdict.not_checked if each.asked] == []
    return Counter(each.rule for each in verdict.findings)


@pytest.mark.parametrize("number", [1, 3, 60])
def test_an_organisation_of_any_size_has_the_findings_that_are_expected(number: int) -> None:
    inventory = organization.inventory(number, NOW)
    assert found(inventory) == organization.expected(number)
    assert len(inventory.of("github.secret")) == number * organization.SECRETS + 1
    assert inventory.kinds == set(COLLECTORS.load("github").kinds)


def test_each_fault_is_planted() -> None:
    assert organization.expected(60) == {
        "credential-stale": 120,
        "github-secret-unused": 60,
        "github-secret-all-repositories": 1,
        "github-secret-shadowed": 2,
        "github-secret-static-key": 3,
        "github-environment-unprotected": 6,
        "github-workflow-write-default": 8,
        "github-deploy-key-write": 3,
    }


def test_the_snapshot_is_the_same_each_time_and_read_as_it_was_written() -> None:
    text = dumps(organization.inventory(30, NOW))
    assert text == dumps(organization.inventory(30, NOW))
    assert found(loads(text).inventory) == organization.expected(30)


def test_a_collector_makes_of_the_fake_what_the_snapshot_holds(tmp_path: Path) -> None:
    """So the two are judged alike: the same kinds, subjects and facts. Deploy keys have GitHub's numbers."""
    world = audit.World()
    with world, Fake(25, "audit") as github:
        config = tmp_path / "keylease.yml"
        config.write_text(audit.CONFIG.format(url=github.url, cache="", organization=organization.NAME))
        file = tmp_path / "inventory.json"
        argv = [*audit.KEYLEASE, "audit", "collect", "--config", str(config), "--output", str(file)]
        world.run(argv, world.empty, (0,), AUDIT_TOKEN=github.token)
        asked = github.counts()
    made = loads(file.read_text()).inventory
    wanted = organization.inventory(25, made.now)

    server = github.url.partition("://")[2].partition("/")[0]
    assert {each.facts.get("server") for each in made.records} == {server}, "it is not github.com"

    def plain(inventory: Inventory) -> list[Any]:
        rows = [[each.kind, each.subject, {**each.facts, "server": ""}] for each in inventory.records]
        text = _without_times(json.dumps(rows)).replace(f"github://{server}/", "github://")
        return sorted(json.loads(text), key=str)

    assert plain(made) == plain(wanted)
    assert asked.total() - asked["304"] == organization.least(25)


def _without_times(text: str) -> str:
    """The fake and the test look at the clock a moment apart."""
    return re.sub(r"T\d\d:\d\d:\d\dZ", "", text)


def test_the_least_that_must_be_asked() -> None:
    assert organization.least(1000) == 10 + 10 + 9000 + 300
    assert organization.least(1000, again=True) == 10 + 10 + 8000 + 300
    assert organization.least(1) == 1 + 10 + 9
    assert (organization.twice(100), organization.twice(101)) == (0, 2)


def test_a_tree_of_any_size_has_the_findings_that_are_expected(tmp_path: Path) -> None:
    tree.write(tmp_path, 41)
    inventory = collect(tmp_path)
    assert inventory.problems == []
    assert found(inventory) == tree.expected(41) == {"workflow-secret-printed": 5, "workflow-permissions": 2}


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        ("/orgs/acme/repos?page=2", "list repositories"),
        ("/orgs/acme", "organization"),
        ("/orgs/acme/actions/secrets", "organization"),
        ("/repos/acme/a/actions/permissions/workflow", "permissions"),
        ("/repos/acme/a/dependabot/secrets", "list secrets"),
        ("/repos/acme/a/environments/prod/secrets", "environments"),
        ("/repos/acme/a/keys", "deploy keys"),
        ("/repos/acme/a/contents/.github/workflows", "workflows"),
        ("/repos/acme/a/git/blobs/abc", "workflow files"),
    ],
)
def test_what_a_request_of_an_audit_is_for(target: str, kind: str) -> None:
    assert kind_of("GET", target) == kind


def _report(**more: Any) -> dict[str, Any]:
    return {"findings": [{"rule": "env-file"}], "not_checked": [], "problems": [], **more}


def test_a_run_that_is_not_exactly_right_is_no_measurement() -> None:
    must_be(_report(not_checked=[{"rule": "ai-key-of-user", "asked": False}]), Counter({"env-file": 1}))
    for wanted in (Counter({"env-file": 2}), Counter({"env-file": 1, "vault-no-audit": 1}), Counter[str]()):
        with pytest.raises(BenchError, match="too few"):
            must_be(_report(), wanted)
    for more in ({"not_checked": [{"rule": "x", "asked": True}]}, {"problems": [{"what": "it can't be read"}]}):
        with pytest.raises(BenchError, match="not all"):
            must_be(_report(**more), Counter({"env-file": 1}))


def test_a_request_too_many_is_no_measurement() -> None:
    must_be_least(Run("a run", SAMPLE, Counter({"permissions": 8, "304": 7}), 8), twice=0, again=True)
    must_be_least(Run("a run", SAMPLE, Counter({"permissions": 8}), 8), twice=0, again=False)
    with pytest.raises(BenchError, match="9 requests instead of 8"):
        must_be_least(Run("a run", SAMPLE, Counter({"permissions": 9}), 8), twice=0, again=False)
    must_be_least(Run("a run", SAMPLE, Counter({"permissions": 10}), 8), twice=2, again=False)
    with pytest.raises(BenchError, match="2 answers"):
        must_be_least(Run("a run", SAMPLE, Counter({"permissions": 8, "304": 6}), 8), twice=0, again=True)


def test_the_last_line_is_what_must_be_the_same() -> None:
    assert summary("x\n\n1 finding: 1 medium; 3 hidden (persona auditor shows all)\n").startswith(
        "1 finding: 1 medium; 3"
    )
    with pytest.raises(BenchError, match="no summary"):
        summary("nothing")


@pytest.mark.parametrize(("wall", "word"), [(2.4, "met"), (2.6, "MISSED")])
def test_the_table_says_whether_the_target_is_met(wall: float, word: str) -> None:
    ours, theirs = (Summary.of([Sample(each, each, 30.0, 0)]) for each in (wall, 1.0))
    run = Run("collect", SAMPLE, Counter({"permissions": 3, "304": 2}), 3)
    text = audit.text_of(3, ours, [run], {"500 workflows": {"keylease": ours, "zizmor": theirs}}, {"load": "1.0"})
    assert f"target: wall ≤ 2.50 × zizmor: {wall:.2f} {word}" in text
    row = next(line for line in text.splitlines() if line.startswith("collect "))
    assert row.split()[1:] == ["1.5", "0.5", "40", "3", "3", "2", "3", *["0"] * 6]
