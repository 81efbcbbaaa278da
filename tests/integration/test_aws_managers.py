"""Secrets Manager and Parameter Store: signatures, permissions, versions, batches; boto3 reads the same.

Moto stores, and verifies nothing; the front before it (tests.fakes.aws_signature) verifies what AWS verifies.
"""

import json
import logging
import re
from typing import Any

import boto3  # type: ignore[import-untyped]
import pytest
from botocore.config import Config  # type: ignore[import-untyped]

from keylease.errors import KeyleaseError, NotFoundError, RefusedError, UsageError
from keylease.managers.aws_sm import AwsSecretsManager
from keylease.model import Lease, Read
from tests.contract.aws_stores import (
    REGION,
    ROLE,
    Stores,
    parameter,
    parameters,
    refused,
    secret,
    secrets,
    stores,
    value,
)
from tests.fakes.aws_signature import Admitted
from tests.fakes.misbehaving import reply, too_many
from tests.leaks import Seeded
from tests.servers.moto import ACCOUNT


@pytest.fixture
def aws(request: pytest.FixtureRequest) -> Stores:
    """Both stores, and a role that may read what is below `aws.prefix`."""
    return stores(request)


def pasted(error: KeyleaseError) -> dict[str, Any]:
    """The policy in the command that an error shows."""
    found = re.search(r"<<'EOF'\n(.*?)\nEOF", error.change, re.DOTALL)
    assert found, error.change
    policy: dict[str, Any] = json.loads(found[1])
    return policy


def sdk(aws: Stores, service: str) -> Any:
    s = aws.session
    return boto3.client(
        service,
        region_name=REGION,
        endpoint_url=aws.front.url,
        aws_access_key_id=s.key_id,
        aws_secret_access_key=s.secret_key,
        aws_session_token=s.session_token,
        config=Config(retries={"max_attempts": 1}),
    )


# What is sent, and what boto3 makes of the same.


def test_the_request_is_the_documented_one(aws: Stores, seeded: Seeded) -> None:
    read, made = secret(aws, "ci", seeded.new("value"))
    options = (("version", made["VersionId"]), ("stage", "AWSCURRENT"))
    secrets(aws).read(Read("aws", "aws-sm", read.path, options))
    parameters(aws).read(parameter(aws, "p", "x"))
    first, second = aws.proxy.requests
    assert (first.method, first.target) == ("POST", "/")
    assert first.header("X-Amz-Target") == "secretsmanager.GetSecretValue"
    assert first.header("Content-Type") == "application/x-amz-json-1.1"
    assert first.json() == {"SecretId": read.path, "VersionId": made["VersionId"], "VersionStage": "AWSCURRENT"}
    assert first.header("X-Amz-Security-Token") == aws.session.session_token
    assert "/secretsmanager/aws4_request" in first.header("Authorization")
    assert second.header("X-Amz-Target") == "AmazonSSM.GetParameters"
    assert second.json() == {"Names": [f"/{aws.prefix}/p"], "WithDecryption": True}


def test_boto3_reads_the_same_secrets(aws: Stores, seeded: Seeded) -> None:
    text, data = seeded.new("text"), b"\x00\xff" + seeded.new("data").encode()
    read, _ = secret(aws, "text", text)
    binary, _ = secret(aws, "binary", data)
    client = sdk(aws, "secretsmanager")
    assert client.get_secret_value(SecretId=read.path)["SecretString"] == text
    assert value(aws, secrets(aws).read(read)) == text
    assert client.get_secret_value(SecretId=binary.path)["SecretBinary"] == data
    document = secrets(aws).read(binary)
    assert document.value(None, aws.context.seal).reveal_bytes() == data
    client.close()


def test_boto3_reads_the_same_parameters(aws: Stores, seeded: Seeded) -> None:
    reads = [parameter(aws, f"p{n}", seeded.new(f"p{n}")) for n in range(3)]
    listed = parameter(aws, "list", "a,b,c", "StringList")
    client = sdk(aws, "ssm")
    theirs = client.get_parameters(Names=[read.path for read in [*reads, listed]], WithDecryption=True)
    wanted = {each["Name"]: each["Value"] for each in theirs["Parameters"]}
    ours = parameters(aws).read_many([*reads, listed])
    assert {read.path: value(aws, d) for read, d in zip([*reads, listed], ours, strict=True)} == wanted  # type: ignore[arg-type]
    assert wanted[listed.path] == "a,b,c"
    client.close()


def test_each_attempt_is_signed_anew(aws: Stores) -> None:
    # A signature holds for five minutes, and a step may be given an hour.
    read, _ = secret(aws, "ci", "value-1")
    aws.proxy.fail("/", too_many("1"))
    assert value(aws, secrets(aws).read(read)) == "value-1"
    once, again = aws.proxy.requests
    assert once.header("X-Amz-Date") < again.header("X-Amz-Date")
    assert once.header("Authorization") != again.header("Authorization")


def test_signing_does_not_log_the_session(aws: Stores, caplog: pytest.LogCaptureFixture) -> None:
    # botocore logs the canonical request, with the session's token in it; the fixtures look for that in the log.
    read = parameter(aws, "p", "x")
    logging.getLogger("botocore.auth").setLevel(logging.DEBUG)
    caplog.set_level(logging.DEBUG)
    parameters(aws).read(read)
    assert "CanonicalRequest" not in caplog.text


# The session.


@pytest.mark.parametrize(
    ("changed", "code", "cause"),
    [
        ({"secret_key": "wrong"}, "InvalidSignatureException", "changed the request"),
        ({"session_token": "wrong"}, "UnrecognizedClientException", "not enabled for this account"),
        ({"key_id": "ASIAUNKNOWN"}, "UnrecognizedClientException", "not enabled for this account"),
    ],
)
def test_a_wrong_session_is_refused_at_once(aws: Stores, changed: dict[str, str], code: str, cause: str) -> None:
    given = {name: aws.context.seal(text, name) for name, text in changed.items()}
    read, _ = secret(aws, "ci", "value-1")
    for manager, each in ((secrets(aws, **given), read), (parameters(aws, **given), parameter(aws, "p", "x"))):
        aws.proxy.requests.clear()
        error = refused(manager, each)
        assert code in error.summary
        assert cause in error.cause
        assert error.docs.endswith("#aws-session")
        assert error.detail["request id"]
        assert len(aws.proxy.requests) == 1


def test_the_session_is_over(aws: Stores) -> None:
    s = aws.session
    aws.front.admit(Admitted(s.key_id, s.secret_key, s.session_token, s.role, expires_at=0))
    reads = [parameter(aws, f"p{n}", "x") for n in range(3)]
    with pytest.raises(RefusedError, match="ExpiredTokenException") as caught:
        parameters(aws).read_many(reads)
    assert "session is over" in caught.value.cause
    assert "duration" in caught.value.change
    assert "and 2 more" in caught.value.summary
    assert len(aws.proxy.requests) == 1, "it is about the session: not asked for one by one"


@pytest.mark.parametrize(("clock", "words"), [(900, "15 minutes behind"), (-900, "15 minutes ahead of")])
def test_a_clock_that_is_off_is_told(aws: Stores, clock: int, words: str) -> None:
    aws.front.clock = clock
    error = refused(secrets(aws), secret(aws, "ci", "value-1")[0])
    assert words in error.cause
    assert "NTP" in error.change


def test_a_provider_of_several_profiles_has_no_role_to_read_with(aws: Stores) -> None:
    with pytest.raises(UsageError, match="no role to read with"):
        AwsSecretsManager(Lease("aws", "aws", {}, session=None), aws.context)


# Permissions.


@pytest.mark.parametrize("store", ["aws-sm", "aws-ssm"])
def test_the_policy_that_a_refusal_shows_allows_this_one_alone(aws: Stores, store: str) -> None:
    aws.front.policies.clear()
    make, manager = (secret, secrets(aws)) if store == "aws-sm" else (parameter, parameters(aws))
    first, second = (r[0] if isinstance(r := make(aws, n, f"value-{n}"), tuple) else r for n in ("db", "db-2"))
    error = refused(manager, first)
    assert ROLE in error.summary
    assert "no policy of the role ci allows it" in error.cause
    assert "--role-name ci " in error.change
    policy = pasted(error)
    (statement,) = policy["Statement"]
    assert "*" not in json.dumps(policy)
    assert "??????" not in json.dumps(policy), "AWS told the whole ARN"
    assert statement["Action"] == {"aws-sm": "secretsmanager:GetSecretValue", "aws-ssm": "ssm:GetParameters"}[store]
    aws.front.policies.append(policy)
    assert value(aws, manager.read(first)) == "value-db"
    refused(manager, second)


def test_for_a_secret_that_aws_does_not_name_the_policy_is_the_narrowest_there_is(aws: Stores) -> None:
    aws.front.policies.clear()
    read = Read("aws", "aws-sm", f"{aws.prefix}/new")
    error = refused(secrets(aws), read)
    assert "there is no such secret" in error.cause
    (resource,) = pasted(error)["Statement"][0]["Resource"]
    assert resource == f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{aws.prefix}/new-??????"
    assert "# ?????? stands for" in error.change
    aws.front.policies.append(pasted(error))
    with pytest.raises(NotFoundError):
        secrets(aws).read(read)
    secret(aws, "new", "value-1")
    assert value(aws, secrets(aws).read(read)) == "value-1"
    secret(aws, "new-er", "value-2")
    refused(secrets(aws), Read("aws", "aws-sm", f"{aws.prefix}/new-er"))


@pytest.mark.parametrize(
    ("words", "cause", "change"),
    [
        ("because no session policy allows the {action} action", "narrowed by `session_policy`", "`session_policy` of"),
        ("because no permissions boundary allows the {action} action", "no permissions boundary", "administers"),
        ("because no service control policy allows the {action} action", "no service control policy", "administers"),
        ("because no VPC endpoint policy allows the {action} action", "no VPC endpoint policy", "administers"),
        ("because no resource-based policy allows the {action} action", "policy of the resource", ":role/ci"),
        ("with an explicit deny in a service control policy", "service control", "can allow what it denies"),
        ("with an explicit deny in a resource-based policy: arn:x", "resource-based", "can allow what it denies"),
        ("", "no policy of the role ci", "give the role this policy"),
    ],
)
def test_the_kind_of_policy_is_told(aws: Stores, words: str, cause: str, change: str) -> None:
    aws.front.policies.clear()
    aws.front.words = words
    for manager, read in ((secrets(aws), secret(aws, "x", "v-1")[0]), (parameters(aws), parameter(aws, "x", "v-1"))):
        error = refused(manager, read)
        assert cause in error.cause
        assert change in error.change


def test_another_accounts_secret_needs_both_policies(aws: Stores) -> None:
    arn = f"arn:aws:secretsmanager:{REGION}:999988887777:secret:shared-AbCdEf"
    error = refused(secrets(aws), Read("aws", "aws-sm", arn))
    assert "account 999988887777 must allow it too" in error.cause
    assert pasted(error)["Statement"][0]["Resource"] == [arn]


def test_a_key_that_may_not_be_used(aws: Stores) -> None:
    read, made = secret(aws, "k", "value-1")
    other = parameter(aws, "k", "value-1")
    aws.front.no_key = {read.path, other.path}
    error = refused(secrets(aws), read)
    assert "may not decrypt it" in error.summary
    assert "describe-secret" in error.change
    (statement,) = pasted(error)["Statement"]
    assert statement["Action"] == "kms:Decrypt"
    assert statement["Resource"] == [f"arn:aws:kms:{REGION}:{ACCOUNT}:key/KEY-ID"]
    assert statement["Condition"]["StringEquals"] == {"kms:ViaService": f"secretsmanager.{REGION}.amazonaws.com"}
    pattern = statement["Condition"]["StringLike"]["kms:EncryptionContext:SecretARN"]
    assert pattern == made["ARN"][:-6] + "??????"
    error = refused(parameters(aws), other)
    assert error.docs.endswith("#aws-kms")
    context = pasted(error)["Statement"][0]["Condition"]["StringLike"]
    assert context == {"kms:EncryptionContext:PARAMETER_ARN": f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter{other.path}"}


def test_a_key_that_aws_names_stands_in_the_policy(aws: Stores) -> None:
    key = f"arn:aws:kms:{REGION}:999988887777:key/1234abcd-12ab-34cd-56ef-1234567890ab"
    message = f"User: {ROLE} is not authorized to perform: kms:Decrypt on resource: {key} because no identity-based …"
    aws.proxy.fail("/", reply(400, json={"__type": "AccessDeniedException", "Message": message}))
    error = refused(parameters(aws), parameter(aws, "k", "value-1"))
    assert pasted(error)["Statement"][0]["Resource"] == [key]
