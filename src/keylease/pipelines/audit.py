"""Judge an inventory: every rule that the policy wants, and what could not be checked."""

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from keylease.audit.model import Inventory, NotChecked, Problem, Verdict, sorted_findings
from keylease.audit.policy import AuditPolicy
from keylease.audit.rule import Rule


def judge(inventory: Inventory, rules: Sequence[Rule], policy: AuditPolicy) -> Verdict:
    """All findings, the worst first. A rule whose inventory lacks, or is not whole, is *not checked*, never passed."""
    verdict = Verdict(problems=_told_once(inventory.problems))
    for rule in rules:
        if rule.id in policy.off:
            continue
        missing = [kind for kind in rule.needs if kind not in inventory.kinds]
        if missing:
            why = f"no inventory of {', '.join(missing)}"
            verdict.not_checked.append(NotChecked(rule.id, why, "collect it: docs/audit.md"))
            continue
        partly = [problem for problem in inventory.problems if problem.kind in ("", *rule.needs)]
        if partly:
            more = f" (and {len(partly) - 1} more)" if len(partly) > 1 else ""
            first = f"{partly[0].location}: {partly[0].what}" if partly[0].location else partly[0].what
            verdict.not_checked.append(NotChecked(rule.id, f"not all of it: {first}{more}", partly[0].change))
        found = list(rule.check(inventory))
        severity = policy.severities.get(rule.id)
        verdict.findings += [replace(each, severity=severity) if severity else each for each in found]
        verdict.checked[rule.id] = sum(len(inventory.of(kind)) for kind in rule.needs)
    verdict.findings = sorted_findings(verdict.findings)
    return verdict


def _told_once(problems: Iterable[Problem]) -> list[Problem]:
    """`problems` with those that differ in their kind alone as one without a kind."""
    found: dict[Problem, Problem] = {}
    for problem in problems:
        bare = replace(problem, kind="")
        found[bare] = bare if bare in found and found[bare] != problem else problem
    return list(found.values())
