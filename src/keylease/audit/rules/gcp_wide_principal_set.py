"""A role is given to more jobs than one project's."""

import re
from collections.abc import Iterator
from typing import Any, Literal

from keylease.audit.cel import claim_of, ways
from keylease.audit.cloud_samples import POOL, binding, provider
from keylease.audit.in_file import attributes, declared, replaced
from keylease.audit.issuers import ISSUERS, is_one_project, issuer_of
from keylease.audit.model import Finding, Inventory, Record
from keylease.audit.rule import Rule
from keylease.audit.samples import these
from keylease.audit.workflows import shown

_SET = re.compile(
    r"principalSet://iam\.googleapis\.com/projects/(?P<number>[^/]+)/locations/global/workloadIdentityPools/(?P<pool>[^/]+)"
    r"/(?P<all>\*\Z)?(?:attribute\.(?P<attribute>\w+)/)?(?P<value>.*)"
)
_OWNER = ("owner", "namespace", "organization", "enterprise", "group")
_BOT = "bot@acme-ml.iam.gserviceaccount.com"
_USER = "roles/iam.workloadIdentityUser"


class GcpWidePrincipalSet(Rule):
    """The whole pool, or all repositories of an owner; nothing is said where the provider lets one project in alone."""

    id = "gcp-wide-principal-set"
    title = "a role is given to more jobs than one project's"
    severity = "medium"
    confidence = "medium"
    needs = ("gcp.binding", "gcp.provider")
    why = (
        "A binding of `…/*` is for whoever gets into the pool, through any of its providers: every repository of the "
        "organization, every branch, and all that a provider lets in that is added later. The least careful of those "
        "projects decides who has the role."
    )
    fix = "Bind one repository, by its id, or one subject."
    links = (
        "https://cloud.google.com/iam/docs/principal-identifiers",
        "https://cloud.google.com/iam/docs/best-practices-for-using-workload-identity-federation",
    )
    sample = "inventory.json"
    bad = (
        these(provider("assertion.repository_owner_id == '6539'"), binding(_USER, f"{POOL}/*", _BOT)),
        these(provider("assertion.repository_owner_id == '6539'"), binding("roles/storage.admin", f"{POOL}/*")),
        these(
            provider("assertion.repository_owner_id == '6539'"),
            binding(_USER, f"{POOL}/attribute.repository_owner/acme", _BOT),
        ),
        these(provider("assertion.arn.extract('x') == 'y'", sort="aws", issuer=""), binding(_USER, f"{POOL}/*", _BOT)),
        these(provider("", issuer="https://gitlab.acme.example"), binding(_USER, f"{POOL}/*", _BOT)),
    )
    good = (
        these(provider("assertion.repository_id == '817264'"), binding(_USER, f"{POOL}/*", _BOT)),
        these(
            provider("assertion.project_path == 'acme/ml'", issuer="https://gitlab.acme.example"),
            binding(_USER, f"{POOL}/*", _BOT),
        ),
        these(
            provider("assertion.repository_owner_id == '6539'"),
            binding(_USER, f"{POOL}/attribute.repository/acme/trainer", _BOT),
        ),
        these(provider(""), binding(_USER, POOL.replace("Set", "") + "/subject/repo:acme/trainer:ref:x", _BOT)),
        these(provider(""), binding("roles/viewer", "user:ann@acme.example")),
    )

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding a binding."""
        pools: dict[tuple[str, str], list[Record]] = {}
        for record in inventory.of("gcp.provider"):
            if not record.facts.get("disabled"):
                pools.setdefault((str(record.facts.get("project_number")), str(record.facts.get("pool"))), []).append(
                    record
                )
        widths_of = {pool: {_width(each) for each in providers} for pool, providers in pools.items()}
        owners: dict[tuple[str, str, str], bool] = {}
        for record in inventory.of("gcp.binding"):
            found = _SET.fullmatch(str(record.facts.get("member")))
            if not found:
                continue
            pool, attribute = (found["number"], found["pool"]), found["attribute"]
            widths = widths_of.get(pool, set())
            if widths == {"one"}:
                continue
            what = f"{shown(record.facts.get('role'))} on {shown(record.facts.get('resource'), 120)}"
            if found["all"]:
                more: dict[str, Any] = {} if "many" in widths else {"confidence": "low", "persona": "pedantic"}
                yield self._finding(record, f"whoever gets into the pool {shown(found['pool'])} has {what}", more)
            elif attribute:
                if (*pool, attribute) not in owners:
                    owners[*pool, attribute] = _is_owner(attribute, pools.get(pool, []))
                if not owners[*pool, attribute]:
                    continue
                more = {"severity": "low", "persona": "auditor"}
                whose = f"{shown(attribute)} {shown(found['value'])}"
                yield self._finding(record, f"every project of {whose} has {what}", more)

    def _finding(self, record: Record, message: str, more: dict[str, Any]) -> Finding:
        member = str(record.facts.get("member"))
        own = str(declared(record).own or member)
        one = f"{own.removesuffix('/*').partition('/attribute.')[0]}/attribute.repository_id/REPOSITORY_ID"
        fields = {"role": record.facts.get("role"), **replaced(record, one)}
        change = "map the repository's id, and give the role to one repository in its place\n\n" + (
            attributes(record, fields) or f"member: {shown(one, 240)}"
        )
        return self.finding(
            record, message, evidence=[("member", shown(member, 200))], change=change, key="wide", **more
        )


def _width(provider: Record) -> Literal["one", "many", "?"]:
    """Whether it lets one project in alone."""
    facts = provider.facts
    mapping, issuer = facts.get("mapping"), issuer_of(facts.get("issuer"))
    condition = str(facts.get("condition") or "")
    found = ways(condition, mapping if isinstance(mapping, dict) else {})
    # An issuer of one's own may be a GitLab or a GitHub Enterprise Server, whose claims are the same.
    likely = [issuer] if issuer else list(ISSUERS.values())
    if found and all(any(is_one_project(way, each) for each in likely) for way in found):
        return "one"
    understood = found is not None and all(test.claim or test.op == "always" for way in found for test in way)
    return "many" if not condition or (issuer and understood) else "?"


def _is_owner(attribute: str, providers: list[Record]) -> bool:
    """Whether a mapped attribute means an account or group rather than a project of it."""
    claims = {attribute}
    for each in providers:
        mapping = each.facts.get("mapping")
        expression = mapping.get(f"attribute.{attribute}") if isinstance(mapping, dict) else None
        claims.add(claim_of(str(expression or "")) or attribute)
    return any(word in claim for claim in claims for word in _OWNER)
