"""The GitHub Action: what the container's two entry points run."""

import gc
import json
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from keylease.context import Context
from keylease.defects import defect
from keylease.errors import ExitCode, KeyleaseError
from keylease.http import Deadline
from keylease.masking import Masker
from keylease.model import Env, Revocation
from keylease.outputs.console import set_up_logging
from keylease.outputs.files import HostPaths, delete_files
from keylease.outputs.github import GitHubOutputs
from keylease.pipelines.signals import Interrupted, Signals

if TYPE_CHECKING:
    from keylease.auditing import Outcome
    from keylease.config.modes import AuditInputs, SyncInputs
    from keylease.gathering import Run

REVOKE_DEADLINE = 30.0
"""Seconds that the post step may take: the runner waits for it before the next job can have the machine."""


def main(env: Env | None = None) -> int:
    """The main step: lease, read, hand over. Returns the exit code."""
    return _Step(dict(os.environ) if env is None else env).run(_Step.lease)


def post(env: Env | None = None) -> int:
    """The post step: revoke and delete what the main step recorded, however the job ended."""
    return _Step(dict(os.environ) if env is None else env).run(_Step.revoke)


class _Step:
    def __init__(self, env: Env) -> None:
        self.env = env
        self.outputs = GitHubOutputs(env, sys.stdout)
        self.masker = Masker(self.outputs.announce)
        self.outputs.scrub = self.masker.scrub
        # The runner sets it when the user re-runs a job "with debug logging".
        self.debug = env.get("RUNNER_DEBUG") == "1"
        self.log = set_up_logging(self.masker, env, sys.stdout, github=True, debug=self.debug)
        self.signals = Signals()
        self.noted = False

    def run(self, work: "Callable[[_Step], int]") -> int:
        with self.signals.caught():
            try:
                return work(self)
            except KeyleaseError as error:
                self.outputs.error(error, debug=self.debug)
                return error.exit_code
            except Interrupted as stop:
                self.outputs.message(
                    f"Keylease: stopped by signal {stop.signum}; what was not given back is left to the post step"
                )
                return 128 + stop.signum
            except Exception as error:  # noqa: BLE001  # a traceback would print what it holds
                self.outputs.error(defect(error), debug=self.debug)
                return ExitCode.INTERNAL

    def lease(self) -> int:
        from keylease.config.inputs import plan_from_inputs
        from keylease.config.modes import audit_from_inputs, sync_from_inputs
        from keylease.identity.source import IdentitySource
        from keylease.outputs.report import rows_of
        from keylease.pipelines.lease import LeaseRun

        audit = audit_from_inputs(self.env)
        if audit:
            return self.audit(audit)
        wanted = sync_from_inputs(self.env)
        if wanted:
            return self.sync(wanted)
        plan, options = plan_from_inputs(self.env, self.masker.seal)
        if options.host_paths:
            self.outputs.in_container(HostPaths.parse(options.host_paths))
        context = Context(self.env, self.masker, Deadline.with_reserve(plan.deadline), self.log)
        tokens = IdentitySource(context, plan.identity_variables)
        remember = self.outputs.save_state if plan.revoke else lambda _: None
        run = LeaseRun(plan, context, tokens, remember, self.signals.hold)
        try:
            taken = run.take()
            self.outputs.deliver([*taken.exports, *taken.emptied], plan.allow_names)
        except BaseException:
            run.abandon()
            raise
        # From here on the job has its values: what follows is a report, and can't fail the step.
        for warning in taken.warnings:
            self.outputs.warning(warning)
        for label in self.masker.unmaskable:
            self.outputs.warning(f"{label}: the value is too short or too common to be masked; the log can show it")
        rows = rows_of(taken.leases, taken.exports)
        if options.summary:
            self.outputs.summary(rows)
        with self.outputs.group(
            f"Keylease: {'1 value' if len(taken.exports) == 1 else f'{len(taken.exports)} values'} delivered"
        ):
            self.outputs.message("\n".join("  ".join(filter(None, row.cells())) for row in rows))
        context.http.close()
        return ExitCode.OK

    def sync(self, wanted: "SyncInputs") -> int:
        from keylease.config.modes import sync_plan
        from keylease.outputs.sync_report import as_json, as_markdown, as_table
        from keylease.syncing import Request, carried_out, failures, verdict

        gc.enable()  # the entry point turned it off; this run may be a long one
        plan = sync_plan(wanted, self.env)
        context = Context(self.env, self.masker, Deadline.with_reserve(plan.plan.deadline), self.log)
        request = Request(wanted.command, wanted.shard, plan=wanted.plan, check=wanted.check, prefix="sync-")
        outcome = carried_out(plan, context, request, self.signals, remember=self.remember)
        report = outcome.report
        if wanted.summary:
            text = as_markdown(report, f"Keylease sync: {wanted.command}", failures(outcome))
            self.outputs.summary_text(text)
        with self.outputs.group(f"Keylease sync: {report.summary()}"):
            self.outputs.message(as_table(report, colour=False))
        changes = sum(number for action, number in report.counts().items() if action != "unchanged")
        self.outputs.set_outputs({"sync_changes": str(changes), "sync_plan": json.dumps(as_json(report))})
        return verdict(outcome, request, self.log, debug=self.debug)

    def audit(self, wanted: "AuditInputs") -> int:
        from keylease.auditing import FILE_NAME, Asked, exit_code, judged
        from keylease.gathering import Run
        from keylease.outputs.workspace import WorkspaceFile, form_of

        gc.enable()
        run = Run(self.env, self.log, self.masker, self.signals, quiet=True, remember=self.remember)
        config = wanted.config or (FILE_NAME if os.path.isfile(FILE_NAME) else "")
        if wanted.command == "collect":
            return self.collect(wanted, config, run)
        reports = [
            (WorkspaceFile.of(path, self.env, "audit-reports"), form_of(path, "audit-reports"))
            for path in wanted.reports
        ]
        asked = Asked(
            path=wanted.path or ("" if wanted.snapshots else "."),
            offline=wanted.command == "offline",
            snapshots=wanted.snapshots,
            config=config,
            fail_on=wanted.fail_on,
            shard=wanted.shard,
            deadline=wanted.deadline,
            prefix="audit-",
        )
        outcome = judged(asked, run)
        for file, form in reports:
            file.write(self.masker.scrub(outcome.report(form)))
        self.tell(outcome, summary=wanted.summary)
        return exit_code(outcome, run)

    def collect(self, wanted: "AuditInputs", config: str, run: "Run") -> int:
        from keylease.config.audits import AuditPlan, load_audit
        from keylease.gathering import Wanted, snapshot
        from keylease.outputs.workspace import WorkspaceFile

        file = WorkspaceFile.of(wanted.snapshots[0], self.env, "audit-inventory")
        skip = (load_audit(Path(config)) if config else AuditPlan()).skip
        path = wanted.path or "."
        asked = Wanted(path, config=config, skip=skip, shard=wanted.shard, deadline=wanted.deadline, prefix="audit-")
        return snapshot(asked, run, lambda text: file.write(self.masker.scrub(text)))

    def tell(self, outcome: "Outcome", *, summary: bool) -> None:
        from keylease.outputs.audit_report import count
        from keylease.outputs.audit_text import annotations

        failing, shown = len(outcome.found.failing), len(outcome.found.failing) + len(outcome.found.below)
        if summary:
            self.outputs.summary_text(outcome.report("markdown"))
        with self.outputs.group(f"Keylease audit: {count(shown, 'finding')}, {failing} of them failing"):
            self.outputs.message(outcome.report("table"))
        self.outputs.commands(annotations(outcome.found))
        self.outputs.set_outputs({"audit_findings": str(failing)})

    def remember(self, revocations: Sequence[Revocation]) -> None:
        # For the post step of a step that is killed. In the end nothing is left, and what was noted is taken back.
        if revocations:
            self.noted = True
            self.outputs.save_state(revocations)
        elif self.noted:
            with suppress(KeyleaseError):
                self.outputs.save_state([])

    def revoke(self) -> int:
        from keylease.pipelines.revoke import revoke, until

        self.signals.hold()  # a second cancel must not leave a lease alive
        state = self.outputs.load_state(self.masker.seal)
        for problem in delete_files(state.files):
            self.outputs.warning(problem)
        if not state.revocations:
            return ExitCode.OK
        context = Context(self.env, self.masker, Deadline(REVOKE_DEADLINE), self.log)
        failed = revoke(state.revocations, context)
        for item in failed:
            self.outputs.warning(f"{item.error.summary}. {item.revocation.label} lives until {until(item.revocation)}")
        done = len(state.revocations) - len(failed)
        children = sum(len(r.children) for r in state.revocations)
        dynamic = f" and {children} dynamic secret{'s' if children > 1 else ''}" if children else ""
        self.outputs.message(f"Keylease: revoked {done} of {len(state.revocations)} tokens{dynamic}")
        return ExitCode.PARTIAL if any(item.revocation.strict for item in failed) else ExitCode.OK
