"""Google Cloud: keys of service accounts, workload identity providers, and who may do what.

Keys: https://cloud.google.com/iam/docs/reference/rest/v1/projects.serviceAccounts.keys/list
Last use: https://cloud.google.com/iam/docs/service-account-recent-usage
Providers: https://cloud.google.com/iam/docs/reference/rest/v1/projects.locations.workloadIdentityPools.providers/list
Policies: https://cloud.google.com/resource-manager/reference/rest/v3/projects/getIamPolicy and
https://cloud.google.com/iam/docs/reference/rest/v1/projects.serviceAccounts/getIamPolicy
"""

import hashlib
import re
from functools import partial
from typing import Any
from urllib.parse import quote

import msgspec

from keylease.audit.credentials import utc
from keylease.audit.model import Inventory
from keylease.collectors.base import Access, Collector
from keylease.collectors.credentials import Sealed, common, secret_of, variable_checked
from keylease.collectors.facts import elements, mapped, uncut
from keylease.context import Context
from keylease.errors import UsageError
from keylease.model import Env
from keylease.parallel import given, parallel
from keylease.vendors.gcp_inventory import GcpLists, Wanted, no_list
from keylease.vendors.gcp_session import GcpSession
from keylease.vendors.gcp_settings import PROJECT, UNIVERSE, VENDOR, service_url

KEY, PROVIDER, BINDING = "gcp.key", "gcp.provider", "gcp.binding"

DOCS = "gcp-inventory"
NEVER = "9999-"
"""Keys without an end are valid until the end of 9999."""

_EMAIL = re.compile(r"[a-z0-9.:@-]{6,250}")
_KEY_ID = re.compile(r"[0-9a-zA-Z_-]{1,128}")
_POOL = re.compile(r"projects/(\d{1,20}|[a-z0-9.:-]{1,100})/locations/global/workloadIdentityPools/([a-z0-9-]{1,63})")


class GcpInventorySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What of Google Cloud is listed, and as whom.

    projects: ids or numbers. Falls back to ``GOOGLE_CLOUD_PROJECT``, then to the provider's project.
    token, token_env: an access token (of ``gcloud auth print-access-token``), where no provider is named.
    last_use: whether to ask when each key was last used, which takes the Policy Analyzer API and a role for it.
    universe_domain: of another cloud that Google runs. iam_url, resource_manager_url, policy_analyzer_url: of private
        endpoints. timeout: of one attempt, in seconds. retries: attempts after the first one.
    """

    projects: tuple[str, ...] = ()
    token: Sealed | None = None
    token_env: str | None = None
    last_use: bool = True
    universe_domain: str = UNIVERSE
    iam_url: str = ""
    resource_manager_url: str = ""
    policy_analyzer_url: str = ""
    timeout: float | str = 20.0
    retries: int = 4


class GcpCollector(Collector):
    """Per project: accounts, pools and its policy; per account: its keys and its policy; all last uses at once."""

    type = "gcp"
    kinds = (KEY, PROVIDER, BINDING)
    permissions = (
        "roles/iam.securityReviewer on the project (lists accounts, keys, pools and policies; reads no data)",
        "roles/policyanalyzer.activityAnalysisViewer on the project, for the last use of keys",
    )
    via = "provider"
    via_types = ("gcp",)
    optional = True
    Settings = GcpInventorySettings

    settings: GcpInventorySettings

    def __init__(self, settings: GcpInventorySettings, context: Context, access: Access) -> None:
        super().__init__(settings, context, access)
        assert isinstance(settings.timeout, float)
        self._lists = GcpLists(context, self._headers(), settings.timeout, settings.retries)

    @classmethod
    def complete(cls, settings: GcpInventorySettings, env: Env) -> GcpInventorySettings:
        """See the base class."""
        s = settings
        variable_checked(VENDOR, s, "token", env, required=False, docs=DOCS)
        projects = s.projects or tuple(filter(None, [env.get("GOOGLE_CLOUD_PROJECT", "").strip()]))
        for each in projects:
            if not PROJECT.fullmatch(each):
                raise _wrong("`projects`: there is what can't be a project's id", "projects: [my-project-123]")
        universe = s.universe_domain.strip() or UNIVERSE
        return msgspec.structs.replace(
            s,
            projects=tuple(dict.fromkeys(projects)),
            iam_url=service_url("iam_url", s.iam_url, "iam", universe, env),
            resource_manager_url=service_url(
                "resource_manager_url", s.resource_manager_url, "cloudresourcemanager", universe, env
            ),
            policy_analyzer_url=service_url(
                "policy_analyzer_url", s.policy_analyzer_url, "policyanalyzer", universe, env
            ),
            **common(VENDOR, s, DOCS),
        )

    @classmethod
    def alone(cls, settings: GcpInventorySettings, env: Env) -> None:
        """See the base class."""
        del env
        if settings.token is None and settings.token_env is None:
            raise _wrong(
                "there is no credential", "`provider: gcp` (the name of a provider), or `token_env: GCP_ACCESS_TOKEN`"
            )
        if not settings.projects:
            raise _no_project()

    def _headers(self) -> dict[str, str]:
        token = secret_of(VENDOR, self.settings, "token", self.context, DOCS)
        if token is not None:
            return {"Authorization": f"Bearer {token.reveal()}"}
        assert self.access.lease is not None
        assert isinstance(self.access.lease.session, GcpSession)
        return self.access.lease.session.headers()

    def collect(self) -> Inventory:
        """See the base class."""
        projects = self.settings.projects
        session = self.access.lease.session if self.access.lease else None
        if not projects and isinstance(session, GcpSession) and session.settings.project_id:
            projects = (session.settings.project_id,)
        if not projects:
            raise _no_project()
        for project in projects:
            self._accounts(project)
            self._pools(project)
            self._project_policy(project)
        self.whole(*self.kinds)
        return self.inventory

    def _wanted(self, what: str, project: str, permission: str, service: str = "iam") -> Wanted:
        role = "roles/iam.securityReviewer"
        return Wanted(f"{what} of {project}", project, f"{service}.{UNIVERSE}", role, permission)

    def _accounts(self, project: str) -> None:
        wanted = self._wanted("service accounts", project, "iam.serviceAccounts.list")
        base = f"{self.settings.iam_url}/v1/projects/{project}/serviceAccounts"
        listed = self.attempt((KEY, BINDING), lambda: self._lists.all(base, "accounts", wanted, pageSize="100"))
        accounts: dict[str, bool] = {}
        for each in listed or []:
            email = each.get("email")
            if not isinstance(email, str) or not _EMAIL.fullmatch(email):
                for kind in (KEY, BINDING):
                    self.problem(kind, no_list(wanted))
            else:
                accounts[email] = each.get("disabled") is not True
        emails = list(accounts)
        if not emails:
            return
        keys = parallel(lambda email: self._keys(project, email), emails, self.context.deadline, f"{VENDOR}: keys")
        policies = parallel(
            lambda email: self._account_policy(project, email), emails, self.context.deadline, f"{VENDOR}: policies"
        )
        found: list[tuple[str, dict[str, Any]]] = []
        for email, each_keys, policy in zip(emails, keys, policies, strict=True):
            found += [(email, key) for key in self.attempt((KEY,), partial(given, each_keys)) or []]
            may = self.attempt((BINDING,), partial(given, policy))
            if may is not None:
                self._bindings(project, email, may)
        used = self._last_uses(project) if found and self.settings.last_use else {}
        for email, key in found:
            self._key(project, email, key, used, active=accounts[email])

    def _keys(self, project: str, email: str) -> list[dict[str, Any]]:
        wanted = self._wanted(f"keys of {email}", project, "iam.serviceAccountKeys.list")
        url = f"{self.settings.iam_url}/v1/projects/{project}/serviceAccounts/{email}/keys"
        return self._lists.all(url, "keys", wanted, keyTypes="USER_MANAGED")

    def _key(self, project: str, email: str, key: dict[str, Any], used: dict[str, str | None], *, active: bool) -> None:
        name = str(key.get("name", "")).rpartition("/keys/")[2]
        if not _KEY_ID.fullmatch(name):
            self.problem(KEY, no_list(self._wanted(f"keys of {email}", project, "iam.serviceAccountKeys.list")))
            return
        if key.get("keyType") == "SYSTEM_MANAGED":
            return
        ends = utc(key.get("validBeforeTime"))
        facts: dict[str, Any] = {"expires_at": None if ends is None or ends.startswith(NEVER) else ends}
        created = utc(key.get("validAfterTime"))
        if created:
            facts["created_at"] = created
        if name in used:
            facts["last_used_at"] = used[name]
        self.record(
            KEY,
            f"gcp://{project}/key/{email}/{name}",
            name=name,
            holder=email,
            project=project,
            active=active and key.get("disabled") is not True,
            origin=uncut(key.get("keyOrigin")),
            **facts,
        )

    def _last_uses(self, project: str) -> dict[str, str | None]:
        """Key id → when it was last used; None: never in the time that Google looked at."""
        wanted = Wanted(
            f"last uses of the keys of {project}",
            project,
            f"policyanalyzer.{UNIVERSE}",
            "roles/policyanalyzer.activityAnalysisViewer",
            "policyanalyzer.serviceAccountKeyLastAuthenticationActivities.query, and `last_use: false` goes without",
        )
        activity = "locations/global/activityTypes/serviceAccountKeyLastAuthentication/activities:query"
        url = f"{self.settings.policy_analyzer_url}/v1/projects/{project}/{activity}"
        listed = self.attempt((KEY,), lambda: self._lists.all(url, "activities", wanted, pageSize="1000"))
        found: dict[str, str | None] = {}
        for each in listed or []:
            name = str(each.get("fullResourceName", "")).rpartition("/keys/")[2]
            told = each.get("activity")
            if name and isinstance(told, dict):
                last = told.get("lastAuthenticatedTime")
                if last is None or utc(last):
                    found[name] = utc(last)
        return found

    def _pools(self, project: str) -> None:
        wanted = self._wanted("workload identity pools", project, "iam.workloadIdentityPools.list")
        base = f"{self.settings.iam_url}/v1/projects/{project}/locations/global/workloadIdentityPools"
        pools = self.attempt(
            (PROVIDER,), lambda: self._lists.all(base, "workloadIdentityPools", wanted, pageSize="1000")
        )
        for pool in pools or []:
            named = _POOL.fullmatch(str(pool.get("name")))
            if not named:
                self.problem(PROVIDER, no_list(wanted))
                continue
            open_ = pool.get("disabled") is not True and pool.get("state", "ACTIVE") == "ACTIVE"
            self._providers(project, named[1], named[2], active=open_)

    def _providers(self, project: str, number: str, pool: str, *, active: bool) -> None:
        wanted = self._wanted(f"providers of the pool {pool}", project, "iam.workloadIdentityPoolProviders.list")
        url = f"{self.settings.iam_url}/v1/projects/{project}/locations/global/workloadIdentityPools/{pool}/providers"
        key = "workloadIdentityPoolProviders"
        for each in self.attempt((PROVIDER,), lambda: self._lists.all(url, key, wanted, pageSize="100")) or []:
            name = uncut(each.get("name")).rpartition("/providers/")[2]
            if not name:
                self.problem(PROVIDER, no_list(wanted))
                continue
            oidc = mapped(each.get("oidc"))
            runs = active and each.get("disabled") is not True and each.get("state", "ACTIVE") == "ACTIVE"
            self.record(
                PROVIDER,
                f"gcp://{project}/provider/{pool}/{quote(name, safe='')}",
                name=name,
                pool=pool,
                project=project,
                project_number=number,
                sort=next((sort for sort in ("oidc", "aws", "saml", "x509") if sort in each), ""),
                issuer=uncut(oidc.get("issuerUri")),
                condition=uncut(each.get("attributeCondition")),
                mapping={uncut(k): uncut(v) for k, v in mapped(each.get("attributeMapping")).items()},
                audiences=[uncut(a) for a in elements(oidc.get("allowedAudiences"))],
                disabled=not runs,
                active=runs,
            )

    def _account_policy(self, project: str, email: str) -> dict[str, Any]:
        wanted = self._wanted(f"the policy of {email}", project, "iam.serviceAccounts.getIamPolicy")
        url = f"{self.settings.iam_url}/v1/projects/{project}/serviceAccounts/{email}:getIamPolicy"
        return self._policy(self._lists.one(url, wanted, {"options.requestedPolicyVersion": "3"}, post=True), wanted)

    def _project_policy(self, project: str) -> None:
        permission = "resourcemanager.projects.getIamPolicy"
        wanted = self._wanted("the policy", project, permission, "cloudresourcemanager")
        url = f"{self.settings.resource_manager_url}/v3/projects/{project}:getIamPolicy"
        body = {"options": {"requestedPolicyVersion": 3}}
        policy = self.attempt(
            (BINDING,), lambda: self._policy(self._lists.one(url, wanted, {}, body, post=True), wanted)
        )
        if policy is not None:
            self._bindings(project, "", policy)

    def _policy(self, policy: dict[str, Any], wanted: Wanted) -> dict[str, Any]:
        bindings = policy.get("bindings", [])
        well = isinstance(bindings, list) and all(
            isinstance(each, dict) and isinstance(each.get("role"), str) and isinstance(each.get("members", []), list)
            for each in bindings
        )
        if not well or set(policy) - {"bindings", "etag", "version", "auditConfigs"}:
            raise no_list(wanted)
        return policy

    def _bindings(self, project: str, email: str, policy: dict[str, Any]) -> None:
        place = f"{email}/" if email else ""
        for binding in policy.get("bindings", []):
            condition = uncut(mapped(binding.get("condition")).get("expression"))
            mark = f"?{hashlib.sha256(condition.encode()).hexdigest()[:8]}" if condition else ""
            role = uncut(binding["role"])
            for member in filter(None, map(uncut, binding.get("members", []))):
                self.record(
                    BINDING,
                    f"gcp://{project}/binding/{place}{quote(role, safe='/')}/{quote(member, safe=':/@.')}{mark}",
                    resource=f"projects/{project}" + (f"/serviceAccounts/{email}" if email else ""),
                    project=project,
                    role=role,
                    member=member,
                    condition=condition or None,
                )


def _no_project() -> UsageError:
    return _wrong("there is no project to look at", "projects: [my-project-123]")


def _wrong(what: str, change: str) -> UsageError:
    return UsageError(f"{VENDOR}: {what}", change=change, docs=DOCS)
