"""Terraform or CloudFormation makes a static key, or stores one, where an identity token would do."""

import json
from collections.abc import Iterator

from keylease.audit.clear import FIRST
from keylease.audit.facts import text, texts
from keylease.audit.federated import KINDS, Kind, kind_of_secret
from keylease.audit.in_file import in_terraform
from keylease.audit.model import Finding, Inventory, Record
from keylease.audit.rule import Rule
from keylease.audit.trust_text import cloudformation, terraform
from keylease.audit.workflows import listed, shown

_KIND = "iac.static_key"
_CLOUDS = {"aws", "gcp", "azure", "vault", "databricks"}


class TerraformStaticKey(Rule):
    """By the type of a resource, or the name of what it stores. A key that goes to a CI secret is told once."""

    id = "terraform-static-key"
    title = "Terraform makes or stores a static key where an identity token would do"
    severity = "medium"
    confidence = "medium"
    needs = (_KIND,)
    why = (
        "The state of Terraform holds every attribute in clear, secrets too: whoever reads the state, one of its old "
        "versions or a plan that CI kept has the key. It is good from anywhere until somebody rotates it, and nobody "
        "does, because all that uses it would have to be applied again. The vendor takes the identity token (OIDC) of "
        "a CI job or workload instead: nothing is made, and nothing is stored."
    )
    fix = (
        "Let Terraform write the trust (a provider for the issuer, a role for the repository) and lease the credential "
        "with Keylease. Then take the key out of the file: the next apply deletes it, and what old versions of the "
        "state still hold opens nothing."
    )
    links = (
        "https://developer.hashicorp.com/terraform/language/manage-sensitive-data",
        "https://docs.github.com/actions/concepts/security/openid-connect",
        "https://registry.terraform.io/providers/hashicorp/aws/latest/docs/resources/iam_access_key",
    )
    sample = "infra/ci.tf"
    bad = (
        """\
resource "aws_iam_access_key" "ci" {
  user = aws_iam_user.ci.name
}

resource "github_actions_secret" "key" {
  repository      = "trainer"
  secret_name     = "AWS_SECRET_ACCESS_KEY"
  plaintext_value = aws_iam_access_key.ci.secret
}
""",
        """\
resource "google_service_account_key" "ci" {
  service_account_id = google_service_account.ci.name
}
""",
        """\
resource "azuread_application_password" "ci" {
  application_id = azuread_application.ci.id
}

resource "vault_approle_auth_backend_role_secret_id" "ci" {
  role_name = "ci"
}
""",
        """\
resource "gitlab_project_variable" "openai" {
  project = "acme/trainer"
  key     = "OPENAI_API_KEY"
  value   = var.openai_api_key
  masked  = true
}
""",
    )
    good = (
        """\
resource "aws_iam_role" "ci" {
  name               = "ci"
  assume_role_policy = data.aws_iam_policy_document.ci.json
}

resource "github_actions_variable" "role" {
  repository    = "trainer"
  variable_name = "AWS_ROLE_ARN"
  value         = aws_iam_role.ci.arn
}

resource "github_actions_secret" "role" {
  repository      = "trainer"
  secret_name     = "AWS_ROLE_ARN"
  plaintext_value = aws_iam_role.ci.arn
}

data "aws_iam_policy_document" "ci" {
  statement {
    actions = ["sts:AssumeRoleWithWebIdentity"]
    principals {
      type        = "Federated"
      identifiers = [aws_iam_openid_connect_provider.github.arn]
    }
  }
}
""",
        """\
# Somebody writes the value by hand; Terraform only makes the place.
resource "github_actions_secret" "key" {
  repository      = "trainer"
  secret_name     = "AWS_SECRET_ACCESS_KEY"
  plaintext_value = "set by hand"
  lifecycle {
    ignore_changes = [plaintext_value]
  }
}

resource "gitlab_project_variable" "region" {
  project = "acme/trainer"
  key     = "AWS_REGION"
  value   = "eu-central-1"
}
""",
    )

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding a key."""
        for record in inventory.of(_KIND):
            provider = text(record, "provider")
            kind = next((each for each in KINDS if each.provider == provider), None)
            if kind is not None:
                yield self._made(record, kind)
            elif text(record, "type"):
                yield from self._stored(record)

    def _made(self, record: Record, kind: Kind) -> Finding:
        stored = texts(record, "stored")
        what = f"{_name(record)} makes a static {kind.label}"
        more = {"confidence": "high"} if stored else {}
        if record.facts.get("sealed") is True:
            more = {"severity": "low", "persona": "pedantic"}
        elif record.facts.get("smtp") is True:
            what, more = f"{what} for SMTP", {"severity": "low", "persona": "pedantic", "confidence": "low"}
        elif in_terraform(record):
            what += ", which lies in the state in clear"
        goes = f", and goes to {listed(stored)}" if stored else ""
        message = f"{what}{goes}: {kind.vendor} takes an identity token"
        return self.finding(record, message, change=_change(record, kind), key="made", **more)

    def _stored(self, record: Record) -> Iterator[Finding]:
        name, form, literal = text(record, "name"), text(record, "form"), text(record, "literal")
        kind = kind_of_secret(name)
        if literal == "placeholder" or not (kind or form):
            return
        label = shown(form) or (f"static {kind.label}" if kind else "")
        said = f"{_name(record)} stores {'an' if label[0] in 'AEIOU' else 'a'} {label} ({shown(name)})"
        if literal:
            first = f"{FIRST}, and take it out of the file"
            yield self.finding(
                record,
                f"{said}, which is in the file in clear",
                severity="critical" if form else "high",
                confidence="high" if form else "medium",
                change=_change(record, kind, first) if kind else first,
                key="stored",
            )
        elif kind:
            yield self.finding(
                record,
                f"{said}, which lies in the state in clear: {kind.vendor} takes an identity token",
                confidence="low" if kind.confidence == "low" else "medium",
                persona=kind.persona,
                change=_change(record, kind),
                key="stored",
            )


def _name(record: Record) -> str:
    kind, label = text(record, "type"), text(record, "label")
    return shown(f"{kind}.{label}" if in_terraform(record) else f"{label} ({kind})", 120)


def _change(record: Record, kind: Kind, first: str = "") -> str:
    gitlab = any("gitlab_" in each for each in (text(record, "type"), *texts(record, "stored")))
    by = "this trust, with your own for the capitals"
    if not in_terraform(record):
        block = json.dumps(cloudformation(), indent=2)
    elif kind.provider in _CLOUDS:
        block = terraform(record, kind.provider, "gitlab" if gitlab else "github")
    else:
        by, block = "this keylease.yml", kind.keylease({"service_id": "gitlab"} if gitlab else None)
    todo = f"lease it with Keylease ({kind.docs}) by {by}, and take {_name(record)} out"
    return f"{first}{'; then ' if first else ''}{todo}\n\n{block}"
