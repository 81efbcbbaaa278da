"""`keylease audit` and `keylease rules`."""

import argparse
import datetime as dt
import json
import logging
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from keylease.audit.model import Finding, Inventory, Problem
from keylease.audit.policy import WAIVER_ENDED, WAIVER_UNUSED, AuditPolicy, Sorted, sort
from keylease.audit.rule import Rule
from keylease.errors import ExitCode, PartialError, UsageError
from keylease.model import Env
from keylease.outputs import console
from keylease.pipelines.audit import judge
from keylease.registry import RULES

if TYPE_CHECKING:
    from keylease.config.audits import AuditPlan

FILE_NAME = "keylease.yml"


def audit(options: argparse.Namespace, env: Env, log: logging.Logger) -> int:
    """`keylease audit`; returns the exit code. Raises :class:`KeyleaseError`."""
    if options.explain:
        console.emit(sys.stdout, explained(options.explain))
        return ExitCode.OK
    if not options.offline:
        raise UsageError(
            "audit: this version looks at files only, and asks nobody",
            change="say so: keylease audit --offline [PATH]",
            docs="audit",
        )
    plan, policy = _policy(options, env)
    inventory, place = _collected(options.path, plan.skip)
    every = {name: RULES.load(name) for name in RULES}
    inventory.problems += unjudged(inventory, every.values())
    rules = [rule(policy.settings.get(name)) for name, rule in every.items() if name not in policy.off]
    verdict = judge(inventory, rules, policy)
    source = plan.source or FILE_NAME
    found = sort(verdict.findings, policy, dt.datetime.now(dt.UTC).date(), source)
    if options.write_baseline:
        return _write_baseline(options.baseline or plan.baseline, found, log)
    from keylease.outputs.audit_report import render

    colour = options.format == "table" and not options.output and console.colour_wanted(sys.stdout, env)
    text = render(
        options.format,
        verdict,
        found,
        inventory,
        rules=rules,
        policy=policy,
        source=source,
        colour=colour,
        created=time.time(),
    )
    if options.output:
        try:
            Path(options.output).write_text(text, encoding="utf-8")
        except OSError as error:
            raise UsageError(f"--output: can't write {options.output!a}: {error.strerror}", docs="audit") from None
    else:
        console.emit(sys.stdout, text)
    _tell_stale(found, policy, log)
    if not any(verdict.checked.values()):
        log.warning("no audit was performed: %s holds nothing that a rule could judge", console.one_line(place))
    if found.failing:
        return ExitCode.FINDINGS
    if policy.fail_unchecked and (verdict.problems or not any(verdict.checked.values())):
        number = len(verdict.problems)
        raise PartialError(
            f"audit: {number} thing{'' if number == 1 else 's'} could not be checked, each named in the report"
            if number
            else "audit: nothing was checked",
            cause="`fail_unchecked` of `audit:` makes that a failure",
            change="mend the files, or let the audit read them",
            docs="audit-unchecked",
        )
    return ExitCode.OK


def _policy(options: argparse.Namespace, env: Env) -> "tuple[AuditPlan, AuditPolicy]":
    path = options.config or env.get("KEYLEASE_CONFIG") or (FILE_NAME if Path(FILE_NAME).is_file() else "")
    # PyYAML and the settings' types are read where there is something to read.
    from keylease.config.audits import AuditPlan, load_audit, read_baseline

    plan = load_audit(Path(path)) if path else AuditPlan()
    policy = plan.policy
    baseline = options.baseline or plan.baseline
    if baseline and not options.write_baseline:
        policy = replace(policy, baseline=read_baseline(baseline))
    if options.fail_on:
        policy = replace(policy, fail_on=options.fail_on)
    if options.persona:
        policy = replace(policy, persona=options.persona)
    return plan, policy


def _collected(given: str, skip: Sequence[str]) -> tuple[Inventory, str]:
    from keylease.audit.collectors.files import collect

    path = Path(given)
    try:
        if path.is_dir():
            return collect(path.resolve(), skipped=skip), given
        if path.is_file() or path.is_symlink():
            # Paths are those of the working directory, as in the platforms' reports.
            absolute, here = path.parent.resolve() / path.name, Path.cwd()
            root = here if absolute.is_relative_to(here) else absolute.parent
            return collect(root, [absolute.relative_to(root).as_posix()]), given
    except (OSError, ValueError):
        pass
    raise UsageError(
        f"audit: there is no file or directory {given!a}",
        cause="the path is relative to the working directory, or the repository is not checked out yet",
        change="keylease audit --offline PATH",
        docs="audit",
    )


def unjudged(inventory: Inventory, rules: Iterable[type[Rule]]) -> list[Problem]:
    """What was found and no rule is for: a report without findings must not look as if it had been judged."""
    judged = {kind for rule in rules for kind in rule.needs}
    counts = Counter(record.kind for record in inventory.records if record.kind not in judged)
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


def _write_baseline(path: str, found: Sorted, log: logging.Logger) -> int:
    from keylease.config.audits import baseline_text

    if not path:
        raise UsageError(
            "audit: --write-baseline needs a file",
            change="--baseline FILE, or `baseline: FILE` in `audit:` of keylease.yml",
            docs="audit-baseline",
        )
    kept: list[Finding] = [
        each for each in (*found.failing, *found.below) if each.rule not in (WAIVER_ENDED, WAIVER_UNUSED)
    ]
    try:
        Path(path).write_text(
            baseline_text([(each.fingerprint, each.rule, each.subject) for each in kept]), encoding="utf-8"
        )
    except OSError as error:
        raise UsageError(f"audit: can't write the baseline {path!a}: {error.strerror}", docs="audit-baseline") from None
    log.info("%s: %s finding%s noted", console.one_line(path), len(kept), "" if len(kept) == 1 else "s")
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
    lines += ["", *rule.links] if rule.links else []
    return "\n".join(lines) + "\n"


def settings_of(rule: type[Rule]) -> list[str]:
    """``name: default`` of each of its own settings."""
    import msgspec

    made = msgspec.to_builtins(rule.Settings())
    return [f"{name}: {json.dumps(value)}" for name, value in made.items()]
