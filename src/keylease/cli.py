"""The command line. The only module that talks in exit codes to a shell."""

import argparse
import difflib
import os
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

from keylease import __version__
from keylease.errors import ExitCode

REPLACEMENT = "***"
"""Stands for a value in output (masking.REPLACEMENT, which would take longer to import than `--help` to print)."""

EPILOG = """\
exit codes:
  0  done                              4  a provider refused (login, permission, no such secret)
  1  findings; a difference            5  a provider can't be reached, or the deadline passed
  2  usage or configuration            6  some items failed, each is named
  3  no usable identity token          7  the plan to apply is out of date
                                      70  a defect of keylease
  `keylease exec` ends with the command's own code once the command has started.

docs: https://github.com/keylease/keylease
"""


def parser() -> argparse.ArgumentParser:
    """The whole grammar; also what the docs are generated from."""
    root = argparse.ArgumentParser(
        prog="keylease",
        description="Exchange this CI job's OIDC token for short-lived credentials; mask them; revoke them at the end.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    root.add_argument("--version", action="version", version=f"keylease {__version__}")
    commands = root.add_subparsers(dest="command", metavar="COMMAND", required=True)

    lease = _command(commands, "lease", "take leases, read secrets, and print or write them", [_source(), _common()])
    lease.add_argument(
        "--format",
        choices=("shell", "dotenv", "gitlab-dotenv", "json", "github"),
        help="shell: export lines for eval (default outside GitHub); github: the job's own channels "
        "(default in GitHub Actions); gitlab-dotenv: for artifacts:reports:dotenv, stored in clear by GitLab",
    )
    lease.add_argument("--output", metavar="FILE", help="write to FILE (mode 0600) instead of standard output")
    _state(lease)
    lease.add_argument(
        "--no-revoke", action="store_true", help="keep no state: the leases live until they expire by themselves"
    )

    run = _command(
        commands,
        "exec",
        "run a command with the leased values as its variables, hide them in its output, renew, and revoke at its end",
        [_source(), _common()],
        usage="keylease exec [options] -- COMMAND [ARGUMENT …]",
    )
    output = run.add_argument_group("the command's output")
    output.add_argument(
        "--tty", action="store_true", help="give the command a terminal, so that it shows colours and progress"
    )
    output.add_argument(
        "--mask-env",
        action="append",
        default=[],
        metavar="NAME",
        help="hide this variable's value too; may be given again",
    )
    _replacement(output)
    run.add_argument("argv", nargs=argparse.REMAINDER, metavar="-- COMMAND", help="the command and its arguments")

    revoke = _command(commands, "revoke", "end the leases of an earlier `keylease lease`", [_common()])
    _state(revoke)
    revoke.add_argument("--strict", action="store_true", help="a lease that can't be revoked is an error (6)")

    redact = _command(
        commands,
        "redact",
        "hide known values, in every form, in standard input or files",
        [_common()],
        usage="keylease redact --env NAME [options] [FILE …]",
    )
    known = redact.add_argument_group("the values (at least one of these)")
    known.add_argument(
        "--env", action="append", default=[], metavar="NAME", help="the value of this variable; may be given again"
    )
    known.add_argument(
        "--secrets-file",
        action="append",
        default=[],
        dest="secrets_files",
        metavar="FILE",
        help="one value a line, or (also for values of several lines) a JSON array or object of strings; "
        "may be given again",
    )
    known.add_argument(
        "--state",
        action="append",
        default=[],
        metavar="FILE",
        help="the leases' own tokens from a file of `lease --state` (not the values that were read)",
    )
    known.add_argument("--leases", action="store_true", help="the same from where `lease` keeps this job's state")
    _replacement(redact)
    redact.add_argument(
        "--in-place", action="store_true", help="replace each FILE by its clean text, as a whole or not at all"
    )
    redact.add_argument("--stats", action="store_true", help="count the replacements on standard error")
    redact.add_argument("files", nargs="*", metavar="FILE", help="what to read (default: -, standard input)")

    whoami = _command(
        commands,
        "whoami",
        "show the platform, the token's claims, and the narrowest trust to create for this job",
        [_source(secrets=False), _common()],
    )
    whoami.add_argument("--format", choices=("text", "json"), default="text", help="default: text")
    whoami.add_argument("--verify", action="store_true", help="check the token's signature with its issuer's keys")

    _sync(commands)
    _audit(commands)
    _scan(commands)

    process = _command(
        commands,
        "credential-process",
        "print fresh credentials of one provider for the SDK that started this (AWS: credential_process)",
        [_common()],
    )
    process.add_argument("--provider", required=True, metavar="NAME", help="its name in keylease.yml")
    process.add_argument(
        "--config", metavar="FILE", help="keylease.yml (default: KEYLEASE_CONFIG, then ./keylease.yml)"
    )

    _command(commands, "schema", "print the JSON Schema of keylease.yml", [])
    return root


def _sync(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    root = _command(commands, "sync", "bring CI variables in line with a secrets manager (plan, apply, adopt)", [])
    parts = root.add_subparsers(dest="sync_command", metavar="plan|apply|adopt", required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--config", metavar="FILE", help="keylease.yml (default: KEYLEASE_CONFIG, then ./keylease.yml)")
    common.add_argument(
        "--only", action="append", default=[], metavar="NAME", help="this sync of the file; may be given again"
    )
    common.add_argument("--format", choices=("table", "json", "markdown"), default="table", help="default: table")
    common.add_argument("--all", action="store_true", help="in the table, show what is unchanged too")
    common.add_argument("--output", metavar="FILE", help="write the report to FILE instead of standard output")
    common.add_argument("--shard", metavar="I/N", help="only the I-th of N parts of the places, for a CI matrix")
    common.add_argument("--deadline", metavar="TIME", help="for the whole step: like 10m, 1h (default: 1h)")
    parents = [common, _common()]
    plan = _command(parts, "plan", "read both sides and show what would be done; nothing is written", parents)
    plan.add_argument("--check", action="store_true", help="exit with 1 if anything differs")
    apply = _command(parts, "apply", "do it", parents)
    apply.add_argument("--plan", metavar="FILE", help="exactly this plan (of --format json), or nothing")
    adopt = _command(parts, "adopt", "take over values that are there and not ours, then do as apply", parents)
    adopt.add_argument("names", nargs="+", metavar="NAME", help="as it is called at the target")


def _audit(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--config", metavar="FILE", help="keylease.yml (default: KEYLEASE_CONFIG, then ./keylease.yml)")
    common.add_argument("--output", "-o", metavar="FILE", help="write to FILE instead of standard output")
    common.add_argument("--shard", metavar="I/N", help="only the I-th of N parts of the repositories, for a CI matrix")
    common.add_argument("--deadline", metavar="TIME", help="for all collecting: like 10m, 1h (default: 1h)")
    audit = _command(
        commands,
        "audit",
        "find long-lived keys, exposed secrets and trust that is too wide: in files, CI platforms, clouds and services",
        [common, _common()],
        usage="keylease audit [options] [PATH]\n       keylease audit collect [--output FILE] [--shard I/N] [PATH]",
    )
    audit.add_argument("path", nargs="?", metavar="PATH", help="a directory or file (default: .)")
    audit.add_argument("--offline", action="store_true", help="look at files only; nobody is asked")
    audit.add_argument(
        "--inventory",
        action="append",
        default=[],
        metavar="FILE",
        help="judge this snapshot of `keylease audit collect`, and ask nobody; may be given again (shards)",
    )
    audit.add_argument(
        "--import",
        dest="imports",
        action="append",
        default=[],
        metavar="FILE",
        help="take in the JSON report of gitleaks, trufflehog or kingfisher; may be given again",
    )
    audit.add_argument(
        "--format",
        choices=("table", "json", "markdown", "sarif", "code-scanning", "junit", "gitlab", "html"),
        default="table",
        help="default: table; code-scanning: SARIF for GitHub, without what was set aside",
    )
    audit.add_argument(
        "--fail-on",
        choices=("info", "low", "medium", "high", "critical"),
        help="the least severity that exits with 1 (default: high)",
    )
    audit.add_argument(
        "--persona", choices=("regular", "pedantic", "auditor"), help="whose findings are shown (default: regular)"
    )
    audit.add_argument("--baseline", metavar="FILE", help="findings that are known and don't fail")
    audit.add_argument("--write-baseline", action="store_true", help="note all findings of now in the baseline's file")
    audit.add_argument("--explain", metavar="RULE", help="say what a rule finds, why it matters, and how to mend it")
    snapshot = _command(
        commands,
        "audit-collect",
        "collect what an audit judges into a file, to be judged elsewhere and later",
        [common, _common()],
        usage="keylease audit collect [options] [PATH]",
    )
    snapshot.prog = "keylease audit collect"
    snapshot.add_argument("path", nargs="?", default=".", metavar="PATH", help="whose files (default: .)")
    snapshot.add_argument("--no-files", action="store_true", help="only what `collect:` of keylease.yml names")
    rules = _command(commands, "rules", "list the rules of `keylease audit`", [_common()])
    rules.add_argument("--format", choices=("table", "json"), default="table", help="default: table")


def _scan(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    scan = _command(
        commands,
        "scan",
        "find values that the secrets manager has in files, git's history and artefacts",
        [_common()],
        usage="keylease scan [options] [PATH …]",
    )
    scan.add_argument("paths", nargs="*", metavar="PATH", help="directories or files (default: ., without --artifacts)")
    scan.add_argument(
        "--config", metavar="FILE", help="keylease.yml, whose leases are looked for (default: ./keylease.yml)"
    )
    scan.add_argument("--no-leases", action="store_true", help="what `leases:` reads is not looked for, nor read")
    scan.add_argument(
        "--sync", action="store_true", help="look for all that `sync:` of keylease.yml reads too; no target is asked"
    )
    scan.add_argument(
        "--env", action="append", default=[], metavar="NAME", help="look for this variable's value; may be given again"
    )
    scan.add_argument(
        "--secrets-file",
        action="append",
        default=[],
        dest="secrets_files",
        metavar="FILE",
        help="look for the values of this file: one a line, or a JSON array or object of strings",
    )
    scan.add_argument("--history", action="store_true", help="every object of the git repository too")
    scan.add_argument(
        "--artifacts",
        action="append",
        default=[],
        metavar="DIR",
        help="every file of what a build made, those that git ignores too; may be given again",
    )
    scan.add_argument(
        "--format",
        choices=("table", "json", "markdown", "sarif", "code-scanning", "junit", "gitlab", "html"),
        default="table",
        help="default: table",
    )
    scan.add_argument("--output", "-o", metavar="FILE", help="write to FILE instead of standard output")


def _command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    text: str,
    parents: list[argparse.ArgumentParser],
    usage: str | None = None,
) -> argparse.ArgumentParser:
    description = text[0].upper() + text[1:] + "."
    return commands.add_parser(
        name, help=text, description=description, parents=parents, usage=usage, allow_abbrev=False
    )


def _common() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--debug", action="store_true", help="more lines in errors and the log (never a value)")
    common.add_argument("--quiet", action="store_true", help="warnings and errors only")
    return common


def _state(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--state", metavar="FILE", help="where `lease` notes what `revoke` must end (0600; default: one per job)"
    )


def _replacement(command: "argparse.ArgumentParser | argparse._ArgumentGroup") -> None:
    command.add_argument(
        "--replace-with",
        default=REPLACEMENT,
        metavar="TEXT",
        help=f"what stands for each value (default: {REPLACEMENT})",
    )


def _source(*, secrets: bool = True) -> argparse.ArgumentParser:
    source = argparse.ArgumentParser(add_help=False)
    file = source.add_argument_group("from a file")
    file.add_argument("--config", metavar="FILE", help="keylease.yml (default: KEYLEASE_CONFIG, then ./keylease.yml)")
    flags = source.add_argument_group("or for one Vault or OpenBao")
    flags.add_argument("--url", help="its address (default: BAO_ADDR, then VAULT_ADDR)")
    flags.add_argument("--role", help="the role to log in to")
    flags.add_argument("--method", choices=("jwt", "approle", "kubernetes", "token"), help="default: jwt")
    flags.add_argument("--mount", help="where the auth method is mounted (default: the method's name)")
    flags.add_argument("--audience", help="the identity token's `aud`")
    flags.add_argument("--namespace", help="default: BAO_NAMESPACE, then VAULT_NAMESPACE")
    flags.add_argument(
        "--ca-certificate", metavar="FILE", help="PEM of the CA (default: BAO_CACERT, then VAULT_CACERT)"
    )
    if secrets:
        flags.add_argument(
            "--secret",
            action="append",
            dest="secrets",
            metavar="'PATH FIELD | NAME'",
            help="what to read and the variable to set; may be given again",
        )
    flags.add_argument("--deadline", metavar="TIME", help="for the whole step: seconds, or like 90s, 2m (default: 120)")
    return source


_IN_FILE = ("preset", "fail_unchecked", "rules", "waivers", "collect", "skip")
"""Of an audit."""


def _refuse(root: argparse.ArgumentParser, options: argparse.Namespace, word: str) -> NoReturn:
    """Say what is not known in the command's own words: its usage, and what it may have meant."""
    commands, chosen = [options.command, getattr(options, "sync_command", "")], root
    for command in filter(None, commands):
        groups = [action for action in chosen._actions if isinstance(action, argparse._SubParsersAction)]  # noqa: SLF001
        chosen = groups[0].choices[command]
    known = {name.lstrip("-"): name for name in chosen._option_string_actions}  # noqa: SLF001
    near = difflib.get_close_matches(word.partition("=")[0].lstrip("-"), known, 1)
    hint = f" (did you mean {known[near[0]]}?)" if near else ""
    if options.command == "audit" and word.lstrip("-").replace("-", "_").partition("=")[0] in _IN_FILE:
        hint = " (it is set in `audit:` of keylease.yml)"
    chosen.error(f"unknown argument: {word}{hint}; see {chosen.prog} --help")


def main(argv: Sequence[str]) -> int:
    """Run one command; returns the exit code."""
    arguments = list(argv)
    command: list[str] = []
    if arguments[:1] == ["exec"] and "--" in arguments:
        cut = arguments.index("--")
        arguments, command = arguments[:cut], arguments[cut + 1 :]
    if arguments[:2] == ["audit", "collect"]:  # a directory of that name is ./collect
        arguments[:2] = ["audit-collect"]
    root = parser()
    if not arguments or arguments == ["help"]:
        print(root.format_help(), end="", file=sys.stdout if arguments else sys.stderr)
        return ExitCode.OK if arguments else ExitCode.USAGE
    options, unknown = root.parse_known_args(arguments)
    if unknown:
        _refuse(root, options, unknown[0])
    if options.command == "exec":
        options.argv = command or [word for word in options.argv if word != "--"]
    from keylease import commands

    try:
        code = commands.run(options, dict(os.environ))
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output has gone; Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return code
