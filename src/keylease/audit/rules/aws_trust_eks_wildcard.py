"""A role of a cluster's pods that other pods can take too."""

import re
from collections.abc import Iterator

from keylease.audit.aws_policy import STRINGS, Statement, Test, is_wild, plain, statements
from keylease.audit.aws_trust import ACTION
from keylease.audit.in_file import of_statement, within
from keylease.audit.model import Finding, Inventory, Record
from keylease.audit.rule import Rule
from keylease.audit.samples import policy_file
from keylease.audit.workflows import shown

_EKS = re.compile(r"oidc[.-]eks\.", re.IGNORECASE)
_SUBJECT = "system:serviceaccount:"
_WHO = {"namespace": "every pod of a namespace", "place": "pods of many namespaces", "all": "every pod of the cluster"}


class AwsTrustEksWildcard(Rule):
    """IAM roles for service accounts (IRSA). The issuer is one cluster, so the subject is all that keeps pods apart."""

    id = "aws-trust-eks-wildcard"
    title = "A role for a pod can be taken by other pods of the cluster"
    severity = "high"
    needs = ("aws.trust_policy",)
    why = (
        "Whoever can start a pod anywhere in the cluster, or has taken over one, asks for the token of its service "
        "account and gets the role with it. Only the condition on the token's subject, the namespace and the service "
        "account, keeps them apart."
    )
    fix = "Name the namespace and the service account in the condition, with StringEquals; or use EKS Pod Identity."
    links = (
        "https://docs.aws.amazon.com/eks/latest/userguide/associate-service-account-role.html",
        "https://docs.aws.amazon.com/eks/latest/best-practices/identity-and-access-management.html",
    )
    sample = "iam/pod-trust.json"
    bad = (
        policy_file(
            {
                "Effect": "Allow",
                "Principal": {
                    "Federated": "arn:aws:iam::123456789012:oidc-provider/oidc.eks.eu-west-1.amazonaws.com/id/D4E5"
                },
                "Action": "sts:AssumeRoleWithWebIdentity",
                "Condition": {
                    "StringLike": {"oidc.eks.eu-west-1.amazonaws.com/id/D4E5:sub": "system:serviceaccount:*:trainer"},
                    "StringEquals": {"oidc.eks.eu-west-1.amazonaws.com/id/D4E5:aud": "sts.amazonaws.com"},
                },
            }
        ),
        policy_file(
            {
                "Effect": "Allow",
                "Principal": {
                    "Federated": "arn:aws:iam::123456789012:oidc-provider/oidc.eks.eu-west-1.amazonaws.com/id/D4E5"
                },
                "Action": "sts:AssumeRoleWithWebIdentity",
                "Condition": {"StringEquals": {"oidc.eks.eu-west-1.amazonaws.com/id/D4E5:aud": "sts.amazonaws.com"}},
            }
        ),
    )
    good = (
        policy_file(
            {
                "Effect": "Allow",
                "Principal": {
                    "Federated": "arn:aws:iam::123456789012:oidc-provider/oidc.eks.eu-west-1.amazonaws.com/id/D4E5"
                },
                "Action": "sts:AssumeRoleWithWebIdentity",
                "Condition": {
                    "StringEquals": {
                        "oidc.eks.eu-west-1.amazonaws.com/id/D4E5:sub": "system:serviceaccount:ml:trainer",
                        "oidc.eks.eu-west-1.amazonaws.com/id/D4E5:aud": "sts.amazonaws.com",
                    }
                },
            }
        ),
    )

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding a statement."""
        for record in inventory.of("aws.trust_policy"):
            for statement in statements(record.facts.get("document")):
                if statement.effect == "allow" and statement.covers(ACTION):
                    yield from self._judged(record, statement)

    def _judged(self, record: Record, statement: Statement) -> Iterator[Finding]:
        federated = [value for kind, value in statement.principals if kind == "Federated"]
        about = [test for test in statement.tests if test.key.lower().endswith(":sub") and test.base in STRINGS]
        subjects = [plain(each) for test in about if not test.negated for each in test.patterns]
        of_pods = any(each.startswith(_SUBJECT) for each in subjects)
        if not federated or not (
            of_pods or any(_EKS.search(each.partition(":oidc-provider/")[2]) for each in federated)
        ):
            return
        if any(_is_narrow(test) for test in about):
            return
        wide = {
            plain(each): _width(each) for test in about if not test.negated for each in test.patterns if _width(each)
        }
        worst = max(wide.values(), key=list(_WHO).index, default="all")
        if any(test.key.lower().endswith(":sub") and test.base not in STRINGS for test in statement.tests):
            return  # an operator that these rules don't know
        host = next((test.key.rpartition(":")[0] for test in [*about, *statement.tests] if ":" in test.key), "")
        host = host if re.search(r"[.$]", host) else (federated[0].partition(":oidc-provider/")[2] or "ISSUER")
        elsewhere = [t for t in statement.tests if not re.search(r":(?:sub|aud)$", t.key, re.IGNORECASE)]
        more = {"severity": "medium", "persona": "pedantic"} if worst == "namespace" else {}
        name = record.facts.get("name")
        yield self.finding(
            record,
            f"{_WHO[worst]} can take the role ({statement.name})",
            confidence="medium" if elsewhere else "high",
            evidence=(
                *([("role", shown(name))] if name else []),
                ("statement", statement.name.removeprefix("statement ")),
                *[("subject", shown(each, 120)) for each in list(wide)[:5]],
                *([] if wide else [("subject", "any: no condition asks for one")]),
            ),
            change=_change(record, statement, host, list(wide)),
            key=f"{statement.sid or statement.index}",
            **more,
        )


def _is_narrow(test: Test) -> bool:
    """Whether it alone keeps other pods out. Each token of a pod has a subject, so `IfExists` changes nothing."""
    return not test.negated and not any(_width(each) for each in test.patterns)


def _width(pattern: str) -> str:
    """Which pods a pattern is for: a key of `_WHO`; empty: those of one service account."""
    if not is_wild(pattern):
        return ""
    if not pattern.startswith(_SUBJECT):
        return "" if "${" in plain(pattern) else "all"  # a reference may hold the namespace
    parts = pattern.split(":")
    if len(parts) < 4:  # a wildcard goes on beyond the namespace: `system:serviceaccount:ml*`
        return "all" if parts[-1] == "*" else "place"
    if is_wild(parts[2]):
        return "all" if parts[2] == parts[3] == "*" else "place"
    return "namespace"


def _change(record: Record, statement: Statement, host: str, wide: list[str]) -> str:
    parts = next((each.split(":") for each in wide if each.count(":") == 3), ["", "", "NAMESPACE", "SERVICE_ACCOUNT"])
    place, account = (
        ("NAMESPACE" if "*" in parts[2] else parts[2]),
        ("SERVICE_ACCOUNT" if "*" in parts[3] else parts[3]),
    )
    condition = {"StringEquals": {f"{host}:aud": "sts.amazonaws.com", f"{host}:sub": f"{_SUBJECT}{place}:{account}"}}
    said = f"write this as the condition of {statement.name}{within(record)}, with your own for the capitals"
    return f"{said}:\n\n{of_statement(record, {'Condition': condition})}"
