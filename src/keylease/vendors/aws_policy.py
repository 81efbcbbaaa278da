"""The IAM policy that allows to read what a run reads, and nothing else.

https://docs.aws.amazon.com/secretsmanager/latest/userguide/auth-and-access_iam-policies.html
https://docs.aws.amazon.com/systems-manager/latest/userguide/ps-retrieval-authorization.html
"""

import hashlib
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from keylease.model import Read
from keylease.vendors.aws_names import REFERENCE, parameter_of, secret_of
from keylease.vendors.aws_session import Place
from keylease.vendors.job_claims import heredoc

READ_SECRET = "secretsmanager:GetSecretValue"  # noqa: S105  # an action of IAM
READ_PARAMETERS = "ssm:GetParameters"
LIST_SECRETS = "secretsmanager:ListSecrets"
LIST_PARAMETERS = "ssm:DescribeParameters"

SUFFIX_NOTE = (
    "?????? stands for the six characters that AWS puts behind a secret's name; the secret's whole ARN in its place is "
    "narrower, and ends when the secret is deleted"
)


def read_policy(reads: Sequence[Read], place: Place) -> dict[str, Any]:
    """A policy document with one statement per action, the resources one by one; empty where there is nothing to read.

    place: of the role, for names that say nothing of it.
    """
    wanted: dict[str, list[str]] = {}
    for read in reads:
        secret = read.scheme == "aws-sm"
        target = secret_of(read.path, place) if secret else parameter_of(read.path, place)
        if target is None:
            continue
        wanted.setdefault(READ_SECRET if secret else READ_PARAMETERS, []).append(target.resource)
        if not secret and read.path.startswith(REFERENCE):
            behind = secret_of(read.path.removeprefix(REFERENCE), place)
            wanted.setdefault(READ_SECRET, []).extend([behind.resource] if behind else [])
    return document([allow(action, *resources) for action, resources in wanted.items()]) if wanted else {}


def document(statements: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A policy of `statements`."""
    return {"Version": "2012-10-17", "Statement": list(statements)}


def allow(action: str, *resources: str) -> dict[str, Any]:
    """A statement for one action on these resources."""
    return {"Effect": "Allow", "Action": action, "Resource": list(dict.fromkeys(resources))}


def decrypt(key: str, via: str, context: Mapping[str, str]) -> dict[str, Any]:
    """A statement for decrypting with `key` (ARN) what the service `via` keeps, of this `context` alone.

    https://docs.aws.amazon.com/kms/latest/developerguide/conditions-kms.html
    """
    within = {f"kms:EncryptionContext:{name}": value for name, value in context.items()}
    condition = {"StringEquals": {"kms:ViaService": via}, "StringLike": within}
    return {"Effect": "Allow", "Action": "kms:Decrypt", "Resource": [key], "Condition": condition}


def attach(role: str, name: str, policy: Mapping[str, Any]) -> str:
    """The command that gives `role` the inline policy `name`, which replaces one of the same name and no other."""
    slug = re.sub(r"[^\w.-]+", "-", name, flags=re.ASCII).strip("-")[:100]
    if slug != name:
        slug += "-" + hashlib.sha256(name.encode()).hexdigest()[:6]  # or a/b would replace a-b
    command = f"aws iam put-role-policy --role-name {shlex.quote(role)} --policy-name {shlex.quote('read-' + slug)}"
    return heredoc(f"{command} --policy-document file:///dev/stdin", json.dumps(policy, indent=2))
