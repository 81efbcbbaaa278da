"""Judge an inventory: every rule that the policy wants, and what could not be checked."""

from collections.abc import Iterable, Mapping, Sequence

from msgspec.structs import replace

from keylease.audit.model import (
    PERSONAS,
    Finding,
    Inventory,
    Location,
    NotChecked,
    Problem,
    Record,
    Verdict,
    at_least,
    sorted_findings,
)
from keylease.audit.policy import AuditPolicy
from keylease.audit.rule import Needs, Rule


def can_find(rule: Needs, inventory: Inventory) -> bool:
    """Whether there is a record that the rule judges, and all else that it needs: else its Needs stand for it."""
    return any(inventory.of(kind) for kind in rule.needs) and not _missing(rule, inventory)


def judge(inventory: Inventory, rules: Sequence[Rule | Needs], policy: AuditPolicy) -> Verdict:
    """All findings, the worst first. A rule whose inventory lacks, or is not whole, is *not checked*, never passed.

    A record of which a rule tells something gets no finding of those that the rule covers.

    rules: of those that can't find anything (:func:`can_find`) the Needs will do.
    """
    verdict = Verdict(problems=_told_once(inventory.problems))
    kinds: set[str] = set()
    for rule in rules:
        if rule.id in policy.off:
            continue
        if missing := _missing(rule, inventory):
            verdict.not_checked.append(NotChecked(rule.id, *_not_collected(missing), asked=False))
            continue
        if isinstance(rule, Rule) and (lacking := rule.lacks(inventory)):
            verdict.not_checked.append(NotChecked(rule.id, *lacking))
            continue
        judged = sum(len(inventory.of(kind)) for kind in rule.needs)
        # What it looks at besides says how bad a thing is, or whether it is one: there must be one to ask that of.
        also = rule.also if judged else ()
        partly = [problem for problem in inventory.problems if problem.kind in ("", *rule.needs, *also)]
        if partly:
            more = f" (and {len(partly) - 1} more)" if len(partly) > 1 else ""
            first = f"{partly[0].location}: {partly[0].what}" if partly[0].location else partly[0].what
            why = f"{'not all of it: ' if judged else ''}{first}{more}"
            verdict.not_checked.append(NotChecked(rule.id, why, partly[0].change))
        found = _found(rule, inventory) if isinstance(rule, Rule) else []
        severity = policy.severities.get(rule.id)
        verdict.findings += [replace(each, severity=severity) if severity else each for each in found]
        if judged or not partly:
            verdict.checked[rule.id] = judged
            kinds.update(rule.needs)
    verdict.judged = sum(len(inventory.of(kind)) for kind in kinds)
    covers = {rule.id: rule.covers for rule in rules if isinstance(rule, Rule)}
    verdict.findings = sorted_findings(_uncovered(verdict.findings, covers))
    return verdict


def _uncovered(findings: Sequence[Finding], covers: Mapping[str, Sequence[str]]) -> list[Finding]:
    """`findings` without those that another one covers which is as severe, and shown to all who would see them."""
    louder: dict[tuple[str, str, Location | None], list[Finding]] = {}
    for each in findings:
        for covered in covers[each.rule]:
            louder.setdefault((covered, each.subject, each.location), []).append(each)
    return [
        each
        for each in findings
        if not any(
            at_least(other.severity, each.severity) and PERSONAS.index(other.persona) <= PERSONAS.index(each.persona)
            for other in louder.get((each.rule, each.subject, each.location), ())
        )
    ]


def _found(rule: Rule, inventory: Inventory) -> list[Finding]:
    """All findings of a rule; where it compares things of several servers, each server's with its own alone.

    Two servers have repositories, policies and roles of the same name. What is of no server, such as files, may be
    about any: it is judged with all, and all with it.
    """
    kinds = list(dict.fromkeys((*rule.needs, *rule.also)))
    parts: dict[str, list[Record]] = {}
    of_none: list[Record] = []
    for record in (each for kind in kinds for each in inventory.of(kind)):
        server = record.facts.get("server")
        (parts.setdefault(server, []) if isinstance(server, str) else of_none).append(record)
    if len(parts) < 2 or len({kind.partition(".")[0] for kind in kinds}) > 1:
        return list(rule.check(inventory))
    alone = {record.subject for record in of_none}
    found = [each for each in rule.check(inventory) if each.subject in alone] if alone else []
    for part in parts.values():
        own = Inventory([*part, *of_none], inventory.kinds, inventory.problems, inventory.now)
        found += [each for each in rule.check(own) if each.subject not in alone]
    return found


def _missing(rule: Rule | Needs, inventory: Inventory) -> list[str]:
    missing = [kind for kind in rule.needs if kind not in inventory.kinds]
    return [] if rule.alternatives and len(missing) < len(rule.needs) else missing


def _not_collected(kinds: Sequence[str]) -> tuple[str, str]:
    """Why, and what would let it: a kind's first word is the collector's type."""
    types = list(dict.fromkeys(kind.partition(".")[0] for kind in kinds))
    if types == ["file"]:
        return "no files were looked at", "name a directory: keylease audit PATH"
    if types == ["scan"]:
        how = "keylease scan" if "scan.leak" in kinds else "keylease audit --import FILE"
        return "no scanner's findings were looked at", how
    others = [each for each in types if each != "file"]
    if len(others) > 3:
        return "nothing of a platform, cloud or service was collected", "add them to `collect:` of `audit:`"
    return f"no inventory of {', '.join(others)}", f"add `- type: {others[0]}` to `collect:` of `audit:`"


def _told_once(problems: Iterable[Problem]) -> list[Problem]:
    """`problems` with those that differ in their kind alone as one without a kind."""
    found: dict[Problem, Problem] = {}
    for problem in problems:
        bare = replace(problem, kind="")
        found[bare] = bare if bare in found and found[bare] != problem else problem
    return list(found.values())
