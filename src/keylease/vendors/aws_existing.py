"""AWS credentials that a job has already, and which of them win over ours.

https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html ("credential provider chain")
"""

from collections.abc import Collection, Sequence

from keylease.model import Env
from keylease.vendors.aws_settings import VENDOR

_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")

# What belongs to the keys that we replace: botocore takes ours for expired where it finds the end of former ones.
_BESIDE_KEYS = ("AWS_CREDENTIAL_EXPIRATION", "AWS_SECURITY_TOKEN")

# The SDK for JavaScript looks at no keys where a profile is named; all others do the reverse.
_NAMED = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE")

# botocore takes these before the profile that AWS_PROFILE names.
_WEB_IDENTITY = ("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN", "AWS_ROLE_SESSION_NAME")

_OTHERS = (
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
)


def existing(env: Env, ours: Collection[str]) -> list[str]:
    """The variables of the job that hold or name other AWS credentials than `ours` (the variables we set)."""
    known = (*_KEYS, *_BESIDE_KEYS, *_NAMED, *_WEB_IDENTITY, *_OTHERS)
    return [name for name in known if env.get(name) and name not in ours]


def replaced(env: Env, ours: Collection[str]) -> list[str]:
    """Those that say something of the very keys that we replace, and would be wrong of ours."""
    return [name for name in _BESIDE_KEYS if env.get(name) and _KEYS[0] in ours]


def can_be_empty(name: str) -> bool:
    """Whether SDKs take the empty variable for none: botocore looks for a profile with an empty name."""
    return name not in _NAMED


def warnings(env: Env, ours: Collection[str], *, unset: bool) -> list[str]:
    """What to say of variables that some SDK prefers to what we export. unset: all that can be are being taken out."""
    there = existing(env, ours)
    hidden = [name for name in ("AWS_SHARED_CREDENTIALS_FILE",) if env.get(name) and name in ours]
    return _winning(there, ours, unset=unset) + [
        f"{VENDOR}: {name} was set in this job: the profiles of that file are out of reach, ours takes its place"
        for name in hidden
    ]


def _winning(there: Sequence[str], ours: Collection[str], *, unset: bool) -> list[str]:
    if _KEYS[0] in ours:
        wins = {"AWS_PROFILE": "the SDK for JavaScript takes that profile, not the keys that we set"}
    else:
        wins = {
            "AWS_ACCESS_KEY_ID": "those keys win over AWS_PROFILE",
            "AWS_WEB_IDENTITY_TOKEN_FILE": "boto3 takes it before AWS_PROFILE",
        }
    if unset:
        # `exec` can take it out all the same; elsewhere an empty one would break what reads it.
        return [
            f"{VENDOR}: {name} is set in this job, and only `keylease exec` can take it out: {wins[name]}"
            for name in wins
            if name in there and not can_be_empty(name)
        ]
    return [
        f"{VENDOR}: {name} is set in this job: {why}; take it out, or set `unset_existing: true`"
        for name, why in wins.items()
        if name in there
    ]
