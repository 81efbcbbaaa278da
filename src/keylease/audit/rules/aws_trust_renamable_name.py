"""A role is bound to names that can change hands, where ids could be bound."""

import re
from collections.abc import Iterator

from keylease.audit.aws_trust import Trust
from keylease.audit.aws_trust_rule import CLAIM_KEYS, GITHUB_CLAIMS, TrustRule
from keylease.audit.in_file import of_condition, within
from keylease.audit.model import Finding, Record
from keylease.audit.samples import github, policy_file


class AwsTrustRenamableName(TrustRule):
    """A role is bound to names that can change hands, where ids could be bound."""

    id = "aws-trust-renamable-name"
    title = "A role is bound to names that can change hands, where ids could be bound"
    severity = "low"
    persona = "auditor"
    why = (
        "Names of owners and repositories are free again after a rename or a deletion; whoever registers them "
        "mints tokens with the old subject. Since January 2026 AWS passes the claim repository_id on, and since "
        "July 2026 new repositories have a subject with ids (`repo:acme@6539/trainer@817264:…`), which change "
        "with nothing."
    )
    fix = "Add a condition on repository_id, or switch the repository to subjects with ids and bind those."
    links = (
        CLAIM_KEYS,
        GITHUB_CLAIMS,
    )
    sample = "iam/deploy-trust.json"
    bad = (
        policy_file(github({"StringEquals": {"sub": "repo:acme/trainer:ref:refs/heads/main"}})),
        policy_file(github({"StringLike": {"sub": "repo:acme/trainer:*"}})),
    )
    good = (
        policy_file(
            github({"StringEquals": {"sub": "repo:acme/trainer:ref:refs/heads/main", "repository_id": "817264"}})
        ),
        policy_file(github({"StringEquals": {"sub": "repo:acme@6539/trainer@817264:ref:refs/heads/main"}})),
    )

    def judge(self, record: Record, trust: Trust) -> Iterator[Finding]:
        """Of statements for GitHub that bind a name, and no id."""
        asked = {test.key.lower().rpartition(":")[2] for test in trust.tests() if not test.negated}
        subjects = [each for test in trust.tests("sub") if not test.negated for each in test.patterns]
        named = [each for each in subjects if re.match(r"(repo|repository|job_workflow_ref|repository_owner):", each)]
        by_name = (
            any("@" not in each.split(":")[1].partition("/.github/")[0] for each in named) or "repository" in asked
        )
        ids = asked & {"repository_id", "repository_owner_id", "enterprise_id"}
        github = trust.issuer.family == "github" and trust.issuer.shared
        if github and by_name and not ids and trust.admitted and not trust.first("stranger"):
            key = trust.issuer.key("repository_id")
            line = of_condition(record, "StringEquals", key, "REPOSITORY_ID")
            place = f"{trust.statement.name}{within(record)}"
            change = f"add to StringEquals of {place} (`gh api repos/OWNER/REPOSITORY --jq .id`):\n\n{line}"
            yield self.about(
                record, trust, "the role is bound to a name that can change hands, not to an id", change=change
            )
