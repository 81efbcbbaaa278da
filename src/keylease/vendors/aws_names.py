"""How AWS's stores name what they keep, and what IAM calls it.

https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html
https://docs.aws.amazon.com/systems-manager/latest/userguide/sysman-paramstore-su-create.html (names)
"""

import re

from msgspec import Struct

from keylease.vendors.aws_session import Place

_REGION = r"(?P<region>[a-z]{2,10}(?:-[a-z]{2,12}){1,3}-\d{1,2})"
_SECRET = re.compile(r"[\w/+=.@-]{1,512}", re.ASCII)
_SECRET_ARN = re.compile(
    rf"arn:(?P<partition>[a-z-]{{3,20}}):secretsmanager:{_REGION}:(?P<account>\d{{12}}):secret:"
    r"(?P<name>[\w/+=.@-]{1,520})",
    re.ASCII,
)
_PARAMETER = re.compile(r"/?[\w.-]+(?:/[\w.-]+)*", re.ASCII)
_PARAMETER_ARN = re.compile(
    rf"arn:(?P<partition>[a-z-]{{3,20}}):ssm:{_REGION}:(?P<account>\d{{12}})?:parameter/(?P<name>[\w./-]+)", re.ASCII
)
_ENDING = re.compile(r"-[A-Za-z0-9]{6}")

REFERENCE = "/aws/reference/secretsmanager/"
"""Parameters that stand for secrets.

https://docs.aws.amazon.com/systems-manager/latest/userguide/integration-ps-secretsmanager.html
"""

PUBLIC = "/aws/service/"
"""Parameters of AWS itself, which belong to no account."""


class Target(Struct, frozen=True):
    """A secret or parameter.

    id: as the API wants it. region: to ask. partition, account: whose it is. resource: its ARN for IAM's policies.
    exact: whether that ARN stands for this one alone.
    """

    id: str
    region: str
    partition: str
    account: str
    resource: str
    exact: bool


def secret_of(path: str, place: Place) -> Target | None:
    """The secret that the path of a reference names; None if it can't be one's.

    A secret's ARN ends in six characters that nobody knows before it exists. For a name IAM's pattern has six question
    marks there, which is the narrowest one that AWS documents.
    https://docs.aws.amazon.com/secretsmanager/latest/userguide/auth-and-access_iam-policies.html
    """
    found = _SECRET_ARN.fullmatch(path)
    if found:
        exact = _ENDING.fullmatch(path[-7:]) is not None
        resource = path if exact else f"{path}-??????"
        return Target(path, found["region"], found["partition"], found["account"], resource, exact)
    if not _SECRET.fullmatch(path):
        return None
    resource = f"arn:{place.partition}:secretsmanager:{place.region}:{place.account}:secret:{path}-??????"
    return Target(path, place.region, place.partition, place.account, resource, False)


def parameter_of(path: str, place: Place) -> Target | None:
    """The parameter that the path of a reference names, without version or label; None if it can't be one's."""
    found = _PARAMETER_ARN.fullmatch(path)
    if found:
        return Target(path, found["region"], found["partition"], found["account"] or "", path, True)
    if len(path) > 1011 or not (_SECRET if path.startswith(REFERENCE) else _PARAMETER).fullmatch(path):
        return None
    account = "" if path.startswith(PUBLIC) else place.account
    resource = f"arn:{place.partition}:ssm:{place.region}:{account}:parameter/{path.removeprefix('/')}"
    return Target(path, place.region, place.partition, account, resource, True)
