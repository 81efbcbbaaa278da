"""Conditions of workload identity providers: who gets in, and what is not understood is never taken for fine."""

import json
import random
from typing import Any

import pytest

from keylease.audit.cel import Check, ways
from keylease.audit.cloud_samples import federated
from keylease.audit.flexible import Pattern, breadth, patterns
from keylease.audit.issuers import ISSUERS, issuer_of, who
from keylease.audit.model import Finding, Inventory, Record
from keylease.audit.samples import these
from keylease.registry import RULES

GITHUB = ISSUERS["token.actions.githubusercontent.com"]
MAPPING = {"google.subject": "assertion.sub", "attribute.r": "assertion.repository", "attribute.c": "assertion.x + 'a'"}

WHO = {
    "": {"anybody"},
    "true": {"anybody"},
    "assertion.repository_owner_id == '6539'": {"ids"},
    "'6539' == assertion.repository_owner_id": {"ids"},
    "assertion['repository_id'] == \"1\"": {"ids"},
    "attribute.r == 'a/b'": {"names"},
    "(assertion.repository == 'a/b')": {"names"},
    "assertion.repository in ['a/b', 'c/d'] && assertion.ref == 'x'": {"names"},
    "assertion.repository == 'a/b' || assertion.ref == 'x'": {"names", "anybody"},
    "assertion.ref == 'x' && (assertion.repository == 'a/b' || assertion.repository_id == '1')": {"names", "ids"},
    "assertion.sub == 'repo:acme@1/t@2:ref:x'": {"ids"},
    "google.subject == 'repo:acme/t:ref:x'": {"names"},
    "assertion.sub.startsWith('repo:acme')": {"anybody"},
    "assertion.sub.startsWith('repo:acme/')": {"names"},
    "assertion.sub.startsWith('repo:acme@1/')": {"ids"},
    "assertion.repository.startsWith('acme')": {"anybody"},
    "assertion.repository.contains('acme/')": {"anybody"},
    "assertion.repository.endsWith('/trainer')": {"anybody"},
    "assertion.repository.matches('acme/.*')": {"anybody"},
    "assertion.repository.matches('^acme/.*')": {"names"},
    "assertion.repository.matches('^acme/?')": {"anybody"},
    "assertion.repository.matches('^acme')": {"anybody"},
    "assertion.repository.matches('^.*')": {"anybody"},
    "assertion.repository.matches('^acme-ml[a-z]*/x')": {"?"},
    "assertion.repository.matches('^(acme)/')": {"?"},
    "assertion.sub.matches('^repo:acme@1/.*')": {"ids"},
    "assertion.aud == 'https://acme.example'": {"anybody"},
    "assertion.actor == 'ann'": {"?"},
    "assertion.repository != 'a/b'": {"anybody"},
    "assertion.repository != 'a/b' && assertion.repository_id == '1'": {"ids"},
    "assertion.repository != assertion.actor": {"?"},
    "true // && assertion.repository_owner_id == '1'": {"anybody"},
    "assertion.repository_owner_id == '1' // ours\n || true": {"ids", "anybody"},
    "assertion.repository == 'https://a/b' // x": {"names"},
    "!(assertion.repository == 'a/b')": {"?"},
    "attribute.c == 'x'": {"?"},
    "attribute.absent == 'x'": {"?"},
    "has(assertion.repository)": {"?"},
    "assertion.repository + '' == 'a/b'": {"?"},
    "assertion.repository == assertion.repository": {"?"},
    "assertion.repository == r'a/b'": {"names"},
    # Terraform's, as they are found in public repositories.
    "assertion.repository == '${var.org}/${var.repo}'": {"names"},
    'assertion.repository_owner == \'a\' && assertion.repository in [${join(", ", [for r in x : "{r}"])}]': {"names"},
    "assertion.repository in ${jsonencode(var.names)}": {"?"},
    "assertion.sub.startsWith('${local.prefix}')": {"?"},
    "assertion.sub.startsWith('repo:${var.org}/')": {"names"},
    "assertion.actor == 'ann' &&\n  assertion.repository_id == \"1\" &&\n  assertion.ref == 'x'\n": {"ids"},
    "assertion.repository_id == '1' && (assertion.event_name == 'a' || assertion.event_name == 'b')": {"ids"},
    "'x' in assertion.google_service_accounts && assertion.submods.container.image_digest == 'y'": {"?"},
    "assertion.repository == 'a\\'/b'": {"names"},
}

UNREAD = (
    "assertion.x ? true : false",
    "(assertion.x == 'a'",
    "assertion.x == 'a' ||",
    "&& true",
    "assertion.x == 'a",
    "assertion.x == '\\x41'",
    "(assertion.a) == 'b'",
    "()",
    "a ? b == 'c' : true || assertion.repository == 'a/b'",
    "(" * 5000,
    "!" * 5000,
    "a == 'b' && " * 5000,
    " && ".join(["(a.b == 'c' || d.e == 'f')"] * 12),
    "x" * 9000,
    "\x00",
)


@pytest.mark.parametrize("condition", WHO)
def test_who_gets_in(condition: str) -> None:
    found = ways(condition, MAPPING)
    assert found is not None
    assert {who(way, GITHUB) for way in found} == WHO[condition]


@pytest.mark.parametrize("condition", UNREAD, ids=range(len(UNREAD)))
def test_what_can_not_be_read(condition: str) -> None:
    assert ways(condition, MAPPING) is None


def test_ways() -> None:
    assert ways("assertion.a == 'x' && (assertion.b in ['y', 'z'] || assertion.c.startsWith('w'))") == [
        (Check("a", "==", ("x",)), Check("b", "==", ("y", "z"))),
        (Check("a", "==", ("x",)), Check("c", "startsWith", ("w",))),
    ]


def test_no_text_is_a_crash() -> None:
    pieces = ("assertion.repository", "==", "'a/b'", "&&", "||", "(", ")", "!", " in ", "[", "]", ",", ".matches(", "?")
    chance = random.Random(7)
    for _ in range(3000):
        ways("".join(chance.choice(pieces) for _ in range(chance.randint(1, 12))), MAPPING)


def test_an_issuer_of_ones_own_serves_nobody_else() -> None:
    assert issuer_of("https://token.actions.githubusercontent.com/") is GITHUB
    for url in ("https://token.actions.githubusercontent.com/acme", "https://gitlab.acme.example", "", None, 7):
        assert issuer_of(url) is None


# Azure's flexible federated credentials.

HUB = "https://token.actions.githubusercontent.com"
BREADTHS = {
    (HUB, "repo:*"): "everybody",
    (HUB, "*"): "everybody",
    (HUB, "repo:acme*"): "everybody",
    (HUB, "repo:acm?/trainer:ref:refs/heads/main"): "everybody",
    (HUB, "repo:acme/*"): "owner",
    (HUB, "repo:acme/train*:environment:prod"): "owner",
    (HUB, "repo:acme/trainer*"): "owner",
    (HUB, "repo:acme/trainer:*"): "project",
    (HUB, "repo:acme@6539/trainer@1:ref:refs/heads/????"): "project",
    (HUB, "repo:acme/trainer:ref:refs/heads/main"): "exact",
    ("https://gitlab.com", "project_path:*"): "everybody",
    ("https://gitlab.com", "project_path:acme*"): "everybody",
    ("https://gitlab.com", "project_path:acme/*"): "owner",
    ("https://gitlab.com", "project_path:acme/ml/trainer:*"): "project",
    ("https://app.terraform.io", "organization:*"): "everybody",
    ("https://app.terraform.io", "organization:acme:*"): "owner",
    ("https://app.terraform.io", "organization:acme:project:p:stack:s:*"): "project",
    ("https://app.terraform.io", "organization:acme:project:p:workspace:w:run_phase:*"): "project",
    ("https://idp.acme.example", "x*"): "?",
}


@pytest.mark.parametrize(("issuer", "text"), BREADTHS)
def test_how_many_a_pattern_lets_in(issuer: str, text: str) -> None:
    found = patterns(f"claims['sub'] matches '{text}'")
    assert found is not None
    assert breadth(issuer, found["sub"]) == BREADTHS[issuer, text]


def test_only_matches_knows_wildcards() -> None:
    found = patterns("claims['sub'] eq 'repo:acme/*' and claims['job_workflow_ref'] matches 'acme/*'")
    assert found == {"sub": Pattern("repo:acme/*", wild=False), "job_workflow_ref": Pattern("acme/*", wild=True)}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "claims['sub']",
        "claims['sub'] matches 'a' or claims['sub'] eq 'b'",
        "claims['sub'] eq 'a' and claims['sub'] eq 'b'",
        "claims['sub'] eq 'a' and ",
        "x" * 5000,
        "claims['sub'] eq 'a' " * 190,
    ],
)
def test_expressions_that_can_not_be_read(text: str) -> None:
    assert patterns(text) is None


# Rules.


def test_an_id_beside_a_wildcard_holds_it_in_bounds() -> None:
    for claims, severity in (("repository_id", "low"), ("repository_owner_id", "high")):
        text = these(federated(expression=f"claims['sub'] matches 'repo:*' and claims['{claims}'] eq '1'"))
        (finding,) = judged("azure-flexible-wildcard", text)
        assert finding.severity == severity


CLOUD = [name for name in RULES if name.startswith(("gcp-", "azure-"))]


def inventory(text: str) -> Inventory:
    found = Inventory(records=[Record(**each) for each in json.loads(text)["records"]])
    found.kinds = {each.kind for each in found.records}
    return found


def judged(name: str, text: str) -> list[Finding]:
    return list(RULES.load(name)().check(inventory(text)))


@pytest.mark.parametrize("name", CLOUD)
def test_samples(name: str) -> None:
    rule = RULES.load(name)
    for text in rule.bad:
        (finding,) = judged(name, text)
        assert finding.rule == name
        assert finding.change.partition("\n\n")[2]
        assert "\n" not in finding.message
    for text in rule.good:
        assert judged(name, text) == []


RANKS = {
    ("gcp-provider-no-condition", 0): ("medium", "high", "regular"),
    ("gcp-provider-no-condition", 4): ("critical", "high", "regular"),
    ("gcp-provider-no-condition", 5): ("low", "low", "auditor"),
    ("gcp-provider-renamable-name", 0): ("low", "high", "pedantic"),
    ("gcp-wide-principal-set", 0): ("medium", "medium", "regular"),
    ("gcp-wide-principal-set", 2): ("low", "medium", "auditor"),
    ("gcp-wide-principal-set", 3): ("medium", "low", "pedantic"),
    ("gcp-wide-principal-set", 4): ("medium", "medium", "regular"),
    ("gcp-public-binding", 0): ("critical", "high", "regular"),
    ("gcp-strong-role", 0): ("high", "high", "regular"),
    ("gcp-strong-role", 1): ("medium", "high", "regular"),
    ("gcp-key-beside-federation", 0): ("medium", "high", "regular"),
    ("gcp-key-beside-federation", 1): ("low", "medium", "pedantic"),
    ("azure-flexible-wildcard", 0): ("high", "high", "regular"),
    ("azure-flexible-wildcard", 1): ("critical", "high", "regular"),
    ("azure-flexible-wildcard", 2): ("high", "high", "regular"),
    ("azure-flexible-wildcard", 3): ("low", "high", "auditor"),
    ("azure-flexible-wildcard", 4): ("low", "high", "pedantic"),
    ("azure-flexible-wildcard", 5): ("high", "medium", "regular"),
    ("azure-flexible-wildcard", 6): ("high", "high", "regular"),
    ("azure-flexible-wildcard", 7): ("low", "low", "auditor"),
    ("azure-federation-pull-request", 0): ("medium", "high", "regular"),
    ("azure-federation-renamable-name", 0): ("low", "high", "auditor"),
    ("azure-strong-role", 0): ("high", "high", "regular"),
    ("azure-strong-role", 1): ("critical", "high", "regular"),
    ("azure-strong-role", 2): ("high", "high", "regular"),
    ("azure-strong-role", 3): ("medium", "high", "pedantic"),
    ("azure-strong-role", 4): ("high", "high", "regular"),
    ("azure-secret-beside-federation", 0): ("medium", "high", "regular"),
}


@pytest.mark.parametrize(("name", "number"), RANKS)
def test_how_bad_how_sure_and_for_whom(name: str, number: int) -> None:
    (finding,) = judged(name, RULES.load(name).bad[number])
    assert (finding.severity, finding.confidence, finding.persona) == RANKS[name, number]


ODD: tuple[Any, ...] = (None, 7, "", [], {}, ["x"], {"a": 1}, "\x1b[31m\n::error::" + "x" * 9000, True)


@pytest.mark.parametrize("name", CLOUD)
def test_odd_facts_are_no_crash(name: str) -> None:
    rule, chance = RULES.load(name), random.Random(name)
    for text in (*rule.bad, *rule.good):
        for _ in range(40):
            data = json.loads(text)
            for record in data["records"]:
                for fact in chance.sample(sorted(record["facts"]), 2):
                    record["facts"][fact] = chance.choice(ODD)
            for finding in judged(name, json.dumps(data)):
                assert finding.message.isprintable()
                assert len(finding.message) < 800
                assert all(sign.isprintable() or sign == "\n" for sign in finding.change)
                assert len(finding.change) < 2500
