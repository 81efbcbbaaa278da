"""An audit with one of everything, for the tests of its reports. Run as a module, it writes the golden files anew."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from keylease import __version__
from keylease.audit.model import Finding, Inventory, Location, NotChecked, Problem, Record, Verdict
from keylease.audit.policy import AuditPolicy, Sorted, Waiver, sort
from keylease.audit.rule import Rule
from keylease.outputs.audit_report import FORMS, render

DATA = Path(__file__).parents[2] / "data/audit_reports"
CREATED = 1_790_000_000.0
TODAY = dt.date(2026, 9, 21)


class _Sample(Rule):
    def check(self, inventory: Inventory) -> Iterator[Finding]:
        yield from ()


class AnyRepository(_Sample):
    id = "aws-trust-any-repository"
    title = "Any repository on GitHub can take on the role"
    severity = "critical"
    needs = ("aws.trust_policy",)
    why = "GitHub signs tokens for everybody. Without a condition on `sub`, a stranger's workflow is let in."
    fix = "Add a condition on `sub` that names the repository."
    links = ("https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_create_oidc.html",)


class SecretsInherit(_Sample):
    id = "workflow-secrets-inherit"
    title = "A called workflow is given every secret"
    severity = "medium"
    confidence = "medium"
    needs = ("file.workflow",)
    why = "The called workflow sees secrets that it has no need of."
    fix = "Pass the ones that it needs by name."


class WritesEnv(_Sample):
    id = "env-file-committed"
    title = "A file of variables is in the repository"
    severity = "low"
    needs = ("file.env",)
    why = "Whoever can read the repository can read it."
    fix = "Remove it, and put its name into .gitignore."


class StaleKey(_Sample):
    id = "stale-secret"
    title = "A secret is older than the policy allows"
    severity = "info"
    confidence = "low"
    persona = "auditor"
    needs = ("github.secret",)
    why = "The older a key, the more people and places have seen it."
    fix = "Rotate it."


RULES: tuple[type[Rule], ...] = (AnyRepository, SecretsInherit, WritesEnv, StaleKey)

TRUST = Finding(
    "aws-trust-any-repository",
    "critical",
    "high",
    "regular",
    "file://iam/trust.json#deployer",
    "every repository on GitHub can take on the role deployer: the statement has no condition on sub",
    (("principal", "token.actions.githubusercontent.com"), ("condition", 'StringEquals {"aud": "sts.amazonaws.com"}')),
    "add to the statement's Condition:\n\n"
    '"StringEquals": {\n'
    '  "token.actions.githubusercontent.com:sub": "repo:acme/trainer:ref:refs/heads/main"\n'
    "}\n",
    Location("iam/trust.json", 7),
    "0",
)
INHERIT = Finding(
    "workflow-secrets-inherit",
    "medium",
    "medium",
    "regular",
    "file://.github/workflows/ci.yml",
    "the job release gives acme/shared every secret",
    (("uses", "acme/shared/.github/workflows/release.yml@v1"),),
    "write instead of `secrets: inherit`:\n\nsecrets:\n  NPM_TOKEN: ${{ secrets.NPM_TOKEN }}",
    Location(".github/workflows/ci.yml", 12),
    "release",
)
ENV_FILE = Finding(
    "env-file-committed",
    "low",
    "high",
    "regular",
    "file://.env",
    "3 variables have values: API_KEY, DB_PASSWORD, TOKEN",
    (),
    "git rm --cached .env",
    Location(".env"),
)
STALE = Finding(
    "stale-secret",
    "high",
    "low",
    "regular",
    "github://acme/trainer/secret/NPM_TOKEN",
    "it was last changed 412 days ago; the policy allows 180",
    (("updated_at", "2025-08-05T10:00:00Z"),),
    "rotate it",
)
WAIVED = Finding(
    "workflow-secrets-inherit",
    "medium",
    "medium",
    "regular",
    "file://.github/workflows/old.yml",
    "the job build gives acme/shared every secret",
    location=Location(".github/workflows/old.yml", 4),
    key="build",
)
KNOWN = Finding(
    "workflow-secrets-inherit",
    "medium",
    "medium",
    "regular",
    "file://.github/workflows/known.yml",
    "the job build gives acme/shared every secret",
    location=Location(".github/workflows/known.yml", 9),
    key="build",
)
HIDDEN = Finding("stale-secret", "info", "low", "auditor", "github://acme/trainer/secret/X", "it may be old")

POLICY = AuditPolicy(
    fail_on="high",
    waivers=[
        Waiver(
            "workflow-secrets-inherit", "file://.github/workflows/old.yml", "goes in October", dt.date(2026, 10, 31)
        ),
        Waiver("gone", "*", "was there", dt.date(2027, 1, 1)),
    ],
    baseline=frozenset({KNOWN.fingerprint}),
)


def sample() -> tuple[Verdict, Sorted, Inventory]:
    """(verdict, what the policy makes of it, inventory)."""
    findings = [TRUST, STALE, INHERIT, KNOWN, WAIVED, ENV_FILE, HIDDEN]
    problems = [
        Problem("aws.trust_policy", "it is no JSON: Expecting value", "mend it", Location("iam/broken.json", 3)),
        Problem("", "more than 100,000 files: the rest was not looked at"),
    ]
    not_checked = [
        NotChecked(
            "aws-trust-any-repository", "not all of it: iam/broken.json:3: it is no JSON: Expecting value", "mend it"
        ),
        NotChecked("vault-role-no-bound", "no inventory of vault.jwt_role", "collect it:\n\nkeylease audit collect"),
        NotChecked("vault-policy-sudo", "no inventory of vault.jwt_role", "collect it:\n\nkeylease audit collect"),
    ]
    checked = {"aws-trust-any-repository": 1, "workflow-secrets-inherit": 3, "env-file-committed": 1, "stale-secret": 2}
    records = [Record("file.workflow", f"file://.github/workflows/{name}.yml") for name in ("ci", "old", "known")]
    records += [Record("aws.trust_policy", TRUST.subject), Record("file.env", ENV_FILE.subject)]
    kinds = {"file.workflow", "aws.trust_policy", "file.env", "vault.policy"}
    inventory = Inventory(records, kinds, problems, now=dt.datetime.fromtimestamp(CREATED, dt.UTC))
    verdict = Verdict(findings, not_checked, checked, problems, judged=5)
    return verdict, sort(findings, POLICY, TODAY), inventory


def rendered(form: str, **more: Any) -> str:
    """The sample in one form, as a version that never changes would write it."""
    text = render(form, *sample(), **{"rules": RULES, "policy": POLICY, "created": CREATED, **more})
    return text.replace(f'"{__version__}"', '"0.0.0"').replace(f", keylease {__version__},", ", keylease 0.0.0,")


def golden(form: str) -> Path:
    """Its file."""
    suffix = {
        "table": "txt",
        "markdown": "md",
        "sarif": "sarif",
        "code-scanning": "code-scanning.sarif",
        "junit": "xml",
        "html": "html",
    }
    return DATA / f"report.{suffix.get(form, f'{form}.json' if form != 'json' else 'json')}"


if __name__ == "__main__":
    for each in FORMS:
        golden(each).write_text(rendered(each), encoding="utf-8")
