"""AWS: users and their access keys, roles with trust and policies, secrets and their rotation.

https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetAccountAuthorizationDetails.html
https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetAccessKeyLastUsed.html
https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_ListSecrets.html
"""

import fnmatch
import functools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from keylease.audit.collectors.policies import UnclearError, policy
from keylease.audit.credentials import stamp, utc
from keylease.audit.model import Inventory
from keylease.collectors.base import Access, Collector
from keylease.collectors.facts import last_four, mapped, objects, texts
from keylease.context import Context
from keylease.errors import KeyleaseError, RefusedError, UsageError
from keylease.model import Env, Lease
from keylease.parallel import parallel
from keylease.vendors.aws_errors import is_denied, session_refused
from keylease.vendors.aws_iam import DeniedError, IamApi, denied, endpoint
from keylease.vendors.aws_json import AwsApi
from keylease.vendors.aws_session import AwsSession, endpoints
from keylease.vendors.token_exchange import attempts

TRUST, IAM, KEY, USER = "aws.trust_policy", "aws.iam_policy", "aws.access_key", "aws.user"
ACCOUNT, SECRET = "aws.account", "aws.secret"
DOCS = "aws-inventory"

_REGION = re.compile(r"[a-z]{2,5}(?:-[a-z]+){1,3}-\d")
_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
_MOST_PAGES = 2_000

T = TypeVar("T")


class AwsInventorySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What of an account is listed. Without a provider it is asked with the keys in the job's variables.

    regions: whose secrets are listed; the provider's, or else AWS_REGION's. roles: globs of role names.
    iam_url: of another address that is AWS's own. timeout: of one attempt, in seconds. retries: after the first one.
    """

    regions: tuple[str, ...] = ()
    roles: tuple[str, ...] = ("*",)
    iam_url: str = ""
    timeout: float | str = 20.0
    retries: int = 4


class AwsCollector(Collector):
    """One account. Policies by one list; a request for each user and each key; secrets by a list for each region."""

    type = "aws"
    kinds = (TRUST, IAM, KEY, USER, ACCOUNT, SECRET)
    permissions = (
        "iam:GetAccountAuthorizationDetails, iam:GetAccountSummary, iam:ListAccessKeys, iam:GetAccessKeyLastUsed on *",
        "secretsmanager:ListSecrets on *",
    )
    via = "provider"
    via_types = ("aws",)
    optional = True
    Settings = AwsInventorySettings

    settings: AwsInventorySettings

    def __init__(self, settings: AwsInventorySettings, context: Context, access: Access) -> None:
        super().__init__(settings, context, access)
        self._session = self._made()
        url = endpoint(settings.iam_url, self._session.place.partition, context.env)
        self._iam = IamApi(self._session, url, context)
        self._account = ""

    @classmethod
    def complete(cls, settings: AwsInventorySettings, env: Env) -> AwsInventorySettings:
        """See the base class."""
        del env
        timeout, retries = attempts("AWS", settings.timeout, settings.retries, docs=DOCS)
        wrong = [each for each in settings.regions if not _REGION.fullmatch(each)]
        if wrong:
            raise UsageError(f"AWS: `regions`: {wrong[0]!a} is no region", change="regions: [eu-central-1]", docs=DOCS)
        return msgspec.structs.replace(settings, timeout=timeout, retries=retries)

    @classmethod
    def alone(cls, settings: Any, env: Env) -> None:
        """See the base class."""
        lacking = [name for name in _KEYS if not env.get(name)]
        if lacking:
            raise UsageError(
                f"AWS: there is no credential: {' and '.join(lacking)} not set",
                change="`provider: aws` (the name of a provider), or put an action that logs in before this step",
                docs=DOCS,
            )
        if not settings.regions and not _region(env):
            raise UsageError("AWS: there is no region", change="regions: [eu-central-1], or AWS_REGION", docs=DOCS)

    def _made(self) -> AwsSession:
        lease = self.access.lease
        if lease is not None:
            if not isinstance(lease.session, AwsSession):
                raise UsageError(
                    f"AWS: provider {lease.provider!r} has no role to ask with",
                    change="give it a `role_arn`, or make a provider of its own for the inventory",
                    docs=DOCS,
                )
            assert isinstance(self.settings.timeout, float)
            own = {"timeout": self.settings.timeout, "retries": self.settings.retries}
            return msgspec.structs.replace(lease.session, **own)
        env, seal = self.context.env, self.context.seal
        assert isinstance(self.settings.timeout, float)
        region = (self.settings.regions or (_region(env),))[0]
        partition = {"cn": "aws-cn", "us-gov": "aws-us-gov"}.get(
            "us-gov" if region.startswith("us-gov") else region.partition("-")[0], "aws"
        )
        token = env.get("AWS_SESSION_TOKEN")
        return AwsSession(
            seal(env[_KEYS[0]], _KEYS[0]),
            seal(env[_KEYS[1]], _KEYS[1]),
            seal(token, "AWS_SESSION_TOKEN") if token else None,
            f"arn:{partition}:",
            region,
            self.settings.timeout,
            self.settings.retries,
            endpoints({}, partition, region, env),
        )

    def collect(self) -> Inventory:
        """See the base class."""
        details = self._attempt((TRUST, IAM, USER, KEY), self._details)
        if details is not None:
            self._policies(details)
            self._roles(details)
            self._users(details)
        self._attempt((ACCOUNT,), self._summary)
        for region in self.settings.regions or (self._session.region,):
            self._attempt((SECRET,), functools.partial(self._secrets, region))
        self.whole(*self.kinds)
        return self.inventory

    def _attempt(self, kinds: Sequence[str], ask: Callable[[], T]) -> T | None:
        """What `ask` returns; a problem of each of `kinds` for what may not be asked. A wrong credential is raised."""
        try:
            return ask()
        except RefusedError:
            raise
        except KeyleaseError as error:
            if not isinstance(error, DeniedError) and not self.inventory.records and not self.inventory.problems:
                raise  # nothing could be had so far: no connection, no AWS
            for kind in kinds:
                self.problem(kind, error)
            return None

    # IAM.

    def _details(self) -> list[dict[str, Any]]:
        filters = ("User", "Role", "Group", "LocalManagedPolicy")
        asked = {f"Filter.member.{number}": name for number, name in enumerate(filters, 1)}
        doing = "listing users, roles and policies"
        pages = list(self._iam.pages("GetAccountAuthorizationDetails", {**asked, "MaxItems": "500"}, doing))
        if not all(any(f"{name}DetailList" in page for name in ("User", "Role")) for page in pages):
            raise self._iam.garbage(doing)
        arns = [str(each.get("Arn", "")) for page in pages for name in _LISTS for each in _items(page, name)]
        self._account = next((arn.split(":")[4] for arn in arns if arn.count(":") >= 5 and arn.split(":")[4]), "")
        self.server = self._account
        return pages

    def _subject(self, *parts: str) -> str:
        return "/".join(["aws:/", self._account or "-", *parts])

    def _policies(self, pages: Sequence[Mapping[str, Any]]) -> None:
        """The customer's managed policies, with who has them."""
        attached: dict[str, list[str]] = {}
        for list_name, kind in (("RoleDetailList", "role"), ("UserDetailList", "user"), ("GroupDetailList", "group")):
            for page in pages:
                for each in _items(page, list_name):
                    owner = f"{kind}/{_name(each, kind)}"
                    for given in objects(each.get("AttachedManagedPolicies")):
                        attached.setdefault(str(given.get("PolicyArn")), []).append(owner)
        for page in pages:
            for each in _items(page, "Policies"):
                arn = str(each.get("Arn", ""))
                name = str(each.get("PolicyName") or arn.rpartition("/")[2])
                versions = [v for v in objects(each.get("PolicyVersionList")) if v.get("IsDefaultVersion") == "true"]
                text = versions[0].get("Document") if versions else None
                self._policy(f"policy/{name}", name, text, attached_to=sorted(attached.get(arn, [])))

    def _policy(self, path: str, name: str, text: object, **facts: Any) -> None:
        self._document(IAM, path, name, text, **facts)

    def _document(self, kind: str, path: str, name: str, text: object, **facts: Any) -> None:
        try:
            document = policy(text)
        except UnclearError as error:
            self.problem(kind, f"AWS: {path}: the policy can't be read: {error}", "report it")
            return
        self.record(kind, self._subject(path), document=document, name=name, **facts)

    def _roles(self, pages: Sequence[Mapping[str, Any]]) -> None:
        for page in pages:
            for each in _items(page, "RoleDetailList"):
                name = _name(each, "role")
                if not any(fnmatch.fnmatchcase(name, glob) for glob in self.settings.roles):
                    continue
                facts = {
                    "role": name,
                    "created_at": utc(each.get("CreateDate")),
                    "last_used_at": utc(mapped(each.get("RoleLastUsed")).get("LastUsedDate")),
                    "policies": _attached(each),
                }
                self._document(TRUST, f"role/{name}", name, each.get("AssumeRolePolicyDocument"), **facts)
                self._inline("role", name, objects(each.get("RolePolicyList")))

    def _inline(self, kind: str, owner: str, policies: Sequence[Mapping[str, Any]]) -> None:
        for each in policies:
            name = str(each.get("PolicyName", ""))
            more = {"role": owner} if kind == "role" else {}
            text = each.get("PolicyDocument")
            self._policy(f"{kind}/{owner}/policy/{name}", name, text, attached_to=[f"{kind}/{owner}"], **more)

    def _users(self, pages: Sequence[Mapping[str, Any]]) -> None:
        users = [each for page in pages for each in _items(page, "UserDetailList")]
        groups: dict[str, list[str]] = {}
        for page in pages:
            for each in _items(page, "GroupDetailList"):
                name = _name(each, "group")
                groups[name] = _attached(each)
                self._inline("group", name, objects(each.get("GroupPolicyList")))
        for user in users:
            name = _name(user, "user")
            self._inline("user", name, objects(user.get("UserPolicyList")))
            memberships = texts(user.get("GroupList"))
            arns = [*_attached(user), *(arn for group in memberships for arn in groups.get(group, []))]
            self.record(
                USER,
                self._subject(f"user/{name}"),
                name=name,
                created_at=utc(user.get("CreateDate")),
                groups=memberships,
                policies=sorted(set(arns)),
            )
        names = [_name(each, "user") for each in users]
        if not names:
            return
        deadline = self.context.deadline
        for name, found in zip(names, parallel(self._keys, names, deadline, "listing access keys"), strict=True):
            if isinstance(found, RefusedError) or (
                isinstance(found, Exception) and not isinstance(found, KeyleaseError)
            ):
                raise found
            if isinstance(found, KeyleaseError):
                self.problem(KEY, found)
                continue
            for key in found:
                self.record(KEY, self._subject(f"user/{name}/key/{key['hint']}"), holder=name, **key)

    def _keys(self, user: str) -> list[dict[str, Any]]:
        doing = f"listing access keys of {user}"
        found = []
        for page in self._iam.pages("ListAccessKeys", {"UserName": user}, doing):
            if "AccessKeyMetadata" not in page:
                raise self._iam.garbage(doing)
            for each in _items(page, "AccessKeyMetadata"):
                number = str(each.get("AccessKeyId", ""))
                if not re.fullmatch(r"[A-Z0-9]{16,128}", number):
                    raise self._iam.garbage(doing)
                used = self._iam.ask("GetAccessKeyLastUsed", {"AccessKeyId": number}, f"{doing}: their last use")
                last = used.get("AccessKeyLastUsed")
                if not isinstance(last, dict):
                    raise self._iam.garbage(doing)
                service = str(last.get("ServiceName", "N/A"))
                found.append(
                    {
                        "name": last_four(number, number[:4]),
                        "hint": last_four(number, number[:4]),
                        "created_at": utc(each.get("CreateDate")),
                        "last_used_at": utc(last.get("LastUsedDate")),
                        "active": each.get("Status") != "Inactive",
                        **({"last_service": service} if service != "N/A" else {}),
                    }
                )
        return found

    def _summary(self) -> None:
        doing = "reading the account's summary"
        found = self._iam.ask("GetAccountSummary", {}, doing)
        numbers = _map(found.get("SummaryMap"))
        if "AccountAccessKeysPresent" not in numbers:
            raise self._iam.garbage(doing)
        keys, mfa = numbers["AccountAccessKeysPresent"], numbers.get("AccountMFAEnabled")
        self.record(ACCOUNT, self._subject(), name=self._account, root_keys=keys, root_mfa=mfa)

    # Secrets.

    def _secrets(self, region: str) -> None:
        api = AwsApi(Lease("aws", "aws", {}, self._session), self.context, "secretsmanager")
        token, seen = "", {""}
        for _ in range(_MOST_PAGES):
            asked = {"MaxResults": 100, "IncludePlannedDeletion": False, **({"NextToken": token} if token else {})}
            doing = f"listing secrets of {region}"
            reply = api.ask("ListSecrets", asked, region, doing)
            if not reply.answer.ok:
                if is_denied(reply):
                    raise denied(doing, "secretsmanager:ListSecrets", reply.answer)
                raise session_refused(self._session, reply, doing) or self._iam.garbage(f"{doing}: {reply.code}")
            items, token = reply.answer.at("SecretList"), reply.answer.at("NextToken") or ""
            if not isinstance(items, list) or not isinstance(token, str):
                raise self._iam.garbage(doing)
            for item in items:
                self._secret(item, region, doing)
            if not token:
                return
            if token in seen:
                break
            seen.add(token)
        raise self._iam.garbage(f"listing secrets of {region}", "the list does not end")

    def _secret(self, item: Any, region: str, doing: str) -> None:
        arn, name = (item.get("ARN"), item.get("Name")) if isinstance(item, dict) else (None, None)
        if not isinstance(arn, str) or not isinstance(name, str):
            raise self._iam.garbage(doing)
        changed = stamp(item.get("LastRotatedDate")), stamp(item.get("LastChangedDate"))
        days = mapped(item.get("RotationRules")).get("AutomaticallyAfterDays")
        account = arn.split(":")[4] if arn.count(":") >= 6 else self._account
        self.record(
            SECRET,
            f"aws://{account or '-'}/secret/{region}/{name}",
            name=name,
            holder=f"{account} {region}".strip(),
            created_at=stamp(item.get("CreatedDate")),
            # LastChangedDate counts tags and descriptions too: a rotation is what changed the value for certain.
            updated_at=changed[0] or changed[1] or stamp(item.get("CreatedDate")),
            last_used_at=stamp(item.get("LastAccessedDate")),
            rotates=item.get("RotationEnabled") is True,
            **({"rotation_days": days} if isinstance(days, int) else {}),
        )


_LISTS = ("UserDetailList", "RoleDetailList", "GroupDetailList", "Policies")


def _region(env: Env) -> str:
    return env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION") or ""


def _items(page: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    return objects(page.get(name))


def _name(item: Mapping[str, Any], kind: str) -> str:
    return str(item.get(f"{kind.capitalize()}Name", ""))


def _attached(item: Mapping[str, Any]) -> list[str]:
    return sorted(str(each.get("PolicyArn", "")) for each in objects(item.get("AttachedManagedPolicies")))


def _map(value: object) -> dict[str, int]:
    """A map of the Query protocol: ``entry`` elements; the reader keeps the last of one name, so they are a list."""
    found: dict[str, int] = {}
    for each in objects(mapped(value).get("entry")):
        key, number = each.get("key"), each.get("value")
        if isinstance(key, str) and isinstance(number, str) and number.isdigit():
            found[key] = int(number)
    return found
