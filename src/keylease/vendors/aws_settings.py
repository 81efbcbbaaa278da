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

MOST_POLICIES = 10
LONGEST_POLICY = 2048


class AwsProfile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A role that becomes a named profile of the credentials file."""

    role_arn: Annotated[str, Meta(description="The role.")]
    duration: Annotated[float | str | None, Meta(description="Of its session; like the provider's if left out.")] = None
    session_policy: Annotated[
        str | dict[str, Any], Meta(description="An IAM policy, as JSON or as YAML, that narrows this session.")
    ] = ""
    managed_policies: Annotated[list[str], Meta(description="ARNs of managed policies that narrow this session.")] = []


class AwsSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Roles of AWS, taken with the job's identity token (``AssumeRoleWithWebIdentity``).

    role_arn: the role whose credentials become ``AWS_ACCESS_KEY_ID`` and so on. Falls back to ``AWS_ROLE_ARN`` where
        there are no profiles.
    region: whose STS is asked, and ``AWS_REGION`` of the job. Falls back to ``AWS_REGION`` and ``AWS_DEFAULT_REGION``.
    profiles: further roles by the name of the profile that they become in one credentials file.
    duration: how long the session lives, between 15 minutes and 12 hours; the role's own maximum is an hour by default.
    session_name: what CloudTrail shows of the session. By default repository and run.
    session_policy: an IAM policy, as JSON or as YAML, that narrows the session.
    managed_policies: ARNs of at most ten managed policies that narrow the session.
    allowed_account_ids: the accounts whose credentials may be handed over; any if it is empty.
    audience: the `aud` that the identity provider in IAM expects.
    url: the STS endpoint, where it is not the region's own. Falls back to ``AWS_ENDPOINT_URL_STS``.
    timeout: of one attempt, in seconds or like ``10s``, ``500ms``, ``1m``. retries: attempts after the first one.
    """

    role_arn: str = ""
    region: str = ""
    profiles: dict[str, AwsProfile] = {}
    duration: float | str = 3600.0
    session_name: str = ""
    session_policy: str | dict[str, Any] = ""
    managed_policies: list[str] = []
    allowed_account_ids: list[str] = []
    audience: str = ""
    url: str = ""
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
        _role("role_arn", role, partition, s.allowed_account_ids)
    profiles = {}
    for name, profile in s.profiles.items():
        if not _PROFILE.fullmatch(name):
            raise _wrong("`profiles` has a name that can't be a profile's", "letters, digits, and . _ - inside")
        key = f"profiles.{name}"
        _role(f"{key}.role_arn", profile.role_arn.strip(), partition, s.allowed_account_ids)
        profiles[name] = AwsProfile(
            role_arn=profile.role_arn.strip(),
            duration=duration if profile.duration is None else _duration(profile.duration, f"{key}.duration"),
            session_policy=_policy(profile.session_policy, f"{key}.session_policy"),
            managed_policies=_managed(profile.managed_policies, f"{key}.managed_policies"),
        )
    session = s.session_name or env.get("AWS_ROLE_SESSION_NAME", "")
    if session and not _SESSION.fullmatch(session):
        raise _wrong("`session_name` is no session name", "2 to 64 letters, digits and + = , . @ _ -")
    suffix = _PARTITIONS[partition][1]
    url = s.url or env.get("AWS_ENDPOINT_URL_STS") or f"https://sts.{region}.{suffix}"
    return msgspec.structs.replace(
        s,
        role_arn=role,
        region=region,
        profiles=profiles,
        duration=duration,
        session_name=session,
        session_policy=_policy(s.session_policy, "session_policy"),
        managed_policies=_managed(s.managed_policies, "managed_policies"),
        audience=audience(VENDOR, s.audience or AUDIENCE, docs=DOCS),
        # What is below amazonaws.com may be anybody's (a bucket, an API gateway): STS hosts only.
        url=checked(url, "url", VENDOR, _hosts(region, suffix), env),
        timeout=timeout,
        retries=retries,
    )


def account_of(role_arn: str) -> str:
    """The twelve digits of a checked role ARN."""
    return role_arn.split(":")[4]


def _hosts(region: str, suffix: str) -> list[str]:
    # https://docs.aws.amazon.com/general/latest/gr/sts.html: regional, FIPS, and the old global endpoint.
    return [f"sts.{region}.{suffix}", f"sts-fips.{region}.{suffix}", "sts.amazonaws.com"]


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
