"""A role that everybody can take."""

from collections.abc import Iterator

from keylease.audit.aws_policy import Statement, is_wild, statements
from keylease.audit.in_file import of_statement, within
from keylease.audit.model import Finding, Inventory, Record
from keylease.audit.rule import Rule
from keylease.audit.samples import github, policy_file

_ACTIONS = ("sts:AssumeRole", "sts:AssumeRoleWithWebIdentity", "sts:AssumeRoleWithSAML")
_LIMITING = {
    "aws:principalorgid",
    "aws:principalorgpaths",
    "aws:principalaccount",
    "aws:principalarn",
    "aws:sourceaccount",
    "aws:sourcearn",
    "aws:sourceorgid",
    "aws:sourceorgpaths",
    "aws:userid",
}


class AwsTrustWildcardPrincipal(Rule):
    """A role that everybody can take."""

    id = "aws-trust-wildcard-principal"
    title = "A role's trust policy names everybody as its principal"
    severity = "critical"
    needs = ("aws.trust_policy",)
    why = (
        '`Principal: "*"` (or AWS or Federated "*", or Allow with NotPrincipal) lets each identity of each AWS '
        "account, or each identity provider, take the role; only its condition can keep anybody out. An external id is "
        "no secret, and an address range is shared with others."
    )
    fix = (
        "Name the account, role or provider that may take it. Where the whole organization may, keep the wildcard with "
        "a condition on aws:PrincipalOrgID."
    )
    links = (
        "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html#principal-anonymous",
        "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_notprincipal.html",
    )
    sample = "iam/deploy-trust.json"
    bad = (
        policy_file({"Effect": "Allow", "Principal": "*", "Action": "sts:AssumeRole"}),
        policy_file({"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}),
        policy_file({"Effect": "Allow", "Principal": {"Federated": "*"}, "Action": "sts:*"}),
        policy_file(
            {
                "Effect": "Allow",
                "Principal": {"AWS": ["*"]},
                "Action": "sts:AssumeRole",
                "Condition": {"StringEquals": {"sts:ExternalId": "trainer"}},
            }
        ),
        policy_file(
            {
                "Effect": "Allow",
                "Principal": "*",
                "Action": "sts:AssumeRole",
                "Condition": {"StringLike": {"aws:PrincipalOrgID": "*"}},
            }
        ),
    )
    good = (
        policy_file(
            {
                "Effect": "Allow",
                "Principal": "*",
                "Action": "sts:AssumeRole",
                "Condition": {"StringEquals": {"aws:PrincipalOrgID": "o-a1b2c3d4e5"}},
            }
        ),
        policy_file(
            {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::123456789012:root"}, "Action": "sts:AssumeRole"}
        ),
        policy_file({"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}),
        policy_file(github({"StringEquals": {"sub": "repo:acme/trainer:ref:refs/heads/main"}})),
    )

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One for each statement."""
        for record in inventory.of("aws.trust_policy"):
            for statement in statements(record.facts.get("document")):
                if statement.effect == "allow" and any(map(statement.covers, _ACTIONS)) and not _is_limited(statement):
                    yield from self._judge(record, statement)

    def _judge(self, record: Record, statement: Statement) -> Iterator[Finding]:
        kinds = list(dict.fromkeys(kind for kind, value in statement.principals if value == "*"))
        if not kinds:
            return
        written = f'{{"{kinds[0]}": "*"}}' if kinds[0] != "*" else "*"
        federated = kinds[0] == "Federated"
        principal = (
            {"Federated": "arn:aws:iam::ACCOUNT:oidc-provider/token.actions.githubusercontent.com"}
            if federated or not statement.covers("sts:AssumeRole")
            else {"AWS": "arn:aws:iam::ACCOUNT:role/ROLE"}
        )
        conditions = [
            ("condition", f"{test.operator} {test.key}: {', '.join(test.values[:5])}") for test in statement.tests
        ]
        yield self.finding(
            record,
            f"everybody can take the role: the principal is {written} ({statement.name})",
            confidence="medium" if conditions else "high",
            evidence=(("statement", statement.name.removeprefix("statement ")), ("principal", written), *conditions),
            change=f"name in {statement.name}{within(record)} who may take it, your own for the capitals:\n\n"
            + of_statement(record, {"Principal": principal}),
            key=str(statement.sid or statement.index),
        )


def _is_limited(statement: Statement) -> bool:
    """Whether a condition tells whose identity it must be, or whose token."""
    return any(
        not test.negated
        and not test.if_exists
        and test.quantifier != "forallvalues"
        and test.values
        and not any(is_wild(each) and not each.strip("*?") for each in test.patterns)
        and test.base not in ("null", "bool")
        and (test.key.lower() in _LIMITING or "." in test.key.rpartition(":")[0] or "${" in test.key)
        for test in statement.tests
    )
