"""End leases: when the job does, or when a run fails half-way."""

from collections.abc import Sequence

from msgspec import Struct

from keylease.context import Context
from keylease.errors import KeyleaseError
from keylease.model import Revocation
from keylease.parallel import parallel
from keylease.registry import EXCHANGERS


class NotRevoked(Struct, frozen=True):
    """A lease that may still be alive."""

    revocation: Revocation
    error: KeyleaseError


def revoke(revocations: Sequence[Revocation], context: Context) -> list[NotRevoked]:
    """Revoke all, side by side; one failure never keeps the others from being tried."""

    def one(revocation: Revocation) -> None:
        EXCHANGERS.load(revocation.provider).revoke(revocation, context)

    try:
        results = parallel(one, revocations, context.deadline, "revoking")
    except KeyleaseError as error:  # the deadline: which ones got through is unknown
        return [NotRevoked(revocation, error) for revocation in revocations]
    failed = []
    for revocation, result in zip(revocations, results, strict=True):
        if isinstance(result, KeyleaseError):
            failed.append(NotRevoked(revocation, result))
        elif isinstance(result, Exception):
            defect = KeyleaseError(
                f"{revocation.label}: revoking failed with a defect of ours: {type(result).__name__}"
            )
            failed.append(NotRevoked(revocation, defect))
    return failed


def give_back(revocations: Sequence[Revocation], context: Context) -> list[NotRevoked]:
    """Revoke in the time kept in reserve for it; failures become warnings that tell until when the lease lives."""
    if not revocations:
        return []
    failed = revoke(revocations, context.for_revocation())
    for item in failed:
        context.log.warning("%s", item.error.summary)
        context.log.warning("%s is not revoked and lives until %s", item.revocation.label, until(item.revocation))
    return failed


def until(revocation: Revocation) -> str:
    """When a lease ends by itself, for messages (UTC)."""
    if revocation.expires_at is None:
        return "its own expiry (unknown)"
    import time

    try:
        return time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(revocation.expires_at))
    except (OverflowError, ValueError, OSError):  # a server may say anything
        return "its own expiry (unknown)"
