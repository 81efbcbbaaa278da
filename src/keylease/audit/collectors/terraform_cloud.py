"""Google's providers and bindings, Azure's federated credentials and roles in Terraform's files.

https://registry.terraform.io/providers/hashicorp/google/latest/docs/resources/iam_workload_identity_pool_provider,
…/google_project_iam, …/google_service_account_iam; https://registry.terraform.io/providers/hashicorp/azuread/latest/docs
(application_federated_identity_credential, application_flexible_federated_identity_credential);
https://registry.terraform.io/providers/hashicorp/azurerm/latest/docs/resources/role_assignment

The records are those of the collectors of these clouds, with what a file can tell.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from keylease.audit.collectors.policies import Found, Subjects
from keylease.audit.hcl import Block
from keylease.audit.in_file import FACT, Declared
from keylease.audit.model import Location, Problem, Record

PROVIDER, BINDING = "gcp.provider", "gcp.binding"
FEDERATED, ROLE = "azure.federated_credential", "azure.role_assignment"

TYPES = {
    "google_iam_workload_identity_pool_provider": PROVIDER,
    "google_project_iam_member": BINDING,
    "google_project_iam_binding": BINDING,
    "google_service_account_iam_member": BINDING,
    "google_service_account_iam_binding": BINDING,
    "google_project_iam_policy": BINDING,
    "google_service_account_iam_policy": BINDING,
    "azuread_application_federated_identity_credential": FEDERATED,
    "azuread_application_flexible_federated_identity_credential": FEDERATED,
    "azurerm_role_assignment": ROLE,
}
"""Type of a resource → kind of record."""

HERE = "terraform"
"""In the place of the project's number, which no file tells: a pool of these files is known by its label."""

_POOL = re.compile(
    r"\$\{\s*google_iam_workload_identity_pool\.([\w-]+)(?:\[[^\]]*\])?\.(?:name|id|workload_identity_pool_id)\s*\}"
)
_ACCOUNT = re.compile(r"\$\{\s*google_service_account\.([\w-]+)(?:\[[^\]]*\])?\.(member|email|name|id)\s*\}")
_PRINCIPAL = re.compile(
    r"\$\{\s*(?:data\.)?(azuread_service_principal|azurerm_user_assigned_identity)\.([\w-]+)(?:\[[^\]]*\])?"
    r"\.(?:object_id|id|principal_id)\s*\}"
)
_SUBSCRIPTION = re.compile(r"\$\{\s*data\.azurerm_subscription\.([\w-]+)(?:\[[^\]]*\])?\.id\s*\}")
_GROUP = re.compile(r"\$\{\s*(?:data\.)?azurerm_management_group\.([\w-]+)(?:\[[^\]]*\])?\.id\s*\}")
_POLICY = re.compile(r"\$\{\s*data\.google_iam_policy\.([\w-]+)(?:\[[^\]]*\])?\.policy_data\s*\}")
_CUSTOM = re.compile(r"\$\{\s*(?:data\.)?google_\w*iam_custom_role\.")
_VARIABLE = re.compile(r"\$\{[^{}]*\b(?:var|local|each|module|count|path|terraform)\.[^{}]*\}")


_MANY = 50


class _ComputedError(ValueError):
    pass


def resource(
    block: Block, path: str, plain: Callable[[Any], Any], subjects: Subjects, policies: Mapping[str, Block]
) -> Iterator[Found]:
    """The records of one resource, or a problem where what matters is computed.

    policies: the directory's ``google_iam_policy`` data sources by their labels.
    """
    kind = TYPES[block.labels[0]]
    try:
        place = Declared([block.type, *block.labels]).fact()
        for name, facts in _MAKERS[kind](_Reader(block, plain, policies)):
            facts[FACT] = {**place[FACT], **facts.get(FACT, {})}
            yield Record(kind, subjects.of(name, f"/{kind.partition('.')[2]}"), facts, Location(path, block.line))
    except _ComputedError as error:
        change = "write it out, or let the audit ask the cloud (`collect:`)"
        what = f"{'.'.join(block.labels)} can't be judged: {error}"
        yield Problem(kind, what, change, Location(path, block.line))


class _Reader:
    def __init__(self, block: Block, plain: Callable[[Any], Any], policies: Mapping[str, Block] | None = None) -> None:
        self.block = block
        self.policies = policies or {}
        self.type, self.label = block.labels
        self._plain = plain

    def inner(self, name: str) -> "_Reader | None":
        """The first block of a name inside."""
        found = self.block.of(name)
        return self.of(found[0]) if found else None

    def of(self, block: Block) -> "_Reader":
        """A block that stands inside, or for what is inside."""
        block.labels = [self.type, self.label]
        return _Reader(block, self._plain)

    def any(self, name: str) -> Any:
        """A value with every expression as ``${its text}``."""
        return self._plain(self.block.value(name))

    def text(self, name: str) -> str:
        """Of an attribute whose value may be unknown; empty if there is none."""
        value = self.any(name)
        return value if isinstance(value, str) else ""

    def known(self, name: str) -> str:
        """Of one that must be written out for a rule to judge it. Parts of it may be variables."""
        text = self.text(name)
        if re.fullmatch(r"\s*\$\{.*\}\s*", text, re.DOTALL):
            raise _ComputedError(f"{name} is computed")
        return text


def _provider(reader: _Reader) -> Iterator[tuple[str, dict[str, Any]]]:
    oidc = reader.inner("oidc")
    if reader.block.of("dynamic"):
        raise _ComputedError("it has dynamic blocks")
    pool = reader.text("workload_identity_pool_id")
    found = _POOL.fullmatch(pool)
    mapping, audiences = reader.any("attribute_mapping"), oidc.any("allowed_audiences") if oidc else None
    if isinstance(mapping, str):
        mapping = {}
    facts = {
        "name": reader.text("workload_identity_pool_provider_id") or reader.label,
        "pool": found[1] if found else pool,
        "project": reader.text("project") or "PROJECT",
        "project_number": HERE if found else "",
        "sort": "oidc" if oidc else next((s for s in ("aws", "saml", "x509") if reader.block.of(s)), ""),
        "issuer": oidc.known("issuer_uri") if oidc else "",
        "condition": reader.known("attribute_condition"),
        "mapping": {str(k): str(v) for k, v in (mapping or {}).items()},
        "audiences": audiences if isinstance(audiences, list) else [],
        "disabled": reader.text("disabled") == "true" or reader.any("disabled") is True,
    }
    yield reader.label, facts


def _bindings(reader: _Reader) -> Iterator[tuple[str, dict[str, Any]]]:
    account = reader.text("service_account_id")
    of_account = reader.type.startswith("google_service_account")
    project = reader.text("project") or "PROJECT"
    resource_ = f"projects/{project}"
    if of_account:
        found = _ACCOUNT.fullmatch(account)
        resource_ += f"/serviceAccounts/{found[1] if found else account.rpartition('/')[2]}"
    if not reader.type.endswith("_policy"):
        yield from _members(reader, resource_, project)
        return
    found = _POLICY.fullmatch(reader.text("policy_data").strip())
    policy = reader.policies.get(found[1]) if found else None
    if policy is None:
        raise _ComputedError("policy_data is computed")
    errors = [_ComputedError("it has dynamic blocks")] if policy.of("dynamic") else []
    place = Declared([policy.type, *policy.labels], "binding").fact()
    for each in policy.of("binding"):
        try:
            for name, facts in _members(reader.of(each), resource_, project):
                facts[FACT] = {**place[FACT], **facts[FACT]}
                yield f"{name}/{facts['role']}", facts
        except _ComputedError as error:
            errors.append(error)
    if errors:  # the others have been told by now
        raise errors[0]


def _members(reader: _Reader, resource_: str, project: str) -> Iterator[tuple[str, dict[str, Any]]]:
    role = reader.text("role")
    if not _CUSTOM.match(role):
        role = reader.known("role")
    attribute = "member" if reader.type.endswith("_member") else "members"
    given = reader.any(attribute)
    condition = reader.inner("condition")
    members = given if isinstance(given, list) else [given]
    for member in members:
        text = _member(member)
        facts = {
            "resource": resource_,
            "project": project,
            "role": role,
            "member": text,
            "condition": condition.text("expression") if condition else None,
            **Declared(attribute=attribute, value=_listed(given, member), own=member).fact(),
        }
        yield (reader.label if len(members) == 1 else f"{reader.label}/{text}"), facts


def _listed(given: Any, member: str) -> Any:
    """All that are listed, for each of them: of a long list only what is said of the others."""
    return given if not isinstance(given, list) or len(given) <= _MANY else [member, "ALL_OTHERS"]


def _member(value: Any) -> str:
    if not isinstance(value, str):
        raise _ComputedError("a member is computed")
    text = _POOL.sub(rf"projects/{HERE}/locations/global/workloadIdentityPools/\1", value)
    text = _ACCOUNT.sub(lambda found: f"serviceAccount:{found[1]}" if found[2] == "member" else found[1], text)
    if text.startswith("${"):
        raise _ComputedError("a member is computed")
    return text


def _federated(reader: _Reader) -> Iterator[tuple[str, dict[str, Any]]]:
    flexible = "flexible" in reader.type
    application = reader.text("application_id") or reader.text("application_object_id")
    audiences = [reader.text("audience")] if flexible else reader.any("audiences")
    facts = {
        "name": reader.text("display_name") or reader.label,
        "application": application,
        "application_name": _label(application),
        "issuer": reader.known("issuer"),
        "subject": "" if flexible else reader.known("subject"),
        "expression": reader.known("claims_matching_expression") if flexible else "",
        "audiences": audiences if isinstance(audiences, list) else [],
    }
    yield reader.label, facts


def _role(reader: _Reader) -> Iterator[tuple[str, dict[str, Any]]]:
    own, principal = reader.text("scope"), reader.text("principal_id")
    scope = _GROUP.sub(r"/providers/Microsoft.Management/managementGroups/\1", own)
    scope = _SUBSCRIPTION.sub(r"/subscriptions/\1", scope)
    if _VARIABLE.match(scope):
        raise _ComputedError("scope is computed")
    role = reader.known("role_definition_name")
    definition = reader.text("role_definition_id")
    found = _PRINCIPAL.fullmatch(principal)
    kind = reader.text("principal_type") or ("ServicePrincipal" if found else "")
    facts = {
        "principal": principal,
        "principal_type": kind,
        "principal_name": found[2] if found else "",
        "application": "",
        "managed": found is not None and found[1] == "azurerm_user_assigned_identity",
        "role": role or definition.rpartition("/")[2],
        "role_id": definition.rpartition("/")[2].lower() if "${" not in definition else "",
        "custom": False,
        "everything": False,
        "scope": scope,
        "condition": reader.text("condition") or None,
        **Declared(own=own).fact(),
    }
    yield reader.label, facts


def _label(text: str) -> str:
    """The label of the resource that an expression refers to; else the text itself."""
    found = re.search(r"\$\{\s*(?:data\.)?\w+\.([\w-]+)", text)
    return found[1] if found else text


_MAKERS: dict[str, Callable[[_Reader], Iterator[tuple[str, dict[str, Any]]]]] = {
    PROVIDER: _provider,
    BINDING: _bindings,
    FEDERATED: _federated,
    ROLE: _role,
}
