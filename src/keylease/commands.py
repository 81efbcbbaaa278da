"""What the commands of the command line do. Returns exit codes; prints; never exits."""

# long file: every command of the command line, each a few lines

import argparse
import gc
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from keylease.deadline import Deadline
from keylease.defects import defect
from keylease.errors import ExitCode, KeyleaseError, UsageError
from keylease.masking import Masker
from keylease.model import Env, Export, Kept, Plan, Renewal, Use
from keylease.outputs import console
from keylease.pipelines.signals import Interrupted, Signals

if TYPE_CHECKING:
    from keylease.context import Context
    from keylease.identity.source import IdentitySource
    from keylease.outputs.files import SecretFiles
    from keylease.stores import Store

REVOKE_DEADLINE = 30.0
"""Seconds that `keylease revoke` may take."""


def run(options: argparse.Namespace, env: Env) -> int:
    """Run the command in `options`; every error ends here, as a message and an exit code."""
    command = _Command(options, env)
    with command.signals.caught():
        try:
            return command.run()
        except KeyleaseError as error:
            command.show(error)
            return error.exit_code
        except Interrupted as stop:
            done = "".join(f": {note}" for note in getattr(stop, "__notes__", ()))
            command.log.warning(
                "stopped by signal %s%s; a lease that could not be given back is named above", stop.signum, done
            )
            return 128 + stop.signum
        except BrokenPipeError:
            raise
        except Exception as error:  # noqa: BLE001  # a traceback would print what it holds
            command.show(defect(error))
            return ExitCode.INTERNAL


class _Command:
    def __init__(self, options: argparse.Namespace, env: Env) -> None:
        self.options = options
        self.env = env
        self.debug: bool = getattr(options, "debug", False)
        self.signals = Signals()
        self.github = options.command == "lease" and _format(options, env) == "github"
        stream = sys.stdout if self.github else sys.stderr
        self.masker = Masker(self._announcer())
        self.log = console.set_up_logging(
            self.masker,
            env,
            stream,
            github=self.github,
            debug=self.debug,
            quiet=getattr(options, "quiet", False),
        )

    def run(self) -> int:
        commands: dict[str, Callable[[], int]] = {
            "lease": self.lease,
            "exec": self.exec,
            "redact": self.redact,
            "revoke": self.revoke,
            "whoami": self.whoami,
            "credential-process": self.credential_process,
            "schema": self.schema,
            "sync": self.sync,
            "audit": self.audit,
            "audit-collect": self.audit,
            "rules": self.audit,
            "scan": self.scan,
        }
        return commands[self.options.command]()

    def show(self, error: KeyleaseError) -> None:
        """The error and all further ones, for people."""
        for each in (error, *error.also):
            self.log.error("%s", each.diagnostics(debug=self.debug))

    # -- commands --

    def lease(self) -> int:
        """`keylease lease`."""
        from keylease.pipelines.lease import LeaseRun

        form = _format(self.options, self.env)
        plan = self._plan()
        context = self._context(plan)
        store = self._store(plan, form)
        run = LeaseRun(plan, context, self._tokens(context, plan), store.remember, self.signals.hold)
        try:
            taken = run.take()
            store.deliver([*taken.exports, *taken.emptied], plan)
        except BaseException:
            store.forget(run.abandon())
            raise
        for warning in taken.warnings:
            self.log.warning("%s", warning)
        self._report(taken.exports, store.note())
        context.http.close()
        return ExitCode.OK

    def exec(self) -> int:
        """`keylease exec -- COMMAND`."""
        from keylease.config.known import seal_variables
        from keylease.outputs.files import Places, SecretFiles, place
        from keylease.outputs.names import check_exports
        from keylease.pipelines.exec import Streams, child_environment, find_command, run_command
        from keylease.pipelines.lease import LeaseRun
        from keylease.pipelines.renew import Renewer
        from keylease.redact import replacement_for

        gc.enable()  # __main__ turned it off; this run may be a long one
        argv = self.options.argv
        if not argv:
            raise UsageError("exec: there is no command", change="keylease exec [options] -- COMMAND", docs="exec")
        missing = find_command(argv, self.env.get("PATH"))
        if missing is not None:
            self.log.error("exec: %s: no such command; nothing was leased", argv[0])
            return missing
        seal_variables(self.options.mask_env, self.env, self.masker.seal, "--mask-env")
        plan = self._plan()
        context = self._context(plan)
        tokens = self._tokens(context, plan)
        run = LeaseRun(plan, context, tokens, hold=self.signals.hold)
        files = SecretFiles(Places(self.env), warn=lambda text: self.log.warning("%s", text))
        try:
            taken = run.take()
            check_exports(taken.exports, plan.allow_names)
            exports = place(taken.exports, files)
            for warning in taken.warnings:
                self.log.warning("%s", warning)
            self._report(taken.exports, "")
            environment = child_environment(self.env, exports, [*_ours(self.env), *taken.unset])
            streams = Streams(
                out=sys.stdout.buffer,
                err=sys.stderr.buffer,
                replacement=replacement_for(self.options.replace_with, self.masker),
                tty=self.options.tty,
            )
            rewritten = [_rewriting(kept, exports, files, tokens) for kept in taken.kept]
            renewer = Renewer([*taken.renewals, *rewritten], context)
            return run_command(argv, environment, context, renewer, self.signals, streams)
        finally:
            self.signals.holding = True
            for problem in files.discard():
                self.log.warning("%s", problem)
            if plan.revoke:
                run.abandon()

    def redact(self) -> int:
        """`keylease redact`."""
        gc.enable()
        from keylease.redact import redact

        return redact(self.options, self.env, self.masker, self.log, self.signals)

    def revoke(self) -> int:
        """`keylease revoke`."""
        from keylease.context import Context
        from keylease.outputs.files import delete_files
        from keylease.outputs.state import StateFile, default_path
        from keylease.pipelines.revoke import revoke, until

        self.signals.holding = True
        file = StateFile(self.options.state or default_path(self.env))
        state = file.load(self.masker.seal)
        if not state.revocations and not state.files:
            self.log.info("nothing to revoke: there is nothing in the state %s", file.path)
            return ExitCode.OK
        problems = delete_files(state.files)
        for problem in problems:
            self.log.warning("%s", problem)
        context = Context(self.env, self.masker, Deadline(REVOKE_DEADLINE), self.log)
        failed = revoke(state.revocations, context)
        for item in failed:
            self.log.warning("%s", item.error.summary)
            self.log.warning("%s lives until %s", item.revocation.label, until(item.revocation))
        file.finish([item.revocation for item in failed])  # what could not be revoked can be tried again
        done, number = len(state.revocations) - len(failed), len(state.revocations)
        if number:
            self.log.info("revoked %s of %s %s", done, number, "lease" if number == 1 else "leases")
        else:
            self.log.info("deleted the leases' files; there was nothing to revoke")
        strict = self.options.strict or any(item.revocation.strict for item in failed)
        return ExitCode.PARTIAL if failed and strict else ExitCode.OK

    def whoami(self) -> int:
        """`keylease whoami`."""
        from keylease.whoami import show_whoami

        plan = self._plan(needed=False)
        context = self._context(plan)
        return show_whoami(plan, context, self._tokens(context, plan), self.options)

    def credential_process(self) -> int:
        """`keylease credential-process`: the SDK that starts it asks again when the credentials are about to expire."""
        from keylease.config import FILE_NAME, load_file
        from keylease.pipelines.lease import LeaseRun
        from keylease.registry import EXCHANGERS

        if sys.stdout.isatty():
            raise UsageError(
                "credential-process: its output is for an SDK, and would show the credentials on this terminal",
                change="in ~/.aws/config: credential_process = keylease credential-process --config /PATH/keylease.yml "
                "--provider NAME",
                docs="credential-process",
            )
        path, name = self.options.config or self.env.get("KEYLEASE_CONFIG") or FILE_NAME, self.options.provider
        plan = load_file(path, self.env)
        if name not in plan.providers:
            raise UsageError(
                f"credential-process: {path} has no provider of that name",
                change=f"--provider with one of: {', '.join(plan.providers)}",
                docs="credential-process",
            )
        # One provider, and whatever that one needs; the job's end is not ours to see, so nothing is kept for it.
        plan = Plan(plan.providers, uses=[Use(name)], deadline=plan.deadline)
        context = self._context(plan)
        run = LeaseRun(plan, context, self._tokens(context, plan), hold=self.signals.hold)
        try:
            lease = next(each for each in run.take().leases if each.provider == name)
            text = json.dumps(EXCHANGERS.load(lease.type).process_output(lease))
        except BaseException:
            run.abandon()
            raise
        console.emit(sys.stdout, text + "\n")
        context.http.close()
        return ExitCode.OK

    def sync(self) -> int:
        """`keylease sync`."""
        from keylease.config import FILE_NAME, load_sync
        from keylease.syncing import sync

        gc.enable()
        path = self.options.config or self.env.get("KEYLEASE_CONFIG") or FILE_NAME
        plan = load_sync(path, self.env)
        plan = replace(plan, plan=self._with_deadline(plan.plan, self.options.deadline))
        return sync(plan, self._context(plan.plan), self.options, self.env, self.log, self.signals)

    def audit(self) -> int:
        """`keylease audit`, `keylease audit collect` and `keylease rules`."""
        from keylease.auditing import audit, rules
        from keylease.gathering import Run

        if self.options.command == "rules":
            return rules(self.options)
        if not getattr(self.options, "offline", False):
            gc.enable()
        return audit(self.options, Run(self.env, self.log, self.masker, self.signals, quiet=self.options.quiet))

    def scan(self) -> int:
        """`keylease scan`."""
        from keylease.gathering import Run
        from keylease.scanning import scan

        gc.enable()
        return scan(self.options, Run(self.env, self.log, self.masker, self.signals, quiet=self.options.quiet))

    def schema(self) -> int:
        """`keylease schema`."""
        from keylease.config.schema import json_schema

        print(json.dumps(json_schema(), indent=2))  # noqa: T201
        return ExitCode.OK

    # -- parts --

    def _plan(self, *, needed: bool = True) -> Plan:
        from keylease.config import FILE_NAME, load_file
        from keylease.config.inputs import plan_from_flags

        o = self.options
        flags = {name: getattr(o, name, None) for name in FLAGS}
        secrets = getattr(o, "secrets", None)
        given = [
            f"--{name.replace('_', '-')}" for name in FLAGS if flags[name] and name not in BESIDE_A_FILE[o.command]
        ]
        given += ["--secret"] if secrets else []
        path = o.config or self.env.get("KEYLEASE_CONFIG")
        # --url and --secret stand for a provider of their own: a file that happens to lie about is not meant.
        if not path and not flags["url"] and not secrets and Path(FILE_NAME).is_file():
            path = FILE_NAME
        if path and given and not (o.config is None and (flags["url"] or secrets)):
            raise UsageError(
                f"{', '.join(given)} can't go together with {path}",
                cause="the file says it already, and one of the two would be passed over",
                change=f"write it into {path}, or give --url and all the rest as flags",
                docs="configuration",
            )
        if path and not flags["url"] and not secrets:
            plan = self._with_deadline(load_file(path, self.env), flags["deadline"])
        elif needed or given or self.env.get("VAULT_ADDR") or self.env.get("BAO_ADDR"):
            if not (flags["url"] or self.env.get("BAO_ADDR") or self.env.get("VAULT_ADDR")):
                raise UsageError(
                    "there is nothing to lease from: no keylease.yml here, no --config, and no Vault's address",
                    change="--url https://vault.example.com --role NAME --secret 'secret/data/ci FIELD | NAME'\n"
                    "(BAO_ADDR or VAULT_ADDR will do for --url), or --config FILE",
                    docs="configuration",
                )
            plan = plan_from_flags(env=self.env, secrets=secrets, **flags)
        else:
            plan = Plan({})
        if needed and not plan.uses and not plan.deliveries and path:
            raise UsageError(
                f"{path}: there is nothing to do: it has no `leases:`",
                cause="a provider alone hands over nothing",
                change="leases:\n  - use: NAME   # a provider's own variables; or `secret:` and `env:`",
                docs="configuration",
            )
        if needed and not plan.uses and not plan.deliveries:
            raise UsageError(
                "there is nothing to do: no secret and no provider's own credential is asked for",
                change="--secret 'secret/data/ci npmToken | NPM_TOKEN', or a keylease.yml (--config FILE)",
                docs="configuration",
            )
        return plan

    def _with_deadline(self, plan: Plan, deadline: str | None) -> Plan:
        from keylease.config.values import deadline_of

        given = deadline_of(deadline or "", "--")
        return plan if given is None else replace(plan, deadline=given)

    def _context(self, plan: Plan) -> "Context":
        from keylease.context import Context  # an audit of files needs no HTTP

        return Context(self.env, self.masker, Deadline.with_reserve(plan.deadline), self.log)

    def _tokens(self, context: "Context", plan: Plan) -> "IdentitySource":
        from keylease.identity.source import IdentitySource

        return IdentitySource(context, plan.identity_variables)

    def _announcer(self) -> Callable[[str], None] | None:
        """On GitHub the runner must know the values, also where they go to standard output for `eval`.

        Not for `exec`: its command's output is masked by us, and an announcement would end up in that output.
        """
        if self.options.command != "lease" or self.env.get("GITHUB_ACTIONS") != "true":
            return None
        from keylease.outputs.github import GitHubOutputs

        return GitHubOutputs(self.env, sys.stdout if self.github else sys.stderr).announce

    def _store(self, plan: Plan, form: str) -> "Store":
        from keylease.stores import GitHubStore, TextStore

        if form == "github":
            return GitHubStore(self.env, self.masker, sys.stdout)
        keep = plan.revoke and not self.options.no_revoke
        return TextStore(self.env, form, self.options.output, self.options.state, self.log, keep=keep)

    def _report(self, exports: Sequence[Export], note: str) -> None:
        for label in self.masker.unmaskable:
            self.log.warning("%s: the value is too short or too common to be masked; a log can show it", label)
        names = ", ".join(dict.fromkeys(export.name for export in exports))
        values = "1 value" if len(exports) == 1 else f"{len(exports)} values"
        self.log.info("%s leased: %s%s", values, names, f"; {note}" if note else "")


FLAGS = ("url", "role", "method", "mount", "audience", "namespace", "ca_certificate", "deadline")

BESIDE_A_FILE = {"lease": {"deadline"}, "exec": {"deadline"}, "whoami": {"deadline", "audience"}}
"""Flags that may stand beside a keylease.yml: they say nothing about a provider."""


def _ours(env: Env) -> list[str]:
    """Variables that a command run by `exec` has no use for: the job's identity is ours to exchange."""
    return [name for name in env if name.startswith("KEYLEASE_ID_TOKEN") and not name.endswith("_FILE")]


def _format(options: argparse.Namespace, env: Env) -> str:
    given: str | None = getattr(options, "format", None)
    if given:
        return given
    in_step = env.get("GITHUB_ACTIONS") == "true" and env.get("GITHUB_ENV") and not options.output
    return "github" if in_step else "shell"


def _rewriting(kept: Kept, exports: Sequence[Export], files: "SecretFiles", tokens: "IdentitySource") -> Renewal:
    """Renew a file as leases are: with a new identity token in it before the old one expires.

    GitLab makes a job's tokens when it starts, and no more: then there is none to be had.
    """
    from keylease.pipelines.renew import NothingNewerError

    path = next(export.value.reveal() for export in exports if export.name == kept.name)
    ends = kept.expires_at

    def renew() -> float:
        nonlocal ends
        token = tokens.token(kept.audience, fresh=True)
        following = kept.until(token)
        if following <= ends:
            raise NothingNewerError(
                f"{token.source} holds no newer identity token; what reads the file then is refused"
            )
        files.rewrite(path, kept.content(token).reveal_bytes())
        ends = following
        return ends - time.time()

    return Renewal(f"{kept.name} (identity token)", kept.expires_at - time.time(), kept.expires_at, renew)
