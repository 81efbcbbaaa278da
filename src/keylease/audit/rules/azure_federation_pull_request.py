"""Every pull request's job gets the application."""

import re
from collections.abc import Iterator

from keylease.audit.cloud_samples import federated
from keylease.audit.flexible import bound, patterns
from keylease.audit.model import Finding, Inventory
from keylease.audit.rule import Rule
from keylease.audit.samples import these
from keylease.audit.workflows import shown

_REQUEST = re.compile(r"repo:[^:]+:pull_request\Z")


class FederationPullRequest(Rule):
    """For the subject of pull requests. Those from forks get no token, unless a workflow lets them."""

    id = "azure-federation-pull-request"
    title = "every pull request's job gets an application"
    severity = "medium"
    needs = ("azure.federated_credential",)
    why = (
        "The subject `repo:OWNER/REPOSITORY:pull_request` is that of every job of a pull request, before anybody has "
        "reviewed it. Whoever may push a branch can change the workflow in it and act as the application."
    )
    fix = "Give pull requests an application of their own that may only read, or an environment that asks a reviewer."
    links = ("https://docs.github.com/actions/reference/security/oidc#filtering-for-pull_request-events",)
    sample = "inventory.json"
    bad = (
        these(federated("repo:acme/trainer:pull_request")),
        these(federated(expression="claims['sub'] eq 'repo:acme/trainer:pull_request'")),
        these(federated(expression="claims['sub'] matches 'repo:acme/train*:pull_request'")),
    )
    good = (
        these(federated("repo:acme/trainer:ref:refs/heads/main")),
        these(federated("repo:acme/trainer:environment:pull_request")),
        these(federated(expression="claims['sub'] eq 'repo:acme/trainer:environment:prod'")),
    )

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding a credential."""
        for record in inventory.of("azure.federated_credential"):
            found = patterns(str(record.facts.get("expression") or "")) or {}
            subject = found["sub"].text if "sub" in found else str(record.facts.get("subject") or "")
            if "githubusercontent.com" not in str(record.facts.get("issuer")) or not _REQUEST.match(subject):
                continue
            whose = shown(record.facts.get("application_name") or record.facts.get("application"))
            repository = subject.removesuffix(":pull_request")
            yield self.finding(
                record,
                f"every pull request's job can act as {whose}: `{shown(subject, 120)}`",
                evidence=[("subject", shown(subject, 200))],
                change="bind an environment with reviewers\n\n"
                + bound(record, f"{repository}:environment:ENVIRONMENT"),
                key="pull_request",
            )
