"""Issuers of identity tokens that serve everybody: who of all their customers is let in must be said by claims.

GitHub: https://docs.github.com/actions/reference/security/oidc; GitLab:
https://docs.gitlab.com/ci/secrets/id_token_authentication/; HCP Terraform:
https://developer.hashicorp.com/terraform/cloud-docs/workspaces/dynamic-provider-credentials/workload-identity-tokens;
Buildkite: https://buildkite.com/docs/agent/cli/reference/oidc; Vercel: https://vercel.com/docs/oidc/reference
"""

import re
from collections.abc import Mapping, Sequence

from msgspec import Struct

from keylease.audit.cel import Check, Way


class Issuer(Struct, frozen=True):
    """name: for people. ids: claims that stay with one customer or project. names: those that can change hands.

    one: claims, of both, that mean one project rather than a customer. ask: what a condition should be like.
    """

    name: str
    ids: frozenset[str]
    names: frozenset[str]
    one: frozenset[str]
    ask: str


def _of(name: str, ids: str, names: str, one: str, ask: str) -> Issuer:
    return Issuer(name, frozenset(ids.split()), frozenset(names.split()), frozenset(one.split()), ask)


ISSUERS: Mapping[str, Issuer] = {
    "token.actions.githubusercontent.com": _of(
        "GitHub",
        "repository_id repository_owner_id enterprise_id",
        "sub repository repository_owner enterprise job_workflow_ref workflow_ref",
        "repository_id sub repository",
        "assertion.repository_owner_id == 'OWNER_ID' && assertion.repository_id == 'REPOSITORY_ID'",
    ),
    "gitlab.com": _of(
        "GitLab.com",
        "project_id namespace_id",
        "sub project_path namespace_path ci_config_ref_uri",
        "project_id sub project_path",
        "assertion.namespace_id == 'NAMESPACE_ID' && assertion.project_id == 'PROJECT_ID'",
    ),
    "app.terraform.io": _of(
        "HCP Terraform",
        "terraform_organization_id terraform_workspace_id terraform_project_id",
        "sub terraform_organization_name terraform_full_workspace",
        "terraform_workspace_id sub terraform_full_workspace",
        "assertion.terraform_organization_id == 'org-ID' && assertion.terraform_workspace_id == 'ws-ID'",
    ),
    "agent.buildkite.com": _of(
        "Buildkite",
        "organization_id pipeline_id",
        "sub organization_slug",
        "pipeline_id sub",
        "assertion.organization_id == 'ORGANIZATION_ID' && assertion.pipeline_id == 'PIPELINE_ID'",
    ),
    "oidc.vercel.com": _of(
        "Vercel",
        "owner_id project_id",
        "sub owner",
        "project_id sub",
        "assertion.owner_id == 'OWNER_ID' && assertion.project_id == 'PROJECT_ID'",
    ),
    "accounts.google.com": _of("Google", "sub email azp hd", "", "sub email azp", "assertion.sub == 'ACCOUNT_ID'"),
}

_WITH_IDS = re.compile(
    r"(?:repo|repository_owner_id|repository_id):[^/:]+@\d+(?:/|:)|(?:repository|repository_owner)_id:\d+"
)


_LITERAL = re.compile(r"^\^((?:[\w:/@-]|\\[./-])*)")

_PEOPLE = ("actor", "user_", "runner_id")
"""Claims of who or what ran the job: how much they keep out is not for a rule to say."""


def issuer_of(url: object) -> Issuer | None:
    """The issuer that serves everybody at `url`; None for one that is somebody's own."""
    return ISSUERS.get(re.sub(r"^https://", "", str(url).strip()).rstrip("/"))


def who(way: Way, issuer: Issuer) -> str:
    """Whom a way lets in: ``ids``, ``names`` (that can change hands), ``anybody``, or ``?``: not understood."""
    found = {_one(test, issuer) for test in way}
    return next((each for each in ("ids", "names", "?") if each in found), "anybody")


def is_one_project(way: Way, issuer: Issuer) -> bool:
    """Whether it is for one project, or for some that are named."""
    return any(test.op == "==" and test.claim in issuer.one for test in way)


def _one(test: Check, issuer: Issuer) -> str:
    if test.op == "always":
        return "anybody"
    if not test.claim or test.op == "other":
        return "?"
    if test.claim not in issuer.ids | issuer.names:
        return "?" if test.claim.startswith(_PEOPLE) else "anybody"
    if test.op == "==":
        ids = test.claim in issuer.ids or all(_WITH_IDS.match(each) for each in test.values)
        return "ids" if ids else "names"
    if test.op == "startsWith" and test.claim in issuer.names:
        return _prefix(test.values, test.claim)
    if test.op == "matches" and test.claim in issuer.names:
        return _matched(test.values, test.claim)
    return "anybody" if test.claim in issuer.names else "?"


def _matched(values: Sequence[str], claim: str) -> str:
    """A pattern is looked for anywhere in the claim (RE2): what it begins with after a ``^`` tells owners apart."""
    found = set()
    for each in values:
        if not each.startswith("^") or re.search(r"\|(?![^(]*\))", each):
            return "anybody"
        _, literal, rest = _LITERAL.split(each, maxsplit=1)
        if rest[:1] in ("?", "*", "{"):  # the last sign may not be there
            literal = literal[:-1]
        who = _prefix([literal.replace("\\", "")], claim)
        # A group or class may spell an owner as well as be anything.
        found.add("?" if who == "anybody" and rest[:1] in ("(", "[", "\\", "$") else who)
    return next((each for each in ("anybody", "?", "names") if each in found), "ids")


def _prefix(values: Sequence[str], claim: str) -> str:
    """A prefix tells owners apart if it goes up to what ends an owner's name."""
    # `repo:acme` begins `repo:acme-evil/x` too.
    for each in values:
        rest = each.partition(":")[2] if claim == "sub" else each
        if not re.match(r"[^/:]+[/:]", rest):
            return "?" if "${" in each else "anybody"
    return "ids" if all(_WITH_IDS.match(each) for each in values) else "names"
