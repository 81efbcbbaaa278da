"""Every rule that is registered: its own samples through the collector of files, and what it says of itself."""

import datetime as dt
import itertools
import json
import random
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from keylease.audit.collectors.files import KINDS, collect, kinds_by_name
from keylease.audit.model import PERSONAS, SEVERITIES, Finding, Inventory, Problem, Record
from keylease.audit.policy import AuditPolicy
from keylease.audit.rule import Rule
from keylease.outputs.console import sanitize
from keylease.pipelines.audit import judge
from keylease.registry import COLLECTORS, RULES

NAMES = list(RULES)
COLLECTED = {kind for name in COLLECTORS for kind in COLLECTORS.load(name).kinds} | {"scan.finding", "scan.leak"}
INVENTORY = "inventory.json"
"""The sample of rules about what collectors list: ``{"records": [{kind, subject, facts}], "now": …}``."""
SAMPLES = [
    pytest.param(name, text, kind, id=f"{name}-{kind}{number}")
    for name in NAMES
    for kind in ("bad", "good")
    for number, text in enumerate(getattr(RULES.load(name), kind))
]


def collected(tmp_path: Path, sample: str, text: str) -> Inventory:
    if sample == INVENTORY:
        return listed(text)
    file = tmp_path / sample
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return collect(tmp_path)


def listed(text: str) -> Inventory:
    try:
        data = json.loads(text)
        records = [Record(each["kind"], each["subject"], each["facts"]) for each in data["records"]]
        now = dt.datetime.fromisoformat(data.get("now", "2026-11-01T00:00:00Z"))
    except (ValueError, KeyError, TypeError):
        return Inventory(problems=[Problem("", "it is no inventory")])
    kinds = {record.kind for record in records}
    assert kinds <= COLLECTED | set(KINDS), "no collector makes these"
    return Inventory(records, kinds, now=now)


def judged(name: str, inventory: Inventory) -> list[Finding]:
    return list(RULES.load(name)().check(inventory))


@pytest.mark.parametrize(("name", "text", "kind"), SAMPLES)
def test_samples(name: str, text: str, kind: str, tmp_path: Path) -> None:
    rule = RULES.load(name)
    inventory = collected(tmp_path, rule.sample, text)
    assert inventory.problems == []
    assert any(inventory.of(each) for each in rule.needs), "nothing that the rule is for: it would judge nothing"
    findings = judged(name, inventory)
    assert all(finding.rule == name for finding in findings)
    assert bool(findings) == (kind == "bad"), [finding.message for finding in findings]
    for finding in findings:
        keeps_the_manner(finding, text)
    prints = [finding.fingerprint for finding in findings]
    assert len(set(prints)) == len(prints), "findings that can't be told apart"


DIFFERENT = [
    # Of a credential: what it opens, whose it is, how old it is, whether it ends, is used, is needed at all.
    {
        "ai-key-of-user",
        "aws-access-key-admin",
        "aws-access-key-beside-oidc",
        "aws-user-two-keys",
        "azure-secret-beside-federation",
        "credential-expires-soon",
        "credential-long-lived",
        "credential-no-end",
        "credential-stale",
        "credential-unused",
        "gcp-key-beside-federation",
        "github-secret-since-departure",
    },
    {"credential-stale", "vault-secret-id-unlimited"},
    {"credential-stale", "vault-token-forever"},
    # Of a policy: each names other actions, and another way to misuse them.
    {
        "aws-iam-credentials-exposure",
        "aws-iam-data-exfiltration",
        "aws-iam-not-action",
        "aws-iam-pass-role",
        "aws-iam-privilege-escalation",
        "aws-iam-service-wildcard",
    },
    # Of a trust: each condition has its own hole.
    {"aws-trust-any-ref", "aws-trust-for-all-values"},
    {"aws-trust-any-ref", "aws-trust-if-exists"},
    {"aws-trust-any-ref", "aws-trust-no-audience"},
    {"aws-trust-no-audience", "aws-trust-no-subject"},
    {"azure-federation-pull-request", "azure-flexible-wildcard"},
    {"gcp-provider-no-condition", "gcp-provider-renamable-name"},
    {"vault-role-any-ref", "vault-role-pull-request"},
    # Written into a script, a value can change it; printed, it is in the log.
    {"workflow-secret-in-script", "workflow-secret-printed"},
]
"""Rules that tell different things of one record. What is in none of these must not meet: ``covers`` of a rule says of
which others it tells all."""


@pytest.mark.parametrize(("name", "text", "kind"), SAMPLES)
def test_nothing_is_told_twice(name: str, text: str, kind: str, tmp_path: Path) -> None:
    inventory = collected(tmp_path, RULES.load(name).sample, text)
    verdict = judge(inventory, [RULES.load(each)() for each in RULES], AuditPolicy(persona="auditor"))
    told: dict[tuple[str, object], set[str]] = {}
    for each in verdict.findings:
        if each.persona != "auditor":
            told.setdefault((each.subject, each.location), set()).add(each.rule)
    for rules in told.values():
        for pair in itertools.combinations(sorted(rules), 2):
            assert any(set(pair) <= different for different in DIFFERENT), f"{pair} of one record"


def test_what_is_covered_is_a_rule() -> None:
    assert {each for name in NAMES for each in RULES.load(name).covers} <= set(NAMES)


def keeps_the_manner(finding: Finding, text: str) -> None:
    assert finding.message
    assert "\n" not in finding.message
    assert finding.change, "it must say what to write"
    assert "\n" not in finding.change.partition("\n\n")[0]
    assert sanitize(finding.change) == finding.change
    assert not re.search(r"\bvault (?:auth|kv|list|policy|read|token|write) ", finding.change), "commands are for bao"
    if finding.location is None:
        assert re.match(r"[a-z]+://[^/]", finding.subject)
        return
    assert 0 < finding.location.line <= text.count("\n") + 1
    assert finding.subject.startswith("file://")


@pytest.mark.parametrize("name", NAMES)
def test_what_a_rule_says_of_itself(name: str) -> None:
    rule = RULES.load(name)
    assert issubclass(rule, Rule)
    assert rule.id == name
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+", name)
    assert rule.__module__.rpartition(".")[2] == name.replace("-", "_")
    assert rule.severity in SEVERITIES
    assert rule.confidence in ("low", "medium", "high")
    assert rule.persona in PERSONAS
    assert rule.needs
    assert set(rule.needs) | set(rule.also) <= {*KINDS, *COLLECTED}, "no collector makes these"
    assert rule.title
    assert not rule.title.endswith(".")
    assert len(rule.why) > 60
    assert len(rule.fix) > 20
    assert all(link.startswith("https://") for link in rule.links)
    assert rule.sample
    assert rule.bad, "no sample that must be found"
    assert rule.good, "no sample that must not be found"
    assert issubclass(rule.Settings, msgspec.Struct)
    assert msgspec.structs.replace(rule.Settings()) == rule.Settings()
    assert rule.Settings.__struct_config__.forbid_unknown_fields
    own = (name, rule.__name__, rule.__module__.rpartition(".")[2], f'"{"-".join(name.split("-")[2:])}"')
    tests = [each for each in Path(__file__).parent.rglob("test_*.py") if each.name != Path(__file__).name]
    assert any(word in f"{each.name}{each.read_text()}" for each in tests for word in own), "it has no tests of its own"


@pytest.mark.parametrize("name", NAMES)
def test_moving_a_sample_down_keeps_its_fingerprints(name: str, tmp_path: Path) -> None:
    rule = RULES.load(name)
    if rule.sample == INVENTORY:
        return  # what is listed has no lines
    prefix = "\n\n" if rule.sample.endswith(".json") else "# a line\n# another\n"
    for number, text in enumerate(rule.bad):
        before = judged(name, collected(tmp_path / f"a{number}", rule.sample, text))
        after = judged(name, collected(tmp_path / f"b{number}", rule.sample, prefix + text))
        assert {each.fingerprint for each in before} == {each.fingerprint for each in after}


HOSTILE = (
    "",
    "null",
    "[]",
    "- a",
    "{}",
    "jobs: []",
    "jobs: {a: 1}",
    "on: [[]]\njobs: {a: {steps: {b: c}}}",
    "a: &a [*a]",
)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("text", HOSTILE)
def test_odd_files_are_no_crash(name: str, text: str, tmp_path: Path) -> None:
    rule = RULES.load(name)
    inventory = collected(tmp_path, rule.sample, text)
    assert all(isinstance(finding.message, str) for finding in judged(name, inventory))


PIECES = (
    "{",
    "}",
    "[",
    "]",
    '"',
    "'",
    "${{",
    "!Ref ",
    "\n",
    "  ",
    ": ",
    "- ",
    "null",
    "&a ",
    "*a",
    "<<: ",
    "#",
    ",",
    "=",
    "? ",
)


JUNK: tuple[Any, ...] = (None, "", "\x1b[31m\n**", [], {}, [None], {"a": [{}]}, -1, 1e300, True, "2026-01-01T00:00:00Z")


def odd(data: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    """An inventory in which facts are gone, or are something else."""
    for record in data["records"]:
        facts = record["facts"]
        for fact in list(facts):
            roll = chance.random()
            if roll < 0.1:
                del facts[fact]
            elif roll < 0.3:
                facts[fact] = chance.choice(JUNK)
            elif roll < 0.4 and isinstance(facts[fact], list):
                facts[fact] = [*facts[fact], chance.choice(JUNK)]
            elif roll < 0.4 and isinstance(facts[fact], dict):
                facts[fact] = {**facts[fact], "x": chance.choice(JUNK)}
    return data


@pytest.mark.parametrize("name", NAMES)
def test_damaged_samples_are_no_crash(name: str, tmp_path: Path) -> None:
    rule, chance = RULES.load(name), random.Random(name)
    for number in range(60):
        text = chance.choice((*rule.bad, *rule.good))
        for _ in range(chance.randint(1, 5) if rule.sample != INVENTORY else 0):
            at, end = sorted(chance.randrange(len(text) + 1) for _ in range(2))
            text = text[:at] + chance.choice((*PIECES, text[at:end])) + text[chance.choice((at, at + 1, end)) :]
        if rule.sample == INVENTORY:
            text = json.dumps(odd(json.loads(text), chance))
        inventory = collected(tmp_path / str(number), rule.sample, text)
        findings = judged(name, inventory)
        assert all("\n" not in finding.message for finding in findings)
        kind = rule.needs[0]
        if kind.startswith("file.") and kind in kinds_by_name(rule.sample):  # others are told by what is in them
            assert inventory.records or inventory.problems, text
