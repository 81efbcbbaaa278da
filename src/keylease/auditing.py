"""`keylease audit` and `keylease rules`."""

import argparse
import datetime as dt
import json
import logging
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from keylease.audit.model import Finding, Inventory, Persona, Problem, Severity, Verdict
from keylease.audit.needs import NEEDS
from keylease.audit.policy import WAIVER_ENDED, WAIVER_UNUSED, AuditPolicy, Sorted, sort
from keylease.audit.rule import Needs, Rule
from keylease.config.values import nearest
from keylease.errors import DOCS, ExitCode, PartialError, UsageError
from keylease.gathering import Gathered, Run, Wanted, collect, gather, hand_over, not_asked, output_of
from keylease.model import Env
from keylease.outputs import console
from keylease.outputs.workspace import WorkspaceFile
from keylease.pipelines.audit import can_find, judge
from keylease.registry import RULES

if TYPE_CHECKING:
    from keylease.config.audits import AuditPlan

FILE_NAME = "keylease.yml"


def audit(options: argparse.Namespace, run: Run) -> int:
    """`keylease audit`, `keylease audit collect`; returns the exit code. Raises :class:`KeyleaseError`."""
    if getattr(options, "explain", None):
        console.emit(sys.stdout, explained(options.explain))
        return ExitCode.OK
    config = _config(options.config, run.env)
    if options.command == "audit-collect":
        from keylease.config.audits import AuditPlan, load_audit

        return collect(options, run, (load_audit(Path(config)) if config else AuditPlan()).skip, config)
    asked = Asked(
        # Beside a snapshot, files are looked at where they are named: it has those of where it was made.
        path=options.path or ("" if options.inventory else "."),
        offline=options.offline,
        snapshots=options.inventory,
        imports=options.imports,
        config=config,
        baseline=options.baseline or "",
        no_baseline=options.write_baseline,
        fail_on=options.fail_on,
        persona=options.persona,
        shard=options.shard or "",
        deadline=options.deadline or "",
    )
    file = output_of(options)
    outcome = judged(asked, run)
    if options.write_baseline:
        return _write_baseline(_baseline(options.baseline, outcome.plan), outcome.found, run.log)
    colour = options.format == "table" and not options.output and console.colour_wanted(sys.stdout, run.env)
    hand_over(outcome.report(options.format, colour=colour), file, run)
    return exit_code(outcome, run)


class Asked(Struct, frozen=True):
    """What is to be judged and how, by the command line or the action's inputs. See :class:`Wanted`.

    baseline, fail_on, persona: instead of the file's. no_baseline: none counts. imports: other scanners' reports.
    """

    path: str = "."
    offline: bool = False
    snapshots: Sequence[str] = ()
    imports: Sequence[str] = ()
    config: str = ""
    baseline: str = ""
    no_baseline: bool = False
    fail_on: Severity | None = None
    persona: Persona | None = None
    shard: str = ""
    deadline: str = ""
    prefix: str = "--"


class Outcome(Struct):
    """What came of it, and all that reports are made of. rules: the names of those that the policy wanted."""

    plan: "AuditPlan"
    policy: AuditPolicy
    gathered: Gathered
    verdict: Verdict
    found: Sorted
    rules: Sequence[str]

    def report(self, form: str, *, colour: bool = False) -> str:
        """In one of the forms. Raises :class:`UsageError`."""
        from keylease.outputs.audit_report import TEXTS, render

        return render(
            form,
            self.verdict,
            self.found,
            self.gathered.inventory,
            rules=[] if form in TEXTS else map(RULES.load, self.rules),
            policy=self.policy,
            source=self.plan.source or FILE_NAME,
            colour=colour,
            created=time.time(),
        )


def judged(asked: Asked, run: Run) -> Outcome:
    """Gather and judge. Raises :class:`KeyleaseError`."""
    plan, policy = policy_of(asked)
    wanted = Wanted(
        asked.path,
        online=not asked.offline and not asked.snapshots,
        snapshots=asked.snapshots,
        config=asked.config,
        skip=plan.skip,
        shard=asked.shard,
        deadline=asked.deadline,
        prefix=asked.prefix,
    )
    gathered = gather(wanted, run)
    inventory = gathered.inventory
    if asked.imports:
        from keylease.audit.imports import imported

        inventory.add(imported(asked.imports, asked.prefix))
    inventory.problems += unjudged(inventory, [NEEDS.get(name) or RULES.load(name) for name in RULES])
    rules = [name for name in RULES if name not in policy.off]
    verdict = judge(inventory, [_rule(name, inventory, policy) for name in rules], policy)
    unsure = {each.rule for each in verdict.not_checked}
    found = sort(verdict.findings, policy, dt.datetime.now(dt.UTC).date(), plan.source or FILE_NAME, unsure)
    return Outcome(plan, policy, gathered, verdict, found, rules)


def _rule(name: str, inventory: Inventory, policy: AuditPolicy) -> Rule | Needs:
    """Imported only where it can find something: that is most of what a short audit would take."""
    needs = NEEDS.get(name)
    if needs is not None and not can_find(needs, inventory):
        return needs
    return RULES.load(name)(policy.settings.get(name))


def exit_code(outcome: Outcome, run: Run) -> int:
    """What the process says to its caller, with what is worth a line of log. Raises :class:`PartialError`."""
    verdict, policy = outcome.verdict, outcome.policy
    _tell_stale(outcome.found, policy, run.log)
    if not any(verdict.checked.values()):
        place = console.one_line(outcome.gathered.place or "the inventory")
        which = f"; which files one can: {DOCS}/audit.md#files" if outcome.gathered.place else ""
        run.log.warning("no audit was performed: %s holds nothing that a rule could judge%s", place, which)
    if outcome.found.failing:
        for failure in outcome.gathered.failures:
            run.log.error("%s", failure.summary)
        return ExitCode.FINDINGS
    if outcome.gathered.failures:
        raise not_asked(outcome.gathered.failures)
    unchecked = {each.rule for each in verdict.not_checked if each.asked}
    if policy.fail_unchecked and (verdict.problems or unchecked or not any(verdict.checked.values())):
        number = len(verdict.problems) or len(unchecked)
        raise PartialError(
            f"audit: {number} thing{'' if number == 1 else 's'} could not be checked, each named in the report"
            if number
            else "audit: nothing was checked",
            cause="`fail_unchecked` of `audit:` makes that a failure",
            change="mend the files, grant the permissions, or let the audit read them",
            docs="audit-unchecked",
        )
    return ExitCode.OK


def _config(given: str | None, env: Env) -> str:
    return given or env.get("KEYLEASE_CONFIG") or (FILE_NAME if Path(FILE_NAME).is_file() else "")


def policy_of(asked: Asked) -> "tuple[AuditPlan, AuditPolicy]":
    """The file's, with what was asked instead. Raises :class:`UsageError`."""
    # PyYAML and the settings' types are read where there is something to read.
    from keylease.config.audits import AuditPlan, load_audit, read_baseline

    plan = load_audit(Path(asked.config)) if asked.config else AuditPlan()
    policy = plan.policy
    baseline = asked.baseline or plan.baseline
    if baseline and not asked.no_baseline:
        known = read_baseline(baseline)
        policy = replace(policy, baseline=frozenset(known), noted=known)
    if asked.fail_on:
        policy = replace(policy, fail_on=asked.fail_on)
    if asked.persona:
        policy = replace(policy, persona=asked.persona)
    return plan, policy


def unjudged(inventory: Inventory, rules: Iterable[type[Rule] | Needs]) -> list[Problem]:
    """What files hold and no rule is for: a report without findings must not look as if it had been judged."""
    judged = {kind for rule in rules for kind in (*rule.needs, *rule.also)}
    counts = Counter(record.kind for record in inventory.records if record.location and record.kind not in judged)
    change = "use another tool for these until a later version of Keylease judges them"
    return [
        Problem(kind, f"{number} of {kind} found, which no rule of this version judges", change)
        for kind, number in sorted(counts.items())
    ]


def _tell_stale(found: Sorted, policy: AuditPolicy, log: logging.Logger) -> None:
    gone = len(policy.baseline) - len({each.fingerprint for each in found.baselined})
    if gone > 0:
        entries = "1 entry" if gone == 1 else f"{gone} entries"
        log.info("%s of the baseline no longer found: write it anew (--write-baseline)", entries)


def _baseline(given: str | None, plan: "AuditPlan") -> WorkspaceFile:
    """The file to note findings in. Raises :class:`UsageError`."""
    path = given or plan.baseline
    if not path:
        raise UsageError(
            "audit: --write-baseline needs a file",
            change="--baseline FILE, or `baseline: FILE` in `audit:` of keylease.yml",
            docs="audit-baseline",
        )
    file = WorkspaceFile.named(path, "--baseline", "audit-baseline")
    return file if given else file.below(os.path.dirname(plan.source) or ".")


def _write_baseline(file: WorkspaceFile, found: Sorted, log: logging.Logger) -> int:
    from keylease.config.audits import baseline_text

    kept: list[Finding] = [
        each for each in (*found.failing, *found.below) if each.rule not in (WAIVER_ENDED, WAIVER_UNUSED)
    ]
    file.write(baseline_text(kept))
    log.info("%s: %s finding%s noted", console.one_line(file.path), len(kept), "" if len(kept) == 1 else "s")
    return ExitCode.OK


# Rules.


def rules(options: argparse.Namespace) -> int:
    """`keylease rules`."""
    all_of = [RULES.load(name) for name in sorted(RULES)]
    if options.format == "json":
        text = json.dumps([_as_json(rule) for rule in all_of], indent=1) + "\n"
    else:
        rows = [("rule", "severity", "confidence", "persona", "what it finds")]
        rows += [(rule.id, rule.severity, rule.confidence, rule.persona, rule.title) for rule in all_of]
        text = console.table(rows)
    console.emit(sys.stdout, text)
    return ExitCode.OK


def _as_json(rule: type[Rule]) -> dict[str, object]:
    return {
        "id": rule.id,
        "title": rule.title,
        "severity": rule.severity,
        "confidence": rule.confidence,
        "persona": rule.persona,
        "needs": list(rule.needs),
        "why": rule.why,
        "fix": rule.fix,
        "links": list(rule.links),
    }


def explained(name: str) -> str:
    """All that a rule says of itself, for a terminal. Raises :class:`UsageError` for one that there is none of."""
    import textwrap

    if name not in RULES:
        near = nearest(name, RULES)
        cause = f"did you mean {near!r}?" if near else ""
        raise UsageError(
            f"audit: there is no rule {name!r}", cause=cause, change="`keylease rules` lists them", docs="audit"
        )
    rule = RULES.load(name)
    lines = [f"{rule.id}: {rule.title}", f"severity {rule.severity}, confidence {rule.confidence}, for {rule.persona}"]
    for text in (rule.why, rule.fix):
        lines += ["", *textwrap.wrap(text, 100)]
    settings = settings_of(rule)
    if settings:
        lines += ["", "settings (audit: rules: in keylease.yml):", *(f"  {each}" for each in settings)]
    for title, samples in (("found", rule.bad[:1]), ("not found", rule.good[:1])):
        for sample in samples:
            lines += ["", f"{title}, in {rule.sample}:", "", textwrap.indent(sample.rstrip("\n"), "    ")]
    lines += ["", *rule.links, f"{DOCS}/rules.md#{rule.id}"]
    return "\n".join(lines) + "\n"


def settings_of(rule: type[Rule]) -> list[str]:
    """``name: default`` of each of its own settings."""
    import msgspec

    made = msgspec.to_builtins(rule.Settings())
    return [f"{name}: {json.dumps(value)}" for name, value in made.items()]
