"""How AWS's Security Token Service is reached and what is asked of it, as the user writes it.

https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html
"""

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from keylease.errors import UsageError
from keylease.model import Env
from keylease.vendors.aws_session import endpoints
from keylease.vendors.endpoints import checked
from keylease.vendors.token_exchange import attempts, audience, seconds_of

VENDOR = "AWS"

DOCS = "aws-settings"

AUDIENCE = "sts.amazonaws.com"
"""https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_create_oidc.html"""

# Region patterns, DNS suffixes: the endpoint rules that AWS publishes with its SDKs (botocore/data/partitions.json).
_PARTITIONS = {
    "aws-cn": (r"cn-\w+-\d+", "amazonaws.com.cn"),
    "aws-us-gov": (r"us-gov-\w+-\d+", "amazonaws.com"),
    "aws-eusc": (r"eusc-de-\w+-\d+", "amazonaws.eu"),
    "aws": (r"(us|eu|ap|sa|ca|me|af|il|mx)-\w+-\d+", "amazonaws.com"),
}

_ROLE = re.compile(
    r"arn:(?P<partition>[a-z-]{3,20}):iam::(?P<account>\d{12}):role/(?:[!-.0-~]+/)*[\w+=,.@-]{1,64}", re.ASCII
)
_POLICY = re.compile(r"arn:[a-z-]{3,20}:iam::(?:\d{12}|aws):policy/[!-~]{1,600}", re.ASCII)
_SESSION = re.compile(r"[\w+=,.@-]{2,64}", re.ASCII)
_PROFILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")

# https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html ("ExternalId", "Tags.member.N", both limits)
_EXTERNAL_ID = re.compile(r"[\w+=,.@:/-]{2,1224}", re.ASCII)
_TAG_KEY = re.compile(r"[\w .:/=+@-]{1,128}")
_TAG_VALUE = re.compile(r"[\w .:/=+@-]{0,256}")

JOB_TAGS = {
    # Named as aws-actions/configure-aws-credentials names its own, so that policies can stay as they are.
    "Repository": ("repository", "project_path", "oidc.circleci.com/project-id", "repositoryUuid", "pipeline_slug"),
    "Workflow": ("workflow",),
    "Actor": ("actor", "user_login"),
    "Commit": ("sha", "build_commit"),
    "Branch": ("ref", "oidc.circleci.com/vcs-ref", "branchName", "build_branch"),
    "EventName": ("event_name", "pipeline_source"),
    "RunId": ("run_id", "pipeline_id", "pipelineUuid", "build_number"),
    "Environment": ("environment",),
}
"""Key of a session tag → the claims it may come from, the first one that is there."""

MOST_POLICIES = 10
LONGEST_POLICY = 2048
MOST_TAGS = 50
LONGEST_CHAIN = 3600.0
"""Seconds that AWS lets the session of a role live which was taken with another role's."""


class AwsChain(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A second role, taken with the session of the first one (``AssumeRole``)."""

    role_arn: Annotated[str, Meta(description="The second role, whose credentials are handed over.")]
    external_id: Annotated[str, Meta(description="The `sts:ExternalId` that the second role's trust policy wants.")] = (
        ""
    )
    tags: Annotated[dict[str, str], Meta(description="Session tags.")] = {}
    job_tags: Annotated[
        bool, Meta(description="Tag the session with what the identity token says: Repository, Branch, Actor, RunId …")
    ] = False
    transitive_tags: Annotated[
        list[str], Meta(description="Keys of those tags that stay on the sessions of further roles.")
    ] = []


class AwsProfile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A role that becomes a named profile of the credentials file."""

    role_arn: Annotated[str, Meta(description="The role.")]
    duration: Annotated[float | str | None, Meta(description="Of its session; like the provider's if left out.")] = None
    session_policy: Annotated[
        str | dict[str, Any], Meta(description="An IAM policy, as JSON or as YAML, that narrows this session.")
    ] = ""
    managed_policies: Annotated[list[str], Meta(description="ARNs of managed policies that narrow this session.")] = []
    chain: Annotated[AwsChain | None, Meta(description="A second role, in whose place this profile is.")] = None


class AwsSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Roles of AWS, taken with the job's identity token (``AssumeRoleWithWebIdentity``).

    role_arn: the role whose credentials become ``AWS_ACCESS_KEY_ID`` and so on. Falls back to ``AWS_ROLE_ARN`` where
        there are no profiles.
    region: whose STS is asked, and ``AWS_REGION`` of the job. Falls back to ``AWS_REGION`` and ``AWS_DEFAULT_REGION``.
    profiles: further roles by the name of the profile that they become in one credentials file.
    chain: a second role, taken with `role_arn`'s session: its credentials are handed over, and the settings of the
        session are about it.
    duration: how long the session lives, between 15 minutes and 12 hours (one hour with `chain`); the role's own
        maximum is an hour by default.
    session_name: what CloudTrail shows of the session. By default repository and run.
    session_policy: an IAM policy, as JSON or as YAML, that narrows the session.
    managed_policies: ARNs of at most ten managed policies that narrow the session.
    allowed_account_ids: the accounts whose credentials may be handed over; any if it is empty. Checked in the settings,
        in AWS's answer, and by asking AWS whose the credentials are (``GetCallerIdentity``).
    token_file: a file with the identity token, in the place of the CI platform's (EKS: what
        ``AWS_WEB_IDENTITY_TOKEN_FILE`` names).
    unset_existing: take AWS credentials that the job has already out of the environment that it gets.
    audience: the `aud` that the identity provider in IAM expects.
    url: the STS endpoint, where it is not the region's own. Falls back to ``AWS_ENDPOINT_URL_STS``.
    secretsmanager_url: the same of Secrets Manager. Falls back to ``AWS_ENDPOINT_URL_SECRETS_MANAGER``.
    ssm_url: the same of Systems Manager (Parameter Store). Falls back to ``AWS_ENDPOINT_URL_SSM``.
    timeout: of one attempt, in seconds or like ``10s``, ``500ms``, ``1m``. retries: attempts after the first one.
    """

    role_arn: str = ""
    region: str = ""
    profiles: dict[str, AwsProfile] = {}
    chain: AwsChain | None = None
    duration: float | str = 3600.0
    session_name: str = ""
    session_policy: str | dict[str, Any] = ""
    managed_policies: list[str] = []
    allowed_account_ids: list[str] = []
    token_file: str = ""
    unset_existing: bool = False
    audience: str = ""
    url: str = ""
    secretsmanager_url: str = ""
    ssm_url: str = ""
    timeout: float | str = 10.0
    retries: int = 4


def complete(settings: AwsSettings, env: Env) -> AwsSettings:
    """The settings with fallbacks from `env` and everything checked. Raises :class:`UsageError` naming the key."""
    s = settings
    timeout, retries = attempts(VENDOR, s.timeout, s.retries, docs=DOCS)
    role = (s.role_arn or ("" if s.profiles else env.get("AWS_ROLE_ARN", ""))).strip()
    if not role and not s.profiles:
        raise _wrong("`role_arn` is missing", "role_arn: arn:aws:iam::111122223333:role/NAME (or profiles: …)")
    region = (s.region or env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION") or "").strip()
    partition = _partition(region)
    duration = _duration(s.duration)
    for account in s.allowed_account_ids:
        if not re.fullmatch(r"\d{12}", account, re.ASCII):
            raise _wrong(
                "`allowed_account_ids` holds what is no account id", 'twelve digits, in quotes: "111122223333"'
            )
    if role:
        _role("role_arn", role, partition, [] if s.chain else s.allowed_account_ids)
    elif s.chain:
        raise _wrong(
            "`chain` without `role_arn`: there is no session to take it with", "role_arn: the first role's ARN"
        )
    profiles = {}
    for name, profile in s.profiles.items():
        if not _PROFILE.fullmatch(name):
            raise _wrong("`profiles` has a name that can't be a profile's", "letters, digits, and . _ - inside")
        key = f"profiles.{name}"
        allowed = [] if profile.chain else s.allowed_account_ids
        _role(f"{key}.role_arn", profile.role_arn.strip(), partition, allowed)
        own = duration if profile.duration is None else _duration(profile.duration, f"{key}.duration")
        profiles[name] = AwsProfile(
            role_arn=profile.role_arn.strip(),
            duration=own,
            chain=_chain(profile.chain, f"{key}.chain", partition, s.allowed_account_ids, own),
            session_policy=_policy(profile.session_policy, f"{key}.session_policy"),
            managed_policies=_managed(profile.managed_policies, f"{key}.managed_policies"),
        )
    session = s.session_name or env.get("AWS_ROLE_SESSION_NAME", "")
    if session and not _SESSION.fullmatch(session):
        raise _wrong("`session_name` is no session name", "2 to 64 letters, digits and + = , . @ _ -")
    suffix = _PARTITIONS[partition][1]
    url = s.url or env.get("AWS_ENDPOINT_URL_STS") or f"https://sts.{region}.{suffix}"
    stores = endpoints({"secretsmanager": s.secretsmanager_url, "ssm": s.ssm_url}, partition, region, env)
    return msgspec.structs.replace(
        s,
        role_arn=role,
        region=region,
        profiles=profiles,
        chain=_chain(s.chain, "chain", partition, s.allowed_account_ids, duration),
        duration=duration,
        session_name=session,
        session_policy=_policy(s.session_policy, "session_policy"),
        managed_policies=_managed(s.managed_policies, "managed_policies"),
        audience=audience(VENDOR, s.audience or AUDIENCE, docs=DOCS),
        token_file=s.token_file.strip(),
        # What is below amazonaws.com may be anybody's (a bucket, an API gateway): STS hosts only.
        url=checked(url, "url", VENDOR, _hosts(region, suffix), env),
        secretsmanager_url=stores.get("secretsmanager", ""),
        ssm_url=stores.get("ssm", ""),
        timeout=timeout,
        retries=retries,
    )


def account_of(role_arn: str) -> str:
    """The twelve digits of a checked role ARN."""
    return role_arn.split(":")[4]


def _hosts(region: str, suffix: str) -> list[str]:
    # https://docs.aws.amazon.com/general/latest/gr/sts.html: regional, FIPS, and the old global endpoint; and a VPC's
    # own, whose names end in the service's: nobody else's service can have such a name.
    return [f"sts.{region}.{suffix}", f"sts-fips.{region}.{suffix}", f"sts.{region}.vpce.{suffix}", "sts.amazonaws.com"]


def _partition(region: str) -> str:
    for partition, (pattern, _) in _PARTITIONS.items():
        if re.fullmatch(pattern, region, re.ASCII):
            return partition
    what = "is none that is known" if region else "is missing"
    raise _wrong(f"`region` {what}", "region: eu-central-1 (or set AWS_REGION in the job)")


def _role(key: str, arn: str, partition: str, allowed: list[str]) -> None:
    found = _ROLE.fullmatch(arn)
    if not found:
        raise _wrong(f"`{key}` is no role's ARN", f"{key}: arn:{partition}:iam::111122223333:role/NAME")
    if found["partition"] != partition:
        raise _wrong(f"`{key}` and `region` are of different partitions", f"a region of {found['partition']}")
    if allowed and found["account"] not in allowed:
        raise _wrong(
            f"`{key}` is in account {found['account']}, which `allowed_account_ids` does not name",
            "correct the role, or add its account",
        )


def _chain(chain: AwsChain | None, key: str, partition: str, allowed: list[str], duration: float) -> AwsChain | None:
    if chain is None:
        return None
    role = chain.role_arn.strip()
    _role(f"{key}.role_arn", role, partition, allowed)
    if duration > LONGEST_CHAIN:
        raise _wrong(f"`{key}`: its session can't live longer than an hour", "duration: 1h (AWS's limit for chains)")
    if chain.external_id and not _EXTERNAL_ID.fullmatch(chain.external_id):
        raise _wrong(f"`{key}.external_id` is no external id", "2 to 1224 letters, digits and + = , . @ : / _ -")
    for name, value in chain.tags.items():
        if not _TAG_KEY.fullmatch(name) or name.lower().startswith("aws:") or not _TAG_VALUE.fullmatch(value):
            raise _wrong(
                f"`{key}.tags` has what is no tag of AWS",
                "keys of 1 to 128, values of 0 to 256 letters, digits, blanks and _ . : / = + - @; no key with aws:",
            )
    names = [*chain.tags, *(JOB_TAGS if chain.job_tags else ())]
    if len({name.lower() for name in names}) < len(names):
        raise _wrong(f"`{key}.tags` has a key twice", "AWS tells no case apart, and job_tags are tags too")
    if len(names) > MOST_TAGS:
        raise _wrong(f"`{key}.tags` has more than {MOST_TAGS} tags", "take some out")
    if strange := [name for name in chain.transitive_tags if name not in names]:
        raise _wrong(
            f"`{key}.transitive_tags` names {strange[0]!a}, which is no tag here",
            "name keys of `tags`" + (f", or {', '.join(JOB_TAGS)}" if chain.job_tags else ""),
        )
    return msgspec.structs.replace(chain, role_arn=role)


def _duration(value: float | str, key: str = "duration") -> float:
    found = seconds_of(value)
    if found is None or not 900 <= found <= 43200:
        raise _wrong(f"`{key}` is not between 15 minutes and 12 hours", f"{key}: 1h")
    return float(int(found))


def _policy(value: str | Mapping[str, Any], key: str) -> str:
    if not value:
        return ""
    try:
        policy = json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        policy = None
    if not isinstance(policy, Mapping) or "Statement" not in policy:
        raise _wrong(f"`{key}` is no IAM policy", 'a JSON object with "Version" and "Statement", or the same as YAML')
    text = json.dumps(policy, separators=(",", ":"))
    if len(text) > LONGEST_POLICY:
        raise _wrong(f"`{key}` has {len(text)} characters", f"at most {LONGEST_POLICY}; or use managed_policies")
    return text


def _managed(arns: list[str], key: str) -> list[str]:
    if len(arns) > MOST_POLICIES or not all(_POLICY.fullmatch(arn) for arn in arns):
        raise _wrong(f"`{key}` is no list of at most ten policy ARNs", f"{key}: [arn:aws:iam::aws:policy/NAME]")
    return list(arns)


def _wrong(what: str, change: str) -> UsageError:
    return UsageError(f"{VENDOR}: {what}", change=change, docs=DOCS)
