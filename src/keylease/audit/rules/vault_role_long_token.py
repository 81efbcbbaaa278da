"""A JWT role whose tokens outlive the job."""

from collections.abc import Iterator
from typing import Any

import msgspec

from keylease.audit.model import Finding, Inventory, Record
from keylease.audit.samples import role_file
from keylease.audit.vault_roles import ROLE_API, RoleRule, mended

_SYSTEM = 768 * 3600
"""Seconds that a server gives where neither role nor mount says."""


class Lifetimes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Seconds. token: of a token as it is issued. most: until when it can be renewed."""

    token: int = 3600
    most: int = 86_400


class VaultRoleLongToken(RoleRule):
    """Zero is the mount's and at last the server's default, 768 hours unless somebody changed it."""

    id = "vault-role-long-token"
    title = "a JWT role of Vault whose tokens outlive the job"
    severity = "medium"
    why = (
        "A job's token is of no use to the job when that is over, but to whoever finds it in a log, a cache or an "
        "artefact. Without `token_ttl` it lives as long as the server's default, 768 hours; a periodic one can be "
        "renewed for ever."
    )
    fix = "Set `token_ttl` to minutes (`keylease exec` renews it meanwhile) and `token_max_ttl` to the longest job."
    links = (ROLE_API,)
    Settings = Lifetimes
    bad = (
        role_file(token_ttl=None, token_max_ttl=None),
        role_file(token_ttl=0, token_max_ttl=None),
        role_file(token_ttl="7d", token_max_ttl="30d"),  # noqa: S106 - times
        role_file(token_period="1h"),  # noqa: S106 - a time
        role_file(token_max_ttl=None),
    )
    good = (
        role_file(),
        role_file(token_ttl=600, token_max_ttl=3600),
        role_file(token_max_ttl="30m", token_ttl=None),  # noqa: S106 - a time
    )

    def judge(self, record: Record, inventory: Inventory) -> Iterator[Finding]:
        """See the base class."""
        del inventory
        facts, limit = record.facts, self.settings
        ttl, most, period, end = (
            _seconds(facts.get(key)) for key in ("token_ttl", "token_max_ttl", "token_period", "token_explicit_max_ttl")
        )
        if ttl is None or most is None or period is None or end is None:
            return  # what it says is no duration, or computed
        ends = [each for each in (most, end) if each]
        more: dict[str, Any] = {}
        if period and not end:
            what = f"its tokens are renewed by {_shown(period)} without an end"
        elif min([period or ttl or _SYSTEM, *ends]) > limit.token:
            real = min([period or ttl or _SYSTEM, *ends])
            default = "" if period or ttl or ends else ", the server's default unless the mount says another"
            what = f"its tokens live {_shown(real)}{default}"
            if not default and real <= 24 * limit.token:
                more = {"severity": "low", "persona": "pedantic"}
            elif default:
                more = {"confidence": "medium"}
        elif min([_SYSTEM, *ends]) > limit.most:
            what = f"its tokens can be renewed for {_shown(min([_SYSTEM, *ends]))}"
            more = {"severity": "low", "persona": "pedantic"}
        else:
            return
        fields = {"token_ttl": 900, "token_max_ttl": 3600, **({"token_period": 0} if period else {})}
        yield self.about(record, what, f"end them with the job\n\n{mended(record, **fields)}", **more)


def _seconds(value: object) -> int | None:
    if value is None:
        return 0
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _shown(seconds: int) -> str:
    return f"{seconds // 3600} hours" if seconds >= 7200 else f"{max(1, seconds // 60)} minutes"
