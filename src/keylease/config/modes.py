"""The action's other two modes by its inputs: `sync` and `audit`, which lease nothing for the job."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from keylease.config.given import INSTEAD_OF_A_FILE, Inputs, bad, is_text
from keylease.model import Env

if TYPE_CHECKING:
    from keylease.audit.model import Severity
    from keylease.pipelines.sync import SyncPlan

# What only a lease has: a sync or audit gives back its own leases before the step ends, and sets no variable.
_OF_A_LEASE = ("revoke", "strict-revoke", "allow-names")
_OF_A_SYNC = ("sync-plan", "sync-shard", "sync-check")
_OF_AN_AUDIT = ("audit-path", "audit-fail-on", "audit-inventory", "audit-reports", "audit-shard")


class SyncInputs(Struct, frozen=True):
    """What the `sync` inputs ask for. config: a path, or the file's text; empty for keylease.yml."""

    command: str
    config: str
    plan: str
    shard: str
    check: bool
    summary: bool
    deadline: float | None


def sync_from_inputs(env: Env) -> SyncInputs | None:
    """What `sync:` and its companions say; None if it is off. Raises :class:`UsageError` naming the input."""
    inputs = Inputs(env)
    command = inputs.text("sync") or "off"
    companions = inputs.given(_OF_A_SYNC)
    if command not in ("plan", "apply", "off"):
        raise bad("sync", "must be plan, apply or off")
    if command == "off":
        if companions:
            raise bad(companions[0], "goes with `sync: plan` or `sync: apply`", "give `sync`, or remove it")
        return None
    inputs.refuse()
    both = inputs.given(INSTEAD_OF_A_FILE)
    if both:
        raise bad(both[0], "can't go together with `sync`", "write it into keylease.yml (`config`) and remove it")
    idle = inputs.given(_OF_A_LEASE)
    if idle:
        raise bad(idle[0], "can't go together with `sync`, which gives back its own leases itself", "remove it")
    if command == "plan" and inputs.text("sync-plan"):
        raise bad("sync-plan", "is what `sync: apply` holds to", "remove it, or set `sync: apply`")
    if inputs.text("sync-plan") and inputs.text("sync-shard"):
        raise bad("sync-shard", "can't go together with `sync-plan`: a plan says which part it is of", "remove it")
    if command == "apply" and inputs.text("sync-check"):
        raise bad("sync-check", "goes with `sync: plan`", "remove it")
    return SyncInputs(
        command,
        inputs.text("config") or "",
        inputs.text("sync-plan") or "",
        inputs.text("sync-shard") or "",
        inputs.boolean("sync-check", False),
        inputs.boolean("summary", True),
        inputs.seconds("deadline"),
    )


def sync_plan(wanted: SyncInputs, env: Env) -> "SyncPlan":
    """The plan of the file that the inputs name, or whose text they are. Raises :class:`UsageError`."""
    from keylease.config import FILE_NAME, keyleasefile

    path = "config" if is_text(wanted.config) else wanted.config or FILE_NAME
    text = wanted.config if is_text(wanted.config) else Path(path)
    plan, in_file = keyleasefile.parse_sync_settings(text, path, env)
    if wanted.deadline is None:
        return plan
    if "deadline" in in_file and plan.plan.deadline != wanted.deadline:
        raise bad("deadline", f"says something else than settings.deadline in {path}", "remove one of the two")
    return replace(plan, plan=replace(plan.plan, deadline=wanted.deadline))


class AuditInputs(Struct, frozen=True):
    """What the `audit` inputs ask for. config: a path; empty for keylease.yml, if it is there.

    command: true, offline or collect. snapshots: to judge, or the one to write. reports: files to write.
    """

    command: str
    path: str
    config: str
    fail_on: "Severity | None"
    snapshots: Sequence[str]
    reports: Sequence[str]
    shard: str
    summary: bool
    deadline: str


def audit_from_inputs(env: Env) -> AuditInputs | None:
    """What `audit:` and its companions say; None if it is off. Raises :class:`UsageError` naming the input."""
    inputs = Inputs(env)
    command = (inputs.text("audit") or "off").lower()
    companions = inputs.given(_OF_AN_AUDIT)
    if command not in ("true", "offline", "collect", "off", "false"):
        raise bad("audit", "must be true, offline, collect or off")
    if command in ("off", "false"):
        if companions:
            raise bad(companions[0], "goes with `audit: true`", "give `audit`, or remove it")
        return None
    inputs.refuse()
    if inputs.text("sync") not in (None, "off"):
        raise bad("sync", "can't go together with `audit`", "make them two steps")
    both = inputs.given((*INSTEAD_OF_A_FILE, *_OF_A_SYNC))
    if both:
        raise bad(both[0], "can't go together with `audit`", "write it into keylease.yml (`config`) and remove it")
    idle = inputs.given(_OF_A_LEASE)
    if idle:
        raise bad(idle[0], "can't go together with `audit`, which gives back its own leases itself", "remove it")
    config = inputs.text("config") or ""
    if is_text(config):
        raise bad("config", "must be a path with `audit`, whose findings name the file", "config: keylease.yml")
    fail_on = _severity(inputs.text("audit-fail-on"))
    snapshots, reports = (inputs.listed(name) for name in ("audit-inventory", "audit-reports"))
    _must_fit(command, snapshots, inputs.given(("audit-fail-on", "audit-reports")), bool(inputs.text("audit-shard")))
    inputs.seconds("deadline")  # told now, by the name that it has here
    return AuditInputs(
        command,
        inputs.text("audit-path") or "",
        config,
        fail_on,
        snapshots,
        reports,
        inputs.text("audit-shard") or "",
        inputs.boolean("summary", True),
        inputs.text("deadline") or "",
    )


def _severity(text: str | None) -> "Severity | None":
    from keylease.audit.model import SEVERITIES

    if text is None:
        return None
    for each in SEVERITIES:
        if each == text:
            return each
    raise bad("audit-fail-on", f"must be one of: {', '.join(SEVERITIES)}")


def _must_fit(command: str, snapshots: Sequence[str], judging: Sequence[str], sharded: bool) -> None:
    if command == "collect":
        if len(snapshots) != 1:
            raise bad("audit-inventory", "must name the one file that `audit: collect` writes", "inventory.json")
        if judging:
            raise bad(judging[0], "can't go together with `audit: collect`, which judges nothing", "remove it")
    elif sharded and (snapshots or command == "offline"):
        raise bad("audit-shard", "is for what is collected, and nothing is", "remove it")
