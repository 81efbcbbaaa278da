"""What the rules of AWS trust policies share: the statements to judge, and the condition to write instead."""

import re
from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

from keylease.audit.aws_policy import STRINGS, Test, is_wild, plain
from keylease.audit.aws_trust import IDENTIFYING, Caller, Trust, trusts
from keylease.audit.in_file import of_statement, within
from keylease.audit.model import Finding, Inventory, Record
from keylease.audit.rule import Rule

CONTROLS = "https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_oidc_secure-by-default.html"
GITHUB_ROLE = (
    "https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_create_for-idp_oidc.html#idp_oidc_Create_GitHub"
)
GITHUB_CLAIMS = "https://docs.github.com/en/actions/reference/security/oidc"
GITLAB_ROLE = "https://docs.gitlab.com/ci/cloud_services/aws/"
DATADOG = "https://securitylabs.datadoghq.com/articles/exploring-github-to-aws-keyless-authentication-flaws/"
OPERATORS = "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html"
MULTIVALUED = "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-single-vs-multi-valued-context-keys.html"
CLAIM_KEYS = (
    "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_iam-condition-keys.html#condition-keys-wif"
)

_SUBJECTS = {
    "github": ("repo:{}/{}", ("OWNER", "REPOSITORY"), "ref:refs/heads/main"),
    "gitlab": ("project_path:{}/{}", ("GROUP", "PROJECT"), "ref_type:branch:ref:main"),
}
_OTHERS = {
    "app.terraform.io": "organization:ORGANIZATION:project:PROJECT:workspace:WORKSPACE:run_phase:apply",
    "agent.buildkite.com": "organization:ORGANIZATION:pipeline:PIPELINE:ref:refs/heads/main:commit:*:step:STEP",
    "oidc.vercel.com": "owner:OWNER:project:PROJECT:environment:production",
}
_AUDIENCES = {
    "github": "sts.amazonaws.com",
    "gitlab": "https://gitlab.com",
    "app.terraform.io": "aws.workload.identity",
    "agent.buildkite.com": "sts.amazonaws.com",
    "oidc.vercel.com": "https://vercel.com/OWNER",
}

_ALWAYS = ("aud", "iss")
"""Claims that STS asks of every token, and compares with the identity provider's own."""


class TrustRule(Rule):
    """Judges each ``Allow`` statement, and each issuer it trusts, by itself: a narrow one excuses no other."""

    needs = ("aws.trust_policy",)

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """All findings, of all roles."""
        for record in inventory.of("aws.trust_policy"):
            for trust in trusts(record.facts.get("document")):
                yield from self.judge(record, trust)

    @abstractmethod
    def judge(self, record: Record, trust: Trust) -> Iterator[Finding]:
        """Findings of one statement and one issuer."""

    def about(self, record: Record, trust: Trust, message: str, caller: Caller | None = None, **more: Any) -> Finding:
        """A finding about a statement. caller: a job that gets in, as evidence."""
        evidence = [("role", str(record.facts.get("name") or ""))] if record.facts.get("name") else []
        evidence += [("statement", trust.statement.name.removeprefix("statement "))]
        evidence += [("condition", f"{test.operator} {test.key}: {_listed(test)}") for test in trust.tests()]
        evidence += [("lets in", f"{trust.issuer.key('sub')} = {caller.subject}")] if caller else []
        evidence += [("also asks", f"{test.operator} {test.key}") for test in trust.elsewhere]
        given = {
            "evidence": tuple(evidence),
            "key": f"{trust.statement.sid or trust.statement.index} {trust.issuer.host}",
        }
        if trust.elsewhere:  # an address or the like may keep out whom the token doesn't
            given["confidence"] = "medium"
        return self.finding(record, f"{message} ({trust.statement.name})", **{**given, **more})


class HoleRule(TrustRule):
    """Conditions that a token without the claim meets; critical if a stranger gets in by one."""

    severity = "medium"
    fix = "Use StringEquals or StringLike: they are false for an absent claim."
    links = (OPERATORS, MULTIVALUED)
    sample = "iam/deploy-trust.json"

    @abstractmethod
    def has_hole(self, test: Test) -> bool:
        """Whether it is such a condition, by its operator."""

    def judge(self, record: Record, trust: Trust) -> Iterator[Finding]:
        """One finding a statement."""
        holes = [test for test in trust.tests() if self.has_hole(test)]
        if not holes:
            return
        names = ", ".join(dict.fromkeys(f"{test.operator} {test.key}" for test in holes))
        message, change = f"{names} is met by a token without that claim", narrowed(record, trust)
        caller = trust.first("stranger")
        if caller and all(is_hole(test) or test.negated for test in identifying(trust)):
            severity = "critical" if trust.issuer.shared else "high"
            message = f"{place(trust)} can take the role: {message}"
            yield self.about(record, trust, message, caller, severity=severity, change=change)
        elif all(test.key.lower().rpartition(":")[2] in _ALWAYS for test in holes):
            yield self.about(record, trust, message, severity="low", persona="pedantic", change=change)
        else:
            yield self.about(record, trust, message, change=change)


def identifying(trust: Trust) -> list[Test]:
    """Conditions on claims that a stranger can't choose."""
    own = IDENTIFYING | {trust.issuer.claim}
    return [test for test in trust.tests() if test.key.lower().rpartition(":")[2] in own and test.base != "null"]


def is_hole(test: Test) -> bool:
    """Whether a token without the claim meets it, though it asks for a value. ``ForAnyValue:`` heeds no IfExists."""
    return test.quantifier == "forallvalues" or (test.if_exists and not test.quantifier)


def pins(test: Test) -> bool:
    """Whether it asks for one of some values, none of them wild, and an absent claim doesn't do."""
    return not is_hole(test) and not test.negated and test.base in STRINGS and not any(map(is_wild, test.patterns))


def place(trust: Trust) -> str:
    """What a stranger has there, for people."""
    if trust.issuer.family in _SUBJECTS:
        kind = "repository" if trust.issuer.family == "github" else "project"
        return f"any {kind} on {trust.issuer.name}"
    return f"any customer of {trust.issuer.name}"


def narrowed(record: Record, trust: Trust, *, one_ref: bool = False, without: str = "") -> str:
    """The text of a finding's `change`: the statement's ``Condition``, narrow, made of the policy's own values.

    one_ref: one branch instead of any. without: a suffix of subjects that are left out.
    """
    kept: dict[str, dict[str, Any]] = {}
    subjects: list[str] = []
    for test in trust.statement.tests:
        claim = test.key.lower().rpartition(":")[2] if test in trust.tests() else ""
        if claim == "sub":
            subjects += [] if test.negated or test.base not in STRINGS else map(plain, test.patterns)
        elif claim != "aud":
            operator = re.sub(r"^For(All|Any)Values:|IfExists$", "", test.operator, flags=re.IGNORECASE)
            kept.setdefault(operator if claim else test.operator, {})[test.key] = _one_or_more(list(test.values))
    audiences = [
        plain(each) for test in trust.tests("aud") if not test.negated for each in test.patterns if not is_wild(each)
    ]
    named = [_narrow(trust, each, one_ref) for each in subjects if not without or not each.endswith(without)]
    named = list(dict.fromkeys(named)) or [_narrow(trust, "*", one_ref)]
    equal: dict[str, Any] = {trust.issuer.key("aud"): _one_or_more(audiences or [_audience(trust)])}
    wild = [each for each in named if is_wild(each)]
    if wild:  # one key of one operator: several operators must all be met
        kept.setdefault("StringLike", {})[trust.issuer.key("sub")] = _one_or_more(named)
    else:
        equal[trust.issuer.key("sub")] = _one_or_more(named)
    kept["StringEquals"] = {**equal, **kept.get("StringEquals", {})}
    block = of_statement(record, {"Condition": dict(sorted(kept.items()))})
    capitals = re.findall(
        r"\b(?:OWNER|REPOSITORY|GROUP|PROJECT|ORGANIZATION|WORKSPACE|PIPELINE|STEP|AUDIENCE|SUBJECT)\b", block
    )
    fill = f"; put your own for {', '.join(dict.fromkeys(capitals))}" if capitals else ""
    return f"write this as the condition of {trust.statement.name}{within(record)}{fill}:\n\n{block}"


def _narrow(trust: Trust, pattern: str, one_ref: bool) -> str:
    family = trust.issuer.family
    if family not in _SUBJECTS:
        literal = not pattern.startswith(("*", "?")) and re.match(r"\w+:[^:*?]+:", pattern)
        return pattern if literal else _OTHERS.get(trust.issuer.host, "SUBJECT")
    form, (no_owner, no_repository), main = _SUBJECTS[family]
    key = form.partition(":")[0] + ":"
    known = next(((owner, name) for owner, name in trust.places if not is_wild(owner)), (no_owner, ""))
    if not pattern.startswith(key):
        if re.match(r"[a-z_]+:[^:*?]+", pattern) and trust.who(pattern).who == "own":
            return pattern
        owner, name, suffix = *known, pattern.partition(":")[2] if pattern.startswith("*:") else ""
    else:
        path, _, suffix = pattern.removeprefix(key).partition(":")
        owner, _, name = path.partition("/")
        if "${" in owner and not name:
            return pattern if not one_ref or not is_wild(suffix) else f"{key}{path}:{main}"
    whole = not is_wild(owner)
    owner = _trimmed(owner) or (known[0] if known[0] != no_owner else no_owner)
    name = _trimmed(name) if whole else (name if name and not is_wild(name) else "")
    name = name or (known[1] if known[0] == owner and known[1] and not is_wild(known[1]) else no_repository)
    if not suffix or (suffix.startswith("*") and (one_ref or is_wild(pattern.partition(":")[2].partition(":")[0]))):
        suffix = main
    elif one_ref and is_wild(suffix):
        suffix = "environment:production" if suffix.startswith("environment:") else main
    return f"{form.format(owner, name)}:{suffix}"


def _trimmed(text: str) -> str:
    """The part before the first wildcard."""
    return re.split(r"[*?]", text)[0].rstrip("-_./@")


def _audience(trust: Trust) -> str:
    return _AUDIENCES.get(trust.issuer.host) or _AUDIENCES.get(trust.issuer.family, "AUDIENCE")


def _one_or_more(values: list[str]) -> Any:
    return values[0] if len(values) == 1 else values


def _listed(test: Test) -> str:
    more = f" and {len(test.values) - 5} more" if len(test.values) > 5 else ""
    return ", ".join(test.values[:5]) + more
