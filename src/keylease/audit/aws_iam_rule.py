"""What the rules of IAM policies share."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from keylease.audit.aws_iam import EXTRA, Allowed, allowed, is_installed, plainly
from keylease.audit.aws_trust import trusts
from keylease.audit.in_file import statement, within
from keylease.audit.model import SEVERITIES, Confidence, Finding, Inventory, Record
from keylease.audit.rule import Rule

BEST = "https://docs.aws.amazon.com/IAM/latest/UserGuide/best-practices.html#grant-least-privilege"
GLOSSARY = "https://cloudsplaining.readthedocs.io/en/latest/glossary/"


class IamRule(Rule):
    """One finding a policy. library: it judges by cloudsplaining; without that it is not checked."""

    needs = ("aws.iam_policy",)
    also = ("aws.trust_policy",)
    library: ClassVar[bool] = True

    def lacks(self, inventory: Inventory) -> tuple[str, str] | None:
        """cloudsplaining, if there is a policy to judge by it."""
        if self.library and inventory.of("aws.iam_policy") and not is_installed():
            return "it needs cloudsplaining, which is not installed", EXTRA
        return None

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """All findings, of all policies."""
        if self.lacks(inventory):
            return
        jobs = _roles_of_jobs(inventory)
        for record in inventory.of("aws.iam_policy"):
            document = record.facts.get("document")
            found = allowed(document) if self.library else plainly(document)
            for finding in self.judge(record, found):
                yield _raised(finding, record, jobs)

    @abstractmethod
    def judge(self, record: Record, found: Allowed) -> Iterator[Finding]:
        """The finding of one policy, if there is one."""

    def about(
        self, record: Record, found: Allowed, message: str, evidence: Sequence[tuple[str, str]], **more: Any
    ) -> Finding:
        """A finding, less sure where a Deny or a condition may make it less."""
        lower: Mapping[Confidence, Confidence] = {"high": "medium", "medium": "low", "low": "low"}
        confidence = self.confidence if found.sure else lower[self.confidence]
        name = [("policy", str(record.facts["name"]))] if record.facts.get("name") else []
        unsure = [] if found.sure else [("but", "a Deny or a condition of the policy may make it less")]
        return self.finding(
            record, message, **{"confidence": confidence, "evidence": (*name, *evidence, *unsure), **more}
        )


def instead(record: Record, what: str, actions: Sequence[str], resource: str, condition: Any = None) -> str:
    """The text of a finding's `change`: a narrow statement."""
    part = {"Effect": "Allow", "Action": list(actions), "Resource": resource}
    block = statement(record, {**part, **({"Condition": condition} if condition else {})})
    return f"{what}{within(record)}; your own for the capitals:\n\n{block}"


def some(names: Sequence[str]) -> str:
    """The first of them, and how many more."""
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")


def roles_with(record: Record) -> list[str]:
    """Names of the roles that a policy is attached to: ``role/deploy`` of an account, or plainly ``deploy``."""
    attached = record.facts.get("attached_to")
    return (
        [each.removeprefix("role/") for each in attached if isinstance(each, str)] if isinstance(attached, list) else []
    )


def _roles_of_jobs(inventory: Inventory) -> Mapping[str, str]:
    """Role → issuer of the jobs that can take it."""
    return {
        str(record.facts["name"]): trust.issuer.name
        for record in inventory.of("aws.trust_policy")
        if record.facts.get("name")
        for trust in trusts(record.facts.get("document"))
    }


def _raised(finding: Finding, record: Record, jobs: Mapping[str, str]) -> Finding:
    """Worse by a step where jobs of CI can take the role."""
    import msgspec

    names = [record.facts.get("role"), record.facts.get("name"), *roles_with(record)]
    role = next((str(each) for each in names if isinstance(each, str) and each in jobs), "")
    if not role or finding.severity in ("info", "critical"):
        return finding
    worse = SEVERITIES[SEVERITIES.index(finding.severity) + 1]
    evidence = (*finding.evidence, ("role", f"{role}: jobs of {jobs[role]} can take it"))
    return msgspec.structs.replace(finding, severity=worse, evidence=evidence)
