"""What can go wrong, told so that the reader can mend it.

    KeyleaseError
    ├── UsageError         2  command line, configuration, references, names
    ├── IdentityError      3  no usable identity token
    ├── RefusedError       4  a provider answered: no
    │   └── NotFoundError     … there is no such secret, field, role or version
    ├── UnreachableError   5  no answer, a broken one, or none within the deadline
    ├── PartialError       6  some items failed, each named
    └── OutdatedError      7  a plan that no longer holds

Every message starts with the name of the part that failed (``Vault:``, ``GitHub:``, ``keylease.yml:3:``).
"""

import enum
from collections.abc import Mapping

DOCS = "https://github.com/keylease/keylease/blob/main/docs"
"""Where the documentation is read. Messages are read without a checkout of Keylease."""


class ExitCode(enum.IntEnum):
    """What the process says to its caller."""

    OK = 0
    FINDINGS = 1
    USAGE = 2
    IDENTITY = 3
    REFUSED = 4
    UNREACHABLE = 5
    PARTIAL = 6
    OUTDATED = 7
    INTERNAL = 70  # EX_SOFTWARE of sysexits.h: a defect of ours


class KeyleaseError(Exception):
    """The root of all errors meant for people.

    summary: one line, what failed, starting with the part's name; never a secret value.
    cause:   the likeliest reason, one or two lines.
    change:  the exact thing to write or run (YAML, policy, role), may have several lines. What follows its first blank
             line is a block to paste.
    claims:  the identity token's claims that matter here; a value of None is shown as MISSING.
    docs:    the anchor in docs/errors.md.
    detail:  allow-listed facts for ``--debug`` (status, request id …), never a response body.
    """

    exit_code = ExitCode.INTERNAL

    def __init__(
        self,
        summary: str,
        *,
        cause: str = "",
        change: str = "",
        claims: Mapping[str, object] | None = None,
        docs: str = "",
        detail: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(summary)
        self.summary = summary
        self.cause = cause
        self.change = change
        self.claims = dict(claims or {})
        self.docs = f"{DOCS}/errors.md#{docs}" if docs else ""
        self.detail = dict(detail or {})
        self.also: list[KeyleaseError] = []
        """Further failures of the same run: all are shown, the first one decides the exit code."""
        self.retry_with_new_token = False
        """Set by a provider when the identity token expired on the way: a fresh one may pass."""

    def diagnostics(self, *, debug: bool = False) -> str:
        """The whole story, as shown to people: the summary, then one labelled paragraph per fact.

        A block to paste comes last, between blank lines and not indented: a shell looks for the end of a heredoc in
        the first column only.
        """
        change, block = _parted(self.change)
        rows = [("likely cause", self.cause)]
        if self.claims:
            rows.append(("your token", _claims_line(self.claims)))
        rows += [("change", change), ("docs", self.docs)]
        if debug:
            rows += [(f"debug {key}", str(value)) for key, value in self.detail.items()]
        lines = [self.summary]
        for label, text in rows:
            if text:
                first, *rest = text.splitlines()
                lines.append(f"  {label:<14} {first}")
                lines += [f"  {'':<14} {line}" for line in rest]
        if block:
            lines += ["", block, ""]
        return "\n".join(lines)


def _parted(change: str) -> tuple[str, str]:
    """(words for the labelled row, block to paste)."""
    words, _, block = change.partition("\n\n")
    return ("run the commands below", change) if "\n" in words and "<<" in words else (words, block)


def _claims_line(claims: Mapping[str, object]) -> str:
    present = [f"{name}={_short(value)}" for name, value in claims.items() if value is not None]
    missing = [f"{name}: MISSING" for name, value in claims.items() if value is None]
    return "  ".join(present) + (f"  ({', '.join(missing)})" if missing else "")


def _short(value: object) -> str:
    # Claims come from outside: one line, no control characters, no novel.
    text = "".join(c if c.isprintable() else "?" for c in str(value))
    return text if len(text) <= 200 else text[:197] + "..."


class UsageError(KeyleaseError):
    """The command line or the configuration is wrong; nothing was tried."""

    exit_code = ExitCode.USAGE


def can_not(what: str, path: str, error: OSError, docs: str, *, part: str = "audit") -> UsageError:
    """The error for a file of the user's that can't be opened. what: `read`, `read the baseline`."""
    if isinstance(error, FileNotFoundError):
        change = "name a file that is there; the path is relative to the working directory"
    elif isinstance(error, IsADirectoryError):
        change = "name a file, not a directory"
    else:
        change = "let this user read it" if isinstance(error, PermissionError) else "name a file that can be read"
    return UsageError(f"{part}: can't {what} {path!a}: {error.strerror}", change=change, docs=docs)


def located(error: UsageError, origin: object) -> UsageError:
    """The same error, told where in the configuration it comes from."""
    docs = error.docs.rpartition("#")[2]
    found = UsageError(f"{origin}: {error.summary}", cause=error.cause, change=error.change, docs=docs)
    found.also = error.also
    return found


class IdentityError(KeyleaseError):
    """This is a CI job, but there is no identity token that can be used."""

    exit_code = ExitCode.IDENTITY


class RefusedError(KeyleaseError):
    """A provider understood the request and refused it. Never retried."""

    exit_code = ExitCode.REFUSED


class NotFoundError(RefusedError):
    """There is no such secret, field, version, mount or role."""


class UnreachableError(KeyleaseError):
    """No answer, an unusable one, or none in time. Was retried where that could help."""

    exit_code = ExitCode.UNREACHABLE


class NoListError(UnreachableError):
    """What was answered is no whole list: this inventory lacks; others may be had."""


class DeadlineError(UnreachableError):
    """The step's total deadline passed."""


class PartialError(KeyleaseError):
    """Some items failed, the others are done; each failure is named in `change` or `cause`."""

    exit_code = ExitCode.PARTIAL


class OutdatedError(KeyleaseError):
    """What was planned no longer fits what is there; nothing was done."""

    exit_code = ExitCode.OUTDATED
