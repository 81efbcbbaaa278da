"""A GitLab token that may do nearly everything."""

from collections.abc import Iterator

import msgspec

from keylease.audit.credentials import is_active
from keylease.audit.facts import texts
from keylease.audit.model import Finding, Inventory
from keylease.audit.rule import Rule
from keylease.audit.samples import listed
from keylease.audit.workflows import shown
from keylease.sync.naming import matches

_KIND = "gitlab.token"
_FACTS = {"name": "ci", "sort": "project", "holder": "acme/trainer", "scopes": ["api"], "access_level": "maintainer"}
_AT = "gitlab://project/acme/trainer/project/7"
_STRONG = ("maintainer", "owner")
_ADMIN = ("sudo", "admin_mode")


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """allow: globs on names of tokens that need it."""

    allow: list[str] = []


class TokenBroad(Rule):
    """An administrator's rights are for nobody's CI; full rights of a maintainer are pedantic."""

    id = "gitlab-token-broad"
    title = "a GitLab token with more rights than automation needs"
    severity = "medium"
    persona = "pedantic"
    needs = (_KIND,)
    why = (
        "With `sudo` or `admin_mode` a token acts for any user, or administers the server. With `api` and the role "
        "Maintainer or Owner it reads all CI/CD variables, unprotects branches and makes new tokens that outlive it."
    )
    fix = "Make a token with the narrowest scope (`read_api`, `read_repository`) and the role that its use needs."
    links = ("https://docs.gitlab.com/user/profile/personal_access_tokens/#personal-access-token-scopes",)
    sample = "inventory.json"
    bad = (
        listed(_KIND, _AT, **_FACTS),
        listed(_KIND, "gitlab://self/personal/1", name="x", sort="personal", scopes=["read_api", "sudo"]),
    )
    good = (
        listed(_KIND, _AT, **{**_FACTS, "access_level": "developer"}),
        listed(_KIND, _AT, **{**_FACTS, "scopes": ["read_api", "read_repository"]}),
        listed(_KIND, _AT, **{**_FACTS, "active": False}),
        listed(_KIND, "gitlab://self/personal/1", name="x", sort="personal", scopes=["api"]),
    )
    Settings = Settings

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding a token."""
        for record in inventory.of(_KIND):
            name, scopes = str(record.facts.get("name", "")), texts(record, "scopes")
            if not is_active(record) or any(matches(glob, name) for glob in self.settings.allow):
                continue
            admin = [scope for scope in _ADMIN if scope in scopes]
            role = record.facts.get("access_level")
            wide = [scope for scope in ("api", "write_repository") if scope in scopes and role in _STRONG]
            if not admin and not wide:
                continue
            who = f"the token {shown(name)!a} of {shown(record.facts.get('holder') or 'its user')}"
            with_role = f" as {shown(role)}" if role in _STRONG else ""
            yield self.finding(
                record,
                f"{who} has the scope {', '.join(admin or wide)}{with_role}",
                severity="high" if admin else "medium" if "api" in wide else "low",
                persona="regular" if admin else "pedantic",
                evidence=(("scopes", shown(", ".join(scopes))),),
                change="make one with a narrower scope or role, put it where this one is used, then revoke this one",
                key="broad",
            )
