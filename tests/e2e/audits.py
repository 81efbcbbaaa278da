"""What the audits of examples/audit look at: an OpenBao with a weak role, and an organisation of the fake GitHub."""

import json
import re
from typing import Any

import jsonschema  # type: ignore[import-untyped]
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from keylease.registry import RULES
from tests.e2e.site import AUDIENCE, REPOSITORY, Site
from tests.fakes.github_rest import GitHubRest
from tests.servers.openbao import SELF_POLICY

WORKFLOW = ".github/workflows/evaluate.yml"
STATIC_KEY = RULES.load("workflow-static-key").bad[1]
CLEAR = RULES.load("gitlab-clear-secret")
CLEAN = "on: push\npermissions: {}\njobs: {a: {runs-on: ubuntu-24.04, permissions: {}, steps: [{run: make}]}}\n"
WEAK_ROLE = "vault-role-any-repository"

_SARIF = json.loads((REPOSITORY / "tests/data/audit_reports/sarif-schema-2.1.0.json").read_text(encoding="utf-8"))


def results(text: str) -> set[str]:
    """The rules of a SARIF log's results; it is as its schema says."""
    log = json.loads(text)
    jsonschema.Draft4Validator(_SARIF).validate(log)
    return {each["ruleId"] for run in log["runs"] for each in run["results"]}


def subjects(text: str) -> set[str]:
    """(rule, subject) of a JSON report; it is as its schema says."""
    report = json.loads(text)
    schema = json.loads((REPOSITORY / "docs/audit-report.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(report)
    return {f"{each['rule']} {each['subject']}" for each in report["findings"]}


def policy(site: Site, *more: str) -> None:
    """The policy `audit`, as docs/inventory/vault.md has it for the site's mounts."""
    text = (REPOSITORY / "docs/inventory/vault.md").read_text(encoding="utf-8")
    (rules,) = re.findall(r"```hcl\n(.*?)```", text, re.DOTALL)
    for name, mount in (("JWT", "jwt"), ("KV2", "secret"), ("DATABASE", "database")):
        rules = rules.replace(name, mount)
    site.bao.policy("audit", "\n".join([SELF_POLICY, rules, *more]))


def bind(site: Site, claims: dict[str, str]) -> None:
    """Let the role `audit` in, for these claims."""
    fields: dict[str, Any] = {"role_type": "jwt", "user_claim": "sub", "bound_audiences": [site.bao.url, AUDIENCE]}
    site.bao.jwt_role("jwt", "audit", {**fields, "bound_claims": claims, "token_policies": ["audit"]})


def weak_role(site: Site, name: str) -> None:
    """A role of the site that any repository may have, until :func:`mended`."""
    fields: dict[str, Any] = {"role_type": "jwt", "user_claim": "sub", "bound_audiences": [AUDIENCE]}
    site.bao.jwt_role("jwt", name, {**fields, "bound_claims": {}, "token_policies": ["deploy"], "token_ttl": "15m"})


def organization(site: Site, hub: GitHubRest) -> None:
    """What examples/audit/keylease.yml names: acme, seen by an App whose key is in Vault."""
    key = rsa.generate_private_key(65537, 2048)
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    public = key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    site.seeded.add(pem)
    site.put("audit/github", {"private_key": pem})
    hub.add_app("123456", public, {"acme": 7})
    for name in ("trainer", "tools", "site", "docs", "infra"):
        hub.add_repository(f"acme/{name}", environments={"prod"} if name == "trainer" else set())
        hub.put(f"acme/{name}", "secret", "OPENAI_API_KEY", "a value that nobody is told")
    hub.put("acme/trainer?prod", "secret", "HF_TOKEN", "a value that nobody is told")
